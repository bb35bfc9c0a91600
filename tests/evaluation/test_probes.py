"""What is covered, what is left, and plants: a model that reads the border is caught, one that reads the centre not."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.evaluation.compare import paired_delong
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.probes import (
    COVERS,
    baseline_rows,
    borders,
    corners,
    cover,
    lungs,
    other_resize,
    probe_rows,
    red_lines,
    seen,
    source_rows,
)

CLASSES = ("normal", "sick")


def table(score, labels, patients=None, classes=CLASSES) -> Predictions:
    score = np.asarray(score, dtype=np.float64)
    paths = [f"{i}.png" for i in range(len(score))]
    rest = (1 - score) / (len(classes) - 1)
    columns = np.column_stack([*[rest] * (len(classes) - 1), score])
    who = np.array(paths if patients is None else patients)
    return Predictions(
        paths, np.full(len(score), "test"), np.asarray(labels), columns, Decision(classes, classes[1]), who
    )


@pytest.mark.parametrize(("area", "share"), [(lungs, 0.72), (borders, 0.36), (corners, 0.16)])
def test_areas_are_symmetrical_and_cover_the_share_they_mean(area, share):
    mask = area(100, 200)
    assert mask.shape == (100, 200) and mask.mean() == pytest.approx(share, abs=0.001)
    assert (mask == mask[::-1]).all() and (mask == mask[:, ::-1]).all()


def test_a_crop_is_covered_where_the_model_looks_and_nowhere_else():
    grey = np.random.default_rng(0).integers(0, 255, (100, 160)).astype(np.uint8)
    assert seen(grey.shape, "crop") == (slice(0, 100), slice(30, 130))
    assert seen(grey.shape, "pad") == (slice(0, 100), slice(0, 160))
    covered = cover(grey, borders, "crop")
    assert (covered[:, :30] == grey[:, :30]).all() and (covered[:, 130:] == grey[:, 130:]).all()
    assert len(set(covered[:10, 30:130].ravel())) == 1
    assert (covered[10:90, 40:120] == grey[10:90, 40:120]).all()


@pytest.mark.parametrize("name", COVERS)
def test_nothing_of_what_is_covered_leaks(name):
    """Two films that differ only under the cover are the same once it is on: its grey comes from what is visible."""
    first = np.random.default_rng(0).integers(0, 255, (80, 80)).astype(np.uint8)
    second = np.where(COVERS[name](80, 80), 255, first).astype(np.uint8)
    assert (cover(first, COVERS[name], "crop") == cover(second, COVERS[name], "crop")).all()


def test_every_resize_is_held_against_another():
    assert other_resize("crop") == ("pad", "padded, not cropped")
    assert [other_resize(way)[0] for way in ("pad", "stretch")] == ["crop", "crop"]


# -- plants -----------------------------------------------------------------------------------------------------------


STRIPES = np.zeros((2, 64, 64), bool)  # the top and the bottom of the frame
STRIPES[0, :6], STRIPES[1, -6:] = True, True
HALVES = np.zeros((2, 64, 64), bool)  # the upper and the lower half of a box in the centre
HALVES[0, 20:32, 20:44], HALVES[1, 32:44, 20:44] = True, True


def planted(places) -> tuple[np.ndarray, np.ndarray]:
    """200 noisy films (200, 64, 64); the sick ones are brighter in the first of two ``places``."""
    labels = np.arange(200) % 2
    rng = np.random.default_rng(1)
    films = rng.normal(100, 20, (200, 64, 64)) + 12 * labels[:, None, None] * places[0]
    return films.clip(0, 255).astype(np.uint8), labels


def reads(films, places) -> np.ndarray:
    """A model that knows one thing: how much brighter the first place is than the second."""
    difference = films[:, places[0]].mean(axis=1) - films[:, places[1]].mean(axis=1)
    return 1 / (1 + np.exp(-(difference - 6)))


def rows_of(places):
    films, labels = planted(places)
    changed = {
        name: table(reads(np.stack([cover(film, mask, "crop") for film in films]), places), labels)
        for name, mask in COVERS.items()
    }
    return {row["name"]: row for row in probe_rows(table(reads(films, places), labels), changed)}


def test_a_model_that_reads_only_the_border_raises_both_lines():
    rows = rows_of(STRIPES)
    assert rows["untouched"]["auroc"]["value"] > 0.99
    assert rows["borders covered"]["change"]["value"] == pytest.approx(-0.5, abs=0.01)
    assert rows["lungs covered"]["auroc"] == rows["untouched"]["auroc"]
    lines = red_lines(list(rows.values()))
    assert len(lines) == 2 and "outer 10 %" in lines[0] and "centre of the films covered" in lines[1]


def test_a_model_that_reads_the_centre_raises_none():
    rows = rows_of(HALVES)
    assert rows["untouched"]["auroc"]["value"] > 0.99
    assert rows["lungs covered"]["auroc"]["value"] == 0.5
    assert rows["borders covered"]["change"]["value"] == 0.0
    assert red_lines(list(rows.values())) == []


def interval(value, low, high):
    return {"value": value, "low": low, "high": high}


@pytest.mark.parametrize(
    ("change", "left", "lines"),
    [
        (interval(-0.021, -0.03, -0.01), interval(0.6, 0.4, 0.7), 1),
        (interval(-0.019, -0.03, -0.01), interval(0.69, 0.6, 0.8), 0),  # under both limits
        (interval(-0.05, -0.12, 0.01), interval(0.71, 0.49, 0.9), 0),  # past them, but not shown to be
        (interval(0.05, 0.01, 0.1), interval(0.70, 0.51, 0.9), 1),
        (interval(*[float("nan")] * 3), interval(*[float("nan")] * 3), 0),
    ],
)
def test_a_line_needs_both_the_size_and_the_interval(change, left, lines):
    rows = [{"name": "borders covered", "change": change}, {"name": "lungs covered", "auroc": left}]
    assert len(red_lines(rows)) == lines


def test_rows_are_delong_s_and_a_missing_class_is_unknown():
    labels = np.arange(40) % 2
    a, b = (np.random.default_rng(i).uniform(0, 1, 40) for i in (0, 1))
    clean, covered = table(a, labels), table(b, labels)
    row = probe_rows(clean, {"x": covered})[1]
    difference, p = paired_delong(labels == 1, b, a)
    assert row["change"] == difference.as_dict() and row["p"] == p
    one = np.ones(40, np.int64)
    row = probe_rows(table(a, one), {"x": table(b, one)})[1]
    assert np.isnan(row["auroc"]["value"]) and np.isnan(row["change"]["value"]) and row["flipped"]["value"] > 0


def test_baselines_stand_in_the_same_form():
    found = baseline_rows([{"title": "borders only", "auc": interval(0.9, 0.8, 0.95)}])
    assert found[0]["kind"] == "baseline" and found[0]["auroc"]["value"] == 0.9
    assert set(found[0]) == set(probe_rows(table([0.1, 0.9], [0, 1]), {})[0])


# -- sources ----------------------------------------------------------------------------------------------------------


def sources(shift):
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 2
    source = np.where(np.arange(160) < 80, "old", "new")
    features = rng.normal(0, 1, (160, 30)).astype(np.float32)
    features[:, 0] += shift * (source == "old")
    features[:, 1] += 5 * labels  # the disease
    patients = np.array([f"p{i // 4}" for i in range(160)])
    return features, source, table(np.full(160, 0.5), labels, patients)


def test_a_source_that_marks_the_features_is_told_and_one_that_does_not_is_not():
    features, source, p = sources(4.0)
    told = source_rows(features, {"folder": source}, p, seed=0)
    assert [row["kind"] for row in told] == ["source"] * 2 and all(row["auroc"]["low"] > 0.6 for row in told)
    assert "(normal)" in told[0]["name"] and "(sick)" in told[1]["name"]
    features, source, p = sources(0.0)
    assert all(0.3 < row["auroc"]["value"] < 0.7 for row in source_rows(features, {"folder": source}, p, seed=0))


def test_a_source_that_is_the_class_is_not_tested_nor_are_few_films():
    features, _, p = sources(4.0)
    by_class = np.where(p.labels == 1, "a", "b")
    few = np.where(np.arange(160) < 30, "old", "new")  # 15 films of each class
    nobody = np.full(160, "")
    assert source_rows(features[:, :0], {"folder": np.where(np.arange(160) < 80, "old", "new")}, p, seed=0) == []
    assert source_rows(features, {"class": by_class, "few": few, "none": nobody}, p, seed=0) == []
