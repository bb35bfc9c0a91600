"""Calibration against statsmodels and simulated truth; temperature, refer band and prevalence do what they promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from scipy.stats import t

from plainfilm.errors import InputError
from plainfilm.evaluation.calibration import (
    _log_loss,
    _moved,
    fit_offsets,
    fit_temperature,
    proven_offsets,
    proven_temperature,
)
from plainfilm.evaluation.decision import Band, Bools, Decision, apply_temperature, log_odds
from plainfilm.evaluation.intervals import Floats, wilson, worth_patients
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.prevalence import adjust_prevalence, estimate_prevalence
from plainfilm.evaluation.referral import ReferBand, certainty, refer_band, risk_coverage
from plainfilm.evaluation.reliability import (
    calibration_line,
    ece_interval,
    equal_mass_bins,
    expected_calibration_error,
    reliability,
)

CLASSES = ("normal", "bacterial", "viral")


def table(labels: ArrayLike, probabilities: Floats, patients: NDArray[np.int64] | None = None) -> Predictions:
    n, k = probabilities.shape
    paths = [f"film{i:05d}" for i in range(n)]
    who = paths if patients is None else [f"patient{int(i):05d}" for i in patients]
    truth = np.asarray(labels).astype(np.int64)
    return Predictions(
        paths, np.full(n, "val"), truth, probabilities, Decision(CLASSES[:k], CLASSES[1]), np.array(who, dtype=np.str_)
    )


def binary(labels: ArrayLike, positive: Floats) -> Predictions:
    return table(np.asarray(labels), np.column_stack([1 - positive, positive]))


def honest_films(n: int, seed: int = 0, k: int = 2) -> tuple[Floats, NDArray[np.int64]]:
    """Logits (n, k) and labels drawn from their softmax: a model that is calibrated by construction."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, k))
    chances = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (rng.random((n, 1)) > chances).sum(axis=1).clip(max=k - 1)


# -- reliability ------------------------------------------------------------------------------------------------------


def test_bins_hold_equal_mass_and_never_cut_a_tie() -> None:
    assert np.bincount(equal_mass_bins(np.ones(60, int))).tolist() == [4] * 15
    assert np.bincount(equal_mass_bins(np.ones(624, int))).tolist().count(41) == 6  # 624 = 6 · 41 + 9 · 42
    assert equal_mass_bins(np.array([90, 1, 9]), bins=10).tolist() == [4, 9, 9]


def test_the_reliability_table_counts_every_film_once() -> None:
    logits, labels = honest_films(624)
    p = table(labels, softmax(logits, axis=1))
    rows = reliability(p)
    assert sum(row["n"] for row in rows) == 624
    assert {row["n"] for row in rows} == {41, 42}
    assert sum(row["n"] * row["observed"] for row in rows) == pytest.approx((labels == 1).sum())
    weighted_gap = sum(row["n"] * abs(row["observed"] - row["mean_predicted"]) for row in rows) / 624
    truth = (labels == 1).astype(np.float64)
    ece = expected_calibration_error(truth, p.probabilities[:, 1])
    assert weighted_gap == pytest.approx(ece)
    first = rows[0]
    assert (first["observed"], first["low"], first["high"]) == wilson(round(first["n"] * first["observed"]), first["n"])
    assert np.all(np.diff([row["mean_predicted"] for row in rows]) > 0)


def test_the_ece_interval_reaches_zero_for_a_calibrated_model_and_not_for_a_bad_one() -> None:
    logits, labels = honest_films(624, seed=3)
    who, truth = np.arange(624), labels == 1
    rng = np.random.default_rng(0)
    honest, chance = ece_interval(truth, softmax(logits, axis=1)[:, 1], who, rng, draws=300)
    boastful, _ = ece_interval(truth, softmax(4 * logits, axis=1)[:, 1], who, rng, draws=300)
    assert honest.low == 0 and honest.value < 0.06
    assert 0.05 < boastful.low < boastful.value < boastful.high
    assert chance.low < honest.value < chance.high < boastful.value  # what chance alone gives, for these probabilities
    score = softmax(logits, axis=1)[:, 1]
    drawn = [expected_calibration_error((rng.random(624) < score).astype(float), score) for _ in range(400)]
    assert chance.value == pytest.approx(np.mean(drawn), rel=0.05)
    assert chance[1:] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), rel=0.1)


