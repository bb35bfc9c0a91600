from __future__ import annotations

import numpy as np
import pytest

from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.scores import scores
from plainfilm.search.objectives import (
    COSTS,
    OBJECTIVES,
    cost,
    interval,
    interval_over,
    judged,
    judged_over,
    parse,
    specificity_at,
)


def predictions(seed: int = 0, count: int = 60) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3 // 2
    p = 1 / (1 + np.exp(-(labels * 2 - 1 + rng.normal(0, 1.5, count))))
    paths = [f"{i}.png" for i in range(count)]
    who = np.array([str(i // 2) for i in range(count)])
    return Predictions(
        paths, np.array(["val"] * count), labels, np.stack([1 - p, p], 1), Decision(("a", "b"), "b"), who
    )


def test_every_score_is_that_of_the_evaluation():
    p = predictions()
    names = [name for name in OBJECTIVES if name not in COSTS and not name.startswith("worst_")]
    found = judged(p, names)
    assert list(found) == names
    assert all(0 <= value <= 1 for name, value in found.items() if name != "mcc")
    official = scores(p, np.random.default_rng(0), 50)
    for name in ("auroc", "auprc", "brier", "ece"):  # those that need no threshold
        assert found[name] == pytest.approx(official[name].value)


def test_specificity_at_a_sensitivity_by_hand():
    truth = np.array([1] * 20 + [0] * 10, dtype=bool)
    score = np.concatenate([np.arange(20), np.arange(10) - 7.5])  # 19 of 20 need a threshold of 1
    assert specificity_at(truth, score, 0.95) == pytest.approx(0.9)
    assert specificity_at(truth, score, 1.0) == pytest.approx(0.8)
    assert specificity_at(truth, np.zeros(30)) == 0  # a film at the threshold counts as positive
    assert np.isnan(specificity_at(np.ones(3, bool), np.arange(3.0)))


def test_intervals_hold_the_value():
    p = predictions()
    for name in ("auroc", "specificity_at_95", "brier", "mcc"):
        value, low, high = interval(p, name, 0)
        assert low <= value <= high and value == pytest.approx(judged(p, [name])[name])


def test_smaller_is_told_as_better():
    assert cost("auroc", 0.9) < cost("auroc", 0.8) < cost("auroc", None)
    assert cost("brier", 0.1) < cost("brier", 0.2) < cost("brier", float("nan"))


@pytest.mark.parametrize("text", ["aurok", "auroc,auroc", "seconds", "", "auroc,"])
def test_what_is_no_objective_is_refused(text):
    with pytest.raises(InputError, match="--objective"):
        parse(text)
    assert parse("auroc, seconds") == ("auroc", "seconds")


def test_of_findings_the_mean_or_the_worst_is_judged():
    from plainfilm.evaluation.findings import FindingsDecision, FindingsPredictions

    rng = np.random.default_rng(0)
    truth = (rng.random((300, 3)) < 0.4).astype(np.int8)
    chances = 1 / (1 + np.exp(-(np.array([0.5, 1.0, 2.0]) * (2 * truth - 1) + rng.normal(0, 1, truth.shape))))
    truth[rng.random(truth.shape) < 0.2] = -2
    names = [f"f{k}" for k in range(300)]
    p = FindingsPredictions(
        names, np.full(300, "val"), truth, chances, FindingsDecision.of_names(("A", "B", "C")), np.array(names)
    )
    each = [judged(p.of(name), ["auroc", "brier"]) for name in "ABC"]
    found = judged(p, ["auroc", "worst_auroc", "brier", "worst_brier"])
    assert found["auroc"] == pytest.approx(np.mean([one["auroc"] for one in each]))
    assert found["worst_auroc"] == min(one["auroc"] for one in each) == each[0]["auroc"]
    assert found["worst_brier"] == max(one["brier"] for one in each)
    value, low, high = interval(p, "auroc", 0)
    assert value == pytest.approx(found["auroc"]) and low < value < high
    assert interval(p, "worst_auroc", 0) == interval(p.of("A"), "auroc", 0)
    assert cost("worst_brier", 0.2) == 0.2 and cost("worst_auroc", 0.9) == -0.9
    truth[:, 0] = -2
    assert judged(p, ["worst_auroc"])["worst_auroc"] == each[1]["auroc"]


def test_of_several_tests_the_mean_or_the_worst_is_judged():
    each = [predictions(seed) for seed in range(3)]
    values = [judged(p, ["auroc", "brier"]) for p in each]
    found = judged_over(each, ["auroc", "worst_auroc", "worst_brier", "seconds"])
    assert found["auroc"] == pytest.approx(np.mean([value["auroc"] for value in values]))
    assert found["worst_auroc"] == min(value["auroc"] for value in values)
    assert found["worst_brier"] == max(value["brier"] for value in values)
    mean, worst = (interval_over(each, name, 0) for name in ("auroc", "worst_auroc"))
    alone = [interval(p, "auroc", 0) for p in each]
    assert mean.low < mean.value < mean.high and mean.high - mean.low < min(one.high - one.low for one in alone)
    assert worst == min(alone)
