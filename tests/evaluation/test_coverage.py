"""Intervals hold the truth and tests keep their level where it is known: the settings of coverage.py, few sets here,
1,000 in the slow version."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation import coverage

QUICK = 40
OTHERS = ("WIDTH 0", "any", "p <", "red line", "loss", "called worse", "ece < 0 width")  # outcomes that are no coverage


def checked(name: str, sets: int, least: float, level: float) -> None:
    """Every interval of a setting holds the truth in a share ``least`` of sets, and every test keeps ``level``."""
    for outcome, share in coverage.run(name, sets).items():
        if any(outcome.endswith(f": {word}") or outcome.startswith(word) or word in outcome for word in OTHERS):
            assert share <= level, (name, outcome)
        else:
            assert share >= least, (name, outcome)


@pytest.fixture(autouse=True)
def few_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage.adapting, "REPEATS", 1)


@pytest.mark.parametrize(
    "name",
    [
        "S1 level: 20 patients x 10 films",
        "S2 10 + 200 films",
        "S2 6 + 6 patients x 50",
        "S3 folds, 150 films",
        "S5 calibrated, 40 x 10",
        "S7 5 + 5 patients x 20",
        "S8 area 0.95: 5 + 1000",
        "S9 10 groups x 6 patients x 20",
        "S10 noise: 100 x 1, 3 columns",
    ],
)
def test_a_few_sets(name: str) -> None:
    """Within three standard errors of .93 and .065 for so few sets."""
    error = 3 * np.sqrt(0.93 * 0.07 / QUICK)
    checked(name, QUICK, 0.93 - error, 0.065 + error)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(coverage.SETTINGS))
def test_a_thousand_sets(name: str) -> None:
    """Rates of few films alone keep Wilson's own coverage, which falls to .90 for some shares."""
    checked(name, 1000, 0.90, 0.08)
