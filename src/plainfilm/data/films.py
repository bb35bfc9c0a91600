"""The table of films that everything else works on: where each film is, what it is, whose it is.

What a film shows is one class (``label``) or several findings, each 1, 0, uncertain or unknown. Further columns of its
table (age, site, scanner, …) stay with it as text.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, overload

import numpy as np

from plainfilm.config import pieces
from plainfilm.data.frames import to_frame, to_html
from plainfilm.errors import InputError, PlainfilmError, did_you_mean
from plainfilm.storage import folders
from plainfilm.storage.columns import Kinds, Numbers, Texts, Words
from plainfilm.storage.documents import Part
from plainfilm.storage.grown import Grown
from plainfilm.storage.tables import read_csv, write_csv

PARTS: tuple[Part, ...] = ("train", "val", "test")
OWN_CLASS = "class"  # among the columns of ``sample_by``

POSITIVE, NEGATIVE, UNCERTAIN, UNKNOWN = 1, 0, -1, -2  # a finding's cell; below 0 nobody knows

Source = Callable[[str, int], bytes]  # a film's path, how many first bytes (0: all) -> bytes; FilmError says why not


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
    findings: Mapping[str, int] = field(default_factory=dict, hash=False)  # name -> POSITIVE, NEGATIVE, …
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)  # name -> the table's cell, as it stands there

    @property
    def group(self) -> str:
        """The patient, or the film itself where no patient is known: what a split must keep together."""
        return self.patient or self.path

    @property
    def shown(self) -> str:
        """The class, or the findings that are positive."""
        return self.label or ", ".join(name for name, cell in self.findings.items() if cell == POSITIVE)

    def read(self, first: int = 0) -> bytes:
        """Return the file's bytes, or only its ``first`` ones; FilmError when it can't be read."""
        return self.source(self.path, first)


class Cells:
    """What is known of several findings: (N, F) int8, a byte per film and finding."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self._bytes = Grown("b")

    @property
    def array(self) -> np.ndarray:
        """(N, F) int8: POSITIVE, NEGATIVE, UNCERTAIN or UNKNOWN."""
        return self._bytes.array.reshape(-1, max(len(self.names), 1))[:, : len(self.names)]

    def append(self, film: Mapping[str, int], films: int) -> None:
        """Add the cells of one film behind ``films`` others; a finding that it does not name is unknown."""
        if film.keys() - set(self.names):
            self._widen(tuple(dict.fromkeys((*self.names, *film))), films)
        for name in self.names:
            self._bytes.append(film.get(name, UNKNOWN))

    def at(self, place: int) -> dict[str, int]:
        """Return the cells of the film at ``place``."""
        return dict(zip(self.names, self.array[place].tolist(), strict=True)) if self.names else {}

    def take(self, places: np.ndarray) -> Cells:
        """Return the cells of the films at ``places``."""
        return Cells.of(self.names, self.array[places] if self.names else np.empty((0, 0), np.int8))

    def extend(self, values: np.ndarray) -> None:
        """Add the cells ``values``, (N, F) int8, of N films."""
        self._bytes.extend(np.ascontiguousarray(values, np.int8).reshape(-1))

    @staticmethod
    def of(names: tuple[str, ...], values: np.ndarray) -> Cells:
        """Return the cells ``values``, (N, F) int8, of the findings ``names``."""
        cells = Cells()
        cells.names = names
        cells.extend(values)
        return cells

    def _widen(self, names: tuple[str, ...], films: int) -> None:
        wider = np.full((films, len(names)), UNKNOWN, np.int8)
        if self.names:
            wider[:, : len(self.names)] = self.array
        self.names, self._bytes = names, Cells.of(names, wider)._bytes


