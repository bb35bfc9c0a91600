"""Films that are there twice: the same bytes, the same pixels, or a picture saved, scaled, stretched or lightened anew.

Near-duplicates are looked for with a hash cut into bands, as comparing all pairs of 100,000 films would take hours: two
films are compared only where one band of their hashes is equal (multi-index hashing; Norouzi, Punjani & Fleet 2012,
doi 10.1109/CVPR.2012.6248043), and called the same only when their detail agrees too. Films that were turned, mirrored
or cropped are not found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from plainfilm.audit.measure import BLOCK, THUMBNAIL, Measured, blocks
from plainfilm.data.groups import Groups, Pairs, joined, same, same_patient
from plainfilm.storage.columns import ranked
from plainfilm.storage.grown import Grown

BITS = 384  # of a hash, one a coefficient
STEEPNESS = 1.5  # power of the frequency that coefficients are weighted by
FARTHEST = 3 * BITS // 8  # bits that may differ all the same: half do by chance, a quarter at a correlation of SAME
NEIGHBOURS = 64  # films with an equal band that each is compared with; bounds the time on sets of look-alikes
ALL_PAIRS = 512  # so few films are all compared: the medians that cut their hashes would mean little
SAME = 0.95  # correlation of detail: on 5,216 films no two different ones reached 0.90, no changed copy was below 0.96


@dataclass(frozen=True)
class Twins:
    """Films (rows, sorted) that are one picture; kind: ``bytes`` (all files are equal), ``pixels`` or ``near``."""

    rows: tuple[int, ...]
    kind: str
    correlation: float  # of detail; the lowest among the pairs that join them


def duplicates(measured: Measured) -> list[Twins]:
    """Return the groups of films that are there more than once, in the order of their first films."""
    films = measured.films.films
    order, again = ranked(measured.pixels.view("S32")[:, 0])
    near, alike = near_pairs(measured.thumbnails, np.sort(order[~again]))  # look-alikes: among different pixels only
    groups = joined(len(films), same(order, again), near)
    members: dict[int, list[int]] = defaultdict(list)
    lowest: dict[int, float] = defaultdict(lambda: 1.0)
    for row in np.flatnonzero(np.bincount(groups)[groups] > 1).tolist():
        members[int(groups[row])].append(row)
    for group, correlation in zip(groups[near[:, 0]].tolist(), alike.tolist(), strict=True):
        lowest[group] = min(lowest[group], correlation)
    found = [(rows, lowest[group]) for group, rows in members.items()]
    return [Twins(tuple(rows), _kind(measured, rows), correlation) for rows, correlation in sorted(found)]


def _kind(measured: Measured, rows: list[int]) -> str:
    if len({measured.films.films[row].sha256 for row in rows}) == 1:
        return "bytes"
    return "pixels" if (measured.pixels[rows] == measured.pixels[rows[0]]).all() else "near"


def inseparable(measured: Measured, twins: Sequence[Twins]) -> Groups:
    """Return (N,) group numbers: films of one patient, and films that are there twice, must stay together."""
    same_picture = [pair for twin in twins for pair in pairwise(twin.rows)]
    return joined(len(measured), same_patient(measured.films.films), np.array(same_picture, np.int64).reshape(-1, 2))


# --- the same picture, saved anew -------------------------------------------------------------------------------------


def near_pairs(thumbnails: NDArray[np.uint8], rows: NDArray[np.int64]) -> tuple[Pairs, NDArray[np.float32]]:
    """Return the pairs among ``rows`` (ascending) of (N, 32, 32) thumbnails that show one picture, and their
    correlations."""
    n = len(rows)
    pairs = rows[np.stack(np.triu_indices(n, 1), axis=1) if n <= ALL_PAIRS else candidates(_hashes(thumbnails, rows))]
    alike = [_correlations(thumbnails, pairs[some]) for some in blocks(len(pairs))]
    correlations = np.concatenate(alike) if alike else np.empty(0, np.float32)
    same = correlations >= SAME
    return pairs[same], correlations[same]


def _correlations(thumbnails: NDArray[np.uint8], pairs: Pairs) -> NDArray[np.float32]:
    """Return (P,) correlations of the detail of each pair of rows."""
    rows, places = np.unique(pairs, return_inverse=True)
    detail = _detail(thumbnails[rows])
    first, second = places.reshape(-1, 2).T
    return np.asarray(np.einsum("ij,ij->i", detail[first], detail[second]), np.float32)


def _hashes(thumbnails: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return (N, BITS / 8) hashes of ``rows``: whether each coefficient is above its median (over some, if many)."""
    middle = np.median(_detail(thumbnails[rows[:: 1 + len(rows) // BLOCK]]), axis=0)
    hashes = Grown("B")
    for some in blocks(len(rows)):
        hashes.extend(np.ascontiguousarray(np.packbits(_detail(thumbnails[rows[some]]) > middle, axis=1)))
    return hashes.array.reshape(-1, BITS // 8)


def _detail(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (N, BITS) cosine coefficients, low frequencies first and without the mean, of unit length.

    Each is weighted by its frequency: all chests are alike in their large shadows, whose coefficients would otherwise
    decide. Brightness and contrast drop out.
    """
    u, v = np.mgrid[:THUMBNAIL, :THUMBNAIL]
    frequency = np.hypot(u, v).ravel()
    order = np.argsort(frequency, kind="stable")[1 : BITS + 1]
    waves = dctn(thumbnails.astype(np.float32), axes=(1, 2), norm="ortho").reshape(-1, THUMBNAIL**2)
    weighted = waves[:, order] * (frequency[order] ** STEEPNESS).astype(np.float32)
    return np.asarray(weighted / np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-6), np.float32)


def candidates(hashes: NDArray[np.uint8], farthest: int = FARTHEST) -> Pairs:
    """Return the pairs of rows of (N, B / 8) hashes that have a whole band of 16 bits in common and differ in at most
    ``farthest`` bits; each once.

    Any two hashes that differ in fewer bits than there are bands are found, and most that differ in far more. Time
    grows with N times the films that share a band, at most NEIGHBOURS.
    """
    n = len(hashes)
    keys = np.ascontiguousarray(hashes).view(np.uint16)  # (N, bands)
    found: list[NDArray[np.int64]] = []
    for band in range(keys.shape[1]):
        order = np.lexsort((keys[:, (band + 1) % keys.shape[1]], keys[:, band]))
        key = keys[order, band]
        for step in count(1):
            same = np.flatnonzero(key[step:] == key[:-step])
            if not same.size or step > NEIGHBOURS:
                break
            for some in blocks(len(same)):
                first, second = order[same[some]], order[same[some] + step]
                near = np.bitwise_count(keys[first] ^ keys[second]).sum(axis=1) <= farthest
                first, second = first[near], second[near]
                found.append(np.minimum(first, second) * n + np.maximum(first, second))
    codes = np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
    return np.stack(np.divmod(codes, n), axis=1)
