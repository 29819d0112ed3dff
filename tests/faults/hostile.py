"""Images that are damaged, cut off or made to do harm, always the same ones for a seed."""

import io
import random
import struct
import zlib

import numpy as np
import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()  # pi_heif, which the library reads with, writes none

SUFFIXES = {
    "JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "GIF": ".gif", "WEBP": ".webp", "TIFF": ".tif",
    "AVIF": ".avif", "HEIF": ".heic",
}  # fmt: skip


def picture(rng, height=40, width=48):
    """A picture with something at every scale, so that all of a decoder is used."""
    steps = np.random.default_rng(rng.getrandbits(32)).integers(-9, 10, (height, width, 3))
    return Image.fromarray((128 + np.cumsum(steps, axis=1)).clip(0, 255).astype(np.uint8))


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def hostile(seed, count):
    """Yields `count` pairs of a file name and bytes: every kind of file under every damage."""
    rng = random.Random(seed)
    for number in range(count):
        kind = list(SUFFIXES)[number % len(SUFFIXES)]
        name, make = DAMAGES[number // len(SUFFIXES) % len(DAMAGES)]
        options = {"exif": exif(rng)} if kind in ("JPEG", "PNG", "WEBP", "TIFF") and number % 3 == 0 else {}
        yield f"{number:04}-{name}{SUFFIXES[kind]}", make(rng, encoded(picture(rng), kind, **options), kind)


def exif(rng):
    """EXIF with an orientation, a thumbnail's place and counts that may be anything."""
    entries = [
        (274, 3, 1, rng.choice([1, 3, 6, 8, 0, 99])),
        (rng.choice([34665, 34853, 700, 513]), rng.randrange(14), rng.getrandbits(32), rng.getrandbits(32)),
    ]
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + body + struct.pack("<I", rng.choice([0, 8, rng.getrandbits(32)]))


def cut(rng, data, kind):
    return data[: rng.randrange(len(data))]


def cut_but_for_its_end(rng, data, kind):
    return data[: rng.randrange(len(data) // 2, len(data) - 16)] + data[-12:]


def flipped(rng, data, kind):
    damaged = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 20])):
        damaged[rng.randrange(16, len(data))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def random_header(rng, data, kind):
    return data[:12] + rng.randbytes(rng.choice([8, 24, 60])) + data[36:]


def zeroed(rng, data, kind):
    start = rng.randrange(16, len(data))
    length = min(len(data) - start, rng.choice([4, 64, len(data)]))
    return data[:start] + bytes(length) + data[start + length :]


def large_numbers(rng, data, kind):
    place = rng.randrange(12, min(len(data) - 4, 120))
    return data[:place] + rng.choice([b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\0"]) + data[place + 4 :]


def inserted(rng, data, kind):
    place = rng.randrange(12, len(data))
    return data[:place] + rng.randbytes(rng.randrange(1, 200)) + data[place:]


def twice(rng, data, kind):
    return data + data


def other_kind(rng, data, kind):
    return encoded(picture(rng), rng.choice([other for other in ("PNG", "GIF", "BMP") if other != kind]))


def only_noise(rng, data, kind):
    return data[: rng.choice([0, 2, 12])] + rng.randbytes(rng.randrange(2000))


def sliver(rng, data, kind):
    height, width = rng.choice([(1, 1), (2, 2), (1, 1100), (1100, 1), (1, 9000), (3, 500)])
    # The encoders of video formats want a few pixels.
    image = picture(rng, height, width)
    return encoded(image if kind not in ("AVIF", "HEIF") else image.resize((64, 2)), kind)


def bomb(rng, data, kind):
    """Few bytes that say they are very many pixels, some 99 megapixels among them."""
    width, height = rng.choice([(50_000, 50_000), (9_900, 10_000), (2**31 - 1, 1), (65_500, 65_500)])
    if kind == "PNG":
        return png(width, height, zlib.compress(bytes(5000)))
    if kind == "GIF":
        frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width % 65536, height % 65536, 0)
        return b"GIF89a" + struct.pack("<HHBBB", 9, 9, 0, 0, 0) + frame + b"\x08\0;"
    if kind == "JPEG":
        place = data.index(b"\xff\xc0") + 5
        return data[:place] + struct.pack(">HH", height % 65536, width % 65536) + data[place + 4 :]
    if kind == "BMP":
        return data[:18] + struct.pack("<ii", width, -height) + data[26:]
    return large_numbers(rng, data, kind)


def png(width, height, pixels, extra=b""):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def text_bomb(rng, data, kind):
    """Text of 50 MB in a PNG of a few kilobytes."""
    text = b"a\0\0" + zlib.compress(bytes(50_000_000), 9)
    return png(4, 4, zlib.compress(bytes(52)), extra=chunk(b"zTXt", text)) if kind == "PNG" else data + text


DAMAGES = [
    (make.__name__, make)
    for make in (
        cut, cut_but_for_its_end, flipped, random_header, zeroed, large_numbers, inserted, twice, other_kind,
        only_noise, sliver, bomb, text_bomb,
    )
]  # fmt: skip
