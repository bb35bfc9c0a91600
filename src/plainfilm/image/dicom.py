"""A DICOM film -> grey pixels as a viewer shows them, and a line that says what was done.

The order is that of PS3.3 C.11 and PS3.4 N.2: stored values -> modality LUT or rescale -> VOI LUT or window (the first
of several) -> 8 bits -> MONOCHROME1 inverted. At most 65,536 values can be stored, so the whole chain is one table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from plainfilm.data import dicom, words
from plainfilm.data.films import FilmError
from plainfilm.image.codecs import NEEDED, decompress
from plainfilm.image.limits import check_size, room_for
from plainfilm.image.views import remark, view_of

if TYPE_CHECKING:
    from pydicom import Dataset

PLAIN = {"", "CR", "DX", "DR", "RG", "OT", "SC"}  # modalities that can be a plain film (PS3.3 C.7.3.1.1.1)
FUNCTIONS = {"LINEAR", "LINEAR_EXACT", "SIGMOID"}
COLOURS = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
SIGMOID_STEPS = 4095  # that a sigmoid's 0 to 1 is told in
BLOCK = 2**18  # pixels looked up at a time, so that indices take no memory worth mentioning


class DicomFacts(NamedTuple):
    """What a film's header says, without anything that names a person."""

    patient: str  # "dicom-" and 16 hex digits; "" without PatientID
    remarks: tuple[str, ...]  # why it may be no frontal plain film: "DICOM header: lateral view"


def facts(found: Dataset) -> DicomFacts:
    """Return the facts in a header that ``data.dicom.read`` gave. FilmError where its values can't be read."""
    try:
        view, modality = view_of(found), _modality(found)
        remarks = [said for said in (remark(view), _bad_window(found)) if said]
    except Exception as error:  # values of any kind where text or a number should be
        raise FilmError(f"damaged DICOM header ({type(error).__name__})") from None
    if modality not in PLAIN:
        remarks.append(f"DICOM header: modality {modality}, no plain film")
    return DicomFacts(dicom.patient_of(found), tuple(remarks))


def grey(found: Dataset) -> np.ndarray:
    """Return the (H, W) uint8 picture of a film that ``data.dicom.read`` gave: black is what attenuates least.

    FilmError with the reason. The header is checked before a pixel is decoded. Without window or VOI LUT, 8 bits stay
    as they are and more are stretched from the smallest to the largest value in use; padding counts for neither and
    becomes black.
    """
    with readable(found):
        return _rendered(found)


@contextmanager
def readable(found: Dataset) -> Iterator[None]:
    """Let the block decode the film's pixels: its header is checked before, one of a few large films at a time, and
    damage of any kind becomes a FilmError."""
    try:
        _check(found)
        with room_for(found.Columns, found.Rows):
            yield
    except (FilmError, MemoryError):
        raise
    except Exception as error:  # messages quote values of the header: they stay here
        raise FilmError(f"damaged DICOM pixels ({type(error).__name__})") from None


def _rendered(found: Dataset) -> np.ndarray:
    if is_colour(found):
        return luminance(found)
    stored, rendering = stored_values(found), Rendering.of(found)
    some = stored if rendering.needs_ends else stored[:1]
    values, used = possible(stored) if rendering.needs_each else _ends_of(some)
    return looked_up(stored, rendering.table(values, used))


def luminance(found: Dataset) -> np.ndarray:
    """Return (H, W) uint8 pixels of a film in colour (ITU-R BT.601)."""
    return np.asarray(Image.fromarray(_pixels(found)).convert("L"))


