"""Paired tests against statsmodels, published figures and simulation; and words that claim no more than was shown."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom, binomtest, chi2, norm
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from plainfilm.errors import InputError
from plainfilm.evaluation.areas import area
from plainfilm.evaluation.compare import (
    Paired,
    accuracy_test,
    align,
    area_test,
    compare,
    holm,
    mcnemar,
    paired_delong,
    simultaneous,
    smallest_difference,
    verdict,
)
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.intervals import Bools, Estimate, Floats, Gap, Interval
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.scores import scores
from plainfilm.storage.files import to_json

# K-G score, albumin, total protein and outcome: the example of DeLong et al. 1988, as in the SAS/STAT user's guide.
OVARIAN_TEXT = """
    10 3.0 5.8 0 5 3.2 6.3 1 3 3.9 6.8 1 6 2.8 4.8 0 3 3.2 5.8 1 5 0.9 4.0 0 8 2.5 5.7 0 5 1.6 5.6 1 5 3.8 5.7 1
    6 3.7 6.7 1 4 3.2 5.4 1 6 3.8 6.6 1 5 4.1 6.6 1 5 3.6 5.7 1 4 4.3 7.0 1 4 3.6 6.7 0 6 2.3 4.4 1 4 4.2 7.6 0
    6 4.0 6.6 0 6 3.5 5.8 1 7 3.8 6.8 1 8 3.0 4.7 0 5 4.5 7.4 1 5 3.7 7.4 1 6 3.1 6.6 1 6 4.1 8.2 1 5 4.3 7.0 1
    4 4.3 6.5 1 5 3.2 5.1 1 6 2.6 4.7 1 6 3.3 6.8 0 7 1.7 4.0 0 5 3.7 6.1 1 7 3.3 6.3 1 6 4.2 7.7 1 5 3.5 6.2 1
    9 2.9 5.7 0 7 2.1 4.8 1 8 2.8 6.2 0 7 4.0 7.0 1 6 3.3 5.7 1 5 3.7 6.9 1 5 3.6 6.6 1"""
OVARIAN = np.array(OVARIAN_TEXT.split(), dtype=np.float64).reshape(-1, 4)


def right(only_first: int, only_second: int, both: int) -> tuple[Bools, Bools]:
    first = np.repeat([True, False, True], [only_first, only_second, both])
    second = np.repeat([False, True, True], [only_first, only_second, both])
    return first, second


def model(odds: Floats, labels: NDArray[np.int64], patients: NDArray[np.int64]) -> Predictions:
    share = 1 / (1 + np.exp(-odds))
    paths = [f"film{i:04d}" for i in range(len(odds))]
    return Predictions(
        paths,
        np.full(len(odds), "test"),
        labels,
        np.column_stack([1 - share, share]),
        Decision(("normal", "pneumonia"), "pneumonia"),
        np.array([f"patient{i:04d}" for i in patients]),
    )


def three_models(n: int = 400) -> list[tuple[str, Predictions]]:
    """A good model, the same with a little noise, and a poor one, on the same films."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n)
    patients = rng.integers(0, n // 2, n)
    good = rng.normal(size=n) + 3 * labels - 1.5
    near, poor = good + 0.1 * rng.normal(size=n), good + 3 * rng.normal(size=n)
    return [(name, model(odds, labels, patients)) for name, odds in (("good", good), ("near", near), ("poor", poor))]


# -- tests of two models ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [(0, 0), (1, 0), (5, 5), (3, 17), (40, 12)])
def test_mcnemar_equals_statsmodels(a: int, b: int) -> None:
    found = mcnemar(*right(a, b, both=100))
    assert (found.only_first, found.only_second) == (a, b)
    expected = statsmodels_mcnemar([[100, a], [b, 0]], exact=True).pvalue
    assert found.p == pytest.approx(expected)


def test_whole_patients_change_places_as_in_all_sign_flips() -> None:
    """Against all 2^11 ways to change places, counted one by one; with a film a patient it is McNemar's test."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        whose = rng.integers(0, 11, 60)
        first, second = rng.random((2, 60)) < 0.7
        leads = np.bincount(whose, first.astype(float) - second, minlength=11)
        flips = np.array(list(product([-1, 1], repeat=11))) @ leads
        expected = np.mean(np.abs(flips) >= abs(leads.sum()) - 1e-9)
        assert mcnemar(first, second, whose).p == pytest.approx(expected)
        assert mcnemar(first, second, np.arange(60)).p == pytest.approx(mcnemar(first, second).p)


def test_of_many_patients_the_test_is_obuchowskis() -> None:
    rng = np.random.default_rng(1)
    whose = np.repeat(np.arange(400), 5)
    first, second = (rng.random(400)[whose] + rng.random(2000) < 1.5 for _ in range(2))
    leads = np.bincount(whose, first.astype(float) - second)
    chi_squared = leads.sum() ** 2 / (leads**2).sum()  # Obuchowski 1998
    assert mcnemar(first, second, whose).p == pytest.approx(chi2.sf(chi_squared, 1), abs=0.03)  # theirs is not discrete


@pytest.mark.parametrize("films", [1, 8])
def test_interval_and_p_agree_at_every_level(films: int) -> None:
    rng = np.random.default_rng(films)
    whose = np.repeat(np.arange(30), films)
    for _ in range(60):
        first, second = (rng.random(30)[whose] + rng.random(len(whose)) < 1.5 for _ in range(2))
        for found in (accuracy_test(first, second, whose), area_test(*areas_of(rng, whose))):
            for level in (0.5, 0.9, 0.95, 0.99, 0.9999):
                low, high = found.interval(level)[1:]
                assert (low > 0 or high < 0) == (found.p < 1 - level), (found, level)


def areas_of(rng: np.random.Generator, whose: NDArray[np.int64]) -> tuple[Bools, Estimate, Estimate, NDArray[np.int64]]:
    truth = whose % 2 == 0
    first, second = (area(truth, truth + rng.normal(size=30)[whose] + rng.normal(size=len(whose))) for _ in range(2))
    return truth, first, second, whose


def test_what_holm_shows_the_interval_shows() -> None:
    """Three pairs, p = .001, .02 and .03: Holm shows all, Bonferroni's level only the first."""
    tests = [Paired(Gap(float(norm.isf(p / 2)), 1.0, 1e9), p) for p in (0.001, 0.02, 0.03)]
    adjusted = holm([test.p for test in tests])
    assert adjusted == pytest.approx([0.003, 0.04, 0.04])
    for test, p in zip(tests, adjusted, strict=True):
        found = simultaneous(Paired(test.gap._replace(value=test.gap.value / 10, error=0.1), test.p), p, 1 - 0.05 / 3)
        assert found.low > 0 and found.high >= test.gap.value / 10 + 0.1 * norm.isf(0.05 / 6) - 1e-9
    undecided = simultaneous(Paired(Gap(0.21, 0.1, 1e9), 0.036), 0.108, 1 - 0.05 / 3)
    assert undecided.low < 0 < undecided.high


def test_mcnemar_on_the_approval_of_the_prime_minister() -> None:
    # Agresti, Categorical Data Analysis, 2nd ed., table 10.1: 150 against 86 changed sides, z = 4.17, p < .0001.
    found = mcnemar(*right(150, 86, both=1364))
    assert found.p == pytest.approx(2 * norm.sf(4.17), rel=0.3)
    assert found.p < 1e-4


def test_paired_delong_as_published() -> None:
    positive = OVARIAN[:, 3] == 1
    kg, albumin, protein = 10 - OVARIAN[:, 0], OVARIAN[:, 1], OVARIAN[:, 2]
    for first, value, low, high, p in (
        (albumin, 0.0108, -0.1761, 0.1976, 0.9102),
        (protein, -0.0780, -0.2830, 0.1271, 0.4561),
    ):
        found = area_test(positive, area(positive, first), area(positive, kg), np.arange(43)).gap
        assert found.value == pytest.approx(value, abs=5e-5)
        assert found.error == pytest.approx((high - low) / 2 / 1.959964, abs=5e-5)  # published with the normal quantile
        assert 2 * norm.sf(abs(found.value) / found.error) == pytest.approx(p, abs=5e-4)
        ours, ours_p = paired_delong(positive, first, kg)
        assert ours.low < low and ours.high > high and ours_p > p  # 43 films know their spread less well than that


def test_paired_delong_swaps_with_its_models() -> None:
    positive = OVARIAN[:, 3] == 1
    difference, p = paired_delong(positive, OVARIAN[:, 1], OVARIAN[:, 2])
    swapped, same_p = paired_delong(positive, OVARIAN[:, 2], OVARIAN[:, 1])
    assert swapped == pytest.approx((-difference.value, -difference.high, -difference.low))
    assert same_p == pytest.approx(p)


def test_paired_delong_at_its_edges() -> None:
    positive = np.arange(40) < 20
    score = np.random.default_rng(0).normal(size=40)
    assert paired_delong(positive, score, np.exp(score)) == ((0, 0, 0), 1)  # the same order of films
    flawless, constant = positive.astype(np.float64), np.zeros(40)
    difference, p = paired_delong(positive, flawless, constant)
    assert difference.value == 0.5 and 0 < difference.low < 0.5 < difference.high
    assert p == pytest.approx(binomtest(20, 20).pvalue)
    assert np.isnan(paired_delong(np.ones(3, bool), np.arange(3.0), np.zeros(3))[1])
    one_positive = np.array([True, False, False])
    assert paired_delong(one_positive, np.array([3.0, 1, 2]), np.array([1.0, 2, 3]))[1] == 1


def test_paired_delong_keeps_its_level_under_the_null() -> None:
    rng = np.random.default_rng(0)
    positive = np.arange(160) < 90
    p_values = []
    for _ in range(400):
        shared = rng.normal(size=160) + positive
        p_values.append(paired_delong(positive, shared + rng.normal(size=160), shared + rng.normal(size=160))[1])
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.06)


