"""`python -m experiments.audit DIR…`: what in a folder of images would make a comparison dishonest."""

import argparse
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.errors import InputError
from cnnzoo.files import file_stem
from experiments.auditing.issues import Issue, issue_of_pair, issues_of, write_csv
from experiments.auditing.sentences import say_findings, say_leak
from experiments.auditing.sheets import draw_pairs, draw_sheets
from experiments.cli.arguments import Parser
from experiments.cli.process import called, exit_code

if TYPE_CHECKING:
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
        "folders", metavar="DIR", nargs="+", type=Path, help="a folder per class in each of them"
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
    manifests = [build_manifest(folder, limit=options.limit, skip_bad=True) for folder in options.folders]
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {options.out}: {error.strerror}") from None
    issues: list[Issue] = []
    names = _names(manifests)
    for name, manifest in zip(names, manifests, strict=True):
        audit = audit_manifest(manifest)
        issues += issues_of(manifest, audit)
        say_findings(manifest, audit)
        draw_sheets(options.out, name, manifest, audit)
        # Every image and its group, for `compare --groups` once somebody has corrected them.
        groups = zip((image.path for image in manifest.images), audit.groups, strict=True)
        write_csv(options.out / f"groups-{name}.csv", ("path", "group"), groups)
    for a, b in combinations(range(len(manifests)), 2):
        first, second = manifests[a], manifests[b]
        twins = twins_between(first, second)
        issues += [issue_of_pair(first, second, twin, "leak") for twin in twins]
        say_leak(first, second, twins)
        draw_pairs(options.out / f"leak-{names[a]}-{names[b]}.jpg", first, second, twins)
    write_csv(options.out / "issues.csv", Issue._fields, issues)
    print(
        f"\nwritten: {options.out / 'issues.csv'} ({len(issues):,} lines), and groups and pictures beside it"
    )
    return 0


def _names(manifests: "Sequence[Manifest]") -> list[str]:
    """A name for the pictures of each folder: its own, with a number where two are named alike."""
    names: list[str] = []
    for manifest in manifests:
        name = file_stem(manifest.root.resolve().name)
        names.append(name if name not in names else f"{name}-{len(names) + 1}")
    return names


if __name__ == "__main__":
    sys.exit(exit_code(main))
