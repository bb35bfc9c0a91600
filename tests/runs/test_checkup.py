"""`plainfilm doctor RUN`: what it says of folders that are whole, cut short, changed, in use or of another program."""

from __future__ import annotations

import json
import shutil

import pytest

from plainfilm.cli import main
from plainfilm.commands import train as training
from plainfilm.commands.evaluate import evaluate_runs
from plainfilm.runs.checkup import checkup
from plainfilm.runs.pooling import Repetition
from plainfilm.storage.files import locked, read_json, sealed, write_json, write_text

SETTINGS = {"model": "vgg", "size": 16, "epochs": 1, "batch": 8, "threads": 1}


@pytest.fixture(scope="module")
def finished(films_folder, tmp_path_factory):
    """A run whose pictures and probes were left out."""
    out = tmp_path_factory.mktemp("checkup") / "run"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw_montage", "draw_mistakes", "look_closer"):
            patch.setattr(training, name, lambda *_: None)
        patch.setattr(training, "run_report", lambda run: write_text(run.folder / "report.html", "report"))
        training.train(str(films_folder), out, SETTINGS)
    return out


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def wrong(found):
    return [f["what"] for f in found["findings"] if not f["ok"]]


def test_a_finished_run_is_well(run, capsys):
    assert main(["doctor", str(run)]) == 0
    said = capsys.readouterr().out
    assert "run, finished" in said and "agrees with the 40 rows" in said and "NO" not in said
    assert main(["doctor", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] and found["state"] == "finished" and not wrong(found)


def test_what_may_be_deleted_is_said_and_not_missed(run):
    with sealed(run):
        (run / "features.h5").write_bytes(b"x" * 2_000_000)
    (spare,) = [each for each in checkup(run)["findings"] if each["what"] == "features.h5"]
    assert spare["found"].startswith("2 MB that may be deleted") and spare["ok"]
    (run / "features.h5").write_bytes(b"other")
    assert checkup(run)["state"] == "damaged"
    (run / "features.h5").unlink()
    assert checkup(run)["state"] == "finished"


@pytest.mark.parametrize("name", ["config.json", "films.csv", "model.h5", "metrics.json", "predictions.csv"])
def test_one_changed_byte_is_named_with_what_to_do(run, name, capsys):
    data = bytearray((run / name).read_bytes())
    data[len(data) // 2] ^= 1
    (run / name).write_bytes(data)
    assert main(["doctor", str(run), "--json"]) == 3
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["state"] == "damaged" and "is damaged" in printed.err
    [sums] = [f for f in found["findings"] if f["what"] == "SHA256SUMS"]
    assert name in sums["found"] and sums["advice"]
    if name == "model.h5":
        assert "model.h5" in wrong(found)
    assert main(["doctor", str(run)]) == 3 and "to do:" in capsys.readouterr().out


def test_scores_that_do_not_follow_from_the_predictions(run):
    metrics = read_json(run / "metrics.json")
    metrics["test"]["accuracy"]["value"] = 0.123
    with sealed(run):  # as if it had been meant
        write_json(run / "metrics.json", metrics)
    found = checkup(run)
    assert wrong(found) == ["metrics.json"] and found["state"] == "damaged"


def test_evaluate_refuses_predictions_that_were_changed(run, capsys):
    path = run / "predictions.csv"
    path.write_text(path.read_text().replace("NORMAL", "normal", 1))
    assert main(["evaluate", str(run)]) == 2
    assert "predictions.csv is not what plainfilm wrote" in capsys.readouterr().err


def test_a_run_cut_short_can_be_resumed_and_a_damaged_checkpoint_says_how(run, films_folder, monkeypatch):
    for path in run.glob("*"):
        if path.name not in ("config.json", "films.csv", "quarantine.csv"):
            path.unlink()
    found = checkup(run)
    assert found["state"] == "unfinished, can be resumed" and wrong(found) == ["files"]
    (run / "checkpoint.h5").write_bytes(b"plainfilm checkpoint 1 sha256:")
    found = checkup(run)
    assert found["state"] == "damaged" and wrong(found) == ["files", "checkpoint.h5"]
    [checkpoint] = [f for f in found["findings"] if f["what"] == "checkpoint.h5"]
    assert "delete it and go on with --resume" in checkpoint["advice"]


def test_a_newer_version_and_other_packages(run):
    config = read_json(run / "config.json")
    write_json(run / "config.json", {**config, "versions": {**config["versions"], "torch": "1.0"}})
    [about] = [f for f in checkup(run)["findings"] if f["what"] == "config.json"]
    assert about["ok"] and "torch 1.0, here" in about["found"]
    write_json(run / "config.json", {**config, "plainfilm": "99.1"})
    [about] = [f for f in checkup(run)["findings"] if f["what"] == "config.json"]
    assert not about["ok"] and "update plainfilm to 99.1" in about["advice"]


def test_a_folder_in_use_and_what_is_none_of_ours(run, tmp_path, capsys):
    with locked(run):
        assert checkup(run)["state"] == "in use"
    (tmp_path / "other").mkdir()
    assert main(["doctor", str(tmp_path / "other")]) == 2
    assert "holds nothing that plainfilm wrote" in capsys.readouterr().err
    assert main(["doctor", str(tmp_path / "none")]) == 2


def test_folders_with_runs_inside_are_looked_through(finished, tmp_path):
    for name in ("fold-0", "fold-1"):
        shutil.copytree(finished, tmp_path / "folds" / name)
    found = checkup(tmp_path / "folds")
    assert found["kind"] == "folds" and found["state"] == "unfinished, can be resumed"
    evaluate_runs(tmp_path / "folds", Repetition("seeds", ["fold-0", "fold-1"], "grouped", 0))
    assert checkup(tmp_path / "folds")["state"] == "finished"
    (tmp_path / "folds" / "fold-1" / "model.h5").write_bytes(b"")
    found = checkup(tmp_path / "folds")
    assert found["state"] == "damaged" and "fold-1: model.h5" in wrong(found)


def test_audit_folders_too(films_folder, tmp_path):
    out = tmp_path / "audit"
    out.mkdir()
    for name in ("audit.json", "films.csv", "quarantine.csv", "report.html"):
        shutil.copy(films_folder / "NORMAL" / "IM-0000-0000.jpeg", out / name)
    assert checkup(out)["state"] == "damaged"  # films.csv is no table
