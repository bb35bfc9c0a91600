"""Do the probabilities mean what they say: calibration error, reliability by bins, slope and intercept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import expit

from plainfilm.evaluation.decision import log_odds
from plainfilm.evaluation.intervals import (
    UNKNOWN,
    Bools,
    Floats,
    Interval,
    numbered,
    rate,
    student_quantile,
    summed,
    wilson,
    worth_patients,
)
from plainfilm.evaluation.predictions import Predictions

BINS = 15
DRAWS = 2000  # of the gaps of the bins
JACKKNIFED = 60  # patients; of more, leaving one out hardly moves a line


def equal_mass_bins(sizes: NDArray[np.int64], bins: int = BINS) -> NDArray[np.int64]:
    """Return the bin 0..bins-1 of each of G groups, sorted by score, from their numbers of films (G,).

    A group (the films of one score) goes where the middle of its mass lies, so ties are never cut in two and the
    order of the rows can't matter.
    """
    middle = np.cumsum(sizes) - sizes / 2
    return np.asarray(np.minimum(bins * middle / sizes.sum(), bins - 1), dtype=np.int64)


def binned(score: Floats, bins: int = BINS) -> NDArray[np.int64]:
    """Return the bin 0..bins-1 of each score (N,): bins of equal mass, see ``equal_mass_bins``."""
    order, starts = equal_scores(score)
    sizes, found = np.diff(starts, append=len(score)), np.empty(len(score), np.int64)
    found[order] = np.repeat(equal_mass_bins(sizes, bins), sizes)
    return found


def expected_calibration_error(truth: Floats | Bools, score: Floats, bins: int = BINS) -> float:
    """Return the mean of |share of positives - mean score| over bins of equal mass, counted by their films; NaN without
    any.

    truth: (N,), 1 for positive; score: (N,). Adaptive bins: Nixon et al. 2019, arXiv 1904.01685. The figure is biased
    upwards: chance alone gives a calibrated model about .04 from 600 films.
    """
    gaps = np.bincount(binned(score, bins), truth - score, bins) if len(score) else np.full(1, np.nan)
    return float(np.abs(gaps).sum() / max(len(score), 1))


def ece_interval(
    truth: Bools, score: Floats, whose: NDArray[np.int64], rng: np.random.Generator, draws: int, level: float = 0.95
) -> tuple[Interval, Interval]:
    """Return the expected calibration error with its interval, and what a calibrated model has on such films by chance.

    truth, score, whose (patients, numbered): (N,). The gaps of the bins (sums of truth - score) are drawn ``draws``
    times about what they are, with the covariance that whole patients give them, and about 0, as of a calibrated model
    (Bröcker & Smith 2007, doi 10.1175/WAF993.1). Chance makes every gap look larger, so the interval is by inversion:
    from the least to the largest factor on the gaps that would give an error such as the one found. Its upper bound is
    no nearer than a flawless share of as many patients has it.
    """
    alike = worth_patients(whose)
    if not len(score):
        return UNKNOWN, UNKNOWN
    sums, bins = _gaps(truth, score, whose)
    value = float(np.abs(sums.sum(axis=1)).sum() / len(score))
    shown, chance = sums.sum(axis=1) / len(score), _chance(score, whose, sums, bins) / len(score) ** 2
    noise = rng.normal(size=(draws, len(shown))) @ _root(chance)
    by_chance = np.abs(noise).sum(axis=1)
    outside = 0.5 - level / 2
    low = 0.0 if np.mean(by_chance >= value) > outside else _factor(shown, noise, value, 1 - outside, 0.0) * value
    high = max(1.0, _factor(shown, noise, value, outside, 1.0)) * value
    high = max(high, 1 - (1 - value) * wilson(alike, alike, level).low)  # a flawless share of as many patients
    ends = (float(np.quantile(by_chance, q)) for q in (outside, 1 - outside))
    return Interval(value, min(low, value), min(high, 1.0)), Interval(float(by_chance.mean()), *ends)


def ece_gap(
    first: Predictions, second: Predictions, rng: np.random.Generator, draws: int, level: float = 0.95
) -> Interval:
    """Return the difference of two models' calibration errors on the same films (first - second): the gaps of the bins
    of both are drawn together, and the draws turned about the value (Davison & Hinkley 1997, section 5.2)."""
    truth, whose = first.truth, numbered(first.patients)
    sums = np.concatenate([_gaps(truth, p.score, whose)[0] for p in (first, second)])
    k, shown = max(int((np.bincount(whose) > 0).sum()), 2), sums.sum(axis=1)
    noise = rng.normal(size=(draws, len(shown))) @ _root(sums @ sums.T * k / (k - 1))
    each = np.abs(np.stack([shown, *(shown + noise)])).reshape(draws + 1, 2, BINS).sum(axis=2) / len(truth)
    value, *drawn = (each[:, 0] - each[:, 1]).tolist()
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(value, min(2 * value - float(high), value), max(2 * value - float(low), value))


def _gaps(truth: Bools, score: Floats, whose: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
    """Return (bins, patients) sums of truth - score, and the bin of each film (N,)."""
    bins, people = binned(score), int(whose.max()) + 1
    sums = np.bincount(bins * people + whose, truth - score, minlength=BINS * people).reshape(BINS, people)
    return np.asarray(sums, dtype=np.float64), bins


def _chance(score: Floats, whose: NDArray[np.int64], sums: Floats, bins: NDArray[np.int64]) -> Floats:
    """Return (bins, bins) the covariance of the bins' gaps by chance: that of independent films, or of whole patients
    where it is the larger."""
    alone = np.bincount(bins, score * (1 - score), minlength=BINS)
    k = int((np.bincount(whose) > 0).sum())
    if k == len(score) or k < 2:
        return np.asarray(np.diag(alone))
    whole = sums @ sums.T * k / (k - 1)
    return np.asarray(whole + np.diag(np.maximum(alone - np.diag(whole), 0)))


def _root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))).T)


def _factor(shown: Floats, noise: Floats, value: float, wanted: float, start: float) -> float:
    """Return the factor on the gaps ``shown`` from which on no more than a share ``wanted`` of draws has an error up to
    ``value``; ``start`` where it is so there already."""

    def share(factor: float) -> float:
        return float(np.mean(np.abs(factor * shown + noise).sum(axis=1) <= value)) - wanted

    if value <= 0 or share(start) <= 0:
        return start
    return float(brentq(share, start, 10.0, xtol=1e-3)) if share(10.0) < 0 else 10.0


def equal_scores(score: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ascending order of the scores, and where in it each distinct score begins."""
    order = np.argsort(score, kind="stable")
    return order, np.flatnonzero(np.diff(score[order], prepend=-np.inf))


