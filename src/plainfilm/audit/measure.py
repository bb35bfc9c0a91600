"""One pass over the films: what the audit wants to know of each, packed so that a million fit in memory."""

from __future__ import annotations

import hashlib
import io
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin
from scipy.ndimage import laplace

from plainfilm import ranks
from plainfilm.ahead import ahead
from plainfilm.data.dicom import is_dicom
from plainfilm.data.films import Film, FilmError, Films
from plainfilm.errors import InputError
from plainfilm.image.decode import FORMATS, decode
from plainfilm.memory import give_back
from plainfilm.progress import bar

THUMBNAIL = 32  # side, pixels
SEEN = 256  # side at which grey values and sharpness are measured, so that the film's size does not enter
CROP = 512  # side of the middle piece in which noise is measured, at the film's own size
HISTOGRAM = 16  # bins of grey values
AHEAD = 64  # films read before they are asked for
BLOCK = 4_096  # films that are worked on at a time
LONGEST_NAME = 64  # characters of a tag that are kept
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
    """What is kept of one film: numbers and names (of NUMBERS and NAMES), looks (of LOOKS), and small pictures; called
    as the columns are of which it is a row."""

    sha256: str
    sides: tuple[int, int]  # width, height
    thumbnails: NDArray[np.uint8]  # one, (THUMBNAIL, THUMBNAIL), aspect ignored
    numbers: tuple[float, ...]
    names: tuple[str, ...]
    looks: tuple[float, ...]
    histograms: NDArray[np.float32]  # (HISTOGRAM,) shares
    pixels: bytes  # SHA-256 of the grey pixels


@dataclass(frozen=True, eq=False)
class Measured:
    """The readable films of a set, with one row each: the columns are those of NUMBERS, NAMES and LOOKS."""

    films: Films  # by path, with sizes and hashes; the unreadable ones are in its quarantine
    thumbnails: NDArray[np.uint8]  # (N, THUMBNAIL, THUMBNAIL); of one process a mapped file: use a block at a time
    numbers: NDArray[np.float64]  # (N, NUMBERS), NaN where the file has no such thing
    names: NDArray[np.object_]  # (N, NAMES) str, each different one once in memory
    looks: NDArray[np.float64]  # (N, LOOKS)
    histograms: NDArray[np.float32]  # (N, HISTOGRAM)
    pixels: NDArray[np.bytes_]  # (N,)

    def __len__(self) -> int:
        return len(self.films)

    @property
    def labels(self) -> NDArray[np.str_]:
        """(N,) class names; empty where a film has none."""
        return np.array([film.label for film in self.films])

    def at(self, rows: NDArray[np.int64]) -> Measured:
        """Return the films at ``rows`` alone, in this order."""
        return Measured(self.films.at(rows), **{name: getattr(self, name)[rows] for name in ARRAYS})


ARRAYS = tuple(field.name for field in fields(Measured) if field.name != "films")


def blocks(count: int) -> Iterator[slice]:
    """Yield ``count`` rows, BLOCK at a time: what is worked out of a million thumbnails at once would not fit."""
    return (slice(start, start + BLOCK) for start in range(0, count, BLOCK))


def measure(films: Films) -> Measured:
    """Read, decode and measure every film once. Unreadable ones move to the quarantine with their reason.

    Processes that torchrun started take films by turns; in the end the first has all of them, the others their own.
    InputError when no film can be read.
    """
    ordered = films.films.by_path()
    own = ranks.turns(len(ordered))
    bad: list[tuple[str, str]] = []
    with ranks.together(), tempfile.TemporaryFile() as file, bar(f"Auditing {films.name}", len(own)) as progress:
        pack = _Pack(file)
        facts = ahead(_facts, (ordered[place] for place in own), ranks.cores(), AHEAD)  # Pillow leaves the lock
        for place, found in zip(own, facts, strict=True):
            progress.step()
            if isinstance(found, str):
                bad.append((ordered[place].path, found))
            else:
                pack.add(place, found)
        known = pack.columns()
    bad = [*films.quarantine, *((path, reason) for part in ranks.gathered(bad) for path, reason in part)]
    known = known if ranks.world() == 1 else _of_all_ranks(known)
    with ranks.together():
        if not ranks.rank() and not len(known["place"]):
            first = f" (first: {bad[0][0]}: {bad[0][1]})" if bad else ""
            raise InputError(
                f"{films.name}: not one of {len(bad)} films can be read{first}; give JPEG, PNG or TIFF films."
            )
    good = (
        replace(ordered[place], sha256=sha256.decode(), width=width, height=height)
        for place, sha256, (width, height) in zip(*(known[name] for name in ABOUT_FILM), strict=True)
    )
    measured = films.with_films(good, quarantine=tuple(bad))
    give_back()
    return Measured(measured, **{name: known[name] for name in ARRAYS})


