"""Films from elsewhere: a report of their own, and their place in the run's."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from plainfilm.cli import main
from plainfilm.evaluation.decision import Band
from plainfilm.export.engine import OnnxModel
from plainfilm.models.model import Model
from plainfilm.report.elsewhere import elsewhere_report
from plainfilm.report.verdict import as_it_stands
from plainfilm.report.words import unbroken
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.scoring import measure

SMALL = ("--model", "vgg", "--size", "16", "--epochs", "2", "--batch", "4", "--threads", "1", "--quiet")


@pytest.fixture(scope="module")
def run(films_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("elsewhere") / "run"
    assert main(["train", str(films_folder), "--out", str(out), *SMALL]) == 0
    return out


def test_every_evaluation_on_other_films_has_a_report_and_stands_in_the_runs_own(run, films_folder, capsys):
    assert main(["evaluate", str(run), str(films_folder), "--quiet"]) == 0
    [place] = run.glob("on-*")
    said = capsys.readouterr().out
    assert said.startswith("── ") and str(place / "report.html") in said and "RED LINE" in said  # as of its own films
    assert "AUROC" in said and "precision_NORMAL" not in said
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


@pytest.mark.parametrize("offsets", [None, [0.0, 0.7]])
def test_films_from_elsewhere_chose_nothing_and_what_moved_the_log_odds_is_said(run, tmp_path, offsets) -> None:
    """Band and calibration come with the model: the page called the band chosen on the films scored, and nothing
    fitted, whatever the run's model.json says."""
    told = RunFolder(run).model | {"refer": [0.3, 0.7], "offsets": offsets}
    said = RunFolder(run).scored.by(refer=Band(0.3, 0.7))
    about = {"data": "there", "model": "vgg", "synthetic": False, "whose": ""}
    metrics = measure(said, "other films", 0)
    page = elsewhere_report(tmp_path, RunFolder(run).replaced(model=told), said, metrics, about).read_text()
    assert "The refer band, chosen on the run&#39;s own validation films (95" in unbroken(page).replace("\u00a0", " ")
    assert "very films" not in page
    moved = "log-odds of PNEUMONIA moved by +0.70, fitted on the run&#39;s own validation films"
    assert (moved in page) is bool(offsets) and ("Nothing was fitted for it: probabilities as trained" in page) is (
        not offsets
    )


