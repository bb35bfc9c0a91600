"""Bars: nothing in a pipe but a line a minute, and nothing at all when told to be quiet."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from plainfilm import progress


@pytest.mark.parametrize("told", [False, True])
def test_without_a_terminal_there_is_a_line_a_minute(monkeypatch, capsys, told):
    clock = iter(range(0, 10_000, 25))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    token = progress.quiet.set(told)
    try:
        with progress.bar("Training", 12) as shown:
            shown.note("val loss 0.31")
            for _ in range(12):
                shown.step()
    finally:
        progress.quiet.reset(token)
    lines = capsys.readouterr().err.splitlines()
    if told:
        assert lines == []
    else:
        assert 2 <= len(lines) <= 6
        assert all(line.startswith("Training: ") and " of 12 after " in line for line in lines)
        assert "left; val loss 0.31" in lines[0]


def test_rich_is_loaded_only_where_a_bar_may_be_seen(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rich.console", None)  # importing it fails
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    with progress.bar("Training", 2) as shown:
        shown.step()
        shown.line("a line above the bar")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with pytest.raises(ModuleNotFoundError), progress.bar("Training", 2):
        pass


def test_a_bar_that_is_seen_counts_and_shows_its_note(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress.bar("Training", 12) as shown:
        shown.step(5)
        shown.note("val loss 0.31")
        shown.line("a line above the bar")
    seen = capsys.readouterr().err
    assert "Training" in seen and "5/12" in seen and "val loss 0.31" in seen and "a line above the bar" in seen
