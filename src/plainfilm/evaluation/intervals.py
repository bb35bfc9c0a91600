"""95 % intervals by patient: shares, means, what is put together from them, and differences.

Films of a patient err together, so patients are counted, not films; where each has one film the figures are the plain
ones of the textbooks. Nothing is resampled. How often they hold the truth: ``tests/evaluation/coverage.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtri, stdtr, stdtrit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Whose = NDArray[Any]  # (N,) whose film each is: names, or numbers from 0


MANY = 1e9  # films, of which nobody has more


class Interval(NamedTuple):
    """An estimate with the bounds of its interval; NaN where the films can't tell."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Return ``{"value", "low", "high"}``, as in metrics.json."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        """Return ``0.952 (0.940 to 0.962)``, without bounds where there are none."""
        bounds = "" if np.isnan(self.low) else f" ({self.low:.3f} to {self.high:.3f})"
        return f"{self.value:.3f}{bounds}"


UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


def mean_of(each: Sequence[Interval]) -> Interval:
    """Return the mean of estimates on different patients, with the interval from theirs: arms add as variances do."""
    value, low, high = np.array(each, dtype=np.float64).T
    down, up = (float(np.sqrt(np.square(arm).sum())) / len(each) for arm in (value - low, high - value))
    middle = float(np.mean(value))
    return Interval(middle, middle - down, middle + up)


def ratio(a: ArrayLike, b: ArrayLike) -> Floats:
    """Return a / b, NaN where b is 0."""
    a, b = np.broadcast_arrays(a, b)
    return np.asarray(np.divide(a, b, out=np.full(a.shape, np.nan), where=b > 0))


def normal_quantile(level: float) -> float:
    """Return how many standard errors either side hold ``level`` of a normal distribution (1.96 for 0.95)."""
    return float(ndtri(0.5 + level / 2))


def student_quantile(level: float, df: float) -> float:
    """Return how many standard errors either side hold ``level`` where the error is known with ``df`` degrees of
    freedom (at least 1): few patients know their own spread badly."""
    return float(stdtrit(max(df, 1.0), 0.5 + level / 2))


# -- patients ---------------------------------------------------------------------------------------------------------


def numbered(patients: Whose) -> NDArray[np.int64]:
    """Return (N,) a number from 0 for each patient; numbers stay as they are, which is quick."""
    if patients.dtype.kind in "iu":
        return np.asarray(patients, dtype=np.int64)
    return np.asarray(np.unique(patients, return_inverse=True)[1], dtype=np.int64)


def worth_patients(whose: NDArray[np.int64]) -> float:
    """Return how many patients of equal size the films (N,) are worth: N² / Σ n² (Kish 1965, Survey Sampling, 8.2)."""
    sizes = np.bincount(whose).astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes @ sizes)) if len(whose) else 0.0


def summed(pulls: Floats | NDArray[np.int64], whose: NDArray[np.int64]) -> Floats:
    """Return the sum of ``pulls`` (N,) or (M, N) over each patient's films, (patients,) or (M, patients)."""
    if pulls.ndim == 1:
        return np.asarray(np.bincount(whose, pulls), dtype=np.float64)
    return np.stack([np.asarray(np.bincount(whose, row), dtype=np.float64) for row in pulls])


def spread(pulls: Floats, whose: NDArray[np.int64]) -> float:
    """Return the variance of an estimate from the ``pulls`` of its films (N,), whose sum is about 0: how far each moves
    it. Films of a patient pull together (the sandwich of Liang & Zeger 1986, doi 10.1093/biomet/73.1.13)."""
    sums, there = summed(pulls, whose), np.bincount(whose) > 0
    k = int(there.sum())
    return float(sums @ sums) * k / max(k - 1, 1)


# -- shares and means -------------------------------------------------------------------------------------------------


def wilson(successes: float, n: float, level: float = 0.95) -> Interval:
    """Return successes / n with Wilson's score interval; unknown when n is 0.

    It takes the n films as independent. Wilson 1927, doi 10.1080/01621459.1927.10502953; chosen for its coverage near
    0 and 1 (Brown, Cai & DasGupta 2001, doi 10.1214/ss/1009213286).
    """
    if n <= 0:
        return UNKNOWN
    z, share = normal_quantile(level), successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low = 0.0 if successes == 0 else centre - half  # exact at the ends, where rounding would leave 1e-18
    high = 1.0 if successes == n else centre + half
    return Interval(share, float(low), float(high))


def rate(values: Bools | Floats, patients: Whose, level: float = 0.95, cautious: bool = False) -> Interval:
    """Return the mean of ``values`` (N,), true or false or in 0..1, with its interval by patient.

    Shares of films of as many patients: Wilson's. Else Wilson's for as many independent films as these are worth: the
    share's variance by whole patients against that of one independent film, no more than N for a share, made fewer by
    the square of the normal over Student's quantile (Korn & Graubard 1998, Survey Methodology 24:193, with Wilson's in
    place of Clopper and Pearson's). That variance is itself a guess from few patients, and 0 where none errs; so the
    interval is no narrower than that of a flawless share on as many patients: ``at_least``.
    ``cautious``: as a part of another score. Wilson's bounds hold less than they say for some shares of few films, and
    Jeffreys' (Brown, Cai & DasGupta 2001) for others; then the outer ones are taken. Unknown without films.
    """
    n, whose = len(values), numbered(patients)
    if not n:
        return UNKNOWN
    share, alike = float(values.mean()), worth_patients(whose)
    alone, sure = values.dtype == bool and alike > n - 1e-9, share in (0.0, 1.0)
    worth = float(n) if alone else alike if sure else _worth_films(values, whose, level)
    found = Interval(share, *wilson(share * worth, worth, level)[1:])
    if worth > MANY:  # all films have the same value
        found = Interval(share, share, share)
    if cautious:
        ends = betaincinv(share * worth + 0.5, (1 - share) * worth + 0.5, [0.5 - level / 2, 0.5 + level / 2])
        found = Interval(share, min(found.low, float(ends[0])), max(found.high, float(ends[1])))
    return found if alone or sure else at_least(found, wilson(alike, alike, level).low)


