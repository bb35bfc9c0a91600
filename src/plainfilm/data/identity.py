"""Who a film is of: where a patient's name is found, and which spellings may be one person.

A split that takes one patient for two leaks, and nobody sees it; one that takes two for one loses a little. So
whatever may be one person counts as one, and is said.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice

import numpy as np

from plainfilm.errors import InputError
from plainfilm.storage.columns import Texts

PSEUDONYM = "dicom-"  # how one begins
PSEUDONYMS = re.compile(PSEUDONYM + "[0-9a-f]{16}")

SERIES = r"((?:NORMAL2-)?IM-\d+)-\d+"  # Kermany: normal

# Names that carry the patient, by data set, with any ending. The first group is the patient.
PATIENT_PATTERNS = (
    r"(person\d+)_(?:bacteria|virus)_\d+",  # Kermany: pneumonia
    SERIES,
    r"(synthetic-p\d+)-\d+",  # our own demo set
    r"(patient\d{5})/study\d+",  # CheXpert
    r"(?:^|[/\\])p\d\d/(p\d{8})/s\d{8}",  # MIMIC-CXR
    r"(?:^|[/\\])(sub-[A-Za-z0-9]+)[/_]",  # BIDS, such as BIMCV and PadChest there
    r"(?:^|[/\\])(000\d{5})_\d{3}(?!\d)",  # NIH ChestX-ray14
)

# Words before a number that only say that a patient follows. Not "person" and "IM": Kermany's own names.
PATIENT_WORDS = r"(?:p|pt|pat|patient|patients|patientid|patient[ _-]id|id|pid|mrn|subj|subject|sub|case|no|nr)"
NUMBER = re.compile(rf"(?:{PATIENT_WORDS}[\s._:#-]*|#\s*)?0*(\d+)(?:[.,]0*)?")
GROUPED = re.compile(r"(\d{1,3}(?:[ ,'’]\d{3})+)(?:\.0*)?")  # 1,108 and 1 108
EXPONENT = re.compile(r"\d(?:[.,]\d+)?e\+\d{1,3}")  # a spreadsheet's 1.108E+03
LETTERED = re.compile(r"([^\W\d_]+)[\s._-]*0*(\d+)")  # A-0012 and a12
AROUND = re.compile(r"^[\s\"'`\ufeff\u200b\u200e\u200f]+|[\s\"'`\ufeff\u200b\u200e\u200f]+$")  # no letters of a name
SHOWN = 3  # examples in a sentence


@lru_cache(maxsize=65_536)
def key(patient: str) -> str:
    """Return what is equal for any two spellings that may be one patient, as a name of 22 letters; "" for "".

    Capitals, blanks, full-width letters, zeros in front, a float's ``.0``, separators of thousands and words such as
    ``patient`` don't count. A ``pseudonym`` of a DICOM header is its own key, and that of the ID it was made of.
    """
    if PSEUDONYMS.fullmatch(patient):
        return patient
    known = plain(patient)
    return _hashed(known) if known else ""


def pseudonym(identity: str) -> str:
    """Return what stands for a PatientID: "dicom-" and 16 hex digits of the SHA-256 of its plain form."""
    return _hashed(plain(identity))


def _hashed(known: str) -> str:
    return PSEUDONYM + hashlib.sha256(known.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def plain(patient: str) -> str:
    """Return the one form of all spellings of a patient: ``1108`` for ``00001108``, ``1108.0`` and ``p1108``."""
    text = patient.lower() if patient.isascii() else _folded(patient)
    text = AROUND.sub("", text)
    if text.isdecimal():
        return _digits(text)
    if grouped := GROUPED.fullmatch(text):
        text = re.sub(r"\D", "", grouped[1])
    elif EXPONENT.fullmatch(text):
        text = f"{float(text.replace(',', '.')):.0f}"
    if number := NUMBER.fullmatch(text):
        return _digits(number[1])
    lettered = LETTERED.fullmatch(text)
    return f"{lettered[1]}{_digits(lettered[2])}" if lettered else text


def _folded(text: str) -> str:
    """Return text without capitals, marks put together, full-width letters as plain ones: the same if done again."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return folded if folded == text else _folded(folded)


