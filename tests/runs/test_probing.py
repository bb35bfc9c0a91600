"""probes.json of a finished run: what it holds, that it is honest about its films, and that it never crashes."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from plainfilm.cli import main
from plainfilm.commands.audit import audit
from plainfilm.data.films import Film, write_films
from plainfilm.data.sources import load
from plainfilm.data.split import split
from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.exchange import EXCHANGES
from plainfilm.evaluation.predictions import Predictions, read_predictions, write_predictions
from plainfilm.evaluation.probes import COVERS
from plainfilm.evaluation.robustness import CORRUPTIONS
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.model import Model
from plainfilm.models.vgg import initialise
from plainfilm.models.zoo import recipe
from plainfilm.runs import looking, probing
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.probing import probe, stratified
from plainfilm.storage.files import read_json, write_json


def make_run(
    out: Path, data: Path, how: str = "grouped", positive: str = "PNEUMONIA", model: Model | None = None
) -> Path:
    """What a finished training leaves that probes need; the network is untrained unless a ``model`` is given."""
    films = load(data)
    hashed = [replace(film, sha256=hashlib.sha256(film.read()).hexdigest()) for film in films]
    films = split(films.with_films([replace(f, width=72, height=56) for f in hashed]), how)
    write_films(films, out)
    if model is None:
        preprocess = Preprocess(size=16)
        network = recipe("vgg").build(len(films.classes), preprocess)
        initialise(network, torch.Generator().manual_seed(1))
        model = Model(network, "vgg", Decision(films.classes, positive), preprocess)
        model.save(out / "model.h5")
    write_json(out / "config.json", {"data": str(data), "settings": {"patient_regex": ""}})
    write_json(out / "model.json", {"flops": 1e6})
    table = Predictions(
        [film.path for film in films],
        np.array([film.part for film in films]),
        films.labels,
        model.predict_proba([film.read() for film in films]),
        model.decision,
        np.array([film.group for film in films]),
    )
    write_predictions(out / "predictions.csv", table)
    return out


def probed(run: Path, **how):
    return probe(RunFolder(run), Model.load(run), **how)


@pytest.fixture
def run(tmp_path, films_folder):
    """A run with a test part on class folders."""
    return make_run(tmp_path / "run", films_folder)


def test_probes_json_holds_what_the_report_reads(run):
    found = probed(run)
    written = json.loads((run / "probes.json").read_text())
    assert written["part"] == "test" and written["films"] == written["scored"] == found["films"] > 5
    assert {row["name"] for row in written["robustness"]} == {c.name for c in CORRUPTIONS}
    names = ["untouched", *COVERS, "padded, not cropped", *EXCHANGES]
    assert [row["name"] for row in written["probes"][: len(names)]] == names
    for row in written["robustness"]:
        assert {"flipped", "auroc", "auroc_change", "balanced_accuracy_change"} <= set(row)
        assert set(row["flipped"]) == {"value", "low", "high"}
    assert {row["grouping"] for row in written["subgroups"]} == {"brightness"}  # all else is alike in these films
    assert isinstance(written["red_lines"], list) and written["worst_corruption"]["sentence"]


def test_untouched_films_give_what_the_run_predicted(run):
    """The probes start from the run's own pipeline: decode, preprocess, network, threshold."""
    model = Model.load(run)
    folder = RunFolder(run)
    scored = folder.scored
    looked = looking.look(model, probing._films(folder, probing._scored_films(folder, scored), None), 0)
    assert np.allclose(looked.chances["untouched"], scored.probabilities, atol=1e-6)
    assert looked.features.shape[0] == len(scored) and 0 < looked.brightness.min() < 255


def test_the_same_seed_gives_the_same_bytes_and_the_films_may_be_handed_in(run, films_folder):
    probed(run, films=6, seed=3)
    first = (run / "probes.json").read_bytes()
    probed(run, films=6, seed=3, source=load(films_folder))
    assert (run / "probes.json").read_bytes() == first


def test_an_audit_of_the_same_films_stands_beside_the_model(run, films_folder, tmp_path):
    audited = audit(str(films_folder), out=tmp_path / "audit")
    found = probed(run, films=4, audit=tmp_path / "audit")
    rows = {row["name"]: row["auroc"] for row in found["probes"] if row["kind"] == "baseline"}
    assert rows == {row["title"]: row["auc"] for row in audited["baselines"]} != {}
    assert read_json(run / "audit.json")["data"] == audited["data"]


def test_an_audit_of_other_films_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="is no audit"):
        probed(run, films=4, audit=tmp_path)
    audit("demo:40", out=tmp_path / "audit")
    with pytest.raises(InputError, match="has not seen 40 of the films"):
        probed(run, films=4, audit=tmp_path / "audit")


def test_few_films_of_one_class_give_nulls(run):
    probed(run, films=1)  # one film of each class
    table = read_predictions(run / "predictions.csv")
    sick = replace(table, parts=np.where((table.parts == "test") & (table.labels == 0), "train", table.parts))
    write_predictions(run / "predictions.csv", sick)
    found = probed(run)
    written = read_json(run / "probes.json")
    assert written["probes"][0]["auroc"]["value"] is None and found["worst_subgroup"] is None
    assert written["robustness"][0]["auroc_change"]["value"] is None
    assert written["robustness"][0]["flipped"]["value"] is not None and written["red_lines"] == []


def test_without_a_test_part_the_validation_films_are_probed(tmp_path, films_folder):
    assert probed(make_run(tmp_path / "run", films_folder, "paper"), films=4)["part"] == "val"


