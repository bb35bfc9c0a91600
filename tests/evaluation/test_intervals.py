"""Shares, means, what is put together, and differences: against published examples, other libraries, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, t
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from plainfilm.evaluation.intervals import (
    Estimate,
    Interval,
    correlations,
    gap,
    mean_interval,
    rate,
    together,
    wilson,
    worth_patients,
)

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


# -- by patient -------------------------------------------------------------------------------------------------------


def test_shares_of_films_of_as_many_patients_are_wilsons() -> None:
    hits = np.arange(40) % 5 > 0
    assert rate(hits, np.arange(40)) == wilson(32, 40) == rate(hits, np.arange(40).astype(str))
    assert np.isnan(rate(np.ones(0, bool), np.array([]))).all()


def test_a_share_by_patient_is_wilsons_for_the_films_that_these_are_worth() -> None:
    """Korn and Graubard's effective number of films, by hand: 12 patients with 10 films, rates of 1.0 and 0.7."""
    whose = np.repeat(np.arange(12), 10)
    hits = np.array([film < (10 if who % 2 else 7) for who in range(12) for film in range(10)])
    variance = np.square(np.tile([-0.15, 0.15], 6)).sum() / 12 / 11  # of the mean of twelve patients' rates
    worth = 0.85 * 0.15 / variance * (1.959964 / t.ppf(0.975, 11)) ** 2
    flawless = 12 / (12 + 1.959964**2)
    expected = wilson(0.85 * min(worth, 120), min(worth, 120))
    found = rate(hits, whose)
    assert found.value == pytest.approx(0.85)
    assert found.high == pytest.approx(expected.high)
    assert found.low == pytest.approx(min(expected.low, expected.high - 1 + flawless))


def test_films_that_agree_within_a_patient_count_as_one() -> None:
    whose = np.repeat(np.arange(200), 4)
    found, plain = rate(np.repeat(np.arange(200) % 5 > 0, 4), whose), wilson(160, 200)
    assert tuple(found) == pytest.approx(tuple(plain), abs=2e-3)  # Student's for the normal quantile, 199 for 200
    assert rate(np.ones(300, bool), np.repeat(["a", "b", "c"], 100)) == wilson(3, 3)
    assert rate(np.zeros(7, bool), np.array(["a"] * 7)) == wilson(0, 1)
    assert worth_patients(np.array([0] * 100 + [1, 2, 3, 4, 5])) == pytest.approx(105**2 / 10_005)


def test_one_wrong_film_never_makes_an_interval_narrower() -> None:
    """For every number of patients and films, and wherever the wrong films are."""
    for people, films in ((2, 3), (3, 100), (6, 100), (20, 5), (20, 40), (100, 3)):
        whose = np.repeat(np.arange(people), films)
        flawless = rate(np.ones(len(whose), bool), whose)
        for wrong in ([0], [0, 1], [0, films], np.arange(0, films * people, films)):
            hits = np.ones(len(whose), bool)
            hits[wrong] = False
            found = rate(hits, whose)
            assert found.low < flawless.low and found.high - found.low >= flawless.high - flawless.low - 1e-12


def test_the_mean_of_values_between_0_and_1_has_width_where_all_are_the_same() -> None:
    squares = np.random.default_rng(0).beta(0.3, 3, 400)
    found, plain = rate(squares, np.arange(400)), mean_interval(squares, np.arange(400))
    assert found.value == plain.value == pytest.approx(squares.mean())
    assert found.high - found.low == pytest.approx(plain.high - plain.low, rel=0.15)
    assert rate(np.full(50, 0.25), np.arange(50))[1:] == pytest.approx(
        (0.25 * 50 / 53.84, 1 - 0.75 * 50 / 53.84), abs=1e-4
    )


def test_students_interval_of_a_mean_by_patient() -> None:
    values = np.random.default_rng(1).normal(3, 1, 9)
    expected = t.interval(0.95, 8, values.mean(), values.std(ddof=1) / 3)
    assert mean_interval(values, np.arange(9))[1:] == pytest.approx(expected)
    assert mean_interval(np.repeat(values, 4), np.repeat(np.arange(9), 4))[1:] == pytest.approx(expected)
    assert (
        np.isnan(mean_interval(values, np.zeros(9, int)).low) and np.isnan(mean_interval(values[:0], values[:0])).all()
    )


def test_a_cautious_share_has_the_outer_of_wilsons_and_jeffreys_bounds() -> None:
    found = rate(np.arange(5) < 3, np.arange(5), cautious=True)
    assert found[1:] == pytest.approx(beta.ppf([0.025, 0.975], 3.5, 2.5))
    assert found.low < wilson(3, 5).low and found.high > wilson(3, 5).high
    assert rate(np.zeros(10, bool), np.arange(10), cautious=True) == wilson(0, 10)


# -- put together -----------------------------------------------------------------------------------------------------


def test_bounds_recovered_from_two_shares_are_newcombes() -> None:
    """Newcombe's interval of a difference is the same recovery: statsmodels has it."""
    low, high = confint_proportions_2indep(56, 70, 48, 80, method="newcomb")
    a, b = wilson(56, 70), wilson(48, 80)
    minus = Interval(-b.value, -b.high, -b.low)
    assert together(a.value - b.value, [a, minus], np.ones(2))[1:] == pytest.approx((low, high))
    none_called = together(0.5, [wilson(0, 10), wilson(2000, 2000)], np.full(2, 0.5))
    assert none_called[1:] == pytest.approx((0.499, 0.639), abs=5e-4)


def test_parts_that_err_together_add_their_widths() -> None:
    parts = [Interval(0.8, 0.7, 0.9), Interval(0.8, 0.7, 0.9)]
    assert together(0.8, parts, np.full(2, 0.5), np.ones((2, 2)))[1:] == pytest.approx((0.7, 0.9))
    pulls = np.random.default_rng(0).normal(size=(1, 60))
    both = correlations(np.concatenate([pulls, 2 * pulls, 0 * pulls]), np.arange(60), 0.0)
    assert both == pytest.approx(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]))


# -- differences ------------------------------------------------------------------------------------------------------


def test_a_difference_by_patient_is_the_paired_t_test_of_patients() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0.3, 1, (2, 15))
    films = np.repeat(values, 4, axis=1)
    first, second = (Estimate(float(row.mean()), (row - row.mean()) / 60) for row in films)
    found = gap(first, second, np.repeat(np.arange(15), 4))
    leads = values[0] - values[1]
    expected = t.interval(0.95, 14, leads.mean(), leads.std(ddof=1) / np.sqrt(15))
    assert found.interval()[1:] == pytest.approx(expected)
    assert found.p == pytest.approx(2 * t.sf(abs(leads.mean()) / leads.std(ddof=1) * np.sqrt(15), 14))


def test_models_that_never_differ_are_not_shown_to_be_equal() -> None:
    same = Estimate(0.9, np.where(np.arange(98) < 9, -0.9, 0.1) / 98)
    found = gap(same, same, np.arange(98), 1 / 98).interval()
    assert found.value == 0 and found.high == -found.low == pytest.approx(t.ppf(0.975, 97) * np.sqrt(2) / 98)


def test_wilson_of_nothing_is_unknown_and_its_ends_are_exact() -> None:
    assert np.isnan(wilson(0, 0)).all()
    assert wilson(0, 37).low == 0.0
    assert wilson(37, 37).high == 1.0


def test_an_interval_goes_to_metrics_json_by_name() -> None:
    assert Interval(0.5, 0.4, 0.6).as_dict() == {"value": 0.5, "low": 0.4, "high": 0.6}
