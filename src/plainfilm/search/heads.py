"""Frozen features in as many dimensions as there are training films, where a head can be fitted often."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg

from plainfilm.evaluation.intervals import Floats
from plainfilm.image.store import Rows

BLOCK = 512  # rows of float64 features held at a time
SMALLEST = 1e-10  # share of the largest variance below which a direction is rounding, not data


def coordinates(features: Rows | Floats, train: np.ndarray, standardise: bool = False, dimensions: int = 0) -> Floats:
    """Return (N, R) principal coordinates of features (N, D), of which those at ``train`` set the centre and the axes.

    All directions that the M training films span (R < M). ``standardise``: each feature is first divided by its
    deviation, unless it hardly moves. Inner products of centred films with training films are kept: an L2-penalised
    head fitted here scores every film as one fitted to the features would (the representer theorem: Schölkopf,
    Herbrich & Smola 2001).
    """
    films = np.arange(len(features))
    mean = sum(block.sum(0) for block in _blocks(features, train)) / len(train)
    scale = _deviation(features, train, mean) if standardise else 1.0
    gram = np.empty((len(films), len(train)))
    for i, left in enumerate(_blocks(features, films)):
        for j, right in enumerate(_blocks(features, train)):
            place = slice(i * BLOCK, i * BLOCK + len(left)), slice(j * BLOCK, j * BLOCK + len(right))
            gram[place] = ((left - mean) / scale) @ ((right - mean) / scale).T
    variances, axes = scipy.linalg.eigh(gram[train])
    kept = np.flatnonzero(variances > SMALLEST * variances[-1])[::-1]
    return np.asarray(gram @ (axes[:, kept] / np.sqrt(variances[kept])))


def _blocks(features: Rows | Floats, films: np.ndarray) -> Iterator[Floats]:
    """Rows of ``films`` as float64, a block at a time, so that never more is in memory."""
    for start in range(0, len(films), BLOCK):
        yield features[films[start : start + BLOCK]].astype(np.float64)


def _deviation(features: Rows | Floats, train: np.ndarray, mean: Floats) -> Floats:
    squares = sum(np.square(block - mean).sum(0) for block in _blocks(features, train))
    deviation = np.sqrt(np.asarray(squares) / len(train))
    return np.where(deviation > 1e-6 * deviation.max(), deviation, 1.0)
