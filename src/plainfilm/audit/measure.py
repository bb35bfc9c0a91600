"""One pass over the films: what the audit wants to know of each, in columns that grow on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin
from scipy.ndimage import laplace

from plainfilm.data import dicom
from plainfilm.data.films import Film, FilmError, Films
from plainfilm.data.reading import READABLE
from plainfilm.errors import InputError
from plainfilm.image.decode import decoded, opened
from plainfilm.machine import ranks
from plainfilm.machine.memory import give_back
from plainfilm.machine.threads import prefetched
from plainfilm.progress import bar
from plainfilm.storage.columns import Kinds
from plainfilm.storage.grown import Code, Grown

if TYPE_CHECKING:
    from pydicom import Dataset

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
NAMES = ("file type", "colour mode", "JPEG coding", "software tag", "EXIF orientation", "view position", "maker")
LOOKS = ("mean grey", "contrast", "sharpness", "noise", "black share", "white share")


class Facts(NamedTuple):
    """What is kept of one film: numbers and names (of NUMBERS and NAMES), looks (of LOOKS), and small pictures; called
    as the columns are of which it is a row."""

    sha256: NDArray[np.uint8]  # (32,)
    sides: tuple[int, int]  # width, height
    thumbnails: NDArray[np.uint8]  # one, (THUMBNAIL, THUMBNAIL), aspect ignored
    numbers: tuple[float, ...]
    names: tuple[str, ...]
    looks: tuple[float, ...]
    histograms: NDArray[np.float32]  # (HISTOGRAM,) shares
    pixels: NDArray[np.uint8]  # (32,) SHA-256 of the grey pixels


@dataclass(frozen=True, eq=False)
class Measured:
    """The readable films of a set, with one row each: the columns are those of NUMBERS, NAMES and LOOKS."""

    films: Films  # by path, with sizes and hashes; the unreadable ones are in its quarantine
    thumbnails: NDArray[np.uint8]  # (N, THUMBNAIL, THUMBNAIL); of many films a mapped file: use a block at a time
    numbers: NDArray[np.float64]  # (N, NUMBERS), NaN where the file has no such thing
    codes: NDArray[np.int32]  # (N, NAMES) which of ``different`` each name is
    looks: NDArray[np.float64]  # (N, LOOKS)
    histograms: NDArray[np.float32]  # (N, HISTOGRAM)
    pixels: NDArray[np.uint8]  # (N, 32) SHA-256 of the grey pixels
    different: tuple[str, ...]  # names

    def __len__(self) -> int:
        return len(self.films)

    @property
    def labels(self) -> NDArray[np.object_]:
        """(N,) class names; empty where a film has none."""
        return self.films.films.labels.mapped(str, object)

    def number(self, name: str) -> NDArray[np.float64]:
        """Return (N,) one of NUMBERS or of LOOKS."""
        return self.numbers[:, NUMBERS.index(name)] if name in NUMBERS else self.looks[:, LOOKS.index(name)]

    def name(self, name: str) -> NDArray[np.object_]:
        """Return (N,) one of NAMES, each different one once in memory."""
        return np.array(self.different, object)[self.codes[:, NAMES.index(name)]]

    def at(self, rows: NDArray[np.int64]) -> Measured:
        """Return the films at ``rows`` alone, in this order."""
        return replace(self, films=self.films.at(rows), **{name: getattr(self, name)[rows] for name in ARRAYS})


ARRAYS = tuple(field.name for field in fields(Measured) if field.name not in ("films", "different"))


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
    pack = _Pack()
    with ranks.together(), bar(f"Auditing {films.name}", len(own)) as progress:
        facts = prefetched(_facts, (ordered[place] for place in own), ranks.cores(), AHEAD)  # Pillow leaves the lock
        for place, found in zip(own, facts, strict=True):
            progress.step()
            if isinstance(found, str):
                bad.append((ordered[place].path, found))
            else:
                pack.add(place, found)
    bad = [*films.quarantine, *((path, reason) for part in ranks.gathered(bad) for path, reason in part)]
    known, names = pack.columns(), pack.names.different
    if ranks.world() > 1:
        known, names = _of_all_ranks(known, names)
    with ranks.together():
        if not ranks.rank() and not len(known["place"]):
            first = f" (first: {bad[0][0]}: {bad[0][1]})" if bad else ""
            raise InputError(f"{films.name}: not one of {len(bad)} films can be read{first}; give {READABLE}.")
    good = (
        replace(ordered[int(place)], sha256=sha256.tobytes().hex(), width=int(width), height=int(height))
        for place, sha256, (width, height) in zip(*(known[name] for name in ABOUT_FILM), strict=True)
    )
    measured = films.with_films(good, quarantine=tuple(bad))
    give_back()
    return Measured(measured, **{name: known[name] for name in ARRAYS}, different=tuple(names))


ABOUT_FILM = ("place", "sha256", "sides")  # its place in the order of paths; what the film itself is given
COLUMNS: dict[str, tuple[Code, tuple[int, ...]]] = {  # of facts: the type of their numbers, and the shape of one film's
    "place": ("q", ()),
    "sha256": ("B", (32,)),
    "sides": ("q", (2,)),
    "thumbnails": ("B", (THUMBNAIL, THUMBNAIL)),
    "numbers": ("d", (len(NUMBERS),)),
    "codes": ("i", (len(NAMES),)),
    "looks": ("d", (len(LOOKS),)),
    "histograms": ("f", (HISTOGRAM,)),
    "pixels": ("B", (32,)),
}


class _Pack:
    """Facts as columns."""

    def __init__(self) -> None:
        self._columns = {name: Grown(code) for name, (code, _) in COLUMNS.items()}
        self.names = Kinds[str]()

    def add(self, place: int, facts: Facts) -> None:
        """Add the facts of the film at ``place`` in the order of paths."""
        found = {"place": place, **facts._asdict(), "codes": [self.names.code(name) for name in facts.names]}
        for name, (code, _) in COLUMNS.items():
            self._columns[name].extend(np.atleast_1d(np.array(found[name], code)))

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns of all films added."""
        return {name: self._columns[name].array.reshape(-1, *shape) for name, (_, shape) in COLUMNS.items()}


