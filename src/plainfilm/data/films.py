"""The table of films that everything else works on: where each film is, what it is, whose it is."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import overload

import numpy as np

from plainfilm.errors import InputError, PlainfilmError
from plainfilm.storage.columns import Kinds, Numbers, Texts
from plainfilm.storage.tables import read_csv, write_csv

PARTS = ("train", "val", "test")

Source = Callable[[str, int], bytes]  # a film's path, how many first bytes (0: all) -> bytes; FilmError says why not

SERIES = r"((?:NORMAL2-)?IM-\d+)-\d+"  # Kermany: normal

# Names that carry the patient, by data set. The first group is the patient.
PATIENT_PATTERNS = (
    r"(person\d+)_(?:bacteria|virus)_\d+",  # Kermany: pneumonia
    SERIES,
    r"(synthetic-p\d+)-\d+",  # our own demo set
    r"(patient\d{5})/study\d+",  # CheXpert
    r"(?:^|/)(\d{8})_\d{3}\.png$",  # NIH ChestX-ray14
)


class FilmError(PlainfilmError):
    """One film can't be read; the message is its reason in quarantine.csv."""


@dataclass(frozen=True, slots=True)
class Film:
    """One film. ``path`` is relative to the data set and unique in it; ``source`` knows where its bytes are."""

    path: str
    label: str
    source: Source = field(repr=False, compare=False)
    patient: str = ""  # empty: unknown
    part: str = ""  # as the source's folders say, until a split is made
    width: int = 0  # pixels, known after the film was decoded once
    height: int = 0
    sha256: str = ""

    @property
    def group(self) -> str:
        """The patient, or the film itself where no patient is known: what a split must keep together."""
        return self.patient or self.path

    def read(self, first: int = 0) -> bytes:
        """Return the file's bytes, or only its ``first`` ones; FilmError when it can't be read."""
        return self.source(self.path, first)


class Table(Sequence[Film]):
    """Films as columns, 150 bytes each with their hash (see ``grown`` for where they are); a ``Film`` is made when one
    is asked for, by its place."""

    def __init__(self, films: Iterable[Film] = ()) -> None:
        self.paths, self.patients, self.hashes = Texts(), Texts(), Texts()
        self.labels, self.parts, self.sources = Kinds[str](), Kinds[str](), Kinds[Source]()
        self._widths, self._heights = Numbers(), Numbers()
        for film in films:
            self.append(film)

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, place: int) -> Film: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Film]: ...
    def __getitem__(self, place: int | slice) -> Film | Sequence[Film]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        return Film(
            self.paths[place],
            self.labels[place],
            self.sources[place],
            self.patients[place],
            self.parts[place],
            self._widths[place],
            self._heights[place],
            self.hashes[place],
        )

    def __iter__(self) -> Iterator[Film]:
        columns = (self.paths, self.labels, self.sources, self.patients, self.parts, self._widths, self._heights)
        return map(Film, *columns, self.hashes)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Table)
            and len(self) == len(other)
            and all(a == b for a, b in zip(self, other, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]

    def append(self, film: Film) -> None:
        """Add a film at the end."""
        self.paths.append(film.path)
        self.labels.append(film.label)
        self.sources.append(film.source)
        self.patients.append(film.patient)
        self.parts.append(film.part)
        self._widths.append(film.width)
        self._heights.append(film.height)
        self.hashes.append(film.sha256)

    def with_parts(self, parts: Iterable[str]) -> Table:
        """Return the same films with other parts; all other columns are shared."""
        changed = copy(self)
        changed.parts = Kinds(parts)
        if len(changed.parts) != len(self):
            raise ValueError(f"{len(changed.parts)} parts for {len(self)} films")
        return changed

    def with_patients(self, patients: Iterable[str]) -> Table:
        """Return the same films with other patients; all other columns are shared."""
        changed = copy(self)
        changed.patients = Texts(patients)
        return changed

    def by_path(self) -> Table:
        """Return the films in the order of their paths: this very table where it has it."""
        if all(a <= b for a, b in pairwise(self.paths)):
            return self
        return Table(self[i] for i in self.paths.ranked()[0].tolist())


@dataclass(frozen=True)
class Films:
    """Films in the order of their paths, with the classes found and what had to be left out and why."""

    films: Table
    name: str
    quarantine: tuple[tuple[str, str], ...] = ()  # (path, reason)
    notes: tuple[str, ...] = ()
    synthetic: bool = False
    protocol: str = ""  # stamp of the split that was made
    divided: tuple[str, int] | None = None  # how, and with which seed, where split or folds did it

    def __len__(self) -> int:
        return len(self.films)

    def __iter__(self) -> Iterator[Film]:
        return iter(self.films)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in sorted order: the one place where their order is fixed."""
        return tuple(sorted(self.films.labels.different))

    @property
    def counts(self) -> dict[str, int]:
        """Number of films a class."""
        return dict(sorted(Counter(self.films.labels).items()))

    @property
    def weighed(self) -> dict[str, int]:
        """Number of films a class that class weights are made of: those that train; all where there is no test part, as
        the paper counts them."""
        labels, parts = self.films.labels, self.films.parts
        tested = "test" in parts.different
        return dict(Counter(label for label, part in zip(labels, parts, strict=True) if part == "train" or not tested))

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64 indices into ``classes``."""
        return self.films.labels.mapped(self.classes.index, np.int64)

    def where(self, *parts: str) -> np.ndarray:
        """(M,) positions of the films in any of ``parts``."""
        return np.flatnonzero(self.films.parts.mapped(parts.__contains__, bool))

    @property
    def data_hash(self) -> str:
        """SHA-256 over path, label, part and content of every film: equal only for equal data, split the same."""
        found = hashlib.sha256()
        for f in self.films:
            found.update(f"{f.path}\0{f.label}\0{f.part}\0{f.sha256}\n".encode("utf-8", "surrogateescape"))
        return found.hexdigest()

    def with_films(self, films: Iterable[Film], **changes: object) -> Films:
        """Return a copy with other films, sorted by path."""
        table = films if isinstance(films, Table) else Table(films)
        return replace(self, films=table.by_path(), **changes)  # type: ignore[arg-type]

    def with_parts(self, parts: Iterable[str], protocol: str, divided: tuple[str, int] | None = None) -> Films:
        """Return a copy in which each film has another part, under the stamp ``protocol``."""
        return replace(self, films=self.films.with_parts(parts), protocol=protocol, divided=divided)

    def at(self, places: Iterable[int]) -> Films:
        """Return the films at ``places`` alone, in that order."""
        return replace(self, films=Table(self.films[i] for i in places))


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
    series = [found[0] for path in paths if (found := re.search(SERIES + r"[^/]*$", path))]
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
