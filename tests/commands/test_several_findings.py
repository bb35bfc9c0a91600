"""Several findings per film, from a table to a report: training, labels, scores, other films, exports."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from plainfilm.cli import main
from plainfilm.evaluation.findings import read_findings
from plainfilm.models.model import Model

FINDINGS = ("Effusion", "Mass", "Pneumonia")
PLACES = {"Effusion": (0.25, 0.75), "Mass": (0.75, 0.25), "Pneumonia": (0.75, 0.75)}


def films_with_findings(folder, count=150, hidden=0.25, seed=0):
    """Write films with a bright spot for each finding they have, and films.csv with some cells hidden."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    truth = rng.random((count, len(FINDINGS))) < 0.4
    y, x = np.mgrid[0:48, 0:48] / 48
    rows = []
    for i, shown in enumerate(truth):
        picture = rng.normal(90, 12, (48, 48))
        for name, there in zip(FINDINGS, shown, strict=True):
            v, u = PLACES[name]
            picture += 110 * there * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 0.008)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"film{i:03d}.png")
        cells = ["" if rng.random() < hidden else str(int(there)) for there in shown]
        rows.append([f"film{i:03d}.png", f"p{i // 2}", *cells])
    with open(folder / "films.csv", "w", newline="") as handle:
        csv.writer(handle).writerows([["path", "patient", *FINDINGS], *rows])
    return folder / "films.csv"


def read(path):
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("findings")
    table = films_with_findings(place / "films")
    words = ["train", str(table), "--findings", "all", "--model", "vgg-bn", "--out", str(place / "run"), "--quiet"]
    settings = ["--epochs", "14", "--size", "32", "--batch", "16", "--learning-rate", "0.02", "--precision", "32"]
    assert main([*words, *settings]) == 0
    return place


def test_a_run_of_findings_has_all_its_files(trained):
    run = trained / "run"
    p = read_findings(run / "predictions.csv")
    assert p.findings == FINDINGS and (p.truth < 0).mean() == pytest.approx(0.25, abs=0.08)
    config = json.loads((run / "config.json").read_text())
    assert config["findings"]["Mass"]["unknown"] == int((p.truth[:, 1] < 0).sum())
    metrics = json.loads((run / "metrics.json").read_text())
    for name in FINDINGS:
        found = metrics["test"]["findings"][name]
        assert found["known"] == len(p.part("test").of(name)) and found["scores"]["auroc"]["value"] > 0.8
    assert metrics["test"]["macro_auroc"]["value"] > 0.85 and metrics["test_openings"] == 1
    page = (run / "report.html").read_text()
    assert all(name in page for name in FINDINGS) and "Findings together" in page and "What is not known" in page
    assert (run / "figures" / "findings-roc.png").exists()


def test_labels_of_films_are_their_findings(trained, tmp_path):
    out = tmp_path / "labels.csv"
    picture = tmp_path / "labels.png"
    run = str(trained / "run")
    assert main(["label", run, str(trained / "films"), "--out", str(out), "--montage", str(picture), "--quiet"]) == 0
    rows = read(out)
    model = Model.load(trained / "run")
    for row in rows[:20]:
        chances = np.array([float(row[f"p_{name}"]) for name in FINDINGS])
        called = [name for name, yes in zip(FINDINGS, chances >= model.decision.thresholds, strict=True) if yes]
        assert row["label"] == ("; ".join(called) or "none")
    assert len({row["label"] for row in rows}) > 3 and picture.exists()


def test_scoring_again_and_a_file_give_the_same(trained, capsys):
    before = json.loads((trained / "run" / "metrics.json").read_text())
    assert main(["evaluate", str(trained / "run"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert {name: again[name] for name in before} == before  # nor was the test part opened once more
    assert main(["evaluate", str(trained / "run" / "predictions.csv")]) == 0
    shown = capsys.readouterr().out
    assert "Pneumonia" in shown and "macro mean of AUROC" in shown
    assert main(["evaluate", str(trained / "run"), "--probes"]) == 2
    assert "several findings" in capsys.readouterr().err


def test_other_films_of_which_some_findings_are_known(trained, tmp_path, capsys):
    other = films_with_findings(tmp_path / "other", count=60, hidden=0.5, seed=9)
    out = tmp_path / "on-other"
    assert main(["evaluate", str(trained / "run"), str(other), "--out", str(out), "--quiet", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["test"]["findings"]
    assert found["Mass"]["known"] == len(read_findings(out / "predictions.csv").of("Mass"))
    assert found["Mass"]["scores"]["auroc"]["value"] > 0.8
    page = (out / "report.html").read_text()
    assert f"{found['Mass']['scores']['auroc']['value']:.3f}" in page and (out / "figures/findings-roc.svg").is_file()
    assert not list((trained / "run").glob("on-*"))


def test_an_export_answers_the_same(trained, tmp_path):
    pytest.importorskip("onnxscript")
    assert main(["export", str(trained / "run"), "--format", "onnx", "--out", str(tmp_path / "m.onnx"), "--quiet"]) == 0
    for model, out in ((trained / "run", "a.csv"), (tmp_path / "m.onnx", "b.csv")):
        assert main(["label", str(model), str(trained / "films"), "--out", str(tmp_path / out), "--quiet"]) == 0
    a, b = (read(tmp_path / name) for name in ("a.csv", "b.csv"))
    assert [row["label"] for row in a] == [row["label"] for row in b]
    assert [float(r["p_Mass"]) for r in a] == pytest.approx([float(r["p_Mass"]) for r in b], abs=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["adapt", "{run}", "{films}", "--findings", "all", "--out", "{new}"], "one question at a time"),
        (["train", "{films}", "--findings", "all", "--folds", "2", "--out", "{new}"], "repeats one question at a time"),
    ],
)
def test_what_is_not_for_findings_says_so(trained, tmp_path, words, said, capsys):
    places = {"run": trained / "run", "films": trained / "films" / "films.csv", "new": tmp_path / "new"}
    assert main([word.format(**places) for word in words]) == 2
    assert said in capsys.readouterr().err
