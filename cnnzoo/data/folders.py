"""What of a folder is its owner's: all below it but litter, our own output and links to folders."""

import os
from dataclasses import dataclass
from pathlib import Path

# Beside what is hidden. Matched without case, as file systems of Windows and macOS name them.
LITTER = {
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "recycler", "recycled",
    "system volume information", "folder.htt", "ntuser.dat",  # Windows
    "__macosx", "icon\r", "network trash folder", "temporary items", "thevolumesettingsfolder",  # macOS
    "lost+found", "trash", "_trash", "recycle bin",  # Linux and others
    "#recycle", "#snapshot", "#work",  # NAS, beside what begins with @
    "_gsdata_", "sync.ffs_db", "sync.ffs_lock", "rslsync",  # GoodSync, FreeFileSync, Resilio
    "picasa.ini", "zbthumbnail.info", "digikam4.db", "albumart.pamp", "thumbnails", "_thumbnails", "thumbs",
    "_thumbs",  # photo programs
    "__pycache__", "node_modules",  # programming
}  # fmt: skip
LITTER_ENDINGS = (
    "~", ".bak", ".tmp", ".temp", ".swp", ".swo",  # editors
    ".part", ".partial", ".filepart", ".aria2", ".crdownload", ".download",  # downloads
    ".lnk", ".url", ".webloc", ":zone.identifier", "@synoeastream", "@synoresource", ".@__thumb",
    ".lrdata", ".lrcat", ".xmp", ".aae", ".thm", "_original",  # photo programs, cameras, ExifTool
)  # fmt: skip
LITTER_STARTS = (".", "~$", "@", "found.", "~lock.")

# A folder that holds one of these is output of ours, or a virtual environment.
OWN_OUTPUT = ".cnnzoo"
_NOT_DATA = {
    OWN_OUTPUT: "results of cnnzoo",
    "runs.jsonl": "results of cnnzoo",
    "trials.jsonl": "results of cnnzoo",
    "issues.csv": "results of cnnzoo",
    "pyvenv.cfg": "a virtual environment",
}
_IN_THE_CLOUD = ".icloud"  # what iCloud leaves of a file that it took away, as in `.IMG_1.JPG.icloud`


@dataclass(frozen=True)
class BadFile:
    """A file that is left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """What lies in a folder or below it: sorted paths, and those that no image can be read from, with why."""

    folders: tuple[Path, ...]
    files: tuple[Path, ...]
    bad: tuple[tuple[Path, str], ...]
    passed_over: tuple[tuple[Path, str], ...]


def is_litter(name: str) -> bool:
    """Says whether a file or folder of this name is hidden, or left by a system, cloud, NAS or editor."""
    folded = name.lower()
    return (
        folded in LITTER
        or folded.startswith(LITTER_STARTS)
        or folded.endswith(LITTER_ENDINGS)
        or (folded.startswith("#") and folded.endswith("#"))
    )


def no_data(folder: Path) -> str:
    """Says why a folder holds no data of the user's, such as output of ours; empty where it may."""
    return next((what for name, what in _NOT_DATA.items() if (folder / name).exists()), "")


def look_into(folder: Path, *, follow: bool = False) -> Listing:
    """Lists what lies right in a folder.

    Args:
        folder: which.
        follow: take links to folders for folders, as a user may lay out his classes; else they are bad.
    """
    folders: list[Path] = []
    files: list[Path] = []
    bad: list[tuple[Path, str]] = []
    passed_over: list[tuple[Path, str]] = []
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        return Listing((), (), ((folder, error.strerror or "can't be opened"),), ())
    for entry in entries:
        name, path = entry.name, folder / entry.name
        if name.startswith(".") and name.endswith(_IN_THE_CLOUD):
            bad.append((path, "not on this machine but in iCloud; download it first"))
        elif is_litter(name):
            continue
        elif entry.is_file(follow_symlinks=False):  # the listing says so: no look at each of many thousands
            files.append(path)
        elif path.is_symlink() and not path.exists():
            bad.append((path, "a link that leads nowhere"))
        elif path.is_file():
            files.append(path)
        elif not path.is_dir():
            bad.append((path, "no regular file"))  # reading a pipe would wait for ever
        elif reason := no_data(path):
            passed_over.append((path, reason))
        elif path.is_symlink() and not follow:
            bad.append((path, "a link to a folder; not followed"))
        else:
            folders.append(path)
    return Listing(tuple(folders), tuple(files), tuple(bad), tuple(passed_over))


def look_below(folder: Path) -> Listing:
    """Lists all files below a folder, sorted by path."""
    waiting = [folder]
    files: list[Path] = []
    bad: list[tuple[Path, str]] = []
    passed_over: list[tuple[Path, str]] = []
    folders: list[Path] = []
    while waiting:
        here = look_into(waiting.pop())
        waiting += here.folders
        folders += here.folders
        files += here.files
        bad += here.bad
        passed_over += here.passed_over
    return Listing(
        tuple(sorted(folders)),
        tuple(sorted(files, key=Path.as_posix)),
        tuple(sorted(bad)),
        tuple(sorted(passed_over)),
    )


def mark_as_output(folder: Path) -> None:
    """Marks a folder as output of ours, so that no scan of a folder above takes its pictures for data."""
    (folder / OWN_OUTPUT).touch()
