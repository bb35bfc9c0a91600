"""Ways to choose the next points to try, all behind one protocol: ask for a generation, tell what it cost.

Every algorithm moves in the box -1..1 of any number of dimensions, so 0 is the middle of every range, and every one is
determined by its generator and by what it was told. TPE and the genetic algorithm are Optuna's, CMA-ES is cmaes'. The
others are a few lines each; the libraries that have them bring a serialiser that runs code, or pin an old NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, Protocol

import numpy as np

from plainfilm.errors import InputError, did_you_mean
from plainfilm.evaluation.intervals import Floats
from plainfilm.search.space import box

MANY = 100  # dimensions whose full covariance costs more than most trials
SEVERAL = ("random", "grid", "tpe", "ga")  # those that take more than one objective


class Algorithm(Protocol):
    """What chooses points. ``ask`` and ``tell`` come in turn."""

    def ask(self) -> Floats:
        """Return the next generation: (M, D) points in -1..1; none when there is nothing left to try."""

    def tell(self, costs: Floats) -> None:
        """Take the costs (M, objectives) of the points that were asked for last; smaller is better."""


class Random:
    """Points drawn evenly: the control that everything else has to beat (Bergstra & Bengio 2012, JMLR 13:281)."""

    def __init__(self, dimensions: int, size: int, rng: np.random.Generator) -> None:
        self.shape, self.rng = (size, dimensions), rng

    def ask(self) -> Floats:
        """See Algorithm."""
        return self.rng.uniform(-1, 1, self.shape)

    def tell(self, costs: Floats) -> None:
        """Nothing is learnt."""


class Grid:
    """Every combination of evenly spaced levels, in random order: as many levels as ``budget`` points allow, 2 at
    least. With L levels they lie in the middle of L equal cells."""

    def __init__(self, dimensions: int, size: int, rng: np.random.Generator, budget: int) -> None:
        if dimensions > 16:
            raise InputError(
                f"A grid in {dimensions} dimensions has more than 65,536 points; choose another --algorithm."
            )
        levels = max(2, int(budget ** (1 / dimensions) + 1e-9))
        places = (np.arange(levels) + 0.5) / levels * 2 - 1
        points = np.array(list(product(places, repeat=dimensions)))
        self.points, self.size = points[rng.permutation(len(points))], size

    def ask(self) -> Floats:
        """See Algorithm."""
        asked, self.points = self.points[: self.size], self.points[self.size :]
        return asked

    def tell(self, costs: Floats) -> None:
        """Nothing is learnt."""


class FromOptuna:
    """One of Optuna's samplers (Akiba et al. 2019, doi 10.1145/3292500.3330701)."""

    def __init__(self, sampler: Any, dimensions: int, size: int, objectives: int, start: Floats | None) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.size = size
        self.names = [f"x{i:03d}" for i in range(dimensions)]
        self.study = optuna.create_study(sampler=sampler, directions=["minimize"] * objectives)
        self.ranges: dict[str, Any] = {name: optuna.distributions.FloatDistribution(-1.0, 1.0) for name in self.names}
        if start is not None:
            self.study.enqueue_trial(dict(zip(self.names, start.tolist(), strict=True)))
        self.asked: list[Any] = []

    def ask(self) -> Floats:
        """See Algorithm."""
        self.asked = [self.study.ask(self.ranges) for _ in range(self.size)]
        return np.array([[trial.params[name] for name in self.names] for trial in self.asked])

    def tell(self, costs: Floats) -> None:
        """See Algorithm."""
        for trial, row in zip(self.asked, costs.tolist(), strict=True):
            self.study.tell(trial, row)


class CmaEs:
    """Covariance matrix adaptation (Hansen & Ostermeier 2001, doi 10.1162/106365601750190398), by cmaes; beyond
    ``MANY`` dimensions of the matrix's diagonal only (Ros & Hansen 2008, doi 10.1007/978-3-540-87700-4_30)."""

    def __init__(self, dimensions: int, size: int, rng: np.random.Generator, start: Floats | None, step: float) -> None:
        import cmaes  # type: ignore[import-untyped]

        self.dimensions = dimensions
        mean = np.zeros(max(dimensions, 2))  # one dimension gets an idle second one, as cmaes knows no line
        mean[:dimensions] = 0 if start is None else box(start)
        bounds = np.tile([-1.0, 1.0], (len(mean), 1))
        seed = int(rng.integers(2**31))
        kind = cmaes.SepCMA if dimensions > MANY else cmaes.CMA
        self.inner = kind(mean=mean, sigma=step, bounds=bounds, seed=seed, population_size=size)
        self.points = np.empty((0, len(mean)))

    def ask(self) -> Floats:
        """See Algorithm."""
        self.points = np.array([self.inner.ask() for _ in range(self.inner.population_size)])
        return self.points[:, : self.dimensions]

    def tell(self, costs: Floats) -> None:
        """See Algorithm."""
        self.inner.tell(list(zip(self.points, costs[:, 0].tolist(), strict=True)))