ABOUT_FILM = ("place", "sha256", "sides")  # its place in the order of paths; what the film itself is given
NOTHING: dict[str, NDArray[Any]] = {  # the columns of no film: their shapes and types
    "place": np.empty(0, np.int64),
    "sha256": np.empty(0, "S64"),
    "sides": np.empty((0, 2), np.int64),
    "numbers": np.empty((0, len(NUMBERS))),
    "names": np.empty((0, len(NAMES)), object),
    "looks": np.empty((0, len(LOOKS))),
    "histograms": np.empty((0, HISTOGRAM), np.float32),
    "pixels": np.empty(0, "S32"),
}


class _Pack:
    """Facts as columns, packed a block at a time, since tuples take ten times the room; ``thumbnails`` go to a file."""

    def __init__(self, thumbnails: IO[bytes]) -> None:
        self._thumbnails = thumbnails
        self._loose: list[tuple[int, Facts]] = []
        self._packed = [dict(NOTHING)]

    def add(self, place: int, facts: Facts) -> None:
        self._thumbnails.write(facts.thumbnails.tobytes())
        self._loose.append((place, facts))
        if len(self._loose) == BLOCK:
            self._pack()

    def _pack(self) -> None:
        rows = [{"place": place, **facts._asdict()} for place, facts in self._loose]
        self._packed.append({name: np.array([r[name] for r in rows], like.dtype) for name, like in NOTHING.items()})
        self._loose = []

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns of all films added; thumbnails as a map of their file, which outlives its being closed."""
        if self._loose:
            self._pack()
        found = {name: np.concatenate([part.pop(name) for part in self._packed]) for name in NOTHING}
        shape = (len(found["place"]), THUMBNAIL, THUMBNAIL)
        self._thumbnails.flush()
        small = np.memmap(self._thumbnails, np.uint8, "r", shape=shape) if shape[0] else np.empty(shape, np.uint8)
        return found | {"thumbnails": small}


def _of_all_ranks(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the columns of every rank's films, by place; to the others than the first their own."""
    plain = columns | {"names": columns["names"].astype(f"U{LONGEST_NAME}")}
    found = {name: ranks.stacked(column) for name, column in plain.items()}
    names = [[sys.intern(name) for name in row] for row in found["names"].tolist()]
    found["names"] = np.array(names, object).reshape(-1, len(NAMES))
    order = np.argsort(found["place"])
    return {name: column[order] for name, column in found.items()}


def _facts(film: Film) -> Facts | str:
    """Return the film's facts, or why it can't be read."""
    try:
        data = film.read()
        grey = decode(data)
    except FilmError as error:
        return str(error)
    height, width = grey.shape
    numbers, names = _of_file(data, width, height)
    small = Image.fromarray(grey).resize((SEEN, SEEN), Image.Resampling.BOX)
    seen = np.asarray(small)
    pixels = hashlib.sha256(f"{width}x{height}".encode() + grey.tobytes()).digest()
    thumbnail = np.asarray(small.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))
    sha256 = hashlib.sha256(data).hexdigest()
    return Facts(sha256, (width, height), thumbnail, numbers, names, _looks(grey, seen), _histogram(seen), pixels)


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
    if is_dicom(data):
        return (np.nan, *size, np.nan, np.nan, np.nan), ("DICOM", "", "", "", "")
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        exif = image.getexif()
        dpi = float(image.info.get("dpi", (np.nan,))[0])
        depth = 16.0 if image.mode.startswith("I") else 1.0 if image.mode == "1" else 8.0
        software = str(exif.get(EXIF_SOFTWARE) or image.info.get("Software") or "").replace("\0", " ")
        numbers = (_jpeg_quality(image), *size, depth, dpi, float(len(image.info) + len(exif)))
        orientation = str(exif.get(EXIF_ORIENTATION, ""))
        names = (str(image.format), _mode(image), _jpeg_coding(image), " ".join(software.split()), orientation)
        return numbers, tuple(sys.intern(name[:LONGEST_NAME]) for name in names)  # a tag may be as long as the file


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
