from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import t as student

from plainfilm.errors import InputError
from plainfilm.evaluation.adapting import _enough, adapt, cross_fitted
from plainfilm.evaluation.adapting_findings import adapt_findings_by_hills
from plainfilm.evaluation.decision import Band, Decision
from plainfilm.evaluation.findings import FindingsDecision, FindingsPredictions
from plainfilm.evaluation.operating import Rules, choose
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.prevalence import estimate_prevalence, prevalence_interval
from plainfilm.evaluation.unlabelled import adapt_to_prevalence

OLD = Decision(("NORMAL", "SICK"), "SICK", refer=Band(0.4, 0.6))


def by(rule: str):
    return partial(choose, rule=rule, refer="none", fitted=True)


def site(n: int = 200, shift: float = 3.0, sharper: float = 2.0, patients: int = 0) -> Predictions:
    """Local films whose log-odds the model states ``shift`` too high: normal films look sick to it."""
    rng = np.random.default_rng(3)
    labels = (rng.random(n) < 0.5).astype(np.int64)
    odds = sharper * (rng.normal(np.where(labels, 2.0, -2.0), 1.5) + shift)
    p = expit(odds)
    names = [f"film{i}" for i in range(n)]
    whose = np.array([f"p{i % patients}" for i in range(n)] if patients else names)
    return Predictions(names, np.full(n, "test"), labels, np.column_stack([1 - p, p]), OLD, whose)


def test_the_threshold_moves_to_the_site_and_the_gain_is_shown_with_its_interval():
    new, _, found = adapt(site(), OLD, Rules(), np.random.default_rng(0))
    assert np.log(new.threshold / (1 - new.threshold)) * new.temperature == pytest.approx(6, abs=1.5)
    before, after, gain = (found[k]["balanced_accuracy"] for k in ("before", "after", "difference"))
    assert before["value"] < 0.7 and after["value"] > 0.85
    assert gain["value"] == pytest.approx(after["value"] - before["value"]) and gain["low"] > 0.1
    assert found["after"]["auroc"]["value"] > 0.9
    assert [row["films"] for row in found["learning_curve"]] == [25, 50, 100]
    assert found["enough"] in (25, 50, None)  # None: 100 still gained, and no more were tried


@pytest.mark.parametrize(
    ("means", "enough"),
    [([0.7, 0.8, 0.9], None), ([0.7, 0.8, 0.805], 50), ([0.9], None), ([0.9, 0.7], 25), ([], None)],
)
def test_enough_are_films_that_more_were_tried_against(means, enough):
    assert _enough([{"films": 25 * 2**i, "mean": mean} for i, mean in enumerate(means)]) == enough


def test_after_is_not_flattered_where_there_is_nothing_to_learn():
    """Labels by lot: a threshold fitted and judged on the same films seems to help; cross-fitted it does not."""
    films, rng = site(60), np.random.default_rng(9)
    flattered, honest = [], []
    for _ in range(40):
        lots = replace(films, labels=rng.permutation(np.arange(60) % 2))
        own = choose(lots, "youden", "none", fitted=True)
        flattered.append(balanced_accuracy(lots.under(own)))
        honest.append(balanced_accuracy(cross_fitted(lots, by("youden"), rng)[0]))
    assert np.mean(flattered) > 0.56 and abs(np.mean(honest) - 0.5) < 0.03


def balanced_accuracy(p):
    called = p.probabilities[:, 1] >= p.decision.threshold
    return (called[p.labels == 1].mean() + (~called)[p.labels == 0].mean()) / 2


def test_a_patients_films_are_judged_by_others_only():
    films = site(100, patients=20)
    cuts = cross_fitted(films, by("auto"), np.random.default_rng(1))[0].decision.threshold
    assert len(set(cuts.tolist())) == 5
    for patient in set(films.patients.tolist()):
        assert len(set(cuts[films.patients == patient].tolist())) == 1


