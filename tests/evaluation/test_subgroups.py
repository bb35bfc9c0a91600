"""Which films belong together, what their scores rest on, and when a subgroup may be called worse."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.intervals import wilson
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.scores import scores
from plainfilm.evaluation.subgroups import groupings, source_folders, subgroups, thirds, worst_subgroup
from plainfilm.evaluation.tables import decision_intervals
from plainfilm.storage.files import to_json

CLASSES = ("NORMAL", "PNEUMONIA")


def predictions(labels, positive_share, paths=None, classes=CLASSES) -> Predictions:
    share = np.asarray(positive_share, dtype=np.float64)
    paths = paths or [f"film{i:04d}.png" for i in range(len(share))]
    rest = (1 - share) / (len(classes) - 1)
    columns = np.column_stack([*[rest] * (len(classes) - 1), share])
    labels = np.asarray(labels, dtype=np.int64)
    return Predictions(
        paths, np.full(len(share), "test"), labels, columns, Decision(classes, classes[1]), np.array(paths)
    )


def kermany() -> Predictions:
    """60 normal films of two series, 40 bacterial (one missed) and 40 viral (every second missed)."""
    paths = [f"NORMAL/IM-{i:04d}-0001.jpeg" for i in range(30)]
    paths += [f"NORMAL/NORMAL2-IM-{i:04d}-0001.jpeg" for i in range(30)]
    paths += [f"PNEUMONIA/person{i}_bacteria_{i}.jpeg" for i in range(40)]
    paths += [f"PNEUMONIA/person{i}_virus_{i}.jpeg" for i in range(40, 80)]
    rng = np.random.default_rng(0)
    share = np.concatenate([rng.uniform(0, 0.4, 60), rng.uniform(0.6, 1, 80)])
    share[60] = 0.1
    share[100::2] = rng.uniform(0, 0.4, 20)
    return predictions([0] * 60 + [1] * 80, share, paths)


def facts(count, width=100, height=80, **columns):
    return [{"width": str(width), "height": str(height), **{k: v[i] for k, v in columns.items()}} for i in range(count)]


def labels_of(p):
    return [p.classes[k] for k in p.labels]


def test_kinds_and_series_come_from_the_kermany_names():
    p = kermany()
    found = groupings(p.paths, labels_of(p), facts(len(p)))
    assert list(found) == ["kind of pneumonia", "film series"]  # one size, one folder: no grouping
    assert set(found["kind of pneumonia"]) == {"", "bacteria", "virus"}
    assert (found["film series"][:60] != "").all() and (found["film series"][60:] == "").all()
    assert set(found["film series"]) == {"", "IM", "NORMAL2-IM"}


def test_a_folder_named_after_the_class_is_no_source():
    folders = source_folders(["train/NORMAL/a.png", "test/PNEUMONIA/b.png", "c.png"], ["NORMAL", "PNEUMONIA", "NORMAL"])
    assert folders.tolist() == ["train", "test", ""]


def test_thirds_keep_equal_values_together_and_leave_out_what_is_unknown():
    found = thirds(np.array([1, 1, 1, 1, 2, 3, np.nan]), " mm")
    assert found[:4].tolist() == ["lowest third (1 to 1 mm)"] * 4 and found[6] == ""
    assert found[5].startswith("highest") and set(thirds(np.full(3, np.nan))) == {""}


def test_thirds_hold_a_third_each():
    found = thirds(np.random.default_rng(0).permutation(90).astype(np.float64))
    assert sorted(np.unique(found, return_counts=True)[1]) == [30, 30, 30]


def test_size_aspect_and_brightness_are_cut_into_thirds():
    rows = [{"width": str(100 + i), "height": "100"} for i in range(30)]
    found = groupings([f"{i}.png" for i in range(30)], ["NORMAL"] * 30, rows, np.arange(30.0))
    assert list(found) == ["film size", "width to height", "brightness"]
    assert found["width to height"][0] == "lowest third (1 to 1.09)"


def test_films_of_unknown_size_are_in_no_size_group():
    rows = [{"width": "", "height": ""}, *facts(20, 100), *facts(20, 200)]
    found = groupings([f"{i}.png" for i in range(41)], ["NORMAL"] * 41, rows)
    assert found["film size"][0] == "" and (found["film size"][1:] != "").all()


def test_a_kind_of_pneumonia_is_held_against_all_normal_films():
    p = kermany()
    rows = subgroups(p, groupings(p.paths, labels_of(p), facts(len(p))))
    viral = next(row for row in rows if row["group"] == "virus")
    assert viral["films"] == 40 and viral["positives"] == 40 and viral["negatives"] == 60
    assert viral["against"] == "all negative films"
    assert viral["sensitivity"] == wilson(20, 40).as_dict() and np.isnan(viral["specificity"]["value"])
    expected = scores(p.take(np.r_[0:60, 100:140]), np.random.default_rng(0), 200)
    assert viral["auroc"] == expected["auroc"].as_dict()
    assert viral["balanced_accuracy"]["value"] == pytest.approx(0.75)


def test_a_series_of_normal_films_is_held_against_all_positive_ones():
    p = kermany()
    rows = subgroups(p, groupings(p.paths, labels_of(p), facts(len(p))))
    series = next(row for row in rows if row["group"] == "NORMAL2-IM")
    assert series["against"] == "all positive films" and series["specificity"] == wilson(30, 30).as_dict()
    assert (series["positives"], series["negatives"]) == (80, 30)


def test_the_subgroup_that_is_missed_is_the_worst_and_shown_to_be():
    p = kermany()
    rows = subgroups(p, groupings(p.paths, labels_of(p), facts(len(p))))
    whole = scores(p, np.random.default_rng(0), 200)["balanced_accuracy"].value
    worst = worst_subgroup(rows, whole)
    assert worst["group"] == "virus" and worst["worse"] and worst["compared"] == 4
    assert "worse than the whole" in worst["sentence"] and "not shown" not in worst["sentence"]


def row(value, low, high, patients=100, positives=50, negatives=50, highest=None):
    interval = {"value": value, "low": low, "high": high}
    counts = {"films": 500, "patients": patients, "positive_patients": positives, "negative_patients": negatives}
    shown = {"grouping": "g", "group": f"{value}", "against": "", "balanced_accuracy": interval, **counts}
    return {**shown, "highest": highest if highest is not None else high}


def test_the_lowest_by_chance_is_not_called_worse():
    rows = [row(0.85, 0.80, 0.895, highest=0.92), *[row(0.92, 0.85, 0.97)] * 9]
    assert worst_subgroup([row(0.85, 0.80, 0.895)], 0.90)["worse"]  # alone its interval excludes the whole's value
    ten = worst_subgroup(rows, 0.90)  # the lowest of ten is expected to be low
    assert ten["group"] == "0.85" and not ten["worse"] and "not shown to be worse" in ten["sentence"]


def test_too_few_patients_are_never_the_worst():
    few = [row(0.1, 0.0, 0.2, patients=19), row(0.1, 0.0, 0.2, positives=9), row(float("nan"), 0, 1)]
    assert worst_subgroup(few, 0.9) is None and worst_subgroup([], 0.9) is None
    some, all_of_them = (worst_subgroup([*more, row(0.8, 0.7, 0.9, highest=0.92)], 0.9) for more in (few, []))
    assert some["group"] == "0.8"  # while the figure beside the sentence has lower ones
    assert some["sentence"].startswith("Worst of 1 subgroup with enough films: ")
    assert "the lowest with enough films, but not shown" in some["sentence"]
    assert "enough" not in all_of_them["sentence"]


def test_one_class_only_gives_nulls_and_no_worst():
    p = predictions([1] * 30, np.linspace(0.1, 0.9, 30))
    rows = subgroups(p, {"half": np.array(["a", "b"] * 15)})
    assert worst_subgroup(rows, float("nan")) is None
    assert json.loads(to_json(rows[0]))["auroc"] == {"value": None, "low": None, "high": None}


def test_a_subgroup_of_one_film_and_three_classes_do_not_fail():
    labels = np.arange(60) % 3
    p = predictions(labels, np.where(labels == 2, 0.8, 0.1), classes=("a", "b", "c"))
    groups = np.array(["lone"] + ["rest"] * 59)
    lone, rest = subgroups(p.by(positive=p.classes[2]), {"g": groups})
    assert lone["films"] == 1 and lone["against"] == "all other classes"
    assert rest["against"] == "" and rest["auroc"]["value"] == 1.0


def test_a_subgroup_of_some_classes_is_held_against_all_others_so_that_it_is_compared_with_like():
    labels = np.repeat([0, 1, 2], 40)
    called = labels.copy()
    called[:8], called[80:88] = 2, 0  # recalls .8, 1, .8
    p = predictions(labels, np.eye(3)[called][:, 2], classes=("a", "b", "c"))
    p = replace(p, probabilities=np.eye(3)[called])
    groups = np.array(["a"] * 40 + ["rest"] * 80)
    own, rest = subgroups(p.by(positive=p.classes[2]), {"kind": groups})
    whole = scores(p.by(positive=p.classes[2]), np.random.default_rng(0), 50)["balanced_accuracy"].value
    assert own["against"] == rest["against"] == "all other classes"
    assert own["balanced_accuracy"]["value"] == rest["balanced_accuracy"]["value"] == pytest.approx(whole)


def test_a_folder_named_like_a_third_does_not_stop_anything():
    labels = np.arange(40) % 2
    groups = np.array(["the third (x"] * 20 + [""] * 20)
    assert len(subgroups(predictions(labels, labels * 0.8 + 0.1), {"source folder": groups})) == 1


def test_many_films_of_few_patients_are_too_few_and_the_upper_bound_is_that_of_all_subgroups():
    labels = np.repeat(np.arange(120) % 2, 5)
    who = np.repeat([f"p{i:03d}" for i in range(120)], 5)
    rng = np.random.default_rng(0)
    p = replace(predictions(labels, np.clip(labels * 0.4 + rng.uniform(0.1, 0.6, 600), 0, 1)), patients=who)
    groups = np.repeat([*["few"] * 12, *["some"] * 54, *["more"] * 54], 5)
    rows = {row["group"]: row for row in subgroups(p, {"g": groups})}
    assert rows["few"]["films"] == 60 and rows["few"]["patients"] == 12 and rows["few"]["highest"] is None
    some = p.take(groups == "some")
    at_level = decision_intervals(some, np.unique(some.patients, return_inverse=True)[1], 1 - 0.05 / 2)
    assert rows["some"]["highest"] == at_level["balanced_accuracy"].high > rows["some"]["balanced_accuracy"]["high"]
    worst = worst_subgroup(list(rows.values()), 0.8)
    assert worst["compared"] == 2 and worst["group"] != "few"
