"""Which row belongs to which film: a map from SHA-256 to numbers, of a million films in 40 MB instead of 350."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

RECENT = 65_536  # additions that are kept aside until they are sorted in


class Digests:
    """SHA-256 (64 hexadecimal digits) -> row number; the last one given holds. Threads may look up while one adds."""

    def __init__(self) -> None:
        # Recent additions; all others sorted, and their rows. Replaced in one step: who looks up sees one state.
        self._state: tuple[dict[bytes, int], np.ndarray, np.ndarray] = {}, np.empty(0, "S32"), np.empty(0, np.int64)

    def __setitem__(self, sha256: str, row: int) -> None:
        recent, known, rows = self._state
        recent[bytes.fromhex(sha256)] = row
        if len(recent) >= RECENT:
            digests = np.concatenate([np.array(list(recent), "S32"), known])
            rows = np.concatenate([np.fromiter(recent.values(), np.int64), rows])
            known, first = np.unique(digests, return_index=True)  # of equal ones the first: the recent
            self._state = {}, known, rows[first]

    def get(self, sha256: str) -> int | None:
        """Return the row of a digest, None where there is none."""
        digest = bytes.fromhex(sha256)
        recent, known, rows = self._state
        if (row := recent.get(digest)) is not None:
            return row
        place = int(np.searchsorted(known, digest))
        # Compared as numpy does: its strings end where their zero bytes at the end begin.
        return int(rows[place]) if place < len(known) and known[place] == digest.rstrip(b"\0") else None

    def all(self, names: Iterable[str]) -> np.ndarray:
        """Return (N,) int64 rows of N digests at once; KeyError names one that is not there."""
        recent, known, rows = self._state
        asked = [bytes.fromhex(name) for name in names]
        places = np.searchsorted(known, np.array(asked, "S32"))
        found = np.fromiter((recent.get(digest, -1) for digest in asked), np.int64, len(asked))
        inside = places < len(known)
        same = np.zeros(len(asked), bool)
        same[inside] = known[places[inside]] == np.array(asked, "S32")[inside]
        found = np.where((found < 0) & same, rows[np.minimum(places, len(known) - 1)] if len(known) else -1, found)
        if (found < 0).any():
            raise KeyError(asked[int(np.argmax(found < 0))].hex())
        return found