class Swarm:
    """What the population algorithms below share: points, their costs, the best so far, the share of the way done."""

    def __init__(
        self, dimensions: int, size: int, rng: np.random.Generator, generations: int, start: Floats | None, step: float
    ) -> None:
        if start is None:
            self.points = rng.uniform(-1, 1, (size, dimensions))
        else:
            self.points = box(start + rng.normal(0, step, (size, dimensions)))
            self.points[0] = box(start)
        self.rng, self.generations, self.told = rng, max(generations, 1), 0
        self.costs = np.full(size, np.inf)
        self.best, self.lowest = self.points[0].copy(), np.inf

    @property
    def done(self) -> float:
        """Share of the planned moves that lie behind, from 0 to just below 1: at 1 all would go to one place."""
        return min(max(self.told - 1, 0), self.generations - 1) / self.generations

    def ask(self) -> Floats:
        """See Algorithm."""
        if self.told:
            self.points = box(self.moved())
        return self.points.copy()

    def tell(self, costs: Floats) -> None:
        """See Algorithm."""
        self.costs = costs[:, 0]
        if self.costs.min() < self.lowest:
            self.lowest, self.best = float(self.costs.min()), self.points[self.costs.argmin()].copy()
        self.learn()
        self.told += 1

    def moved(self) -> Floats:
        """Return where the points go next: (M, D), box or not."""
        raise NotImplementedError

    def learn(self) -> None:
        """Take note of the costs just told."""


class DifferentialEvolution(Swarm):
    """DE/rand/1/bin with F = 0.5, CR = 0.9 (Storn & Price 1997, doi 10.1023/A:1008202821328)."""

    def learn(self) -> None:
        """A trial replaces its parent where it is no worse."""
        if not self.told:
            self.parents, self.parent_costs = self.points.copy(), self.costs.copy()
            return
        better = self.costs <= self.parent_costs
        self.parents[better], self.parent_costs[better] = self.points[better], self.costs[better]

    def moved(self) -> Floats:
        """Difference of two others on a third, crossed with the parent."""
        size, dimensions = self.parents.shape
        others = np.array([self.rng.choice(np.delete(np.arange(size), i), 3, replace=False) for i in range(size)])
        a, b, c = (self.parents[others[:, k]] for k in range(3))
        crossed = self.rng.random((size, dimensions)) < 0.9
        crossed[np.arange(size), self.rng.integers(dimensions, size=size)] = True
        return np.asarray(np.where(crossed, a + 0.5 * (b - c), self.parents))


class ParticleSwarm(Swarm):
    """Global best, with Clerc & Kennedy's constriction (2002, doi 10.1109/4235.985692): 0.7298, 2.05 twice."""

    def learn(self) -> None:
        """Each particle keeps its own best place."""
        if not self.told:
            self.speed = np.zeros_like(self.points)
            self.own, self.own_costs = self.points.copy(), self.costs.copy()
            return
        better = self.costs < self.own_costs
        self.own[better], self.own_costs[better] = self.points[better], self.costs[better]

    def moved(self) -> Floats:
        """Inertia, the own best, the swarm's best."""
        r, s = self.rng.random((2, *self.points.shape))
        pull = 2.05 * r * (self.own - self.points) + 2.05 * s * (self.best - self.points)
        self.speed = 0.7298 * (self.speed + pull)
        return self.points + self.speed