def test_of_probabilities_as_given_nothing_is_claimed(tmp_path):
    table = "path,label,p_no,p_yes\n" + "".join(
        f"{i},{('no', 'yes')[i % 2]},{1 - p:.3f},{p:.3f}\n"
        for i, p in enumerate(np.random.default_rng(0).uniform(size=60))
    )
    (tmp_path / "theirs.csv").write_text(table)
    assert main(["evaluate", str(tmp_path / "theirs.csv"), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "whether anything was fitted to make them true is not known" in page and "Nothing was fitted" not in page


def test_the_page_of_other_films_claims_no_more_than_was_looked_at(tmp_path):
    rng = np.random.default_rng(0)
    for films, said in ((60, "Only 60 films scored"), (300, "and at least 100 are scored")):
        sick = np.arange(films) % 2
        p = np.clip(0.5 + 0.35 * (2 * sick - 1) + rng.normal(0, 0.1, films), 0.01, 0.99)
        rows = "".join(
            f"{i},{('no', 'yes')[k]},{1 - x:.3f},{x:.3f}\n" for i, (k, x) in enumerate(zip(sick, p, strict=True))
        )
        (tmp_path / f"{films}.csv").write_text("path,label,p_no,p_yes\n" + rows)
        assert main(["evaluate", str(tmp_path / f"{films}.csv"), "--out", str(tmp_path / f"{films}"), "--quiet"]) == 0
        page = (tmp_path / f"{films}" / "report.html").read_text()
        assert said in page and "the films are real" not in page


def test_scores_that_stand_in_the_way_are_found_before_any_film_is_read(run, films_folder, monkeypatch, capsys):
    words = ["evaluate", str(run), str(films_folder), "--quiet"]
    assert main([*words, "--force"]) == 0

    def unread(*_, **__):
        raise AssertionError("a film was read")

    monkeypatch.setattr("plainfilm.commands.evaluate_elsewhere.load", unread)
    [place] = run.glob("on-*")
    for more in ((), ("--out", str(place))):
        assert main([*words, *more]) == 2
        assert "already; choose another --out" in capsys.readouterr().err


def test_a_model_file_without_its_run_gets_a_report_as_well(run, films_folder, tmp_path, capsys):
    (tmp_path / "model.h5").write_bytes((run / "model.h5").read_bytes())
    out = tmp_path / "out"
    assert main(["evaluate", str(tmp_path / "model.h5"), str(films_folder), "--out", str(out), "--quiet"]) == 0
    assert "Sensitivity" in (out / "report.html").read_text()


def test_other_films_are_spoilt_and_covered_as_the_runs_own_are(run, films_folder, tmp_path, capsys):
    words = ["evaluate", str(run), str(films_folder), "--out", str(tmp_path / "out"), "--quiet"]
    assert main([*words, "--probes", "--films", "12"]) == 0
    found = json.loads((tmp_path / "out" / "probes.json").read_text())
    scored = json.loads((tmp_path / "out" / "metrics.json").read_text())["test"]
    assert 12 <= found["films"] < found["scored"] and set(found["untouched"]) <= set(scored)
    page = (tmp_path / "out" / "report.html").read_text()
    assert unbroken(found["worst_corruption"]["sentence"]) in page and 'id="shortcuts"' in page
    assert main([*words, "--force", "--films", "12"]) == 2
    assert "without --probes" in capsys.readouterr().err


def test_an_adaptation_has_a_report_with_the_scores_before_and_after(run, make_films, tmp_path):
    local, out = make_films(tmp_path / "local", 24, 24), tmp_path / "here"
    for place, more in ((out, ()), (tmp_path / "forced", ("--force",))):
        assert main(["adapt", str(run), str(local), "--out", str(place), *more, "--quiet"]) == 0
        found, page = json.loads((place / "adapt.json").read_text()), (place / "report.html").read_text()
        for when in ("before", "after"):
            assert f"{found[when]['brier']['value']:.3f}" in page
        assert ("enough" in page) and ("is kept" in page) is found["kept"]
        assert f"{found['before']['auroc']['value']:.3f}" in page
        assert (place / "figures" / "roc.svg").is_file()
        assert main(["doctor", str(place)]) == 0


def test_a_model_that_is_not_better_than_chance_is_not_adapted_unless_forced(run, make_films, tmp_path, capsys):
    """Films of both classes drawn alike: no threshold can help, and few films' luck must not look like a gain."""
    sick, well = make_films(tmp_path / "one", 0, 30), make_films(tmp_path / "other", 0, 30)
    local = tmp_path / "local"
    for name, films in (("NORMAL", well), ("PNEUMONIA", sick)):
        shutil.copytree(films / "PNEUMONIA", local / name)
    for number, film in enumerate(sorted(local.rglob("*.*"))):
        film.rename(film.with_name(f"person{number}_{film.name}"))
    out = tmp_path / "out"
    assert main(["adapt", str(run), str(local), "--out", str(out), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert "ot shown to be better than chance" in said and "--force" in said and not (out / "model.h5").exists()
    assert main(["adapt", str(run), str(local), "--out", str(out), "--force", "--quiet"]) == 0
    assert "Not shown to be better than chance" in (out / "report.html").read_text()


def test_predictions_of_another_program_have_a_report(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = [
        (f"film{i}.png", i % 2, round(float(np.clip(rng.normal(0.35 + 0.3 * (i % 2), 0.2), 0, 1)), 3))
        for i in range(120)
    ]
    table = "path,label,score\n" + "".join(f"{path},{label},{score}\n" for path, label, score in rows)
    (tmp_path / "theirs.csv").write_text(table)
    words = ["evaluate", str(tmp_path / "theirs.csv"), "--out", str(tmp_path / "out"), "--json", "--quiet"]
    assert main(words) == 0
    area = json.loads(capsys.readouterr().out)["test"]["auroc"]["value"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"{area:.3f}" in page and "theirs.csv" in page and (tmp_path / "out/figures/roc.png").is_file()


def test_service_and_exported_file_have_the_red_lines_of_now(run, tmp_path):
    """The model file's are of the training; whatever was evaluated since stands in the run's folder."""
    frozen = Model.load(run)
    level = {"auroc": {"value": 0.51, "low": 0.4, "high": 0.62}}
    (run / "on-nowhere").mkdir()
    (run / "on-nowhere" / "metrics.json").write_text(json.dumps({"protocol": "x", "test": level}))
    now = as_it_stands(run, frozen.verdict)
    [line] = [line for line in now["red_lines"] if line not in frozen.verdict["red_lines"]]
    assert line.startswith("On nowhere: Not shown to be better than chance") and "now" in now["red_lines_of"]
    assert as_it_stands(run / "model.h5", frozen.verdict) == frozen.verdict
    assert main(["export", str(run), "--format", "onnx", "--out", str(tmp_path / "m.onnx"), "--quiet"]) == 0
    exported = OnnxModel.load(tmp_path / "m.onnx").verdict
    assert line in exported["red_lines"] and "exported" in exported["red_lines_of"]
    shutil.rmtree(run / "on-nowhere")
