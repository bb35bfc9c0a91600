from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plainfilm.errors import InputError
from plainfilm.report import provenance
from plainfilm.report.folds import folds_report
from plainfilm.report.verdict import HEADLINE
from plainfilm.report.words import unbroken
from plainfilm.runs.folder import RunFolder
from plainfilm.storage.files import read_json, write_json

MakeRun = Callable[..., Path]
PARTS = ("train", "val", "test")


def make_folds(out: Path, make_run: MakeRun, kind: str, n: int = 3, **changes: Any) -> Path:
    """``n`` runs with folds.json above them; for folds the test films of all, pooled."""
    noun = kind.removesuffix("s")
    names = [f"{noun}-{i}" for i in range(n)]
    for i, name in enumerate(names):
        make_run(out / name, films=300, seed=i, split="grouped", parts=PARTS)
    runs = [RunFolder(out / name) for name in names]
    values = {name: [run.score(name).value for run in runs] for name in HEADLINE}
    spread = {name: {"values": v, "mean": np.mean(v), "sd": np.std(v, ddof=1)} for name, v in values.items()}
    pooled = None
    if kind == "folds":
        make_run(out, films=300, split="grouped", parts=("test",))
        pooled = json.loads((out / "metrics.json").read_text())["test"]
        for name in ("model.json", "config.json"):
            (out / name).unlink()
    about = {"kind": kind, "runs": names, "scores": spread, "pooled": pooled, "protocol": "3-fold, patients separate"}
    write_json(out / "folds.json", {**about, **changes})
    return out


@pytest.mark.usefixtures("words_only")
def test_folds_show_the_pooled_scores_every_run_and_doubtful_labels(make_run: MakeRun, tmp_path: Path) -> None:
    noise = [{"path": "NORMAL/<odd>.png", "label": "NORMAL", "p_own_label": 0.0123}]
    text = folds_report(make_folds(tmp_path, make_run, "folds", label_noise=noise)).read_text()
    pooled = json.loads((tmp_path / "metrics.json").read_text())["test"]["auroc"]
    assert f"{pooled['low']:.3f}–{pooled['high']:.3f}" in text and "3-fold, patients separate" in text
    assert all(f'href="fold-{i}/report.html"' in text for i in range(3))
    assert "NORMAL/&lt;odd&gt;.png" in text and "0.012" in text and "Nothing was relabelled" in text
    assert "All 300 films are scored together" in text and "ROC curve." in text and "threshold in use" not in text


@pytest.mark.usefixtures("words_only")
def test_the_pooled_curve_has_its_own_area_beside_the_mean_of_the_folds(make_run: MakeRun, tmp_path: Path) -> None:
    out = make_folds(tmp_path, make_run, "folds")
    metrics = read_json(out / "metrics.json")
    metrics["test"]["auroc_pooled"] = {"value": 0.876, "low": 0.861, "high": 0.887}
    write_json(out / "metrics.json", metrics)
    text, mean = folds_report(out).read_text(), metrics["test"]["auroc"]["value"]
    assert "whose area is 0.876 (0.861–0.887), mean of the folds&#39; own curves " + f"{mean:.3f}" in text
    assert text.count("whose area is") == 1  # precision and recall have one here


@pytest.mark.usefixtures("words_only")
def test_what_a_single_run_would_say_of_the_set_is_said_of_its_folds_too(make_run: MakeRun, tmp_path: Path) -> None:
    """The page said "No red line" of films whose borders give them away, too few of them, and probabilities far off."""
    out = make_folds(tmp_path, make_run, "folds")
    plain = folds_report(out).read_text()
    assert "Not looked at: whether the files or the borders" in plain and "evaluate" in plain and "--probes" in plain
    assert "Only " not in plain and "read the probabilities as risks" not in plain
    about = read_json(out / "folds.json") | {"audit": {"red_lines": ["The files alone predict it."], "light": {}}}
    write_json(out / "folds.json", about)
    metrics, probes = read_json(out / "metrics.json"), {"robustness": []}
    metrics["test"] |= {"ece": score(0.32, 0.28, 0.36), "ece_by_chance": score(0.089, 0.05, 0.13)}
    write_json(out / "metrics.json", metrics)
    rows = (out / "predictions.csv").read_text().splitlines()
    (out / "predictions.csv").write_text("\n".join(rows[:49]) + "\n")
    for name in about["runs"]:
        write_json(out / name / "probes.json", probes)
    text = unbroken(folds_report(out).read_text())
    assert "The files alone predict it." in text and "Not looked at" not in text and "No red line" not in text
    assert "Only 48 films scored" in text
    assert "calibration error is 0.320 (0.280–0.360); calibrated ones would have 0.089 (0.050–0.130)" in text


