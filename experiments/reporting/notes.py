"""What a reader must know before comparing a row with the others."""

from collections.abc import Sequence

from cnnzoo.errors import printable
from experiments.recipes.published import RECIPES
from experiments.reporting.rows import Row
from experiments.runs import left
from experiments.style.text import few_listed, listed

OPTIMIZER_NAMES = {"adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "sgd": "SGD"}

FEW_TO_CALIBRATE = 500  # validation images, of which few lie near the decision


def row_notes(row: Row, rows: Sequence[Row]) -> list[str]:
    """What a reader must know before comparing this row with the others."""
    notes = class_notes(row)
    split = row.first.data.split
    alike = [other for other in rows if other.first.data.split.left_out == split.left_out]
    most = max((other.images("train") for other in alike if _same_source(row, other)), default=0)
    limit = row.first.data.limit
    if row.images("train") < 0.99 * most:
        option = f" (--limit {limit})" if limit else ""
        notes.append(f"trained on {row.images('train'):,} of {most:,} images{option}")
    elif any(not _same_source(row, other) for other in rows):
        notes.append(f"trained on {row.images('train'):,} images of {printable(row.first.data.name)}")
    if any(other.first.data.split.kind != split.kind for other in rows):
        notes.append(split.named)
    if split.leaked:
        notes.append(f"{split.leaked:,} test images have a near-duplicate in training")
    if schedule := _random_weights_schedule(row):
        notes.append(schedule)
    usual = _usual_epochs(row)
    if usual and planned_epochs(row) != usual and not schedule:
        notes.append(f"trained for up to {planned_epochs(row)} epochs (recipe default: {usual})")
    if drawn := row.first.config.get("drawn"):
        notes.append(f"trained on {drawn:,} drawn tiles too")
    if views := _views(row):
        notes.append(f"frozen layers computed once, for {views} augmented views of each image")
    if operating := operating_text(row):
        notes.append(operating)
    if unlike := _unlike(row):
        notes.append(unlike)
    twins = [other for other in rows if other.first.recipe == row.first.recipe and other is not row]
    if not usual and any(planned_epochs(other) != planned_epochs(row) for other in twins):
        notes.append(f"trained for up to {planned_epochs(row)} epochs")
    if row.at_once not in ([], [1]):
        numbers = listed([f"{count} at a time" if count > 1 else "one alone" for count in row.at_once])
        notes.append(f"runs went {numbers} (--jobs): compare its times with those of such rows alone")
    if row.not_as_recorded:
        notes.append(f"not as its runs left it, and not used: {left.listed(row.not_as_recorded)}")
    if row.budget and not row.ended_early:
        notes.append(f"within --budget {row.budget:g}")
    if row.status != "ok":
        notes.append(row.status)
    return notes


def _unlike(row: Row) -> str:
    """How much of each other data set is unlike the training images; empty where none is known."""
    shares = [(printable(name), row.other(name, "unlike")) for name in row.other_names]
    said = [f"{100 * share:.0f} % of {name}" for name, share in shares if share is not None]
    return f"unlike the training images: {listed(said)}" if said else ""


def operating_text(row: Row) -> str:
    """What the threshold for a wanted recall or precision promises, and gives on test; empty without one."""
    threshold, promised = row.operating("threshold"), row.operating("promised")
    if threshold is None:
        return ""
    what = "recall" if row.operating("wanted_recall") is not None else "precision"
    wanted = row.operating(f"wanted_{what}") or 0.0
    both = {name: row.operating(f"test_{name}") for name in ("recall", "precision")}
    if promised is None:  # of a record of before
        given = ", ".join(f"{name} {value:.4f}" for name, value in both.items())
        return f"at the threshold chosen for a {what} of {wanted:g}: {given}"
    given = ", ".join(
        f"{name} {value:.4f} ({row.operating(f'test_plain_{name}'):.4f} without)"
        for name, value in both.items()
    )
    if promised == 1:
        return f"a {what} of {wanted:g} is promised at the threshold {threshold:.4f}: on test {given}"
    why = _too_few(row, wanted)
    return f"no {what} of {wanted:g} can be promised: {why}; at {threshold:.4f} on test {given}"


def _too_few(row: Row, wanted: float) -> str:
    """Why validation can't promise a share, and what would help."""
    from cnnzoo.evaluation.promise import images_needed

    count, needed = row.operating("independent") or 0.0, images_needed(wanted)
    if needed is None:
        return "no number of images is enough for that"
    if count >= needed:
        return f"validation shows too many mistakes among {count:,.0f} independent images"
    name = printable(row.first.data.positive)
    return (
        f"the validation images of {name} are worth {count:,.0f} independent ones, and about {needed:,} are "
        "needed"
    )


def class_notes(row: Row) -> list[str]:
    """What belongs beside the accuracy of a row that never predicts a class or beats no constant answer."""
    if not row.results:
        return []
    name, share = row.majority
    constant = f"always answering {printable(name)} would score {share:.4f}"
    if row.never_predicted:
        return [f"never predicts {few_listed(row.never_predicted)}; {constant}"]
    notes = []
    if (row.average("test_accuracy") or 0) <= share:
        notes.append(f"no better than a constant answer: {constant}")
    if row.collapsed_seeds:
        seeds = f"{len(row.collapsed_seeds)} of {len(row.finished)} seeds"
        classes = dict.fromkeys(name for record in row.finished for name in record.never_predicted)
        notes.append(
            f"{seeds} never predict{'s' * (len(row.collapsed_seeds) == 1)} {few_listed([*classes])}: trained "
            "too briefly or on too few images; more epochs or more images may help"
        )
    return notes


def scaling_note(row: Row) -> str:
    """A sentence where temperature scaling made the calibration error larger; empty elsewhere."""
    before, after = row.average("calibration_error_raw"), row.average("calibration_error")
    if before is None or after is None or round(after, 4) <= round(before, 4):
        return ""
    count = row.images("validation")
    few = f"with so few validation images ({count:,})" if count < FEW_TO_CALIBRATE else "on these test images"
    return f"Temperature scaling did not help {few}. "


def _random_weights_schedule(row: Row) -> str:
    """How a network was trained that its recipe starts from pretrained weights; empty where it did."""
    phases = row.first.config.get("config", {}).get("phases", [])
    if row.first.weights != "random" or not row.first.config.get("pretrained") or len(phases) != 1:
        return ""
    (phase,) = phases
    schedule = phase.get("schedule", "constant")  # not in records of the first versions
    optimizer = OPTIMIZER_NAMES.get(phase.get("optimizer"), "an optimizer of another version")
    return (
        f"trained from random weights instead of pretrained ones: all layers, {phase['epochs']} epochs of "
        f"{optimizer} at {phase.get('learning_rate', 0):g} ({schedule})"
    )


def _same_source(row: Row, other: Row) -> bool:
    return row.first.data.name == other.first.data.name


def _usual_epochs(row: Row) -> str:
    """The epochs of the recipe that the row is named by, as in `10 + 10`; empty where it is none of ours."""
    recipe = RECIPES.get(row.first.recipe)
    return " + ".join(str(phase.epochs) for phase in recipe.config.phases) if recipe else ""


def _views(row: Row) -> int:
    """How many augmented views of an image went through frozen layers, once; 0 where each epoch did so."""
    phases = row.first.config.get("config", {}).get("phases", [])
    return max((phase.get("views", 0) for phase in phases), default=0)  # not in older records


def planned_epochs(row: Row) -> str:
    """The epochs of each phase, as in `10 + 10`."""
    phases = row.first.config.get("config", {}).get("phases", [])
    return " + ".join(str(phase["epochs"]) for phase in phases)
