"""Every kind of image file against pixels worked out by hand or by another decoder."""

import io
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from cnnzoo.data.images import load_images, read_image, resize_image
from cnnzoo.errors import InputError

pillow_heif.register_heif_opener()  # pi_heif, which the library reads with, writes none

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (12, 20, 3), dtype=np.uint8)
SMOOTH = cv2.resize(RNG.integers(0, 256, (4, 5, 3), dtype=np.uint8), (80, 64), interpolation=cv2.INTER_CUBIC)


def bytes_of(image, kind, **arguments):
    buffer = io.BytesIO()
    image.save(buffer, kind, **arguments)
    return buffer.getvalue()


def saved(folder, image, name, **arguments):
    image.save(folder / name, **arguments)
    return read_image(folder / name).astype(int)


def over_white(rgba):
    alpha = rgba[..., 3:].astype(float) / 255
    return np.round(rgba[..., :3] * alpha + 255 * (1 - alpha))


def png(width, height, depth, color, rows, extra=b""):
    """A PNG from raw rows, after the specification; `extra` holds chunks that come before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + pixels + chunk(b"IEND", b"")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.webp", "ä é 木.png", "two\nlines.png", "no_suffix"])
def test_lossless_files_come_back_as_they_are(tmp_path, name):
    kind = {"bmp": "BMP", "webp": "WEBP"}.get(name.rpartition(".")[2], "PNG")
    options = {"lossless": True} if kind == "WEBP" else {}
    (tmp_path / name).write_bytes(bytes_of(Image.fromarray(NOISE), kind, **options))
    image = read_image(tmp_path / name)
    assert image.dtype == np.uint8
    assert image.flags.writeable
    assert np.array_equal(image, NOISE)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}], ids=str)
def test_a_jpeg_is_what_opencv_reads(tmp_path, options):
    image = saved(tmp_path, Image.fromarray(SMOOTH), "a.jpg", quality=90, **options)
    other = cv2.cvtColor(cv2.imread(str(tmp_path / "a.jpg")), cv2.COLOR_BGR2RGB)
    assert np.abs(image - other).max() <= 3  # another build of libjpeg


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif"])
def test_grey_has_three_equal_channels(tmp_path, suffix):
    grey = NOISE[..., 0]
    image = saved(tmp_path, Image.fromarray(grey), f"a.{suffix}")
    assert np.array_equal(image, np.dstack([grey] * 3))


def test_a_grey_jpeg_has_three_equal_channels(tmp_path):
    image = saved(tmp_path, Image.fromarray(SMOOTH[..., 0]), "a.jpg", quality=95)
    assert np.abs(image - SMOOTH[..., :1]).max() < 12
    assert np.array_equal(image[..., 0], image[..., 2])


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_one_bit_is_black_and_white(tmp_path, suffix):
    dark = NOISE[..., 0] > 127
    image = saved(tmp_path, Image.fromarray(dark), f"a.{suffix}")
    assert np.array_equal(image, np.dstack([dark * 255] * 3))


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif"])
def test_a_palette_is_looked_up(tmp_path, suffix):
    colours = RNG.integers(0, 256, (16, 3), dtype=np.uint8)
    indices = RNG.integers(0, 16, (12, 20), dtype=np.uint8)
    picture = Image.fromarray(indices).copy()
    picture.putpalette(colours.tobytes())
    assert picture.mode == "P"
    assert np.array_equal(saved(tmp_path, picture, f"a.{suffix}"), colours[indices])


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_transparent_palette_colour_lies_on_white(tmp_path, suffix):
    colours = RNG.integers(0, 200, (16, 3), dtype=np.uint8)
    indices = RNG.integers(0, 16, (12, 20), dtype=np.uint8)
    picture = Image.fromarray(indices).copy()
    picture.putpalette(colours.tobytes())
    image = saved(tmp_path, picture, f"a.{suffix}", transparency=3)
    colours[3] = 255
    assert np.array_equal(image, colours[indices])


def test_a_palette_with_alpha_per_colour_lies_on_white(tmp_path):
    colours = np.array([[200, 0, 0, 255], [0, 100, 0, 128], [0, 0, 50, 0]], np.uint8)
    extra = chunk(b"PLTE", colours[:, :3].tobytes()) + chunk(b"tRNS", colours[:, 3].tobytes())
    (tmp_path / "a.png").write_bytes(png(3, 1, 8, 3, b"\0\0\1\2", extra))
    assert np.abs(read_image(tmp_path / "a.png")[0].astype(int) - over_white(colours)).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_alpha_lies_on_white(tmp_path, suffix):
    rgba = np.dstack([NOISE, RNG.integers(0, 256, (12, 20), dtype=np.uint8)])
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    image = saved(tmp_path, Image.fromarray(rgba), f"a.{suffix}", **options)
    assert np.abs(image - over_white(rgba)).max() <= 1


def test_grey_with_alpha_lies_on_white(tmp_path):
    image = saved(tmp_path, Image.fromarray(NOISE[..., :2]), "a.png")
    grey, alpha = NOISE[..., :1], NOISE[..., 1:2]
    assert np.abs(image - over_white(np.dstack([grey, grey, grey, alpha]))).max() <= 1


def test_one_transparent_colour_lies_on_white(tmp_path):
    data = png(2, 1, 8, 2, b"\0\1\2\3\4\5\6", chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3)))
    (tmp_path / "a.png").write_bytes(data)
    assert read_image(tmp_path / "a.png").tolist() == [[[255, 255, 255], [4, 5, 6]]]


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, channels):
    wide = RNG.integers(0, 65536, (12, 20, channels), dtype=np.uint16)
    wide[0, :3] = [[0], [65535], [300]]
    assert cv2.imwrite(str(tmp_path / "a.png"), wide)
    image = read_image(tmp_path / "a.png").astype(int)
    expected = np.broadcast_to(wide[..., ::-1] / 257, image.shape)
    assert np.abs(image - expected).max() <= (0.5 if channels == 1 else 1)


def test_an_animated_gif_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
    image = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:], duration=50)
    assert np.array_equal(image, np.broadcast_to([255, 0, 0], (4, 6, 3)))


def test_an_mpo_of_a_phone_gives_its_first_image(tmp_path):
    second = Image.new("RGB", (80, 64), "blue")
    data = bytes_of(Image.fromarray(SMOOTH), "MPO", save_all=True, append_images=[second], quality=95)
    (tmp_path / "a.jpg").write_bytes(data)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - SMOOTH).mean() < 4


def cmyk_jpeg(channels, *, ycck=False):
    """An Adobe CMYK JPEG; Pillow stores the channels inverted as Adobe does. Transform 2 says YCCK."""
    data = bytes_of(Image.fromarray(channels, mode="CMYK"), "JPEG", quality=100, subsampling=0)
    adobe = data.index(b"Adobe")
    return data[: adobe + 11] + (b"\2" if ycck else b"\0") + data[adobe + 12 :]


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
def test_cmyk_of_adobe_is_not_inverted(tmp_path):
    key = np.full(SMOOTH.shape[:2], 40, np.uint8)
    (tmp_path / "a.jpg").write_bytes(cmyk_jpeg(np.dstack([SMOOTH, key])))
    expected = (255.0 - SMOOTH) * (255 - 40) / 255
    assert np.abs(read_image(tmp_path / "a.jpg") - expected).max() < 6


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
def test_ycck_of_adobe_gives_its_colours(tmp_path):
    # libjpeg takes YCbCr of 255 - C, M, Y (jccolor.c), and Adobe's C is 255 - cyan: red where black is none.
    ycc = cv2.cvtColor(255 - SMOOTH, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    key = np.zeros(SMOOTH.shape[:2], np.uint8)
    (tmp_path / "a.jpg").write_bytes(cmyk_jpeg(np.dstack([255 - ycc, key]), ycck=True))
    image = read_image(tmp_path / "a.jpg").astype(int)
    assert np.abs(image - SMOOTH).max() < 8
    other = cv2.cvtColor(cv2.imread(str(tmp_path / "a.jpg")), cv2.COLOR_BGR2RGB)
    assert np.abs(image - other).max() < 8


# Where the corner "first row, first column" of the stored image belongs, after the EXIF standard.
TURNED = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x.transpose(1, 0, 2), 2),
    8: lambda x: np.rot90(x, 1),
}


@pytest.mark.parametrize("orientation", TURNED)
def test_exif_turns_the_image_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = TURNED[orientation](NOISE)
    assert np.array_equal(saved(tmp_path, Image.fromarray(NOISE), "a.png", exif=exif), expected)
    image = saved(tmp_path, Image.fromarray(SMOOTH), "a.jpg", exif=exif, quality=95)
    other = cv2.cvtColor(cv2.imread(str(tmp_path / "a.jpg")), cv2.COLOR_BGR2RGB)  # OpenCV reads EXIF too
    assert np.abs(image - other).max() <= 3


def test_exif_that_is_no_exif_turns_nothing(tmp_path):
    image = saved(tmp_path, Image.fromarray(SMOOTH), "a.jpg", exif=b"Exif\0\0junk junk junk", quality=95)
    assert image.shape == SMOOTH.shape


@pytest.mark.parametrize("suffix", [".tif", ".avif", ".heic"])
def test_what_phones_and_scanners_write_is_read(tmp_path, suffix):
    image = saved(
        tmp_path, Image.fromarray(SMOOTH), f"a{suffix}", **({} if suffix == ".tif" else {"quality": 95})
    )
    assert image.shape == SMOOTH.shape
    assert np.abs(image - SMOOTH).mean() < (1 if suffix == ".tif" else 4)


def test_of_several_pages_the_first_is_read(tmp_path):
    pages = [Image.fromarray(255 - NOISE)]
    image = saved(tmp_path, Image.fromarray(NOISE), "a.tiff", save_all=True, append_images=pages)
    assert np.array_equal(image, NOISE)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGBA", "LA"])
def test_a_tiff_of_any_mode_is_the_picture_that_pillow_shows(tmp_path, mode):
    picture = Image.fromarray(SMOOTH).convert(mode)
    assert np.array_equal(saved(tmp_path, picture, "a.tif"), np.asarray(picture.convert("RGB")))


def test_16_bits_of_a_tiff_are_scaled(tmp_path):
    wide = np.linspace(0, 65535, 240).reshape(12, 20).astype(np.uint16)
    image = saved(tmp_path, Image.fromarray(wide), "a.tif")
    assert np.abs(image[..., 0] - wide / 257).max() <= 0.5


def test_a_process_that_never_saw_pillow_heif_reads_heic(tmp_path):
    Image.fromarray(SMOOTH).save(tmp_path / "a.heic")
    code = (
        "import sys; from cnnzoo.data.images import read_image; "
        f"print(read_image({str(tmp_path / 'a.heic')!r}).shape, 'pillow_heif' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "(64, 80, 3) False\n"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_off_file_is_named(tmp_path, kind, share):
    data = bytes_of(Image.fromarray(SMOOTH), kind)
    path = tmp_path / "cut.img"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"cut\.img: "):
        read_image(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"not an image at all", "not a JPEG"),
        (b"BM, said the text, and went on", "damaged header"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF image with a damaged header"),
        (b"\0" * 128 + b"DICM and more", "DICOM files are not read; convert"),
        (bytes_of(Image.fromarray(NOISE[..., 0].astype(np.float32)), "TIFF"), "floating point"),
        (bytes_of(Image.fromarray(NOISE), "TIFF", tiffinfo={50706: b"\1\4\0\0"}), "camera raw files are not"),
    ],
)
def test_what_is_no_image_is_named_in_one_line(tmp_path, data, reason):
    path = tmp_path / "two\nlines"
    path.write_bytes(data)
    with pytest.raises(InputError, match=reason) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    assert r"two\nlines" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.png: No such file"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(InputError, match="Is a directory"):
        read_image(tmp_path)


@pytest.mark.parametrize("side", [10_001, 13_000, 20_000])  # below, between and above Pillow's own limits
@pytest.mark.parametrize("kind", ["png", "bmp", "gif", "jpg"])
def test_over_100_megapixels_is_refused_before_decoding(tmp_path, kind, side):
    if kind == "png":
        data = png(side, side, 8, 2, b"")
    elif kind == "bmp":
        data = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, side, side, 1, 24, *[0] * 6)
    elif kind == "gif":
        frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x08\0;"
        data = b"GIF89a" + struct.pack("<HHBBB", side, side, 0, 0, 0) + frame
    else:
        data = bytes_of(Image.new("RGB", (8, 8)), "JPEG")
        size = data.index(b"\xff\xc0") + 5
        data = data[:size] + struct.pack(">HH", side, side) + data[size + 4 :]
    (tmp_path / "huge").write_bytes(data)
    with pytest.raises(InputError, match=r"huge: .*over 100 megapixels"):
        read_image(tmp_path / "huge")


def test_shrinking_averages_and_growing_interpolates():
    image = RNG.integers(0, 256, (60, 40, 3), dtype=np.uint8)
    blocks = image.reshape(20, 3, 20, 2, 3).mean(axis=(1, 3))
    assert np.abs(resize_image(image, 20) - blocks).max() <= 0.51
    ramp = np.broadcast_to(np.arange(0, 200, 20, dtype=np.uint8)[:, None], (10, 10))
    grown = resize_image(np.dstack([ramp] * 3), 40)[:, 0, 0].astype(int)
    assert (np.diff(grown) >= 0).all()
    assert np.abs(grown[2:-2] - (np.arange(2, 38) * 5 - 7.5)).max() <= 1
    assert np.array_equal(resize_image(NOISE[:, :12], 12), NOISE[:, :12])


def test_a_strip_is_averaged_along_its_long_side():
    strip = RNG.integers(0, 256, (4, 640, 3), dtype=np.uint8)
    resized = resize_image(strip, 64)
    expected = strip.reshape(4, 64, 10, 3).mean(axis=2)
    assert resized.shape == (64, 64, 3)
    assert np.abs(resized[[0, -1]] - expected[[0, -1]]).max() <= 1


def test_many_files_are_read_in_order_into_a_given_array(tmp_path):
    paths = []
    for i in range(20):
        Image.new("RGB", (30, 20), (i, 2 * i, 3 * i)).save(tmp_path / f"{i}.png")
        paths.append(tmp_path / f"{i}.png")
    out = np.memmap(tmp_path / "all", np.uint8, "w+", shape=(20, 8, 8, 3))
    assert load_images(paths, 8, progress=False, out=out) is out
    assert out[:, 3, 3].tolist() == [[i, 2 * i, 3 * i] for i in range(20)]
    assert np.array_equal(load_images(paths, 8), out)
    assert load_images([], 8).shape == (0, 8, 8, 3)
    with pytest.raises(InputError, match="gone"):
        load_images([*paths, tmp_path / "gone"], 8, progress=False)
