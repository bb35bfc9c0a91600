"""How many films a study needs: for intervals of a given width, for a difference between models, for a drop elsewhere.

Every number of films is for independent films times the design effect: films of one patient tell less than as many
films of as many patients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr, ndtri

from plainfilm.errors import InputError
from plainfilm.evaluation.areas import placements
from plainfilm.evaluation.intervals import Floats, normal_quantile, wilson

MOST = 10**9  # films; what needs more can't be had
SIZES = (50, 100, 200, 500, 1_000, 2_000, 5_000)  # of the table of widths
RARER = 10  # films of the rarer class at least: with fewer, errors of areas by formula can't be believed
GRID = 4_001  # points of numerical integration over the log-odds


@dataclass(frozen=True)
class Assumed:
    """What is taken for true of the films to come.

    prevalence: share of positive films, 0..1; sensitivity, specificity, auroc: 0..1; films_per_patient >= 1;
    icc: intra-patient correlation of right and wrong decisions, 0..1; log_odds: (N,) of a pilot's films, or None:
    then two normal distributions of one variance that give this area and are calibrated.
    """

    prevalence: float = 0.5
    sensitivity: float = 0.9
    specificity: float = 0.9
    auroc: float = 0.95
    films_per_patient: float = 1.0
    icc: float = 0.5
    log_odds: Floats | None = None

    def __post_init__(self) -> None:
        wrong = [
            f"{name}={value:g} is outside {low:g} to {high:g}"
            for name, low, high in (
                ("prevalence", 0.0001, 0.9999),
                ("sensitivity", 0.01, 1),
                ("specificity", 0.01, 1),
                ("auroc", 0.5, 0.9999),
                ("films_per_patient", 1, 1000),
                ("icc", 0, 1),
            )
            if not low <= (value := getattr(self, name)) <= high
        ]
        if wrong:
            raise InputError(f"plan: {'; '.join(wrong)}.")

    @property
    def effect(self) -> float:
        """The design effect 1 + (m - 1) icc of m films a patient (Kish 1965, section 5.4)."""
        return 1 + (self.films_per_patient - 1) * self.icc

    def films(self, independent: float) -> Needed:
        """Return the films, patients and positive films that are worth so many ``independent`` films."""
        films = int(np.ceil(independent * self.effect - 1e-9))
        return Needed(films, int(np.ceil(films / self.films_per_patient)), round(films * self.prevalence))


class Needed(NamedTuple):
    """A size of study."""

    films: int
    patients: int
    positives: int


def intracluster_correlation(values: Floats, patients: NDArray[Any]) -> float:
    """Return the intra-patient correlation of ``values`` (N,), 0..1: the analysis of variance's estimator.

    0 where no patient has two films, or values don't differ. Donner 1986, doi 10.2307/1403259.
    """
    _, whose = np.unique(patients, return_inverse=True)
    sizes = np.bincount(whose)
    k, n = len(sizes), len(values)
    if k < 2 or n == k:
        return 0.0
    means = np.bincount(whose, values) / sizes
    between = float(sizes @ (means - values.mean()) ** 2) / (k - 1)
    within = float(((values - means[whose]) ** 2).sum()) / (n - k)
    typical = (n - float(sizes @ sizes) / n) / (k - 1)
    total = between + (typical - 1) * within
    return float(np.clip((between - within) / total, 0, 1)) if total > 0 else 0.0


def share_width(share: float, n: float) -> float:
    """Return the width of Wilson's 95 % interval of a share 0..1 of ``n`` independent films."""
    _, low, high = wilson(share * n, n)
    return high - low


def area_error(auroc: float, prevalence: float, n: float) -> float:
    """Return the standard error of an area under the ROC curve of ``n`` independent films.

    Newcombe 2006, doi 10.1002/sim.2324, as Riley et al. 2021 use it (doi 10.1002/sim.9025, equation 9).
    """
    half = n / 2 - 1
    spread = 1 + half * (1 - auroc) / (2 - auroc) + half * auroc / (1 + auroc)
    return float(np.sqrt(auroc * (1 - auroc) * spread / (n**2 * prevalence * (1 - prevalence))))


def area_width(auroc: float, prevalence: float, n: float) -> float:
    """Return the width of the 95 % interval of an area under the ROC curve of ``n`` independent films."""
    return 2 * normal_quantile(0.95) * area_error(auroc, prevalence, n)


def _least(assumed: Assumed) -> int:
    return int(np.ceil(RARER / min(assumed.prevalence, 1 - assumed.prevalence)))


