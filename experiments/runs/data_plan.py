"""What a comparison trains and tests on: checked images, their audit, groups, splits and other surfaces.

One way: find the folder, check its images, audit them, split them, save what each run reads.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.data.audit.groups_csv import read_groups
from cnnzoo.data.audit.summary import SPLIT_SEED, summary
from cnnzoo.data.class_names import positive_class
from cnnzoo.errors import InputError, printable
from cnnzoo.files import file_stem, write_whole
from experiments.cli.apart import apart
from experiments.cli.folder_lines import class_line, doubts
from experiments.cli.process import quoted, to_type
from experiments.cli.say import Say, say
from experiments.runs.sides import DataRequest, sides_of
from experiments.runs.spec import SIDES, DataFacts, Other, OtherFacts, SplitFacts

if TYPE_CHECKING:
    from cnnzoo.data.audit.findings import Audit
    from cnnzoo.data.audit.twins import Found
    from cnnzoo.data.manifest import Manifest
    from cnnzoo.data.splits import Split


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
    if found.augmented:
        say(found.augmented)
    for line in filter(None, (found.fallback, found.transformed_fallback)):
        say(line, warning=True)
    _check_apart("--also", [folder.resolve().name for folder in request.also])
    sides = sides_of(manifest, source.names, audit, groups, request, say)
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
            f"{request.needs_positive}: of which class? Their names don't tell which one is to be found; add "
            f"--positive with one of {names}"
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