def test_holm_as_by_hand_and_as_statsmodels() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    p = np.random.default_rng(0).random(9) ** 3
    assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1].tolist())
    assert holm([]) == []
    with_unknown = holm([0.01, float("nan"), 0.02])
    assert np.isnan(with_unknown[1]) and [with_unknown[0], with_unknown[2]] == pytest.approx([0.02, 0.02])


@pytest.mark.parametrize(("n", "discordance"), [(624, 0.05), (624, 0.2), (1464, 0.03), (624, 0.0)])
def test_the_smallest_difference_has_80_percent_power(n: int, discordance: float) -> None:
    difference = smallest_difference(n, discordance)
    share = max(discordance, difference)
    chances = [(share + difference) / 2, max((share - difference) / 2, 0), 1 - share]
    draws = np.random.default_rng(0).multinomial(n, chances, 20_000)[:, :2]
    fewer, discordant = draws.min(axis=1), draws.sum(axis=1)
    p = 2 * binom.cdf(fewer, discordant, 0.5)
    shown = (p < 0.05) & (draws[:, 0] > draws[:, 1])
    assert np.mean(shown) == pytest.approx(0.8, abs=0.06)


def test_few_films_show_no_difference_at_all() -> None:
    assert np.isnan(smallest_difference(3, 0.1))
    assert np.isnan(smallest_difference(0, 0.1))
    assert smallest_difference(10_000, 0.1) < smallest_difference(100, 0.1) < 1