def smallest(holds: Callable[[float], bool], least: int = 4) -> int:
    """Return the smallest n >= ``least`` for which ``holds``, which must stay true from there on; InputError above
    a thousand million."""
    high = least
    while not holds(high):
        high *= 2
        if high > MOST:
            raise InputError("plan: no study is large enough; ask for a wider interval or a larger difference.")
    low = max(least - 1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def precision(assumed: Assumed, width: float) -> dict[str, Needed]:
    """Return the study that gives each score a 95 % interval of ``width`` (0..1): sensitivity, specificity, auroc."""
    _inside("width", width, 0.001, 0.9)
    ill, well = assumed.prevalence, 1 - assumed.prevalence
    return {
        "sensitivity": assumed.films(smallest(lambda n: share_width(assumed.sensitivity, n) <= width) / ill),
        "specificity": assumed.films(smallest(lambda n: share_width(assumed.specificity, n) <= width) / well),
        "auroc": assumed.films(smallest(lambda n: area_width(assumed.auroc, ill, n) <= width, _least(assumed))),
    }


def widths(assumed: Assumed, films: int) -> dict[str, float]:
    """Return the width of each score's 95 % interval with so many ``films``."""
    n = films / assumed.effect
    return {
        "sensitivity": share_width(assumed.sensitivity, n * assumed.prevalence),
        "specificity": share_width(assumed.specificity, n * (1 - assumed.prevalence)),
        "auroc": area_width(assumed.auroc, assumed.prevalence, n),
    }


def validation(
    assumed: Assumed,
    oe_width: float = 0.2,
    slope_width: float = 0.2,
    area_wide: float = 0.1,
    threshold: float | None = None,
    benefit_width: float = 0.2,
) -> dict[str, Needed]:
    """Return the study that an external validation needs, by criterion: Riley et al. 2021, doi 10.1002/sim.9025.

    Observed over expected positives (95 % interval ``oe_width`` wide), calibration slope, area under the ROC curve and,
    with a risk ``threshold`` 0..1, the standardised net benefit there. Model and films are taken as calibrated.
    """
    z, ill = normal_quantile(0.95), assumed.prevalence
    error = np.arcsinh(oe_width / 2) / z  # of the logarithm: exp(z s) - exp(-z s) = width
    found = {
        "observed/expected": assumed.films((1 - ill) / (ill * error**2)),
        "calibration_slope": assumed.films(_slope_information(assumed) / (slope_width / (2 * z)) ** 2),
        "auroc": assumed.films(smallest(lambda n: area_width(assumed.auroc, ill, n) <= area_wide, _least(assumed))),
    }
    if threshold is not None:
        _inside("threshold", threshold, 0.0001, 0.9999)
        variance = _benefit_variance(assumed.sensitivity, assumed.specificity, ill, threshold)
        found["net_benefit"] = assumed.films(variance / (benefit_width / (2 * z)) ** 2)
    return found


def difference_of_areas(assumed: Assumed, difference: float, correlation: float, power: float) -> Needed:
    """Return the study that shows, with this ``power``, that one model's area is ``difference`` above the other's.

    Both are measured on the same films, their areas correlated by ``correlation`` (0..1): Hanley & McNeil 1983,
    doi 10.1148/radiology.148.3.6878708, section "sample size", with Newcombe's errors.
    """
    _inside("difference", difference, 0.0005, 0.5)
    _inside("correlation", correlation, 0, 0.999)
    z = _quantiles(power)
    better = min(assumed.auroc + difference, 0.9999)

    def shown(n: float) -> bool:
        a, b = (area_error(area, assumed.prevalence, n) for area in (assumed.auroc, better))
        return bool(z * np.sqrt(a**2 + b**2 - 2 * correlation * a * b) <= difference)

    return assumed.films(smallest(shown, _least(assumed)))


def difference_of_accuracies(assumed: Assumed, difference: float, disagree: float, power: float) -> Needed:
    """Return the study that shows by McNemar's test a ``difference`` of accuracy between models that decide a share
    ``disagree`` of all films differently. Connor 1987, doi 10.2307/2531961."""
    _inside("difference", difference, 0.0005, 0.5)
    if not difference < disagree <= 1:
        raise InputError(f"plan: models that differ by {difference:g} disagree on more films than {disagree:g}.")
    a, b = normal_quantile(0.95), float(ndtri(power))
    n = (a * np.sqrt(disagree) + b * np.sqrt(disagree - difference**2)) ** 2 / difference**2
    return assumed.films(n)


def drop(assumed: Assumed, by: float, power: float) -> dict[str, Needed]:
    """Return the study at a new site that finds a fall ``by`` so much below each score, with this ``power``.

    Two-sided 5 %: one sample against the known share (Fleiss 1981, section 2.2), and against the known area.
    """
    _inside("drop", by, 0.001, 0.5)
    z, b = normal_quantile(0.95), float(ndtri(power))

    def share(known: float) -> float:
        now = known - by
        if now <= 0:
            raise InputError(f"plan: a score of {known:g} can't fall by {by:g}.")
        return float(((z * np.sqrt(known * (1 - known)) + b * np.sqrt(now * (1 - now))) / by) ** 2)

    area = assumed.auroc - by
    known, now = assumed.auroc, max(area, 0.5)

    def seen(n: float) -> bool:
        errors = [area_error(value, assumed.prevalence, n) for value in (known, now)]
        return z * errors[0] + b * errors[1] <= known - now

    return {
        "sensitivity": assumed.films(share(assumed.sensitivity) / assumed.prevalence),
        "specificity": assumed.films(share(assumed.specificity) / (1 - assumed.prevalence)),
        "auroc": assumed.films(smallest(seen, _least(assumed))),
    }


def _quantiles(power: float) -> float:
    _inside("power", power, 0.05, 0.999)
    return normal_quantile(0.95) + float(ndtri(power))


def _inside(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"plan: {name}={value:g} is outside {low:g} to {high:g}.")


def _slope_information(assumed: Assumed) -> float:
    """Return the variance of the calibration slope times the number of films, at a true slope of 1 and intercept of 0.

    Riley et al. 2021, equation 5: the inverse of the information of a logistic regression on the log-odds.
    """
    points, weights = log_odds_distribution(assumed)
    chance = expit(points)
    pull = weights * chance * (1 - chance)
    a, ab, b = pull.sum(), (pull * points).sum(), (pull * points**2).sum()
    return float(a / (a * b - ab**2))


def log_odds_distribution(assumed: Assumed) -> tuple[Floats, Floats]:
    """Return points and weights (sum 1) of the films' log-odds: a pilot's, or by area and prevalence.

    Without a pilot both classes are normal with the variance d² for which the area is right (d = sqrt(2) times its
    normal quantile), d²/2 either side of the prevalence's log-odds: then log-odds are calibrated (Riley et al. 2021,
    section 3.3.2).
    """
    if assumed.log_odds is not None:
        return assumed.log_odds, np.full(len(assumed.log_odds), 1 / len(assumed.log_odds))
    d = max(float(np.sqrt(2) * ndtri(assumed.auroc)), 1e-3)
    middle = float(logit(assumed.prevalence))
    return normal_mixture([middle - d**2 / 2, middle + d**2 / 2], d, [1 - assumed.prevalence, assumed.prevalence])


def normal_mixture(means: list[float], deviation: float, shares: list[float]) -> tuple[Floats, Floats]:
    """Return points and weights of normal distributions of one ``deviation``, mixed by ``shares``."""
    points = np.linspace(min(means) - 8 * deviation, max(means) + 8 * deviation, GRID)
    edges = np.concatenate([[-np.inf], (points[1:] + points[:-1]) / 2, [np.inf]])
    steps = [share * np.diff(ndtr((edges - mean) / deviation)) for mean, share in zip(means, shares, strict=True)]
    return points, np.sum(steps, axis=0)


def _benefit_variance(sensitivity: float, specificity: float, prevalence: float, threshold: float) -> float:
    """Return n times the variance of the standardised net benefit (Marsh et al. 2020, doi 10.1111/biom.13190)."""
    w = (1 - prevalence) / prevalence * threshold / (1 - threshold)
    false = 1 - specificity
    return float(
        sensitivity * (1 - sensitivity) / prevalence
        + w**2 * false * specificity / (1 - prevalence)
        + w**2 * false**2 / (prevalence * (1 - prevalence))
    )


def piloted(positive: NDArray[np.bool_], called: NDArray[np.bool_], chance: Floats, patients: NDArray[Any]) -> Assumed:
    """Return what a pilot's N films say: truth, decisions, probabilities 0..1 of the positive class, patients (N,).

    InputError unless there are two films of either kind, since then its scores are not known.
    """
    if min(positive.sum(), (~positive).sum()) < 2:
        raise InputError("plan --pilot: it needs at least two positive and two negative films.")
    below, _ = placements(positive, chance[None])
    right = (called == positive).astype(np.float64)
    return Assumed(
        prevalence=float(positive.mean()),
        sensitivity=max(float(called[positive].mean()), 0.01),
        specificity=max(float((~called[~positive]).mean()), 0.01),
        auroc=float(np.clip(below.mean(), 0.5, 0.9999)),
        films_per_patient=len(positive) / len(np.unique(patients)),
        icc=intracluster_correlation(right, patients),
        log_odds=logit(np.clip(chance, 1e-12, 1 - 1e-12)),
    )
