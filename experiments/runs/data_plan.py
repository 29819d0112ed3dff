"""What a comparison trains and tests on: checked images, their audit, groups, splits and other surfaces.

One way: find the folder, check its images, audit them, split them, save what each run reads.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cnnzoo.data.audit.groups_csv import read_groups
from cnnzoo.data.audit.summary import SPLIT_SEED, leaks_between_sides, summary
from cnnzoo.data.class_names import positive_class
from cnnzoo.errors import InputError, printable
from cnnzoo.files import file_stem, write_whole
from experiments.cli.apart import apart
from experiments.cli.folder_lines import class_line, doubts
from experiments.cli.process import quoted, to_type
from experiments.cli.say import Say, say
from experiments.runs.spec import SIDES, DataFacts, Other, OtherFacts, SplitFacts

if TYPE_CHECKING:
    from cnnzoo.data.audit.findings import Audit
    from cnnzoo.data.audit.twins import Found, Twin
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
        needs_positive: whether there must be one, as for a wanted recall.
        also: other folders with the same classes, to test on.
        train_sizes: numbers of training images, None for all of them; a part of the plan for each.
        more: further folders of the same classes, taken together with the first and split anew.
        leave_one_out: train on all folders but one and test on that one, each in turn.
    """

    data: str
    out: Path
    split: Literal["grouped", "random"] | None = None
    groups: Path | None = None
    limit: int | None = None
    skip_bad: bool = False
    positive: str | None = None
    needs_positive: bool = False
    also: tuple[Path, ...] = ()
    train_sizes: tuple[int | None, ...] = (None,)
    more: tuple[str, ...] = ()
    leave_one_out: bool = False


@dataclass(frozen=True)
class Part:
    """One training set: the file with its split, and the record's part on data."""

    split_file: Path
    data: DataFacts


@dataclass(frozen=True)
class DataPlan:
    """What all runs share, and a part for each size of the training set, or each surface left out of it."""

    manifest_file: Path
    others: tuple[Other, ...]
    parts: tuple[Part, ...]


def prepare_data(request: DataRequest, say: Say = say) -> DataPlan:
    """Checks and audits the images once for all runs, and splits them.

    Raises:
        InputError: the data, or what is asked of them, can't be used.
    """
    source = _source(request)
    manifest = source.manifest
    positive = _positive(request, manifest)
    say(class_line(manifest.counts(), positive))
    for line in doubts(manifest):
        say(line, warning=True)
    audit = audited(manifest, say)
    groups = _groups(request, manifest, audit)
    found = summary(manifest, audit)
    commands = "\n".join(f"  {to_type('audit')} {quoted(folder)}" for folder in source.folders)
    say(
        f"Audit: {found.twins:,} of {found.images:,} images have a near-duplicate; {found.groups:,} groups. "
        f"To see them:\n{commands}"
    )
    if found.fallback:
        say(found.fallback, warning=True)
    _check_apart("--also", [folder.resolve().name for folder in request.also])
    sides = _sides(source, audit, groups, request, say)
    manifest_file = _save_manifest(request.out, manifest)
    others = [_other(path, request, manifest, say) for path in request.also]
    shared = DataFacts(
        name=source.name,
        root=str(source.folders[0] if len(source.folders) == 1 else manifest.root),
        fingerprint=manifest.fingerprint,
        class_names=manifest.class_names,
        bad=manifest.bad,
        limit=request.limit,
        positive=positive,
        others={other.name: facts for other, facts in others},
        audit=found,
    )
    parts = [
        _part(size, shared, manifest, audit, groups, split, described, request.out)
        for split, described in sides
        for size in request.train_sizes
    ]
    return DataPlan(manifest_file, tuple(other for other, _ in others), tuple(parts))


@dataclass(frozen=True, eq=False)
class _Source:
    """All images, and the folders that they are from."""

    manifest: "Manifest"
    folders: tuple[Path, ...]
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        return " + ".join(self.names)


def _source(request: DataRequest) -> _Source:
    from cnnzoo.data.manifest import build_manifest, joined
    from cnnzoo.data.sources.find import find_data

    asked = (request.data, *request.more)
    folders = tuple(find_data(name, limit=request.limit) for name in asked)
    names = tuple(map(_name, asked, folders))
    if len(folders) == 1:
        manifest = build_manifest(folders[0], limit=request.limit, skip_bad=request.skip_bad)
        return _Source(manifest, folders, names)
    _check_apart("--data", names)
    each = [build_manifest(folder, limit=request.limit, skip_bad=request.skip_bad) for folder in folders]
    return _Source(joined(each), folders, names)


def _positive(request: DataRequest, manifest: "Manifest") -> str:
    names = ", ".join(map(printable, manifest.class_names))
    if request.positive is not None and request.positive not in manifest.class_names:
        raise InputError(f"--positive {request.positive}: the classes are {names}")
    positive = request.positive or positive_class(manifest.class_names)
    if request.needs_positive and not positive:
        raise InputError(
            f"--recall: of which class? Their names don't tell which one is to be found; add --positive with "
            f"one of {names}"
        )
    return positive


