"""What is trained on and what is tested: one split, folds, or each surface in turn."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cnnzoo.data.audit.summary import SPLIT_SEED, leaks_between_sides
from cnnzoo.errors import InputError, printable
from experiments.cli.say import Say
from experiments.runs.spec import SIDES, SplitFacts

if TYPE_CHECKING:
    from cnnzoo.data.audit.findings import Audit
    from cnnzoo.data.audit.twins import Twin
    from cnnzoo.data.manifest import Manifest
    from cnnzoo.data.splits import Split


@dataclass(frozen=True)
class DataRequest:
    """What a user asks for.

    Attributes:
        data: "synthetic", "metu", a folder or a CSV file.
        out: folder for the results, in which `logs` exists.
        split: "grouped" keeps the images of a photograph on one side, "random" does not; None keeps the
            split that the folders give, and is "grouped" where they give none.
        groups: a CSV file of groups to use in place of those that are found.
        limit: images per class, at most.
        skip_bad: leave unreadable files out.
        positive: the positive class; None recognises it by its name.
        needs_positive: the option that there must be one for, as "--recall"; empty where none needs it.
        also: other folders with the same classes, to test on.
        train_sizes: numbers of training images, None for all of them; a part of the plan for each.
        more: further folders of the same classes, taken together with the first and split anew.
        leave_one_out: train on all folders but one and test on that one, each in turn.
        folds: into how many parts to cut the images, to test on each in turn; 0 for one split.
    """

    data: str
    out: Path
    split: Literal["grouped", "random"] | None = None
    groups: Path | None = None
    limit: int | None = None
    skip_bad: bool = False
    positive: str | None = None
    needs_positive: str = ""
    also: tuple[Path, ...] = ()
    train_sizes: tuple[int | None, ...] = (None,)
    more: tuple[str, ...] = ()
    leave_one_out: bool = False
    folds: int = 0


def sides_of(
    manifest: "Manifest",
    names: Sequence[str],
    audit: "Audit",
    groups: Sequence[int],
    request: DataRequest,
    say: Say,
) -> list[tuple["Split", SplitFacts]]:
    """Returns the split, or one for each folder of `names` that is left out, or for each fold.

    Raises:
        InputError: a class has too few images or groups for that.
    """
    if request.folds:
        return _folds(manifest, audit, groups, request, say)
    if not request.leave_one_out:
        return [_split(manifest, audit, groups, request, say)]
    from cnnzoo.data.splits import leave_out

    found = []
    for number, name in enumerate(names):
        away = [other == number for other in manifest.sources]
        try:
            # By the audit's groups too: those that are given may not know of copies in another folder.
            split = leave_out(manifest, away, groups, audit.groups, seed=SPLIT_SEED)
        except InputError as error:
            raise InputError(f"--leave-one-out: without {printable(name)}, {error}") from None
        say(f"Leaving out {printable(name)}: {_sizes(split)}{_dropped(split, manifest)}")
        _tell_leaks(manifest, audit, split, "left out", say)
        described = SplitFacts(
            kind="left out", fractions=_shares(split), seed=SPLIT_SEED, groups=_hash(groups), left_out=name
        )
        found.append((split, described))
    return found


def _folds(
    manifest: "Manifest", audit: "Audit", groups: Sequence[int], request: DataRequest, say: Say
) -> list[tuple["Split", SplitFacts]]:
    from cnnzoo.data.splits import fold_splits

    random = request.split == "random"
    kind = "random" if random else "given groups" if request.groups or manifest.given_groups else "grouped"
    of_each = list(range(len(manifest.images))) if random else groups
    try:
        splits = fold_splits(manifest, request.folds, groups=of_each, seed=SPLIT_SEED)
    except InputError as error:
        raise InputError(f"--folds {request.folds}: {error}") from None
    if manifest.already_split:
        say("The folders' own split is not kept: each image is tested once", warning=True)
    say(f"{request.folds} folds, of which the first has {_sizes(splits[0])}")
    found = []
    for number, split in enumerate(splits, 1):
        _tell_leaks(manifest, audit, split, kind, say)
        described = SplitFacts(
            kind=kind,
            fractions=_shares(splits[0]),
            seed=SPLIT_SEED,
            groups="" if random else _hash(groups),
            fold=number,
            folds=request.folds,
        )
        found.append((split, described))
    return found


def _dropped(split: "Split", manifest: "Manifest") -> str:
    count = len(manifest.images) - sum(len(getattr(split, side)) for side in SIDES)
    return f"; {count:,} images are not used: their like are in it" if count else ""


def _hash(groups: Sequence[int]) -> str:
    return sha256(json.dumps(list(groups)).encode()).hexdigest()[:12]


def _split(
    manifest: "Manifest", audit: "Audit", groups: Sequence[int], request: DataRequest, say: Say
) -> tuple["Split", SplitFacts]:
    from cnnzoo.data.splits import DEFAULT_FRACTIONS, split_manifest

    random, given = request.split == "random", request.split is None and manifest.already_split
    own = list(range(len(manifest.images)))
    split = split_manifest(manifest, groups=own if random else groups, seed=SPLIT_SEED, given=given)
    own_groups = request.groups or manifest.given_groups
    kind = "random" if random else "given" if given else "given groups" if own_groups else "grouped"
    if given:
        say(f"Already split: {_sizes(split)}")
    leaks = _tell_leaks(manifest, audit, split, kind, say)
    return split, SplitFacts(
        kind=kind,
        fractions=_shares(split) if given else DEFAULT_FRACTIONS,
        seed=SPLIT_SEED,
        groups="" if random else _hash(groups),
        leaked=len(leaks.get(("train", "test"), ())),
    )


def _tell_leaks(
    manifest: "Manifest", audit: "Audit", split: "Split", kind: str, say: Say
) -> "dict[tuple[str, str], dict[int, Twin]]":
    """Says which images have a near-duplicate on another side, and returns them by the two sides."""
    leaks = leaks_between_sides(audit, split)
    for (first, second), leaked in leaks.items():
        example = printable(manifest.images[min(leaked)].path)
        say(
            f"Leak: {len(leaked):,} of {len(getattr(split, second)):,} {second} images have a near-duplicate "
            f"in {first}, {example} among them ({_CURES[kind]})",
            warning=True,
        )
    return leaks


_CURES = {
    "random": "--split grouped keeps them on one side",
    "given": "--split grouped splits all images anew and keeps them on one side",
    "given groups": "your groups put them into different groups",
    "grouped": "report this as a bug, please",
    "left out": "your groups put them into different groups",
}


def _shares(split: "Split") -> tuple[float, ...]:
    sizes = [len(getattr(split, side)) for side in SIDES]
    return tuple(round(size / sum(sizes), 3) for size in sizes)


def _sizes(split: "Split") -> str:
    return ", ".join(f"{len(getattr(split, side)):,} {side} images" for side in SIDES)
