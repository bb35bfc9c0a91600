from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from plainfilm.data import reading
from plainfilm.data.films import FilmError
from plainfilm.image import limits
from plainfilm.image.decode import decode

GREY = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8) * 2


def saved(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_every_mode_gives_the_same_grey(form, mode):
    if (form, mode) == ("TIFF", "P"):
        pytest.skip("Pillow writes no palette TIFF of this picture")
    assert np.abs(decode(saved(Image.fromarray(GREY).convert(mode), form)).astype(int) - GREY).max() <= 1


def test_jpeg_grey_colour_and_cmyk():
    for mode in ("L", "RGB", "CMYK"):
        grey = decode(saved(Image.fromarray(GREY).convert(mode), "JPEG", quality=95))
        assert grey.shape == GREY.shape and np.abs(grey.astype(int) - GREY).mean() < 2


def test_a_palette_with_transparency_keeps_its_grey():
    image = Image.fromarray(GREY).convert("P")
    assert np.abs(decode(saved(image, transparency=0)).astype(int) - GREY).max() <= 1


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_deep_pixels_scale_by_the_bits_in_use(bits, form):
    deep = (GREY.astype(np.uint16) << (bits - 8)) + (1 << (bits - 9))
    deep[0, 0] = (1 << bits) - 1
    expected = GREY.copy()
    expected[0, 0] = 255
    assert (decode(saved(Image.fromarray(deep), form)) == expected).all()


def test_exif_turns_the_film_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    data = saved(Image.fromarray(GREY), "JPEG", quality=95, exif=exif)
    assert decode(data).shape == GREY.shape[::-1]


def test_the_content_decides_not_the_name():
    assert decode(saved(Image.fromarray(GREY), "PNG")).shape == (40, 60)  # whatever the file was called
    with pytest.raises(FilmError, match="not a JPEG, PNG, TIFF, BMP, WebP, GIF, PNM or DICOM"):
        decode(saved(Image.fromarray(GREY), "PCX"))


@pytest.mark.parametrize("form", ["BMP", "DIB", "GIF", "PPM", "WEBP", "TIFF", "PNG"])
def test_every_form_that_is_without_loss_gives_the_same_pixels(form):
    how = {"lossless": True, "exact": True} if form == "WEBP" else {}
    picture = Image.fromarray(GREY).convert("RGB") if form == "WEBP" else Image.fromarray(GREY)
    data = saved(picture, form, **how)
    if form == "DIB":  # a bitmap without the file's header, as it stands in the clipboard: no file that anybody has
        return
    assert reading.begins_as_film(data[:132]) and not reading.foreign(data[:132])
    assert np.array_equal(decode(data), GREY)


def test_pixels_of_16_bits_of_a_pgm_are_scaled_as_those_of_a_png():
    deep = Image.fromarray((GREY.astype(np.uint16) << 4) + 3)
    assert np.array_equal(decode(saved(deep, "PPM")), GREY)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_pictures_in_one_file_are_refused_in_every_form(form):
    pictures = [Image.fromarray(GREY).convert("RGB"), Image.fromarray(255 - GREY).convert("RGB")]
    buffer = io.BytesIO()
    pictures[0].save(buffer, form, save_all=True, append_images=pictures[1:])
    with pytest.raises(FilmError, match="more than one picture"):
        decode(buffer.getvalue())


@pytest.mark.parametrize("form", ["BMP", "GIF", "PPM", "WEBP"])
def test_no_damage_to_another_form_is_more_than_a_reason(form):
    rng, source = np.random.default_rng(0), saved(Image.fromarray(GREY).convert("L"), form)
    for _ in range(200):
        data = bytearray(source[: rng.integers(2, len(source) + 1)])
        for at in rng.integers(0, min(len(data), 200), 3):
            data[at] ^= 1 << rng.integers(8)
        try:
            grey = decode(bytes(data))
        except FilmError:
            continue
        assert grey.dtype == np.uint8 and grey.ndim == 2


@pytest.mark.parametrize("form", ["BMP", "GIF", "PPM", "WEBP"])
def test_a_header_of_too_many_pixels_is_refused_before_a_pixel_is_read(form):
    """The sizes are written into the files' headers by hand: 6,000 × 6,000."""
    data = bytearray(saved(Image.fromarray(GREY), form, **({"lossless": True} if form == "WEBP" else {})))
    side = 6_000
    if form == "BMP":
        data[18:26] = struct.pack("<ii", side, side)
    elif form == "GIF":
        data[6:10] = struct.pack("<HH", side, side)
    elif form == "PPM":
        data = bytearray(data.replace(b"60 40", b"6000 6000"))
    else:
        data[21:25] = struct.pack("<I", (side - 1) | (side - 1) << 14)  # VP8L: 14 bits each
    with pytest.raises(FilmError, match="the limit is 25 megapixels"):
        decode(bytes(data))


@pytest.mark.parametrize(
    ("head", "name", "what"),
    [
        (b"\0\0\0 ftypheic", "a.heic", "HEIC picture, not read: save the film as PNG or DICOM"),
        (b"\0\0\0 ftypheic", "a.jpg", "HEIC picture"),
        (b"\0\0\0 ftypavif", "a", "AVIF picture"),
        (b"\0\0\0 ftypisom", "a.mp4", "video"),
        (b"RIFF\0\0\0\0AVI LIST", "a.avi", "video"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a.jp2", "JPEG 2000 picture"),
        (b"NRRD0004\n", "a.nrrd", "volume"),
        (b"ObjectType = Image\n", "a.mha", "volume"),
        (b"\x1f\x8b\x08", "a.nii.gz", "volume"),
        (b"\x1f\x8b\x08", "A.DCM.GZ", "packed file, not read: unpack it"),
        (b"anything", "JPCLN001.IMG", "file of pixels without a header"),
    ],
)
def test_pictures_that_are_not_read_say_what_they_are(head, name, what):
    assert reading.refusal(reading.foreign(head, name)).startswith(what)


def test_a_large_png_of_16_bits_is_a_film():
    """17.6 MB of noise in 16 bits: refused by its bytes once, where the same pixels as TIFF were read."""
    noise = np.random.default_rng(0).integers(0, 65_536, (3_000, 3_000), dtype=np.uint16)
    png = saved(Image.fromarray(noise), "PNG", compress_level=0)
    assert len(png) > 17.6e6 and np.array_equal(decode(png), decode(saved(Image.fromarray(noise), "TIFF")))


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def text_bomb() -> bytes:
    data = saved(Image.fromarray(GREY))
    body = b"k\0\0" + zlib.compress(bytes(80_000_000))
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    return data[:33] + chunk + data[33:]


def icc_bomb() -> bytes:
    data = saved(Image.fromarray(GREY))
    body = b"k\0\0" + zlib.compress(bytes(80_000_000))
    chunk = struct.pack(">I", len(body)) + b"iCCP" + body + struct.pack(">I", zlib.crc32(b"iCCP" + body))
    return data[:33] + chunk + data[33:]


def gif(frames: int) -> bytes:
    start = saved(Image.fromarray(GREY), "GIF")
    return start[:-1] + b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0" * frames + b"\x3b"


def pages(count: int) -> bytes:
    """A TIFF whose directories point on and on, then back to the first."""
    directory = struct.pack("<HHHIII", 1, 0x100, 4, 1, 60, 0)
    first = saved(Image.fromarray(GREY), "TIFF")
    at = struct.unpack("<I", first[4:8])[0]
    link = at + 2 + 12 * struct.unpack("<H", first[at : at + 2])[0]
    rest = b"".join(directory[:-4] + struct.pack("<I", len(first) + 18 * (i + 1)) for i in range(count - 1))
    return first[:link] + struct.pack("<I", len(first)) + first[link + 4 :] + rest + directory[:-4] + first[4:8]


def half_nan() -> bytes:
    values = GREY.astype(np.float32)
    values[::2] = np.nan
    return saved(Image.fromarray(values), "TIFF")


JPEG = saved(Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300), dtype=np.uint8)), "JPEG")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"\xff", "not a JPEG"),
        (b"<html>film</html>", "not a JPEG"),
        (JPEG[: len(JPEG) // 2], "damaged: image file is truncated"),
        (JPEG[:-54], "damaged: image file is truncated"),
        (JPEG[:2] + b"\xff\xda" * 101 + JPEG[2:], "more than 100 scans"),
        (bytes(17 * 2**20), "limit is 16 MB"),
        (png_header(50_000, 50_000), "limit is 25 megapixels"),
        (png_header(10_000, 9_500), "limit is 25 megapixels"),  # of which Pillow by itself would warn
        (png_header(1, 1), "shorter side"),
        (png_header(8, 2_000), "shorter side"),
        (png_header(20, 2_000), "too long and narrow"),
        (png_header(300, 300), "damaged"),
        (text_bomb(), "damaged"),
        (saved(Image.fromarray(np.full((40, 40), 7, np.uint8))), "every pixel is 7"),
        (saved(Image.fromarray(np.full((40, 40), np.nan, np.float32)), "TIFF"), "floating-point"),
        (saved(Image.fromarray(np.full((40, 40), -5, np.int32)), "TIFF"), "from -5"),
        (
            saved(Image.fromarray(GREY), "TIFF", save_all=True, append_images=[Image.fromarray(GREY)]),
            "more than one picture",
        ),
        (
            saved(Image.fromarray(GREY), "PNG", save_all=True, append_images=[Image.fromarray(GREY.T[:40, :40])]),
            "more than one",
        ),
        (icc_bomb(), "damaged"),
        (gif(100_000), "more than one picture"),
        (pages(100_000), "more than one picture"),
        (half_nan(), "floating-point"),
        (JPEG[:200] + saved(Image.fromarray(GREY)), "damaged"),
        (b"PK\x03\x04" + JPEG, "not a JPEG"),
        (bytes(128) + b"DICM" + bytes(100), "DICOM"),
    ],
)
def test_what_is_no_film_has_its_reason(data, reason):
    with pytest.raises(FilmError, match=reason):
        decode(data)


