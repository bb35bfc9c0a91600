from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.operating import balanced_threshold, check, choose, operating_curve
from plainfilm.evaluation.predictions import Predictions


def validation(sharper: float = 1.0, shift: float = 0.0, n: int = 4000) -> Predictions:
    """Films whose true log-odds are known; the model states ``sharper`` times as much, ``shift`` too high."""
    rng = np.random.default_rng(5)
    odds = rng.normal(0, 2, n)
    labels = (rng.random(n) < expit(odds)).astype(np.int64)
    p = expit(odds * sharper + shift)
    names = [str(i) for i in range(n)]
    return Predictions(
        names, np.full(n, "val"), labels, np.column_stack([1 - p, p]), Decision(("A", "B"), "B"), np.array(names)
    )


def test_temperature_and_threshold_are_those_of_the_validation_films():
    found = choose(validation(sharper=3.0), "auto", "share=0.1", fitted=True)
    assert found.temperature == pytest.approx(3.0, rel=0.1)
    assert found.threshold == pytest.approx(0.5, abs=0.04)
    assert found.rule == "sensitivity and specificity weighed alike on validation"
    low, high = found.refer
    assert low < found.threshold < high
    cool = expit(np.log(validation(3.0).probabilities[:, 1] / validation(3.0).probabilities[:, 0]) / found.temperature)
    assert np.mean((cool >= low) & (cool < high)) == pytest.approx(0.1, abs=0.002)


def test_nothing_is_fitted_where_validation_is_what_is_scored():
    found = choose(validation(sharper=3.0, shift=2), "auto", "none", fitted=False)
    assert found.operating == {"temperature": 1.0, "threshold": 0.5, "threshold_rule": "0.5", "refer": None}


def test_a_sensitivity_or_a_number_can_be_asked_for():
    val = validation()
    wanted = choose(val, "sensitivity=0.95", "none", fitted=True)
    cool = expit(np.log(val.probabilities[:, 1] / val.probabilities[:, 0]) / wanted.temperature)
    reached = np.mean(cool[val.labels == 1] >= wanted.threshold)
    assert 0.95 <= reached < 0.953
    assert choose(val, "0.3", "none", fitted=True).threshold == 0.3


@pytest.mark.parametrize(
    ("threshold", "refer", "words"),
    [
        ("best", "none", "expected auto, balanced"),
        ("1.5", "none", "between 0 and 1"),
        ("sensitivity=7", "none", "lies between 0 and 1"),
        ("auto", "some", "NAME=NUMBER"),
        ("auto", "films=3", "expected share"),
        ("auto", "share=3", "between 0 and 1"),
    ],
)
def test_a_rule_of_another_form_is_refused_before_the_training(threshold, refer, words):
    with pytest.raises(InputError, match=words):
        check(threshold, refer, ("a", "b"))


def test_the_curve_says_what_each_threshold_means():
    curve = operating_curve(validation())
    assert [row["threshold"] for row in curve][:3] == [0.01, 0.02, 0.03] and len(curve) == 99
    sensitivity = [row["sensitivity"]["value"] for row in curve]
    assert sensitivity == sorted(sensitivity, reverse=True)
    middle = curve[49]["specificity"]
    assert middle["low"] < middle["value"] < middle["high"]


def test_the_balanced_threshold_varies_less_than_youdens_and_exists_without_an_error():
    rng = np.random.default_rng(2)
    chosen = {"balanced": [], "youden": []}
    for _ in range(60):
        sample = validation(shift=1.5).take(rng.choice(4000, 100, replace=False))
        for rule, found in chosen.items():
            found.append(np.log(1 / choose(sample, rule, "none", fitted=True).threshold - 1))
    assert np.std(chosen["balanced"]) < 0.7 * np.std(chosen["youden"])
    clean = validation().take(np.flatnonzero(np.abs(validation().probabilities[:, 1] - validation().labels) < 0.3))
    assert 0.3 < balanced_threshold(clean) < 0.7
    assert np.isnan(balanced_threshold(clean.take(clean.labels == 1)))