def test_the_ece_interval_holds_the_true_error_of_a_model_that_is_too_sure() -> None:
    """Percentiles of resamples, which are biased twice, would hold it in a quarter of the repeats."""

    def error(n: int, seed: int) -> tuple[Floats, Floats]:
        logits, labels = honest_films(n, seed)
        return labels == 1, softmax(1.3 * logits, axis=1)[:, 1]

    truth, score = error(400_000, seed=99)
    true = expected_calibration_error(truth, score)
    rng, who = np.random.default_rng(0), np.arange(624)
    found = [ece_interval(*error(624, seed), who, rng, draws=300)[0] for seed in range(60)]
    assert np.mean([low <= true <= high for _, low, high in found]) > 0.9


# -- slope and intercept ----------------------------------------------------------------------------------------------


def test_slope_and_intercept_equal_statsmodels_with_clustered_errors() -> None:
    logits, labels = honest_films(500, seed=1)
    patients = np.random.default_rng(0).integers(0, 200, 500)
    p = table(labels, softmax(1.7 * logits + [0, 0.8], axis=1), patients)
    slope, intercept = calibration_line(p)
    x, truth = log_odds(p.probabilities, 1), (labels == 1).astype(np.float64)
    groups = len(np.unique(patients))
    clusters = {"groups": patients, "use_correction": False}
    line = sm.GLM(truth, sm.add_constant(x), sm.families.Binomial()).fit(cov_type="cluster", cov_kwds=clusters)
    large = sm.GLM(truth, np.ones(500), sm.families.Binomial(), offset=x).fit(cov_type="cluster", cov_kwds=clusters)
    worth = min(worth_patients(patients[labels == side]) for side in (0, 1))
    quantile = t.ppf(0.975, worth - 1)
    for found, value, error in ((slope, line.params[1], line.bse[1]), (intercept, large.params[0], large.bse[0])):
        half = quantile * error * np.sqrt(groups / (groups - 1))
        assert tuple(found) == pytest.approx((value, value - half, value + half), abs=0.06 * half)  # theirs is CR1
    assert slope.high < 1  # too sure by construction
    assert intercept.high < 0  # and says bacterial too readily


def test_the_interval_of_the_slope_is_the_jackknife_of_refitted_lines() -> None:
    """Each patient left out in turn, the line fitted anew by statsmodels."""
    logits, labels = honest_films(120, seed=5)
    patients = np.random.default_rng(0).integers(0, 12, 120)
    p = table(labels, softmax(0.8 * logits, axis=1), patients)
    x, truth = log_odds(p.probabilities, 1), (labels == 1).astype(np.float64)

    def steepness(kept: NDArray[np.bool_]) -> float:
        return float(sm.GLM(truth[kept], sm.add_constant(x[kept]), sm.families.Binomial()).fit().params[1])

    whole = steepness(np.ones(120, bool))
    left = np.array([steepness(patients != who) for who in np.unique(patients)])
    bias, error = 11 * (left.mean() - whole), np.sqrt(11 / 12 * np.square(left - left.mean()).sum())
    half = t.ppf(0.975, min(worth_patients(patients[labels == side]) for side in (0, 1)) - 1) * error
    found = calibration_line(p)[0]
    assert tuple(found) == pytest.approx((whole, whole - bias - half, whole - bias + half), rel=1e-3)


def test_a_calibrated_model_has_slope_one_and_intercept_zero() -> None:
    logits, labels = honest_films(4000, seed=2, k=3)
    slope, intercept = calibration_line(table(labels, softmax(logits, axis=1)).by(positive="viral"))
    assert slope.low < 1 < slope.high
    assert intercept.low < 0 < intercept.high


def test_the_slope_of_separated_classes_is_unknown_and_with_one_class_so_is_all() -> None:
    slope, intercept = calibration_line(binary([0, 0, 1, 1], np.array([0.1, 0.4, 0.4, 0.9])))
    assert np.isnan(slope).all() and np.isfinite(intercept).all()
    constant = calibration_line(binary([0, 1, 1, 1], np.full(4, 0.5)))
    assert np.isnan(constant[0]).all() and constant[1].value == pytest.approx(np.log(3))
    assert all(np.isnan(found).all() for found in calibration_line(binary([1, 1], np.array([0.3, 0.9]))))


