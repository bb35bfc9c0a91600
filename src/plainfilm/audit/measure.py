"""One pass over the films: what the audit wants to know of each, little enough to keep for a hundred thousand."""

from __future__ import annotations

import hashlib
import io
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin
from scipy.ndimage import laplace

from plainfilm.data.films import Film, FilmError, Films
from plainfilm.errors import InputError
from plainfilm.image.decode import decode
from plainfilm.progress import bar

THUMBNAIL = 32  # side, pixels
SEEN = 256  # side at which grey values and sharpness are measured, so that the film's size does not enter
CROP = 512  # side of the middle piece in which noise is measured, at the film's own size
HISTOGRAM = 16  # bins of grey values
AHEAD = 64  # films read before they are asked for
STANDARD_TABLE = 57.625  # mean of the luminance table in ITU-T T.81, Annex K, which libjpeg calls quality 50
EXIF_ORIENTATION, EXIF_SOFTWARE = 0x0112, 0x0131

NUMBERS = (
    "JPEG quality",
    "bytes per pixel",
    "width",
    "height",
    "aspect",
    "bit depth",
    "dots per inch",
    "tags in the file",
)
NAMES = ("file type", "colour mode", "JPEG coding", "software tag", "EXIF orientation")
LOOKS = ("mean grey", "contrast", "sharpness", "noise", "black share", "white share")


class Facts(NamedTuple):
    """What is kept of one film: numbers and names (of NUMBERS and NAMES), looks (of LOOKS), and small pictures."""

    film: Film
    numbers: tuple[float, ...]
    names: tuple[str, ...]
    looks: tuple[float, ...]
    histogram: NDArray[np.float32]  # (HISTOGRAM,) shares
    thumbnail: NDArray[np.uint8]  # (THUMBNAIL, THUMBNAIL), aspect ignored
    pixels: str  # SHA-256 of the grey pixels


@dataclass(frozen=True, eq=False)
class Measured:
    """The readable films of a set, with one row each: the columns are those of NUMBERS, NAMES and LOOKS."""

    films: Films  # with sizes and hashes; the unreadable ones are in its quarantine
    numbers: NDArray[np.float64]  # (N, NUMBERS), NaN where the file has no such thing
    names: NDArray[np.str_]  # (N, NAMES)
    looks: NDArray[np.float64]  # (N, LOOKS)
    histograms: NDArray[np.float32]  # (N, HISTOGRAM)
    thumbnails: NDArray[np.uint8]  # (N, THUMBNAIL, THUMBNAIL)
    pixels: NDArray[np.str_]  # (N,)

    def __len__(self) -> int:
        return len(self.films)

    @property
    def labels(self) -> NDArray[np.str_]:
        """(N,) class names; empty where a film has none."""
        return np.array([film.label for film in self.films])


def measure(films: Films) -> Measured:
    """Read, decode and measure every film once. Unreadable ones move to the quarantine with their reason.

    InputError when none can be read.
    """
    facts: list[Facts] = []
    bad = list(films.quarantine)
    with bar(f"Auditing {films.name}", len(films)) as progress:
        for film, found in zip(films, _in_order(films), strict=True):
            progress.step()
            if isinstance(found, str):
                bad.append((film.path, found))
            else:
                facts.append(found)
    if not facts:
        first = f" (first: {bad[0][0]}: {bad[0][1]})" if bad else ""
        raise InputError(f"{films.name}: not one of {len(bad)} films can be read{first}; give JPEG, PNG or TIFF films.")
    facts.sort(key=lambda f: f.film.path)
    return Measured(
        films.with_films([f.film for f in facts], quarantine=tuple(bad)),
        np.array([f.numbers for f in facts]),
        np.array([f.names for f in facts]),
        np.array([f.looks for f in facts]),
        np.stack([f.histogram for f in facts]),
        np.stack([f.thumbnail for f in facts]),
        np.array([f.pixels for f in facts]),
    )


