"""What a comparison trains and tests on: checked images, their audit, groups, splits and other surfaces."""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cnnzoo.errors import InputError
from experiments.commands import to_type
from experiments.records import file_stem

if TYPE_CHECKING:
    from cnnzoo.data.audit.findings import Audit
    from cnnzoo.data.audit.twins import Twin
    from cnnzoo.data.manifest import Manifest
    from cnnzoo.data.splits import Split

SPLIT_SEED = 0  # one split for every seed and recipe: all are tested on the same images


@dataclass(frozen=True)
class Part:
    """One size of the training set: the file with its split, and the record's part on data."""

    split_file: Path
    data: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What all runs share. `others` has a `measure.Other` each as a dict."""

    manifest_file: Path
    others: list[dict[str, Any]]
    parts: list[Part]


class Say(Protocol):
    """Takes a line for people; a warning belongs on stderr."""

    def __call__(self, text: str, *, warning: bool = False) -> None: ...


def say(text: str, *, warning: bool = False) -> None:
    """Prints it."""
    print(text, file=sys.stderr if warning else sys.stdout, flush=True)


def prepare_data(options: argparse.Namespace, sizes: Sequence[int | None], say: Say = say) -> Plan:
    """Checks and audits the images once for all runs, and splits them."""
    from cnnzoo.data.manifest import build_manifest
    from cnnzoo.data.sources.find import find_data
    from cnnzoo.data.splits import few

    folder = find_data(options.data, limit=options.limit)
    manifest = build_manifest(folder, limit=options.limit, skip_bad=options.skip_bad)
    positive = options.positive or manifest.class_names[-1]
    if positive not in manifest.class_names:
        raise InputError(f"--positive {positive}: the classes are {', '.join(manifest.class_names)}")
    audit = audited(manifest, say)
    groups = read_groups(options.groups, manifest) if options.groups else list(audit.groups)
    found = summary(manifest, audit)
    say(
        f"audit: {found['twins']:,} of {found['images']:,} images show what another one shows; "
        f"{found['groups']:,} groups; {to_type('audit')} {folder} names them"
    )
    split, described = _split(manifest, audit, groups, options, say)
    manifest_file = options.out / "logs" / f"manifest-{manifest.fingerprint[:16]}.json"
    manifest.save(manifest_file)
    others, other_data = _others(options, manifest, say)
    shared = {
        "name": options.data if options.data in ("synthetic", "metu") else folder.resolve().name,
        "root": str(folder),
        "fingerprint": manifest.fingerprint,
        "class_names": list(manifest.class_names),
        "bad": [asdict(bad) for bad in manifest.bad],
        "limit": options.limit,
        "positive": positive,
        "others": other_data,
        "audit": found,
    }
    parts = []
    for size in sizes:
        side = split if size is None else few(split, manifest, size, seed=SPLIT_SEED)
        about = {**described, "train_size": size, "train_images": len(split.train)}
        about["leaked"] = len(audit.leaked(side))
        file = _save_split(options.out, manifest, side, groups, about)
        parts.append(Part(file, {**shared, "images": _counts(manifest, side), "split": about}))
    return Plan(manifest_file, others, parts)


def audited(manifest: "Manifest", say: Say = say) -> "Audit":
    """Audits in a process of its own, which gives the memory back."""
    from cnnzoo.data.audit.examine import audit_manifest
    from cnnzoo.data.audit.findings import Audit, audit_file

    if audit_file(manifest).exists():
        return Audit.load(audit_file(manifest))
    say(f"auditing {len(manifest.images):,} images of {manifest.root}, once")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(audit_manifest, manifest).result()


def _split(
    manifest: "Manifest", audit: "Audit", groups: Sequence[int], options: argparse.Namespace, say: Say
) -> tuple["Split", dict[str, Any]]:
    from cnnzoo.data.splits import DEFAULT_FRACTIONS, split_manifest

    random = options.split == "random"
    own = list(range(len(manifest.images)))
    split = split_manifest(manifest, groups=own if random else groups, seed=SPLIT_SEED)
    leaked = len(audit.leaked(split))
    if leaked:
        cure = (
            " (--split grouped keeps them together)"
            if random
            else " (your --groups put them into different groups)"
        )
        say(
            f"{leaked:,} of {len(split.test):,} test images show what a training image shows{cure}",
            warning=True,
        )
    described = {
        "kind": "random" if random else "given groups" if options.groups else "grouped",
        "fractions": list(DEFAULT_FRACTIONS),
        "seed": SPLIT_SEED,
        "groups": "" if random else sha256(json.dumps(list(groups)).encode()).hexdigest()[:12],
        "leaked": leaked,
    }
    return split, described


def read_groups(path: Path, manifest: "Manifest") -> list[int]:
    """Reads a CSV file with the columns path and group, a line for each image of the manifest.

    Raises:
        InputError: the file can't be read, lacks a column or an image, or has one in two groups. Lines of
            images that the manifest lacks, by `--limit` say, are passed over.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--groups {path}: {getattr(error, 'strerror', None) or error}") from None
    if not lines or not {"path", "group"} <= set(lines[0]):
        raise InputError(f"--groups {path}: a first line with path,group and a line per image are wanted")
    named: dict[str, str] = {}
    for line in lines:
        path_, group = line["path"], (line["group"] or "").strip()
        if named.setdefault(path_, group) != group:
            raise InputError(f"--groups {path}: {path_!r} is in two groups, {named[path_]!r} and {group!r}")
    paths = [image.path for image in manifest.images]
    missing = [path for path in paths if not named.get(path)]
    if missing:
        example = min(set(named) - set(paths), default="")
        hint = f"; it names {example!r}, which is no image of {manifest.root}" if example else ""
        raise InputError(
            f"--groups {path}: no group for {len(missing):,} images, {missing[0]!r} the first{hint}"
        )
    numbers: dict[str, int] = {}
    return [numbers.setdefault(named[path], len(numbers)) for path in paths]


