"""Every form of image that is read gives Pillow's pixels, and ordinary files stay as they are."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jreid.data.forms import DEEP, DEEP_FOR_RUN, check_depth_range, to_decodable, to_pixels
from jreid.data.pixels import ImageError
from jreid.data.pixels import decode as decode_to_embed
from jreid.data.transforms import decode as decode_to_train
from jreid.errors import InputError

H, W = 17, 13  # odd, so that rows are filled up
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (H, W, 3), np.uint8)
RGBA = RNG.integers(0, 256, (H, W, 4), np.uint8)
GRAY = RGB[..., 0]
INDEX = RNG.integers(0, 16, (H, W), np.uint8)
PALETTE = RNG.integers(0, 256, (256, 3), np.uint8)
COUNTS = RNG.integers(51_200, 52_221, (H, W), np.uint16)


def saved(image, format, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def with_palette(index) -> Image.Image:
    image = Image.fromarray(index, "P")
    image.putpalette(PALETTE[: index.max() + 1].reshape(-1).tolist())
    return image


def png(pixels, color, depth, interlaced=False) -> bytes:
    """A PNG of `[h, w, channels]`, with Adam7's seven passes if interlaced."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    passes = [*passes, (1, 0, 2, 1)] if interlaced else [(0, 0, 1, 1)]
    lines = [line for y, x, dy, dx in passes for line in pixels[y::dy, x::dx] if line.size]
    raw = b"".join(b"\0" + line.astype(f">u{depth // 8}").tobytes() for line in lines)
    size = struct.pack(">IIBBBBB", *pixels.shape[1::-1], depth, color, 0, 0, int(interlaced))
    chunks = (b"IHDR", size), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def bmp(bits, data, colors=b"", compression=0, masks=b"", height=H) -> bytes:
    start = 54 + len(masks) + len(colors)
    fields = (40, W, height, 1, bits, compression, len(data), 0, 0, len(colors) // 4, 0)
    header = b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start)
    return header + struct.pack("<IiiHHIIiiII", *fields) + masks + colors + data


def lines(pixels) -> bytes:
    return b"".join(line.tobytes() + bytes(-line.nbytes % 4) for line in pixels)


def run_lengths(index, shift=0) -> bytes:
    coded = (b"".join(bytes([1, value << shift]) for value in line) for line in index.tolist())
    return b"".join(line + b"\0\0" for line in coded) + b"\0\1"


COLORS = b"".join(color.tobytes() + b"\0" for color in PALETTE)
OS2 = struct.pack("<IHHIIHHHH", 26 + len(lines(RGB)), 0, 0, 26, 12, W, H, 1, 24)
TURNED = Image.Exif()
TURNED[0x0112] = 6
SMOOTH = Image.fromarray(RGB[:4, :4]).resize((50, 61), Image.Resampling.BICUBIC)
PLAIN = {
    "PNG 1": saved(Image.fromarray(GRAY).convert("1"), "PNG"),
    "PNG L": saved(Image.fromarray(GRAY), "PNG"),
    "PNG L with a transparent level": saved(Image.fromarray(GRAY), "PNG", transparency=3),
    "PNG LA": png(RGBA[..., :2], 4, 8),
    "PNG RGB": saved(Image.fromarray(RGB), "PNG"),
    "PNG RGBA": saved(Image.fromarray(RGBA), "PNG"),
    "PNG RGB, interlaced": png(RGB, 2, 8, interlaced=True),
    "PNG RGBA, interlaced": png(RGBA, 6, 8, interlaced=True),
    "PNG P": saved(with_palette(GRAY), "PNG"),
    "PNG P of 4 bits": saved(with_palette(INDEX), "PNG", bits=4),
    "PNG P of 1 bit": saved(with_palette(INDEX % 2), "PNG", bits=1),
    "PNG P with alpha (PA)": saved(with_palette(GRAY), "PNG", transparency=bytes(range(256))),
    "PNG, turned by EXIF": saved(Image.fromarray(RGB), "PNG", exif=TURNED),
    "JPEG L": saved(SMOOTH.convert("L"), "JPEG"),
    "JPEG RGB": saved(Image.fromarray(RGB), "JPEG"),
    "JPEG YCbCr": saved(SMOOTH.convert("YCbCr"), "JPEG"),
    "JPEG of RGB coefficients": saved(SMOOTH, "JPEG", keep_rgb=True),
    "JPEG 4:4:4": saved(SMOOTH, "JPEG", subsampling="4:4:4"),
    "JPEG 4:2:2": saved(SMOOTH, "JPEG", subsampling="4:2:2"),
    "JPEG, progressive": saved(SMOOTH, "JPEG", progressive=True),
    "JPEG, turned by EXIF": saved(Image.fromarray(RGB), "JPEG", exif=TURNED),
    "BMP L": saved(Image.fromarray(GRAY), "BMP"),
    "BMP RGB": saved(Image.fromarray(RGB), "BMP"),
    "BMP RGB, top line first": bmp(24, lines(RGB), height=-H),
    "BMP RGBX": bmp(32, lines(RGBA)),
    "BMP RGBA": saved(Image.fromarray(RGBA), "BMP"),
}
MADE_PLAIN = {
    "BMP 1": saved(Image.fromarray(GRAY).convert("1"), "BMP"),
    "BMP P": saved(with_palette(GRAY), "BMP"),
    "BMP P, black-hot": bmp(8, lines(GRAY), bytes(255 - v for v in range(256) for _ in range(4))),
    "BMP P, top line first": bmp(8, lines(GRAY), COLORS, height=-H),
    "BMP P of 4 bits": bmp(4, lines(INDEX[:, :8] << 4), COLORS[:64]),
    "BMP P in run lengths": bmp(8, run_lengths(GRAY), COLORS, 1),
    "BMP P of 4 bits in run lengths": bmp(4, run_lengths(INDEX, 4), COLORS[:64], 2),
    "BMP of 15 bits": bmp(16, lines(COUNTS.astype("<u2"))),
    "BMP of 16 bits": bmp(
        16, lines(COUNTS.astype("<u2")), b"", 3, struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    ),
    "BMP of OS/2": b"BM" + OS2 + lines(RGB),
    "JPEG CMYK": saved(Image.fromarray(RGBA, "CMYK"), "JPEG"),
    "JPEG CMYK, turned by EXIF": saved(Image.fromarray(RGBA, "CMYK"), "JPEG", exif=TURNED),
}


