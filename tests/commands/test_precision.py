"""One precision through a run: training, predictions, labels, the service, other films; what each file says of it."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from plainfilm.cli import main
from plainfilm.data.sources import load
from plainfilm.image.store import ingest
from plainfilm.machine import processor
from plainfilm.models.features import extract
from plainfilm.models.model import Model
from plainfilm.models.zoo import recipe
from plainfilm.runs.folder import RunFolder
from plainfilm.serving.limits import Limits
from plainfilm.serving.predictor import Predictor
from plainfilm.storage.tables import read_csv
from plainfilm.training import finishing


@pytest.fixture(scope="module")
def run(tmp_path_factory, films_folder) -> Path:
    out = tmp_path_factory.mktemp("sixteen") / "run"
    words = ["train", str(films_folder), "--out", str(out), "--model", "vgg-bn", "--epochs", "2", "--size", "32"]
    with pytest.MonkeyPatch.context() as patch:  # so few films have none beside an edge by the margin of their own
        patch.setattr(finishing, "_margin", lambda *_: 0.15)
        assert main([*words, "--precision", "16", "--threads", "1", "--quiet"]) == 0
    return out


@pytest.fixture(autouse=True)
def has_bfloat16(monkeypatch):
    """A processor that says it has it, and no OpenVINO to use it: torch, which emulates it where it hasn't."""
    monkeypatch.delenv("PLAINFILM_PRECISION")
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: "AMX")
    monkeypatch.setattr(processor, "seconds", lambda *_: {"torch 32": 2.0, "torch 16": 1.0})


def scores(path: Path) -> np.ndarray:
    return np.array([float(row["p_PNEUMONIA"]) for row in read_csv(path)[1]])


def labels(run: Path, films: Path, out: Path, *more: str) -> np.ndarray:
    assert main(["label", str(run), str(films), "--out", str(out), "--quiet", "--force", *more]) == 0
    return scores(out)


def test_files_say_the_bits_and_why(run):
    config = json.loads((run / "config.json").read_text())
    assert (config["precision"]["training"], config["precision"]["passes"]) == (16, 16)
    assert config["precision"]["why"].startswith("16 bits were asked for")
    assert Model.load(run).provenance["precision"] == config["precision"]
    assert "16 bits" in (run / "report.html").read_text()


def test_films_beside_an_edge_are_computed_again_wherever_they_are_answered(run, films_folder, tmp_path):
    model = Model.load(run)
    told = json.loads((run / "model.json").read_text())["again_in_32_bits"]
    own = {row["path"]: float(row["p_PNEUMONIA"]) for row in read_csv(run / "predictions.csv")[1]}
    single = Model.load(run, "32")
    films = sorted(load(films_folder), key=lambda film: film.path)
    pixels = [np.stack([model.preprocess.read(film.read())]) for film in films]
    ours, theirs = (np.concatenate([m.probabilities(film) for film in pixels]) for m in (model, single))
    alike = (ours == theirs).all(1)
    assert told == alike.sum() > 0 and not alike.all()
    assert np.array_equal(model.decision.decide(ours), single.decision.decide(theirs))
    assert np.array_equal(model.decision.refers(ours), single.decision.refers(theirs))
    assert np.array([own[f.path] for f in films])[alike].tolist() == ours[alike, 1].tolist()
    assert f"{told} of {len(films)} films beside the threshold" in (run / "report.html").read_text()


def test_label_service_and_evaluation_answer_alike_in_16_bits(run, films_folder, tmp_path):
    said = labels(run, films_folder, tmp_path / "labels.csv")
    model = Model.load(run)
    predictor = Predictor(model, Limits())
    films = [read() for _, read in sorted((f.path, f.read) for f in load(films_folder))]
    served = asyncio.run(predictor.label(films[:8]))
    predictor.close()
    by_path = [row["path"] for row in read_csv(tmp_path / "labels.csv")[1]]
    assert by_path == sorted(by_path)
    assert [a.probabilities[1] for a in served] == said[:8].tolist()
    assert main(["evaluate", str(run), str(films_folder), "--out", str(tmp_path / "on"), "--quiet"]) == 0
    elsewhere = {
        Path(row["path"]).name: float(row["p_PNEUMONIA"]) for row in read_csv(tmp_path / "on/predictions.csv")[1]
    }
    assert [elsewhere[Path(path).name] for path in by_path] == said.tolist()


def test_other_bits_answer_within_the_bounds_and_only_when_asked_or_where_there_are_no_16(
    run, films_folder, tmp_path, monkeypatch
):
    own = labels(run, films_folder, tmp_path / "a.csv")
    single = labels(run, films_folder, tmp_path / "b.csv", "--precision", "32")
    assert not np.array_equal(own, single) and np.median(np.abs(own - single)) <= 0.005
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: "")
    assert np.array_equal(labels(run, films_folder, tmp_path / "c.csv"), single)
    assert main(["label", str(run), str(films_folder), "--out", str(tmp_path / "d.csv"), "--engine", "onnx",
                 "--precision", "16"]) == 2  # fmt: skip


def test_a_run_from_before_goes_on_in_32_bits(run, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(run, old)
    config = json.loads((old / "config.json").read_text())
    del config["precision"], config["settings"]["precision"]
    (old / "config.json").write_text(json.dumps(config))
    assert RunFolder(old).settings["precision"] == "32"


def test_features_of_other_bits_are_other_features(films_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path))
    named = recipe("vgg")
    network = named.build(2, named.preprocess)
    films, (pixels,) = ingest(load(films_folder), [named.preprocess])
    shape = (network.feature_count,)
    single, _ = extract(films, pixels, network, named.preprocess, "hash", shape)
    double, _ = extract(films, pixels, network, named.preprocess, "hash", shape, bits=16)
    assert single.about != double.about and len(list((tmp_path / "store").iterdir())) == 3
    ours, theirs = single[slice(0, 40)], double[slice(0, 40)]
    assert not np.array_equal(ours, theirs) and np.abs(ours - theirs).max() < 0.02 * np.abs(ours).max()