def test_probabilities_of_zero_and_one_do_not_break_the_fit() -> None:
    slope, intercept = calibration_line(binary([0, 0, 1, 1, 0, 1], np.array([0, 0.3, 1, 0.6, 1, 0.2])))
    assert np.isfinite(slope).all() and np.isnan(intercept).all()  # one film of probability 1 is wrong
    right = calibration_line(binary([0, 0, 1, 1, 0, 1], np.array([0, 0.3, 1, 0.6, 0.7, 0.2])))
    assert np.isfinite(right).all()
    sure = calibration_line(binary([0] * 40 + [1] * 40, np.array([0.001] * 40 + [0.999] * 40)))
    assert np.isnan(sure[1]).all()


# -- temperature ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("true", [0.6, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(k: int, true: float) -> None:
    logits, labels = honest_films(4000, seed=k, k=k)
    p = table(labels, softmax(true * logits, axis=1))
    found = fit_temperature(p)
    assert found == pytest.approx(true, rel=0.1)
    losses = [-np.log(apply_temperature(p.probabilities, t)[np.arange(4000), labels]).mean() for t in (0.98, 1, 1.02)]
    at = [
        -np.log(apply_temperature(p.probabilities, t * found)[np.arange(4000), labels]).mean() for t in (0.98, 1, 1.02)
    ]
    assert at[1] == min(at) and at[1] <= min(losses)


def test_a_temperature_works_on_probabilities_as_on_logits_and_keeps_the_order() -> None:
    logits, _ = honest_films(200, k=3)
    probabilities = softmax(logits, axis=1)
    assert apply_temperature(probabilities, 2.5) == pytest.approx(softmax(logits / 2.5, axis=1))
    assert apply_temperature(probabilities, 1.0) == pytest.approx(probabilities)
    assert (apply_temperature(probabilities, 9.0).argsort(axis=1) == probabilities.argsort(axis=1)).all()
    assert apply_temperature(np.array([[0.0, 1.0]]), 2.0).sum() == pytest.approx(1)


def test_films_that_cannot_tell_leave_the_temperature_at_one() -> None:
    assert 0.4 < fit_temperature(binary([0, 0, 1, 1], np.array([0.1, 0.2, 0.8, 0.9]))) < 0.9  # no error: asks for T = 0
    assert fit_temperature(binary([0, 1, 1, 1], np.full(4, 0.5))) == 1.0
    assert 1.5 < fit_temperature(binary([1, 1, 0, 0], np.array([0.1, 0.2, 0.8, 0.9]))) < 10  # all wrong: infinity
    sure = 1 / (1 + np.exp([40.0, -40.0] * 200))  # of a network that is too sure by far: a fifth are wrong
    wrong = (np.arange(400) % 2 == 0) ^ (np.arange(400) % 5 == 0)
    assert fit_temperature(table(wrong.astype(int), np.column_stack([1 - sure, sure])[:, ::-1])) > 15
    assert fit_temperature(binary(np.zeros(0), np.zeros(0))) == 1.0


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_a_positive_number(temperature: float) -> None:
    with pytest.raises(InputError, match="above 0"):
        apply_temperature(np.array([[0.5, 0.5]]), temperature)


# -- refer band -------------------------------------------------------------------------------------------------------


def test_the_risk_coverage_curve_by_hand() -> None:
    p = binary([1, 0, 1, 0, 1], np.array([0.99, 0.02, 0.1, 0.4, 0.6]))  # wrong: the third; .4 and .6 are equally sure
    curve = risk_coverage(p)
    assert curve.coverage == pytest.approx([0.2, 0.4, 0.6, 1.0])
    assert curve.risk == pytest.approx([0, 0, 1 / 3, 1 / 5])
    assert curve.area == pytest.approx((0 + 0 + 1 / 3 + 2 / 5) / 5)


