"""What unknown cells do to prevalence and PPV, on simulated films whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from plainfilm.evaluation.findings import FindingsDecision, FindingsPredictions
from plainfilm.evaluation.hidden import hidden, hidden_sentence
from plainfilm.runs.findings import measure_findings


def films(hide, count=6000, prevalence=0.3, seed=0):
    """Films of one finding with scores whose log-odds are off by one, two a patient; ``hide``: chance that the cell of
    a negative, and of a positive film is not known. Returns predictions and the true share of positives."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(count) < prevalence).astype(np.int8)
    odds = rng.normal(1.2 * (2 * truth - 1), np.sqrt(2.4))  # calibrated at a prevalence of one half
    known = np.where(rng.random(count) < np.array(hide)[truth], np.int8(-2), truth)
    names = [f"f{k}" for k in range(count)]
    whose = np.array([f"p{k // 2}" for k in range(count)])
    p = FindingsPredictions(
        names,
        np.full(count, "test"),
        known[:, None],
        expit(odds)[:, None],
        FindingsDecision.of_names(("Mass",)),
        whose,
    )
    return p, truth


@pytest.mark.parametrize(("hide", "at_random"), [((0.3, 0.3), True), ((0.45, 0.1), False), ((0.1, 0.45), False)])
def test_the_share_among_unknown_films_is_found_without_their_truth(hide, at_random):
    covered = 0
    for seed in range(20):
        p, truth = films(hide, seed=seed)
        found = hidden(p, "Mass")
        unknown = p.truth[:, 0] < 0
        assert found is not None and found["unknown"] == unknown.sum()
        there = found["share_unknown"]
        assert there["value"] == pytest.approx(truth[unknown].mean(), abs=0.06)
        covered += there["low"] <= truth[unknown].mean() <= there["high"]
        assert found["prevalence"]["value"] == pytest.approx(truth.mean(), abs=0.03)
        called = p.chances[:, 0] >= 0.5
        assert found["ppv"]["all"]["value"] == pytest.approx(truth[called].mean(), abs=0.05)
        assert found["ppv"]["known"] == pytest.approx(truth[called & ~unknown].mean(), abs=1e-9)
        assert found["ppv"]["if_negative"] < found["ppv"]["known"]
        assert found["at_random"] == at_random or at_random
    assert covered >= 16


def test_negatives_hidden_more_often_make_ppv_look_better_and_it_is_said():
    p, _ = films((0.45, 0.1))
    found = hidden(p, "Mass")
    assert found is not None
    known, whole = found["share_known"]["value"], found["prevalence"]["value"]
    assert known > 0.38 and whole == pytest.approx(0.3, abs=0.03)
    assert found["ppv"]["known"] - found["ppv"]["all"]["value"] > 0.08
    said = hidden_sentence("Mass", found)
    assert "but only about" in said and "not left out at random" in said and f"not {found['ppv']['known']:.2f}" in said
    reversed_, _ = films((0.1, 0.45))
    other = hidden(reversed_, "Mass")
    assert other is not None and ", but about" in hidden_sentence("Mass", other)


def test_nothing_is_said_of_few_unknown_films_and_metrics_hold_the_rest():
    p, _ = films((0.002, 0.002), count=1000)
    assert hidden(p, "Mass") is None
    p, _ = films((0.3, 0.3), count=1000)
    found = measure_findings(p, "p", 0)["test"]["findings"]["Mass"]
    assert found["hidden"] == hidden(p, "Mass")
    assert "not shown to differ" in hidden_sentence("Mass", found["hidden"])
