"""How far films lie from the training films, given some numbers that were measured of each: distances, and limits.

``Cloud``, ``Leading``: the training films as points. ``Insight``: what a network saw of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_AXES = 48  # principal components; more find finer faults of pose but flag more of another site's films
LEAST_SPREAD = 0.01  # of a thumbnail's pixel, in ranks: what never varied among few films may still do so


@dataclass(frozen=True)
class Cloud:
    """The training films as points of D coordinates: centre, principal axes, spread along them and beside them."""

    mean: np.ndarray  # (D,) float32
    axes: np.ndarray  # (Q, D) float32, orthonormal rows
    spread: np.ndarray  # (Q,) float32, standard deviation along each axis
    beside: np.ndarray  # (D,) float32, standard deviation of what the axes leave over

    @classmethod
    def fit(cls, films: np.ndarray, most: int = MOST_AXES, least: float = LEAST_SPREAD) -> Self:
        """Return the cloud of (N, …) films; a quarter as many axes as films or coordinates, ``most`` at most.

        ``least``: what is added to the spread beside the axes, since what never varied among few films may still do so.
        """
        flat = films.reshape(len(films), -1).astype(np.float64)
        mean = flat.mean(0)
        centred = flat - mean
        spread, axes = _principal(centred, min(most, len(flat) // 4, flat.shape[1] // 4))
        beside = (centred - centred @ axes.T @ axes).std(0) + least
        return cls(*(array.astype(np.float32) for array in (mean, axes, spread, beside)))

    def distance(self, films: np.ndarray) -> Floats:
        """Return (B,) logarithms of the distance of (B, …) films, about 0 for the films themselves."""
        return self.far(films.reshape(len(films), -1))

    def far(self, flat: np.ndarray) -> Floats:
        """Return (…, B) logarithms of the distance of (…, B, D) films.

        The squared distance is the mean of two: along the axes in units of their spread (Mahalanobis's), and beside
        them in units of what they leave over, each as a mean over its directions.
        """
        centred = flat - self.mean
        along = centred @ self.axes.T
        beside = (((centred - along @ self.axes) / self.beside) ** 2).mean(-1)
        inside = ((along / self.spread) ** 2).sum(-1) / max(1, len(self.spread))
        return np.asarray(0.5 * np.log(1e-9 + (inside + beside).astype(np.float64) / 2))


class Leading(Cloud):
    """A cloud in which only the directions count in which the training films differ most."""

    def far(self, flat: np.ndarray) -> Floats:
        """Return (…, B) logarithms of the distance of (…, B, D) films along the axes."""
        along = (flat - self.mean) @ self.axes.T
        return np.asarray(0.5 * np.log(1e-9 + ((along / self.spread) ** 2).sum(-1) / max(1, len(self.spread))))


def _principal(centred: Floats, count: int) -> tuple[Floats, Floats]:
    """Return the ``count`` largest standard deviations of (N, D) centred rows and their directions (count, D).

    By whichever of the rows' and the columns' products is smaller.
    """
    import scipy.linalg  # only learning a gate needs it, and labelling is to start at once

    films, pixels = centred.shape
    product, size = (centred @ centred.T, films) if films < pixels else (centred.T @ centred, pixels)
    if count == 0:
        return np.empty(0), np.empty((0, pixels))
    values, vectors = scipy.linalg.eigh(product, subset_by_index=(size - count, size - 1))
    found = vectors.T[::-1]
    axes = found @ centred if films < pixels else found
    axes = axes / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-12)
    return np.sqrt((values[::-1] / films).clip(1e-9)), axes


@dataclass(frozen=True)
class Insight:
    """What a network saw of the training films, and how far films lie from it that it has not learnt from."""

    cloud: Cloud
    held_out: np.ndarray  # (M,) distances of validation films, ascending
    limit: np.ndarray  # () a film that is farther is flagged

    @classmethod
    def fit(cls, seen: np.ndarray, others: np.ndarray, alarm: float) -> Insight:
        """Return it from what the network saw of (N, D) training films and of (M, D) validation films; ``alarm``: the
        share of films like them that may be flagged.

        ValueError for fewer than two of either.
        """
        if min(len(seen), len(others)) < 2:
            raise ValueError(f"too few films: {len(seen)} and {len(others)}")
        least = LEAST_SPREAD * float(seen.std(0).mean()) + 1e-6
        cloud = Cloud.fit(seen, least=least)
        held_out = np.sort(cloud.distance(others))
        return cls(cloud, held_out, np.asarray(_farthest(held_out, alarm)))

    def shares(self, distance: Floats) -> Floats:
        """Return (B,) the share of held-out films that are at least as far, never 0."""
        films = len(self.held_out)
        return np.asarray((1 + films - np.searchsorted(self.held_out, distance)) / (1 + films))


def _farthest(held_out: Floats, alarm: float) -> float:
    """Return the distance that a share ``alarm`` of films exceeds: the conformal rank of the distances ``held_out``
    (ascending), or of too few for that the upper end of a normal distribution's prediction interval, but not less than
    the largest."""
    films = len(held_out)
    if (rank := conformal_rank(films, alarm)) <= films:
        return float(held_out[rank - 1])
    from scipy.stats import t

    upper = held_out.mean() + t.ppf(1 - alarm, films - 1) * held_out.std(ddof=1) * math.sqrt(1 + 1 / films)
    return max(float(upper), float(held_out[-1]))


def conformal_rank(films: int, alarm: float) -> int:
    """Return which of ``films`` held-out films is the limit that a share ``alarm`` of films like them exceeds, counted
    from the least unusual: ⌈(N + 1)(1 - alarm)⌉, beyond N if there are too few (Vovk, Gammerman & Shafer 2005)."""
    return math.ceil((films + 1) * (1 - alarm))
