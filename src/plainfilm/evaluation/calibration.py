"""Do the probabilities mean what they say: reliability, temperature, the refer band, and shifts of prevalence."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import expit, logsumexp

from plainfilm.errors import InputError
from plainfilm.evaluation.decision import FLOOR, TINY, Band, log_odds
from plainfilm.evaluation.intervals import (
    UNKNOWN,
    Bools,
    Floats,
    Interval,
    Whose,
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
TEMPERATURES = (1 / 20, 20.0)
USELESS = 0.5  # share of films for a reader above which a band spares nobody anything
FOLDS, FEWEST, WRONG = 8, 10, 3  # of cross-fitting; films of a class, and errors, without which nothing is calibrated
TO_MOVE, TO_SOFTEN, TO_SHARPEN = 1.65, 1.0, 2.0  # standard errors of a gain; below, calibrating 48 films can do harm


# -- reliability ------------------------------------------------------------------------------------------------------


def equal_mass_bins(sizes: NDArray[np.int64], bins: int = BINS) -> NDArray[np.int64]:
    """Return the bin 0..bins-1 of each of G groups, sorted by score, from their numbers of films (G,).

    A group (the films of one score) goes where the middle of its mass lies, so ties are never cut in two and the
    order of the rows can't matter.
    """
    middle = np.cumsum(sizes) - sizes / 2
    return np.asarray(np.minimum(bins * middle / sizes.sum(), bins - 1), dtype=np.int64)


def binned(score: Floats, bins: int = BINS) -> NDArray[np.int64]:
    """Return the bin 0..bins-1 of each score (N,): bins of equal mass, see ``equal_mass_bins``."""
    order, starts = _groups(score)
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
    shown, chance = sums.sum(axis=1) / len(score), _chance(truth, score, whose, sums, bins) / len(score) ** 2
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


def _chance(truth: Bools, score: Floats, whose: NDArray[np.int64], sums: Floats, bins: NDArray[np.int64]) -> Floats:
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


def _groups(score: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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


# -- temperature ------------------------------------------------------------------------------------------------------


def fit_temperature(p: Predictions) -> float:
    """Return the temperature T, 1/20..20, that makes the labels of ``p`` (validation films) most likely under
    softmax(log p / T).

    Guo et al. 2017, arXiv 1706.04599; the search runs over log T, which is held back a little (one unit of L2, against
    the sum over the films): films separated without error would ask for T = 0, and a dozen films for anything. T is 1
    without films.
    """
    logs = np.log(np.maximum(p.probabilities, TINY))
    told = np.take_along_axis(logs, p.labels[:, None], axis=1)[:, 0]

    def loss(log_t: float) -> float:
        misfit = logsumexp(logs / np.exp(log_t), axis=1) - told / np.exp(log_t)
        return float(misfit.sum() + log_t**2 / 2)

    if not len(p) or np.ptp(logs, axis=1).max() < 1e-9:
        return 1.0
    bounds = tuple(np.log(TEMPERATURES))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8}).x))


def fit_offsets(p: Predictions) -> Floats:
    """Return (K,) what to add to the logits log p of ``p`` (validation films) so that a temperature can calibrate them.

    Class weights and label smoothing move all probabilities one way, which a temperature alone can't undo: temperature
    T and offsets b are fitted together, softmax(log p / T + b), and T b is returned (Alexandari et al. 2020,
    arXiv 1901.06852). Labels count as (n + 1) / (n + K) of their class, n its number of films, so that no offset is
    without bound where the films are separated without error (Platt 1999). Zeros without films of every class.
    """
    counts = np.bincount(p.labels, minlength=len(p.classes))
    if not counts.all():
        return np.zeros(len(p.classes))
    logs = np.log(np.maximum(p.probabilities, TINY))
    sure = (counts + 1) / (counts + len(counts))
    targets = np.tile(((1 - sure) / (len(counts) - 1))[p.labels, None], (1, len(counts)))
    np.put_along_axis(targets, p.labels[:, None], sure[p.labels, None], axis=1)

    def loss(x: Floats) -> float:
        z = logs / np.exp(x[0]) + np.append(0.0, x[1:])
        return float((logsumexp(z, axis=1) - (targets * z).sum(axis=1)).mean())

    found = minimize(
        loss, np.zeros(len(counts)), bounds=[tuple(np.log(TEMPERATURES)), *[(-20, 20)] * (len(counts) - 1)]
    )
    offsets = np.exp(found.x[0]) * np.append(0.0, found.x[1:])
    return np.asarray(offsets - offsets.mean())


class Gain(NamedTuple):
    """How much less log loss per film a calibration has on films that it was not fitted to, and its standard error."""

    value: float
    error: float

    def shown(self, errors: float) -> bool:
        """Whether it is more than so many standard errors."""
        return self.value > errors * self.error


def crossfitted_gain(p: Predictions, offsets: bool) -> Gain:
    """Return what calibrating films like ``p`` (validation films) gains: a temperature, with ``offsets`` before it, is
    fitted to all patients but an eighth, and the log loss of that eighth is compared with the one as it is.

    No gain where a class has fewer than FEWEST films, fewer than WRONG are on the wrong side (how sure a model may be
    is told by its errors alone: films without any ask for ever surer ones), or there are fewer than eight patients.
    """
    whose = numbered(p.patients)
    people = int(whose.max()) + 1 if len(p) else 0
    errors = int((p.probabilities.argmax(axis=1) != p.labels).sum())
    if people < FOLDS or errors < WRONG or np.bincount(p.labels, minlength=len(p.classes)).min() < FEWEST:
        return Gain(0.0, 0.0)
    fold = np.random.default_rng(0).permutation(people)[whose] % FOLDS
    after = np.empty(len(p))
    for number in range(FOLDS):
        rest, left = p.take(np.flatnonzero(fold != number)), np.flatnonzero(fold == number)
        moves = fit_offsets(rest) if offsets else np.zeros(len(p.classes))
        temperature = fit_temperature(_moved(rest, moves, 1.0))
        after[left] = _log_loss(_moved(p.take(left), moves, temperature))
    gains = summed(_log_loss(p) - after, whose)
    spread = np.sqrt(float(np.square(gains - gains.mean()).sum()) * people / (people - 1))
    return Gain(float(gains.sum() / len(p)), float(spread / len(p)))


def proven_offsets(p: Predictions) -> Floats | None:
    """Return ``fit_offsets`` of validation films where cross-fitting shows that they help, else None."""
    return fit_offsets(p) if crossfitted_gain(p, offsets=True).shown(TO_MOVE) else None


def proven_temperature(p: Predictions) -> float:
    """Return ``fit_temperature`` of validation films where cross-fitting shows that it helps, else 1; surer
    probabilities need more to be shown, as they cost more where they are wrong."""
    found = fit_temperature(p)
    return found if crossfitted_gain(p, offsets=False).shown(TO_SOFTEN if found > 1 else TO_SHARPEN) else 1.0


def _moved(p: Predictions, offsets: Floats, temperature: float) -> Predictions:
    return replace(p, probabilities=moved(p.probabilities, offsets, temperature))


def moved(probabilities: Floats, offsets: Floats, temperature: float) -> Floats:
    """Return (N, K) softmax((log p + offsets) / temperature) of (N, K) probabilities."""
    logits = (np.log(np.maximum(probabilities, TINY)) + offsets) / temperature
    return np.asarray(np.exp(logits - logsumexp(logits, axis=1, keepdims=True)))


def _log_loss(p: Predictions) -> Floats:
    told = np.take_along_axis(p.probabilities, p.labels[:, None], axis=1)[:, 0]
    return np.asarray(-np.log(np.maximum(told, TINY)))


# -- referring films to a reader --------------------------------------------------------------------------------------


class ReferBand(NamedTuple):
    """A band for a reader, and the share of films kept and of errors among them on the films it was chosen on."""

    band: Band
    coverage: float
    error: float


class RiskCoverage(NamedTuple):
    """The share of films kept, surest first, and the share of errors among them; ``area`` is the mean risk."""

    coverage: Floats
    risk: Floats
    area: float


def certainty(p: Predictions) -> Floats:
    """Return (N,) how sure each decision is, in log-odds: with two classes the distance from the threshold, with more
    the log-odds of the likeliest class."""
    if not p.decision.two:
        return log_odds(np.sort(p.probabilities, axis=1), -1)
    return np.abs(log_odds(p.probabilities, p.decision.column) - _odds_of(p.decision.threshold))


def _odds_of(threshold: float | Floats) -> Floats:
    probability = np.atleast_1d(threshold)
    return log_odds(np.stack([1 - probability, probability], axis=1), 1)


def risk_coverage(p: Predictions) -> RiskCoverage:
    """Return the risk-coverage curve (El-Yaniv & Wiener 2010, JMLR 11:1605), one point for each distinct certainty.

    Films that are equally sure are kept or referred together.
    """
    wrong = p.decided != p.labels
    order, starts = _groups(-certainty(p))
    sizes = np.diff(starts, append=len(order))
    kept = np.cumsum(sizes)
    risk = np.cumsum(np.add.reduceat(wrong[order].astype(np.float64), starts)) / kept
    return RiskCoverage(kept / len(order), risk, float((risk * sizes).sum() / len(order)))


def refer_band(p: Predictions, *, error: float | None = None, share: float | None = None) -> ReferBand:
    """Return the band of films to refer, chosen on validation films ``p``; symmetric in log-odds about their threshold.

    ``error``: the narrowest band that leaves at most this share of errors among the films kept. ``share``: the
    narrowest band that refers at least this share of films. Exactly one is given, in 0..1. Where no band reaches the
    error, every film is referred (coverage 0). Test films will err a little more than these: the band was fitted here.
    """
    wanted = error if error is not None else share
    if wanted is None or (error is not None and share is not None) or not 0 <= wanted <= 1:
        raise InputError("A refer band needs either an error or a share of films to refer, between 0 and 1.")
    curve = risk_coverage(p)
    meets = curve.risk <= wanted if error is not None else curve.coverage <= 1 - wanted + 1e-12
    if not meets.any():
        return ReferBand(Band(0.0, 1.0), 0.0, float("nan"))  # log-odds end at ±27.6, so no film is at 1 itself
    last = int(np.flatnonzero(meets)[-1])
    levels = np.unique(certainty(p))[::-1]
    # Halfway between the last film kept and the first referred, so that rounding can't move a film across.
    reach = float(levels[last] + levels[last + 1]) / 2 if last + 1 < len(levels) else 0.0
    kept = float(curve.coverage[last]), float(curve.risk[last])
    if reach == 0:
        return ReferBand(Band(float(p.decision.threshold), float(p.decision.threshold)), *kept)
    if not p.decision.two:
        return ReferBand(Band(0.0, float(expit(reach))), *kept)
    middle = float(_odds_of(p.decision.threshold)[0])
    return ReferBand(Band(float(expit(middle - reach)), float(expit(middle + reach))), *kept)


def useless(share: float) -> str:
    """Return that a band is useless where it refers more than half of the films, a ``share`` in 0..1; else nothing."""
    return "More than half of the films go to a reader: such a band is useless." if share > USELESS else ""


# -- prevalence -------------------------------------------------------------------------------------------------------


def adjust_prevalence(probabilities: Floats, trained: Floats, given: Floats) -> Floats:
    """Return (N, K) probabilities for films where the classes have shares ``given`` instead of ``trained`` (both (K,)).

    Only the shares may have changed, not how a film of a class looks. Saerens et al. 2002, equation 2.4,
    doi 10.1162/089976602753284446. ``trained`` must be above 0 for every class.
    """
    if np.any(trained <= 0):
        raise InputError("A class with no training films has no share to adjust; leave it out or train with it.")
    weighed = np.maximum(probabilities, FLOOR) * (given / trained)
    return np.asarray(weighed / weighed.sum(axis=1, keepdims=True))


def estimate_prevalence(probabilities: Floats, trained: Floats, rounds: int = 10_000) -> Floats:
    """Return (K,) the class shares among unlabelled films, by expectation maximisation from the probabilities alone.

    Saerens et al. 2002, equation 2.9: it needs calibrated probabilities and films that look, class by class, like the
    training films; so the result is an estimate and must be shown as one.
    """
    shares = trained
    for _ in range(rounds):
        renewed = adjust_prevalence(probabilities, trained, shares).mean(axis=0)
        if np.abs(renewed - shares).max() < 1e-9:
            break
        shares = renewed
    return shares


def prevalence_interval(
    score: Floats, trained: float, estimate: float, patients: Whose | None = None, level: float = 0.95
) -> Interval:
    """Return the ``estimate`` of ``estimate_prevalence`` for two classes with its interval: the shares whose likelihood
    is too little below its largest to be left out (Wilks 1938, doi 10.1214/aoms/1177732360), the difference divided by
    how much more whole patients sway it than as many independent films.

    score: (N,) probability of the positive class; ``trained``: its share in training. The films are taken to look,
    class by class, as in training: that is not in the interval.
    """
    whose = np.arange(len(score)) if patients is None else numbered(patients)
    ill, well = np.maximum(score, FLOOR) / trained, np.maximum(1 - score, FLOOR) / (1 - trained)

    def likelihood(share: float) -> float:
        return float(np.log(share * ill + (1 - share) * well).sum())

    best = float(np.clip(estimate, 1e-9, 1 - 1e-9))
    pulls = (ill - well) / (best * ill + (1 - best) * well)
    effect = max(1.0, float(np.square(summed(pulls - pulls.mean(), whose)).sum()) / max(float(pulls @ pulls), 1e-12))
    reach = student_quantile(level, worth_patients(whose) - 1) ** 2 * effect / 2

    def lacking(share: float) -> float:
        return likelihood(best) - likelihood(share) - reach

    ends = ((1e-9, best), (1 - 1e-9, best))
    low, high = (
        float(brentq(lacking, *end)) if lacking(end[0]) > 0 and end[0] != best else round(end[0]) for end in ends
    )
    return Interval(estimate, min(low, estimate), max(high, estimate))