def pillow(content) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.mark.fault("A9")
@pytest.mark.parametrize("form", [*PLAIN, *MADE_PLAIN])
def test_pixels_are_those_of_pillow(form):
    content = (PLAIN | MADE_PLAIN)[form]
    made, counts, turned = to_decodable(content)
    np.testing.assert_array_equal(decode_to_train(made), pillow(content))
    np.testing.assert_array_equal(decode_to_embed(made), pillow(content))
    assert counts is None
    assert (made == content) == (form in PLAIN)
    assert turned == form.endswith("turned by EXIF")
    assert to_decodable(made).content == made
    embedded = to_pixels(content)
    np.testing.assert_array_equal(embedded.pixels, pillow(content))
    assert embedded.turned == turned


def test_a_black_hot_palette_is_applied():
    made, *_ = to_decodable(MADE_PLAIN["BMP P, black-hot"])
    np.testing.assert_array_equal(decode_to_embed(made)[::-1, :, 0], 255 - GRAY)


@pytest.mark.fault("A9")
@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
@pytest.mark.parametrize("interlaced", [False, True])
def test_deep_images_are_stretched_or_refused(color, channels, interlaced):
    counts = RNG.integers(51_100, 52_300, (H, W, channels), np.uint16)
    content = png(counts, color, 16, interlaced)
    shown = counts[..., : channels - (color > 3)]
    with pytest.raises(ImageError, match="16 bits") as error:
        to_decodable(content)
    seen = int(shown.min()), int(shown.max())
    assert error.value.args == (DEEP, seen)
    made, found, _ = to_decodable(content, (51_200, 52_220))
    levels = np.clip((shown - 51_200.0) / (52_220 - 51_200), 0, 1) * 255
    levels = np.broadcast_to(np.floor(levels + 0.5), (H, W, 3))
    np.testing.assert_array_equal(decode_to_train(made), levels)
    np.testing.assert_array_equal(decode_to_embed(made), levels)
    np.testing.assert_array_equal(to_pixels(content, (51_200, 52_220)).pixels, levels)
    assert found == seen
    with pytest.raises(ImageError) as error:
        to_pixels(content)
    assert error.value.args == (DEEP_FOR_RUN,)
    assert 0 in levels and 255 in levels


def test_images_of_8_bits_are_not_stretched():
    content = PLAIN["PNG L"]
    assert to_decodable(content, (10, 20)).content == content


def test_little_endian_counts_are_the_same():
    """A PNG is big-endian; Pillow's `I;16` is not, nor is what numpy hands it."""
    (native, swapped) = (
        saved(Image.fromarray(counts.astype(order)), "PNG")
        for counts, order in ((COUNTS, "<u2"), (COUNTS, ">u2"))
    )
    made = [to_decodable(content, (51_200, 52_220)) for content in (native, swapped)]
    assert made[0] == made[1] != to_decodable(native, (0, 65_535))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_other_depths_are_of_no_format_that_is_read(mode):
    content = saved(Image.fromarray(COUNTS).convert(mode), "TIFF")
    with pytest.raises(ImageError, match="is not a JPEG, PNG or BMP image"):
        to_decodable(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved(Image.new("1", (9000, 9000)), "PNG"), "has 9000 x 9000 pixels, more than"),
        (saved(Image.fromarray(RGB), "GIF"), "is not a JPEG, PNG or BMP image"),
        (PLAIN["JPEG RGB"][:-100], "cannot be read"),
        (PLAIN["PNG RGB"][:-100], "cannot be read"),
        (PLAIN["BMP RGB"][:-100], "cannot be read"),
        (MADE_PLAIN["BMP P in run lengths"][:-100], "cannot be read"),
        (png(COUNTS[..., None], 0, 16)[:-100], "cannot be read"),
        (PLAIN["PNG RGB"][:-12], "cannot be read"),
        (b"", "is not a JPEG, PNG or BMP image"),
    ],
)
def test_what_cannot_be_read_is_named(content, message):
    with pytest.raises(ImageError, match=message):
        to_decodable(content, (0, 1))


@pytest.mark.parametrize("content", [*PLAIN.values(), *MADE_PLAIN.values(), png(RGB, 2, 16)])
def test_damaged_bytes_give_an_image_or_a_fault(content):
    rng = np.random.default_rng(1)
    for _ in range(20):
        damaged = np.frombuffer(content, np.uint8).copy()
        places = rng.integers(0, min(len(damaged), 120), 3)
        damaged[places] = rng.integers(0, 256, 3)
        try:
            decode_to_embed(to_decodable(damaged.tobytes(), (0, 9)).content)
        except ImageError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    "wrong", [(1,), (5, 5), (9, 2), (-1, 5), (0, 65_536), (0.0, 1.0), (0, 1, 2)]
)
def test_a_range_that_is_none_is_reported(wrong):
    with pytest.raises(InputError, match=r"config\.data\.depth_range"):
        check_depth_range(wrong)
    check_depth_range(())
    check_depth_range((51_200, 52_220))
