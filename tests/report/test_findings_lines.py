"""What must be read before the scores of several findings: on a run's page, a fold's, and another hospital's alike."""

from __future__ import annotations

from typing import Any

from plainfilm.report.findings import lines_of


def finding(known: int = 400, auroc: float = 0.9, ece: float = 0.05) -> dict[str, Any]:
    """What metrics.json has of a finding whose calibrated probabilities would be off by .02 to .08."""

    def about(value: float, by: float) -> dict[str, float]:
        return {"value": value, "low": value - by, "high": value + by}

    scores = {"auroc": about(auroc, 0.05), "ece": about(ece, 0.02), "ece_by_chance": about(0.05, 0.03)}
    return {"known": known, "positives": known // 4, "scores": scores}


def test_a_finding_that_is_well_has_no_line():
    assert lines_of({"findings": {"Mass": finding(), "Edema": finding()}}) == []


def test_findings_of_few_films_are_named_in_one_line():
    unscored = {"known": 20, "positives": 1, "not_scored": "1 positive film"}
    [unsaid, few] = lines_of({"findings": {"Mass": finding(99), "Edema": finding(100), "Hernia": unscored}})
    assert unsaid == "Hernia is not scored: 1 positive film."
    assert few == "Fewer than 100 films are known of Mass: the intervals are wide, so read them first."


def test_probabilities_that_are_further_off_than_by_chance_are_no_risks():
    [line] = lines_of({"findings": {"Mass": finding(ece=0.2), "Edema": finding(ece=0.079)}})
    assert line.startswith("Don't read these probabilities as risks")
    assert "Mass 0.200 (0.180–0.220), by chance 0.050" in line and "Edema" not in line
