"""Whose film it is: what an answer must repeat of a film's header, so that it lands in the right study.

This is the one place that reads names and IDs. They go into answers, which go where the film came from, and nowhere
else: no log, no trail, no counter.
"""

from __future__ import annotations

import hashlib
import logging
import re
import uuid
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from plainfilm.data import dicom
from plainfilm.data.films import FilmError

if TYPE_CHECKING:
    from pydicom import Dataset

CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
FILMS = {CR, DX}  # storage classes that are answered: computed radiography, digital radiography for presentation

# Patient and study as the source has them (PS3.3 C.7.1.1, C.7.2.1); type 2: empty where it has none
REPEATED = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
)
_OPTIONAL = {"StudyDescription", "IssuerOfPatientID"}
UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_FORMS = {  # of values that an archive would stumble over (PS3.5, 6.2); others are repeated as they are
    "Date": r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])",
    "Time": r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?",
    "Sex": "[MFO]",
    "Name": r"[^\\]*",
}
KNOWN = 64  # films whose identity is remembered from the door to the answer
_LONGEST = 1024  # characters of a value; a name has 64 a part, a description 64
_QUIET = ("ignore", None, Warning, re.compile(r"highdicom\b"), 0)
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


def identity(data: bytes) -> Dataset:
    """Return the elements of a DICOM film that an answer repeats, with the four UIDs that name it.

    Texts are decoded: an answer is UTF-8, whatever the film is. FilmError without usable UIDs.
    """
    return identity_by(data[: dicom.HEAD], lambda: data)


def identity_by(head: bytes, whole: Callable[[], bytes]) -> Dataset:
    """Return the ``identity`` of a film by its first dicom.HEAD bytes; ``whole`` gives all where these don't say it."""
    keep_quiet()
    return _by_head(head) or _kept(_read(whole()))


@lru_cache(KNOWN)
def _by_head(head: bytes) -> Dataset | None:
    """None where the first bytes may end before all is known: Rows stand behind it, in every picture."""
    try:
        found = _read(head)
    except FilmError:
        return None
    return _kept(found) if "Rows" in found else None


def _read(data: bytes) -> Dataset:
    dicom.library()
    from pydicom.datadict import tag_for_keyword

    names = ("SpecificCharacterSet", *REPEATED, *UIDS, "InstanceNumber")
    return dicom.read(data, dicom.ROWS, [*(int(tag_for_keyword(name) or 0) for name in names), dicom.ROWS])


def _kept(found: Dataset) -> Dataset:
    from pydicom.dataset import Dataset

    found.pop(dicom.ROWS, None)
    kept = Dataset()
    kept.SpecificCharacterSet = "ISO_IR 192"
    for name in UIDS:
        setattr(kept, name, _uid(found, name))
    try:
        found.decode()
        for name in REPEATED:
            if name in found or name not in _OPTIONAL:
                setattr(kept, name, _value(found, name))
        kept.InstanceNumber = min(max(int(found.get("InstanceNumber") or 1), 1), 2**31 - 1)
    except Exception as error:  # values of any kind; their words stay here
        raise FilmError(f"damaged DICOM header ({type(error).__name__})") from None
    return kept


def hashed(uid: str) -> str:
    """Return what stands for a UID where nobody should read it: 32 hex digits of its SHA-256."""
    return hashlib.sha256(uid.encode()).hexdigest()[:32]


def derived(*parts: str) -> str:
    """Return a UID that is the same whenever ``parts`` are (PS3.5 B.2: 2.25 and a UUID as a number)."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def keep_quiet() -> None:
    """Keep pydicom's and highdicom's remarks on values off terminal and log: they quote values, which may be names."""
    dicom.silence()
    if _QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"highdicom\b")
    for library in ("pydicom", "highdicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


def _uid(found: Dataset, name: str) -> str:
    text = str(found.get(name) or "").strip("\0 ")
    if len(text) > 64 or not _UID.fullmatch(text):
        raise FilmError(f"DICOM header without a usable {name}")
    return text


def text_of(value: Any) -> str:
    """Return what an element holds as it is written: several values with a backslash in between, none as nothing."""
    from pydicom.multival import MultiValue

    return "\\".join(map(str, value)) if isinstance(value, MultiValue) else str("" if value is None else value)


def _value(found: Dataset, name: str) -> str:
    """The text of an element without control characters; empty where it is not of the form that it must have."""
    text = "".join(c for c in text_of(found.get(name)) if c.isprintable())
    form = next((form for ending, form in _FORMS.items() if name.endswith(ending)), ".*")
    return text if len(text) <= _LONGEST and re.fullmatch(form, text) else ""
