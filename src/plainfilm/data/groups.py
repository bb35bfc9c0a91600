"""Films that must stay together, and how groups of them are dealt to the parts of a split or the folds of a
cross-validation: no patient, and no copy of a film, is on both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from plainfilm.data.films import Table
from plainfilm.storage.columns import Texts

Groups = NDArray[np.int64]  # (N,) the number of each film's group
Pairs = NDArray[np.int64]  # (P, 2) places of films


def groups(films: Table) -> Groups:
    """Return which films must stay together: those of one patient, and exact copies (films of one SHA-256).

    Groups are numbered by the least of their contents, so that neither paths nor their order change how they are dealt.
    """
    both = zip(films.hashes, films.paths, strict=True)
    contents = Texts(sha256 or path for sha256, path in both) if films.hashes.filled.any() else films.paths
    order, again = contents.ranked()
    rank = np.empty(len(films), np.int64)
    rank[order] = np.arange(len(films))
    return joined(len(films), rank[same(order, again)], rank[same_patient(films)])[rank]


def same_patient(films: Table) -> Pairs:
    """Return pairs that join the films of each known patient."""
    order, again = films.patients.ranked()
    return same(order, again & films.patients.filled[order])


def same(order: NDArray[np.int64], again: NDArray[np.bool_]) -> Pairs:
    """Return pairs that join the places of equal keys; see ``columns.ranked``."""
    second = np.flatnonzero(again)
    return np.stack([order[second - 1], order[second]], axis=1)


def joined(count: int, *pairs: Pairs) -> Groups:
    """Return (count,) the groups that ``pairs`` join, numbered by their first member."""
    ends = np.concatenate(pairs).T
    graph = coo_array((np.ones(ends.shape[1], np.bool_), tuple(ends)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def dealt(labels: np.ndarray, groups: np.ndarray, shares: Sequence[float], rng: np.random.Generator) -> Groups:
    """Return (N,) which part each film falls to; part i gets ``shares[i]`` of the films, as far as groups allow.

    labels: (N,) 0..K-1. Groups (N,) stay whole. The largest come first, equal ones in an order that is drawn, and each
    goes to the part that lacks most of its labels.
    """
    _, whose, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    members, starts = np.argsort(whose, kind="stable"), np.cumsum([0, *sizes])
    totals = np.bincount(labels).tolist()
    missing = [[share * total for total in totals] for share in shares]
    parts = np.empty(len(labels), np.int64)
    shuffled = rng.permutation(len(sizes))
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        films = members[starts[group] : starts[group + 1]]
        counts = Counter(labels[films].tolist()).items()
        lacks = [sum(n * missing[p][k] / (share * totals[k]) for k, n in counts) for p, share in enumerate(shares)]
        parts[films] = part = lacks.index(max(lacks))
        for label, count in counts:
            missing[part][label] -= count
    return parts


def dealt_by_marks(marks: np.ndarray, groups: np.ndarray, shares: Sequence[float], rng: np.random.Generator) -> Groups:
    """Return (N,) which part each film falls to, as ``dealt`` does, for films with several ``marks``, (N, L) 0 or 1.

    Iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011, doi 10.1007/978-3-642-23808-6_10) of whole groups:
    those with the rarest mark of all that are left come first. Each goes to the part that lacks most of its marks, by
    the part's share of them; a mark weighs by one over the root of its films, and to be a film is one too. (By the
    rarest mark alone, as published, parts came out up to a tenth too small.)
    """
    _, whose, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    starts = np.cumsum([0, *sizes[:-1]])
    counts = np.add.reduceat(marks[np.argsort(whose, kind="stable")], starts, axis=0, dtype=np.int64)
    counts = np.column_stack([counts, sizes]).astype(np.float64)  # the last mark: being a film
    totals = np.maximum(counts.sum(axis=0), 1)
    missing = [share * totals for share in shares]
    weights = [1 / (share * totals**1.5) for share in shares]
    wanted = [lack * weight for lack, weight in zip(missing, weights, strict=True)]
    luck, part_of = rng.permutation(len(sizes)), np.full(len(sizes), -1, np.int64)
    while (left := luck[part_of[luck] < 0]).size:
        remaining = counts[left].sum(axis=0)
        mark = int(np.where(remaining > 0, remaining, np.inf).argmin())
        there = left[counts[left, mark] > 0]
        for group in there[np.argsort(-counts[there, mark], kind="stable")].tolist():
            own = counts[group]
            lacks = [own.dot(want) for want in wanted]
            part_of[group] = part = lacks.index(max(lacks))
            missing[part] -= own
            wanted[part] = missing[part] * weights[part]
    return np.asarray(part_of[whose], np.int64)


def stratified_folds(labels: np.ndarray, groups: np.ndarray, count: int, seed: int) -> Groups:
    """Return (N,) the fold, 0..count-1, that holds each film out: groups whole, labels as even as they allow."""
    from sklearn.model_selection import StratifiedGroupKFold  # a second to load

    folds = np.empty(len(labels), np.int64)
    by = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    for fold, (_, out) in enumerate(by.split(labels, labels, groups)):
        folds[out] = fold
    return folds