def reliability(p: Predictions, bins: int = BINS) -> list[dict[str, float]]:
    """Return the reliability table: for each bin that holds films their ``n``, ``mean_predicted`` probability of the
    positive class, and the ``observed`` share of positives with its interval by patient ``low``, ``high``.

    The bins are those of ``expected_calibration_error``.
    """
    score, whose = p.score, numbered(p.patients)
    bin_of = binned(score, bins)
    table = []
    for number in np.unique(bin_of):
        films = bin_of == number
        observed = rate(p.truth[films], whose[films])
        row = {"n": int(films.sum()), "mean_predicted": float(score[films].mean()), "observed": observed.value}
        table.append({**row, "low": observed.low, "high": observed.high})
    return table


def calibration_line(p: Predictions, level: float = 0.95) -> tuple[Interval, Interval]:
    """Return calibration slope and intercept of the probability of ``positive``; 1 and 0 when calibrated.

    Slope: of a logistic regression of the truth on the log-odds; below 1 the model is too sure. Intercept: with the
    slope held at 1 (calibration in the large); above 0 it says too little. Both with the fit's own interval, its
    standard error robust against films of one patient erring together (Liang & Zeger 1986, doi 10.1093/biomet/73.1.13).
    Van Calster et al. 2019, doi 10.1186/s12916-019-1466-7. The slope is unknown when the log-odds separate the classes
    (it would be infinite), the intercept when a film with probability 0 or 1 is wrong (its log-odds are made up) or all
    are nearly that sure, both when a class is missing.
    """
    truth = p.truth.astype(np.float64)
    if truth.all() or not truth.any():
        return UNKNOWN, UNKNOWN
    whose = numbered(p.patients)
    t = student_quantile(level, min(worth_patients(whose[truth == side]) for side in (0, 1)) - 1)
    x = log_odds(p.probabilities, p.decision.column)
    offset = float(brentq(lambda a: float((truth - expit(a + x)).sum()), -100, 100))
    ones = np.ones((len(x), 1))
    intercept = _fitted(np.array([offset]), ones, x, truth, whose, t)
    p_hat, end = expit(x), abs(float(log_odds(np.eye(2), 1)[0]))
    if np.any((np.abs(x) >= end) & ((x > 0) != (truth == 1))) or (p_hat * (1 - p_hat)).sum() < 0.5:
        intercept = UNKNOWN  # FLOOR, or next to nothing, would decide it
    if not _overlap(x[truth == 1], x[truth == 0]):
        return UNKNOWN, intercept
    design = np.column_stack([x, ones])
    line = _logistic(design, truth)
    return _fitted(line, design, np.zeros(len(x)), truth, whose, t), intercept


