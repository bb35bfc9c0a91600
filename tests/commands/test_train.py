from __future__ import annotations

import csv
import json
import re
from html import escape

import pytest

from plainfilm.cli import main
from plainfilm.evaluation.predictions import read_predictions
from plainfilm.evaluation.tables import confusion
from plainfilm.models.model import Model
from plainfilm.runs.checkup import checkup

SMALL = ["--epochs", "1", "--batch", "8", "--size", "16", "--threads", "1", "--quiet"]


def test_what_a_training_starts_with_is_said_first(films_folder, tmp_path, capsys):
    words = [word for word in SMALL if word != "--quiet"]
    assert main(["train", str(films_folder), "--out", str(tmp_path / "run"), *words, "--no-probes"]) == 0
    said = capsys.readouterr().err
    first = [line[:12].strip() for line in said[said.index("── Training vgg in ") :].splitlines() if line[:1].isalpha()]
    assert first[:5] == ["Films", "Protocol", "Classes", "Learning", "Computing"]
    assert re.search(r"^Films       \d+ to train, \d+ to validate, \d+ to test$", said, re.MULTILINE)
    assert "patients separate; 0 patients and 0 duplicates in more than one part" in said
    assert (
        "NORMAL, PNEUMONIA; positive class PNEUMONIA\n" in said and "1 epoch; learning rate 0.05, decay keras" in said
    )


