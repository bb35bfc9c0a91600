"""Each corruption does what it says, alike on small and large films; the tables are those of paired resamples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from plainfilm.evaluation.areas import auc_interval
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.intervals import wilson
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.robustness import (
    CORRUPTIONS,
    contrast,
    enlarge,
    exposure,
    flipped,
    gamma,
    invert,
    jpeg,
    noise,
    reduced,
    robustness,
    rotation,
    shading,
    shift,
    worst_corruption,
    worst_in_one_class,
)
from plainfilm.evaluation.scores import estimates
from plainfilm.image.preprocess import Preprocess

SHA = "ab" * 32


def film(height=120, width=160):
    """Bars and soft shapes in mid grey, so that nothing is cut off by small changes."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return (110 + 40 * np.sin(7 * x) * np.cos(5 * y) + 30 * (np.floor(16 * y) % 2)).astype(np.uint8)


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda c: c.name)
def test_every_corruption_keeps_shape_and_type_changes_the_film_and_is_deterministic(corruption):
    grey = film()
    before = grey.copy()
    changed = corruption(grey, 3, SHA)
    assert changed.shape == grey.shape and changed.dtype == np.uint8
    assert (changed != grey).any() and (grey == before).all()
    assert (corruption(grey, 3, SHA) == changed).all()


def test_names_are_unique_and_chance_depends_on_seed_and_film():
    assert len({c.name for c in CORRUPTIONS}) == len(CORRUPTIONS)
    grain = next(c for c in CORRUPTIONS if c.kind == "noise")
    assert (grain(film(), 0, SHA) != grain(film(), 1, SHA)).any()
    assert (grain(film(), 0, SHA) != grain(film(), 0, "cd" * 32)).any()


@pytest.mark.parametrize("kind", ["JPEG", "blur", "noise", "rotation", "shift", "shading"])
def test_severities_are_graded(kind):
    grey = film().astype(np.float64)
    sizes = [np.abs(c(film(), 0, SHA) - grey).mean() for c in CORRUPTIONS if c.kind == kind]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


@pytest.mark.parametrize("kind", ["blur", "noise", "shift"])
def test_a_severity_means_the_same_at_any_size(kind):
    """What a network of 64 pixels sees of a film and of the same film three times as large is changed alike."""
    strongest = [c for c in CORRUPTIONS if c.kind == kind][-1]
    pixels = Preprocess(size=64).pixels
    sizes = []
    for side in (168, 504):
        grey = film(side, side)
        sizes.append(np.abs(pixels(strongest(grey, 0, SHA)).astype(float) - pixels(grey)).mean())
    assert sizes[0] == pytest.approx(sizes[1], rel=0.15)


def test_grey_values_follow_the_formulas():
    grey = np.array([[0, 64], [128, 255]], dtype=np.uint8)
    assert gamma(grey, rng(), 2).tolist() == [[0, 16], [64, 255]]
    assert exposure(grey, rng(), 0.2).tolist() == [[51, 115], [179, 255]]
    assert contrast(np.array([[100, 140]], dtype=np.uint8), rng(), 0.5).tolist() == [[110, 130]]
    assert invert(grey, rng()).tolist() == [[255, 191], [127, 0]]


def test_shift_and_rotation_move_the_film_and_fill_with_its_mean():
    grey = film(100, 100)
    moved = {shift(grey, np.random.default_rng(i), 0.1).tobytes() for i in range(40)}
    assert len(moved) == 4  # left, right, up, down
    turned = {rotation(grey, np.random.default_rng(i), 10).tobytes() for i in range(20)}
    assert len(turned) == 2
    right = [m for m in moved if np.frombuffer(m, np.uint8).reshape(100, 100)[:, 10:].tolist() == grey[:, :90].tolist()]
    assert len(right) == 1 and set(right[0][:10]) == {round(float(grey.mean()))}


def test_enlarging_keeps_the_middle_and_the_sides_and_cuts_what_leaves():
    ramp = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (60, 1))
    wider = enlarge(ramp, rng(), 1.25, 1)
    assert wider.shape == ramp.shape and (wider == wider[0]).all()
    assert abs(int(wider[0, 50]) - 100) <= 1 and wider[0, 0] == 20 and wider[0, -1] == 178  # a tenth from either side
    assert (enlarge(ramp, rng(), 1, 1.25) == ramp).all()


def test_shading_lightens_one_side_and_darkens_the_other():
    flat = np.full((50, 80), 100, np.uint8)
    seen = {shading(flat, np.random.default_rng(i), 0.2).tobytes() for i in range(40)}
    assert len(seen) == 4
    for one in seen:
        film = np.frombuffer(one, np.uint8).reshape(50, 80)
        corners = sorted(int(film[y, x]) for y in (0, -1) for x in (0, -1))
        assert corners == [80, 80, 120, 120] and film.mean() == pytest.approx(100, abs=0.5)