class Table(Sequence[Film]):
    """Films as columns, 150 bytes each with their hash (see ``grown`` for where they are) and a byte per finding; a
    ``Film`` is made when one is asked for, by its place."""

    def __init__(self, films: Iterable[Film] = ()) -> None:
        self.paths, self.patients, self.hashes = Texts(), Texts(), Texts()
        self.labels, self.parts, self.sources = Kinds[str](), Kinds[str](), Kinds[Source]()
        self._widths, self._heights = Numbers(), Numbers()
        self.findings, self.columns = Cells(), {}  # type: tuple[Cells, dict[str, Words]]
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
            self.findings.at(place),
            {name: column[place] for name, column in self.columns.items()},
        )

    def __iter__(self) -> Iterator[Film]:
        own = (self.paths, self.labels, self.sources, self.patients, self.parts, self._widths, self._heights)
        if not self.findings.names and not self.columns:
            return map(Film, *own, self.hashes)
        return map(Film, *own, self.hashes, map(self.findings.at, range(len(self))), self._further())

    def _further(self) -> Iterator[dict[str, str]]:
        """Yield each film's further cells by column."""
        if not self.columns:
            return ({} for _ in range(len(self)))
        return (dict(zip(self.columns, cells, strict=True)) for cells in zip(*self.columns.values(), strict=True))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Table)
            and len(self) == len(other)
            and all(a == b for a, b in zip(self, other, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]

    def append(self, film: Film) -> None:
        """Add a film at the end; a finding that it lacks is unknown, a column that it lacks is empty."""
        if film.findings or self.findings.names:
            self.findings.append(film.findings, len(self))
        for name in film.columns:
            if name not in self.columns:
                self.columns[name] = Words([""] * len(self))
        for name, column in self.columns.items():
            column.append(film.columns.get(name, ""))
        self.paths.append(film.path)
        self.labels.append(film.label)
        self.sources.append(film.source)
        self.patients.append(film.patient)
        self.parts.append(film.part)
        self._widths.append(film.width)
        self._heights.append(film.height)
        self.hashes.append(film.sha256)

    def extend(
        self,
        source: Source,
        paths: Sequence[str],
        patients: Sequence[str],
        parts: Sequence[str],
        cells: np.ndarray,
        columns: Mapping[str, Sequence[str]],
    ) -> None:
        """Add N films without a label at the end, faster than one after the other: their cells (N, F) int8 of the
        table's findings, their cells of all its columns."""
        self.paths.extend(paths)
        self.patients.extend(patients)
        self.parts.extend(parts)
        self.findings.extend(cells)
        for name, cells_of_it in self.columns.items():
            cells_of_it.extend(columns[name])
        for column in (self.labels, self.hashes):
            column.extend([""] * len(paths))
        self.sources.extend([source] * len(paths))
        for sides in (self._widths, self._heights):
            sides.extend([0] * len(paths))

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

    def take(self, places: Iterable[int]) -> Table:
        """Return the films at ``places``, in that order."""
        rows = places if isinstance(places, np.ndarray) else np.fromiter(places, np.int64)
        rows = np.where(rows < 0, rows + len(self), rows)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"place {rows.max()} of {len(self)} films")
        taken = copy(self)
        columns = ("paths", "patients", "hashes", "labels", "parts", "sources", "_widths", "_heights", "findings")
        for name in columns:
            setattr(taken, name, getattr(self, name).take(rows))
        taken.columns = {name: column.take(rows) for name, column in self.columns.items()}
        return taken

    def by_path(self) -> Table:
        """Return the films in the order of their paths: this very table where it has it."""
        if all(a <= b for a, b in pairwise(self.paths)):
            return self
        return self.take(self.paths.ranked()[0])


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
    uncertain: str = "ignore"  # ignore, positive or negative: what an uncertain cell of a finding counts as
    also: tuple[str, ...] = ()  # columns that are findings which are not in question
    listed: Mapping[str, Any] = field(default_factory=dict)  # what a public set's tables list, here or not

    def __len__(self) -> int:
        return len(self.films)

    def __iter__(self) -> Iterator[Film]:
        return iter(self.films)

    @overload
    def __getitem__(self, place: int) -> Film: ...
    @overload
    def __getitem__(self, place: slice | Sequence[int] | np.ndarray) -> Films: ...
    def __getitem__(self, place: int | slice | Sequence[int] | np.ndarray) -> Film | Films:
        """Return one film, or the films of a slice, of places, or of a mask (N,) of truth values."""
        if isinstance(place, int | np.integer):
            return self.films[int(place)]
        return self.at(np.arange(len(self))[place])

    def head(self, count: int = 5) -> Films:
        """Return the first ``count`` films."""
        return self[:count]

    def to_pandas(self) -> Any:
        """Return a DataFrame: path, label (or a 0, 1, -1 or missing cell for each finding), patient, part and every
        further column. InputError without pandas."""
        table = self.films
        known = {name: self.films.findings.array[:, k].astype(float) for k, name in enumerate(self.findings)}
        cells = {name: np.where(values == UNKNOWN, np.nan, values) for name, values in known.items()}
        labels = {} if self.findings else {"label": list(table.labels)}
        own: dict[str, Any] = {
            "path": list(table.paths),
            **labels,
            "patient": list(table.patients),
            "part": list(table.parts),
        }
        return to_frame({**own, **cells, **self.columns})

    def _repr_html_(self) -> str:
        rows = [(f.path, f.shown, f.patient, f.part, *f.columns.values()) for f in self.head()]
        counts = ", ".join(f"{name or 'no class'} {n:,}" for name, n in self.counts.items())
        asked = f"findings: {', '.join(self.findings)}" if self.findings else counts
        heading = f"{self.name}: {len(self):,} films ({asked}){'; ' + self.protocol if self.protocol else ''}"
        return to_html(heading, ("path", "label", "patient", "part", *self.films.columns), rows)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in sorted order: the one place where their order is fixed."""
        return tuple(sorted(self.films.labels.different))

    @property
    def findings(self) -> tuple[str, ...]:
        """Names of the findings in question; none where each film has one class (``--findings NAME`` alone as well)."""
        return self.films.findings.names

    @property
    def truth(self) -> np.ndarray:
        """(N, F) int8 what each film shows of ``findings``: POSITIVE, NEGATIVE, or below 0 where nobody knows, with
        uncertain cells counted as ``uncertain`` says."""
        return settled(self.films.findings.array, self.uncertain).reshape(len(self), len(self.findings))

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Further columns of the table by name, each (N,) object of text as it stands there; empty: not known."""
        return {name: column.array() for name, column in self.films.columns.items()}

    def column(self, name: str) -> Words:
        """Return the cells of a further column, by its name in whatever capitals; InputError where there is none."""
        known = self.films.columns
        like = [own for own in known if own == name] or [own for own in known if own.lower() == name.lower()]
        if not like:
            held = f"; there are {', '.join(known)}" if known else ""
            raise InputError(f"The films have no column '{name}'{held}.{did_you_mean(name, known)}")
        return known[like[0]]

    def coded(self, column: str) -> np.ndarray:
        """Return (N,) int64 which of the different cells of ``column``, in sorted order, each film has."""
        cells = self.column(column)
        return cells.mapped(sorted(cells.different).index, np.int64)

    def drawn_alike(self, names: str) -> np.ndarray:
        """Return (N,) int64 which combination of columns each film has; ``names``: of the columns, with commas between,
        or ``class`` for the films' own class. InputError for one that is not there, and for the class of findings."""
        each = []
        for name in map(str.strip, pieces(names)):
            if name == OWN_CLASS and self.findings:
                raise InputError(f"sample_by={names}: the films have findings, no class; name columns alone.")
            each.append(self.labels if name == OWN_CLASS else self.coded(name))
        return np.unique(np.stack(each, 1), axis=0, return_inverse=True)[1].reshape(-1)

    def where_in(self, column: str, cells: Collection[str]) -> np.ndarray:
        """(M,) positions of the films whose cell of ``column`` is one of ``cells``."""
        return np.flatnonzero(self.column(column).mapped(cells.__contains__, bool))

    @property
    def counts(self) -> dict[str, int]:
        """Number of films per class."""
        return dict(sorted(Counter(self.films.labels).items()))

    @property
    def weighed(self) -> dict[str, int]:
        """Number of films per class that class weights are made of: those that train; all where there is no test part,
        as the paper counts them."""
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
        return self._hash(f"{f.path}\0{f.label}\0{f.part}\0{f.sha256}\n" for f in self.films)

    @property
    def set_hash(self) -> str:
        """SHA-256 over path, label and content of every film: equal for equal data, however it is split."""
        return self._hash(f"{f.path}\0{f.label}\0{f.sha256}\n" for f in self.films)

    def _hash(self, rows: Iterable[str]) -> str:
        found = hashlib.sha256()
        for row in rows:
            found.update(row.encode("utf-8", "surrogateescape"))
        if self.findings:
            found.update("\0".join(self.findings).encode("utf-8", "surrogateescape") + self.truth.tobytes())
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
        return replace(self, films=self.films.take(places))


