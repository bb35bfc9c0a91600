from __future__ import annotations

import pytest

from plainfilm.config import TrainConfig
from plainfilm.machine import ranks
from plainfilm.training import estimate
from plainfilm.training.estimate import Pace, foretell, sentence


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(ranks, "cores", lambda: 2)


def test_it_is_the_films_of_all_epochs_and_the_probes_by_their_measured_pace():
    said = sentence(TrainConfig(epochs=30, patience=0), 276, 92, Pace(0.05, 0.02), after=12_000)
    # 30 × (276 × .05 + 92 × .02) = 469 s, and 12,000 × .02 / 2 = 120 s
    assert said == (
        "This takes about 10 min: 30 epochs of 276 films at 20 films/s, 8 min; then probes, 2 min. Fewer --epochs take "
        "less; --no-probes leaves the probes to a later evaluate RUN --probes."
    )


def test_what_can_not_be_left_out_is_not_named_and_patience_may_end_it_earlier():
    said = sentence(TrainConfig(epochs=10, patience=3), 100, 0, Pace(0.1, 0.1))
    assert (
        said == "This takes about 2 min: 10 epochs of 100 films at 10 films/s, 2 min at most. Fewer --epochs take less."
    )


def test_below_a_minute_nothing_is_said(capsys):
    foretell(TrainConfig(epochs=2), 50, 20, Pace(0.1, 0.05))
    assert capsys.readouterr().err == ""
    foretell(TrainConfig(epochs=20), 50, 20, Pace(0.1, 0.05))
    assert capsys.readouterr().err.startswith("This takes about 2 min: 20 epochs")


def test_a_training_says_it_before_its_first_epoch(monkeypatch, films_folder, tmp_path, capsys):
    from plainfilm.cli import main

    monkeypatch.setattr(estimate, "LONG", 0.0)
    words = [
        "train",
        str(films_folder),
        "--out",
        str(tmp_path / "run"),
        "--epochs",
        "1",
        "--size",
        "16",
        "--threads",
        "1",
    ]
    assert main([*words, "--no-probes"]) == 0
    out, said = capsys.readouterr()
    line = next(line for line in said.splitlines() if line.startswith("This takes about"))
    assert "films/s" in line and "probes" not in line
    assert "plainfilm evaluate" in out and "--probes" in out and not (tmp_path / "run" / "probes.json").exists()
    assert main(["train", *words[1:3], str(tmp_path / "probed"), *words[4:]]) == 0
    assert "then probes" in capsys.readouterr().err and (tmp_path / "probed" / "probes.json").exists()
    assert main([*words, "--folds", "3", "--no-probes"]) == 2
    assert "not probed anyway" in capsys.readouterr().err
