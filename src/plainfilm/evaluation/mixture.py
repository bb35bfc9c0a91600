"""A threshold without labels: the scores of a new site's films as two hills, one a class, that may have moved.

A device or an age group may move the scores of one class, as when another room's normal films look more like illness.
The share of ill films that calibrated probabilities give is then wrong, and so is a threshold moved by it. Here each
class keeps the distribution that its scores had on the run's own films, whatever its form; how far each has moved and
which share each has are found from the new films' scores alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import kstest

Floats = NDArray[np.float64]

WEIGHT = 40.0  # films that speak for each hill where it was: it takes that many new ones to move it half-way
REACH, STEPS = 2.5, 33  # farthest move, in deviations of the classes' scores, and how many are tried
ROUNDS = 8  # of the share, a pair of moves
POINTS = 700  # of a smooth density
APART = 1.5  # deviations between the hills: nearer ones can't be told from one
FITTING = 0.01  # chance of scores that lie so far off the two hills, below which they are not two hills
LEAST_SHARE = 0.05  # of the films in the smaller hill
DRAWS = 40


@dataclass(frozen=True)
class Hill:
    """The scores of one class as a smooth density: a normal kernel of Silverman's width (1986, equation 3.28)."""

    grid: Floats  # (POINTS,) rising
    density: Floats  # (POINTS,)
    mean: float
    deviation: float

    @classmethod
    def of(cls, scores: Floats) -> Hill:
        """Return the hill of (N,) scores."""
        deviation = max(float(scores.std()), 1e-3)
        width = 1.06 * deviation * len(scores) ** -0.2
        grid = np.linspace(scores.min() - 4 * width, scores.max() + 4 * width, POINTS)
        density = np.exp(-(((grid[:, None] - scores) / width) ** 2) / 2).mean(1) / (width * np.sqrt(2 * np.pi))
        return cls(grid, density, float(scores.mean()), deviation)

    def log_density(self, scores: Floats) -> Floats:
        """Return the logarithm of the density at each score; beyond the hill a small one."""
        return np.asarray(np.log(np.interp(scores, self.grid, self.density, 0.0, 0.0) + 1e-9))

    def below(self, scores: Floats) -> Floats:
        """Return the share of the hill below each score."""
        share = np.cumsum(self.density) * (self.grid[1] - self.grid[0])
        return np.asarray(np.interp(scores, self.grid, share / share[-1], 0.0, 1.0))


@dataclass(frozen=True)
class Hills:
    """The two classes' hills, how far each has ``moved`` to larger scores, and the ``share`` of the positive one."""

    negative: Hill
    positive: Hill
    share: float
    moved: tuple[float, float] = (0.0, 0.0)

    @property
    def means(self) -> tuple[float, float]:
        """Where the hills' means are now."""
        return self.negative.mean + self.moved[0], self.positive.mean + self.moved[1]

    @property
    def deviation(self) -> float:
        """Mean deviation of the two."""
        return (self.negative.deviation + self.positive.deviation) / 2

    @property
    def apart(self) -> float:
        """Distance of the means in units of the mean deviation."""
        return (self.means[1] - self.means[0]) / self.deviation

    @property
    def valley(self) -> float:
        """The log-odds between the means where the mean of sensitivity and specificity is largest."""
        at = np.linspace(*self.means, 801)
        low, high = self.negative.below(at - self.moved[0]), self.positive.below(at - self.moved[1])
        return float(at[np.argmax(low - high)])

    def below(self, scores: Floats) -> Floats:
        """Return (N,) the share of films with lower scores than each, as the hills have it."""
        low, high = self.negative.below(scores - self.moved[0]), self.positive.below(scores - self.moved[1])
        return np.asarray((1 - self.share) * low + self.share * high)


def of_classes(scores: Floats, truth: NDArray[np.bool_]) -> Hills:
    """Return the hills of labelled films: ``scores`` (N,) log-odds of the positive class, ``truth`` (N,)."""
    return Hills(Hill.of(scores[~truth]), Hill.of(scores[truth]), float(truth.mean()))


