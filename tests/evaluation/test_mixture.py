"""Two hills of scores without labels: where one class's films moved, the valley between them is found again."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from plainfilm.errors import InputError
from plainfilm.evaluation import mixture
from plainfilm.evaluation.decision import Band, Decision
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.unlabelled import adapt_by_hills, expected_accuracy

OLD = Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA", 0.5, 1.0, Band(0.4, 0.6))


def site(moved: float, films: int = 600, prevalence: float = 0.6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds and truth of a site whose normal films' scores are ``moved``."""
    rng = np.random.default_rng(seed)
    truth = rng.random(films) < prevalence
    return np.where(truth, 3.0, -3.0 + moved) + 1.2 * rng.normal(size=films), truth


def balanced(called: np.ndarray, truth: np.ndarray) -> float:
    return float((called[truth].mean() + (~called[~truth]).mean()) / 2)


def chances(scores: np.ndarray) -> np.ndarray:
    return np.stack([expit(-scores), expit(scores)], 1)


KNOWN = mixture.of_classes(*site(0.0, films=1_000, prevalence=0.74, seed=9))


@pytest.mark.parametrize("moved", [0.0, 1.2, 2.4])
def test_normal_films_that_moved_get_a_threshold_near_the_best(moved):
    scores, truth = site(moved)
    hills = mixture.fitted(scores, KNOWN)
    best = max(balanced(scores >= t, truth) for t in np.sort(scores))
    assert balanced(scores >= hills.valley, truth) > best - 0.015
    assert hills.share == pytest.approx(truth.mean(), abs=0.04)
    assert 0.7 * moved - 0.2 < hills.moved[0] < moved + 0.2  # it is held back a little
    assert not mixture.against(hills, scores)


def own_films() -> Predictions:
    scores, truth = site(0.0, films=1_000, prevalence=0.74, seed=9)
    names = np.arange(1_000).astype(str)
    return Predictions(list(names), np.repeat("val", 1_000), truth.astype(np.int64), chances(scores), OLD, names)


def moved_by_hills(scores: np.ndarray):
    whose = np.arange(len(scores)).astype(str)
    return adapt_by_hills(chances(scores), OLD, own_films(), None, whose, np.random.default_rng(0))


def test_the_threshold_moves_with_the_normal_films_and_says_how_far():
    scores, truth = site(2.4)
    by_hills, about = moved_by_hills(scores)

    def at(decision):
        return balanced(decision.decide(chances(scores)) == 1, truth)

    assert at(by_hills) > at(OLD) + 0.02
    assert about["hills"]["log_odds_moved"]["NORMAL"] == pytest.approx(2, abs=0.4)
    interval = about["threshold_interval"]
    assert interval["low"] < interval["value"] == by_hills.threshold < interval["high"]
    refer = by_hills.refer
    assert refer.low < by_hills.threshold < refer.high


def test_the_accuracy_expected_falls_with_the_accuracy():
    found = []
    for moved in (0.0, 1.0, 1.5):
        scores, truth = site(moved)
        expected = expected_accuracy(own_films(), scores, 0.5)
        assert expected["value"] == pytest.approx(((scores >= 0) == truth).mean(), abs=expected["within"])
        found.append(expected["value"])
    assert found == sorted(found, reverse=True)


def test_a_known_prevalence_stays():
    scores, _ = site(2.0)
    assert mixture.fitted(scores, KNOWN, 0.6).share == 0.6


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (np.random.default_rng(0).normal(3, 1.2, 400), "nearly all films lie in one hill"),
        (np.random.default_rng(0).normal(0, 0.3, 400), "two classes, moved"),
        (
            np.random.default_rng(0).choice([-3.0, 0.0, 3.0], 900) + 0.2 * np.random.default_rng(1).normal(size=900),
            "two classes, moved",
        ),
    ],
)
def test_scores_without_two_hills_are_refused(scores, said):
    with pytest.raises(InputError, match=said):
        moved_by_hills(scores)


def test_few_films_are_refused():
    with pytest.raises(InputError, match="needs 50 films"):
        moved_by_hills(np.zeros(10))


def test_the_hills_of_labelled_films():
    hills = mixture.of_classes(*site(0.0, films=5_000))
    assert hills.means == pytest.approx((-3, 3), abs=0.1) and hills.deviation == pytest.approx(1.2, abs=0.05)
    assert hills.apart == pytest.approx(5, abs=0.2) and hills.valley == pytest.approx(0, abs=0.4)
    assert hills.below(np.array([-9.0, 9.0])) == pytest.approx([0, 1])


def test_scores_that_did_not_move_keep_the_threshold_whatever_their_form():
    rng, truth = np.random.default_rng(3), np.arange(900) % 3 > 0
    skewed = np.where(truth, 4 - rng.exponential(2, 900), -3 + 0.5 * rng.normal(size=900))
    known = mixture.of_classes(skewed, truth)
    found = mixture.fitted(skewed[::2], known)
    assert found.moved == pytest.approx((0, 0), abs=0.3) and found.valley == pytest.approx(known.valley, abs=0.4)
