"""The files that a run leaves: their names, each with the run's identity in it, and what is in them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from cnnzoo.files import file_stem, sha256_of

FOLDERS = ("models", "figures", "predictions", "logs")  # of a comparison, which runs write to
NEEDED = ("models/", "predictions/")  # a run without these is made again; without a picture it is whole

MOST_LISTED = 4  # files that a note names

State = Literal["as recorded", "missing", "changed"]


@dataclass(frozen=True)
class FileFacts:
    """What a file had in it when its run ended."""

    sha256: str
    bytes: int


def stem(name: str, identity: str) -> str:
    """Returns what the files of a run are called, so that no other run replaces them."""
    return f"{file_stem(name)}-{identity[:8]}"


def model_file(name: str, identity: str) -> str:
    """Returns where a run leaves its model, below the output folder."""
    return f"models/{stem(name, identity)}.keras"


def predictions_file(name: str, identity: str, other: str = "") -> str:
    """Returns the name of the file with the verdicts on its test images, or on another data set."""
    return f"{stem(name, identity)}{'-' if other else ''}{file_stem(other)}.csv"


def validation_file(name: str, identity: str) -> str:
    """Returns the name of the file with the verdicts on its validation images, beside the others."""
    return f"validation/{stem(name, identity)}.csv"


def mistakes_file(name: str, identity: str) -> str:
    """Returns where a run leaves the pictures of its worst mistakes."""
    return f"mistakes/{stem(name, identity)}.json"


def batch_file(name: str, identity: str) -> str:
    """Returns where a run leaves a picture of some test images with its verdicts."""
    return f"figures/test_batch-{stem(name, identity)}.jpg"


def samples_file(fingerprint: str) -> str:
    """Returns where a comparison leaves nine of its images, with their classes."""
    return f"figures/samples-{fingerprint[:8]}.jpg"


def augmented_file(name: str, identity: str) -> str:
    """Returns where a run leaves training images as the network sees them."""
    return f"figures/augmented-{stem(name, identity)}.jpg"


def files_of(name: str, identity: str, others: Iterable[str]) -> list[str]:
    """Returns every file that a run of that name leaves for good; `others` are its other data sets."""
    verdicts = [predictions_file(name, identity, other) for other in ("", *others)]
    verdicts.append(validation_file(name, identity))
    pictures = [each(name, identity) for each in (mistakes_file, batch_file, augmented_file)]
    return [model_file(name, identity), *(f"predictions/{file}" for file in verdicts), *pictures]


def facts_of(out: Path, files: Iterable[str]) -> dict[str, FileFacts]:
    """Returns what is in those of `files`, paths below `out`, that are there."""
    return {
        file: FileFacts(sha256_of(out / file), (out / file).stat().st_size)
        for file in files
        if (out / file).is_file()
    }


def state_of(out: Path, file: str, facts: FileFacts) -> State:
    """Says whether a file below `out` is still what its run left."""
    path = out / file
    try:
        if not path.is_file():
            return "missing"
        whole = path.stat().st_size == facts.bytes and sha256_of(path) == facts.sha256
    except OSError:
        return "changed"  # unreadable: nothing that can be relied on
    return "as recorded" if whole else "changed"


def not_as_recorded(out: Path, files: Mapping[str, FileFacts]) -> dict[str, State]:
    """Returns the files below `out` that are missing or changed since their run ended."""
    found = {file: state_of(out, file, facts) for file, facts in files.items()}
    return {file: state for file, state in found.items() if state != "as recorded"}


def needed(files: Iterable[str]) -> list[str]:
    """Returns the files without which a run has to be made again."""
    return [file for file in files if file.startswith(NEEDED)]


def is_below(file: str) -> bool:
    """Says whether a path of a record, which may be anybody's, stays below the output folder."""
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts and file.isprintable()


def listed(states: Mapping[str, State]) -> str:
    """Returns `models/a.keras is missing, predictions/a.csv is changed`; of many, how many more."""
    shown = [f"{file} is {state}" for file, state in states.items()]
    more = [f"and {len(shown) - MOST_LISTED} more"] if len(shown) > MOST_LISTED + 1 else []
    return ", ".join([*shown[:MOST_LISTED], *more] if more else shown)
