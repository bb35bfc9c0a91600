from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plainfilm.evaluation.decision import apply_temperature
from plainfilm.evaluation.intervals import wilson
from plainfilm.report import charts, practice, verdict
from plainfilm.report.words import before_in_words, fitted_in_words, percent, score_in_words, with_interval
from plainfilm.runs.folder import RunFolder

MakeRun = Callable[..., Path]
PARTS = ("train", "val", "test")


@pytest.fixture
def run(make_run: MakeRun, tmp_path: Path) -> RunFolder:
    return RunFolder(make_run(tmp_path, films=600, split="grouped", parts=PARTS, refer=(0.3, 0.7)))


def test_thresholds_come_from_validation_and_are_counted_on_test(run: RunFolder) -> None:
    table = practice.thresholds(run)
    assert table is not None and len(table.rows) == 3
    middle = next(row for row in table.rows if row[0].startswith("0.500"))
    assert middle[0].endswith("← in use") and sum("in use" in row[0] for row in table.rows) == 1
    assert middle[1:] == [
        score_in_words(run, name, part) for part in ("val", "test") for name in ("sensitivity", "specificity")
    ]
    sure = next(row for row in table.rows if "95 %" in row[0])
    assert float(sure[1].split()[0]) >= 0.95


def test_a_threshold_of_the_users_own_has_its_own_row(run: RunFolder) -> None:
    model = {**run.model, "threshold": 0.37, "threshold_rule": "set by the user"}
    table = practice.thresholds(run.replaced(model=model))
    assert table is not None and table.rows[-1][0] == "0.370: set by the user ← in use" and len(table.rows) == 4


def test_no_thresholds_where_validation_is_what_is_scored_or_classes_are_three(
    make_run: MakeRun, tmp_path: Path
) -> None:
    assert practice.thresholds(RunFolder(make_run(tmp_path / "a"))) is None
    three = make_run(tmp_path / "b", films=90, classes=("A", "B", "NORMAL"), split="grouped", parts=PARTS)
    assert practice.thresholds(RunFolder(three)) is None


def test_ppv_and_npv_follow_bayes(run: RunFolder) -> None:
    table = practice.prevalence(run)
    assert [row[0] for row in table.rows] == ["50 %", "30 %", "10 %", "5 %", "2 %"]
    hit, spared = run.score("sensitivity").value, run.score("specificity").value
    ppv = hit * 0.1 / (hit * 0.1 + (1 - spared) * 0.9)
    assert table.rows[2][1].startswith(f"{ppv:.3f} (") and table.rows[2][3] == f"{10 * (1 - ppv):.1f}"


def test_a_model_that_calls_nothing_positive_has_no_ppv(make_run: MakeRun, tmp_path: Path) -> None:
    never = RunFolder(make_run(tmp_path))
    nothing = {"value": 0.0, "low": 0.0, "high": 0.1}
    never.metrics["val"] |= {"sensitivity": nothing, "specificity": {"value": 1.0, "low": 0.9, "high": 1.0}}
    assert practice.prevalence(never).rows[0][1:4:2] == ["undefined", "undefined"]


def test_a_shift_of_prevalence_is_named(run: RunFolder) -> None:
    assert "no shift" in practice.shift(run)
    few = run.predictions.take((run.predictions.parts != "train") | (run.predictions.labels == 1))
    assert "the prevalence differs" in practice.shift(run.replaced(predictions=few))
    assert "100 % of the training" in practice.shift(run.replaced(predictions=few))


@pytest.mark.usefixtures("words_only")
def test_the_refer_band_is_counted_on_both_parts(run: RunFolder, tmp_path: Path) -> None:
    found = practice.referral(run, tmp_path)
    p = run.scored
    kept = (p.probabilities[:, 1] < 0.3) | (p.probabilities[:, 1] >= 0.7)
    wrong = (p.probabilities[:, 1] >= 0.5) != (p.labels == 1)
    assert [row[0] for row in found["table"].rows] == ["validation", "test"]
    assert found["table"].rows[1][1:] == [
        with_interval(wilson(kept.sum(), len(p))),
        with_interval(wilson((wrong & kept).sum(), kept.sum())),
        with_interval(wilson(wrong.sum(), len(p))),
    ]
    assert f"{percent(1 - kept.mean())} of the 200 scored films" in found["line"]
    full = found["chart"].table.rows[-1]
    assert full[0] == "100 %" and full[2] == f"{wrong.mean():.3f}"  # all kept: the plain error rate


