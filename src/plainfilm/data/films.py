"""The table of films that everything else works on: where each film is, what it is, whose it is."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from plainfilm.errors import InputError, PlainfilmError
from plainfilm.files import read_csv, write_csv

PARTS = ("train", "val", "test")

# Names that carry the patient, by data set. The first group is the patient.
PATIENT_PATTERNS = (
    r"(person\d+)_(?:bacteria|virus)_\d+",  # Kermany: pneumonia
    r"((?:NORMAL2-)?IM-\d+)-\d+",  # Kermany: normal
    r"(synthetic-p\d+)-\d+",  # our own demo set
    r"(patient\d{5})/study\d+",  # CheXpert
    r"(?:^|/)(\d{8})_\d{3}\.png$",  # NIH ChestX-ray14
)


class FilmError(PlainfilmError):
    """One film can't be read; the message is its reason in quarantine.csv."""


@dataclass(frozen=True, slots=True)
class Film:
    """One film. ``path`` is relative to the data set and unique in it; ``read`` returns the file's bytes."""

    path: str
    label: str
    read: Callable[[], bytes] = field(repr=False, compare=False)
    patient: str = ""  # empty: unknown
    part: str = ""  # as the source's folders say, until a split is made
    width: int = 0  # pixels, known after the film was decoded once
    height: int = 0
    sha256: str = ""

    @property
    def group(self) -> str:
        """The patient, or the film itself where no patient is known: what a split must keep together."""
        return self.patient or self.path


@dataclass(frozen=True)
class Films:
    """Films in the order of their paths, with the classes found and what had to be left out and why."""

    films: tuple[Film, ...]
    name: str
    quarantine: tuple[tuple[str, str], ...] = ()  # (path, reason)
    notes: tuple[str, ...] = ()
    synthetic: bool = False
    protocol: str = ""  # stamp of the split that was made

    def __len__(self) -> int:
        return len(self.films)

    def __iter__(self) -> Iterator[Film]:
        return iter(self.films)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in sorted order: the one place where their order is fixed."""
        return tuple(sorted({film.label for film in self.films}))

    @property
    def counts(self) -> dict[str, int]:
        """Number of films a class."""
        return dict(sorted(Counter(film.label for film in self.films).items()))

    @property
    def weighed(self) -> dict[str, int]:
        """Number of films a class that class weights are made of: those that train; all where there is no test part, as
        the paper counts them."""
        tested = any(film.part == "test" for film in self.films)
        return {
            name: count
            for name, count in Counter(film.label for film in self.films if film.part == "train" or not tested).items()
        }

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64 indices into ``classes``."""
        order = {name: index for index, name in enumerate(self.classes)}
        return np.array([order[film.label] for film in self.films], dtype=np.int64)

    def where(self, *parts: str) -> np.ndarray:
        """(M,) positions of the films in any of ``parts``."""
        return np.array([i for i, film in enumerate(self.films) if film.part in parts], dtype=np.int64)

    @property
    def data_hash(self) -> str:
        """SHA-256 over path, label, part and content of every film: equal only for equal data, split the same."""
        found = hashlib.sha256()
        for f in self.films:
            found.update(f"{f.path}\0{f.label}\0{f.part}\0{f.sha256}\n".encode("utf-8", "surrogateescape"))
        return found.hexdigest()

    def with_films(self, films: list[Film], **changes: object) -> Films:
        """Return a copy with other films, sorted by path."""
        return replace(self, films=tuple(sorted(films, key=lambda f: f.path)), **changes)  # type: ignore[arg-type]


def find_patient(path: str, pattern: str = "") -> str:
    """Return the patient that ``path`` names, by ``pattern`` or the known data sets' names; empty when none does."""
    for expression in (pattern,) if pattern else PATIENT_PATTERNS:
        match = re.search(expression, path)
        if match:
            return next((group for group in match.groups() if group), "")
    return ""


def check_pattern(pattern: str) -> None:
    """InputError unless ``pattern`` is empty or a regular expression with a group."""
    try:
        groups = re.compile(pattern).groups if pattern else 1
    except re.error as error:
        raise InputError(f"--patient-regex {pattern!r} is not a regular expression ({error}).") from None
    if groups < 1:
        raise InputError(f"--patient-regex {pattern!r} needs a group in parentheses that holds the patient.")


FILMS_HEADER = ("path", "label", "patient", "part", "width", "height", "sha256")


def write_films(films: Films, folder: object) -> None:
    """Write films.csv and quarantine.csv into ``folder``."""
    rows = ((f.path, f.label, f.patient, f.part, f.width, f.height, f.sha256) for f in films)
    write_csv(f"{folder}/films.csv", FILMS_HEADER, rows)
    write_csv(f"{folder}/quarantine.csv", ("path", "reason"), films.quarantine)


def read_films(path: object) -> list[dict[str, str]]:
    """Return the rows of a films.csv; InputError when a column is missing."""
    header, rows = read_csv(str(path))
    missing = [name for name in FILMS_HEADER if name not in header]
    if missing:
        raise InputError(f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}.")
    return rows
