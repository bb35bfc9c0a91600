"""The trail: whole lines, whatever is killed; rotated; names nobody; the one place that says what is done."""

from __future__ import annotations

import errno
import os

import pytest

from plainfilm.errors import InputError
from plainfilm.hospital.trail import FILES, Trail

MODEL = "m" * 64


def line(number: int, outcome: str = "answered") -> dict[str, object]:
    return {"film": f"{number:032d}", "model": MODEL, "outcome": outcome, "probability": 0.1 + number}


def test_what_is_answered_is_known_again_after_a_restart(tmp_path):
    trail = Trail(tmp_path)
    trail.add(line(1))
    trail.add(line(2, "given up"))
    for found in (trail, Trail(tmp_path)):
        assert found.knows(f"{1:032d}", MODEL) and not found.knows(f"{2:032d}", MODEL)
        assert not found.knows(f"{1:032d}", "n" * 64)  # another model's answer is another answer
    assert list(Trail(tmp_path).lines()) == [line(1), line(2, "given up")]


def test_half_a_line_is_cut_off(tmp_path):
    trail = Trail(tmp_path)
    trail.add(line(1))
    with open(trail.path, "ab") as file:
        file.write(b'{"film": "00')
    again = Trail(tmp_path)
    again.add(line(2))
    assert [each["film"] for each in again.lines()] == [f"{1:032d}", f"{2:032d}"]


def test_a_file_of_half_a_line_only_is_emptied(tmp_path):
    (tmp_path / "trail.jsonl").write_bytes(b'{"fi')
    assert list(Trail(tmp_path).lines()) == []


def test_files_are_rotated_and_the_oldest_goes(tmp_path):
    trail = Trail(tmp_path, file_bytes=1)
    for number in range(FILES + 5):
        trail.add(line(number))
    assert len(list(tmp_path.glob("trail*.jsonl"))) == FILES
    assert [each["film"] for each in Trail(tmp_path).lines()] == [f"{n:032d}" for n in range(5, FILES + 5)]


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    trail = Trail(tmp_path)
    trail.add(line(1))

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        trail.add(line(2))
    monkeypatch.undo()
    assert not trail.knows(f"{2:032d}", MODEL)
    trail.add(line(3))
    assert [each["film"] for each in Trail(tmp_path).lines()] == [f"{1:032d}", f"{3:032d}"]


def test_a_damaged_line_is_named(tmp_path):
    (tmp_path / "trail.jsonl").write_text("no json\n")
    with pytest.raises(InputError, match=r"line 1, is damaged"):
        Trail(tmp_path)
