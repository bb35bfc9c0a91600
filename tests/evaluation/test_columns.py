"""Scores by columns: groups, differences to the rest, and how often chance alone is called a difference."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.errors import InputError
from plainfilm.evaluation.areas import auc_interval
from plainfilm.evaluation.columns import NOT_KNOWN, OTHERS, _difference, asked, by_columns, grouped, usual
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.intervals import Interval
from plainfilm.evaluation.predictions import Predictions


def table(truth: np.ndarray, score: np.ndarray, patients: np.ndarray | None = None) -> Predictions:
    names = [f"{k}.png" for k in range(len(truth))]
    probabilities = np.stack([1 - score, score], axis=1)
    whose = np.array(names) if patients is None else patients.astype(str)
    parts = np.full(len(truth), "test")
    return Predictions(names, parts, truth.astype(int), probabilities, Decision.of(("no", "yes")), whose)


def text(*cells: str) -> np.ndarray:
    return np.array(cells, object)


def test_numbers_are_cut_at_quarters_or_edges_and_words_stay():
    ages = text(*map(str, range(100)), "", "unclear")
    groups, names = grouped(ages)
    assert names == ["0 to 24", "25 to 49", "50 to 74", "75 to 99", NOT_KNOWN]
    assert groups[24] == "0 to 24" and groups[25] == "25 to 49" and groups[-1] == groups[-2] == NOT_KNOWN
    groups, names = grouped(ages, (18.0, 65.0))
    assert names == ["below 18", "18 to below 65", "65 and more", NOT_KNOWN]
    assert groups[17] == "below 18" and groups[18] == "18 to below 65" and groups[65] == "65 and more"
    assert grouped(text("b", "a", "", "a"))[1] == ["a", "b", NOT_KNOWN]
    assert grouped(text("0", "1", "1"))[1] == ["0", "1"]
    assert grouped(np.array([f"s{k:03d}" for k in range(200)] + ["s000"], object))[1][-1] == OTHERS


def test_what_is_asked_for_must_be_a_column():
    assert asked("Site, age:40:65", ["site", "age"]) == {"site": (), "age": (40.0, 65.0)}
    with pytest.raises(InputError, match=r"no column 'sote'.*Did you mean 'site'"):
        asked("sote", ["site", "age"])
    with pytest.raises(InputError, match="rising numbers"):
        asked("age:65:40", ["age"])
    assert usual(["age", "Patient Sex", "SITE", "PatientAge", "message", "pages", "Manufacturer", "follow-up"]) == (
        "age,Patient Sex,SITE,PatientAge,Manufacturer"
    )


def test_a_group_that_is_worse_is_named_and_small_ones_are_counted():
    rng = np.random.default_rng(0)
    truth = np.arange(600) % 2
    site = np.where(np.arange(600) < 300, "Lyon", "Oslo").astype(object)
    site[:10] = "Rome"
    score = np.clip(0.5 + 0.25 * (truth - 0.5) * np.where(site == "Oslo", 0.2, 3) + rng.normal(0, 0.15, 600), 0, 1)
    found = by_columns(table(truth, score), {"site": site}, "site")
    rows = {row["group"]: row for row in found["rows"]}
    assert not rows["Rome"]["scored"] and rows["Rome"]["films"] == 10 and not rows["Rome"]["difference"]
    own = site == "Oslo"
    assert rows["Oslo"]["auroc"] == pytest.approx(auc_interval(truth[own] == 1, score[own]).as_dict(), abs=0.02)
    assert (
        found["worst"]["group"] == "Oslo"
        and found["worst"]["worse"]
        and "worse than the rest." in found["worst"]["sentence"]
    )
    assert found["compared"] == 6


def test_the_two_groups_of_a_column_are_one_comparison():
    rng = np.random.default_rng(1)
    truth, score = np.arange(200) % 2, rng.uniform(size=200)
    found = by_columns(table(truth, score), {"sex": np.array(["F", "M"] * 50 + ["M", "F"] * 50, object)}, "sex")
    assert found["compared"] == 3
    female, male = found["rows"]
    for score_name, one in female["difference"].items():
        other = male["difference"][score_name]
        assert one["value"] == pytest.approx(-other["value"])
        assert one["p"] == pytest.approx(other["p"]) and one["p_adjusted"] == other["p_adjusted"]


def test_flawless_groups_have_room_for_error():
    truth = np.arange(80) % 2
    score = truth * 0.8 + 0.1
    found = by_columns(table(truth, score), {"site": np.array(["a"] * 24 + ["b"] * 56, object)}, "site")
    difference = found["rows"][0]["difference"]["sensitivity"]
    assert difference["value"] == 0 and difference["low"] < -0.1 and difference["high"] > 0.01
    assert found["worst"] is None


@pytest.mark.parametrize("films_a_patient", [1, 6])
def test_chance_is_seldom_called_worse(films_a_patient):
    """Of 150 sets without any difference between five sites, two sexes and ages, at most 1 in 10 may have one named."""
    rng = np.random.default_rng(2)
    named = 0
    for _ in range(150):
        patients = np.repeat(np.arange(300 // films_a_patient), films_a_patient)
        truth = rng.integers(0, 2, len(np.unique(patients)))[patients]
        person = rng.normal(size=len(np.unique(patients)))[patients]
        score = 1 / (1 + np.exp(-(truth - 0.5 + 0.8 * person + 0.6 * rng.normal(size=len(truth)))))
        columns = {
            "site": rng.choice(list("abcde"), len(np.unique(patients)))[patients].astype(object),
            "sex": rng.choice(list("FM"), len(np.unique(patients)))[patients].astype(object),
            "age": rng.integers(0, 90, len(np.unique(patients)))[patients].astype(str).astype(object),
        }
        worst = by_columns(table(truth, score, patients), columns, "site,sex,age")["worst"]
        named += bool(worst and worst["worse"])
    assert named <= 15


@pytest.mark.parametrize("freedom", [1, 4, 200])
def test_a_difference_is_as_wide_as_its_parts_make_it_and_its_p_agrees(freedom):
    """Newcombe's interval of two that Student widened already: 0 lies outside exactly where p is below .05."""
    own, rest = Interval(0.6, 0.45, 0.72), Interval(0.8, 0.7, 0.88)
    found = _difference(own, rest, freedom)
    assert found["low"] == pytest.approx(-0.2 - np.hypot(0.15, 0.08)) and found["high"] == pytest.approx(
        -0.2 + np.hypot(0.12, 0.10)
    )
    for value in np.linspace(0.5, 0.8, 40):
        moved = _difference(Interval(value, value - 0.15, value + 0.12), rest, freedom)
        assert (moved["high"] < 0) == (moved["p"] < 0.05)
