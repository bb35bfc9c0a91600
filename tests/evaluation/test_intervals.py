"""Intervals against published examples, other libraries, a naive DeLong, and what they promise: 95 % coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from plainfilm.evaluation import intervals
from plainfilm.evaluation.intervals import (
    Bools,
    Floats,
    Interval,
    auc_interval,
    bootstrap,
    delong,
    percentile_interval,
    resample,
    wilson,
    wilson_by_patient,
)

# Albumin, total protein, K-G score and outcome of 43 patients with ovarian cancer: the example of DeLong et al. 1988,
# as reprinted in the SAS/STAT user's guide, PROC LOGISTIC, "Comparing Receiver Operating Characteristic Curves".
OVARIAN_TEXT = """
    3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1 3.8 5.7 5 1
    3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0 2.3 4.4 6 1 4.2 7.6 4 0
    4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1 3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1
    4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0 3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1
    2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1 3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1"""
OVARIAN = np.array(OVARIAN_TEXT.split(), dtype=np.float64).reshape(-1, 4)


# -- Wilson -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17:857, Table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((successes / n, low, high), abs=5e-5)


@pytest.mark.parametrize(("share", "low", "high"), [(0.95, 0.938, 0.960), (0.97, 0.960, 0.978)])
def test_the_interval_of_the_papers_accuracy(share: float, low: float, high: float) -> None:
    assert wilson(share * 1464, 1464)[1:] == pytest.approx((low, high), abs=5e-4)


def test_wilson_equals_statsmodels() -> None:
    for n in (1, 7, 624):
        for successes in (0, 1, n // 2, n):
            assert wilson(successes, n, 0.9)[1:] == pytest.approx(proportion_confint(successes, n, 0.1, "wilson"))


def clustered(rng: np.random.Generator, icc: float, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(patients, truth, score) of 150 patients with 1 to ``most`` films, whose noise has the correlation ``icc``."""
    whose = np.repeat(np.arange(150), rng.integers(1, most + 1, 150))
    truth = (rng.random(150) < 0.6)[whose]
    noise = np.sqrt(icc) * rng.normal(size=150)[whose] + np.sqrt(1 - icc) * rng.normal(size=len(whose))
    return whose.astype(str), truth, 2 * truth + noise


def test_intervals_by_patient_hold_the_truth_where_films_err_together() -> None:
    rng = np.random.default_rng(0)
    accuracy, area = ndtr(1.0), ndtr(np.sqrt(2))
    held = np.zeros(4)
    for _ in range(400):
        patients, truth, score = clustered(rng, 0.6, 9)
        right = (score >= 1) == truth
        found = (
            wilson(right.sum(), len(right)),
            wilson_by_patient(right, patients),
            auc_interval(truth, score),
            auc_interval(truth, score, patients=patients),
        )
        held += [i.low <= true <= i.high for i, true in zip(found, (accuracy, accuracy, area, area), strict=True)]
    assert held[0] < 340 and held[2] < 320  # as if independent: far from 95 %
    assert held[1] > 365 and held[3] > 360


