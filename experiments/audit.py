"""`python -m experiments.audit DIR…`: what in a folder of images would make a comparison dishonest."""

import argparse
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.data.audit.summary import given_leaks
from cnnzoo.errors import InputError
from cnnzoo.files import file_stem
from experiments.auditing.issues import DOUBTFUL, Issue, issue_of_pair, issues_of, write_csv
from experiments.auditing.sentences import say_classes, say_findings, say_given_leaks, say_leak
from experiments.auditing.sheets import draw_pairs, draw_sheets
from experiments.cli.arguments import Parser, check_apart, existing_name, make_folders
from experiments.cli.process import called, exit_code

if TYPE_CHECKING:
    from cnnzoo.data.audit.findings import Audit
    from cnnzoo.data.manifest import Manifest


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog=called("audit"),
        description="Find copies; turned, mirrored, shifted and re-encoded images; runs of neighbours; "
        "doubtful labels, odd exposure, focus and sizes; files that can't be read. With several folders, as "
        "in `audit train/ test/`, also what leaks from one into another.",
        epilog="Exit code: 0 the audit was made, whatever it found; 2 an argument or a folder can't be used.",
    )
    parser.add_argument(
        "folders",
        metavar="DIR",
        nargs="+",
        type=existing_name,
        help="a folder with a folder of images per class, also one already split into train, val and test, "
        "or a CSV file with the columns path,class",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("audit"), help="folder for the results (default: audit)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="images per class, at most")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Audits every folder and every two of them. Returns the exit code."""
    options = parse_arguments(arguments)
    from cnnzoo.data.audit.examine import audit_manifest, twins_between
    from cnnzoo.data.manifest import build_manifest

    if len({folder.resolve() for folder in options.folders}) < len(options.folders):
        raise InputError("a folder is named twice")
    check_apart(options.out, options.folders)
    manifests = [build_manifest(folder, limit=options.limit, skip_bad=True) for folder in options.folders]
    make_folders(options.out, [""])
    issues: list[Issue] = []
    names = _names(options.folders)
    for name, folder, manifest in zip(names, options.folders, manifests, strict=True):
        say_classes(folder, manifest)
        audit = audit_manifest(manifest)
        issues += issues_of(manifest, audit)
        say_findings(manifest, audit)
        draw_sheets(options.out, name, manifest, audit)
        if manifest.already_split:
            issues += _leaks(options.out, name, manifest, audit)
        # Every image and its group, for `compare --groups` once somebody has corrected them.
        groups = zip((image.path for image in manifest.images), audit.groups, strict=True)
        write_csv(options.out / f"groups-{name}.csv", ("path", "group"), groups)
    for a, b in combinations(range(len(manifests)), 2):
        first, second = manifests[a], manifests[b]
        found = twins_between(first, second)
        issues += [issue_of_pair(first, second, twin, "leak") for twin in found.twins]
        issues += [issue_of_pair(first, second, twin, DOUBTFUL) for twin in found.doubtful]
        say_leak(first, second, found)
        draw_pairs(options.out / f"leak-{names[a]}-{names[b]}.jpg", first, second, found.twins)
    write_csv(options.out / "issues.csv", Issue._fields, issues)
    print(f"\nResults are written to {options.out}: issues.csv ({len(issues):,} lines), groups and pictures.")
    return 0


def _leaks(out: Path, name: str, manifest: "Manifest", audit: "Audit") -> list[Issue]:
    """Says and draws what leaks between the sides of a folder that is already split."""
    leaks = given_leaks(manifest, audit)
    say_given_leaks(manifest, leaks)
    for (first, second), leaked in leaks.items():
        draw_pairs(out / f"leak-{name}-{first}-{second}.jpg", manifest, manifest, list(leaked.values()))
    return [
        issue_of_pair(manifest, manifest, twin, f"leak_{first}_{second}")
        for (first, second), leaked in leaks.items()
        for twin in leaked.values()
    ]


def _names(folders: Sequence[Path]) -> list[str]:
    """A name for the pictures of each folder: its own, with a number where two are named alike."""
    names: list[str] = []
    for folder in folders:
        path = folder.resolve()
        name = file_stem(path.name if path.is_dir() else path.stem)
        names.append(name if name not in names else f"{name}-{len(names) + 1}")
    return names


if __name__ == "__main__":
    sys.exit(exit_code(main))
