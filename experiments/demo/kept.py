"""The pictures that the page was sent: where they lie, for how long, and how many bytes of them."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

KEPT_MINUTES = 10  # that a picture is kept for, at most
LOOKS_AFTER = 60  # seconds, between two looks for pictures to delete
UPLOAD_SECONDS = 300  # that a picture may take to come
MOST_KEPT = 1 << 30  # bytes of pictures at a time, those on their way among them


class Kept:
    """The page's folder of pictures, and what may be done with them.

    Attributes:
        folder: in which they lie, and nothing else does.
    """

    def __init__(self, folder: Path, most: int = MOST_KEPT) -> None:
        """Takes the folder with the examples drawn in it, which stay, and the most bytes that it may hold."""
        self.folder, self._most = folder.resolve(), most
        self._examples = {path for path, _ in self._files()}
        self._coming = 0

    def holds(self, path: str) -> bool:
        """Whether a path that a browser names lies in the folder, of a deleted picture too.

        All others get one answer: none tells what there is on this computer.
        """
        try:
            found = Path(path).resolve()
            if not Path(path).is_absolute() or self.folder not in found.parents:
                return False
            with contextlib.suppress(FileNotFoundError):
                found.stat()
        except (OSError, ValueError, RuntimeError):  # too long, with a zero byte, links in a circle
            return False
        return True

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more may be sent."""
        return sum(kept for _, kept in self._files()) + self._coming + size <= self._most

    @contextlib.contextmanager
    def coming(self, size: int) -> Iterator[None]:
        """Keeps room for what is on its way: many at once would each find all the room free."""
        self._coming += size
        try:
            yield
        finally:
            self._coming -= size

    def sweep(self) -> None:
        """Deletes what is too old, what a cancelled upload left among it: of that, Gradio keeps no list.

        A picture that has come lies in a folder of its own; one on its way, or what is left of it, doesn't.
        """
        now = time.time()
        for path, _ in self._files():
            kept = UPLOAD_SECONDS if path.parent == self.folder else 60 * KEPT_MINUTES - LOOKS_AFTER
            with contextlib.suppress(OSError):
                if path not in self._examples and path.stat().st_mtime < now - kept:
                    path.unlink()

    def _files(self) -> Iterator[tuple[Path, int]]:
        """The files that lie there now, and their bytes."""
        for path in self.folder.rglob("*"):
            with contextlib.suppress(OSError):  # deleted meanwhile
                if path.is_file():
                    yield path, path.stat().st_size
