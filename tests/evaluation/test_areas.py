"""Areas under curves against published examples, a naive DeLong, other libraries, and what their intervals promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm, t
from sklearn.metrics import average_precision_score, roc_auc_score

from plainfilm.evaluation.areas import (
    area,
    auc_interval,
    average_precision,
    average_precision_interval,
    cross_validated,
    flawless_area,
    placements,
)
from plainfilm.evaluation.intervals import Bools, Floats, Interval, wilson

# Albumin, total protein, K-G score and outcome of 43 patients with ovarian cancer: the example of DeLong et al. 1988,
# as reprinted in the SAS/STAT user's guide, PROC LOGISTIC, "Comparing Receiver Operating Characteristic Curves".
OVARIAN_TEXT = """
    3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1 3.8 5.7 5 1
    3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0 2.3 4.4 6 1 4.2 7.6 4 0
    4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1 3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1
    4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0 3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1
    2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1 3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1"""
OVARIAN = np.array(OVARIAN_TEXT.split(), dtype=np.float64).reshape(-1, 4)


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


def naive_sides(positive: Bools, score: Floats) -> tuple[float, float]:
    """The two parts of DeLong's variance, from all pairs."""
    wins = (score[positive][:, None] > score[~positive][None]) * 1.0
    return tuple(wins.mean(axis=1 - side).var(ddof=1) / wins.shape[side] for side in (0, 1))


def films(rng: np.random.Generator, m: int, n: int, area: float) -> tuple[Bools, Floats]:
    """Scores of m positive and n negative films whose true area under the curve is ``area`` (two normals)."""
    positive = np.arange(m + n) < m
    return positive, np.asarray(rng.normal(size=m + n) + positive * norm.ppf(area) * np.sqrt(2), dtype=np.float64)