def test_the_risk_of_keeping_all_films_is_the_error_rate() -> None:
    logits, labels = honest_films(300, k=3)
    p = table(labels, softmax(logits, axis=1))
    curve = risk_coverage(p)
    assert curve.coverage[-1] == 1
    assert curve.risk[-1] == pytest.approx((p.probabilities.argmax(axis=1) != labels).mean())


def referred(p: Predictions, found: ReferBand) -> Bools:
    return p.by(refer=found.band).decision.refers(p.probabilities)


@pytest.mark.parametrize(("k", "threshold"), [(2, 0.5), (2, 0.2), (3, 0.5)])
def test_the_band_is_the_narrowest_that_keeps_the_error_low_enough(k: int, threshold: float) -> None:
    logits, labels = honest_films(400, seed=5, k=k)
    p = table(labels, softmax(logits, axis=1))
    p = p.by(threshold=threshold)
    band = refer_band(p, error=0.08)
    kept, wrong = ~referred(p, band), p.decided != labels
    assert band.coverage == pytest.approx(kept.mean())
    assert band.error == pytest.approx(wrong[kept].mean()) and band.error <= 0.08
    by_certainty = np.argsort(-certainty(p))
    risks = np.cumsum(wrong[by_certainty]) / np.arange(1, 401)
    assert kept.sum() == 1 + np.flatnonzero(risks <= 0.08).max()


@pytest.mark.parametrize("k", [2, 3])
def test_the_band_refers_the_share_that_was_asked_for(k: int) -> None:
    logits, labels = honest_films(400, seed=6, k=k)
    p = table(labels, softmax(logits, axis=1))
    band = refer_band(p, share=0.1)
    assert referred(p, band).sum() == 40
    none, everything = refer_band(p, share=0.0), refer_band(p, share=1.0)
    assert referred(p, none).sum() == 0 and none.coverage == 1
    assert referred(p, everything).all() and everything.coverage == 0


def test_the_band_is_symmetric_in_log_odds_about_the_threshold() -> None:
    logits, labels = honest_films(400, seed=7)
    band = refer_band(table(labels, softmax(logits, axis=1)).by(threshold=0.2), share=0.3).band
    assert band.low < 0.2 < band.high
    odds = np.log([band.low / (1 - band.low), 0.25, band.high / (1 - band.high)])
    assert np.log(0.25) - odds[0] == pytest.approx(odds[2] - np.log(0.25))


def test_an_error_no_band_reaches_refers_every_film_even_the_surest() -> None:
    p = binary([0, 1, 0], np.array([1.0, 0.9, 0.2]))  # the surest film of all is wrong
    band = refer_band(p, error=0.1)
    assert band.coverage == 0 and np.isnan(band.error)
    assert referred(binary([0, 0, 0], np.array([1.0, 0.0, 0.5])), band).all()


def test_float32_saturation_does_not_move_a_film_across_the_band() -> None:
    # In float32 a probability of 1 - 3e-8 is 1, while the other class still holds 3e-8.
    surest, sure = [1e-11, 1.0], [3e-8, 1.0]
    decision = Decision(CLASSES[:2], CLASSES[1], refer=Band(float(expit(-20)), float(expit(20))))
    assert decision.refers(np.array([surest, sure])).tolist() == [False, True]


@pytest.mark.parametrize("wanted", [{}, {"error": 0.1, "share": 0.1}, {"error": 1.5}, {"share": -0.1}])
def test_a_band_needs_one_wish_in_range(wanted: dict[str, float]) -> None:
    with pytest.raises(InputError, match="either an error or a share"):
        refer_band(binary([0, 1], np.array([0.2, 0.9])), **wanted)


# -- prevalence -------------------------------------------------------------------------------------------------------


def test_a_known_prevalence_is_bayes_rule() -> None:
    # A film with likelihood ratio 4 at 50 % is at .8; at 10 % it is at 4·.1 / (4·.1 + .9).
    found = adjust_prevalence(np.array([[0.2, 0.8]]), np.array([0.5, 0.5]), np.array([0.9, 0.1]))
    assert found[0, 1] == pytest.approx(0.4 / 1.3)
    back = adjust_prevalence(found, np.array([0.9, 0.1]), np.array([0.5, 0.5]))
    assert back == pytest.approx(np.array([[0.2, 0.8]]))
    assert adjust_prevalence(np.array([[1.0, 0.0]]), np.array([0.5, 0.5]), np.array([0.0, 1.0]))[0].tolist() == [0, 1]


