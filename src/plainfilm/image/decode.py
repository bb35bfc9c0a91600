"""Bytes of a film -> grey pixels, under limits. Every input is hostile until it is through here.

This is the plain way, which decodes every pixel; ``reduced.py`` beside it is the fast one for large JPEG films.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from plainfilm.data import dicom as headers
from plainfilm.data.films import FilmError
from plainfilm.data.reading import foreign, most_bytes, refusal
from plainfilm.image import dicom
from plainfilm.image.limits import LARGE, check_size, room_for
from plainfilm.machine.memory import give_back

if TYPE_CHECKING:
    from pydicom import Dataset

FEW = 32  # grey values, of 256
BITS = 258  # TIFF's tag of the bits a channel
PHOTOMETRIC = 262  # TIFF's tag that says what zero means
RULES = 3  # raised whenever a film's bytes give other pixels than before, or none: stored ones are then made anew
MAX_SCANS = 100  # of a progressive JPEG; each costs a pass over all pixels
SCAN = re.compile(b"\xff\xda")  # how one begins; looked for three times faster so than by bytes.count
# What Pillow reads them with. The content decides, never the file's name.
PLUGINS = (JpegImageFile, PngImageFile, TiffImageFile, BmpImageFile, WebPImageFile, GifImageFile, PpmImageFile)
FORMATS = tuple(Image.OPEN[plugin.format] for plugin in PLUGINS)


class Decoded(NamedTuple):
    """All (H, W) uint8 pixels of a film, and the header of a DICOM film."""

    grey: np.ndarray
    header: Dataset | None


def decode(data: bytes) -> np.ndarray:
    """Return the (H, W) uint8 grey image in ``data``: JPEG, PNG, TIFF, BMP, WebP, GIF, PNM or DICOM, of 8 to 16 bits.

    A picture is turned as its EXIF says, a DICOM film is windowed as its header says; colour becomes luminance
    (ITU-R BT.601). FilmError with the reason when it is not a film that can be used.
    """
    return decoded(data).grey


def decoded(data: bytes) -> Decoded:
    """Return what ``decode`` does, with the header that it read on the way. FilmError as there."""
    check_bytes(data)
    with damage_named():
        header = headers.read(data) if headers.is_dicom(data) else None
        grey = _grey(data) if header is None else dicom.grey(header)
    if grey.size > LARGE:
        give_back()  # each thread that has decoded one would keep hundreds of megabytes
    if (grey[0] == grey[0, 0]).all() and grey.min() == grey.max():  # of most films the first row says no
        raise FilmError(f"empty picture: every pixel is {grey.flat[0]}")
    return Decoded(grey, header)


@contextmanager
def damage_named() -> Iterator[None]:
    """FilmError with the reason, whatever is raised in the block; too little memory stays what it is, the machine's
    fault and not the film's."""
    try:
        yield
    except (FilmError, MemoryError):
        raise
    except Exception as error:  # decoders of hostile bytes fail in many ways: OSError, struct, zlib, SyntaxError, …
        raise FilmError(_reason(error)) from None


def check_bytes(data: bytes) -> None:
    """FilmError when the bytes of a film are none, too many, or of a kind that would cost too much to decode."""
    if not data:
        raise FilmError("empty file")
    if what := foreign(data[:132]):
        raise FilmError(refusal(what))
    limit = most_bytes(data)
    if len(data) > limit:
        raise FilmError(f"{len(data) / 2**20:.0f} MB; the limit is {limit // 2**20} MB")
    if data[:2] == b"\xff\xd8" and any(islice(SCAN.finditer(data), MAX_SCANS, None)):
        raise FilmError(f"JPEG with more than {MAX_SCANS} scans")
    # TIFF may stand in a preamble (PS3.10, 7.1)
    if headers.is_dicom(data) and data.startswith((b"\xff\xd8\xff", b"\x89PNG")):
        raise FilmError("two formats in one file: a picture's first bytes, then DICOM")


def opened(data: bytes) -> ImageFile:
    """Return the picture in ``data`` (see PLUGINS) with its header read, no pixel decoded: `check_header` comes next.

    Like PIL.Image.open, but without its limit, which belongs to the program that uses us (and by default warns from 89
    megapixels on, and refuses from 179). UnidentifiedImageError for anything else, what Pillow raises for damage.
    """
    for read, begins_so in FORMATS:
        if begins_so and begins_so(data[:16]):
            with suppress(SyntaxError, IndexError, TypeError, struct.error):  # as Pillow: not of this format after all
                return read(io.BytesIO(data), "")
    raise UnidentifiedImageError("cannot identify image file")


def _grey(data: bytes) -> np.ndarray:
    with picture(data) as (values, white):
        if values.dtype == np.uint8:
            return values
        eight = (values >> spare_bits(values)).astype(np.uint8)
        return 255 - eight if white else eight


@contextmanager
def picture(data: bytes) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield the (H, W) grey values of a film that is no DICOM, turned as its EXIF says, and whether its zeros are
    white: uint8 (then zeros are black), or 0 to 65,535 of a wider type where the file has more than 8 bits.

    FilmError for what is no film; errors of decoders as they come.
    """
    with opened(data) as image:
        check_header(image)
        with room_for(*image.size):
            yield _upright(image)


def _upright(image: Image.Image) -> tuple[np.ndarray, bool]:
    white, wide = _white_is_zero(image), _of_16_bits(image)
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F":
        raise FilmError("floating-point pixels have no agreed range; save as 8 or 16 bits")
    if image.mode.startswith("I"):
        return np.asarray(image), white
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA"):
        image = image.convert("RGBA").convert("RGB")  # as stored; what is see-through stays
    grey = np.asarray(image.convert("L"))
    if wide and grey.max() < FEW:
        raise FilmError("colour or alpha of 16 bits with few of them in use, of which 8 are lost; save as 16-bit grey")
    return grey, False


def _of_16_bits(image: Image.Image) -> bool:
    """Whether a file has 16 bits a channel; of colour and alpha Pillow keeps the upper 8."""
    if image.format == "PNG":
        return any("16" in str(tile[3]) for tile in getattr(image, "tile", []))
    return image.format == "TIFF" and max(getattr(image, "tag_v2", {}).get(BITS, (8,)), default=8) > 8


def _white_is_zero(image: Image.Image) -> bool:
    """Whether a TIFF's zeros are white, which Pillow turns for 8 bits and leaves for 16."""
    return image.format == "TIFF" and getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0


def check_header(image: Image.Image) -> None:
    """FilmError when an opened picture, of which no pixel is decoded yet, has a size or number of pages no film has."""
    check_size(*image.size)
    if getattr(image, "is_animated", False) or (image.format == "TIFF" and _has_second_page(image)):
        raise FilmError("more than one picture in the file; save the frontal film alone")


def _has_second_page(image: Image.Image) -> bool:
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def spare_bits(values: np.ndarray) -> int:
    """Return by how many bits values of 9 to 16 bits are more than 8: the smallest bit depth that holds the maximum
    counts (12 in 16 bits is common in X-rays). FilmError for values that are no such."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65_535:
        raise FilmError(f"grey values from {low} to {high}; expected 0 to 65535")
    return max(0, high.bit_length() - 8)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "cannot identify image file" in text:
        return "not a JPEG, PNG, TIFF, BMP, WebP, GIF, PNM or DICOM picture (decided by content)"
    return f"damaged: {text[:120] or type(error).__name__}"
