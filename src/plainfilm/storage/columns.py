"""Columns of strings that take little memory: a million films as objects would be most of a gigabyte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
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
        for block in _blocks(texts):
            self.extend(block)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, value: str) -> None:
        self._bytes.extend(value.encode("utf-8", "surrogateescape"))
        self._ends.append(len(self._bytes))

    def extend(self, values: Sequence[str]) -> None:
        """Add many at the end: faster than one after the other."""
        encoded = [value.encode("utf-8", "surrogateescape") for value in values]
        ends = len(self._bytes) + np.cumsum([len(text) for text in encoded], dtype=np.int64)
        self._bytes.extend(b"".join(encoded))
        self._ends.extend(ends)

    @property
    def filled(self) -> np.ndarray:
        """(N,) bool: which texts are not empty."""
        return np.diff(self._ends.array) > 0

    def take(self, places: Iterable[int]) -> Texts:
        """Return the texts at ``places``, in that order."""
        rows, taken = _indices(places), Texts()
        for start in range(0, len(rows), BLOCK):
            some = rows[start : start + BLOCK]
            begins, ends = self._ends.array[some], self._ends.array[some + 1]
            first, last = int(begins.min()), int(ends.max())
            near = last - first < 4 * int((ends - begins).sum())  # then they are cut out of bytes, which is faster
            there = self._bytes.view[first:last].tobytes() if near else self._bytes.view[first:last]
            bounds = zip((begins - first).tolist(), (ends - first).tolist(), strict=True)
            grown = len(taken._bytes) + np.cumsum(ends - begins)
            taken._bytes.extend(b"".join([there[begin:end] for begin, end in bounds]))
            taken._ends.extend(grown)
        return taken

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), BLOCK):
            raw, bounds = self._block(start)
            if raw.isascii():  # a letter a byte: decoded once, then cut
                text = raw.decode("ascii")
                yield from [text[a:b] for a, b in bounds]
            else:
                yield from [raw[a:b].decode("utf-8", "surrogateescape") for a, b in bounds]

    def ranked(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (N,) the places in the order of the texts, equal ones as they are, and (N,) whether each text, in that
        order, is that of the place before it."""
        if not len(self):
            return np.empty(0, np.int64), np.empty(0, bool)
        padded = Grown("B")
        longest = int(np.diff(self._ends.array).max())
        if longest <= LONGEST and self._bytes.array.max(initial=0) < 128:  # ASCII, and short: the bytes are the keys
            width = max(1, longest)
            for start in range(0, len(self), BLOCK):
                raw, bounds = self._block(start)
                keys = np.array([raw[begin:end] for begin, end in bounds], f"S{width}")
                padded.extend(keys.view(np.uint8))
        else:
            width = max(1, max(len(self._key(place)) for place in range(len(self))))
            for places in _blocks(range(len(self))):
                padded.extend(b"".join([self._key(place).ljust(width, b"\0") for place in places]))
        return ranked(padded.array.view(f"S{width}"))

    def _block(self, start: int) -> tuple[bytes, Iterator[tuple[int, int]]]:
        """Return the bytes of the texts of a block, end to end, and where in them each begins and ends."""
        ends = self._ends.array[start : start + BLOCK + 1]
        return self._bytes.view[ends[0] : ends[-1]].tobytes(), pairwise((ends - ends[0]).tolist())

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
        for block in _blocks(values):
            self.extend(block)

    def __len__(self) -> int:
        return len(self._codes)

    def __iter__(self) -> Iterator[Value]:
        for start in range(0, len(self), BLOCK):
            yield from map(self.different.__getitem__, self.codes[start : start + BLOCK].tolist())

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

    def extend(self, values: Sequence[Value]) -> None:
        """Add many at the end: faster than one after the other."""
        codes = [*map(self._code_of.get, values)]
        if None in codes:
            codes = [self.code(value) for value in values]
        self._codes.extend(np.array(codes, np.int32))

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
        for block in _blocks(values):
            self.extend(block)

    def __len__(self) -> int:
        return len(self._cells)

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    @property
    def different(self) -> list[str]:
        """The different cells, as they first come."""
        return self._cells.different if isinstance(self._cells, Kinds) else list(dict.fromkeys(self._cells))

    def append(self, value: str) -> None:
        self._cells.append(value)
        if isinstance(self._cells, Kinds) and len(self._cells.different) > MANY:
            self._cells = Texts(self._cells)

    def extend(self, values: Sequence[str]) -> None:
        """Add many at the end: faster than one after the other."""
        self._cells.extend(values)
        if isinstance(self._cells, Kinds) and len(self._cells.different) > MANY:
            self._cells = Texts(self._cells)

    def take(self, places: Iterable[int]) -> Words:
        """Return the cells at ``places``, in that order."""
        taken = Words()
        taken._cells = self._cells.take(places)
        return taken

    def mapped(self, of: Callable[[str], Any], dtype: Any) -> np.ndarray:
        """Return (N,) what ``of`` makes of each cell, asked once a different one while few differ."""
        if isinstance(self._cells, Kinds):
            return self._cells.mapped(of, dtype)
        return np.array([of(cell) for cell in self._cells], dtype)

    def array(self) -> np.ndarray:
        """Return (N,) object: every cell, equal ones being one string while few differ."""
        return self.mapped(str, object)

    @staticmethod
    def coded(different: Sequence[str], codes: np.ndarray) -> Words:
        """Return the cells ``different[code]`` of codes (N,)."""
        words = Words()
        kinds = Kinds[str](different)
        kinds._codes = Grown("i")
        kinds._codes.extend(codes.astype(np.int32))
        words._cells = kinds
        return words

    def _at(self, place: int) -> str:
        return self._cells[place]


class Numbers(Column[int]):
    """Whole numbers of 8 bytes."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._numbers = Grown("q", numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def append(self, value: int) -> None:
        self._numbers.append(value)

    def extend(self, values: Sequence[int]) -> None:
        """Add many at the end: faster than one after the other."""
        self._numbers.extend(np.array(values, np.int64))

    def take(self, places: Iterable[int]) -> Numbers:
        """Return the numbers at ``places``, in that order."""
        taken = Numbers()
        taken._numbers.extend(self._numbers.array[_indices(places)])
        return taken

    def _at(self, place: int) -> int:
        return int(self._numbers.view[place])


def _blocks(values: Iterable[Value]) -> Iterator[list[Value]]:
    rest = iter(values)
    while block := list(islice(rest, BLOCK)):
        yield block


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
