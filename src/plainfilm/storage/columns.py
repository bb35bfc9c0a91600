"""Columns of strings that take little memory: a million films as objects would be most of a gigabyte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

import numpy as np

from plainfilm.storage.grown import Grown

Value = TypeVar("Value", bound=Hashable)

LONGEST = 256  # bytes by which texts are sorted
BLOCK = 65_536  # keys compared at a time
MANY = 10_000  # different cells from which on a column of them is kept as plain text


class Column(Sequence[Value]):
    """What the columns have in common: they are sequences that grow at the end."""

    @overload
    def __getitem__(self, place: int) -> Value: ...
    @overload
    def __getitem__(self, place: slice) -> list[Value]: ...
    def __getitem__(self, place: int | slice) -> Value | list[Value]:
        if isinstance(place, slice):
            return [self._at(i) for i in range(*place.indices(len(self)))]
        return self._at(range(len(self))[place])  # negative places, IndexError

    def __iter__(self) -> Iterator[Value]:
        return map(self._at, range(len(self)))

    def append(self, value: Value) -> None:
        raise NotImplementedError

    def _at(self, place: int) -> Value:
        raise NotImplementedError


class Texts(Column[str]):
    """Strings end to end in UTF-8: 8 bytes each beside their own, where a Python string takes 49."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._bytes, self._ends = Grown("B"), Grown("q", [0])
        for text in texts:
            self.append(text)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, value: str) -> None:
        self._bytes.extend(value.encode("utf-8", "surrogateescape"))
        self._ends.append(len(self._bytes))

    def take(self, places: Iterable[int]) -> Texts:
        """Return the texts at ``places``, in that order."""
        taken = Texts()
        for place in places:
            taken._bytes.extend(self._of(place))
            taken._ends.append(len(taken._bytes))
        return taken

    def ranked(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (N,) the places in the order of the texts, equal ones as they are, and (N,) whether each text, in that
        order, is that of the place before it."""
        if not len(self):
            return np.empty(0, np.int64), np.empty(0, bool)
        width = max(1, max(len(self._key(place)) for place in range(len(self))))
        padded = Grown("B")
        for place in range(len(self)):
            padded.extend(self._key(place).ljust(width, b"\0"))
        return ranked(padded.array.view(f"S{width}"))

    def _key(self, place: int) -> bytes:
        """Return bytes in whose order the texts are as Python sorts them, by code points; of long ones the beginning
        counts, and then what tells them apart."""
        raw = bytes(self._of(place))
        key = raw if raw.isascii() else self._at(place).encode("utf-8", "surrogatepass")
        return key if len(key) <= LONGEST else key[: LONGEST - 32] + hashlib.sha256(key).digest()

    def _of(self, place: int) -> memoryview:
        return self._bytes.view[self._ends.view[place] : self._ends.view[place + 1]]

    def _at(self, place: int) -> str:
        return str(self._of(place), "utf-8", "surrogateescape")


class Kinds(Column[Value], Generic[Value]):
    """Values of which few differ (labels, parts): 4 bytes each, every different one once."""

    def __init__(self, values: Iterable[Value] = ()) -> None:
        self.different: list[Value] = []
        self._codes, self._code_of = Grown("i"), {}  # type: tuple[Grown, dict[Value, int]]
        for value in values:
            self.append(value)

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def codes(self) -> np.ndarray:
        """(N,) int32 places among ``different``."""
        return self._codes.array

    def mapped(self, of: Callable[[Value], Any], dtype: Any) -> np.ndarray:
        """Return (N,) what ``of`` makes of each value, asked once a different one."""
        return np.array([of(value) for value in self.different], dtype).take(self.codes)

    def code(self, value: Value) -> int:
        """Return the place of a value among ``different``, where it is from now on."""
        code = self._code_of.setdefault(value, len(self.different))
        if code == len(self.different):
            self.different.append(value)
        return code

    def append(self, value: Value) -> None:
        self._codes.append(self.code(value))

    def take(self, places: Iterable[int]) -> Kinds[Value]:
        """Return the values at ``places``, in that order; ``different`` are those among them, as they first come."""
        codes = self.codes[_indices(places)]
        present, first, renumbered = np.unique(codes, return_index=True, return_inverse=True)
        order = np.argsort(first)
        taken = Kinds[Value]()
        for code in present[order].tolist():
            taken.code(self.different[code])
        taken._codes.extend(np.argsort(order)[renumbered].astype(np.int32))
        return taken

    def _at(self, place: int) -> Value:
        return self.different[int(self._codes.view[place])]


class Words(Column[str]):
    """The cells of a table's column: ``Kinds`` while few differ (sites), ``Texts`` from then on (reports)."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._cells: Kinds[str] | Texts = Kinds()
        for value in values:
            self.append(value)

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def different(self) -> list[str]:
        """The different cells, as they first come."""
        return self._cells.different if isinstance(self._cells, Kinds) else list(dict.fromkeys(self._cells))

    def append(self, value: str) -> None:
        self._cells.append(value)
        if isinstance(self._cells, Kinds) and len(self._cells.different) > MANY:
            self._cells = Texts(self._cells)

    def take(self, places: Iterable[int]) -> Words:
        """Return the cells at ``places``, in that order."""
        taken = Words()
        taken._cells = self._cells.take(places)
        return taken

    def array(self) -> np.ndarray:
        """Return (N,) object: every cell, equal ones being one string while few differ."""
        if isinstance(self._cells, Kinds):
            return self._cells.mapped(str, object)
        return np.fromiter(self._cells, object, len(self))

    def _at(self, place: int) -> str:
        return self._cells[place]


class Numbers(Column[int]):
    """Whole numbers of 8 bytes."""

    def __init__(self) -> None:
        self._numbers = Grown("q")

    def __len__(self) -> int:
        return len(self._numbers)

    def append(self, value: int) -> None:
        self._numbers.append(value)

    def take(self, places: Iterable[int]) -> Numbers:
        """Return the numbers at ``places``, in that order."""
        taken = Numbers()
        taken._numbers.extend(self._numbers.array[_indices(places)])
        return taken

    def _at(self, place: int) -> int:
        return int(self._numbers.view[place])


def _indices(places: Iterable[int]) -> np.ndarray:
    return places if isinstance(places, np.ndarray) else np.fromiter(places, np.int64)


def ranked(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (N,) the places of ``keys`` in their order, equal ones as they are, and (N,) whether each key, in that
    order, is that of the place before it."""
    order = np.argsort(keys, kind="stable")
    again = np.zeros(len(keys), bool)
    for start in range(1, len(keys), BLOCK):  # strings of all keys at once would be memory of the process
        some = order[start - 1 : start + BLOCK]
        again[start : start + BLOCK] = keys[some[1:]] == keys[some[:-1]]
    return order, again
