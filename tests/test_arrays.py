"""Figures of arrays: the same as those of a file with the same predictions, and without torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import plainfilm as pf
from plainfilm.errors import InputError
from plainfilm.evaluation.predictions import Predictions, read_predictions
from plainfilm.evaluation.scores import scores


@pytest.fixture(scope="module")
def films():
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.random(150) < 0.4, 2)
    return truth, 1 / (1 + np.exp(-rng.normal(np.where(truth, 1.5, -1.5), 1.5))), np.repeat(np.arange(150), 2)


def test_scores_of_arrays_are_those_of_a_file(films, tmp_path):
    truth, chance, patients = films
    lines = ["path,label,p_0,p_1,patient"]
    for i, (t, p, who) in enumerate(zip(truth, chance.tolist(), patients, strict=True)):
        lines.append(f"{i},{int(t)},{1 - p!r},{p!r},{who}")
    (tmp_path / "p.csv").write_text("\n".join(lines))
    wanted = scores(read_predictions(tmp_path / "p.csv"), np.random.default_rng(0))
    found = pf.scores(truth, chance, patients)
    assert list(found) == list(wanted)
    for name, interval in wanted.items():
        assert found[name] == pytest.approx(interval, nan_ok=True), name
    assert isinstance(found.predictions, Predictions) and "150 patients" in repr(found)
    assert found.to_dict()["auroc"]["value"] == found["auroc"].value
    assert "<table" in found._repr_html_() and "auroc" in found._repr_html_()
    assert found.to_pandas().loc["auroc", "low"] == found["auroc"].low
    assert found.plot().axes


def test_models_are_compared(films):
    truth, chance, patients = films
    rng = np.random.default_rng(1)
    noisy = np.clip(chance + rng.normal(0, 0.4, len(chance)), 0, 1)
    found = pf.compare(truth, {"ours": chance, "theirs": noisy}, patients)
    assert [model["name"] for model in found["models"]] == ["ours", "theirs"]
    assert found["pairs"][0]["auroc"]["difference"]["value"] > 0
    with pytest.raises(InputError, match="two or more"):
        pf.compare(truth, {"ours": chance})


def test_models_in_dataframes_are_compared_as_arrays_are(films):
    """One table with a column per model, or a table per model: in whatever order, words and scale."""
    pandas = pytest.importorskip("pandas")
    truth, chance, patients = films
    noisy = np.clip(chance + np.random.default_rng(1).normal(0, 0.4, len(chance)), 0.001, 0.999)
    wanted = pf.compare(truth, {"ours": chance, "theirs": noisy}, patients)
    words = np.where(truth, "sick", "well")
    films = {"Image": [f"{i}.png" for i in range(300)], "Target": words, "PatientID": patients}
    one = pandas.DataFrame({**films, "ours": chance, "theirs": np.log(noisy / (1 - noisy))})
    for models in (["ours", "theirs"], {"ours": "ours", "theirs": "theirs"}):
        found = pf.compare(one, models, positive="sick")
        assert found["positive"] == "sick" and found["patients"] == 150
        for score in ("accuracy", "auroc"):
            told, known = (each["pairs"][0][score]["difference"] for each in (found, wanted))
            assert told == pytest.approx(known, abs=1e-9)
    named = {"well": "NORMAL", "sick": "PNEUMONIA"}
    ours = pandas.DataFrame({**films, "prob": chance}).sample(frac=1, random_state=0)
    theirs = pandas.DataFrame({**films, "Target": np.where(truth, "PNEUMONIA", "NORMAL"), "score": noisy})
    found = pf.compare({"ours": ours, "theirs": theirs}, classes=named, positive="PNEUMONIA")
    assert found["pairs"][0]["auroc"]["difference"] == pytest.approx(
        wanted["pairs"][0]["auroc"]["difference"], abs=1e-9
    )
    with pytest.raises(InputError, match=r"classes differ \(sick, well against NORMAL, PNEUMONIA\)"):
        pf.compare({"ours": ours, "theirs": theirs})
    with pytest.raises(InputError, match="'ill' is no class of The DataFrame"):
        pf.compare({"ours": ours, "theirs": ours}, classes={"ill": "PNEUMONIA"})
    with pytest.raises(InputError, match="two or more"):
        pf.compare(one, ["ours"])
    with pytest.raises(InputError, match="patients are a column"):
        pf.compare(one, ["ours", "theirs"], patients)
    with pytest.raises(InputError, match="a DataFrame and its columns"):
        pf.compare(truth)


def test_an_operating_point_with_a_promise(films):
    truth, chance, patients = films
    point = pf.operating_point(truth, chance, "sensitivity=0.95", patients)
    called = point.calibrated(chance) >= point.threshold
    assert called[truth].mean() == pytest.approx(0.95, abs=0.02)
    promised = pf.operating_point(truth, chance, patients=patients, guaranteed="sensitivity=0.9")
    assert promised.decision.refer and "with 95 % confidence" in repr(promised)


@pytest.mark.parametrize("kind", ["probability", "logit", "rank"])
@pytest.mark.parametrize("first", [True, False])  # whether the positive class stands last among the sorted names
def test_scores_of_any_kind_are_calibrated_by_platt_s_scaling(kind, first):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    truth = rng.random(3000) < 0.3
    odds = 2 * (truth - 0.5) + rng.normal(0, 1, 3000) + np.log(0.3 / 0.7)
    said = odds / 2.5 + 1
    scores = {"probability": 1 / (1 + np.exp(-said)), "logit": said, "rank": 500 + 100 * said}[kind]
    labels = np.where(truth, "sick" if first else "ill", "ok")
    point = pf.calibrate(labels, scores, positive="sick" if first else "ill")
    new = point.calibrated(scores)
    if kind != "rank":
        fitted = LogisticRegression(C=1e6).fit(said[:, None], truth).predict_proba(said[:, None])[:, 1]
        assert new == pytest.approx(fitted, abs=0.01)
    assert new.mean() == pytest.approx(truth.mean(), abs=0.01) and np.array_equal(np.argsort(new), np.argsort(scores))
    assert point.threshold == 0.5 and point.calibrated(scores[:3]) == pytest.approx(new[:3])


def test_none_of_it_loads_torch():
    names = ("scores", "compare", "operating_point", "calibrate", "plan")
    code = f"import plainfilm as pf, sys; [getattr(pf, n) for n in {names}]"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_frame_alone_gives_what_its_columns_give(films):
    pandas = pytest.importorskip("pandas")
    truth, chance, patients = films
    frame = pandas.DataFrame({"Target": truth.astype(int), "prob": chance, "PatientID": patients})
    found, wanted = pf.scores(frame), pf.scores(truth.astype(int), chance, patients)
    assert list(found) == list(wanted)
    for name, interval in wanted.items():
        assert found[name] == pytest.approx(interval, nan_ok=True), name
    assert found.heading == wanted.heading
    strict = pf.scores(frame, threshold=0.9)
    assert strict["specificity"].value > found["specificity"].value
    point = pf.operating_point(frame, rule="sensitivity=0.95")
    assert point.threshold == pf.operating_point(truth.astype(int), chance, "sensitivity=0.95", patients).threshold
    logits = frame.assign(prob=np.log(chance / (1 - chance)))
    by_frame = pf.calibrate(logits, columns={"score": "prob"}, kind="logit")
    assert by_frame.calibrated([0.0, 2.0]) == pytest.approx(
        pf.calibrate(truth.astype(int), np.log(chance / (1 - chance)), patients, kind="logit").calibrated([0.0, 2.0])
    )


def test_of_a_frame_that_holds_no_scores_it_is_said(films):
    pandas = pytest.importorskip("pandas")
    with pytest.raises(InputError, match=r"^The DataFrame"):
        pf.scores(pandas.DataFrame({"label": films[0].astype(int), "note": "x"}))
    with pytest.raises(InputError, match="takes labels and scores, or a DataFrame"):
        pf.scores(films[0])