def test_three_classes(tmp_path, make_film):
    for name, sick in (("bacteria", True), ("normal", False), ("virus", True)):
        for i in range(12):
            place = tmp_path / "films" / name / f"{name}{i}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(make_film(i + 20 * (name == "virus"), sick, form="PNG"))
    found = probed(make_run(tmp_path / "run", tmp_path / "films", "paper", "bacteria"))
    assert found["positive"] == "bacteria" and found["probes"][0]["auroc"]["value"] is not None
    assert len(found["robustness"]) == len(CORRUPTIONS)


def test_heavy_networks_see_fewer_films(run, monkeypatch):
    monkeypatch.setattr(probing, "FEW_FILMS", 4)
    about = read_json(run / "model.json")
    write_json(run / "model.json", {**about, "flops": 31_000_000_000})
    found = probed(run)
    assert found["films"] <= 5 < found["scored"]


def test_the_draw_is_stratified_and_repeatable():
    labels = np.array([0] * 30 + [1] * 270 + [2])
    rows = stratified(labels, 100, 0)
    assert np.bincount(labels[rows]).tolist() == [10, 90, 1] and (np.diff(rows) > 0).all()
    assert (stratified(labels, 100, 0) == rows).all() and (stratified(labels, 100, 1) != rows).any()
    assert stratified(labels, 301, 0).tolist() == list(range(301))


def test_films_that_are_gone_or_changed_are_named(run, tmp_path, films_folder):
    copy = shutil.copytree(films_folder, tmp_path / "films")
    config = read_json(run / "config.json")
    write_json(run / "config.json", {**config, "data": str(copy)})
    scored = read_predictions(run / "predictions.csv").part("test").paths
    (copy / scored[0]).write_bytes((copy / scored[1]).read_bytes())
    with pytest.raises(InputError, match=f"{scored[0]} is not the film that was scored"):
        probed(run)
    (copy / scored[0]).unlink()
    with pytest.raises(InputError, match=f"was scored on {scored[0]}, which .* no longer holds"):
        probed(run)
    shutil.rmtree(copy)
    with pytest.raises(InputError, match=r"can't be probed without the films it was scored on: .* does not exist"):
        probed(run)
    assert not (run / "probes.json").exists()


def test_a_film_that_vanishes_meanwhile_is_one_sentence():
    gone = Film(
        "a.png", "x", lambda path, first: (_ for _ in ()).throw(looking.FilmError("can't be read: no such file"))
    )
    with pytest.raises(InputError, match=r"a\.png can't be read: no such file; put the film back"):
        looking._decoded(gone)


class Reader(nn.Module):
    """A network that reads one thing: how much brighter the first of two places is than the second."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        super().__init__()
        weight = first / first.sum() - second / second.sum()
        self.register_buffer("weight", torch.tensor(weight, dtype=torch.float32).flatten())
        self.last = nn.Linear(1, 2)
        with torch.no_grad():
            self.last.weight.copy_(torch.tensor([[0.0], [40.0]]))
            self.last.bias.copy_(torch.tensor([0.0, -2.5]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last((x[:, 0].flatten(1) @ self.weight)[:, None])


def places(where: str) -> tuple[np.ndarray, np.ndarray]:
    masks = np.zeros((2, 32, 32), bool)
    if where == "border":
        masks[0, :3], masks[1, -3:] = True, True
    else:
        masks[0, 8:16, 8:24], masks[1, 16:24, 8:24] = True, True
    return masks[0], masks[1]


def plant(folder: Path, where: str) -> Path:
    """120 noisy films in class folders; the sick ones are brighter in the first of the two places."""
    rng = np.random.default_rng(0)
    for i in range(120):
        small = rng.normal(100, 12, (32, 32)) + 30 * (i % 2) * places(where)[0]
        path = folder / ("PNEUMONIA" if i % 2 else "NORMAL") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.kron(small, np.ones((3, 3))).clip(0, 255).astype(np.uint8)).save(path)
    return folder


@pytest.mark.parametrize(("where", "lines"), [("border", 2), ("centre", 0)])
def test_a_planted_shortcut_is_caught_and_an_honest_model_is_not_accused(tmp_path, monkeypatch, where, lines):
    """The whole way from bytes to red lines, with a network that is known to read the border, or the centre."""
    preprocess = Preprocess(size=32, channels=1, scaling="unit")
    model = Model(Reader(*places(where)).eval(), "vgg", Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA"), preprocess)
    run = make_run(tmp_path / "run", plant(tmp_path / "films", where), "paper", model=model)
    monkeypatch.setattr(Model, "load", classmethod(lambda cls, path: model))
    found = probed(run)
    assert found["films"] == 30 and found["untouched"]["auroc"]["value"] > 0.95
    assert len(found["red_lines"]) == lines, found["red_lines"]


def test_a_large_network_has_its_subgroups_without_being_asked(films_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("plainfilm.commands.train.LIGHT", 0)
    out = tmp_path / "run"
    settings = ["--epochs", "1", "--batch", "8", "--size", "16", "--threads", "1", "--quiet"]
    assert main(["train", str(films_folder), "--out", str(out), *settings]) == 0
    found = read_json(out / "probes.json")
    assert {row["grouping"] for row in found["subgroups"]} >= {"brightness"} and "robustness" not in found
    text = (out / "report.html").read_text()
    assert "Scores of subgroups" in text and f"plainfilm evaluate {out} --probes" in text


def test_probes_cost_at_most_a_fifth_of_a_training():
    versions = 1 + len(CORRUPTIONS) + len(COVERS) + 1 + len(EXCHANGES)
    assert probing.affordable(12, 3_389) == 3 * 12 * 3_389 // (5 * versions) < 1_000
    assert probing.affordable(30, 3_389) == probing.MOST_FILMS and probing.affordable(1, 50) == probing.FEW_FILMS
