"""`python -m experiments.audit DIR…`: what in a folder of images would make a comparison dishonest."""

import argparse
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.data.audit.summary import given_leaks
from cnnzoo.data.table import write_table
from cnnzoo.errors import InputError, printable
from cnnzoo.files import file_stem
from experiments.auditing.fix import fix_labels
from experiments.auditing.issues import DOUBTFUL, Issue, issue_of_pair, issues_of
from experiments.auditing.second_look import write_second_look
from experiments.auditing.sentences import say_classes, say_findings, say_given_leaks, say_leak
from experiments.auditing.sheets import draw_pairs, draw_sheets
from experiments.cli.arguments import Parser, check_apart, existing_name, make_folders
from experiments.cli.process import called, exit_code
from experiments.cli.say import say
from experiments.cli.stopping import tell_if_stopped

if TYPE_CHECKING:
    from cnnzoo.data.audit.findings import Audit
    from cnnzoo.data.manifest import Manifest


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog=called("audit"),
        description="Find copies; turned, mirrored, shifted, re-encoded and augmented images; runs of "
        "neighbours; labels worth a second look; odd exposure, focus and sizes; files that can't be read. "
        "With several folders, as in `audit train/ test/`, also what leaks from one into another.",
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
    parser.add_argument(
        "--verdicts",
        type=existing_name,
        action="append",
        default=[],
        metavar="OUT",
        help="results of compare on the same images, best with --folds: labels are ranked by the doubts of "
        "its trained networks too; may be repeated",
    )
    parser.add_argument(
        "--fix",
        type=existing_name,
        action="append",
        default=[],
        metavar="FILE.csv",
        help="no audit, but a list for `compare --labels` with the labels that FILE.csv gives, by path and "
        "answer: the right class, or remove; second-look-NAME.csv is made to be filled in; may be repeated",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Audits every folder and every two of them. Returns the exit code."""
    options = parse_arguments(arguments)
    tell_if_stopped("folders that are audited are kept; the same command goes on with the next one")
    from cnnzoo.data.audit.examine import twins_between
    from cnnzoo.data.manifest import build_manifest

    if len({folder.resolve() for folder in options.folders}) < len(options.folders):
        raise InputError("a folder is named twice")
    check_apart(options.out, options.folders)
    _check_alone(options)
    manifests = [build_manifest(folder, limit=options.limit, skip_bad=True) for folder in options.folders]
    names = _names(options.folders)
    if options.fix:
        fix_labels(options.fix, manifests[0], options.out, names[0])
        return 0
    make_folders(options.out, [""])
    issues: list[Issue] = []
    written: list[Path] = []
    for name, folder, manifest in zip(names, options.folders, manifests, strict=True):
        say_classes(folder, manifest)
        audit = _audited(manifest, options.verdicts)
        issues += issues_of(manifest, audit)
        say_findings(manifest, audit, name, by_networks=bool(options.verdicts))
        written += write_second_look(options.out / f"second-look-{name}.csv", manifest, audit)
        written += draw_sheets(options.out, name, manifest, audit)
        if manifest.already_split:
            leaks, drawn = _leaks(options.out, name, manifest, audit)
            issues += leaks
            written += drawn
        # Every image and its group, for `compare --groups` once somebody has corrected them.
        groups = zip((image.path for image in manifest.images), audit.groups, strict=True)
        written.append(options.out / f"groups-{name}.csv")
        write_table(written[-1], ("path", "group"), groups)
    for a, b in combinations(range(len(manifests)), 2):
        first, second = manifests[a], manifests[b]
        found = twins_between(first, second)
        issues += [issue_of_pair(first, second, twin, "leak") for twin in found.twins]
        issues += [issue_of_pair(first, second, twin, DOUBTFUL) for twin in found.doubtful]
        say_leak(first, second, found)
        written += draw_pairs(options.out / f"leak-{names[a]}-{names[b]}.jpg", first, second, found.twins)
    write_table(options.out / "issues.csv", Issue._fields, issues)
    count = f"{len(issues):,} finding{'s' * (len(issues) != 1)}" if issues else "no findings"
    others = "".join(f", {path.name}" for path in written)
    say(f"\nResults are written to {printable(options.out)}: issues.csv ({count}){others}.")
    return 0


def _check_alone(options: argparse.Namespace) -> None:
    """Checks that what speaks of one folder gets one."""
    for option, given in (("--verdicts", options.verdicts), ("--fix", options.fix)):
        if given and len(options.folders) > 1:
            raise InputError(f"{option}: takes one folder; give the others a command of their own")
    if options.fix and options.verdicts:
        raise InputError("--fix: takes answers and audits nothing; leave --verdicts out")


def _audited(manifest: "Manifest", results: Sequence[Path]) -> "Audit":
    """The audit of the images, its doubts about labels with those of the networks in `results`."""
    from cnnzoo.data.audit.examine import audit_manifest
    from experiments.auditing.verdicts import read_test_verdicts, say_verdicts, with_verdicts

    if not results:
        return audit_manifest(manifest)
    verdicts = read_test_verdicts(results, manifest)  # before the audit, which may take long
    say_verdicts(results, manifest, verdicts)
    return with_verdicts(manifest, audit_manifest(manifest), verdicts)


def _leaks(out: Path, name: str, manifest: "Manifest", audit: "Audit") -> tuple[list[Issue], list[Path]]:
    """Says and draws what leaks between the sides of a folder that is already split."""
    leaks = given_leaks(manifest, audit)
    say_given_leaks(manifest, leaks)
    written: list[Path] = []
    for (first, second), leaked in leaks.items():
        file = out / f"leak-{name}-{first}-{second}.jpg"
        written += draw_pairs(file, manifest, manifest, list(leaked.values()))
    issues = [
        issue_of_pair(manifest, manifest, twin, f"leak_{first}_{second}")
        for (first, second), leaked in leaks.items()
        for twin in leaked.values()
    ]
    return issues, written


def _names(folders: Sequence[Path]) -> list[str]:
    """A name for the pictures of each folder: its own, with a number where two are named alike."""
    names: list[str] = []
    for folder in folders:
        path = folder.resolve()
        name = file_stem(path.name if path.is_dir() else path.stem)
        candidates = (name, *(f"{name}-{number}" for number in range(2, len(folders) + 2)))
        names.append(next(candidate for candidate in candidates if candidate not in names))
    return names


if __name__ == "__main__":
    sys.exit(exit_code(main))
