"""What commands print with --json, and the files they write, are as docs/schemas says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.schemas import SCHEMAS, valid

from plainfilm.cli import COMMANDS, main

FEW = ["--epochs", 1, "--size", 16, "--batch", 8, "--threads", 1]
ANNOUNCED = {"receive", "watch"}  # they run until they are told to stop; serve's line is held in tests/commands


@pytest.fixture
def printed(capsys):
    def run(*words: object, code: int = 0):
        assert main([*map(str, words), "--json", "--quiet"]) == code, capsys.readouterr().err
        return valid(f"plainfilm-{words[0]}", json.loads(capsys.readouterr().out))

    return run


@pytest.fixture(scope="module")
def run(films_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("schemas") / "run"
    assert main([*map(str, ["train", films_folder, "--out", out, *FEW, "--quiet"])]) == 0
    return out


@pytest.fixture
def scores(tmp_path):
    """A table of another program's scores."""
    rng = np.random.default_rng(0)
    rows = [f"{i}.png,{i % 2},{np.clip(rng.normal(0.35 + 0.3 * (i % 2), 0.15), 0, 1):.4f},{i // 4}" for i in range(240)]
    path = tmp_path / "theirs.csv"
    path.write_text("\n".join(["Image,Target,prob,PatientID", *rows]), encoding="utf-8")
    return path


def test_every_command_has_a_schema_and_no_schema_is_left_over():
    assert {path.stem.removeprefix("plainfilm-") for path in SCHEMAS.glob("plainfilm-*")} == set(COMMANDS) - ANNOUNCED


def test_the_files_of_a_run(run):
    for name in ("config", "model", "metrics", "probes", "audit"):
        valid(name, json.loads((run / f"{name}.json").read_text(encoding="utf-8")))


def test_a_missing_or_unknown_key_and_a_wrong_type_are_found(run):
    whole = json.loads((run / "config.json").read_text(encoding="utf-8"))
    lacking = {name: value for name, value in whole.items() if name != "seed"}
    for wrong in (lacking, whole | {"new": 1}, whole | {"seed": "0"}, whole | {"films": {"train": "many"}}):
        with pytest.raises(AssertionError, match="config: "):
            valid("config", wrong)


def test_training_scoring_and_labelling(run, films_folder, tmp_path, printed):
    printed("train", films_folder, "--out", tmp_path / "folds", *FEW, "--folds", 2)
    printed("evaluate", run)
    printed("evaluate", run, films_folder, "--out", tmp_path / "on", "--prevalence", 0.1)
    printed("evaluate", tmp_path / "folds")
    printed("label", run, films_folder, "--out", tmp_path / "l.csv")
    printed("compare", run, run / "predictions.csv")
    printed("doctor", run)


def test_predictions_of_another_program(scores, tmp_path, printed):
    printed("evaluate", scores)
    printed("adapt", scores, "--out", tmp_path / "point.json", "--guarantee", "npv=0.7", "--force")
    printed("apply", tmp_path / "point.json", scores, "--out", tmp_path / "new.csv")
    printed("plan", "--pilot", scores, "--difference", 0.05, "--drop", 0.05)


def test_what_asks_for_no_films(printed):
    assert {model["name"] for model in printed("models")} >= {"vgg", "vgg-bn", "vgg16-lr"}
    assert printed("fetch", "--list")["sets"]
    assert printed("plan")["precision"]


def test_files_for_others(run, films_folder, tmp_path, printed):
    printed("export", run, "--format", "safetensors", "--out", tmp_path / "m.safetensors")
    printed("explain", run, films_folder / "NORMAL", "--out", tmp_path / "maps", "--checks", 2)


def test_a_search_and_an_audit(films_folder, tmp_path, printed):
    printed("search", films_folder, "--out", tmp_path / "s", "--budget", 2, *FEW)
    printed("audit", films_folder, "--out", tmp_path / "a")
