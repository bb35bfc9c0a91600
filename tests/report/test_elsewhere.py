"""Films from elsewhere: a report of their own, and their place in the run's."""

from __future__ import annotations

import json

import pytest

from plainfilm.cli import main

SMALL = ("--model", "vgg", "--size", "16", "--epochs", "2", "--batch", "4", "--threads", "1", "--quiet")


@pytest.fixture(scope="module")
def run(films_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("elsewhere") / "run"
    assert main(["train", str(films_folder), "--out", str(out), *SMALL]) == 0
    return out


def test_every_evaluation_on_other_films_has_a_report_and_stands_in_the_runs_own(run, films_folder, capsys):
    assert main(["evaluate", str(run), str(films_folder), "--quiet"]) == 0
    [place] = run.glob("on-*")
    metrics = json.loads((place / "metrics.json").read_text())
    area = metrics["test"]["auroc"]
    shown = f"{area['value']:.3f}"
    page = (place / "report.html").read_text()
    assert shown in page and "flatter it" in page
    assert all((place / "figures" / f"{name}.png").is_file() for name in ("roc", "reliability", "confusion"))
    for name in ("report.html", "model-card.md", "claim-2024.md"):
        text = (run / name).read_text()
        assert shown in text and place.name.removeprefix("on-") in text, name
    [item] = [line for line in (run / "claim-2024.md").read_text().splitlines() if line.startswith("| 33 |")]
    assert f"AUROC {shown}" in item and "not done" not in item
    assert main(["doctor", str(run)]) == 0, capsys.readouterr().out


def test_a_model_file_without_its_run_gets_a_report_as_well(run, films_folder, tmp_path, capsys):
    (tmp_path / "model.h5").write_bytes((run / "model.h5").read_bytes())
    out = tmp_path / "out"
    assert main(["evaluate", str(tmp_path / "model.h5"), str(films_folder), "--out", str(out), "--quiet"]) == 0
    assert "Sensitivity" in (out / "report.html").read_text()
