"""Arrays that grow at their end. A large one lies in a file that nobody else sees: the system keeps in memory what it
can spare of it, and the process stays as small as it was, however many films there are.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from plainfilm.storage.files import cache_dir

Code = Literal["B", "b", "i", "q", "f", "d"]

SMALL = 2**20  # bytes up to which an array is in memory
FIRST = 2**10  # bytes of a new one


class Grown:
    """Numbers of one type (``code`` of struct: B, b, i, q, f, d), end to end.

    ``view`` is what was added as a memoryview, and a little room behind it; it is another one after the array grew, and
    the old one stays what it was. Threads may read what is there while one adds.
    """

    def __init__(self, code: Code, values: Iterable[Any] = ()) -> None:
        self._code, self._count = code, 0
        self.view: memoryview[Any] = memoryview(bytearray(FIRST)).cast(code)
        for value in values:
            self.append(value)

    def __len__(self) -> int:
        return self._count

    @property
    def array(self) -> np.ndarray:
        """(N,) the numbers so far, not copied; what is added later is not in it."""
        return np.frombuffer(self.view, self._code)[: self._count]

    def __reduce__(self) -> Any:
        return _again, (self._code, self.array.tobytes())

    def reserve(self, more: int) -> None:
        """Have room for ``more`` numbers: adding them can't fail then. OSError when the disk is full."""
        if self._count + more > len(self.view):
            self._grow(more)

    def append(self, value: Any) -> None:
        """Add a number. OSError when the disk is full."""
        if self._count == len(self.view):
            self._grow(1)
        self.view[self._count] = value
        self._count += 1

    def extend(self, values: Any) -> None:
        """Add the numbers of a buffer (bytes, an array in C order) that are of this type. OSError: a full disk."""
        if not memoryview(values).nbytes:
            return
        plain = self._code == "B" and isinstance(values, bytes)
        added = values if plain else memoryview(values).cast("B").cast(self._code)
        end = self._count + len(added)
        if end > len(self.view):
            self._grow(len(added))
        self.view[self._count : end] = added
        self._count = end

    def _grow(self, more: int) -> None:
        """Move to twice the room, or to what ``more`` numbers need."""
        size = 2 * max(self.view.nbytes, 1 << (more * self.view.itemsize - 1).bit_length())
        larger = memoryview(bytearray(size) if size <= SMALL else _mapped(size)).cast(self._code)
        larger[: self._count] = self.view[: self._count]
        self.view = larger


def _again(code: Code, data: bytes) -> Grown:
    found = Grown(code)
    found.extend(data)
    return found


def _mapped(size: int) -> mmap.mmap:
    """Return the map of a new file in the cache folder, or where that can't be written to, in the system's folder for
    temporary files, which may be memory."""
    try:
        cache_dir().mkdir(parents=True, exist_ok=True)
        return _file(size, cache_dir())
    except OSError:
        return _file(size, None)


def _file(size: int, folder: Path | None) -> mmap.mmap:
    """Return a new file's map. Its bytes are written first: a full disk is an error here, and not a crash later."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(size // SMALL):
            file.write(bytes(SMALL))
        return mmap.mmap(file.fileno(), size)