def settled(cells: np.ndarray, uncertain: str) -> np.ndarray:
    """Return cells with UNCERTAIN ones as ``uncertain`` (positive, negative) says; "ignore" leaves them as they are.

    Irvin et al. 2019 (arXiv 1901.07031) call the three U-Ignore, U-Ones and U-Zeros.
    """
    meant = {"ignore": UNCERTAIN, "positive": POSITIVE, "negative": NEGATIVE}[uncertain]
    return np.where(cells == UNCERTAIN, np.int8(meant), cells)


FILMS_HEADER = ("path", "label", "patient", "part", "width", "height", "sha256")
FINDING = "y_"  # how a finding's column begins in films.csv and predictions.csv
CELLS = {POSITIVE: "1", NEGATIVE: "0", UNCERTAIN: "-1", UNKNOWN: ""}  # as they are written


def write_films(films: Films, folder: object) -> None:
    """Write films.csv (FILMS_HEADER, ``y_<finding>…``, every further column) and quarantine.csv into ``folder``."""
    table = films.films
    header = (*FILMS_HEADER, *(FINDING + name for name in table.findings.names), *table.columns)
    rows = (
        (
            *(f.path, f.label, f.patient, f.part, f.width, f.height, f.sha256),
            *(CELLS[value] for value in f.findings.values()),
            *f.columns.values(),
        )
        for f in films
    )
    write_csv(f"{folder}/{folders.FILMS}", header, rows)
    write_csv(f"{folder}/{folders.QUARANTINE}", ("path", "reason"), films.quarantine)


def read_films(path: object) -> list[dict[str, str]]:
    """Return the rows of a films.csv; InputError when a column is missing."""
    header, rows = read_csv(str(path))
    missing = [name for name in FILMS_HEADER if name not in header]
    if missing:
        raise InputError(f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}.")
    return rows


def further_columns(header: Iterable[str]) -> tuple[str, ...]:
    """Return which names of the header of a films.csv, or of predictions, are further columns."""
    ours = {*FILMS_HEADER, "threshold", "threshold_of", "scored_by", "split", "refer", "reason"}
    return tuple(name for name in header if name not in ours and not name.startswith((FINDING, "p_", "threshold_")))