def _others(
    options: argparse.Namespace, manifest: "Manifest", say: Say
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The data sets of `--also`: a `measure.Other` each, and what the record says of them."""
    from cnnzoo.data.manifest import build_manifest

    others: list[dict[str, Any]] = []
    described: dict[str, dict[str, Any]] = {}
    for folder in options.also:
        other = build_manifest(folder, skip_bad=options.skip_bad)
        if other.class_names != manifest.class_names:
            raise InputError(
                f"--also {folder}: its classes are {', '.join(other.class_names)}; those of --data are "
                f"{', '.join(manifest.class_names)}; rename its folders"
            )
        name = folder.resolve().name
        if file_stem(name) in map(file_stem, described):
            raise InputError(f"--also {folder}: two folders are named {name!r}, or nearly so; rename one")
        file = options.out / "logs" / f"manifest-{other.fingerprint[:16]}.json"
        other.save(file)
        groups = audited(other, say).groups
        twins = _twins_across(manifest, other)
        if twins:
            seen = len({twin.second for twin in twins})
            say(f"{seen:,} images of {folder} show what images of the data show", warning=True)
        others.append({"name": name, "manifest": str(file), "groups": groups})
        described[name] = {
            "root": str(folder),
            "fingerprint": other.fingerprint,
            "images": other.counts(),
            "groups": len(set(groups)),
            "twins": len({twin.second for twin in twins}),
        }
    return others, described


def _twins_across(manifest: "Manifest", other: "Manifest") -> "list[Twin]":
    from cnnzoo.data.audit.examine import twins_between

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(twins_between, manifest, other).result()


def summary(manifest: "Manifest", audit: "Audit") -> dict[str, Any]:
    """What the audit found, in numbers for the record."""
    plain = random_split(manifest)
    images = len(manifest.images)
    return {
        "images": images,
        "groups": len(set(audit.groups)),
        "identical": _in_pairs(audit, lambda twin: twin.score == 1),
        "twins": _in_pairs(audit, lambda twin: True),
        "random_split_leaked": len(audit.leaked(plain)) if plain else 0,
        "random_split_test": len(plain.test) if plain else 0,
        "ordered": audit.ordered,
        "label_suspects": len(audit.suspects),
        "suspects": [manifest.images[suspect.image].path for suspect in audit.suspects],
        "label_accuracy": audit.label_accuracy,
        "oddities": len(audit.oddities),
    }


def random_split(manifest: "Manifest") -> "Split | None":
    """The split that knows no groups; None where there are too few images for one."""
    from cnnzoo.data.splits import split_manifest

    try:
        return split_manifest(manifest, groups=list(range(len(manifest.images))), seed=SPLIT_SEED)
    except InputError:
        return None


def _in_pairs(audit: "Audit", wanted: Any) -> int:
    """The number of images that a wanted pair names."""
    return len({image for twin in audit.twins if wanted(twin) for image in (twin.first, twin.second)})


def _counts(manifest: "Manifest", split: "Split") -> dict[str, dict[str, int]]:
    return {
        side: {
            name: sum(manifest.images[i].label == label for i in getattr(split, side))
            for label, name in enumerate(manifest.class_names)
        }
        for side in ("train", "validation", "test")
    }


def _save_split(
    out: Path, manifest: "Manifest", split: "Split", groups: Sequence[int], about: dict[str, Any]
) -> Path:
    key = sha256(json.dumps([manifest.fingerprint, about], sort_keys=True).encode()).hexdigest()[:16]
    file = out / "logs" / f"split-{key}.json"
    file.write_text(json.dumps({**asdict(split), "groups": list(groups)}), encoding="utf-8")
    return file
