"""What the names of classes tell: which of two is the positive one, and which differ by spelling alone."""

import re
import unicodedata
from collections.abc import Sequence

POSITIVE = {
    "crack", "cracks", "cracked", "cracking", "cracky", "fissure", "fissures", "fissured", "fracture",
    "fractured", "defect", "defects", "defective", "damage", "damages", "damaged", "positive", "positives",
    "pos", "faulty", "fault", "broken", "bad", "abnormal", "anomaly", "anomalous", "nok", "ng", "reject",
    "rejected", "unacceptable",
    "fail", "failed", "unhealthy", "unsound", "abnormality", "flaw", "flawed",
    "riss", "risse", "gerissen", "rissig", "schaden", "schadhaft", "beschadigt", "defekt",
    "fissuree", "endommage", "defaut", "grieta", "grietas", "agrietado", "fisura", "fessura", "crepa",
}  # fmt: skip
NEGATIVE = {
    "sound", "intact", "uncracked", "noncrack", "noncracked", "nocrack", "nocracks", "crackless", "crackfree",
    "undamaged", "negative", "negatives", "neg", "ok", "okay", "good", "normal", "healthy", "clean",
    "accept", "accepted", "acceptable", "pass", "passed", "plain", "perfect", "flawless", "nodefect",
    "nondefect",
    "nondefective", "nodamage", "background", "unbroken", "unfractured",
    "rissfrei", "ungerissen", "unbeschadigt", "schadenfrei", "intakt", "sain", "sano", "intacto",
}  # fmt: skip
# These say it alone, never as part of another name.
_ANSWERS = {"yes": True, "true": True, "oui": True, "ja": True, "si": True, "no": False, "none": False,
            "false": False, "non": False, "nein": False}  # fmt: skip
_NOT = {"no", "non", "not", "un", "without", "free", "never", "w/o", "wo", "sans", "sin", "ohne", "kein",
        "keine", "nicht", "senza", "sem", "zero"}  # fmt: skip


def positive_class(names: Sequence[str]) -> str:
    """Returns the positive one of two classes by its usual name; empty where that is not plain.

    That is so where just one of the names says that there is a crack or a defect, or just one of them that
    there is none, as in crack and sound, 1 and 0, Riss and ohne Riss. Case and accents don't matter.
    """
    if len(names) != 2:
        return ""
    numbers = [re.sub(r"class|label|klasse|[\W_]", "", _folded(name)) for name in names]
    if sorted(numbers) == ["0", "1"]:  # both, or they are two of ten digits
        return names[numbers.index("1")]
    says = [_says_defect(name) for name in names]
    if says in ([True, False], [True, None], [None, False]):
        return names[0]
    if says in ([False, True], [None, True], [False, None]):
        return names[1]
    return ""


def _says_defect(name: str) -> bool | None:
    """True for a defect, False for none, None where the name says neither."""
    words = {word for word in re.split(r"[^a-z/]+", _folded(name)) if word}
    if len(words) == 1 and (answer := _ANSWERS.get(min(words))) is not None:
        return answer
    joined = any(word.removeprefix(no) in POSITIVE for word in words - POSITIVE for no in _NOT)
    words |= {word.removeprefix("with") for word in words}
    defect, fine, negated = words & POSITIVE, words & NEGATIVE, words & _NOT
    if defect and fine:
        return None
    if defect:
        return not negated
    if joined:
        return False
    return bool(negated) if fine else None


def _folded(name: str) -> str:
    """`name` without case and accents; a capital within a word starts a new one, as in NonCrack."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    spread = unicodedata.normalize("NFKD", apart.casefold())
    return "".join(character for character in spread if not unicodedata.combining(character))


def look_alikes(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns names that differ in case, spaces, accents, a plural or a copy's number alone, together."""
    alike: dict[str, list[str]] = {}
    for name in names:
        same = _folded(re.sub(r"(\(\d+\)|-? ?copy)\s*$", "", name)).translate(_LOOK_LATIN)
        same = "".join(character for character in same if character.isalnum())
        alike.setdefault(same.removesuffix("s"), []).append(name)
    return [tuple(each) for each in alike.values() if len(each) > 1]


_LOOK_LATIN = str.maketrans("асеорхуіјѕ", "aceopxyijs")  # Cyrillic letters


SIDES = ("train", "validation", "test")
# What a folder is called that holds one of them.
_SIDE_NAMES = {
    "train": ("train", "training", "trn", "trainset", "trainingset", "traindata"),
    "validation": ("val", "valid", "validation", "validate", "dev", "valset", "validset", "validationset",
                   "development"),
    "test": ("test", "testing", "tst", "testset", "holdout", "testdata", "eval", "evaluation"),
}  # fmt: skip
_FILLERS = {"set", "data", "dataset", "images", "imgs", "image", "img", "split", "folder", "seg"}


def side_of(name: str) -> str:
    """Returns "train", "validation" or "test" where a folder's name says so; else an empty string."""
    words = [word for word in re.split(r"[^a-z]+", _folded(name)) if word and word not in _FILLERS]
    if len(words) != 1:
        return ""
    return next((side for side, usual in _SIDE_NAMES.items() if words[0] in usual), "")