def test_too_few_films_of_a_class_are_refused():
    films = site(60)
    few = films.take(np.concatenate([np.flatnonzero(films.labels == 1), np.flatnonzero(films.labels == 0)[:4]]))
    with pytest.raises(InputError, match="at least 10 local films of each class, and there are 4 of NORMAL"):
        adapt(few, OLD, Rules(refer="none"), np.random.default_rng(0))


def test_without_labels_the_threshold_follows_the_prior_odds():
    films = site(4000, shift=0.0, sharper=16 / 9)  # calibrated: log-odds of two normals with means ±2, variance 2.25
    rare = films.take(np.concatenate([np.flatnonzero(films.labels == 0), np.flatnonzero(films.labels == 1)[:200]]))
    share = float((rare.labels == 1).mean())
    new, about = adapt_to_prevalence(rare.probabilities, OLD, 0.5, None)
    assert about["prevalence_estimated"] == pytest.approx(share, abs=0.02)
    assert np.log(new.threshold / (1 - new.threshold)) == pytest.approx(-np.log(share / (1 - share)), abs=0.3)
    assert new.rule == "fewest errors at a prevalence estimated without labels"
    known, _ = adapt_to_prevalence(rare.probabilities, OLD, 0.5, 0.5)
    assert known.threshold == pytest.approx(0.5) and known.rule == "fewest errors at a known prevalence"


@pytest.mark.parametrize("old", [0.0, 1.0])
def test_a_threshold_at_an_end_moves_and_leaves_a_band_of_numbers(old):
    films = site(400, shift=0.0)
    for band in ((0.0, 0.6), (0.4, 1.0), (0.4, 0.6)):
        new, _ = adapt_to_prevalence(films.probabilities, replace(OLD, threshold=old, refer=Band(*band)), 0.5, 0.1)
        assert new.threshold == pytest.approx(0.9) and np.isfinite(new.refer).all()


@pytest.mark.parametrize("old", [0.3, 0.5, 0.73])
@pytest.mark.parametrize("prevalence", [0.3, 0.1])
def test_no_threshold_errs_less_at_a_known_prevalence_whatever_the_old_one(old, prevalence):
    films = site(40_000, shift=0.0, sharper=16 / 9)  # calibrated for one half, see above
    sick, well = (np.flatnonzero(films.labels == k) for k in (1, 0))
    rare = films.take(np.concatenate([well, sick[: round(len(well) * prevalence / (1 - prevalence))]]))
    found, _ = adapt_to_prevalence(rare.probabilities, replace(OLD, threshold=old), 0.5, prevalence)
    errors = {
        cut: (rare.by(threshold=cut).decided != rare.labels).mean()
        for cut in (*np.arange(0.02, 1, 0.02), found.threshold)
    }
    assert errors[found.threshold] <= min(errors.values()) + 0.004


def test_a_temperature_moves_no_area_under_the_curve():
    """Five folds have five temperatures; pooled as they are, the films would be in another order than the model's."""
    _, decided, found = adapt(site(120, patients=60), OLD, Rules(refer="none"), np.random.default_rng(0))
    order = [found[when] for when in ("before", "after")]
    for name in ("auroc", "auprc"):
        assert order[0][name] == order[1][name]
    assert order[0]["brier"] != order[1]["brier"] and len(set(decided.decision.threshold.tolist())) == 5


def test_where_nothing_is_gained_the_old_operating_point_is_kept_unless_forced():
    """Films like those of training: cross-fitted figures show no gain, so the model's own point stays."""
    films = site(120, patients=60)
    first = adapt(films, OLD, Rules(refer="none"), np.random.default_rng(0))[0]
    at_home = films.under(replace(first, temperature=1.0))
    raw = replace(at_home, probabilities=first.tempered(films.probabilities))
    old = replace(first, temperature=1.0)
    kept, decided, found = adapt(raw, old, Rules(refer="none"), np.random.default_rng(0))
    assert found["kept"] and kept == old and any("--force" in line for line in found["lines"])
    assert found["deployed"] == found["before"] and (decided.decided == raw.under(old).decided).all()
    forced, _, found = adapt(raw, old, Rules(refer="none"), np.random.default_rng(0), force=True)
    assert not found["kept"] and forced != old
    assert found["difference"]["balanced_accuracy"]["low"] < found["difference"]["balanced_accuracy"]["high"]