@pytest.mark.usefixtures("words_only")
def test_without_a_band_every_film_is_decided(make_run: MakeRun, tmp_path: Path) -> None:
    found = practice.referral(RunFolder(make_run(tmp_path)), tmp_path)
    assert found["table"] is None and found["line"].startswith("No refer band")


@pytest.mark.usefixtures("words_only")
def test_the_decision_curve_says_where_the_model_is_worth_more(run: RunFolder, tmp_path: Path) -> None:
    chart = practice.decision(run, tmp_path)
    assert chart is not None and chart.table is not None and "is the highest from 0." in chart.caption
    assert [row[0] for row in chart.table.rows][:3] == ["0.05", "0.1", "0.2"]
    alone = run.predictions.take((run.predictions.parts != "test") | (run.predictions.labels == 1))
    assert practice.decision(run.replaced(predictions=alone), tmp_path) is None


@pytest.mark.usefixtures("words_only")
def test_reliability_shows_the_probabilities_before_their_temperature(make_run: MakeRun, tmp_path: Path) -> None:
    run = RunFolder(make_run(tmp_path, temperature=2.0))
    again = apply_temperature(run.as_trained.probabilities, 2.0)
    assert np.allclose(again, run.scored.probabilities, atol=1e-9)
    (chart,) = charts.probabilities([run], tmp_path)[1]
    assert chart.table is not None and {row[0] for row in chart.table.rows} == {"as trained", "in use"}
    assert "in use: temperature 2.00, fitted on validation films" in chart.caption
    after, before = (
        run.score("calibration_slope").value,
        float(charts.calibration_before(run)["calibration_slope"].split()[0]),
    )
    assert math.isclose(before, after / 2, abs_tol=6e-4)  # the log-odds are doubled, so the slope is halved


def test_plain_words_count_films(run: RunFolder) -> None:
    p = run.scored
    said = p.probabilities[:, 1] >= 0.5
    found, alarms = int((said & (p.labels == 1)).sum()), int((said & (p.labels == 0)).sum())
    assert verdict.in_plain_words(run) == (
        f"Of 100 PNEUMONIA films {found} were found and {100 - found} missed; "
        f"of 100 other films {alarms} were called PNEUMONIA."
    )


@pytest.mark.parametrize(
    ("share", "text"), [(0.5, "50 %"), (0.05, "5 %"), (0.0234, "2.3 %"), (0.0, "0 %"), (math.nan, "undefined")]
)
def test_shares_read_as_a_person_says_them(share: float, text: str) -> None:
    assert percent(share) == text


def test_a_decision_curve_with_a_gap_is_not_said_to_be_the_highest_there() -> None:
    at = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    true = np.array([True, True, False, False, True])
    assert practice._stretches(at, true) == "from 0.10 to 0.20 and at 0.50"
    assert practice._stretches(at, ~true) == "from 0.30 to 0.40"
    assert practice._stretches(at, at > 1) == "nowhere"


@pytest.mark.usefixtures("words_only")
def test_what_was_fitted_is_said_and_as_trained_is_before_all_of_it(make_run: MakeRun, tmp_path: Path) -> None:
    run = RunFolder(make_run(tmp_path, temperature=2.0))
    moved = run.predictions.by(offsets=(-0.25, 0.25))
    run = run.replaced(model={**run.model, "offsets": [-0.25, 0.25]}, predictions=moved)
    odds = [np.log(p[:, 1] / p[:, 0]) for p in (run.scored.probabilities, run.as_trained.probabilities)]
    assert np.allclose(odds[1], 2 * odds[0] - 0.5, atol=1e-6)
    assert fitted_in_words(run) == "temperature 2.00, log-odds of PNEUMONIA moved by +0.50, fitted on validation films"
    assert fitted_in_words(run) in practice.chosen(run) and "no refer band" in practice.chosen(run)
    older = {name: value for name, value in run.model.items() if name != "offsets"}
    assert (before_in_words(run), before_in_words(run.replaced(model=older))) == (
        "as trained",
        "before the temperature",
    )
    alone = run.replaced(predictions=run.predictions.by(offsets=(), temperature=1.0))
    assert "probabilities as trained" in practice.chosen(alone)
