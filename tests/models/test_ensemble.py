"""Several networks as one: the mean of what they say, from one file, with the films that their own tests kept apart."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from plainfilm.commands.paper import paper
from plainfilm.commands.train import train, train_folds, train_seeds
from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.explain.heatmaps import heat_map
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.averaging import VIEWS, Ensemble, resizing
from plainfilm.models.bundle import read_bundle, write_bundle
from plainfilm.models.ensemble import apart, assembled
from plainfilm.models.model import Model
from plainfilm.models.vgg import initialise
from plainfilm.models.zoo import recipe
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.probing import probe
from plainfilm.storage.files import write_json


def model(name: str, size: int, seed: int, **preprocess) -> Model:
    p = replace(recipe(name).preprocess, size=size, **preprocess)
    network = recipe(name).build(2, p).eval()
    initialise(network, torch.Generator().manual_seed(seed))
    return Model(network, name, Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA", temperature=1 + seed / 10), p)


def whole(models: list[Model], views: int = 1) -> Model:
    network, preprocess = assembled(models, views)
    decision = replace(models[0].decision, temperature=1.0)
    return replace(models[0], network=network, name="ensemble:x", preprocess=preprocess, decision=decision)


FILMS = np.random.default_rng(0).integers(0, 255, (5, 48, 48), dtype=np.uint8)


def shrunk(size: int) -> np.ndarray:
    """The films at ``size``, as the members get them but for rounding."""
    small = [Image.fromarray(f).resize((size, size), Image.Resampling.BILINEAR) for f in FILMS]
    return np.stack([np.asarray(image) for image in small])


def test_probabilities_are_the_mean_of_the_members_each_at_its_own_size_scaling_and_temperature():
    models = [model("vgg", 32, 1), model("vgg-bn", 48, 2, scaling="unit", channels=1)]
    expected = (models[0].probabilities(shrunk(32)) + models[1].probabilities(FILMS)) / 2
    together = whole(models)
    assert together.preprocess == Preprocess(size=48, channels=1, scaling="unit")
    assert np.allclose(together.probabilities(FILMS), expected, atol=0.01)  # Pillow rounds to whole grey levels
    assert np.allclose(whole(models[1:]).probabilities(FILMS), models[1].probabilities(FILMS), atol=1e-6)


@pytest.mark.parametrize(("size", "target"), [(48, 32), (48, 7), (32, 48), (20, 20)])
def test_resizing_is_that_of_pillow(size, target):
    grey = np.random.default_rng(1).uniform(0, 255, (size, size)).astype(np.float32)
    expected = np.asarray(Image.fromarray(grey).resize((target, target), Image.Resampling.BILINEAR))
    weights = resizing(size, target)
    assert np.allclose(weights @ grey @ weights.T, expected, atol=1e-2)


def test_a_view_enlarges_about_the_middle_and_repeats_edges_beyond_the_film():
    row = np.arange(40, dtype=np.float32)
    assert np.allclose(resizing(40, 40, 2.0) @ row, np.arange(40) / 2 + 9.75, atol=1e-4)
    smaller = resizing(40, 40, 0.5) @ row
    assert np.allclose(smaller[:9], 0, atol=0.4) and np.allclose(smaller[-9:], 39, atol=0.4)
    assert smaller.mean() == pytest.approx(19.5, abs=1e-3)


def test_views_average_one_models_answers_to_changed_films():
    one = model("vgg", 32, 1)
    seen = whole([one], 3)
    network = seen.network
    assert isinstance(network, Ensemble) and network.views == 3 < len(VIEWS)
    grey = torch.from_numpy(FILMS[:, :32, :32].copy()).float()
    each = [one.from_logits(one.network(one.preprocess.tensor(network.seen(grey, 0, v)))) for v in range(3)]
    assert np.allclose(seen.probabilities(FILMS[:, :32, :32]), np.mean(each, axis=0), atol=1e-6)
    assert not np.allclose(each[0], each[1], atol=1e-4)


def test_a_film_gets_the_same_answer_alone_and_among_others():
    together = whole([model("vgg", 32, 1), model("vgg-bn", 48, 2)], 2)
    assert np.allclose(together.probabilities(FILMS)[3:4], together.probabilities(FILMS[3:4]), atol=1e-6)


def test_certain_members_leave_finite_logits():
    sure = model("vgg", 32, 1)
    with torch.no_grad():
        last = list(sure.network.parameters())[-1]
        last.copy_(torch.tensor([500.0, -500.0]))
    logits = whole([sure]).passed(FILMS[:, :32, :32])[0]
    assert torch.isfinite(logits).all() and logits[:, 1].max() < -900


def test_the_file_alone_is_enough(tmp_path):
    together = whole([model("vgg", 32, 1), model("vgg-bn", 48, 2)], 3)
    together.save(tmp_path / "model.h5")
    again = Model.load(tmp_path / "model.h5")
    assert np.array_equal(again.probabilities(FILMS), together.probabilities(FILMS))
    assert again.name == "ensemble:x" and isinstance(again.network, Ensemble)


@pytest.mark.parametrize(
    "change",
    [
        {"members": []},
        {"members": 7},
        {"members": [{"model": "vgg"}]},
        {"views": 99},
        {"views": "many"},
        {"members": [{"model": "ensemble:/etc", "preprocess": {}, "temperature": 1}]},
        {"members": [{"model": "vgg", "preprocess": {"size": 10**9}, "temperature": 1}]},
        {"members": [{"model": "vgg", "preprocess": {}, "temperature": 0}]},
        {"model": "vgg"},
        {"model": {"x": 1}},
    ],
)
def test_a_file_with_impossible_members_is_refused(tmp_path, change):
    whole([model("vgg", 32, 1)]).save(tmp_path / "model.h5")
    bundle = read_bundle(tmp_path / "model.h5")
    write_bundle(tmp_path / "bad.h5", "model", bundle.arrays, bundle.about | change)
    with pytest.raises(InputError):
        Model.load(tmp_path / "bad.h5")


def test_a_file_that_only_names_an_ensemble_has_nothing_else_read(tmp_path):
    model("vgg", 32, 1).save(tmp_path / "model.h5")
    bundle = read_bundle(tmp_path / "model.h5")
    for name in (f"ensemble:{tmp_path}", "ensemble:/dev/zero"):
        write_bundle(tmp_path / "bad.h5", "model", bundle.arrays, bundle.about | {"model": name})
        with pytest.raises(InputError, match="is not the name of what it holds"):
            Model.load(tmp_path / "bad.h5")


def test_films_are_decoded_as_finely_as_any_member_wants_them():
    def of(*pairs):
        each = [model("vgg", size, i, oversample=times) for i, (size, times) in enumerate(pairs)]
        return assembled(each, 1)[1].oversample

    assert of((32, 8), (40, 2)) == 7 and of((32, 2), (40, 2)) == 2 and of((32, 0), (40, 2)) == 0


def test_members_that_do_not_go_together_are_refused():
    first = model("vgg", 32, 1)
    other = replace(model("vgg", 32, 2), decision=Decision(("a", "b"), "b"))
    with pytest.raises(InputError, match="need the same classes"):
        assembled([first, other], 1)
    with pytest.raises(InputError, match="need the same --set resize: vgg crop and vgg stretch"):
        assembled([first, model("vgg", 32, 2, resize="stretch")], 1)
    with pytest.raises(InputError, match="can't be an ensemble itself"):
        assembled([whole([first])], 1)


def test_the_heat_map_is_the_mean_of_the_members_maps():
    models = [model("vgg", 32, 1), model("vgg-bn", 48, 2)]
    together = whole(models)
    maps = heat_map(together, FILMS, 1)
    assert maps.shape[0] == 5 and maps.max() == pytest.approx(1)
    parts = [heat_map(member, films, 1) for member, films in apart(together, FILMS)]
    assert maps.shape[1] == max(part.shape[1] for part in parts)
    assert apart(models[0], FILMS)[0][0] is models[0]
    assert heat_map(together, FILMS).shape == maps.shape  # without a target: of the class decided for


@pytest.fixture(scope="module")
def runs(tmp_path_factory, films_folder):
    out = tmp_path_factory.mktemp("runs")
    settings = {"split": "grouped", "epochs": 2, "batch": 8, "size": 32, "device": "cpu", "threads": 1}
    train(str(films_folder), out / "a", {"model": "vgg", **settings})
    train(str(films_folder), out / "b", {"model": "vgg-bn", **settings, "size": 40})
    return out


def test_runs_are_put_together_by_train_and_judged_like_any_run(runs, films_folder):
    name = f"ensemble:{runs / 'a'},{runs / 'b'}"
    train(str(films_folder), runs / "both", {"model": name, "split": "grouped", "views": 2})
    about = json.loads((runs / "both" / "model.json").read_text())
    assert about["model"] == "ensemble:vgg,vgg-bn" and about["trained_parameters"] == 0
    made = Model.load(runs / "both")
    members = [Model.load(runs / which) for which in "ab"]
    assert made.preprocess.size == 40 and made.gate is not None and (runs / "both" / "report.html").exists()
    assert [m["settings"]["model"] for m in made.provenance["members"]] == ["vgg", "vgg-bn"]
    total = sum(p.numel() for m in members for p in m.network.parameters())
    assert about["parameters"] == total and about["flops"] > 2 * sum(1e5 for _ in members)
    assert made.verdict["prior"] == pytest.approx(np.mean([m.verdict["prior"] for m in members]))
    assert made.preprocess.oversample == 2
    page, checklist = ((runs / "both" / name).read_text() for name in ("report.html", "claim-2024.md"))
    settings = page[page.index("Every setting") :]
    assert ">views</th>" in settings and ">epochs</th>" not in settings  # nothing was trained
    assert "mean of the probabilities of" in checklist and "2 views" in checklist and "Glorot" not in checklist
    config = json.loads((runs / "both" / "config.json").read_text())
    assert config["members"] == {str(runs / which): m.hash for which, m in zip("ab", members, strict=True)}
    found = probe(RunFolder(runs / "both"), Model.load(runs / "both"), films=20)
    assert not [row for row in found["probes"] if "predicted from" in row["name"]] and found["worst_in_one_class"]
    with pytest.raises(InputError, match="holds a run already"):
        train(str(films_folder), runs / "both", {"model": name, "split": "grouped", "views": 2})
    write_json(runs / "both" / "config.json", config | {"members": {str(runs / "a"): "0" * 64}})
    with pytest.raises(InputError, match="was begun with other members than ensemble:"):
        train(str(films_folder), runs / "both", {"model": name, "split": "grouped", "views": 2}, resume=True)
    shutil.rmtree(runs / "both" / "figures")  # the file does not need its members or its folder
    assert Model.load(runs / "both" / "model.h5").predict([films_folder / "NORMAL" / "IM-0000-0000.jpeg"]).shape == (1,)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"split": "paper"},
            "was trained on other films, classes or another split: .* train the members with the same",
        ),
        ({"split": "grouped", "seed": 5}, "was trained on other films, classes or another split"),
        ({"split": "grouped", "size": 64}, "size: an ensemble is made of trained runs, which have their own"),
        ({"split": "grouped", "augment": "zoom=.1"}, "augment: an ensemble is made of trained runs"),
    ],
)
def test_a_member_that_learned_from_the_test_films_is_refused(runs, films_folder, tmp_path, settings, said):
    with pytest.raises(InputError, match=said):
        train(str(films_folder), tmp_path / "x", {"model": f"ensemble:{runs / 'a'}", **settings})
    assert not (tmp_path / "x").exists()


def test_a_member_that_knows_the_films_by_other_classes_is_refused(runs, films_folder, tmp_path):
    other = tmp_path / "set"
    shutil.copytree(films_folder, other)
    (other / "NORMAL").rename(other / "well")
    (other / "PNEUMONIA").rename(other / "sick")
    with pytest.raises(InputError, match="was trained on other films, classes"):
        train(str(other), tmp_path / "x", {"model": f"ensemble:{runs / 'a'}", "split": "grouped"})


def test_what_can_not_be_done_with_an_ensemble_is_refused_before_anything_is_written(runs, films_folder, tmp_path):
    data, name, out = str(films_folder), f"ensemble:{runs / 'a'}", tmp_path / "x"
    with pytest.raises(InputError, match="--folds: an ensemble's members are of one split"):
        train_folds(data, out, {"model": name}, 3)
    with pytest.raises(InputError, match="--seeds: an ensemble's members are of one split"):
        train_seeds(data, out, {"model": name}, 3)
    with pytest.raises(InputError, match="made by `plainfilm train DATA --model ensemble:RUN,RUN`"):
        paper(data, out, {}, models=["vgg", name])
    for wrong in ("ensemble:", f"ensemble:{runs / 'a'},", f"ensemble:{tmp_path}"):
        with pytest.raises(InputError, match="is no finished run folder; name some as ensemble:RUN,RUN"):
            train(data, out, {"model": wrong, "split": "grouped"})
    with pytest.raises(InputError, match="a run stands there twice"):
        train(data, out, {"model": f"{name},{runs / 'a'}", "split": "grouped"})
    assert not out.exists()


def test_a_model_file_without_its_run_is_refused(runs, films_folder, tmp_path):
    shutil.copy(runs / "a" / "model.h5", tmp_path / "model.h5")
    with pytest.raises(InputError, match="is no run folder; an ensemble is made of whole ones"):
        train(str(films_folder), tmp_path / "x", {"model": f"ensemble:{tmp_path}", "split": "grouped"})


def test_an_ensemble_as_onnx_says_the_same(tmp_path):
    pytest.importorskip("onnxruntime")
    from plainfilm.export.onnx import write_onnx

    together = whole([model("vgg", 32, 1), model("vgg-bn", 48, 2)], 2)
    assert write_onnx(together, tmp_path / "m.onnx", FILMS) < 1e-5
