"""`explain` from end to end on a tiny network: table, pictures, page; every film is accounted for."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from PIL import Image

from plainfilm.catalogue import PAPER
from plainfilm.commands.explain import HEADER, WRITTEN, explain
from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.explain.films import Explained
from plainfilm.explain.overlay import WARNING
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.model import Model
from plainfilm.models.vgg import VGG
from plainfilm.report.maps import picture, sheet
from plainfilm.runs.checkup import checkup
from plainfilm.storage.tables import read_csv


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    network = VGG(PAPER, 2, 16)
    Model(network, "vgg", Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA"), Preprocess(size=16)).save(folder / "model.h5")
    return folder


def test_every_film_has_a_row_and_every_readable_one_a_picture(run, tmp_path, make_film):
    films = tmp_path / "films"
    films.mkdir()
    for i in range(3):
        (films / f"person{i}_virus_{i}.jpeg").write_bytes(make_film(i, True))
    (films / "=<b>$x^2$ & a very long name of a film that goes on and on and on and on and on.jpeg").write_bytes(
        make_film(9, False)
    )
    (films / "broken.jpeg").write_bytes(b"\xff\xd8\xff")
    out = tmp_path / "out"
    told = explain(run, [str(films)], out, checks=2)
    assert checkup(out)["state"] == "finished"
    header, rows = read_csv(out / "explain.csv")
    assert tuple(header) == HEADER and len(rows) == 5
    assert [bool(row["label"]) for row in rows] == [True, False, True, True, True]
    assert rows[1]["reason"].startswith(("damaged", "not a JPEG"))
    for row in rows:
        if row["map"]:
            with Image.open(out / row["map"]) as drawn:
                assert drawn.size[0] > 1000
    assert (told["films"], told["mapped"], told["refused"], told["films_checked"]) == (5, 4, 1, 2)
    assert json.loads((out / "explain.json").read_text())["checks"].keys() == told["checks"].keys()
    page = (out / "index.html").read_text()
    assert (
        len(re.findall(r": \w+ \(PNEUMONIA (?:[<>] |0\.\d+ [<≥] )0\.\d+\)", unescape(page))) == 4
    )  # beside its threshold
    assert WARNING in page and "<b>$x" not in page and "data:image/png;base64," in page
    assert {path.name for path in out.iterdir()} == {*WRITTEN, ".lock"}
    with pytest.raises(InputError, match=r"holds explain\.csv, .*maps already; .*--force"):
        explain(run, [str(films)], out)


def test_a_class_can_be_chosen_and_a_wrong_one_is_named(run, tmp_path, make_film):
    (tmp_path / "a.jpeg").write_bytes(make_film(1, True))
    explain(run, [str(tmp_path / "a.jpeg")], tmp_path / "out", explained="NORMAL", method="grad-cam", checks=0)
    _, (row,) = read_csv(tmp_path / "out" / "explain.csv")
    assert row["explained"] == "NORMAL"
    with pytest.raises(InputError, match=r"no class 'normal'.*Did you mean 'NORMAL'"):
        explain(run, [str(tmp_path / "a.jpeg")], tmp_path / "other", explained="normal")


def test_films_none_of_which_can_be_read_are_the_users_fault(run, tmp_path):
    (tmp_path / "a.jpeg").write_bytes(b"no film")
    with pytest.raises(InputError, match=r"a\.jpeg can't be explained"):
        explain(run, [str(tmp_path / "a.jpeg")], tmp_path / "out")


@pytest.mark.parametrize("name", WRITTEN)
def test_nothing_of_the_users_is_replaced_unasked(run, tmp_path, make_film, name):
    (tmp_path / "a.jpeg").write_bytes(make_film(1, True))
    mine = tmp_path / "out" / name / "mine.txt" if name == "maps" else tmp_path / "out" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(InputError, match=f"holds {name} already.*--force"):
        explain(run, [str(tmp_path / "a.jpeg")], tmp_path / "out", checks=0)
    assert mine.read_text() == "mine" and not (tmp_path / "out" / ".lock").exists()


def test_force_replaces_what_it_writes_and_nothing_else(run, tmp_path, make_film):
    (tmp_path / "a.jpeg").write_bytes(make_film(1, True))
    mine = tmp_path / "out" / "maps" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    explain(run, [str(tmp_path / "a.jpeg")], tmp_path / "out", checks=0, force=True)
    assert mine.read_text() == "mine" and (tmp_path / "out" / "maps" / "00001-a.png").exists()


def test_a_run_is_no_place_for_maps(run, tmp_path, make_film):
    (tmp_path / "a.jpeg").write_bytes(make_film(1, True))
    with pytest.raises(InputError, match="a run of its own"):
        explain(run, [str(tmp_path / "a.jpeg")], run, force=True)
    with pytest.raises(InputError, match="is a file"):
        explain(run, [str(tmp_path / "a.jpeg")], tmp_path / "a.jpeg", force=True)


def test_a_sheet_says_what_decided_and_marks_films_of_the_band_apart_from_unusual_ones():
    even = np.ones((60, 60), np.float32)
    of = Explained("x.png", "A", "B", 0.5, "0.5", np.zeros((60, 60), np.uint8), even, (0, 0, 1, 1), (0, 0))
    films = [
        replace(of, whose="B", weighed="0.480 < 0.500", refers=True),
        replace(of, whose="B", weighed="0.100 < 0.500", unusual="dark", refers=True),
        replace(of, whose="B", weighed="0.900 ≥ 0.500"),
    ]
    texts = [[text.get_text() for text in axes.texts] for axes in sheet(films).axes]
    said = ["B\n0.480 < 0.500\nmap: B\nx", "B\n0.100 < 0.500\nmap: B\nx", "B\n0.900 ≥ 0.500\nmap: B\nx"]
    assert [shown[-1] for shown in texts] == said
    assert ["READER" in shown[0] for shown in texts] == [True, False, False]
    assert ["UNUSUAL" in shown[0] for shown in texts] == [False, True, False]


@pytest.mark.parametrize("shape", [(60, 200), (200, 60)])
def test_a_picture_of_a_long_film_says_its_warning(shape):
    heat = np.ones(shape, np.float32)
    film = Explained("x.png", "A", "B", 0.5, "0.500", np.zeros(shape, np.uint8), heat, (0, 0, 1, 1), (0, 0))
    texts = [text.get_text() for text in picture(film).texts]
    assert any(WARNING in text for text in texts) and any("evidence for B" in text for text in texts)


def test_force_takes_away_the_maps_of_the_model_before(run, tmp_path, make_film):
    for i in range(4):
        (tmp_path / f"{i}.jpeg").write_bytes(make_film(i, False))
    films = [str(tmp_path / f"{i}.jpeg") for i in range(4)]
    explain(run, films, tmp_path / "maps", checks=0)
    (tmp_path / "maps" / "maps" / "mine.png").write_bytes(b"mine")
    explain(run, films[:1], tmp_path / "maps", checks=0, force=True)
    assert sorted(p.name for p in (tmp_path / "maps" / "maps").iterdir()) == ["00001-0.png", "mine.png"]


def test_names_that_archives_give_every_study_are_no_patient(run, tmp_path, make_film):
    for i in range(6):
        (tmp_path / f"study{i}").mkdir()
        (tmp_path / f"study{i}" / "IM-0001-0001.jpeg").write_bytes(make_film(i, False))
    films = [str(tmp_path / f"study{i}" / "IM-0001-0001.jpeg") for i in range(6)]
    found = explain(run, films, tmp_path / "maps", checks=0)
    assert found["checks"]["outside_thorax"]["low"] is not None  # six patients: enough for an interval


def test_an_interrupted_force_leaves_nothing_of_the_model_before(run, tmp_path, make_film, monkeypatch):
    (tmp_path / "films").mkdir()
    for i in range(3):
        (tmp_path / "films" / f"{i}.jpeg").write_bytes(make_film(i, True))
    out = tmp_path / "out"
    explain(run, [str(tmp_path / "films")], out, checks=0)
    (out / "maps" / "mine.png").write_bytes(b"x")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("plainfilm.commands.explain.save_picture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        explain(run, [str(tmp_path / "films" / "0.jpeg")], out, checks=0, force=True)
    left = {path.name for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    assert "SHA256SUMS" not in left and "index.html" not in left and "mine.png" in left
    assert not [name for name in left if name.startswith(("00002-", "00003-"))]