# -- comparing runs ---------------------------------------------------------------------------------------------------


def test_a_comparison_of_three_models() -> None:
    models = three_models()
    found = compare(models, np.random.default_rng(0), draws=300)
    json.loads(to_json(found))
    assert (found["films"], found["positive"]) == (400, "pneumonia")
    assert found["patients"] == len(np.unique(models[0][1].patients))
    assert [(pair["first"], pair["second"]) for pair in found["pairs"]] == [
        ("good", "near"),
        ("good", "poor"),
        ("near", "poor"),
    ]
    near, poor, _ = found["pairs"]
    assert "good is better than poor (accuracy: difference 0." in poor["accuracy"]["sentence"]
    assert poor["auroc"]["sentence"].endswith("p < 0.001, for 3 pairs).")
    assert "not shown to be better than" in near["accuracy"]["sentence"]
    for score in ("accuracy", "auroc"):
        p_values = [pair[score]["p"] for pair in found["pairs"]]
        assert [pair[score]["p_holm"] for pair in found["pairs"]] == pytest.approx(holm(p_values))
    only = poor["accuracy"]["only_first_right"] - poor["accuracy"]["only_second_right"]
    assert poor["accuracy"]["difference"]["value"] == pytest.approx(only / 400)
    assert 0 < near["accuracy"]["smallest_difference"] < 0.05
    assert near["auroc"]["smallest_difference"] < poor["auroc"]["smallest_difference"]