@dataclass(frozen=True)
class Moves:
    """How likely each of N scores is under each move of each hill: what a fit needs, whichever films it is of."""

    known: Hills
    steps: Floats  # (STEPS,) moves
    low: Floats  # (STEPS, N) logarithms of the negative hill's density
    high: Floats  # (STEPS, N) of the positive one's

    @classmethod
    def of(cls, scores: Floats, known: Hills) -> Moves:
        """Return it for ``scores`` (N,)."""
        steps = np.linspace(-REACH, REACH, STEPS) * known.deviation
        low, high = (
            np.stack([hill.log_density(scores - step) for step in steps]) for hill in (known.negative, known.positive)
        )
        return cls(known, steps, low, high)

    def fitted(self, films: NDArray[np.int64], prevalence: float | None = None) -> Hills:
        """Return the hills that make the scores at ``films`` likeliest, of those still ``APART``.

        Every pair of moves is tried; the share is found by expectation maximisation, or is ``prevalence`` where that is
        known. A move of d deviations costs as much as WEIGHT films that lie d deviations off.
        """
        low, high, moves = self.low[:, films], self.high[:, films], self.steps
        cost = WEIGHT / 2
        found = (-np.inf, self.known)
        for first, own in zip(moves, low, strict=True):
            second = moves[self._apart(first)]
            if not len(second):
                continue
            other = high[self._apart(first)]
            share = _shares(other - own, prevalence or self.known.share, prevalence is None)
            likely = np.logaddexp(own + np.log(1 - share)[:, None], other + np.log(share)[:, None]).sum(1)
            likely -= cost * ((first / self.known.negative.deviation) ** 2)
            likely -= cost * ((second / self.known.positive.deviation) ** 2)
            best = int(likely.argmax())
            if likely[best] > found[0]:
                hills = replace(self.known, moved=(float(first), float(second[best])), share=float(share[best]))
                found = (float(likely[best]), hills)
        return found[1]

    def _apart(self, first: float) -> NDArray[np.bool_]:
        gap = self.known.positive.mean + self.steps - self.known.negative.mean - first
        return np.asarray(gap >= APART * self.known.deviation)


def _shares(ratio: Floats, start: float, free: bool) -> Floats:
    """Return (M,) shares of the positive hill for (M, N) logarithms of the densities' ratios."""
    share = np.full(len(ratio), start)
    for _ in range(ROUNDS if free else 0):
        share = expit(ratio + np.log(share / (1 - share))[:, None]).mean(1).clip(0.01, 0.99)
    return share


def fitted(scores: Floats, known: Hills, prevalence: float | None = None) -> Hills:
    """Return the hills of unlabelled ``scores`` (N,): see ``Moves.fitted``."""
    return Moves.of(scores, known).fitted(np.arange(len(scores)), prevalence)


def against(hills: Hills, scores: Floats) -> list[str]:
    """Return why the valley of ``hills`` must not be used on ``scores`` (N,); empty where nothing speaks against it."""
    found = []
    if not LEAST_SHARE <= hills.share <= 1 - LEAST_SHARE:
        found.append(f"nearly all films lie in one hill ({100 * max(hills.share, 1 - hills.share):.0f} %)")
    p = float(kstest(scores, hills.below).pvalue)
    if p < FITTING:
        found.append(f"the scores are not those of the two classes, moved (chance {p:.1g})")
    return found


def swayed(
    scores: Floats, known: Hills, prevalence: float | None, patients: NDArray[Any], rng: np.random.Generator
) -> Floats:
    """Return (DRAWS, 2) valley and share when ``patients`` (N,) are drawn anew (bootstrap of whole patients)."""
    names, which = np.unique(patients, return_inverse=True)
    order = np.argsort(which, kind="stable")
    films = np.split(order, np.cumsum(np.bincount(which))[:-1])
    moves, found = Moves.of(scores, known), []
    for _ in range(DRAWS):
        drawn = np.concatenate([films[i] for i in rng.integers(len(names), size=len(names))])
        hills = moves.fitted(drawn, prevalence)
        found.append((hills.valley, hills.share))
    return np.array(found)