def score(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


@pytest.mark.usefixtures("words_only")
def test_seeds_show_mean_and_standard_deviation_and_no_pooled_films(make_run: MakeRun, tmp_path: Path) -> None:
    text = folds_report(make_folds(tmp_path, make_run, "seeds")).read_text()
    scores = [RunFolder(tmp_path / f"seed-{i}").score("accuracy").value for i in range(3)]
    assert "Accuracy, mean" in text and f"{np.mean(scores):.3f}" in text and f"SD {np.std(scores, ddof=1):.3f}" in text
    assert f"{min(scores):.3f} to {max(scores):.3f}" in text and "not pooled" in text
    assert 'id="probabilities"' not in text and 'id="noise"' not in text


def test_a_folds_report_is_drawn(make_run: MakeRun, tmp_path: Path) -> None:
    folds_report(make_folds(tmp_path, make_run, "seeds", n=2))
    assert {"runs.png", "runs.svg"} <= {path.name for path in (tmp_path / "figures").iterdir()}


@pytest.mark.usefixtures("words_only")
def test_a_score_that_a_run_lacks_is_not_done(make_run: MakeRun, tmp_path: Path) -> None:
    scores = {"accuracy": {"values": [None, 0.9, 0.8], "mean": None, "sd": None}}
    assert "not done" in folds_report(make_folds(tmp_path, make_run, "seeds", scores=scores)).read_text()


@pytest.mark.usefixtures("words_only")
@pytest.mark.parametrize("sets", ["aaa", "aab", ""])
def test_folds_of_one_set_list_its_hash_once(make_run: MakeRun, tmp_path: Path, sets: str) -> None:
    out = make_folds(tmp_path, make_run, "folds")
    for i in range(3):
        config = read_json(out / f"fold-{i}" / "config.json") | {"data_hash": f"da7a{i}"}
        write_json(out / f"fold-{i}" / "config.json", config | ({"set_hash": f"5e7{sets[i]}"} if sets else {}))
    text = folds_report(out).read_text()
    if sets == "aaa":
        assert text.count("5e7a (the films, however they are split)") == 1
        assert "da7a" not in text and "Data hash" not in text  # which is another thing, on each run's own page
    else:
        row = text[text.index("Data hash") :].split("</tr>")[0]
        assert all(f"fold-{i}: da7a{i}" in row for i in range(3)) and "5e7" not in row
        assert ("Set hash" in text) is bool(sets)


def test_a_hash_has_one_name_on_every_page(make_run: MakeRun, tmp_path: Path) -> None:
    """The set's hash stood as "Data hash" on the folds' page, beside which a run's "Data hash" was another."""
    run = RunFolder(make_run(tmp_path / "run"))
    rows = dict(provenance.how(run.replaced(config=run.config | {"data_hash": "da7a", "set_hash": "5e7a"})))
    assert rows["Data hash"].startswith("da7a (") and rows["Set hash"].startswith("5e7a (")


def test_a_folder_without_runs_is_an_input_error(tmp_path: Path) -> None:
    write_json(tmp_path / "folds.json", {"kind": "other", "runs": []})
    with pytest.raises(InputError, match="names no runs"):
        folds_report(tmp_path)


def test_a_red_line_of_one_fold_is_called_that_folds(make_run: MakeRun, tmp_path: Path) -> None:
    out = make_folds(tmp_path, make_run, "folds")
    metrics = read_json(out / "fold-1" / "metrics.json")
    write_json(out / "fold-1" / "metrics.json", {**metrics, "test_openings": 3})
    assert "fold-1: the test part has been opened 3 times" in folds_report(out).read_text()