@pytest.fixture(scope="module")
def folds(films_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("folds") / "out"
    assert main(["train", str(films_folder), "--out", str(out), "--folds", "2", *SMALL]) == 0
    return out


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_every_film_is_predicted_once_by_a_model_that_never_saw_its_patient(folds):
    assert checkup(folds)["state"] == "finished"
    pooled = rows(folds / "predictions.csv")
    assert len(pooled) == 40 and len({row["path"] for row in pooled}) == 40
    trained = {
        fold: {r["patient"] for r in rows(folds / fold / "films.csv") if r["part"] != "test"}
        for fold in ("fold-0", "fold-1")
    }
    for fold, patients in trained.items():
        tested = {r["path"]: r for r in rows(folds / fold / "predictions.csv") if r["part"] == "test"}
        mine = [row for row in pooled if row["path"] in tested]
        assert mine and not {row["patient"] for row in mine} & patients
        cut = json.loads((folds / fold / "model.json").read_text())["threshold"]
        for row in mine:
            assert float(row["p_PNEUMONIA"]) == float(tested[row["path"]]["p_PNEUMONIA"])
            assert float(row["threshold"]) == cut


def test_the_folds_are_of_one_set_whose_hash_stands_once(folds):
    config = [json.loads((folds / fold / "config.json").read_text()) for fold in ("fold-0", "fold-1")]
    assert config[0]["set_hash"] == config[1]["set_hash"] and config[0]["data_hash"] != config[1]["data_hash"]
    assert (folds / "report.html").read_text().count(config[0]["set_hash"]) == 1


@pytest.mark.parametrize("kind", ["folds", "seeds"])
def test_the_set_is_audited_once_for_all_runs(folds, films_folder, tmp_path, kind):
    """A single run on the same films says what their files and borders alone tell; the folds' page said nothing."""
    out = folds
    if kind == "seeds":
        out = tmp_path / "out"
        assert main(["train", str(films_folder), "--out", str(out), "--seeds", "2", *SMALL]) == 0
    assert main(["train", str(films_folder), "--out", str(tmp_path / "run"), *SMALL]) == 0
    alone = json.loads((tmp_path / "run" / "audit.json").read_text())
    audit = json.loads((out / "folds.json").read_text())["audit"]
    assert audit == {"red_lines": alone["red_lines"], "light": {"films": 40, "of": 40}}
    page = (out / "report.html").read_text()
    assert all(escape(line) in page for line in alone["red_lines"]) and "Not looked at: what changed" in page
    assert ("Only 40 films scored" in page) is (kind == "folds")


def test_pooled_scores_decide_each_film_by_its_own_folds_threshold(folds):
    pooled, summary = rows(folds / "predictions.csv"), json.loads((folds / "folds.json").read_text())
    right = sum((float(r["p_PNEUMONIA"]) >= float(r["threshold"])) == (r["label"] == "PNEUMONIA") for r in pooled)
    assert summary["pooled"]["accuracy"]["value"] == pytest.approx(right / 40)
    p = read_predictions(folds / "predictions.csv")
    assert confusion(p).trace() == right  # whatever other threshold is asked for: compare and evaluate too
    assert summary["protocol"] == "2-fold, patients separate" and summary["runs"] == ["fold-0", "fold-1"]
    values = [
        json.loads((folds / f / "metrics.json").read_text())["test"]["accuracy"]["value"] for f in summary["runs"]
    ]
    assert summary["scores"]["accuracy"]["values"] == values
    assert summary["scores"]["accuracy"]["mean"] == pytest.approx(sum(values) / 2)
    for suspect in summary["label_noise"]:
        assert suspect["p_own_label"] < 0.5
    page = (folds / "report.html").read_text()
    assert "2 folds" in page and "same films" not in page  # folds have other parts, and that is no fault


def test_a_killed_repetition_goes_on_where_it_stopped_and_ends_equal(folds, films_folder, capsys):
    before = {name: (folds / name).read_bytes() for name in ("folds.json", "predictions.csv", "metrics.json")}
    for name in ("folds.json", "fold-1/report.html", "fold-1/metrics.json"):
        (folds / name).unlink()
    first = (folds / "fold-0" / "model.h5").stat().st_mtime_ns
    words = ["train", str(films_folder), "--out", str(folds), "--folds", "2", *SMALL]
    assert main(words) == 2 and "--resume" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    assert (folds / "fold-0" / "model.h5").stat().st_mtime_ns == first
    assert before == {name: (folds / name).read_bytes() for name in before}


def test_evaluate_scores_the_folder_again_from_its_predictions(folds, capsys):
    before = (folds / "folds.json").read_bytes()
    assert main(["evaluate", str(folds), "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "folds"
    assert (folds / "folds.json").read_bytes() == before


def test_seeds_repeat_the_whole_run(films_folder, tmp_path):
    out = tmp_path / "seeds"
    assert main(["train", str(films_folder), "--out", str(out), "--seeds", "2", "--seed", "4", *SMALL]) == 0
    summary = json.loads((out / "folds.json").read_text())
    assert summary["runs"] == ["seed-4", "seed-5"] and summary["pooled"] is None
    parts = [{r["path"]: r["part"] for r in rows(out / run / "films.csv")} for run in summary["runs"]]
    assert parts[0] != parts[1]
    assert len(rows(out / "runs.csv")) == 2
    assert summary["scores"]["auroc"]["sd"] >= 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--folds", "1"], "at least 2"),
        (["--seeds", "1"], "at least 2"),
        (["--folds", "3", "--split", "official"], "grouped or paper"),
        (["--folds", "3", "--seeds", "3"], "not allowed with"),
        (["--folds", "30"], "too few films or patients"),
    ],
)
def test_what_cannot_be_repeated_is_said_in_one_sentence(films_folder, tmp_path, capsys, words, sentence):
    assert main(["train", str(films_folder), "--out", str(tmp_path / "x"), *words, *SMALL]) == 2
    assert sentence in capsys.readouterr().err


def test_a_fold_killed_before_its_sums_is_sealed_by_the_next_run(films_folder, tmp_path):
    words = ["train", films_folder, "--out", tmp_path / "f", "--folds", "2", "--model", "vgg-bn", "--size", "16"]
    assert main([*map(str, words), "--epochs", "1", "--threads", "1"]) == 0
    (tmp_path / "f" / "fold-0" / "SHA256SUMS").unlink()
    again = [
        "train",
        films_folder,
        "--out",
        tmp_path / "f",
        "--folds",
        "2",
        "--resume",
    ]  # settings are those begun with
    assert main([*map(str, again)]) == 0
    assert (tmp_path / "f" / "fold-0" / "SHA256SUMS").exists()


def test_films_without_labels_lend_their_style(films_folder, make_films, tmp_path, capsys):
    other = make_films(tmp_path / "site", 4, 4)
    words = ["train", str(films_folder), *SMALL, "--unlabelled", str(other)]
    plain, lent = (tmp_path / name for name in ("plain", "lent"))
    assert main([*words, "--out", str(lent), "--augment", "style=1"]) == 0
    assert main([*words[:-2], "--out", str(plain), "--augment", "style=1"]) == 0
    provenance = Model.load(lent).provenance
    assert provenance["unlabelled"] == str(other) and provenance["unlabelled_films"] == 8
    assert "unlabelled" not in Model.load(plain).provenance
    assert rows(lent / "history.csv")[0]["train_loss"] != rows(plain / "history.csv")[0]["train_loss"]
    assert main([*words, "--out", str(tmp_path / "no")]) == 2
    assert "give --augment style=1" in capsys.readouterr().err and not (tmp_path / "no").exists()
