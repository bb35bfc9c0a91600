"""An operating point for another program's scores: found, promised, refused, and used on films that it never saw."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from scipy.special import expit, logit

from plainfilm.cli import main


def write(path, *, films=1600, apart=3.0, seed=0, labels=True, moved=1.0, kind="pred"):
    """Two films per patient; the program says log-odds that are too high by ``moved`` and two and a half times flat."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.random(films // 2) < 0.3, 2)
    odds = 2 * apart * (truth - 0.5) + rng.normal(0, 1.3, films)
    said = (odds + moved) / 2.5
    score = {"pred": expit(said), "logit": said, "rank": 1000 + 300 * said}[kind]
    rows = [
        f"{seed}-{i // 2},img{seed}_{i}.png,{f'{int(truth[i])},' if labels else ''}{score[i]:.8f}" for i in range(films)
    ]
    header = f"patientid,imgid,{'target,' if labels else ''}{'pred' if kind == 'rank' else kind}"
    path.write_text("\n".join([header, *rows]) + "\n")
    return truth


def adapt(folder, *words):
    return main(["adapt", str(folder / "theirs.csv"), "--out", str(folder / "op.json"), "--quiet", *words])


def labelled(folder, *words):
    place = ["apply", str(folder / "op.json"), str(folder / "new.csv"), "--out", str(folder / "out.csv"), "--quiet"]
    assert main([*place, *words]) == 0
    with open(folder / "out.csv") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", ["pred", "logit", "rank"])
def test_new_films_are_labelled_by_what_was_found_whatever_the_scores_are(tmp_path, kind, capsys):
    write(tmp_path / "theirs.csv", kind=kind)
    truth = write(tmp_path / "new.csv", films=400, seed=1, labels=False, kind=kind)
    assert adapt(tmp_path) == 0
    point = json.loads((tmp_path / "op.json").read_text())
    assert point["scores"]["kind"] == {"pred": "probability"}.get(kind, kind) and point["columns"]["path"] == "imgid"
    rows = labelled(tmp_path)
    called = np.array([row["label"] == "1" for row in rows])
    assert [*rows[0]] == ["path", "label", "p_0", "p_1", "refer", "reason"] and rows[0]["path"] == "img1_0.png"
    assert called[truth].mean() > 0.95 and (~called)[~truth].mean() > 0.95
    chance = np.array([float(row["p_1"]) for row in rows])
    if kind != "rank":  # the truth's own log-odds, by Bayes' rule from two normal distributions
        assert abs(chance.mean() - truth.mean()) < 0.04 and np.mean((chance - truth) ** 2) < 0.02
    assert labelled(tmp_path, "--force") == rows
    place = ["apply", str(tmp_path / "op.json"), str(tmp_path / "new.csv"), "--out", str(tmp_path / "out.csv")]
    assert main(place) == 2 and "--force" in capsys.readouterr().err


def test_shift_and_temperature_are_those_of_a_logistic_regression(tmp_path):
    from sklearn.linear_model import LogisticRegression

    truth = write(tmp_path / "theirs.csv", moved=2.0, apart=1.2)
    assert adapt(tmp_path) == 0
    point = json.loads((tmp_path / "op.json").read_text())
    with open(tmp_path / "theirs.csv") as file:
        odds = logit(np.array([float(row["pred"]) for row in csv.DictReader(file)]))
    fitted = LogisticRegression(C=1e6).fit(odds[:, None], truth)
    shift = point["shift"][1] - point["shift"][0]
    assert 1 / point["temperature"] == pytest.approx(fitted.coef_[0, 0], rel=0.03)
    assert shift / point["temperature"] == pytest.approx(fitted.intercept_[0], rel=0.05)


def test_a_promise_is_kept_on_films_that_nobody_saw(tmp_path, capsys):
    write(tmp_path / "theirs.csv")
    truth = write(tmp_path / "new.csv", films=20_000, seed=2, labels=False)
    assert adapt(tmp_path, "--guarantee", "npv=0.99,ppv=0.97") == 0
    said = capsys.readouterr().out
    assert (
        "NPV of at least 0.99, with 95 % confidence" in said and "holds up to" in said and "at a prevalence of" in said
    )
    point = json.loads((tmp_path / "op.json").read_text())
    assert [promise["name"] for promise in point["promises"]] == ["npv", "ppv"]
    share = point["found"]["refer"]["share"]
    rows = labelled(tmp_path)
    refer, called = (np.array([row[name] == yes for row in rows]) for name, yes in (("refer", "yes"), ("label", "1")))
    assert (~truth)[~refer & ~called].mean() >= 0.99 and truth[~refer & called].mean() >= 0.97
    assert share["low"] - 0.01 < refer.mean() < share["high"] + 0.01
    reason = next(row["reason"] for row in rows if row["refer"] == "yes")
    assert "keeps the promise of NPV of at least 0.99 below it and PPV of at least 0.97 above it" in reason