def delong(positive: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """The areas under the curves (M,) and their covariance (M, M) of M models on the same N films, by ``placements``:
    DeLong, DeLong & Clarke-Pearson 1988, doi 10.2307/2531595. Films are taken as independent."""
    m, n = int(positive.sum()), int((~positive).sum())
    below, above = placements(positive, scores)
    return below.mean(axis=1), np.atleast_2d(np.cov(below)) / m + np.atleast_2d(np.cov(above)) / n


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
    sides = naive_sides(positive, score)
    df = sum(sides) ** 2 / (sides[0] ** 2 / 59 + sides[1] ** 2 / 79)  # Satterthwaite
    assert variance == pytest.approx(sum(sides))
    assert odds[1] - odds[0] == pytest.approx(t.ppf(0.975, df) * np.sqrt(variance) / (value * (1 - value)), rel=1e-6)
    assert auc_interval(positive, -score) == pytest.approx((1 - value, 1 - high, 1 - low))


def test_an_area_of_one_does_not_claim_certainty() -> None:
    positive = np.arange(50) < 20
    perfect = auc_interval(positive, positive.astype(np.float64))
    assert perfect[:] == (1.0, flawless_area(20, 30), 1.0) and 0.85 < perfect.low < 0.95
    assert auc_interval(positive, (~positive).astype(np.float64)) == pytest.approx((0, 0, 1 - perfect.low))


def test_the_bound_of_a_flawless_area_is_newcombes() -> None:
    """Hanley and McNeil's variance at the bound, with (20 + 30) / 2 - 1 = 24 further films of each class, by hand."""
    low = flawless_area(20, 30)
    alike = low * (1 - low) + 24 * (low / (2 - low) + 2 * low**2 / (1 + low) - 2 * low**2)
    assert (1 - low) / np.sqrt(alike / 600) == pytest.approx(1.959964, abs=1e-5)
    assert flawless_area(3, 3) < flawless_area(5, 5) < flawless_area(5, 1000) < flawless_area(50, 50)


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


# -- by patient -------------------------------------------------------------------------------------------------------


def naive_obuchowski(positive: Bools, score: Floats, patients: np.ndarray) -> float:
    """The variance of Obuchowski 1997, equations as printed: sums of components over patients, and their covariance."""
    wins = (score[positive][:, None] > score[~positive][None]) + 0.5 * (score[positive][:, None] == score[~positive])
    m, n = wins.shape
    auc, names = wins.mean(), np.unique(patients)
    ill = [(wins.mean(axis=1)[patients[positive] == who] - auc).sum() for who in names]
    well = [(wins.mean(axis=0)[patients[~positive] == who] - auc).sum() for who in names]
    many = len(names)
    s10, s01 = (np.square(part).sum() * many / (many - 1) for part in (ill, well))
    s11 = np.dot(ill, well) * many / (many - 1)
    return s10 / m**2 + s01 / n**2 + 2 * s11 / (m * n)


def test_the_pulls_of_an_area_give_obuchowskis_variance() -> None:
    rng = np.random.default_rng(4)
    patients = rng.integers(0, 25, 160)
    positive = rng.random(160) < 0.4
    score = (positive + rng.normal(size=25)[patients] + rng.normal(size=160)).round(1)
    sums = np.bincount(patients, area(positive, score).pulls)
    assert sums @ sums * 25 / 24 == pytest.approx(naive_obuchowski(positive, score, patients))


def test_several_films_a_patient_widen_the_interval_and_one_each_does_not() -> None:
    rng = np.random.default_rng(1)
    whose = np.repeat(np.arange(60), 5)
    truth = whose < 30
    score = truth + rng.normal(size=60)[whose] + 0.3 * rng.normal(size=300)
    alone, together = auc_interval(truth, score), auc_interval(truth, score, patients=whose.astype(str))
    assert 1.5 < (together.high - together.low) / (alone.high - alone.low) < 3
    assert auc_interval(truth, score, patients=np.arange(300)) == alone
    two = np.repeat([False, True], 50)
    four = auc_interval(two, two * 1.0, patients=np.repeat(["a", "b", "c", "d"], 25))
    assert four == (1.0, flawless_area(2, 2), 1.0)


def test_one_wrong_film_never_makes_the_interval_of_an_area_narrower() -> None:
    whose, truth = np.repeat(np.arange(6), 100), np.arange(600) < 300
    score = np.where(truth, 2.0, 1.0) + np.arange(600) / 1e4
    flawless = auc_interval(truth, score, patients=whose)
    score[0] = 0
    one_wrong = auc_interval(truth, score, patients=whose)
    assert one_wrong.low < flawless.low and one_wrong.high - one_wrong.low >= flawless.high - flawless.low
    assert flawless.low == flawless_area(3, 3)


# -- folds ------------------------------------------------------------------------------------------------------------


def test_within_folds_the_area_is_the_mean_and_so_is_its_variance() -> None:
    rng = np.random.default_rng(3)
    truth, fold = rng.random(200) < 0.4, np.arange(200) % 4
    score = rng.normal(size=200) + truth + 5 * fold  # the folds' scales have nothing in common
    found = auc_interval(truth, score, parts=fold)
    each = [auc_interval(truth[fold == k], score[fold == k]) for k in range(4)]
    assert found.value == pytest.approx(np.mean([one.value for one in each]))
    assert found.value > auc_interval(truth, score).value + 0.05
    variance = sum(delong(truth[fold == k], score[fold == k][None])[1][0, 0] for k in range(4)) / 16 * 4 / 3
    pulls = area(truth, score, fold).pulls
    assert pulls @ pulls == pytest.approx(variance, rel=0.05)
    assert average_precision(truth, score, fold).value == pytest.approx(
        np.mean([average_precision_score(truth[fold == k], score[fold == k]) for k in range(4)])
    )
    fold[truth & (fold == 0)] = 1  # a fold without positive films has no area, and counts in none
    assert area(truth, score, fold).value == pytest.approx(
        np.mean([roc_auc_score(truth[fold == k], score[fold == k]) for k in (1, 2, 3)])
    )


# -- average precision, and cross-validation --------------------------------------------------------------------------


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_average_precision_is_scikit_learns_and_its_interval_has_width(decimals: int) -> None:
    rng = np.random.default_rng(2)
    truth = rng.random(80) < 0.4
    score: Floats = (rng.random(80) + truth / 3).round(decimals)
    found = average_precision_interval(truth, score, np.arange(80))
    assert found.value == pytest.approx(average_precision_score(truth, score))
    assert found.low < found.value - 0.02 and found.high > found.value + 0.02
    flawless = average_precision_interval(truth, truth * 1.0, np.arange(80))
    assert flawless == wilson(truth.sum(), truth.sum())
    assert np.isnan(average_precision_interval(np.ones(4, bool), np.arange(4.0), np.arange(4))).all()


def test_the_variance_of_average_precision_is_that_of_repeated_draws() -> None:
    rng = np.random.default_rng(5)
    draws = []
    for _ in range(400):
        truth = rng.random(300) < 0.3
        draws.append(average_precision(truth, rng.normal(size=300) + 1.5 * truth))
    assert np.mean([one.pulls @ one.pulls for one in draws]) ** 0.5 == pytest.approx(
        np.std([one.value for one in draws]), rel=0.1
    )


def test_cross_validation_widens_by_nadeau_and_bengio() -> None:
    found = cross_validated(Interval(0.8, 0.7, 0.9), 5)
    odds = np.log(np.array(found) / (1 - np.array(found)))
    assert odds[0] == pytest.approx(np.log(4)) and odds[2] - odds[0] == pytest.approx(1.5 * (np.log(9) - np.log(4)))
    assert cross_validated(Interval(1.0, 0.9, 1.0), 5) == (1.0, 0.9, 1.0)


def test_intervals_by_patient_hold_the_truth_where_films_err_together() -> None:
    rng = np.random.default_rng(0)
    true, held = ndtr(np.sqrt(2)), np.zeros(2)
    for _ in range(300):
        whose = np.repeat(np.arange(150), rng.integers(1, 10, 150))
        truth = (rng.random(150) < 0.6)[whose]
        score = 2 * truth + np.sqrt(0.6) * rng.normal(size=150)[whose] + np.sqrt(0.4) * rng.normal(size=len(whose))
        found = auc_interval(truth, score), auc_interval(truth, score, patients=whose)
        held += [i.low <= true <= i.high for i in found]
    assert held[0] < 0.8 * 300 and held[1] >= 0.92 * 300  # as if independent: far from 95 %