def test_intervals_by_patient_are_the_plain_ones_where_each_has_one_film() -> None:
    patients, truth, score = clustered(np.random.default_rng(1), 0.5, 1)
    right = (score >= 1) == truth
    assert wilson_by_patient(right, patients) == pytest.approx(wilson(right.sum(), len(right)))
    assert auc_interval(truth, score, patients=patients) == pytest.approx(auc_interval(truth, score), abs=1e-3)
    assert wilson_by_patient(np.arange(40) % 5 > 0, np.arange(40) // 8).value == 0.8
    two = np.repeat([False, True], 50)
    assert auc_interval(two, two * 1.0, patients=two)[1:] == pytest.approx((np.nan, np.nan), nan_ok=True)
    four = np.repeat(["a", "b", "c", "d"], 25)
    assert auc_interval(two, two * 1.0, patients=four) == wilson(2, 2)
    flawless = wilson_by_patient(np.ones(30, bool), np.repeat(["a", "b", "c"], 10))
    assert flawless == wilson(3, 3) and np.isnan(wilson_by_patient(np.ones(0, bool), np.array([]))).all()


def test_wilson_of_nothing_is_unknown_and_its_ends_are_exact() -> None:
    assert np.isnan(wilson(0, 0)).all()
    assert wilson(0, 37).low == 0.0
    assert wilson(37, 37).high == 1.0


def test_an_interval_goes_to_metrics_json_by_name() -> None:
    assert Interval(0.5, 0.4, 0.6).as_dict() == {"value": 0.5, "low": 0.4, "high": 0.6}


# -- DeLong -----------------------------------------------------------------------------------------------------------


def naive_delong(positive: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """The definition of 1988 with all pairs, O(N²)."""
    kernels = []
    for score in scores:
        a, b = score[positive][:, None], score[~positive][None]
        kernels.append((a > b) + 0.5 * (a == b))
    below = np.array([k.mean(axis=1) for k in kernels])
    above = np.array([k.mean(axis=0) for k in kernels])
    m, n = below.shape[1], above.shape[1]
    centre = below.mean(axis=1, keepdims=True)
    s10 = (below - centre) @ (below - centre).T / (m - 1)
    s01 = (above - centre) @ (above - centre).T / (n - 1)
    return centre[:, 0], s10 / m + s01 / n


def films(rng: np.random.Generator, m: int, n: int, area: float) -> tuple[Bools, Floats]:
    """Scores of m positive and n negative films whose true area under the curve is ``area`` (two normals)."""
    positive = np.arange(m + n) < m
    return positive, np.asarray(rng.normal(size=m + n) + positive * norm.ppf(area) * np.sqrt(2), dtype=np.float64)


def test_delong_as_published() -> None:
    positive = OVARIAN[:, 3] == 1
    scores = np.stack([OVARIAN[:, 0], 10 - OVARIAN[:, 2], OVARIAN[:, 1]])  # albumin, K-G score, total protein
    areas, covariance = delong(positive, scores)
    assert areas == pytest.approx([0.7366, 0.7258, 0.6478], abs=5e-5)
    assert np.sqrt(np.diag(covariance)) == pytest.approx([0.0927, 0.1028, 0.1000], abs=5e-5)


@pytest.mark.parametrize("decimals", [0, 1, 6])  # none but ties, some, hardly any
def test_fast_delong_equals_the_naive_one(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    positive, a = films(rng, 37, 61, 0.8)
    scores: Floats = np.stack([a, a + rng.normal(size=98), rng.normal(size=98)]).round(decimals)
    order = rng.permutation(98)
    areas, covariance = delong(positive[order], scores[:, order])
    expected_areas, expected_covariance = naive_delong(positive, scores)
    assert areas == pytest.approx(expected_areas, abs=1e-12)
    assert covariance == pytest.approx(expected_covariance, abs=1e-12)
    assert areas[1] == pytest.approx(roc_auc_score(positive, scores[1]))


def test_the_interval_of_an_area_is_symmetric_in_log_odds() -> None:
    positive, score = films(np.random.default_rng(0), 60, 80, 0.93)
    value, low, high = auc_interval(positive, score)
    odds = np.log([low / (1 - low), value / (1 - value), high / (1 - high)])
    assert odds[1] - odds[0] == pytest.approx(odds[2] - odds[1])
    variance = naive_delong(positive, score[None])[1][0, 0]
    assert odds[1] - odds[0] == pytest.approx(1.959964 * np.sqrt(variance) / (value * (1 - value)), rel=1e-6)
    assert auc_interval(positive, -score) == pytest.approx((1 - value, 1 - high, 1 - low))


def test_an_area_of_one_does_not_claim_certainty() -> None:
    positive = np.arange(50) < 20
    perfect = auc_interval(positive, positive.astype(np.float64))
    assert perfect == wilson(20, 20)  # twenty pairs of films that share none
    assert perfect.high == 1.0 and 0.8 < perfect.low < 0.9
    assert auc_interval(positive, (~positive).astype(np.float64)) == wilson(0, 20)


def test_the_area_of_a_constant_score_is_a_half() -> None:
    constant = auc_interval(np.arange(50) < 20, np.full(50, 0.3))
    assert constant.value == 0.5
    assert constant.low < 0.5 < constant.high


def test_an_area_with_one_class_is_unknown_and_with_one_film_of_a_class_wide() -> None:
    assert np.isnan(auc_interval(np.ones(5, bool), np.arange(5.0))).all()
    assert np.isnan(auc_interval(np.zeros(0, bool), np.zeros(0))).all()
    single = auc_interval(np.array([True, False, False, False]), np.array([3.0, 1, 2, 4]))
    assert single.value == pytest.approx(2 / 3)
    assert single.low < 0.2 and single.high > 0.9


# -- resampled patients -----------------------------------------------------------------------------------------------


def weights_drawn(patients: list[str], draws: int, seed: int = 0) -> Floats:
    return resample(lambda weights: weights, np.array(patients), np.random.default_rng(seed), draws)


def test_all_films_of_a_patient_are_drawn_together_and_as_many_patients_as_there_are() -> None:
    drawn = weights_drawn(["a", "b", "a", "c", "b", "b"], 500)
    assert (drawn[:, 0] == drawn[:, 2]).all()
    assert (drawn[:, 1] == drawn[:, 4]).all() and (drawn[:, 1] == drawn[:, 5]).all()
    assert (drawn[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_the_draws_are_multinomial() -> None:
    drawn = weights_drawn([f"{i:03d}" for i in range(40)], 4000)
    assert drawn.mean(axis=0) == pytest.approx(np.ones(40), abs=0.08)
    assert np.cov(drawn.T)[0, 0] == pytest.approx(1 - 1 / 40, abs=0.1)
    assert np.cov(drawn.T)[np.triu_indices(40, 1)].mean() == pytest.approx(-1 / 40, abs=0.003)


def test_the_draws_depend_neither_on_the_order_of_films_nor_on_the_size_of_a_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patients = ["a", "b", "a", "c", "b", "d"]
    order = np.array([3, 5, 0, 4, 1, 2])
    drawn = weights_drawn(patients, 50)
    assert np.array_equal(weights_drawn([patients[i] for i in order], 50), drawn[:, order])
    monkeypatch.setattr(intervals, "WEIGHTS_AT_ONCE", 7)
    assert np.array_equal(weights_drawn(patients, 50), drawn)


def test_the_bootstrap_equals_one_by_brute_force() -> None:
    rng = np.random.default_rng(5)
    patients = rng.integers(0, 30, 90)
    values = rng.normal(size=90) + patients / 10

    def mean(weights: Floats) -> Floats:
        return np.asarray((weights @ values / weights.sum(axis=1))[:, None])

    found = bootstrap(mean, np.array([f"{i:02d}" for i in patients]), np.random.default_rng(1), 4000)[0]
    names = np.unique(patients)
    brute = np.random.default_rng(2)
    means = []
    for _ in range(4000):
        chosen = brute.choice(names, len(names))
        means.append(np.concatenate([values[patients == who] for who in chosen]).mean())
    assert found.value == pytest.approx(values.mean())
    assert found[1:] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.05 * np.ptp(means))


def test_draws_without_an_answer_are_left_out_and_without_any_the_bounds_are_unknown() -> None:
    assert percentile_interval(0.5, np.array([np.nan, 0.2, 0.8])) == pytest.approx((0.5, 0.215, 0.785))
    assert np.isnan(percentile_interval(0.5, np.array([np.nan, np.nan]))).all()
    assert np.isnan(percentile_interval(np.nan, np.array([0.1]))).all()


def test_one_patient_gives_a_value_without_bounds() -> None:
    found = bootstrap(lambda weights: weights[:, :1], np.array(["a", "a"]), np.random.default_rng(0))[0]
    assert found.value == 1.0
    assert np.isnan(found.low) and np.isnan(found.high)


# -- coverage: how many simulated intervals hold the truth -------------------------------------------------------------


def wilson_coverage(repeats: int, seed: int) -> float:
    """A share of 0.9 over 624 independent films."""
    successes = np.random.default_rng(seed).binomial(624, 0.9, repeats)
    return float(np.mean([low <= 0.9 <= high for _, low, high in (wilson(s, 624) for s in successes)]))


def delong_coverage(repeats: int, seed: int) -> float:
    """A true area of 0.95 with 100 positive and 60 negative films."""
    rng = np.random.default_rng(seed)
    found = [auc_interval(*films(rng, 100, 60, 0.95)) for _ in range(repeats)]
    return float(np.mean([low <= 0.95 <= high for _, low, high in found]))


def patient_coverage(repeats: int, seed: int, known: bool) -> float:
    """A mean error of 0.2 over 150 patients of 1 to 6 films that err together (the patients known, or not)."""
    rng = np.random.default_rng(seed)
    held = 0
    for _ in range(repeats):
        patients = np.repeat(np.arange(150), rng.integers(1, 7, 150))
        wrong = rng.random(len(patients)) < rng.beta(0.4, 1.6, 150)[patients]  # mean 0.2
        names = (patients if known else np.arange(len(patients))).astype(str)
        share = lambda w, wrong=wrong: (w @ wrong / w.sum(axis=1))[:, None]  # noqa: E731
        _, low, high = bootstrap(share, names, rng, 400)[0]
        held += low <= 0.2 <= high
    return held / repeats


def test_coverage_is_near_95_percent() -> None:
    assert wilson_coverage(500, 1) == pytest.approx(0.95, abs=0.035)
    assert delong_coverage(400, 1) == pytest.approx(0.95, abs=0.04)
    assert patient_coverage(150, 1, known=True) == pytest.approx(0.95, abs=0.06)


def test_films_resampled_without_their_patients_promise_too_much() -> None:
    assert patient_coverage(150, 2, known=False) < 0.9


@pytest.mark.slow
def test_coverage_is_93_to_97_percent() -> None:
    assert 0.93 <= wilson_coverage(20_000, 3) <= 0.97
    assert 0.93 <= delong_coverage(5_000, 3) <= 0.97
    assert 0.93 <= patient_coverage(3_000, 3, known=True) <= 0.97
