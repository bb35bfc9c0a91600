"""DICOM headers, read under limits: what a film needs of them, and nothing that names a person."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from plainfilm.data import words
from plainfilm.data.films import FilmError
from plainfilm.data.identity import pseudonym

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_BYTES = 256 * 2**20  # 25 megapixels of four channels of 16 bits are 200 MB
MAX_INFLATED = 64 * 2**20  # of a deflated one: 25 megapixels of 16 bits are 50 MB
HEAD = 2**16  # bytes of a file that hold the patient in all but odd files
MAX_READS = 100_000  # steps of the parser; a film's header takes a few hundred
MAX_VALUE = 2**18  # bytes of one value other than the pixels; a look-up table has 131,072

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
NATIVE = {IMPLICIT, EXPLICIT, BIG_ENDIAN}  # pixels not compressed

PATIENT_ID, ROWS, PIXELS = 0x00100020, 0x00280010, 0x7FE00010
WANTED = (
    0x00080060,  # Modality
    0x00080070,  # Manufacturer
    PATIENT_ID,
    0x00185101,  # View Position
    0x00200020,  # Patient Orientation
    0x00200060,  # Laterality
    0x00200062,  # Image Laterality
    0x00280002,  # Samples per Pixel
    0x00280004,  # Photometric Interpretation
    0x00280006,  # Planar Configuration
    0x00280008,  # Number of Frames
    ROWS,
    0x00280011,  # Columns
    0x00280100,  # Bits Allocated
    0x00280101,  # Bits Stored
    0x00280102,  # High Bit
    0x00280103,  # Pixel Representation
    0x00280120,  # Pixel Padding Value
    0x00280121,  # Pixel Padding Range Limit
    0x00281050,  # Window Center
    0x00281051,  # Window Width
    0x00281052,  # Rescale Intercept
    0x00281053,  # Rescale Slope
    0x00281056,  # VOI LUT Function
    0x00283000,  # Modality LUT Sequence
    0x00283010,  # VOI LUT Sequence
    0x00540220,  # View Code Sequence
    PIXELS,
)
COLUMNS = {  # of a header, kept with the film as columns of a table are
    0x00080070: "Manufacturer",
    0x00080080: "InstitutionName",
    0x00081090: "ManufacturerModelName",
    0x00100040: "PatientSex",
    0x00101010: "PatientAge",
    0x00185101: "ViewPosition",
}
KEPT_AS = {"ManufacturerModelName": "ModelName", "InstitutionName": "InstitutionName (hashed)"}
LONGEST_CELL = 64  # characters, as DICOM's longest such value
_IMPORTING = threading.Lock()
_SHOULD_BE_QUIET = ("ignore", None, Warning, re.compile(r"pydicom\b"), 0)


def is_dicom(data: bytes) -> bool:
    """Whether ``data`` (132 bytes are enough) begins as DICOM: "DICM" after a preamble, or a first element without."""
    return data[128:132] == b"DICM" or _begins_with_element(data)


def _begins_with_element(data: bytes) -> bool:
    """A data set without preamble begins with group 2 (explicit VR) or group 8 (PS3.10, 7.1; PS3.5, 7.1)."""
    if data[:2] == b"\x02\0":
        return data[4:6] in (b"UL", b"OB", b"UI")
    if data[:2] == b"\x08\0":
        return data[4:6].isalpha() or data[6:8] == b"\0\0"
    return data[:3] == b"\0\x08\0" and data[4:6].isalpha()


def library() -> None:
    """Import all of pydicom that is used, by one thread while the others wait: two that begin at once can find halves
    of its modules, which refer to each other, and keep them."""
    with _IMPORTING:
        import pydicom.dataset
        import pydicom.filereader
        import pydicom.pixels.utils
        import pydicom.uid  # noqa: F401


def read(data: bytes, last: int = PIXELS, wanted: Collection[int] = WANTED) -> Dataset:
    """Return the elements ``wanted`` up to the tag ``last``, with ``file_meta.TransferSyntaxUID``.

    Nothing is decoded. FilmError for what is not DICOM, is damaged, or is out of every proportion. The messages of
    pydicom are not passed on: they quote values, and a value may be a name.
    """
    library()
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset
    from pydicom.uid import UID

    silence()
    try:
        start = 132 if data[128:132] == b"DICM" else 0
        meta = _Limited(data, start)
        group2 = read_dataset(meta, False, True, stop_when=lambda tag, _vr, _n: tag >> 16 != 2)
        syntax = str(group2.get("TransferSyntaxUID") or _syntax_of(data[meta.tell() :][:8]))
        body = meta
        if syntax == DEFLATED:
            syntax, body = EXPLICIT, _Limited(_inflate(data[meta.tell() :]))
        stop, tags = _stop_after(last, wanted), list(wanted)
        found = read_dataset(body, syntax == IMPLICIT, syntax != BIG_ENDIAN, stop_when=stop, specific_tags=tags)
        found.file_meta = FileMetaDataset()
        found.file_meta.TransferSyntaxUID = UID(syntax)
        return found
    except FilmError:
        raise
    except RecursionError:
        raise FilmError("DICOM sequences are nested too deep") from None
    except Exception as error:  # pydicom fails on hostile bytes in many ways
        raise FilmError(f"damaged DICOM header ({type(error).__name__})") from None


def about(data: bytes, whole: bool = False) -> tuple[str, dict[str, str]] | None:
    """Return (``pseudonym`` of the patient, COLUMNS of the header that have a value) of a film's first bytes, or of its
    ``whole`` file.

    Equal PatientIDs give equal names; the name alone names nobody, but whoever knows an ID can find it again: a
    pseudonym, not anonymity. Age in years; the institution as 8 hex digits of its SHA-256: sites can be told apart, and
    none is named. None when the first bytes end before all is known.
    """
    if not is_dicom(data):
        return "", {}
    try:
        found = read(data, last=ROWS, wanted=(PATIENT_ID, ROWS, *COLUMNS))
    except FilmError:  # cut off within a sequence, or damaged, which decoding will name
        return None
    if "Rows" not in found and not whole:  # every picture has Rows: once they are there, a missing ID is missing
        return None
    cells = {name: _cell(found, name) for name in COLUMNS.values()}
    return patient_of(found), {KEPT_AS.get(name, name): cell for name, cell in cells.items() if cell}


def _cell(found: Dataset, name: str) -> str:
    try:
        text = words.known(str(found.get(name) or ""))
    except Exception:  # a value of any kind
        return ""
    if name == "InstitutionName" and text:
        return hashlib.sha256(" ".join(text.lower().split()).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return words.years(text) if name == "PatientAge" else text[:LONGEST_CELL]


def patient_of(found: Dataset) -> str:
    """Return the ``pseudonym`` of the PatientID in a header that was read; "" without a usable one."""
    try:
        identity = words.patient(str(found.get("PatientID") or ""))
    except Exception:  # a value of any kind
        return ""
    return pseudonym(identity) if identity else ""


def silence() -> None:
    """Keep pydicom's warnings from the terminal: they are about a film's header, and quote it."""
    if _SHOULD_BE_QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"pydicom\b")


class _Limited(io.BytesIO):
    """Bytes that can be read in a limited number of steps, so that a header can't take time or memory without end.

    What is larger than any value but the pixels is a view of ``data``, not a copy."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        super().__init__(data)
        self.seek(start)
        self.left = MAX_READS
        self._all = memoryview(data)

    def read(self, size: int | None = -1) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise FilmError(f"DICOM header of more than {MAX_READS // 2:,} elements")
        if size is None or size <= MAX_VALUE:
            return super().read(size)
        start = self.tell()
        return self._all[start : self.seek(min(start + size, len(self._all)))]  # type: ignore[return-value]


def _stop_after(last: int, wanted: Collection[int]) -> Callable[[int, str | None, int], bool]:
    """Stop behind ``last``, or behind the pixels: what follows them may be anything, zeros without end as well."""
    before = 0

    def stop(tag: int, _vr: str | None, length: int) -> bool:
        nonlocal before
        if tag in wanted and tag != PIXELS and MAX_VALUE < length < 0xFFFFFFFF:
            raise FilmError(f"DICOM header with a value of {length:,} bytes")
        done = tag > last or before == PIXELS
        before = tag
        return done

    return stop


def _syntax_of(element: bytes) -> str:
    """The transfer syntax of a data set that does not name it, by its first element."""
    if len(element) < 8:
        raise FilmError("DICOM without a data set")
    big = struct.unpack("<H", element[:2])[0] > struct.unpack(">H", element[:2])[0]
    if element[4:6].isalpha():
        return BIG_ENDIAN if big else EXPLICIT
    return IMPLICIT


def _inflate(data: bytes) -> bytes:
    plain = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, MAX_INFLATED + 1)
    if len(plain) > MAX_INFLATED:
        raise FilmError(f"larger than {MAX_INFLATED // 2**20} MB when inflated")
    return plain
