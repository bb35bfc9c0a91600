"""The search itself: generations of trials within a budget, the same whoever computes them and however often killed.

The algorithm is a function of its seed and of what it was told, and it is told whole generations in their order. So
every process that has the journal comes to the same next trials, several can share the work, and a search that was
killed goes on by telling the journal again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from plainfilm.errors import InputError
from plainfilm.evaluation.intervals import Floats
from plainfilm.progress import Bar
from plainfilm.search.algorithms import Algorithm
from plainfilm.search.journal import Journal, Trial
from plainfilm.search.objectives import cost
from plainfilm.search.space import Space, values_at

EARLIER = 4  # trials that must have come as far before one is stopped by comparison with them
WAIT = 0.2  # seconds between looks at a journal that others write

Hopeless = Callable[[Sequence[float]], bool]


class Evaluate(Protocol):
    """What tries values: ``number`` names the trial's folder, ``hopeless`` says after an epoch whether to stop."""

    def __call__(self, number: int, point: list[float], values: dict[str, Any], hopeless: Hopeless) -> Trial:
        """Return the finished trial."""


@dataclass(frozen=True)
class Plan:
    """What is searched, and within which budget. ``spent`` of all trials together stays within ``budget``."""

    space: Space
    objectives: tuple[str, ...]
    budget: int  # epochs of whole networks, or fits
    price: int  # of one trial that is not stopped
    prune: bool


def search(plan: Plan, algorithm: Algorithm, journal: Journal, evaluate: Evaluate, shown: Bar) -> list[Trial]:
    """Run trials until the budget is used or the algorithm has no more points; return all in their order.

    Trial 0 is the settings as given: what everything found is measured against. The algorithm is not told of it.
    """
    shown.step(sum(trial.spent for trial in journal.refresh().values()))
    trials = _generation(plan, [[]], [], journal, evaluate, shown)
    while True:
        room = (plan.budget - sum(trial.spent for trial in trials)) // plan.price
        points = algorithm.ask()
        if room < 1 or not len(points):
            return trials
        found = _generation(plan, points[:room].tolist(), trials, journal, evaluate, shown)
        trials = [*trials, *found]
        if len(found) < len(points):
            return trials
        algorithm.tell(costs(found, plan.objectives))


def _generation(
    plan: Plan, points: list[list[float]], earlier: list[Trial], journal: Journal, evaluate: Evaluate, shown: Bar
) -> list[Trial]:
    """Return the trials at ``points``, those in the journal as they are; others are computed here or waited for."""
    numbers = range(len(earlier), len(earlier) + len(points))
    hopeless = _hopeless(plan, [trial.curve for trial in earlier])
    while missing := [n for n in numbers if n not in journal.refresh()]:
        worked = False
        for number in missing:
            with journal.claim(number) as mine:
                if not mine or number in journal.refresh():
                    continue
                point = points[number - numbers.start]
                values = values_at(plan.space, np.array(point)) if point else {}
                trial = evaluate(number, point, values, hopeless)
                journal.append(trial)
                shown.step(trial.spent)
                shown.note(_words(trial))
                worked = True
        if not worked:
            time.sleep(WAIT)
    found = [journal.trials[number] for number in numbers]
    for trial, point in zip(found, points, strict=True):
        if len(trial.point) != len(point) or not np.allclose(trial.point, point, rtol=0, atol=1e-9):
            raise InputError(
                f"{journal.path}: trial {trial.number} is not the one that this search would try; another version of"
                " optuna, cmaes or plainfilm began it. Choose another --out."
            )
    return found


def _words(trial: Trial) -> str:
    scores = ", ".join(f"{name} {value:.4g}" for name, value in trial.scores.items())
    return f"trial {trial.number} {trial.state}: {scores or trial.reason}"


def _hopeless(plan: Plan, curves: list[list[float]]) -> Hopeless:
    """The median rule (Golovin et al. 2017, doi 10.1145/3097983.3098043, section 3.2.2): stop a trial whose best value
    so far is worse than the median of the earlier trials' running means at the same epoch.

    Only whole earlier generations count, so that the answer does not depend on who computes what when.
    """

    def costs_of(curve: Sequence[float]) -> list[float]:  # a score may be unknown: the PPV without a positive film
        return [cost(plan.objectives[0], value) for value in curve]

    def hopeless(curve: Sequence[float]) -> bool:
        epoch = len(curve)
        means = [float(np.mean(costs_of(other[:epoch]))) for other in curves if len(other) >= epoch]
        enough = plan.prune and len(means) >= EARLIER and epoch < plan.price
        return bool(enough and min(costs_of(curve)) > np.median(means))

    return hopeless


def costs(trials: Sequence[Trial], objectives: Sequence[str]) -> Floats:
    """Return (M, objectives) what an algorithm is told of trials: smaller is better."""
    return np.array([[cost(name, trial.scores.get(name)) for name in objectives] for trial in trials])


def front(trials: Sequence[Trial], objectives: Sequence[str]) -> list[Trial]:
    """Return the finished trials that no other beats in one objective without losing in another (the Pareto front).

    With one objective that is the best one, the first of equals.
    """
    done = [trial for trial in trials if trial.state == "done"]
    if not done:
        return []
    table = costs(done, objectives)
    if len(objectives) == 1:
        return [done[int(table[:, 0].argmin())]]
    beaten = [bool(((table <= row).all(axis=1) & (table < row).any(axis=1)).any()) for row in table]
    order = np.argsort(table[:, 0], kind="stable")
    return [done[i] for i in order if not beaten[i]]