def _overlap(a: Floats, b: Floats) -> bool:
    """Whether no point separates a from b: only then has the logistic regression a finite slope."""
    return bool(a.min() < b.max() and b.min() < a.max())


def _logistic(design: Floats, truth: Floats) -> Floats:
    def loss(line: Floats) -> tuple[float, Floats]:
        z = design @ line
        return float(np.logaddexp(0, z).sum() - truth @ z), design.T @ (expit(z) - truth)

    def curvature(line: Floats) -> Floats:
        fitted = expit(design @ line)
        return np.asarray((design.T * (fitted * (1 - fitted))) @ design)

    fit = minimize(loss, np.array([1.0, 0.0]), jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-8})
    return np.asarray(fit.x)


def _fitted(
    line: Floats, design: Floats, offset: Floats, truth: Floats, whose: NDArray[np.int64], t: float
) -> Interval:
    """Return the first coefficient of a logistic ``line`` with an interval of ``t`` standard errors by the jackknife
    over patients (Quenouille 1956, doi 10.1093/biomet/43.3-4.353); bounds need two patients.

    A line fitted to few patients is too steep, and the interval lies about the line without the bias that the fits
    without one patient show. Of more than JACKKNIFED patients one Newton step stands for each fit (CR3, Bell &
    McCaffrey 2002, Survey Methodology 28:169), and the bias is nothing.
    """
    value, people = float(line[0]), np.unique(whose)
    k = len(people)
    if k < 2:
        return Interval(value, float("nan"), float("nan"))
    if k > JACKKNIFED:
        moved, bias = _steps(line, design, offset, truth, whose)[people, 0], 0.0
    else:
        left = np.tile(line, (k, 1))
        for _ in range(8):
            left = np.clip(left + _newton_steps(left, design, offset, truth, whose[None] != people[:, None]), -99, 99)
        moved = value - left[:, 0]
        bias = -(k - 1) * float(moved.mean())
        moved = moved - moved.mean()
    half = t * np.sqrt(float(moved @ moved) * (k - 1) / k)
    return Interval(value, min(value, value - bias - half), max(value, value - bias + half))


def _steps(line: Floats, design: Floats, offset: Floats, truth: Floats, whose: NDArray[np.int64]) -> Floats:
    """Return (patients, columns) how far one Newton step moves the line when a patient is left out, with its sign
    turned."""
    fitted = expit(design @ line + offset)
    weights = fitted * (1 - fitted)
    bread = np.linalg.pinv((design.T * weights) @ design)
    pulls = summed((design * (truth - fitted)[:, None]).T, whose).T
    products = (design[:, :, None] * design[:, None] * weights[:, None, None]).reshape(len(design), -1)
    own = summed(products.T, whose).T.reshape(-1, len(line), len(line))  # what each patient gives to the curvature
    return np.asarray(np.einsum("pij,pj->pi", np.linalg.pinv(np.eye(len(line)) - own @ bread), pulls) @ bread)


def _newton_steps(lines: Floats, design: Floats, offset: Floats, truth: Floats, kept: Bools) -> Floats:
    """Return (fits, columns) the Newton step of each of ``lines``, fitted to the films that are ``kept`` (fits, N)."""
    fitted = expit(lines @ design.T + offset)
    slopes = (kept * (truth - fitted)) @ design
    curves = np.einsum("fn,ni,nj->fij", kept * fitted * (1 - fitted), design, design, optimize=True)
    return np.asarray(np.einsum("fij,fj->fi", np.linalg.pinv(curves), slopes))
