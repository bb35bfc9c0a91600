"""The benchmarks' way of taking turns, with two sides that only wait, and whom a comparison trains and tests; no time
is asserted."""

from __future__ import annotations

import csv
import importlib
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.data.films import Film

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SIDE = f"""
import sys
sys.path.insert(0, {str(BENCHMARKS)!r})
import turns

def work(threads, seconds):
    print("a library that talks")
    return lambda: seconds

turns.answer({{"work": work}})
"""


@pytest.fixture
def turns(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("turns")


def test_sides_answer_in_turn_and_a_dead_one_is_named(turns, tmp_path, monkeypatch):
    (tmp_path / "side.py").write_text(SIDE)
    monkeypatch.setattr(turns, "HERE", tmp_path)
    sides = [turns.Side("side.py", sys.executable, "work", 1, seconds=s) for s in (0.5, 2.0)]
    assert [side.first for side in sides] == [0.5, 2.0]  # what counts where a unit is too long to be done twice
    ours, others = turns.in_turn(sides, 3)
    assert ours == [0.5] * 3 and others == [2.0] * 3 and turns.ratio(ours, others) == (4.0, 4.0, 4.0)
    for side in sides:
        side.close()
    with pytest.raises(SystemExit, match="side died"):
        turns.Side("side.py", sys.executable, "no such work", 1)


def test_the_ratio_is_that_of_paired_rounds(turns):
    assert turns.ratio([1.0, 2.0, 4.0, 2.0, 1.0], [2.0, 6.0, 4.0, 8.0, 5.0]) == (3.0, 2.0, 4.0)


@pytest.fixture
def elsewhere(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("elsewhere")


def test_what_is_kept_out_and_who_is_tested_never_trains(elsewhere, tmp_path):
    names = {
        "NORMAL": [f"{series}IM-{n:04}-0001" for series in ("", "NORMAL2-") for n in range(40)],
        "PNEUMONIA": [f"person{n}_{germ}_{n}" for germ in ("bacteria", "virus") for n in range(60)],
    }
    noise = np.random.default_rng(0)
    for label, some in names.items():
        (tmp_path / "set" / label).mkdir(parents=True)
        for name in some:
            film = Image.fromarray(noise.integers(0, 255, (32, 32), dtype=np.uint8))
            film.save(tmp_path / "set" / label / f"{name}.jpeg")
    films = elsewhere.protocol(tmp_path / "set", tmp_path)
    assert {elsewhere.KEPT_OUT in film.path for film in films["elsewhere"]} == {True}
    assert not any(elsewhere.KEPT_OUT in film.path for part in ("train", "val", "test") for film in films[part])
    whose = {part: {film.group for film in some} for part, some in films.items()}
    for part, other in itertools.combinations(whose, 2):
        assert not whose[part] & whose[other]
    for part in ("train", "val", "test"):
        assert {film.label for film in films[part]} == {"NORMAL", "PNEUMONIA"}
    with open(tmp_path / "films.csv") as file:
        rows = [*csv.DictReader(file)]
    assert [row["split"] for row in rows].count("train") == len(films["train"])
    assert not any(elsewhere.KEPT_OUT in row["path"] for row in rows)


def test_a_changed_look_is_scored_at_the_threshold_of_films_as_they_are(elsewhere, tmp_path, monkeypatch):
    count = 1 + len(elsewhere.LOOKS)
    films = {
        "val": [Film("v", label, None) for label in ("NORMAL", "PNEUMONIA")],
        "test": [Film("t", label, None) for label in ("NORMAL", "NORMAL", "PNEUMONIA", "PNEUMONIA")],
        "elsewhere": [Film("e", "NORMAL", None)] * 2,
    }
    clean = [0.1, 0.2, 0.8, 0.9]
    test = np.array([clean] + [[0.1, 0.85, 0.1, 0.1]] * (count - 1))
    found = {"val": np.array([[0.1, 0.9]]), "test": test, "elsewhere": np.array([[0.1, 0.85]])}
    monkeypatch.setattr(elsewhere, "chances", lambda *_: found)
    cells = elsewhere.row("one", films, tmp_path)
    assert cells[:3] == ["one", "1.000 1.000 1.000", "0.750 0.500 0.750"]
    assert cells[3:6] == ["0.750 · 0.750", "0.500 · 0.500", "0.750 · 0.750"]  # NORMAL alone, by the battery
    assert cells[9:12] == ["0.250 · 0.250", "0.500 · 0.500", "0.250 · 0.250"]  # both classes
