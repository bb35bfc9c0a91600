"""What the terminal says of a finished run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from plainfilm.report.box import WIDTH, box
from plainfilm.runs.folder import RunFolder

MakeRun = Callable[..., Path]


@pytest.mark.parametrize("dead", [False, True])
def test_the_box_says_protocol_five_figures_red_lines_and_where_the_report_is(
    make_run: MakeRun, tmp_path: Path, dead: bool
) -> None:
    run = RunFolder(make_run(tmp_path, parts=("train", "val", "test"), split="grouped", films=240, dead=dead))
    said = box(run)
    lines = said.splitlines()
    assert len(lines) < 30 and max(map(len, lines)) <= max(WIDTH, len(f"{tmp_path}/report.html") + 60)
    assert "Protocol    patients separate" in said and "test part: 80 films of 80 patients" in said
    for name in ("Accuracy", "Sensitivity", "Specificity", "AUROC"):
        [line] = [line for line in lines if line.strip().startswith(name)]
        found = run.score(name.lower())
        assert f"{found.value:.3f}" in line and f"({found.low:.3f}–{found.high:.3f})" in line
    assert "Only 80 films scored" in " ".join(said.split())
    assert ("did not learn" in said) == dead
    assert str(tmp_path / "report.html") in said


def test_a_run_without_red_lines_says_so(make_run: MakeRun, tmp_path: Path) -> None:
    made = make_run(tmp_path, parts=("train", "val", "test"), split="grouped", films=900)
    assert "Red lines   none" in box(RunFolder(made))
