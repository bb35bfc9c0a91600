"""Columns of strings that take little memory: a million films as objects would be most of a gigabyte."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar, overload

import numpy as np

Value = TypeVar("Value", bound=Hashable)


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
        self._bytes, self._ends = bytearray(), array("q", [0])
        for text in texts:
            self.append(text)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, value: str) -> None:
        self._bytes += value.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._bytes))

    def _at(self, place: int) -> str:
        return self._bytes[self._ends[place] : self._ends[place + 1]].decode("utf-8", "surrogateescape")


class Kinds(Column[Value], Generic[Value]):
    """Values of which few differ (labels, parts): 4 bytes each, every different one once."""

    def __init__(self, values: Iterable[Value] = ()) -> None:
        self.different: list[Value] = []
        self._codes, self._code_of = array("i"), {}  # type: tuple[array[int], dict[Value, int]]
        for value in values:
            self.append(value)

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def codes(self) -> np.ndarray:
        """(N,) int32 places among ``different``."""
        return np.array(self._codes, dtype=np.int32)

    def append(self, value: Value) -> None:
        code = self._code_of.setdefault(value, len(self.different))
        if code == len(self.different):
            self.different.append(value)
        self._codes.append(code)

    def _at(self, place: int) -> Value:
        return self.different[self._codes[place]]