class GreyWolf(Swarm):
    """Grey wolf optimizer (Mirjalili et al. 2014, doi 10.1016/j.advengsoft.2013.12.007), eq. 3.1-3.7.

    As published, drawn to 0: |C·leader - x| scales the leader's coordinates, not its distance.
    """

    def learn(self) -> None:
        """The three best wolves so far lead."""
        if not self.told:
            self.leaders, self.leader_costs = self.points[:0], self.costs[:0]
        points, costs = np.vstack([self.leaders, self.points]), np.concatenate([self.leader_costs, self.costs])
        order = np.argsort(costs, kind="stable")[:3]
        self.leaders, self.leader_costs = points[order], costs[order]

    def moved(self) -> Floats:
        """The mean of where each leader draws a wolf."""
        a = 2 * (1 - self.done)
        steps = []
        for leader in self.leaders:
            r, s = self.rng.random((2, *self.points.shape))
            steps.append(leader - (2 * a * r - a) * np.abs(2 * s * leader - self.points))
        return np.asarray(np.mean(steps, axis=0))


class Whale(Swarm):
    """Whale optimization (Mirjalili & Lewis 2016, doi 10.1016/j.advengsoft.2016.01.008), eq. 2.1-2.8; drawn to 0 as
    the grey wolf is."""

    def moved(self) -> Floats:
        """Encircle the best or (while |A| is large) any whale, or go round the best in a spiral."""
        size = len(self.points)
        a = 2 * (1 - self.done)
        r, s, p = self.rng.random((3, size, 1))
        big, c, turn = 2 * a * r - a, 2 * s, self.rng.uniform(-1, 1, (size, 1))
        prey = np.where(np.abs(big) < 1, self.best, self.points[self.rng.integers(size, size=size)])
        around = prey - big * np.abs(c * prey - self.points)
        spiral = np.abs(self.best - self.points) * np.exp(turn) * np.cos(2 * np.pi * turn) + self.best
        return np.asarray(np.where(p < 0.5, around, spiral))


SWARMS: dict[str, Callable[..., Swarm]] = {
    "de": DifferentialEvolution,
    "pso": ParticleSwarm,
    "gwo": GreyWolf,
    "woa": Whale,
}
LEAST = {"de": 4, "pso": 2, "gwo": 3, "woa": 2, "ga": 2, "cmaes": 2}  # points a generation; 1 for the others
NAMES = ("random", "grid", "tpe", "cmaes", "ga", *SWARMS)


def algorithm(  # noqa: PLR0913 - what any of the algorithms may be told
    name: str,
    dimensions: int,
    seed: int,
    budget: int,
    size: int = 0,
    objectives: int = 1,
    start: Floats | None = None,
    step: float = 0.6,
) -> Algorithm:
    """Return the algorithm named ``name`` in ``dimensions``, for about ``budget`` points.

    size: points a generation; 0 = 1 for random, grid and TPE, 4 + 3 ln D for CMA-ES, else the smaller of 20 and
    a fifth of the budget (4 at least). start: (D,) a point to begin from, with deviation ``step`` about it; random and
    grid do not use it. InputError for an unknown name, or one that does not take several ``objectives``.
    """
    if name not in NAMES:
        raise InputError(f"There is no algorithm '{name}'.{did_you_mean(name, NAMES)}")
    if objectives > 1 and name not in SEVERAL:
        raise InputError(f"--algorithm {name} takes one objective; for {objectives} choose from {', '.join(SEVERAL)}.")
    least = LEAST.get(name, 1)
    if size and size < least:
        raise InputError(
            f"--population {size}: {name} needs {least} points per generation at least, or 0 for its own choice."
        )
    rng = np.random.default_rng(seed)
    size = size or _own_size(name, dimensions, budget)
    if name == "random":
        return Random(dimensions, size, rng)
    if name == "grid":
        return Grid(dimensions, size, rng, budget)
    if name in SWARMS:
        return SWARMS[name](dimensions, size, rng, budget // size - 1, start, step)
    require_extra()
    if name == "cmaes":
        return CmaEs(dimensions, size, rng, start, step)
    from optuna import samplers

    own = int(rng.integers(2**31))
    sampler = samplers.TPESampler(seed=own) if name == "tpe" else samplers.NSGAIISampler(population_size=size, seed=own)
    return FromOptuna(sampler, dimensions, size, objectives, start)


def _own_size(name: str, dimensions: int, budget: int) -> int:
    if name in ("random", "grid", "tpe"):
        return 1
    if name == "cmaes":
        return max(4, 4 + int(3 * np.log(dimensions)))
    return max(4, min(20, budget // 5))


def require_extra() -> None:
    """InputError that says what to install where Optuna or cmaes is missing."""
    try:
        import cmaes  # noqa: F401
        import optuna  # noqa: F401
    except ImportError as error:
        raise InputError(f"{error.name} is missing; install it with: pip install 'plainfilm[search]'") from None