def test_each_difference_is_that_of_the_two_scores() -> None:
    models = three_models(200)
    cuts = {"good": 0.4, "poor": 0.7}
    decided = [(name, p.by(threshold=cuts.get(name, 0.5)).deciding()) for name, p in models]
    found = compare(decided, np.random.default_rng(0), draws=50)
    by_name = {
        name: scores(p.by(threshold=cuts.get(name, 0.5)), np.random.default_rng(0), draws=5)
        for name, p in align_named(models)
    }
    for pair in found["pairs"]:
        for name, difference in pair["differences"].items():
            expected = by_name[pair["first"]][name].value - by_name[pair["second"]][name].value
            assert difference["value"] == pytest.approx(expected), name
            assert difference["low"] <= difference["high"]


def align_named(models: list[tuple[str, Predictions]]) -> list[tuple[str, Predictions]]:
    return [(name, p) for (name, _), p in zip(models, align(models), strict=True)]


def test_pairing_makes_the_difference_far_surer_than_the_scores() -> None:
    good, near, _ = three_models()
    pair = compare([good, near], np.random.default_rng(0), draws=300)["pairs"][0]
    alone = scores(good[1], np.random.default_rng(0), draws=300)["brier"]
    paired = pair["differences"]["brier"]
    assert paired["high"] - paired["low"] < (alone.high - alone.low) / 3


def test_a_model_is_identical_to_itself() -> None:
    (_, good), _, _ = three_models(100)
    pair = compare([("a", good), ("b", good)], np.random.default_rng(0), draws=50)["pairs"][0]
    for score, named in (("accuracy", "accuracy"), ("auroc", "AUROC")):
        assert pair[score]["sentence"] == f"a and b: the two are identical on these films ({named})."
        assert pair[score]["p"] == 1


def test_neither_the_order_of_rows_nor_of_classes_matters() -> None:
    (_, good), _, (_, poor) = three_models(100)
    turned = poor.take(np.random.default_rng(1).permutation(100))
    turned = replace(turned.by(classes=turned.classes[::-1]), probabilities=turned.probabilities[:, ::-1])
    turned = replace(turned, labels=1 - turned.labels)
    expected = compare([("a", good), ("b", poor)], np.random.default_rng(0), draws=50)["pairs"]
    found = compare([("a", good), ("b", turned)], np.random.default_rng(0), draws=50)["pairs"]
    assert found == expected


def test_patients_known_to_one_model_are_used_for_all() -> None:
    (_, good), (_, near), _ = three_models(100)
    foreign = replace(near, patients=np.array(near.paths))
    tables = align([("foreign", foreign), ("good", good)])
    assert tables[0].patients.tolist() == good.patients.tolist() == tables[1].patients.tolist()


def test_models_on_other_films_are_refused_with_counts() -> None:
    (_, good), (_, near), _ = three_models(100)
    labels = near.labels.copy()
    labels[5:7] = 1 - labels[5:7]
    other = replace(near, labels=labels).take(np.arange(3, 100))
    with pytest.raises(InputError) as refusal:
        compare([("good", good), ("near", other)], np.random.default_rng(0))
    assert "3 films are only in good, 2 films are labelled differently; give" in str(refusal.value)
    assert "only in near" not in str(refusal.value)
    with pytest.raises(InputError, match="their classes differ"):
        compare(
            [("good", good), ("near", replace(near, decision=Decision(("normal", "covid"), "covid")))],
            np.random.default_rng(0),
        )


def test_one_model_or_two_of_a_name_are_no_comparison() -> None:
    good, near, _ = three_models(50)
    with pytest.raises(InputError, match="two or more"):
        compare([good], np.random.default_rng(0))
    with pytest.raises(InputError, match="different names"):
        compare([good, ("good", near[1])], np.random.default_rng(0))


@pytest.mark.parametrize(
    ("difference", "p", "said"),
    [
        (
            (0.031, 0.012, 0.05),
            0.002,
            "A is better than B (accuracy: difference 0.031, 95 % interval 0.012 to 0.050, p = 0.002).",
        ),
        (
            (-0.031, -0.05, -0.012),
            0.0002,
            "B is better than A (accuracy: difference 0.031, 95 % interval 0.012 to 0.050, p < 0.001).",
        ),
        ((0.031, 0.012, 0.05), 0.2, "A is not shown to be better than B (accuracy: difference 0.031"),
        ((0.031, -0.001, 0.05), 0.002, "A is not shown to be better than B"),
        (
            (-0.01, -0.02, 0.01),
            0.5,
            "B is not shown to be better than A (accuracy: difference 0.010, 95 % interval -0.010 to 0.020",
        ),
        ((float("nan"),) * 3, float("nan"), "A and B can't be compared by accuracy: a class is missing."),
    ],
)
def test_better_is_said_only_when_test_and_interval_agree(
    difference: tuple[float, float, float], p: float, said: str
) -> None:
    row = {"difference": Interval(*difference).as_dict(), "p_holm": p, "identical": False, "smallest_difference": 0.042}
    sentence = verdict("A", "B", "accuracy", row)
    assert sentence.startswith(said)
    assert ("a true difference of 0.042 would be shown four times in five" in sentence) == ("not shown" in sentence)


