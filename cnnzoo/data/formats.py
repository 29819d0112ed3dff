"""The kinds of image files that are read, and by what their names end."""

from pathlib import Path

# MPO is what phones write as .jpg.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "HEIF": (".heic", ".heif", ".hif", ".heics", ".heifs"),
    "AVIF": (".avif", ".avifs"),
}

OTHER_SUFFIXES = (".jp2", ".jxl", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2")
IMAGE_SUFFIXES = {suffix for suffixes in FORMATS.values() for suffix in suffixes} | set(OTHER_SUFFIXES)


def is_picture(path: Path) -> bool:
    """Says whether a file is an image by its name."""
    return path.suffix.lower() in IMAGE_SUFFIXES
