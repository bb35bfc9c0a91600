"""Bars: nothing in a pipe but a line a minute, and nothing at all when told to be quiet."""

from __future__ import annotations

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
