from __future__ import annotations

import numpy as np
import pytest

from plainfilm.audit.telling import (
    _folds,
    each_alone,
    learnt_from,
    name_columns,
    number_columns,
    strongest,
    tell,
    too_few,
)
from plainfilm.evaluation.intervals import Interval


def test_folds_keep_groups_whole_and_both_sides_everywhere():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 200)
    positive = groups % 4 == 0
    fold = _folds(positive, groups, rng)
    assert all(len(set(fold[groups == g])) == 1 for g in groups)
    assert {(f, bool(p)) for f, p in zip(fold, positive, strict=True)} == {(f, p) for f in range(5) for p in (0, 1)}


def test_a_film_known_again_is_no_use():
    """Each patient has a number of its own, and several films: by film it tells all, by patient nothing."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), 4)
    positive = rng.random(60)[groups] < 0.5
    columns = np.eye(60)[groups]
    assert tell(columns, positive, np.arange(240), rng, 10.0).auc.value > 0.99
    assert not tell(columns, positive, groups, rng, 10.0).red
    assert tell(columns, positive, groups, rng, 10.0).auc.value < 0.6


@pytest.mark.parametrize("patients", [10, 24, 100])
def test_chance_raises_no_red_line(patients):
    """Two films a patient, alike, and 30 columns of noise: the smaller the set, the higher AUC by chance."""
    red = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(patients), 2)
        columns = rng.normal(size=(patients, 30))[groups]
        red += tell(columns, (np.arange(patients) % 2 == 0)[groups], groups, rng).red
    assert red == 0


def test_a_strong_property_is_red_alone_and_named():
    rng = np.random.default_rng(0)
    positive = np.arange(80) % 2 == 0
    quality = np.where(positive, 75.0, 95.0)
    quality[:2] = np.nan
    properties = {"width": number_columns(rng.normal(size=80)), "JPEG quality": number_columns(quality)}
    alone = each_alone(properties, positive, np.arange(80), rng)
    assert next(iter(alone)) == "JPEG quality"
    assert strongest(alone) == "JPEG quality"
    assert tell(np.concatenate(list(properties.values()), axis=1), positive, np.arange(80), rng).red


def test_a_middle_range_is_told_from_both_ends():
    values = np.linspace(0, 1, 90)
    middle = (values > 0.33) & (values < 0.66)
    rng = np.random.default_rng(0)
    assert tell(number_columns(values), middle, np.arange(90), rng, 10.0).auc.value > 0.95


def test_properties_that_tie_are_named_together_three_at_most():
    tied = {name: Interval(0.99, 0.9, 1.0) for name in ("tags in the file", "bytes per pixel", "JPEG quality", "width")}
    assert strongest(tied) == "JPEG quality, bytes per pixel and width"


def test_columns_of_names_and_of_nothing_known():
    assert name_columns(np.array(["a", "b", "a"])).tolist() == [[1, 0], [0, 1], [1, 0]]
    assert number_columns(np.full(3, np.nan)).tolist() == [[0, 0, 1]] * 3


def test_of_many_films_enough_of_each_side_are_learnt_from():
    """By patient, in an order that is drawn; the rare side stays whole, and no large patient takes all room."""
    groups = np.repeat(np.arange(400), 3)
    side = np.arange(1200) < 60
    assert learnt_from(side, groups, np.random.default_rng(0), 1140).tolist() == list(range(1200))
    rows = learnt_from(side, groups, np.random.default_rng(0), 300)
    assert (np.diff(rows) > 0).all() and side[rows].sum() == 60 and (~side[rows]).sum() == 300
    assert (np.bincount(groups[rows], minlength=400) % 3 == 0).all() and 150 < groups[rows][60:].mean() < 270
    others = learnt_from(side, groups, np.random.default_rng(1), 300)
    assert set(rows) != set(others)
    one_patient = np.where(np.arange(1200) < 1100, 0, np.arange(1200))
    for seed in range(5):
        rows = learnt_from(side, one_patient, np.random.default_rng(seed), 300)
        assert (~side[rows]).sum() == 300


def test_one_patient_a_side_is_too_few():
    assert too_few(np.array([True, True, False, False]), np.array([0, 0, 1, 2]))
    assert not too_few(np.array([True, True, False, False]), np.array([0, 3, 1, 2]))


def test_what_newton_gives_up_is_told_all_the_same_and_silently(recwarn):
    """Columns of a million at a time, as no property has them: what is not solved is left where it has come to."""
    rng = np.random.default_rng(0)
    positive = np.arange(60) % 2 == 0
    columns = np.stack([positive * 1e6, rng.normal(0, 1e6, 60), np.full(60, 1e6)], axis=1)
    told = tell(columns, positive, np.arange(60), rng, 1e6)
    assert np.isfinite(told.scores).all() and not recwarn.list


def test_a_fold_that_takes_all_films_of_a_side_tells_nothing_and_stops_nothing():
    """One of the few films' two patients is ours as well: each is dealt out among its kind, and both come first."""
    groups = np.array([0, 0, *range(2, 8), 0, 0, 1, 1])
    positive = np.arange(len(groups)) >= 8
    rng = np.random.default_rng(0)
    told = tell(rng.normal(size=(len(groups), 3)), positive, groups, rng)
    assert np.isfinite(told.scores).all() and not told.bound > 0.5
