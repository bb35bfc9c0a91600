"""One rule from logits to a label and to a reader: what it says, what it refuses, and that it reads back as written."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit, softmax

from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Band, Decision, positive_class, positive_is_a_guess, sigmoid
from plainfilm.evaluation.guarantee import Guarantee

CLASSES = ("NORMAL", "PNEUMONIA")
P = np.array([[0.7, 0.3], [0.5, 0.5], [0.2, 0.8]])


def test_a_tie_counts_as_positive_whichever_class_that_is() -> None:
    assert Decision(CLASSES, "PNEUMONIA", 0.5).decide(P).tolist() == [0, 1, 1]
    assert Decision(CLASSES, "NORMAL", 0.5).decide(P).tolist() == [0, 0, 1]


def test_each_film_can_have_its_own_threshold_and_keeps_it_in_any_order() -> None:
    own = Decision(CLASSES, "PNEUMONIA", np.array([0.3, 0.6, 0.9]))
    assert own.decide(P).tolist() == [1, 0, 0]
    assert own.take(np.array([2, 0])).decide(P[[2, 0]]).tolist() == [0, 1]


def test_the_threshold_stays_that_of_its_class_when_scores_are_about_the_other() -> None:
    strict = Decision(CLASSES, "PNEUMONIA", 0.75, threshold_of="PNEUMONIA")
    about_the_other = replace(strict, positive="NORMAL")
    assert strict.decide(P).tolist() == about_the_other.decide(P).tolist() == [0, 0, 1]
    assert (strict.column, about_the_other.column) == (1, 0)


def test_temperature_and_offsets_are_undone_to_what_was_trained() -> None:
    logits = np.array([[0.2, 1.7], [-3.0, 2.0]])
    fitted = Decision(CLASSES, "PNEUMONIA", temperature=1.7, offsets=(-0.4, 0.4))
    told = fitted.tempered(softmax(logits + np.array(fitted.offsets), axis=1))
    assert fitted.as_trained(told) == pytest.approx(softmax(logits, axis=1))


def test_the_reason_is_given_where_the_film_is_referred_and_nowhere_else() -> None:
    banded = Decision(CLASSES, "PNEUMONIA", refer=Band(0.4, 0.6))
    assert banded.refers(P).tolist() == [False, True, False]
    assert [banded.reason(p) for p in P] == [
        None,
        "the probability of PNEUMONIA, 0.500, is in the band for a reader (0.400 to 0.600)",
        None,
    ]
    three = Decision(("a", "b", "c"), "c", refer=Band(0.0, 0.5))
    assert three.refers(np.array([[0.4, 0.3, 0.3], [0.8, 0.1, 0.1]])).tolist() == [True, False]
    assert "largest probability, 0.400," in str(three.reason(np.array([0.4, 0.3, 0.3])))


@pytest.mark.parametrize("classes", [2, 3])
def test_what_a_change_of_the_logits_may_decide_otherwise_is_near_and_hardly_more(classes: int) -> None:
    """Logits change by up to the margin against each other: labels and referrals that change are of films near."""
    rng = np.random.default_rng(classes)
    names = tuple("abc"[:classes])
    for _ in range(50):
        low, high = np.sort(rng.uniform(0.2, 1, 2))
        rule = Decision(names, "b", rng.uniform(0.1, 0.9), rng.uniform(0.5, 3), Band(float(low), float(high)))
        margin, logits = rng.uniform(0.05, 0.5), rng.normal(0, 1.5, (400, classes))
        others = logits + rng.uniform(0, margin, logits.shape) + rng.normal(0, 5, (400, 1))  # the last shifts nothing
        assert (rule.moved(logits, others) <= margin).all()
        p, q = (softmax(values / rule.temperature, axis=1) for values in (logits, others))
        near = rule.near(p, margin)
        changed = (rule.decide(p) != rule.decide(q)) | (rule.refers(p) != rule.refers(q))
        assert not (changed & ~near).any() and near.mean() < 0.9
        worst = np.where(np.arange(classes) == p.argmax(1)[:, None], -margin, 0)  # less for the likeliest
        assert (rule.decide(p)[~near] == rule.decide(softmax((logits + worst) / rule.temperature, axis=1))[~near]).all()


def test_near_is_by_log_odds_before_the_temperature() -> None:
    rule = Decision(CLASSES, "PNEUMONIA", 0.9, 2.0, Band(0.5, 1.0))
    odds = np.array([logit(0.9) - 0.11, logit(0.9) - 0.09, logit(0.9) + 0.09, logit(0.9) + 0.11, 0.09, 0.11, 30.0])
    p = np.stack([expit(-odds), expit(odds)], axis=1)
    assert rule.near(p, 0.2).tolist() == [False, True, True, False, True, False, False]
    assert not rule.near(p, 0.0).any()
    assert rule.near(P, 0.0).tolist() == [False, True, False]  # on the edge


def test_the_sigmoid_is_scipys_to_the_last_bit() -> None:
    odds = np.random.default_rng(0).uniform(-27.7, 27.7, 20_000)
    assert np.array_equal(sigmoid(odds), expit(odds)) and np.isnan(sigmoid(np.array([np.nan]))).all()


def test_it_reads_back_from_json_as_it_was() -> None:
    decision = Decision(CLASSES, "PNEUMONIA", 0.1 + 0.2, 1 / 3, Band(0.25, 0.75))
    assert Decision.read(CLASSES, json.loads(json.dumps(decision.about))) == decision
    chosen = {**decision.about, **decision.operating, "threshold_rule": "by hand", "offsets": [-0.5, 0.5]}
    assert Decision.read(CLASSES, chosen) == replace(decision, rule="by hand", offsets=(-0.5, 0.5))


@pytest.mark.parametrize(
    "wrong",
    [
        {"positive": "other"},
        {"threshold": 1.5},
        {"threshold": float("nan")},
        {"temperature": 0},
        {"temperature": float("inf")},
        {"refer": [0.7, 0.2]},
        {"refer": [0.1, 1.2]},
    ],
)
def test_a_value_out_of_its_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"out of range|is not between 0 and 1"):
        Decision.read(CLASSES, {"positive": "NORMAL", "threshold": 0.5, "temperature": 1.0, **wrong})


@pytest.mark.parametrize(
    ("classes", "named", "index"),
    [
        (("NORMAL", "PNEUMONIA"), None, 1),
        (("pneumonia", "Normal"), None, 0),
        (("covid", "No finding"), None, 0),
        (("effusion", "no_finding"), None, 0),
        (("cat", "dog"), None, 1),
        (("normal", "healthy"), None, 1),
        (("bacteria", "normal", "virus"), None, 2),
        (("NORMAL", "PNEUMONIA"), "pneumonia", 1),
        (("NORMAL", "PNEUMONIA"), "Normal", 0),
        (("a", "A"), "A", 1),
        (("COVID", "Non-COVID"), None, 0),
        (("covid", "noncovid"), None, 0),
        (("Effusion", "None"), None, 0),
        (("Neumonia", "Normales"), None, 0),
        (("PNEUMONIA", "clear"), None, 0),
        (("Mass", "Nodule"), None, 1),
        (("Abnormal", "Normal"), None, 0),
    ],
)
def test_the_positive_class(classes: tuple[str, ...], named: str | None, index: int) -> None:
    assert positive_class(classes, named) == index


@pytest.mark.parametrize(
    ("classes", "guess"),
    [
        (("NORMAL", "PNEUMONIA"), False),
        (("COVID", "Non-COVID"), False),
        (("bacteria", "virus"), True),
        (("bolestan", "zdrav"), True),
        (("bacteria", "normal", "virus"), True),
    ],
)
def test_whether_the_positive_class_is_a_guess(classes: tuple[str, ...], guess: bool) -> None:
    assert positive_is_a_guess(classes) is guess


def test_an_unknown_positive_class_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'PNEUMONIA'"):
        positive_class(("NORMAL", "PNEUMONIA"), "pneumona")


@pytest.mark.parametrize(
    ("classes", "positive"),
    [
        (("COVID", "Lung_Opacity", "Normal"), 1),
        (("BACTERIAL", "NORMAL", "VIRAL"), 2),
        (("a", "b", "c"), 2),
        (("Normal", "x"), 1),
    ],
)
def test_the_positive_class_is_never_the_normal_one(classes: tuple[str, ...], positive: int) -> None:
    assert positive_class(classes) == positive


def test_promises_read_back_are_said_in_the_reason_and_missing_from_files_of_rules_without() -> None:
    promise = Guarantee("npv", 0.98, "below", 0.4, 0.983, 183, 400, 0.3)
    kept = Decision(CLASSES, "PNEUMONIA", refer=Band(0.4, 0.6), promises=(promise,))
    assert Decision.read(CLASSES, json.loads(json.dumps(kept.about))) == kept
    assert "keeps the promise of NPV of at least 0.98 below it" in str(kept.reason(P[1]))
    assert "promises" not in Decision(CLASSES, "PNEUMONIA").about
    moved = Decision(CLASSES, "PNEUMONIA", temperature=2.0, shift=(-0.5, 0.5))
    assert moved.tempered(P) == pytest.approx(softmax((np.log(P) + np.array([-0.5, 0.5])) / 2, axis=1))


def test_what_decided_a_film_stands_beside_its_threshold() -> None:
    """NORMAL 0.233 of a film called NORMAL, whose other class has 0.767 and a threshold of .8, tells nothing."""
    rule = Decision(CLASSES, "PNEUMONIA", 0.18)
    films = np.array([[0.833, 0.167], [0.82, 0.18], [0.0001, 0.9999], [0.99999, 0.00001]])
    said = [rule.weighed(p, int(k)) for p, k in zip(films, rule.decide(films), strict=True)]
    assert said == ["0.167 < 0.180", "0.180 ≥ 0.180", "> 0.999", "< 0.001"]
    assert replace(rule, threshold_of="NORMAL").weighed(films[0], 0) == "0.833 ≥ 0.180"
    assert rule.decided_by == "PNEUMONIA" and replace(rule, threshold_of="NORMAL").decided_by == "NORMAL"
    near = replace(rule, threshold=0.9998).weighed(np.array([0.0003, 0.9997]), 0)
    assert near == "0.9997 < 0.999800"
    three = Decision(("a", "b", "c"), "b")
    assert three.weighed(np.array([0.2, 0.5, 0.3]), 1) == "0.500" and three.decided_by == ""