def _of_all_ranks(columns: dict[str, NDArray[Any]], names: Sequence[str]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the columns of every rank's films, by place, and all names; to the others than the first their own."""
    every = Kinds[str](name for known in ranks.gathered(list(names)) for name in known)
    own = columns | {"codes": np.array([every.code(name) for name in names], np.int32)[columns["codes"]]}
    found = {name: ranks.stacked(column) for name, column in own.items()}
    order = np.argsort(found["place"])
    return {name: column[order] for name, column in found.items()}, every.different


def _facts(film: Film) -> Facts | str:
    """Return the film's facts, or why it can't be read."""
    try:
        data = film.read()
        grey, header = decoded(data)
    except FilmError as error:
        return str(error)
    height, width = grey.shape
    numbers, names = _of_file(data, header, width, height)
    small = Image.fromarray(grey).resize((SEEN, SEEN), Image.Resampling.BOX)
    seen = np.asarray(small)
    pixels = _sha256(f"{width}x{height}".encode() + grey.tobytes())
    thumbnail = np.asarray(small.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))
    looks, histogram = _looks(grey, seen), _histogram(seen)
    return Facts(_sha256(data), (width, height), thumbnail, numbers, names, looks, histogram, pixels)


def _sha256(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(hashlib.sha256(data).digest(), np.uint8)


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


def _of_file(data: bytes, header: Dataset | None, width: int, height: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return the values of NUMBERS and of NAMES; of a file with odd tags its size only."""
    size = (len(data) / (width * height), width, height, width / height)
    try:
        return _of_picture(data, size) if header is None else _of_dicom(header, len(data), size)
    except Exception:  # a tag may be anything
        return (np.nan, *size, np.nan, np.nan, np.nan), ("tags that can't be read", *[""] * (len(NAMES) - 1))


def _of_dicom(found: Dataset, length: int, size: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Bytes a pixel are those of the pixels alone: a header's length is nothing that a network could see."""
    said = [str(found.get(key) or "").strip() for key in ("PhotometricInterpretation", "ViewPosition", "Manufacturer")]
    syntax = str(found.file_meta.TransferSyntaxUID)
    coding = "" if syntax in dicom.NATIVE else syntax
    packed = size[0] * len(found.get("PixelData") or b"") / length if coding else np.nan
    numbers = (np.nan, packed, *size[1:], float(found.get("BitsStored") or np.nan), np.nan, np.nan)
    return numbers, tuple(name[:LONGEST_NAME] for name in ("DICOM", said[0], coding, "", "", *said[1:]))


def _of_picture(data: bytes, size: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[str, ...]]:
    with opened(data) as image:
        exif = image.getexif()
        dpi = float(image.info.get("dpi", (np.nan,))[0])
        depth = 16.0 if image.mode.startswith("I") else 1.0 if image.mode == "1" else 8.0
        software = str(exif.get(EXIF_SOFTWARE) or image.info.get("Software") or "").replace("\0", " ")
        numbers = (_jpeg_quality(image), *size, depth, dpi, float(len(image.info) + len(exif)))
        orientation = str(exif.get(EXIF_ORIENTATION, ""))
        names = (str(image.format), _mode(image), _jpeg_coding(image), " ".join(software.split()), orientation, "", "")
        return numbers, tuple(name[:LONGEST_NAME] for name in names)  # a tag may be as long as the file


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
