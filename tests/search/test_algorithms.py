"""The algorithms on functions whose optimum is known: those of the benchmark, so that it is tested as well."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from plainfilm.errors import InputError
from plainfilm.search import algorithms
from plainfilm.search.algorithms import NAMES, SEVERAL, algorithm, require_extra

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "metaheuristics.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("metaheuristics", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["metaheuristics"] = module  # dataclasses and annotations look there
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("function", ["sphere", "Rastrigin", "Rosenbrock", "Ackley"])
def test_the_functions_are_0_at_their_optimum_and_above_it_elsewhere(bench, function):
    optimum = np.array([0.3, -0.5, 0.1])
    cost = bench.placed(function, optimum)
    assert cost(optimum) == pytest.approx(0, abs=1e-9)
    others = np.random.default_rng(0).uniform(-1, 1, (50, 3))
    assert min(cost(point) for point in others) > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_points_inside_the_box(name):
    def asked(seed):
        chosen, points = algorithm(name, 3, seed, 24, size=6), []
        for _ in range(4):
            points.append(chosen.ask())
            chosen.tell((points[-1] ** 2).sum(1, keepdims=True))
        return np.vstack(points)

    first = asked(0)
    assert first.shape == (24 if name != "grid" else min(24, len(first)), 3)
    assert np.abs(first).max() <= 1
    assert np.array_equal(first, asked(0))
    assert not np.array_equal(first, asked(1))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("random", "grid")])
def test_each_beats_random_search_on_a_shifted_sphere(bench, name):
    budget = 60 if name == "tpe" else 300  # TPE models few, expensive trials and takes its time
    ends = {n: [] for n in (name, "random")}
    for seed in range(3):
        cost = bench.placed("sphere", np.random.default_rng((seed, 7)).uniform(-0.8, 0.8, 5))
        for n, found in ends.items():
            found.append(bench.minimise(n, cost, 5, seed, budget)[1][-1])
    assert np.median(ends[name]) < np.median(ends["random"])


def test_cma_es_finds_the_bottom_of_the_bent_valley(bench):
    best, curve = bench.minimise("cmaes", bench.placed("Rosenbrock", np.full(3, 0.2)), 3, 0, 900)
    assert curve[-1] < 1e-6
    assert best == pytest.approx(np.full(3, 0.2), abs=1e-3)


def test_wolf_and_whale_are_drawn_to_the_middle_of_the_box():
    """The same swarm about the same optimum, moved elsewhere: the others' next step moves along, theirs does not."""

    def step(name, place):
        swarm = algorithm(name, 2, 0, 400, size=50, start=np.full(2, place), step=0.05)
        swarm.tell(((swarm.ask() - place) ** 2).sum(1, keepdims=True))
        return swarm.ask() - place

    for name in ("de", "pso"):
        assert step(name, 0.5) == pytest.approx(step(name, 0.0), abs=1e-9)
    for name in ("gwo", "woa"):
        near, far = (np.abs(step(name, place)).mean() for place in (0.0, 0.5))
        assert far > 2 * near  # it scatters, the further from the middle the more


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("random", "grid")])
def test_a_start_is_used(name):
    start = np.array([0.6, -0.7, 0.2])
    points = algorithm(name, 3, 0, 100, size=8, start=start, step=0.02).ask()
    assert np.abs(points - start).max(1).min() < 0.1
    if name in algorithms.SWARMS:
        assert np.array_equal(points[0], start)


def test_one_dimension_and_very_many():
    for name in NAMES:
        if name != "grid":
            assert algorithm(name, 1, 0, 20, size=4).ask().shape == (4, 1)
    many = algorithm("cmaes", 300, 0, 100, size=4)
    points = many.ask()
    many.tell(points[:, :1])
    assert many.ask().shape == (4, 300)


def test_a_grid_has_every_combination_once_and_then_ends():
    grid = algorithm("grid", 2, 0, 9, size=4)
    points = np.vstack([grid.ask() for _ in range(3)])
    assert len(points) == 9 == len({tuple(p) for p in points.round(6).tolist()})
    assert sorted(set(points[:, 0].round(6))) == pytest.approx([-2 / 3, 0, 2 / 3], abs=1e-6)
    assert len(grid.ask()) == 0
    with pytest.raises(InputError, match="grid in 17 dimensions"):
        algorithm("grid", 17, 0, 9)


def test_several_objectives_are_for_those_that_take_them():
    for name in NAMES:
        if name in SEVERAL:
            chosen = algorithm(name, 2, 0, 20, size=4, objectives=2)
            points = chosen.ask()
            chosen.tell(np.column_stack([points[:, 0], -points[:, 0]]))
            assert chosen.ask().shape == (4, 2)
        else:
            with pytest.raises(InputError, match="one objective"):
                algorithm(name, 2, 0, 20, objectives=2)
    with pytest.raises(InputError, match="Did you mean 'cmaes'"):
        algorithm("cmae", 2, 0, 20)


def test_a_missing_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'plainfilm\[search\]'"):
        require_extra()
    algorithm("gwo", 2, 0, 20)  # needs none of it


def test_the_benchmark_says_which_differences_luck_explains(bench):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, (3, 10))
    rows = {
        n: np.column_stack([noise[i], noise[i] + (i == 2)]).tolist() for i, n in enumerate(("logistic", "random", "x"))
    }
    found = bench.compared(rows)
    assert found["friedman"] < 0.01 and found["rank"]["x"] == 3
    assert found["against"]["logistic"]["x"] < 0.05 < found["against"]["logistic"]["random"]
    assert "| x |" in bench.tables("head", {"a": found})


def test_the_benchmarks_targets_by_hand(bench):
    truth = np.array([True] * 4 + [False] * 4)
    odds = np.array([2.0, 1, 1, -1, 1.5, -2, -3, -4])
    assert bench.expected_cost(truth, odds) == pytest.approx((5 + 1) / 8)
    assert bench.missed_specificity(truth, odds) == pytest.approx(0.25)  # all four must be found: the cut lies at -1


def test_the_logistic_solution_as_a_point_of_the_box(bench):
    rng = np.random.default_rng(0)
    truth = rng.random(60) < 0.5
    z = rng.normal(0, 1, (60, 4)) + truth[:, None]
    odds = bench.log_odds(bench.logistic_head(z, truth, 8.0), z, 8.0)
    assert ((odds > 0) == truth).mean() > 0.8
    with pytest.raises(ValueError, match="raise the reach"):
        bench.logistic_head(z, truth, 0.01)


@pytest.mark.parametrize(("name", "size"), [("de", 3), ("ga", 1), ("cmaes", 1), ("pso", 1), ("gwo", 2), ("random", -2)])
def test_too_few_points_a_generation_are_refused(name, size):
    with pytest.raises(InputError, match=f"population {size}: {name} needs"):
        algorithm(name, 2, 0, 20, size)


@pytest.mark.parametrize("name", ["gwo", "woa"])
def test_wolf_and_whale_never_send_a_whole_generation_to_one_place(name):
    # Once they did: the share of the way done was one move ahead, and 1 in the last planned move and beyond it.
    swarm = algorithm(name, 4, 0, 100, 20)
    for _ in range(7):
        points = swarm.ask()
        assert len(np.unique(points.round(9), axis=0)) > 10
        swarm.tell((points**2).sum(1, keepdims=True))