def test_a_class_without_training_films_cannot_be_adjusted() -> None:
    with pytest.raises(InputError, match="no training films"):
        adjust_prevalence(np.array([[0.2, 0.8]]), np.array([0.0, 1.0]), np.array([0.5, 0.5]))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_the_prevalence_of_unlabelled_films_is_found(share: float) -> None:
    """Two normal classes two SD apart: the model's probabilities are exact at 70 %, the films come at another share."""
    rng = np.random.default_rng(1)
    positive = rng.random(6000) < share
    score = rng.normal(size=6000) + 2 * positive
    trained = np.array([0.3, 0.7])
    chance = expit(2 * score - 2 + np.log(0.7 / 0.3))
    found = estimate_prevalence(np.column_stack([1 - chance, chance]), trained)
    assert found.sum() == pytest.approx(1)
    assert found[1] == pytest.approx(share, abs=0.02)


def test_films_like_the_training_films_keep_their_prevalence() -> None:
    logits, labels = honest_films(5000, k=3)
    p = table(labels, softmax(logits, axis=1))
    shares = np.bincount(labels) / 5000
    assert estimate_prevalence(p.probabilities, shares) == pytest.approx(shares, abs=0.02)


@pytest.mark.parametrize("k", [2, 3])
def test_offsets_undo_class_weights(k: int) -> None:
    """A network that was trained with weights w gives w p / sum of w p; from 5,000 films the logs of w come back."""
    logits, labels = honest_films(5000, k=k)
    weights = np.array([3.0, 1.0, 0.5][:k])
    p = table(labels, softmax(1.3 * (logits + np.log(weights)), axis=1))
    offsets = fit_offsets(p)
    assert offsets.sum() == pytest.approx(0, abs=1e-12)
    assert offsets == pytest.approx(-1.3 * (np.log(weights) - np.log(weights).mean()), abs=0.2)
    mended = replace(p, probabilities=softmax(np.log(p.probabilities) + offsets, axis=1))
    assert fit_temperature(mended) == pytest.approx(1.3, abs=0.1)


def test_offsets_are_bounded_where_nothing_is_wrong_and_zero_where_a_class_is_missing() -> None:
    apart = table(np.repeat([0, 1], 10), np.repeat([[0.999, 0.001], [0.01, 0.99]], 10, axis=0))
    assert np.abs(fit_offsets(apart)).max() < 3
    assert (fit_offsets(table(np.zeros(10, dtype=np.int64), np.full((10, 2), 0.5))) == 0).all()


@pytest.mark.parametrize(
    ("factor", "offset", "helps"),
    [(1.0, 0.0, False), (1.4, 0.0, False), (0.4, 0.0, True), (3.0, 0.0, True), (1.7, 1.0, True)],
)
def test_calibration_is_used_only_where_it_helps_films_that_it_has_not_seen(factor, offset, helps):
    """200 draws of 48 validation films; truth and log-odds of a model that says ``factor`` times its evidence."""
    rng = np.random.default_rng(1)

    def draw(films):
        labels = rng.integers(0, 2, films)
        odds = factor * (2 * rng.normal(size=films) + 2 * (2 * labels - 1)) + offset
        names = np.arange(films).astype(str)
        p = expit(odds)
        columns = np.stack([1 - p, p], 1)
        return Predictions(list(names), np.array(["val"] * films), labels, columns, Decision.of(("a", "b")), names)

    fresh = draw(5_000)
    before = _log_loss(fresh).mean()
    changes = []
    for _ in range(200):
        val = draw(48)
        offsets = proven_offsets(val)
        offsets = np.zeros(2) if offsets is None else offsets
        changed = _moved(fresh, offsets, proven_temperature(_moved(val, offsets, 1.0)))
        changes.append(_log_loss(changed).mean() - before)
    assert np.mean(changes) <= 0.001, np.mean(changes)
    assert (np.mean(changes) < -0.01) == helps