def test_flipped_bits_never_raise_anything_else():
    rng = np.random.default_rng(1)
    for source in (JPEG[:4000] + JPEG[4000:], saved(Image.fromarray(GREY)), saved(Image.fromarray(GREY), "TIFF")):
        for _ in range(60):
            data = bytearray(source)
            for at in rng.integers(0, min(len(data), 600), 3):
                data[at] ^= 1 << rng.integers(8)
            try:
                grey = decode(bytes(data))
            except FilmError:
                continue
            assert grey.dtype == np.uint8 and grey.ndim == 2


@pytest.mark.parametrize("extra", [b"PK\x05\x06" + bytes(18), b"<script>", bytes(128) + b"DICM"])
def test_what_hangs_on_after_a_picture_changes_nothing(extra):
    assert (decode(saved(Image.fromarray(GREY)) + extra) == GREY).all()


def test_limits_are_those_of_the_documentation():
    assert (limits.MAX_PIXELS, reading.MAX_BYTES, reading.MAX_OTHER) == (25_000_000, 256 * 2**20, 16 * 2**20)


@pytest.mark.parametrize(("kind", "bits"), [(np.uint8, 8), (np.uint16, 16), (np.uint16, 12)])
def test_a_tiff_whose_zeros_are_white_is_turned_whatever_its_depth(kind, bits):
    ramp = np.tile(np.linspace(0, 2**bits - 1, 64), (40, 1)).astype(kind)
    plain = saved(Image.fromarray(ramp), "TIFF")
    tag = struct.pack("<HHII", 262, 3, 1, 1)  # PhotometricInterpretation, BlackIsZero
    assert plain.count(tag) == 1
    white = decode(plain.replace(tag, struct.pack("<HHII", 262, 3, 1, 0)))
    assert np.array_equal(white, 255 - decode(plain)) and white[0, 0] == 255 and white[0, -1] == 0


def png_of_16_bits(values: np.ndarray, colour_type: int) -> bytes:
    """A PNG that Pillow does not write: (H, W, channels) of 16 bits."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_colour_and_alpha_of_16_bits_are_refused_when_the_bits_in_use_would_be_lost(colour_type, channels):
    grey = np.repeat(GREY[..., None].astype(np.uint16), channels, axis=2)
    assert np.abs(decode(png_of_16_bits(grey << 8, colour_type)).astype(int) - GREY).max() <= 1
    with pytest.raises(FilmError, match="save as 16-bit grey"):
        decode(png_of_16_bits(grey << 4, colour_type))  # 12 bits in 16
    assert (decode(png_of_16_bits(grey[..., :1] << 4, 0)) == GREY).all()
