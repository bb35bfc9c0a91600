"""Films with the look of others: what is exchanged, who lends, and what is left of a model that reads only looks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from plainfilm.evaluation.exchange import (
    EXCHANGES,
    OPPOSITE,
    UNRELATED,
    any_other,
    left_elsewhere,
    left_elsewhere_of_findings,
    lenders,
    with_look,
)
from plainfilm.evaluation.probes import borders

FRAME = borders(60, 80)


def film(seed: int, level: float, spread: float = 20, shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    """Noise of a mean and a deviation."""
    return np.random.default_rng(seed).normal(level, spread, shape).clip(0, 255).astype(np.uint8)


def test_a_film_gets_the_borders_and_the_exposure_of_another_and_keeps_its_content():
    own, other = film(0, 80), film(1, 150, 10)
    changed = with_look(own, other, "stretch")
    assert (changed[FRAME] == other[FRAME]).all()
    assert changed[~FRAME].mean() == pytest.approx(other[~FRAME].mean(), abs=0.5)
    assert changed[~FRAME].std() == pytest.approx(other[~FRAME].std(), abs=0.5)
    assert np.corrcoef(changed[~FRAME], own[~FRAME])[0, 1] > 0.99
    assert (own == film(0, 80)).all()  # untouched itself


def test_its_own_look_changes_nothing_and_a_lender_of_other_sides_is_scaled():
    own = film(0, 80)
    assert (with_look(own, own, "stretch") == own).all()
    assert with_look(own, film(1, 150, shape=(200, 90)), "pad").shape == own.shape


def test_what_a_crop_leaves_out_stays():
    own = film(0, 80)
    changed = with_look(own, film(1, 200), "crop")
    assert (changed[:, :10] == own[:, :10]).all() and (changed[:, 70:] == own[:, 70:]).all()
    assert changed[:, 10:70].mean() > 190


def test_a_black_film_takes_the_other_s_level():
    assert np.ptp(with_look(np.zeros((60, 80), np.uint8), film(1, 150), "stretch")[~FRAME]) == 0


def test_each_film_lends_once_and_the_opposite_look_is_of_another_class():
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    any_film, other_class = lenders(labels, 3)
    assert sorted(any_film) == list(range(9)) and (any_film != np.arange(9)).all()
    assert (labels[other_class] != labels).all()
    assert (np.stack(lenders(labels, 3)) == [any_film, other_class]).all()
    assert lenders(np.zeros(4, np.int64), 0) is None


def test_films_of_findings_lend_once_to_any_other():
    own = any_other(9, np.random.default_rng(3))
    assert sorted(own) == list(range(9)) and (own != np.arange(9)).all()


def test_a_model_of_exposure_loses_all_and_one_of_content_nothing():
    truth = np.arange(200) % 2 == 1
    half = np.zeros((60, 80))
    half[:30] = 1
    films = [film(i, 100 + 30 * sick, 5) + (10 * half * sick).astype(np.uint8) for i, sick in enumerate(truth)]
    models = {
        "exposure": lambda grey: grey[~FRAME].mean(),
        "content": lambda grey: np.corrcoef(grey.ravel(), half.ravel())[0, 1],
    }
    own, opposite = lenders(truth.astype(np.int64), 0)
    left = {
        name: [
            roc_auc_score(truth, [model(with_look(films[i], films[who[i]], "stretch")) for i in range(200)])
            for who in (own, opposite)
        ]
        for name, model in models.items()
    }
    assert left["exposure"] == pytest.approx([0.5, 0], abs=0.1)
    assert min(left["content"]) > 0.9


def test_the_sentence_names_what_is_left_and_there_is_none_where_it_cant_be_told():
    rows = [
        {"name": name, "auroc": {"value": value, "low": 0.5, "high": 0.9}}
        for name, value in ((UNRELATED, 0.8), (OPPOSITE, 0.7))
    ]
    worst = {"auroc": {"value": 0.6, "low": 0.5, "high": 0.7}}
    found = left_elsewhere(rows, worst)
    assert (
        found["unrelated"]["value"] == 0.8
        and found["opposite"]["value"] == 0.7
        and found["worst_change"] == worst["auroc"]
    )
    assert all(said in found["sentence"] for said in ("0.800", "0.700", "0.600"))
    assert "worst change" not in left_elsewhere(rows, {})["sentence"]
    assert left_elsewhere([], worst) == {}
    rows[0]["auroc"]["value"] = float("nan")
    assert left_elsewhere(rows, worst) == {} and len(EXCHANGES) == 2


def test_the_sentence_of_findings_names_the_one_that_loses_most():
    mean, least = ({"value": value, "low": 0.5, "high": 0.9} for value in (0.8, 0.6))
    row = {"name": UNRELATED, "auroc": mean, "findings": {"Mass": {}, "Edema": {}}}
    row["worst"] = {"finding": "Mass", "auroc": least, "change": {"value": -0.2, "low": -0.3, "high": -0.1}}
    found = left_elsewhere_of_findings([{"name": "untouched"}, row])
    assert found["unrelated"] == mean and found["worst"]["finding"] == "Mass"
    assert all(said in found["sentence"] for said in ("0.800", "2 findings", "0.600", "Mass"))
    assert left_elsewhere_of_findings([{"name": "untouched"}]) == {}