def test_what_can_not_be_promised_or_is_no_gain_is_refused_in_a_sentence(tmp_path, capsys):
    write(tmp_path / "theirs.csv", films=120)
    assert adapt(tmp_path, "--guarantee", "npv=0.98") == 2
    assert "at least 183 are needed" in capsys.readouterr().err and not (tmp_path / "op.json").exists()
    assert adapt(tmp_path, "--guarantee", "npv=0.98", "--force") == 0
    assert json.loads((tmp_path / "op.json").read_text())["refer"][0] == 0  # no film is called negative unseen
    (tmp_path / "op.json").unlink()
    write(tmp_path / "theirs.csv", films=120, apart=0.5, moved=0)
    assert adapt(tmp_path) == 2 and "not shown to be better" in capsys.readouterr().err
    assert not (tmp_path / "op.json").exists()
    assert adapt(tmp_path, "--force") == 0
    assert adapt(tmp_path) == 2 and "exists" in capsys.readouterr().err
    assert adapt(tmp_path, "--guarantee", "npv=.9", "--refer", "none", "--force") == 2
    assert adapt(tmp_path, "--prevalence", "0.1", "--force") == 2
    assert "--prevalence does nothing for a FILE.csv" in capsys.readouterr().err.splitlines()[-1]


def test_a_model_worse_than_chance_is_asked_about(tmp_path, capsys):
    write(tmp_path / "theirs.csv", apart=-3.0)
    assert adapt(tmp_path, "--force") == 2 and "--positive NAME" in capsys.readouterr().err
    assert adapt(tmp_path, "--positive", "0") == 0
    assert json.loads((tmp_path / "op.json").read_text())["positive"] == "0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"operating_point": 9}, "newer plainfilm"),
        ({"operating_point": None}, "newer plainfilm"),
        ({"threshold": 7}, "does not fit together"),
        ({"classes": ["0"]}, "two classes are needed"),
        ({"promises": [{"name": "npv"}]}, "does not fit together"),
        ({"scores": {"kind": "odds", "centre": 0, "spread": 1}}, "out of range"),
        ({"shift": [1]}, "out of range"),
        ({"refer": [2, 3]}, "refer band"),
    ],
)
def test_a_damaged_point_is_refused(tmp_path, capsys, change, words):
    write(tmp_path / "theirs.csv", films=200)
    assert adapt(tmp_path) == 0
    point = json.loads((tmp_path / "op.json").read_text()) | change
    (tmp_path / "op.json").write_text(json.dumps(point))
    capsys.readouterr()
    assert (
        main(["apply", *(str(tmp_path / n) for n in ("op.json", "theirs.csv")), "--out", str(tmp_path / "o.csv")]) == 2
    )
    assert words in capsys.readouterr().err


def test_scores_beyond_the_scale_and_other_columns_are_named(tmp_path, capsys):
    write(tmp_path / "theirs.csv", films=200)
    assert adapt(tmp_path) == 0
    (tmp_path / "new.csv").write_text("Image;Pneumonia\na.png;0,2\nb.png;0,9\n")
    words = [
        "apply",
        str(tmp_path / "op.json"),
        str(tmp_path / "new.csv"),
        "--out",
        str(tmp_path / "out.csv"),
        "--quiet",
    ]
    assert main(words) == 2 and "--columns score=NAME" in capsys.readouterr().err
    rows = labelled(tmp_path, "--columns", "score=Pneumonia")
    assert [row["path"] for row in rows] == ["a.png", "b.png"] and rows[1]["label"] == "1"
    (tmp_path / "new.csv").write_text("Image,pred\na.png,20\n")
    assert main([*words, "--force"]) == 2 and "that is no probability" in capsys.readouterr().err