def _worth_films(values: Bools | Floats, whose: NDArray[np.int64], level: float) -> float:
    """Return how many independent films these are worth, their mean m being a share: m (1 - m) over its variance."""
    n, m, alike = len(values), float(values.mean()), worth_patients(whose)
    alone = m * (1 - m)
    variance = spread((values - m) / n, whose) if alike > 1 else alone
    worth = alone / max(variance, alone / MANY**2)
    worth = min(worth, n) if values.dtype == bool else worth
    return float(worth * (normal_quantile(level) / student_quantile(level, alike - 1)) ** 2)


def at_least(found: Interval, flawless: float) -> Interval:
    """Return ``found`` (in 0..1) no narrower than the interval of a flawless result on as many patients, whose lower
    bound is ``flawless``: one error never makes an interval narrower. It is widened towards the middle; where there was
    no width at all, to both sides."""
    value, low, high = found
    if low == high:
        return Interval(value, value * flawless, 1 - (1 - value) * flawless)
    if value >= 0.5:
        return Interval(value, max(min(low, high - 1 + flawless), 0.0), high)
    return Interval(value, low, min(max(high, low + 1 - flawless), 1.0))


def together(value: float, parts: Sequence[Interval], weights: Floats, correlation: Floats | None = None) -> Interval:
    """Return Σ weights · parts, which is ``value``, with an interval from those of its parts (MOVER).

    Each bound recovers a variance from the parts' bounds, so that it has width where they have, also at 0 and 1.
    weights: (M,) above 0; correlation: (M, M) of the parts' estimates, none unless given. Newcombe 1998,
    doi 10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I; Zou & Donner 2008, doi 10.1002/sim.3095.
    """
    known = np.eye(len(parts)) if correlation is None else correlation
    below = weights * np.array([part.value - part.low for part in parts])
    above = weights * np.array([part.high - part.value for part in parts])
    return Interval(value, value - float(np.sqrt(below @ known @ below)), value + float(np.sqrt(above @ known @ above)))


def correlations(pulls: Floats, whose: NDArray[np.int64], unknown: float) -> Floats:
    """Return (M, M) the correlation of M estimates from their films' ``pulls`` (M, N), patients whole, never below 0;
    ``unknown`` where an estimate has no spread to tell it by."""
    sums = summed(pulls, whose)
    products = sums @ sums.T
    size = np.sqrt(np.diag(products))
    known = np.outer(size, size) > 1e-24
    found = np.divide(products, np.outer(size, size), out=np.full(products.shape, unknown), where=known)
    np.fill_diagonal(found, 1.0)
    return np.asarray(np.clip(found, 0.0, 1.0))


# -- estimates and their differences -----------------------------------------------------------------------------------


class Estimate(NamedTuple):
    """A score with the pull of each film on it: its derivative by the film's weight, (N,), whose sum is 0."""

    value: float
    pulls: Floats


class Gap(NamedTuple):
    """A difference of two estimates on the same films, its standard error, and the degrees of freedom of that."""

    value: float
    error: float
    df: float

    @property
    def p(self) -> float:
        """The two-sided p-value that there is none."""
        if np.isnan(self.value) or self.error <= 0:
            return 1.0 if self.value == 0 else float("nan")
        return float(2 * stdtr(max(self.df, 1.0), -abs(self.value) / self.error))

    def interval(self, level: float = 0.95) -> Interval:
        """The difference with its interval at ``level``, which leaves out 0 where p < 1 - level."""
        half = student_quantile(level, self.df) * self.error
        return Interval(self.value, self.value - half, self.value + half)


def mean_interval(values: Floats, patients: Whose, level: float = 0.95) -> Interval:
    """Return the mean of ``values`` (N,) of any size with Student's interval by patient; bounds need two patients."""
    whose = numbered(patients)
    if not len(values):
        return UNKNOWN
    mean, alike = float(values.mean()), worth_patients(whose)
    if int(whose.max()) == int(whose.min()):
        return Interval(mean, float("nan"), float("nan"))
    return Gap(mean, float(np.sqrt(spread((values - mean) / len(values), whose))), alike - 1).interval(level)


def gap(first: Estimate, second: Estimate, whose: NDArray[np.int64], unseen: float = 0.0) -> Gap:
    """Return first - second from the pulls of the films (N,), by patient.

    ``unseen``: by how much a single film that both decide otherwise moves it. Two more patients are counted who do, one
    either way and as far as those that do, so that equal decisions on these films are no proof of equal models (for
    independent films Bonett & Price 2012, doi 10.3102/1076998611411915).
    """
    pulls = first.pulls - second.pulls
    sums = summed(pulls, whose)
    k = int((np.bincount(whose) > 0).sum())
    moving = sums[np.abs(sums) > 1e-12]
    usual = max(float(np.sqrt(np.mean(moving**2))) if unseen and moving.size else 0.0, unseen)
    variance = spread(pulls, whose) + (2 * usual**2 if unseen else 0.0)
    return Gap(first.value - second.value, float(np.sqrt(variance)), max(min(worth_patients(whose), k) - 1, 1.0))
