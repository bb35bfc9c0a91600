"""Sizes of studies, against published worked examples, statsmodels and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from statsmodels.stats.proportion import proportion_confint

from plainfilm.errors import InputError
from plainfilm.evaluation import planning
from plainfilm.evaluation.areas import auc_interval
from plainfilm.evaluation.planning import Assumed


def test_riley_2021_s_example_of_heart_valves():
    """Prevalence .018, C .8, O/E within a width of 1: 905 and 4,252 are published with pmvalsampsize 0.1.0, and for
    log-odds that are normal (-5, 2.5) 4,544 by its simulation of a million, for beta(.5, .5) 1,641 by one of a
    thousand. (Its standard error of O/E goes in steps of .0001: one film less than the exact solution.)"""
    rng = np.random.default_rng(0)
    normal = Assumed(prevalence=0.018, auroc=0.8, log_odds=rng.normal(-5, 2.5, 1_000_000))
    found = planning.validation(normal, oe_width=1)
    assert found["observed/expected"].films == pytest.approx(905, abs=1)
    assert found["auroc"].films == 4252
    assert found["calibration_slope"].films == pytest.approx(4544, rel=0.005)
    chances = np.clip(rng.beta(0.5, 0.5, 1_000_000), 1e-9, 1 - 1e-9)
    beta = planning.validation(Assumed(prevalence=0.018, auroc=0.8, log_odds=logit(chances)))
    assert beta["calibration_slope"].films == pytest.approx(1641, rel=0.05)


def test_integration_equals_a_million_drawn_films():
    assumed = Assumed(prevalence=0.2, auroc=0.85)
    rng = np.random.default_rng(1)
    ill = rng.random(1_000_000) < 0.2
    points, weights = planning.log_odds_distribution(assumed)
    assert weights.sum() == pytest.approx(1)
    assert weights @ expit(points) == pytest.approx(0.2, abs=1e-6)  # calibrated in the large
    d = np.sqrt(2) * 1.0364333894937898  # the normal quantile of .85
    drawn = logit(0.2) + np.where(ill, d**2 / 2, -(d**2) / 2) + rng.normal(0, d, len(ill))
    by_draws = planning.validation(Assumed(prevalence=0.2, auroc=0.85, log_odds=drawn))
    exact = planning.validation(assumed)
    assert exact["calibration_slope"].films == pytest.approx(by_draws["calibration_slope"].films, rel=0.01)


def test_a_width_is_that_of_statsmodels_interval_and_one_film_fewer_is_too_wide():
    found = planning.precision(Assumed(prevalence=1 / 3, sensitivity=0.9), 0.1)["sensitivity"]
    low, high = proportion_confint(0.9 * found.films / 3, found.films / 3, method="wilson")
    assert high - low <= 0.1
    low, high = proportion_confint(0.9 * (found.films / 3 - 1.01), found.films / 3 - 1.01, method="wilson")
    assert high - low > 0.1


def test_an_area_s_interval_is_as_wide_as_delong_s_of_drawn_films():
    assumed = Assumed(prevalence=0.4, auroc=0.9)
    rng = np.random.default_rng(3)
    ill = np.arange(600) < 240
    found = []
    for _ in range(200):
        interval = auc_interval(ill, rng.normal(0, 1, 600) + ill * np.sqrt(2) * 1.2815515655446004)
        found.append(interval.high - interval.low)
    assert planning.widths(assumed, 600)["auroc"] == pytest.approx(np.mean(found), rel=0.1)


def test_mcnemar_s_power_is_reached_in_simulated_studies():
    need = planning.difference_of_accuracies(Assumed(), 0.05, 0.12, 0.8).films
    rng = np.random.default_rng(4)
    better, worse = rng.multinomial(need, [0.085, 0.035, 0.88], 4000)[:, :2].T
    shown = (better - worse) ** 2 / np.maximum(better + worse, 1) > 3.8415
    assert np.mean(shown) == pytest.approx(0.8, abs=0.03)


def test_a_fall_at_a_new_site_is_found_as_often_as_said():
    assumed = Assumed(prevalence=0.5, sensitivity=0.92)
    positives = planning.drop(assumed, 0.06, 0.9)["sensitivity"].positives
    rng = np.random.default_rng(5)
    hits = rng.binomial(positives, 0.86, 10_000) / positives
    shown = (0.92 - hits) / np.sqrt(0.92 * 0.08 / positives) > 1.959964
    assert np.mean(shown) == pytest.approx(0.9, abs=0.03)


def test_two_models_areas_need_fewer_films_the_more_they_err_together():
    sizes = [planning.difference_of_areas(Assumed(auroc=0.9), 0.03, r, 0.8).films for r in (0.0, 0.5, 0.9)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 2 * sizes[2]


def test_films_of_one_patient_count_as_one_where_they_always_agree():
    alone = planning.precision(Assumed(), 0.1)["auroc"]
    several = planning.precision(Assumed(films_per_patient=4, icc=1.0), 0.1)["auroc"]
    assert several.films == 4 * alone.films and several.patients == alone.patients


def test_the_correlation_within_patients_is_found_again():
    rng = np.random.default_rng(6)
    patients = np.repeat(np.arange(4000), 3).astype(str)
    share = np.repeat(rng.normal(0, np.sqrt(0.3), 4000), 3)
    assert planning.intracluster_correlation(share + rng.normal(0, np.sqrt(0.7), 12_000), patients) == pytest.approx(
        0.3, abs=0.02
    )
    assert planning.intracluster_correlation(rng.random(9), np.arange(9)) == 0
    assert planning.intracluster_correlation(np.ones(12_000), patients) == 0


@given(st.floats(0.02, 0.98), st.floats(0.6, 0.99), st.floats(0.02, 0.3), st.floats(1, 20), st.floats(0, 1))
def test_more_is_asked_for_narrower_intervals_and_alike_films(prevalence, score, width, films, icc):
    def need(**other):
        given = {"prevalence": prevalence, "sensitivity": score, "auroc": score, "films_per_patient": films, "icc": icc}
        return planning.precision(Assumed(**given), other.get("width", width))

    for name, needed in need().items():
        assert need(width=width / 2)[name].films >= needed.films
        assert needed.patients <= needed.films and 0 <= needed.positives <= needed.films


def test_a_pilot_s_own_values_are_taken():
    rng = np.random.default_rng(7)
    ill = rng.random(600) < 0.25
    odds = rng.normal(-1, 1, 600) + 2 * ill
    chance = expit(odds)
    found = planning.piloted(ill, chance >= 0.5, chance, np.repeat(np.arange(300), 2).astype(str))
    assert found.films_per_patient == 2 and found.prevalence == pytest.approx(ill.mean())
    assert found.sensitivity == pytest.approx((chance[ill] >= 0.5).mean())
    assert found.icc < 0.15 and np.allclose(found.log_odds, odds)
    with pytest.raises(InputError, match="at least two positive"):
        planning.piloted(ill & False, chance >= 0.5, chance, np.arange(600).astype(str))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Assumed(prevalence=0, auroc=2), "prevalence=0 .*; auroc=2"),
        (lambda: planning.precision(Assumed(), 0), "width=0"),
        (lambda: planning.precision(Assumed(prevalence=0.001, sensitivity=0.5), 0.0005), "width"),
        (lambda: planning.difference_of_accuracies(Assumed(), 0.2, 0.1, 0.8), "disagree on more"),
        (lambda: planning.drop(Assumed(sensitivity=0.1), 0.2, 0.8), "can't fall"),
        (lambda: planning.difference_of_areas(Assumed(), 0.02, 1.5, 0.8), "correlation=1.5"),
    ],
)
def test_what_can_t_be_is_one_sentence(wrong, words):
    with pytest.raises(InputError, match=words):
        wrong()