def _digits(number: str) -> str:
    """Return digits of any script as those of ASCII, without zeros in front."""
    ascii_digits = number if number.isascii() else "".join(str(unicodedata.decimal(digit)) for digit in number)
    return ascii_digits.lstrip("0") or "0"


def one_spelling(patients: Texts) -> tuple[Texts, str]:
    """Return (N,) patients, all spellings of one as the commonest, and a sentence about them; "" where there are none.

    Unknown patients stay "".
    """
    places, again = patients.ranked()
    first, films = places[~again], np.diff(np.append(np.flatnonzero(~again), len(places)))  # of each spelling
    order, alike = Texts(map(key, patients.take(first))).ranked()
    starts = np.flatnonzero(~alike)
    kept: dict[str, str] = {}
    said = []
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=False):
        if end - start == 1:
            continue
        spellings = sorted(order[start:end], key=lambda spelling: (-films[spelling], first[spelling]))
        names = [patients[int(first[spelling])] for spelling in spellings]
        kept |= dict.fromkeys(names, names[0])
        said.append(" and ".join(names[:SHOWN]))
    if not kept:
        return patients, ""
    return Texts(kept.get(patient, patient) for patient in patients), _sentence(said)


def _sentence(said: Sequence[str]) -> str:
    more = f" and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    return f"Patients that may be one person in two spellings count as one: {'; '.join(said[:SHOWN])}{more}"


def shared(ours: Iterable[str], theirs: Iterable[str]) -> tuple[int, str]:
    """Return how many of ``theirs`` (unknown ones left out) are among ``ours`` in any spelling, and words that show
    some that are spelt otherwise; "" where none is."""
    known = {key(name): name for name in ours if name}
    met = {key(name): name for name in theirs if name and key(name) in known}
    other = ((known[which], name) for which, name in met.items() if known[which] != name)
    shown = [f"{here} as {there}" for here, there in islice(_named(other), SHOWN)]
    return len(met), f" ({', '.join(shown)}{', …' * (len(met) > len(shown))})" if shown else ""


def _named(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the pairs whose names a reader can compare; a pseudonym says nothing."""
    return (pair for pair in pairs if not any(map(PSEUDONYMS.fullmatch, pair)))


def lost_digits(patients: Iterable[str]) -> str:
    """Return a sentence where a spreadsheet wrote long numbers as 1.23457E+11, so that many patients became one; ""."""
    cut = next((name for name in patients if "+" in name and EXPONENT.fullmatch(name.strip().casefold())), "")
    return f"Patients such as {cut} lost digits in a spreadsheet: format that column as text and save it again" * bool(
        cut
    )


# --- where a patient's name is found ----------------------------------------------------------------------------------


def find_patient(path: str, *patterns: str) -> str:
    """Return the patient that ``path`` names, by ``patterns`` or the known data sets' names; empty when none does."""
    for expression in patterns or PATIENT_PATTERNS:
        match = re.search(expression, path)
        if match:
            return next((group for group in match.groups() if group), "")
    return ""


def known_patterns(paths: Iterable[str]) -> tuple[str, ...]:
    """Return those of PATIENT_PATTERNS that may be meant: archives name the first film of every study IM-0001-0001, so
    that IM- is Kermany's only where such names differ."""
    series = [found[0] for path in paths if "IM-" in path and (found := re.search(SERIES + r"[^/]*$", path))]
    if 2 * len(set(series)) >= len(series):
        return PATIENT_PATTERNS
    return tuple(pattern for pattern in PATIENT_PATTERNS if pattern != SERIES)


def check_pattern(pattern: str) -> None:
    """InputError unless ``pattern`` is empty or a regular expression with a group."""
    try:
        groups = re.compile(pattern).groups if pattern else 1
    except re.error as error:
        raise InputError(f"--patient-regex {pattern!r} is not a regular expression ({error}).") from None
    if groups < 1:
        raise InputError(f"--patient-regex {pattern!r} needs a group in parentheses that holds the patient.")