# -- coverage of the paired interval ----------------------------------------------------------------------------------


def paired_coverage(repeats: int, seed: int) -> float:
    """Share of DeLong intervals that hold a true difference of .90 - .80 (300 films, scores correlated at .5)."""
    rng = np.random.default_rng(seed)
    positive = np.arange(300) < 150
    shifts = np.sqrt(2) * norm.ppf([0.90, 0.80])
    held = 0
    for _ in range(repeats):
        noise = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 300)
        found, _ = paired_delong(positive, *(noise + positive[:, None] * shifts).T)
        held += found.low <= 0.1 <= found.high
    return held / repeats


def test_the_paired_interval_covers_about_95_percent() -> None:
    assert paired_coverage(400, 1) == pytest.approx(0.95, abs=0.035)


@pytest.mark.slow
def test_the_paired_interval_covers_93_to_97_percent() -> None:
    assert 0.93 <= paired_coverage(5_000, 2) <= 0.97


def test_a_model_decides_by_the_class_that_its_threshold_is_of() -> None:
    """NORMAL from 0.9 on is not SICK from 0.9 on: a run whose positive class is the other one keeps its decisions."""
    (_, first), (_, second), _ = three_models(200)
    cautious = first.by(threshold=0.9, positive=first.classes[0]).deciding().by(positive=first.classes[1])
    found = compare([("a", cautious), ("b", second)], np.random.default_rng(0), draws=50)
    called = np.where(first.probabilities[:, 0] >= 0.9, 0, 1)
    assert found["models"][0]["scores"]["accuracy"]["value"] == pytest.approx((called == first.labels).mean())
    assert found["models"][0]["decided_by"] == f"the threshold 0.900 of {first.classes[0]}"
    assert cautious.decided.tolist() == cautious.by(positive=first.classes[0]).decided.tolist() == called.tolist()


@st.composite
def compared(draw: st.DrawFn) -> list[tuple[str, Predictions]]:
    """Two to four models of the same films: few or many, patients with one film or several, scores with ties, models
    that are alike, opposite, flawless or constant."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    films = draw(st.integers(8, 120))
    labels = np.r_[0, 1, rng.random(films - 2) < draw(st.floats(0.05, 0.95))].astype(np.int64)
    patients = rng.integers(0, draw(st.integers(2, 2 * films)), films)
    common = rng.normal(size=films)
    models = []
    for k in range(draw(st.integers(2, 4))):
        own = draw(st.sampled_from([0.0, 0.05, 1.0, 5.0])) * rng.normal(size=films)
        odds = draw(st.sampled_from([-4.0, -1.0, 0.0, 1.0, 3.0, 50.0])) * (labels - 0.5) + common + own
        if draw(st.booleans()):
            odds = np.round(odds, draw(st.integers(-3, 1)))  # ties; all are equal in the end
        models.append((f"model {k}", model(odds, labels, patients)))
    return models


@settings(max_examples=150, deadline=None)
@given(compared())
def test_p_value_and_interval_of_a_comparison_always_agree(models: list[tuple[str, Predictions]]) -> None:
    """p < .05 where the interval leaves out 0 and only there, over all pairs, and what is said follows both."""
    for pair in compare(models, np.random.default_rng(0), draws=20)["pairs"]:
        for score in ("accuracy", "auroc"):
            found, given_to = pair[score], pair["differences"][score]
            low, high = found["difference"]["low"], found["difference"]["high"]
            assert (found["p_holm"] < 0.05) == (low > 0 or high < 0), (pair["first"], pair["second"], score, found)
            assert found["p"] <= found["p_holm"] <= 1 and low <= found["difference"]["value"] <= high
            assert ("is better than" in found["sentence"]) == (found["p_holm"] < 0.05)
            assert given_to == found["difference"]