def _in_order(films: Films) -> Iterator[Facts | str]:
    """Yield each film's facts, or why it can't be read; one thread a core, as Pillow leaves the interpreter lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pending = iter(films)
        ahead = deque(pool.submit(_facts, film) for film in islice(pending, AHEAD))
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(pool.submit(_facts, film) for film in islice(pending, 1))


def _facts(film: Film) -> Facts | str:
    try:
        data = film.read()
        grey = decode(data)
    except FilmError as error:
        return str(error)
    height, width = grey.shape
    known = replace(film, width=width, height=height, sha256=hashlib.sha256(data).hexdigest())
    numbers, names = _of_file(data, width, height)
    small = Image.fromarray(grey).resize((SEEN, SEEN), Image.Resampling.BOX)
    seen = np.asarray(small)
    pixels = hashlib.sha256(f"{width}x{height}".encode() + grey.tobytes()).hexdigest()
    thumbnail = np.asarray(small.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))
    return Facts(known, numbers, names, _looks(grey, seen), _histogram(seen), thumbnail, pixels)


def _looks(grey: NDArray[np.uint8], seen: NDArray[np.uint8]) -> tuple[float, ...]:
    """Measure what LOOKS names: grey levels 0..255, shares 0..1; sharpness is relative to contrast."""
    top, left = (max(0, (side - CROP) // 2) for side in grey.shape)
    fine = laplace(grey[top : top + CROP, left : left + CROP].astype(np.float32))
    scaled = seen.astype(np.float32)
    contrast = max(float(scaled.std()), 1.0)
    return (
        float(scaled.mean()),
        contrast,
        float(np.abs(laplace(scaled)).mean()) / contrast,
        float(np.median(np.abs(fine))),
        float((seen < 8).mean()),
        float((seen > 247).mean()),
    )


def _histogram(seen: NDArray[np.uint8]) -> NDArray[np.float32]:
    counts = np.bincount(seen.ravel() // (256 // HISTOGRAM), minlength=HISTOGRAM)
    return (counts / seen.size).astype(np.float32)


# --- what the file tells without a look at the picture ----------------------------------------------------------------


def _of_file(data: bytes, width: int, height: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return the values of NUMBERS and of NAMES; a DICOM file shows its size only."""
    size = (len(data) / (width * height), width, height, width / height)
    if data[128:132] == b"DICM":
        return (np.nan, *size, np.nan, np.nan, np.nan), ("DICOM", "", "", "", "")
    with Image.open(io.BytesIO(data)) as image:
        exif = image.getexif()
        dpi = float(image.info.get("dpi", (np.nan,))[0])
        depth = 16.0 if image.mode.startswith("I") else 1.0 if image.mode == "1" else 8.0
        software = str(exif.get(EXIF_SOFTWARE) or image.info.get("Software") or "")
        numbers = (_jpeg_quality(image), *size, depth, dpi, float(len(image.info) + len(exif)))
        orientation = str(exif.get(EXIF_ORIENTATION, ""))
        return numbers, (str(image.format), _mode(image), _jpeg_coding(image), " ".join(software.split()), orientation)


def _jpeg_quality(image: Image.Image) -> float:
    """Return libjpeg's quality (1..100) whose luminance table has the same mean as the film's; NaN without a table."""
    tables = getattr(image, "quantization", None)
    if not tables:
        return float("nan")
    scale = 100 * float(np.mean(tables[min(tables)])) / STANDARD_TABLE
    return max(1.0, 100 - scale / 2 if scale <= 100 else 5000 / scale)


def _mode(image: Image.Image) -> str:
    """Return the colour mode; colour whose channels are all equal is called so."""
    if image.mode in ("RGB", "RGBA", "P", "CMYK", "YCbCr"):
        colours = np.asarray(image.convert("RGB").resize((64, 64)), dtype=np.int16)
        if np.ptp(colours, axis=2).max() <= 2:  # JPEG rounds the channels apart by one or two
            return f"{image.mode}, grey"
    return image.mode


def _jpeg_coding(image: Image.Image) -> str:
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return ""
    sampling = JpegImagePlugin.get_sampling(image)
    coding = "progressive" if image.info.get("progressive") else "baseline"
    return coding + {0: ", 4:4:4", 1: ", 4:2:2", 2: ", 4:2:0"}.get(sampling, "")
