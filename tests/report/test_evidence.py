from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plainfilm.audit.document import COVER_THEM
from plainfilm.report import evidence, verdict
from plainfilm.runs.folder import RunFolder
from plainfilm.storage.files import write_json

MakeRun = Callable[..., Path]
MakeProbes = Callable[..., dict[str, Any]]
SPLIT = {"split": "grouped", "parts": ("train", "val", "test")}


@pytest.mark.usefixtures("words_only")
def test_subgroups_robustness_and_shortcuts_come_from_probes_json(
    make_run: MakeRun, make_probes: MakeProbes, tmp_path: Path
) -> None:
    write_json(make_run(tmp_path, films=600, **SPLIT) / "probes.json", make_probes())
    run = RunFolder(tmp_path)
    chart, sentence = evidence.subgroups(run, tmp_path) or pytest.fail("not done")
    assert sentence == "Worst of 2 subgroups: kind, virus." and chart.table is not None
    assert chart.table.rows[1][0] == "kind: virus (against all negative films)"
    assert chart.table.rows[1][3] == "0.830 (0.810–0.850)" and chart.table.rows[1][6] == "undefined"
    chart, sentence = evidence.robustness(run, tmp_path) or pytest.fail("not done")
    assert sentence == "Most labels flip by: inverted." and chart.table is not None and len(chart.table.rows) == 2
    chart, sentence = evidence.shortcuts(run, tmp_path) or pytest.fail("not done")
    assert sentence.startswith("No limit is crossed") and chart.table is not None
    assert chart.table.rows[0] == ["untouched", "0.970 (0.950–0.990)", "", ""]
    assert chart.table.rows[1][2] == "-0.100 (-0.120 to -0.080)"  # a dash beside a minus can't be read
    assert "80 films of the test part" in chart.caption


def test_what_was_not_probed_is_not_done(make_run: MakeRun, tmp_path: Path) -> None:
    run = RunFolder(make_run(tmp_path, films=600, **SPLIT))
    assert evidence.subgroups(run, tmp_path) is evidence.robustness(run, tmp_path) is None
    assert evidence.shortcuts(run, tmp_path) is None
    assert "not done (plainfilm evaluate" in verdict.standing(run)[0]


@pytest.mark.parametrize(("offsets", "far"), [([37.17, -37.17], True), ([0.6, -0.6], False), (None, False)])
def test_a_network_that_only_calibration_brought_to_its_feet_is_named(
    make_run: MakeRun, tmp_path: Path, offsets: list[float] | None, far: bool
) -> None:
    make_run(tmp_path)
    about = json.loads((tmp_path / "model.json").read_text())
    write_json(tmp_path / "model.json", {**about, "offsets": offsets})
    lines = [line for line in verdict.red_lines([RunFolder(tmp_path)]) if "nearly every film the same label" in line]
    assert len(lines) == far and all("-74.34" in line for line in lines)


def test_red_lines_of_probes_and_audit_are_red_lines_of_the_report(
    make_run: MakeRun, make_probes: MakeProbes, tmp_path: Path
) -> None:
    write_json(make_run(tmp_path, films=600, **SPLIT) / "probes.json", make_probes(red=True))
    write_json(tmp_path / "audit.json", {"red_lines": ["JPEG quality alone reaches .99."]})
    lines = verdict.red_lines([RunFolder(tmp_path)])
    assert lines == ["Covering the borders costs .1 AUROC.", "JPEG quality alone reaches .99."]


@pytest.mark.parametrize(("openings", "said"), [(None, "is not recorded"), (1, "opened once"), (3, "opened 3 times")])
def test_openings_of_the_test_part_are_counted(
    make_run: MakeRun, tmp_path: Path, openings: int | None, said: str
) -> None:
    run = RunFolder(make_run(tmp_path, films=600, openings=openings, **SPLIT))
    assert verdict.standing(run)[-1].endswith(f"{said}.")
    assert any("chosen by looking" in line for line in verdict.red_lines([run])) == (openings == 3)


@pytest.mark.parametrize(("change", "red", "said"), [(-0.1, True, "leans on them"), (0.001, False, "not shown")])
def test_what_the_audit_advises_and_what_the_probes_did_know_of_each_other(
    make_run: MakeRun, make_probes: MakeProbes, tmp_path: Path, change: float, red: bool, said: str
) -> None:
    row = {"kind": "model", "name": "borders covered", "auroc": {"value": 0.9, "low": 0.8, "high": 1.0}}
    row |= {"change": {"value": change, "low": change - 0.02, "high": change + 0.02}, "p": 0.5, "flipped": None}
    lines = ["Covering the outer 10% costs .1: the model leans on borders."] if red else []
    probes = make_probes() | {"probes": [row], "red_lines": lines}
    write_json(make_run(tmp_path, films=600, **SPLIT) / "probes.json", probes)
    audited = "The borders of the films alone predict PNEUMONIA: AUC 0.92 (0.90-0.94). "
    write_json(tmp_path / "audit.json", {"red_lines": [audited + COVER_THEM]})
    [line] = [line for line in verdict.red_lines([RunFolder(tmp_path)]) if line.startswith(audited)]
    assert said in line and COVER_THEM not in line