def test_the_interval_of_an_estimated_prevalence_is_that_of_its_likelihood():
    """Against a grid of shares: those whose log-likelihood is within t² / 2 of the largest."""
    rng = np.random.default_rng(0)
    ill = rng.random(400) < 0.2
    score = expit(rng.normal(size=400) + 2.5 * ill - 1.25)  # calibrated where half are ill
    estimate = float(estimate_prevalence(np.column_stack([1 - score, score]), np.array([0.5, 0.5]))[1])
    found = prevalence_interval(score, 0.5, estimate)
    grid = np.linspace(0.001, 0.999, 5000)
    likelihood = np.log(grid[:, None] * score / 0.5 + (1 - grid[:, None]) * (1 - score) / 0.5).sum(axis=1)
    inside = grid[likelihood > likelihood.max() - student.ppf(0.975, 399) ** 2 / 2]
    assert found.low == pytest.approx(inside[0], abs=0.01) and found.high == pytest.approx(inside[-1], abs=0.01)
    assert prevalence_interval(score, 0.5, estimate, np.repeat(np.arange(40), 10)).low <= found.low


def findings_by_hills(films, moved, seed, truth=None):
    """Three findings: one whose negative films have moved, one that stays, and one that no film has."""
    rng = np.random.default_rng(seed)
    truth = rng.random((films, 3)) < (0.35, 0.5, 0.4)
    odds = 1.2 * rng.normal(size=(films, 3)) + np.where(truth, 3.0, (moved - 3.0, -3.0, -3.0))
    if moved:
        odds[:, 2] = rng.normal(-3.0, 1.0, films)
    decision = FindingsDecision.of_names(("A", "B", "C"))
    names = np.arange(films).astype(str)
    return FindingsPredictions(
        list(names), np.repeat("val", films), truth.astype(np.int8), expit(odds), decision, names
    )


def test_each_findings_threshold_moves_with_its_own_hills():
    own, new = findings_by_hills(1_000, 0, 1), findings_by_hills(600, 1.5, 2)
    own.truth[:60, 0] = -1  # unknown: its hills are those of the other films
    decision, found = adapt_findings_by_hills(new.chances, own.decision, own, new.patients, np.random.default_rng(0))
    assert 0.85 < found["findings"]["A"]["hills"]["log_odds_moved"]["no A"] < 1.7  # it is held back a little
    assert abs(found["findings"]["B"]["hills"]["log_odds_moved"]["no B"]) < 0.3
    assert decision.each[2] == own.decision.each[2] and "C is not adapted" in found["lines"][1]
    assert "can make a finding worse" in found["lines"][0]
    assert found["findings"]["A"]["prevalence_estimated"] == pytest.approx(new.truth[:, 0].mean(), abs=0.05)
    truth, score = new.truth[:, 0] == 1, new.chances[:, 0]
    at = [np.mean([(score >= cut)[truth].mean(), (score < cut)[~truth].mean()]) for cut in (0.5, *np.sort(score))]
    cut = decision.each[0].threshold
    assert np.mean([(score >= cut)[truth].mean(), (score < cut)[~truth].mean()]) > max(at[0] + 0.005, max(at) - 0.015)
    few = replace(own, truth=np.where(own.truth == 1, -1, own.truth).astype(np.int8))
    with pytest.raises(InputError, match=r"No finding can be adapted without labels\. A: 0 of"):
        adapt_findings_by_hills(new.chances, own.decision, few, new.patients, np.random.default_rng(0))
