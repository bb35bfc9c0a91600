from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from plainfilm.errors import InputError
from plainfilm.progress import bar
from plainfilm.search.algorithms import algorithm
from plainfilm.search.journal import Journal, Trial
from plainfilm.search.run import Plan, front, search
from plainfilm.search.space import Dimension

SPACE = (Dimension("learning_rate", "linear", 0, 1), Dimension("momentum", "linear", 0, 1))


def plan(budget: int = 40, price: int = 2, prune: bool = False, objectives: tuple[str, ...] = ("auroc",)) -> Plan:
    return Plan(SPACE, objectives, budget, price, prune)


def tried(number, point, values, hopeless):
    """A score that is best at learning_rate .7, reached in two epochs."""
    best = 1 - abs(values.get("learning_rate", 0.1) - 0.7)
    curve = [best / 2]
    while len(curve) < 2 and not hopeless(curve):
        curve.append(best)
    state = "done" if len(curve) == 2 else "pruned"
    return Trial(number, point, values, {"auroc": curve[-1]}, 1.0, len(curve), state, curve, (0.0, 1.0))


class Killed(Exception):
    pass


def killed_at(number):
    def evaluate(n, point, values, hopeless):
        if n == number:
            raise Killed
        return tried(n, point, values, hopeless)

    return evaluate


def run(folder, name="tpe", evaluate=tried, wanted=None, size=0, seed=0):
    wanted = wanted or plan()
    with bar("", 1) as shown:
        chosen = algorithm(name, 2, seed, wanted.budget // wanted.price - 1, size)
        return search(wanted, chosen, Journal(folder), evaluate, shown)


@pytest.mark.parametrize("name", ["random", "grid", "tpe", "cmaes", "ga", "de", "pso", "gwo", "woa"])
def test_a_search_killed_anywhere_ends_as_one_that_was_not(tmp_path, name):
    whole = run(tmp_path / "whole", name)
    for number in (0, 1, 7, 14):
        with pytest.raises(Killed):
            run(tmp_path / "killed", name, killed_at(number))
    counted = []
    again = run(tmp_path / "killed", name, lambda n, *rest: counted.append(n) or tried(n, *rest))
    assert again == whole
    assert counted == [t.number for t in whole if t.number >= 14]  # nothing that was finished is done again


def test_the_first_trial_is_the_settings_as_given_and_the_budget_is_kept(tmp_path):
    trials = run(tmp_path, "random", wanted=plan(budget=21))
    assert trials[0].point == [] and trials[0].values == {}
    assert [t.number for t in trials] == list(range(10))
    assert sum(t.spent for t in trials) == 20


def test_a_generation_that_the_budget_can_not_pay_is_cut(tmp_path):
    trials = run(tmp_path, "pso", size=6, wanted=plan(budget=20))
    assert len(trials) == 10  # the given one, six, and three of the next six


def test_hopeless_trials_are_stopped_and_their_epochs_pay_for_others(tmp_path):
    trials = run(tmp_path, "random", wanted=plan(prune=True))
    states = [t.state for t in trials]
    assert "pruned" not in states[:5] and 0 < states.count("pruned") < len(trials)
    assert len(trials) > 20 and sum(t.spent for t in trials) <= 40
    done = [t.scores["auroc"] for t in trials if t.state == "done"]
    assert max(done) == front(trials, ("auroc",))[0].scores["auroc"]


def test_a_journal_of_another_search_is_refused(tmp_path):
    run(tmp_path, seed=0)
    with pytest.raises(InputError, match="trial 1 is not the one"):
        run(tmp_path, seed=1)


def test_the_front_holds_what_nothing_beats_in_both():
    def at(number, auroc, seconds, state="done"):
        return Trial(number, [0.0], {}, {"auroc": auroc, "seconds": seconds}, 1.0, 1, state)

    trials = [at(0, 0.8, 5), at(1, 0.9, 9), at(2, 0.7, 6), at(3, 0.8, 5), at(4, 0.99, 1, "pruned"), at(5, 0.6, 2)]
    trials.append(Trial(6, [0.0], {}, {}, 1.0, 1, "failed", reason="no"))
    assert [t.number for t in front(trials, ("auroc", "seconds"))] == [1, 0, 3, 5]
    assert [t.number for t in front(trials, ("auroc",))] == [1]
    assert front(trials[-1:], ("auroc",)) == []


def test_a_failed_trial_is_told_as_the_worst(tmp_path):
    def fails(number, point, values, hopeless):
        done = tried(number, point, values, hopeless)
        return done if number % 3 else Trial(number, point, values, {}, 1.0, 2, "failed", reason="loss is nan")

    for name in ("tpe", "cmaes", "de"):
        trials = run(tmp_path / name, name, fails)
        assert front(trials, ("auroc",))[0].number % 3
        assert np.isfinite([t.spent for t in trials]).all()


def test_a_score_that_is_not_known_is_the_worst_and_stops_nothing(tmp_path):
    def unknown(number, point, values, hopeless):
        trial = tried(number, point, values, hopeless)
        return replace(trial, curve=[None, *trial.curve[1:]] if number % 3 == 0 else trial.curve)

    found = run(tmp_path, "random", unknown, plan(24, 2, True))
    assert len(found) >= 12
