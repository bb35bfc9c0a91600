"""Areas under the ROC and the precision-recall curve, with their intervals by patient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import rankdata

from plainfilm.evaluation.intervals import (
    UNKNOWN,
    Bools,
    Estimate,
    Floats,
    Interval,
    Whose,
    at_least,
    normal_quantile,
    numbered,
    spread,
    student_quantile,
    wilson,
    worth_patients,
)


def placements(positive: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """Return DeLong's components: for each positive film the share of negatives below it, and the reverse.

    positive: (N,) truth; scores: (M, N), one row a model -> (M, positives) and (M, negatives), ties count one half.
    Their means are the area under the curve. From midranks in O(N log N): Sun & Xu 2014, doi 10.1109/LSP.2014.2337313.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(scores, axis=1)
    below = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / n
    above = 1 - (ranks[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / m
    return below, above


def area(positive: Bools, score: Floats, parts: NDArray[Any] | None = None) -> Estimate:
    """Return the area under the ROC curve of ``score`` (N,), NaN when a class is missing.

    With ``parts`` (N,), the fold of each film say, it is the mean of the areas within each that has both classes: the
    scores of two models have no common scale, and ranking them against each other measures that too.
    """
    return within(lambda truth, some: _area(truth, some), positive, score, parts)


def within(
    found: Callable[[Bools, Floats], Estimate], positive: Bools, score: Floats, parts: NDArray[Any] | None
) -> Estimate:
    """Return the mean of an estimate within each of ``parts`` that has both classes; of all films where None.

    The models of K folds learnt from each other's test films, so their errors agree a little: the pulls are those of
    K - 1 folds (measured: ``tests/evaluation/coverage.py``; Bengio & Grandvalet 2004, JMLR 5:1089: no estimate is right
    for all).
    """
    if parts is None:
        return found(positive, score)
    names = [name for name in np.unique(parts) if 0 < positive[parts == name].sum() < (parts == name).sum()]
    pulls, values = np.zeros(len(score)), []
    for name in names:
        here = parts == name
        value, pulls[here] = found(positive[here], score[here])
        values.append(value)
    shared = np.sqrt(max(len(names), 1) * max(len(names) - 1, 1))
    return Estimate(float(np.mean(values)) if names else float("nan"), pulls / shared)


def _area(positive: Bools, score: Floats) -> Estimate:
    pulls = np.zeros(len(score))
    if not 0 < positive.sum() < len(positive):
        return Estimate(float("nan"), pulls)
    below, above = placements(positive, score[None])
    value = float(below.mean())
    pulls[positive] = (below[0] - value) / positive.sum()
    pulls[~positive] = (above[0] - value) / (~positive).sum()
    return Estimate(value, pulls)


def auc_interval(
    positive: Bools,
    score: Floats,
    level: float = 0.95,
    patients: Whose | None = None,
    parts: NDArray[Any] | None = None,
) -> Interval:
    """Return ``area`` with its interval: DeLong's on the logit scale, by patient (Obuchowski 1997,
    doi 10.2307/2533958).

    The logit scale keeps the bounds in 0..1 and covers better near 1, where these models are (Qin & Hotilovac 2008,
    doi 10.1177/0962280207087173); Student's quantile, for degrees of freedom by Satterthwaite from both classes'
    patients, is for the few positive films whose spread is hardly known. The bounds are never nearer than a flawless
    area's (``flawless_area``) would have them: see ``at_least``. Unknown when a class is missing.
    """
    whose = np.arange(len(score)) if patients is None else numbered(patients)
    return area_interval(area(positive, score, parts), positive, whose, level)


def cross_validated(found: Interval, folds: int) -> Interval:
    """Return an area of out-of-fold scores with the bounds of ``auc_interval`` set further out, in log-odds.

    The models share training films, and each is tested on films that trained the others, so their errors agree: the
    variance is 1 + K / (K - 1) times that of as many independent films (Nadeau & Bengio 2003,
    doi 10.1023/A:1024068626366, for K folds).
    """
    if np.isnan(found.low) or found.value in (0.0, 1.0):
        return found
    middle, ends = logit(found.value), logit(np.clip(found[1:], 1e-12, 1 - 1e-12))
    low, high = expit(middle + np.sqrt(1 + folds / (folds - 1)) * (ends - middle))
    return Interval(found.value, float(low), float(high))


def area_interval(found: Estimate, positive: Bools, whose: NDArray[np.int64], level: float = 0.95) -> Interval:
    """Return an area under the ROC curve (or a mean of several) with its interval: see ``auc_interval``."""
    value, pulls = found
    if np.isnan(value):
        return UNKNOWN
    ill, well = worth_patients(whose[positive]), worth_patients(whose[~positive])
    flawless = flawless_area(ill, well, level)
    if value in (0.0, 1.0):
        return at_least(Interval(value, value, value), flawless)
    variance, df = two_sided_spread(pulls, positive, whose)
    half = student_quantile(level, df) * np.sqrt(variance) / (value * (1 - value))
    return at_least(Interval(value, float(expit(logit(value) - half)), float(expit(logit(value) + half))), flawless)


def two_sided_spread(pulls: Floats, positive: Bools, whose: NDArray[np.int64]) -> tuple[float, float]:
    """Return the variance of an estimate from positive and negative films, no less than that of independent films, and
    its degrees of freedom (Satterthwaite 1946, doi 10.2307/3002019)."""
    sides, freedom = [], []
    for side in (positive, ~positive):
        films, alike = int(side.sum()), worth_patients(whose[side])
        alone = float(pulls[side] @ pulls[side]) * films / max(films - 1, 1)
        sides.append(max(alone, spread(pulls[side], whose[side])))
        freedom.append(max(alike - 1, 1.0))
    variance = max(sum(sides), spread(pulls, whose))
    squares = sum(s**2 / f for s, f in zip(sides, freedom, strict=True))
    return variance, sum(sides) ** 2 / squares if squares > 0 else min(freedom)


def flawless_area(ill: float, well: float, level: float = 0.95) -> float:
    """Return the lower bound of an area of 1 from so many independent films of each class: where it lies as many
    standard errors below 1 as ``level`` asks, by the variance of Hanley and McNeil with both classes' films
    counted as their mean (Newcombe 2006, doi 10.1002/sim.2324, method 5)."""
    z2, others = normal_quantile(level) ** 2, max((ill + well) / 2 - 1, 0.0)

    def lacking(theta: float) -> float:
        alike = theta * (1 - theta) + others * (theta / (2 - theta) + 2 * theta**2 / (1 + theta) - 2 * theta**2)
        return z2 * alike / (ill * well) - (1 - theta) ** 2

    return float(brentq(lacking, 1e-9, 1 - 1e-9)) if lacking(1 - 1e-9) > 0 > lacking(1e-9) else 0.0


def average_precision(positive: Bools, score: Floats, parts: NDArray[Any] | None = None) -> Estimate:
    """Return the area under the precision-recall curve (average precision), NaN when a class is missing; with ``parts``
    the mean of those within each, as in ``area``."""
    return within(_average_precision, positive, score, parts)


def _average_precision(positive: Bools, score: Floats) -> Estimate:
    """Average precision is Σ steps · tp / (tp + fp) / P over the distinct scores from above; its derivatives by the
    weight of a film: its own step (positive films), and what it does to the precision at every score from its own down.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))
    place = np.empty(len(score), np.int64)
    place[order] = np.searchsorted(ends, np.arange(len(score)))
    if not 0 < positive.sum() < len(positive):
        return Estimate(float("nan"), np.zeros(len(score)))
    steps = np.bincount(place, positive).astype(np.float64)
    tp = np.cumsum(steps)
    both = np.cumsum(np.bincount(place)).astype(np.float64)
    value = float((steps * tp / both).sum() / tp[-1])
    below = np.cumsum(np.stack([steps * (both - tp) / both**2, -steps * tp / both**2])[:, ::-1], axis=1)[:, ::-1]
    pulls = np.where(positive, (tp / both + below[0])[place] - value, below[1][place]) / tp[-1]
    return Estimate(value, pulls)


def average_precision_interval(
    positive: Bools,
    score: Floats,
    whose: NDArray[np.int64],
    level: float = 0.95,
    parts: NDArray[Any] | None = None,
) -> Interval:
    """Return ``average_precision`` with its interval by patient on the logit scale (Boyd, Eng & Page 2013,
    doi 10.1007/978-3-642-40994-3_29), with Student's quantile for as many patients as the positive films are worth."""
    value, pulls = average_precision(positive, score, parts)
    if np.isnan(value):
        return UNKNOWN
    alike = worth_patients(whose[positive])
    flawless = wilson(alike, alike, level).low
    if value in (0.0, 1.0):
        return at_least(Interval(value, value, value), flawless)
    half = student_quantile(level, alike - 1) * np.sqrt(spread(pulls, whose)) / (value * (1 - value))
    return at_least(Interval(value, float(expit(logit(value) - half)), float(expit(logit(value) + half))), flawless)
