"""Frozen features in as many dimensions as there are training films, where a head can be fitted often."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.linalg

from plainfilm.evaluation.intervals import Floats
from plainfilm.image.store import Rows
from plainfilm.models.linear import scaled

SMALLEST = 1e-10  # share of the largest variance below which a direction is rounding, not data


def coordinates(features: Rows, train: np.ndarray, standardise: bool = False) -> Floats:
    """Return (N, R) principal coordinates of features (N, D), of which those at ``train`` set the centre and the axes.

    All directions that the M training films span (R < M). ``standardise``: each feature is first divided by its
    deviation, unless it hardly moves. Inner products of centred films with training films are kept: an L2-penalised
    head fitted here scores every film as one fitted to the features would (the representer theorem: Schölkopf,
    Herbrich & Smola 2001).
    """
    films = np.arange(len(features))
    gram = np.zeros((len(films), len(train)))
    for panel in replace(scaled(features, train, standardise), films=films).panels():
        gram += panel @ panel[train].T
    variances, axes = scipy.linalg.eigh(gram[train])
    kept = np.flatnonzero(variances > SMALLEST * variances[-1])[::-1]
    return np.asarray(gram @ (axes[:, kept] / np.sqrt(variances[kept])))