def test_films_of_one_class_changed_alone_show_what_the_change_of_both_hides():
    labels = np.arange(200) % 2
    odds = 2 * (2 * labels - 1) + rng().normal(0, 1, 200)
    clean, lifted = model(odds, labels), model(odds + 4, labels)  # both alike: the order of films stays
    row = robustness(clean, {CORRUPTIONS[0]: lifted})[0]
    assert row["auroc_change"]["value"] == 0
    only = row["one_class"]
    mixed = np.where(labels == 0, odds + 4, odds)
    assert only["normal"]["auroc"]["value"] == pytest.approx(auc_interval(labels == 1, mixed).value)
    assert only["normal"]["auroc"]["value"] < 0.6 < only["sick"]["auroc"]["value"] == pytest.approx(1, abs=0.01)
    worst = worst_in_one_class([row])
    assert (
        worst["class"] == "normal"
        and "the normal films alone costs most (JPEG, quality 75) and leaves AUROC 0." in worst["sentence"]
    )
    assert worst_in_one_class([]) == {}


def test_noise_has_the_spread_it_names_and_jpeg_loses_with_quality():
    flat = np.full((224, 224), 128, np.uint8)
    assert noise(flat, rng(), 0.1).std() == pytest.approx(25.5, rel=0.02)
    rough = rng().integers(0, 255, (64, 64)).astype(np.uint8)
    assert jpeg(rough, rng(), 10).shape == (64, 64)


def test_only_large_films_are_reduced():
    assert (reduced(film()) == film()).all()
    assert reduced(np.zeros((1024, 2048), np.uint8)).shape == (512, 1024)
    large = np.asarray(Image.fromarray(film()).resize((1600, 1200)))
    assert np.abs(reduced(large, 120).astype(float) - film()).mean() < 2


def model(odds, labels, classes=("normal", "sick")) -> Predictions:
    share = 1 / (1 + np.exp(-np.asarray(odds)))
    paths = [f"{i}.png" for i in range(len(share))]
    patients = np.array([f"p{i // 2}" for i in range(len(share))])
    return Predictions(
        paths,
        np.full(len(share), "test"),
        labels,
        np.column_stack([1 - share, share]),
        Decision(classes, classes[1]),
        patients,
    )


def test_a_change_that_matters_is_told_from_one_that_does_not():
    labels = np.arange(200) % 2
    odds = 3 * (2 * labels - 1) + rng().normal(0, 1, 200)
    clean = model(odds, labels)
    jpeg10, turned = CORRUPTIONS[2], CORRUPTIONS[-1]
    rows = robustness(clean, {jpeg10: model(odds, labels), turned: model(-odds, labels)})
    same, bad = rows
    assert same["flipped"] == wilson(0, 100).as_dict()  # of a hundred patients
    assert same["auroc_change"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert bad["flipped"]["value"] == 1.0 and bad["auroc_change"]["high"] < -0.9
    assert bad["auroc"]["value"] == pytest.approx(auc_interval(labels == 1, -odds).value)
    assert bad["balanced_accuracy_change"]["value"] == pytest.approx(
        bad["balanced_accuracy"]["value"] - same["balanced_accuracy"]["value"]
    )
    worst = worst_corruption(rows)
    assert worst["name"] == "inverted" and "JPEG" in worst["sentence"] and "100.0 %" in worst["sentence"]


def test_scores_are_those_of_the_other_tables():
    labels = np.arange(60) % 2
    clean, changed = (model(rng().normal(0, s, 60) + labels, labels) for s in (1, 2))
    found = robustness(clean, {CORRUPTIONS[0]: changed})[0]
    values = {name: one.value for name, one in estimates(changed).items()}
    assert found["balanced_accuracy"]["value"] == values["balanced_accuracy"]
    assert found["auroc"]["value"] == values["auroc"]


def test_a_missing_class_and_three_classes_do_not_fail():
    odds = rng().normal(0, 1, 12)
    alone = model(odds, np.ones(12, np.int64))
    found = robustness(alone, {CORRUPTIONS[0]: model(-odds, alone.labels)})[0]
    assert np.isnan(found["auroc_change"]["value"]) and found["flipped"]["value"] == 1.0
    table = np.eye(3)[np.arange(12) % 3] * 0.7 + 0.1
    three = replace(alone, probabilities=table, labels=np.arange(12) % 3, decision=Decision(("a", "b", "c"), "c"))
    turned = replace(three, probabilities=np.roll(table, 1, axis=1))
    found = robustness(three, {CORRUPTIONS[0]: turned})[0]
    assert flipped(three, turned).value == 1.0
    assert found["balanced_accuracy"]["value"] == 0.0 and found["balanced_accuracy_change"]["value"] == -1.0