def possible(stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all (N,) values that pixels of this type can have, ordered by their bit patterns, and (N,) whether the
    picture has them."""
    patterns = _patterns(stored)
    used = np.zeros(1 << 8 * stored.itemsize, bool)
    for start in range(0, patterns.size, BLOCK):
        used[patterns[start : start + BLOCK]] = True
    return np.arange(used.size, dtype=patterns.dtype).view(stored.dtype), used


def _ends_of(stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the same with only the smallest and the largest value marked, in a tenth of the time."""
    used = np.zeros(1 << 8 * stored.itemsize, bool)
    used[_patterns(np.array([stored.min(), stored.max()]))] = True
    return np.arange(used.size, dtype=f"u{stored.itemsize}").view(stored.dtype), used


def _patterns(stored: np.ndarray) -> np.ndarray:
    return stored.view(f"u{stored.itemsize}").reshape(-1)


def looked_up(stored: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the (H, W) entries of ``table``, one for each of the ``possible`` values, for the stored ones."""
    patterns = _patterns(stored)
    result = np.empty(patterns.size, table.dtype)
    for start in range(0, patterns.size, BLOCK):  # "clip" checks no index, twice as fast; none is out of bounds
        np.take(table, patterns[start : start + BLOCK], out=result[start : start + BLOCK], mode="clip")
    return result.reshape(stored.shape)


# --- what the header says ---------------------------------------------------------------------------------------------


def _check(found: Dataset) -> None:  # noqa: C901 - a line for each thing that a header may lack
    """FilmError unless there is one picture within limits, of 8 to 16 bits, grey or of 8-bit colour."""
    if dicom.PIXELS not in found:
        raise FilmError("DICOM without pixels")
    frames, samples = _number(found, "NumberOfFrames", 1), _number(found, "SamplesPerPixel", 1)
    if frames > 1:  # 0 stands in films of one picture too
        raise FilmError("DICOM with more than one picture (multi-frame); save the frontal film alone")
    for name in ("Rows", "Columns", "BitsAllocated", "BitsStored"):
        if not isinstance(found.get(name), int) or found[name].value < 1:
            raise FilmError(f"DICOM header without a usable {name}")
    check_size(found.Columns, found.Rows)
    allocated, bits = found.BitsAllocated, found.BitsStored
    if allocated not in (8, 16) or not 8 <= bits <= allocated:
        raise FilmError(f"DICOM with {min(bits, 999)} bits in {min(allocated, 999)}; expected 8 to 16 bits in 8 or 16")
    photometric = str(found.get("PhotometricInterpretation"))
    if photometric == "PALETTE COLOR":
        raise FilmError("DICOM in palette colours: not a plain film; convert it to PNG")
    if photometric not in {"MONOCHROME1", "MONOCHROME2"} | COLOURS:
        raise FilmError("DICOM with a photometric interpretation that is neither grey nor colour")
    if samples != (3 if is_colour(found) else 1) or (is_colour(found) and bits != 8):
        raise FilmError("DICOM whose colours do not fit its number of samples or bits")


def is_colour(found: Dataset) -> bool:
    """Whether the film is in colour, by its header."""
    return str(found.get("PhotometricInterpretation")) in COLOURS


def _modality(found: Dataset) -> str:
    """Two capitals, as those of all pictures of a chest; "other" for what else stands there."""
    text = str(found.get("Modality") or "").strip().upper()
    return text if re.fullmatch("([A-Z]{2})?", text) else "other"


def _number(found: Dataset, name: str, default: float) -> float:
    """The first value of an element as a finite number; ``default`` where there is none."""
    value = _first(found, name)
    if value is None:
        return default
    if not math.isfinite(value):
        raise FilmError(f"DICOM header with a {name} that is not finite")
    return value


def _first(found: Dataset, name: str) -> float | None:
    """The first value of an element, None where there is none, NaN where it is no number; a decimal comma, which DICOM
    does not allow, is read as devices mean it."""
    from pydicom.datadict import dictionary_VR
    from pydicom.dataelem import RawDataElement

    element: Any = found.get_item(name)
    raw = isinstance(element, RawDataElement) and isinstance(element.value, bytes)
    if raw and (element.VR or dictionary_VR(element.tag)) in ("DS", "IS"):
        text = element.value.decode("ascii", "replace").split("\\")[0].strip(" \0")
        return words.number(text) if text else None
    value: Any = found.get(name)
    if value is None or value == "":
        return None
    return float(value[0] if isinstance(value, MutableSequence) else value)


# --- stored values ----------------------------------------------------------------------------------------------------


def _pixels(found: Dataset) -> np.ndarray:
    """Return (H, W) or (H, W, 3) pixels as stored, unused high bits included; YBR becomes RGB. Read-only, perhaps."""
    from pydicom.pixels.utils import pixel_array

    syntax = str(found.file_meta.TransferSyntaxUID)
    if "NumberOfFrames" in found:  # one, as was checked, whatever it says
        del found.NumberOfFrames
    if syntax in dicom.NATIVE:
        return pixel_array(found, correct_unused_bits=False, view_only=True)
    about = {name: found.get(name) for name in NEEDED} | {"TransferSyntaxUID": syntax}
    return decompress(about, bytes(found.PixelData))


def stored_values(found: Dataset) -> np.ndarray:
    """Return (H, W) stored values, signed or not, without what else the bits above and below them hold."""
    pixels = _pixels(found)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if str(found.file_meta.TransferSyntaxUID) not in dicom.NATIVE:
        return np.ascontiguousarray(pixels)  # decoders give values
    allocated, bits = found.BitsAllocated, found.BitsStored
    high = int(_number(found, "HighBit", bits - 1))
    if not bits - 1 <= high < allocated:
        raise FilmError("DICOM header with an impossible HighBit")
    if high + 1 > bits or not _fits(pixels, bits):  # the shift back down repeats the sign bit of signed values
        pixels = pixels << (allocated - 1 - high)
        pixels >>= allocated - bits
    return np.ascontiguousarray(pixels)


def _fits(pixels: np.ndarray, bits: int) -> bool:
    """Whether all values have ``bits``, so that the bits above hold nothing but their sign."""
    if pixels.dtype.itemsize * 8 == bits:
        return True
    if pixels.dtype.kind == "u":
        return int(pixels.max()) < 1 << bits
    return -(1 << bits - 1) <= int(pixels.min()) and int(pixels.max()) < 1 << bits - 1


# --- from stored values to 8 bits -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lut:
    """A look-up table: ``values[0]`` is for ``first`` and below, the last one for all above (PS3.3 C.11.1.1)."""

    first: int
    values: np.ndarray  # (N,) float64
    full: float  # the largest value it can give

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the table's values for the numbers ``x``."""
        return np.asarray(self.values[np.clip(np.rint(x) - self.first, 0, len(self.values) - 1).astype(np.int64)])


@dataclass(frozen=True)
class Rendering:
    """How stored values become grey, read from the header once."""

    bits: int
    slope: float
    intercept: float
    modality: Lut | None
    voi: Lut | None
    window: tuple[float, float, str] | None  # centre, width, function
    inverted: bool
    padding: tuple[float, float] | None  # stored values that are no picture

    @classmethod
    def of(cls, found: Dataset) -> Rendering:
        """Return the rendering that the header asks for; FilmError when that can't be done."""
        signed = _number(found, "PixelRepresentation", 0) == 1
        intercept = _number(found, "RescaleIntercept", 0)
        return cls(
            found.BitsStored,
            _number(found, "RescaleSlope", 1),
            intercept,
            _lut(found, "ModalityLUTSequence", signed),
            _lut(found, "VOILUTSequence", signed or intercept < 0),
            _window(found),
            found.PhotometricInterpretation == "MONOCHROME1",
            _padding(found, signed),
        )

    @property
    def needs_each(self) -> bool:
        """Whether ``table`` needs to know of each value if it is in the picture, and not of the ends alone: padding may
        be the end, and a table of the modality's may take the middle farther than the ends."""
        return self.padding is not None or self.modality is not None

    @property
    def needs_ends(self) -> bool:
        """Whether ``table`` needs to know of the smallest and the largest value in the picture."""
        return not self.voi and not self.window

    @property
    def _as_stored(self) -> bool:
        return self.bits == 8 and not self.modality and (self.slope, self.intercept) == (1, 0)

    def table(self, stored: np.ndarray, used: np.ndarray) -> np.ndarray:
        """Return (N,) uint8 for (N,) stored values; ``used`` marks those that the picture holds."""
        empty = self.empty(stored, used)
        x = self.rescaled(stored)
        shown = self._shown(x, x[used & ~empty])
        if self.inverted:
            shown = 1 - shown
        shown[empty] = 0
        return np.asarray(np.rint(shown * 255), np.uint8)

    def empty(self, stored: np.ndarray, used: np.ndarray) -> np.ndarray:
        """Return (N,) which of the (N,) stored values stand for no picture; FilmError where no other is ``used``."""
        if not self.padding:
            return np.zeros(len(stored), bool)
        empty = (stored >= self.padding[0]) & (stored <= self.padding[1])
        if not (used & ~empty).any():
            raise FilmError("empty picture: every pixel is padding")
        return empty

    def rescaled(self, stored: np.ndarray) -> np.ndarray:
        """Return (N,) float64 values after the modality's table, or slope and intercept, of (N,) stored ones."""
        values = stored.astype(np.float64)
        return self.modality(values) if self.modality else values * self.slope + self.intercept

    def linear(self, x: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, float, float]:
        """Return (N,) values, and centre and width of a window by PS3.3 C.11.2.1.2 that shows them as ``table`` does.

        x: (N,) ``rescaled`` values; seen: those in the picture. The values are ``x`` unless what the header asks for is
        no straight line: then they are what its VOI LUT or sigmoid makes of them.
        """
        if self.voi:
            return self.voi(x), (self.voi.full + 1) / 2, self.voi.full + 1
        if not self.window:
            low, high = self._ends(seen)
            return x, (low + high + 1) / 2, high - low + 1
        centre, width, function = self.window
        if function == "SIGMOID":
            return windowed(x, *self.window) * SIGMOID_STEPS, (SIGMOID_STEPS + 1) / 2, SIGMOID_STEPS + 1
        exact = function == "LINEAR_EXACT"
        return x, centre + 0.5 * exact, width + exact

    def _shown(self, x: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Return 0 to 1 for the values ``x``; ``seen`` are those in the picture."""
        if self.voi:
            return np.asarray(self.voi(x) / self.voi.full)
        if self.window:
            return windowed(x, *self.window)
        low, high = self._ends(seen)
        return np.clip((x - low) / max(high - low, 1e-9), 0, 1)

    def _ends(self, seen: np.ndarray) -> tuple[float, float]:
        """Black and white of a film without a window: 8 bits stay as they are, more are stretched to those in use."""
        return (0.0, 255.0) if self._as_stored and seen.min() >= 0 else (float(seen.min()), float(seen.max()))


def windowed(x: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """Return 0 to 1 for values ``x`` under a window: PS3.3 C.11.2.1.2 (LINEAR), C.11.2.1.3 (SIGMOID, LINEAR_EXACT)."""
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (x - centre) / width, -700, 700))))
    if function == "LINEAR_EXACT":
        return np.clip((x - centre) / width + 0.5, 0, 1)
    if width == 1:  # a step: the formula's limit
        return (x > centre - 0.5).astype(np.float64)
    return np.clip((x - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def _window(found: Dataset) -> tuple[float, float, str] | None:
    """The first window; None without one, or where its width is impossible, as some devices write 0 for "none"."""
    centre, width = _first(found, "WindowCenter"), _first(found, "WindowWidth")
    if centre is None or width is None or not math.isfinite(centre) or not math.isfinite(width):
        return None
    function = str(found.get("VOILUTFunction") or "LINEAR")
    function = function if function in FUNCTIONS else "LINEAR"
    return (centre, width, function) if width >= 1 or (width > 0 and function != "LINEAR") else None


def _bad_window(found: Dataset) -> str:
    """Return a remark where a window is given that is no number: the film is shown without."""
    given = [value for name in ("WindowCenter", "WindowWidth") if (value := _first(found, name)) is not None]
    bad = not all(map(math.isfinite, given))
    return "DICOM header: its window is no number; the range of values in use is shown" if bad else ""


def _padding(found: Dataset, signed: bool) -> tuple[float, float] | None:
    """The first and last stored value that stand for no picture; the header may give them without their sign."""
    if found.get("PixelPaddingValue") in (None, ""):
        return None
    value = _number(found, "PixelPaddingValue", 0)
    ends = [value, _number(found, "PixelPaddingRangeLimit", value)]
    wrap, half = 1 << found.BitsAllocated, 1 << found.BitsAllocated - 1
    ends = [end - wrap if signed and end >= half else end for end in ends]
    return min(ends), max(ends)


def _lut(found: Dataset, name: str, signed: bool) -> Lut | None:
    """The first look-up table of a sequence, None without; FilmError when it holds less than its descriptor says."""
    sequence = found.get(name)
    if not sequence:
        return None
    entries, first, bits = (int(v) for v in sequence[0].LUTDescriptor)
    entries = entries or 65_536  # PS3.3 C.11.1.1.1: 0 stands for 2 to the 16th
    if first > 32_767 and signed:  # its sign is that of the values looked up
        first -= 65_536
    data = sequence[0].LUTData
    if isinstance(data, bytes):
        kind = "u1" if len(data) < 2 * entries else "u2"
        big = str(found.file_meta.TransferSyntaxUID) == dicom.BIG_ENDIAN
        data = np.frombuffer(data, (">" if big else "<") + kind)
    values = np.asarray(data, np.float64).reshape(-1)
    if not 8 <= bits <= 16 or len(values) < entries or entries < 2:
        raise FilmError(f"DICOM look-up table with {len(values)} of {entries} entries, of {bits} bits")
    values = values[:entries]
    largest = float(values.max())  # many say 16 bits of a table of 12: then it is white, as viewers show it
    return Lut(first, values, max(1.0, largest, float(2**bits - 1) if largest >= 2 ** (bits - 1) else 0.0))