def _name(asked: str, folder: Path) -> str:
    if asked in ("synthetic", "metu"):
        return asked
    return folder.resolve().name if folder.is_dir() else folder.stem


def _groups(request: DataRequest, manifest: "Manifest", audit: "Audit") -> list[int]:
    if request.groups:
        return read_groups(request.groups, manifest)
    return manifest.given_groups or list(audit.groups)


def _part(
    size: int | None,
    shared: DataFacts,
    manifest: "Manifest",
    audit: "Audit",
    groups: Sequence[int],
    split: "Split",
    described: SplitFacts,
    out: Path,
) -> Part:
    from cnnzoo.data.splits import few

    side = split if size is None else few(split, manifest, size, seed=SPLIT_SEED)
    leaked = len(audit.leaked(side))
    about = replace(described, train_size=size, train_images=len(split.train), leaked=leaked)
    file = _save_split(out, manifest, side, groups, about)
    return Part(file, replace(shared, images=_counts(manifest, side), split=about))


def audited(manifest: "Manifest", say: Say = say) -> "Audit":
    """Audits in a process of its own, which gives the memory back."""
    from cnnzoo.data.audit.examine import audit_manifest
    from cnnzoo.data.audit.findings import Audit, audit_file

    if audit := Audit.load(audit_file(manifest)):
        return audit
    say(f"Auditing {len(manifest.images):,} images of {printable(manifest.root)}, once")
    return apart(audit_manifest, manifest)


def _sides(
    source: _Source, audit: "Audit", groups: Sequence[int], request: DataRequest, say: Say
) -> list[tuple["Split", SplitFacts]]:
    """The split, or one for each folder that is left out."""
    if not request.leave_one_out:
        return [_split(source.manifest, audit, groups, request, say)]
    from cnnzoo.data.splits import leave_out

    found = []
    for number, name in enumerate(source.names):
        away = [other == number for other in source.manifest.sources]
        try:
            # By the audit's groups too: those that are given may not know of copies in another folder.
            split = leave_out(source.manifest, away, groups, audit.groups, seed=SPLIT_SEED)
        except InputError as error:
            raise InputError(f"--leave-one-out: without {printable(name)}, {error}") from None
        say(f"Leaving out {printable(name)}: {_sizes(split)}{_dropped(split, source.manifest)}")
        _tell_leaks(source.manifest, audit, split, "left out", say)
        described = SplitFacts(
            kind="left out", fractions=_shares(split), seed=SPLIT_SEED, groups=_hash(groups), left_out=name
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


def _check_apart(option: str, names: Sequence[str]) -> None:
    """Checks that data sets can be told apart by their names, as columns and files are."""
    seen: set[str] = set()
    for name in names:
        if file_stem(name) in seen:
            raise InputError(f"{option}: two folders are named {name!r}, or nearly so; rename one")
        seen.add(file_stem(name))


def _other(folder: Path, request: DataRequest, manifest: "Manifest", say: Say) -> tuple[Other, OtherFacts]:
    """A data set of `--also`: what a run reads, and what the record says of it."""
    from cnnzoo.data.manifest import build_manifest

    other = build_manifest(folder, skip_bad=request.skip_bad)
    if other.class_names != manifest.class_names:
        raise InputError(
            f"--also {folder}: its classes are {', '.join(other.class_names)}; those of --data are "
            f"{', '.join(manifest.class_names)}; rename its folders"
        )
    groups = audited(other, say).groups
    seen = len({twin.second for twin in _twins_across(manifest, other).twins})
    if seen:
        say(f"{seen:,} images of {printable(folder)} have a near-duplicate in the data", warning=True)
    file = _save_manifest(request.out, other)
    return Other(folder.resolve().name, str(file), groups), OtherFacts(
        root=str(folder),
        fingerprint=other.fingerprint,
        images=other.counts(),
        groups=len(set(groups)),
        twins=seen,
    )


def _twins_across(manifest: "Manifest", other: "Manifest") -> "Found":
    from cnnzoo.data.audit.examine import twins_between

    return apart(twins_between, manifest, other)


def _counts(manifest: "Manifest", split: "Split") -> dict[str, dict[str, int]]:
    return {
        side: {
            name: sum(manifest.images[i].label == label for i in getattr(split, side))
            for label, name in enumerate(manifest.class_names)
        }
        for side in SIDES
    }


def _save_manifest(out: Path, manifest: "Manifest") -> Path:
    file = out / "logs" / f"manifest-{manifest.fingerprint[:16]}.json"
    manifest.save(file)
    return file


def _save_split(
    out: Path, manifest: "Manifest", split: "Split", groups: Sequence[int], about: SplitFacts
) -> Path:
    key = sha256(json.dumps([manifest.fingerprint, asdict(about)], sort_keys=True).encode()).hexdigest()[:16]
    file = out / "logs" / f"split-{key}.json"
    write_whole(file, json.dumps({**asdict(split), "groups": list(groups)}))
    return file
