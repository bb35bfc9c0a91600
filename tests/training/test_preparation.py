from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from plainfilm.cli import main
from plainfilm.config import SPLITS, TrainConfig
from plainfilm.data.sources import load
from plainfilm.data.split import split
from plainfilm.errors import InputError, PlainfilmError
from plainfilm.training.preparation import lengthened, prepare
from plainfilm.training.record import config_document


@pytest.fixture
def table(make_films, tmp_path):
    """Films of every part and of none, none beside its like in the order of paths."""
    folder = make_films(tmp_path / "set", 24, 24)
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpeg"))
    with open(folder / "films.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "split"])
        parts = ("train", "val", "test", "train", "", "train", "test", "train")
        rows.writerows((path, path.split("/")[0], parts[i % 8]) for i, path in enumerate(paths))
    return folder / "films.csv"


@pytest.mark.parametrize("how", SPLITS)
def test_every_film_has_its_own_pixels_whatever_the_split_leaves_out(table, how):
    [prepared] = prepare(load(table), [TrainConfig(split=how)], str(table))
    assert len(prepared.films) == len(prepared.pixels) == (36 if how == "official" else 48)
    for film, row in zip(prepared.films, prepared.pixels[:], strict=True):
        assert (row == prepared.preprocess.read(film.read())).all()
    with pytest.raises(PlainfilmError, match="this is a bug"):
        replace(prepared, films=prepared.films.at([0]))


def test_an_official_run_says_which_films_it_leaves_out(table, tmp_path, capsys):
    words = ["train", str(table), "--out", str(tmp_path / "run"), "--split", "official", "--model", "vgg"]
    assert main([*words, "--epochs", "1"]) == 0
    assert "12 films that are in neither the train nor the test part" in capsys.readouterr().err
    with open(tmp_path / "run" / "films.csv") as file:
        kept = [row["path"] for row in csv.DictReader(file)]
    with open(tmp_path / "run" / "predictions.csv") as file:
        assert [row["path"] for row in csv.DictReader(file)] == kept and len(kept) == 36


def test_a_val_folder_of_kaggles_layout_leaves_the_rest_in_place(make_films, tmp_path):
    for part, count in (("train", 16), ("val", 4), ("test", 8)):
        make_films(tmp_path / "set" / part, count, count)
    [prepared] = prepare(load(tmp_path / "set"), [TrainConfig(split="official")], "set")
    films = [*prepared.films]
    assert {film.path.split("/")[0] for film in films} == {"train", "test"}
    chosen = np.arange(0, len(films), 5)
    for i in chosen:
        assert (prepared.pixels[i] == prepared.preprocess.read(films[i].read())).all()


def test_what_the_model_cannot_do_shows_before_a_film_is_decoded(table, monkeypatch):
    monkeypatch.setattr("plainfilm.training.preparation.ingest", lambda *_: pytest.fail("films were decoded"))
    for changes, said in (
        ({"model": "vgg16-lr", "channels": 1}, "starts from weights for 3 channels"),
        ({"model": "vgg16-lr", "size": 16}, "too small for this network"),
    ):
        with pytest.raises(InputError, match=said):
            prepare(load(table), [TrainConfig(**changes)], str(table))


def test_the_split_that_was_made_is_the_one_that_is_recorded(make_films, tmp_path):
    films = split(load(make_films(tmp_path / "set", 24, 24)), "paper", seed=5)
    [prepared] = prepare(films, [TrainConfig(seed=1)], "set")
    told = config_document(prepared)
    assert told["settings"]["split"] == "paper" and told["divided"] == {"split": "paper", "seed": 5}
    assert told["seed"] == 1


def test_a_small_set_gets_more_epochs_unless_they_are_given(table, tmp_path, capsys):
    asked = TrainConfig(model="best")
    assert lengthened(asked, 5_000) == asked and not capsys.readouterr().err
    assert asked.fewest_steps > asked.epochs  # else the next lines would hold for any rule
    few = lengthened(asked, 40)
    steps = few.epochs * -(-40 // few.batch)
    assert few.epochs > asked.epochs and asked.fewest_steps <= steps < asked.fewest_steps + -(-40 // few.batch)
    assert f"{few.epochs} epochs instead of {asked.epochs}, since 40 films are few" in capsys.readouterr().err
    single = lengthened(asked, asked.batch + 1)  # the film left over goes with the batch before it: one step an epoch
    assert single.epochs == asked.fewest_steps and "400 steps" in capsys.readouterr().err
    assert lengthened(few, 40) == few  # resumed: by the settings that were written down
    assert lengthened(TrainConfig(model="best", epochs=3), 40).epochs == 3
    assert lengthened(TrainConfig(model="vgg"), 40) == TrainConfig(model="vgg")  # the paper's, whatever the films
    given = {"model": "vgg", "fewest_steps": 9, "batch": 8, "channels": 1, "epochs": 2}
    assert (
        main(
            [
                "train",
                str(table),
                "--out",
                str(tmp_path / "run"),
                *(w for n, v in given.items() for w in (f"--{n.replace('_', '-')}", str(v))),
            ]
        )
        == 0
    )
    [prepared] = prepare(load(table), [TrainConfig(**given)], str(table))
    assert prepared.config.epochs == -(-9 // -(-prepared.films.where("train").size // 8)) > 2
    with open(tmp_path / "run" / "history.csv") as file:
        assert len([*csv.DictReader(file)]) == prepared.config.epochs
