"""Which row belongs to which film: a map from SHA-256 to numbers that grows with the films on disk, not in memory."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from plainfilm.storage.grown import Grown

BYTES = 32  # of a SHA-256
FEWEST = 2**10  # slots


class Digests:
    """SHA-256 (64 hexadecimal digits) -> row number; the last one given holds. Threads may look up while one adds.

    A hash table with open addressing: a digest's slot is told by its own first bytes, or is one of those behind it.
    """

    def __init__(self) -> None:
        self._digests, self._rows = Grown("B"), Grown("q")  # in the order of addition
        self._slots = _empty(FEWEST)  # place in that order, from 1; 0: nothing there

    def __setitem__(self, sha256: str, row: int) -> None:
        digest = bytes.fromhex(sha256)
        slot, place = self._find(digest)
        if place:
            self._rows.view[place - 1] = row
            return
        self._digests.reserve(BYTES)  # both or neither: else a digest would have its neighbour's row
        self._rows.reserve(1)
        self._digests.extend(digest)
        self._rows.append(row)
        self._slots[slot] = len(self._rows)  # last: who looks up meanwhile finds all of it, or nothing
        if 2 * len(self._rows) > len(self._slots):
            self._spread()

    def _spread(self) -> None:
        """Give the digests twice the slots; who looks up meanwhile has the old ones."""
        larger = _empty(2 * len(self._slots))
        for place in range(len(self._rows)):
            slot = self._home(place, larger)
            while larger[slot]:
                slot = (slot + 1) % len(larger)
            larger[slot] = place + 1
        self._slots = larger

    def _home(self, place: int, slots: memoryview) -> int:
        return int.from_bytes(self._digests.view[BYTES * place : BYTES * place + 8], "little") % len(slots)

    def _find(self, digest: bytes) -> tuple[int, int]:
        """Return (slot, place from 1) of ``digest``; place 0, and the slot that it would get, where it is not."""
        slots = self._slots
        slot = int.from_bytes(digest[:8], "little") % len(slots)
        while (place := slots[slot]) and self._digests.view[BYTES * (place - 1) : BYTES * place] != digest:
            slot = (slot + 1) % len(slots)
        return slot, place

    def get(self, sha256: str) -> int | None:
        """Return the row of a digest, None where there is none."""
        _, place = self._find(bytes.fromhex(sha256))
        return int(self._rows.view[place - 1]) if place else None

    def all(self, names: Iterable[str]) -> np.ndarray:
        """Return (N,) int64 rows of N digests; KeyError names one that is not there."""
        return np.fromiter(map(self._known, names), np.int64)

    def _known(self, sha256: str) -> int:
        if (row := self.get(sha256)) is None:
            raise KeyError(sha256)
        return row


def _empty(slots: int) -> memoryview:
    found = Grown("q")
    found.extend(bytes(8 * slots))
    return found.view[:slots]
