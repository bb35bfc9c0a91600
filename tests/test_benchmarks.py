"""The benchmarks' way of taking turns, with two sides that only wait; no time is asserted."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

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
    ours, others = turns.in_turn(sides, 3)
    assert ours == [0.5] * 3 and others == [2.0] * 3 and turns.ratio(ours, others) == (4.0, 4.0, 4.0)
    for side in sides:
        side.close()
    with pytest.raises(SystemExit, match="side died"):
        turns.Side("side.py", sys.executable, "no such work", 1)


def test_the_ratio_is_that_of_paired_rounds(turns):
    assert turns.ratio([1.0, 2.0, 4.0, 2.0, 1.0], [2.0, 6.0, 4.0, 8.0, 5.0]) == (3.0, 2.0, 4.0)
