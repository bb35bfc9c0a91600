"""Each kind of model is fitted on what is stored of the films, and its file gives the same answers again."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from plainfilm.catalogue import Trained
from plainfilm.config import TrainConfig
from plainfilm.data.groups import stratified_folds
from plainfilm.data.sources import load
from plainfilm.errors import InputError
from plainfilm.image.augment import Augment
from plainfilm.image.store import Rows
from plainfilm.models.backbone import Front, cut
from plainfilm.models.features import Copy, shape_behind
from plainfilm.models.linear import deviation_of, fit_logistic, mean_of
from plainfilm.models.model import Model
from plainfilm.models.standardise import LIMIT, Standardise
from plainfilm.models.zoo import recipe
from plainfilm.training.feed import Material
from plainfilm.training.finishing import calibrate
from plainfilm.training.fitting import copies, fit, passes_of, stages, start_network
from plainfilm.training.preparation import prepare


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    return tmp_path


def fitted(folder, out, **settings):
    config = TrainConfig(**{"split": "paper", "epochs": 2, "batch": 8, "device": "cpu", "threads": 1} | settings)
    prepared = prepare(load(str(folder)), [config], str(folder))[0]
    out.mkdir(exist_ok=True)
    model, facts = fit(prepared, out, False)
    return prepared, model, facts


def same_after_saving(prepared, model, out):
    model.save(out / "model.h5")
    again = Model.load(out / "model.h5")
    everything = slice(0, len(prepared.films))
    direct = again.passed(prepared.pixels[everything])[0]
    assert torch.allclose(direct, passes_of(prepared, again)(everything)[0], atol=2e-2 * float(direct.abs().max()))
    return direct


def test_the_last_block_is_trained_on_stored_activations_and_the_rest_stays(place, films_folder, vgg16_file):
    settings = {"model": "vgg16-ft", "size": 32, "weights": str(vgg16_file)}
    prepared, model, facts = fitted(films_folder, place / "run", **settings)
    assert prepared.weights is not None
    arrays = list(prepared.weights.arrays.values())
    convolutions = [m for m in model.network.features if isinstance(m, torch.nn.Conv2d)]
    kept = [bool(np.array_equal(c.weight.detach().numpy(), a)) for c, a in zip(convolutions, arrays[::2], strict=True)]
    assert kept == [True] * 10 + [False] * 3
    trained = 3 * (512 * 512 * 9 + 512) + 512 * 2 + 2
    assert facts["trained_parameters"] == trained and facts["seconds"]["features"] > 0
    same_after_saving(prepared, model, place / "run")


def test_changed_films_pass_through_the_frozen_layers_too(place, films_folder, vgg16_file):
    settings = {"model": "vgg16-ft", "size": 32, "weights": str(vgg16_file), "epochs": 1, "augment": "zoom=.1"}
    prepared, model, facts = fitted(films_folder, place / "run", **settings)
    assert facts["seconds"]["features"] == 0
    first = next(m for m in model.network.features if isinstance(m, torch.nn.Conv2d))
    assert prepared.weights is not None
    assert np.array_equal(first.weight.detach().numpy(), next(iter(prepared.weights.arrays.values())))
    same_after_saving(prepared, model, place / "run")


def test_dense_layers_are_trained_on_features_of_changed_copies_that_are_made_once(place, films_folder, vgg16_file):
    settings = {"model": "vgg16-mlp", "size": 32, "weights": str(vgg16_file), "augment": "zoom=.1", "copies": 2}
    prepared, model, facts = fitted(films_folder, place / "run", **settings)
    assert isinstance(model.network.head[0], Standardise) and model.network.head[0].mean.any()
    assert (place / "run" / "features.h5").exists()
    assert facts["trained_parameters"] == 512 * 256 + 256 + 256 * 2 + 2
    same_after_saving(prepared, model, place / "run")
    network, _ = start_network(prepared)
    (first, second), seconds = copies(prepared, network)
    assert seconds > 0
    train, rows = prepared.films.where("train"), stages(prepared, network)[0]
    assert not np.allclose(first[train], rows[train]) and not np.allclose(first[train], second[train])
    films, own = prepared.films.at(train), prepared.pixels
    copy = Copy(replace(own, order=own.order[train]), films, Augment.parse("zoom=.1"), prepared.config.seed, 0)
    x = prepared.preprocess.tensor(torch.from_numpy(copy[np.array([3])]))
    with torch.inference_mode():
        direct = network.eval().forward_features(x)[0].numpy()
    assert np.allclose(direct, first[train[3]], atol=1e-4 * np.abs(direct).max())  # whatever batch it was made in
    made = [p.stat().st_size for p in sorted((place / "cache" / "store").glob("*/rows.bin"))]
    fitted(films_folder, place / "again", **settings)
    assert made == [p.stat().st_size for p in sorted((place / "cache" / "store").glob("*/rows.bin"))]


def test_a_logistic_regression_learns_from_changed_copies_too_and_a_films_copies_share_its_fold(
    place, films_folder, vgg16_file, monkeypatch
):
    """The fit equals one on all versions laid end to end; without copies it is the fit on the films alone."""
    from plainfilm.training import fitting

    seen = {}

    def watched(features, films, labels, groups, *rest):
        seen.update(features=features[films], labels=labels, groups=groups)
        return fit_logistic(features, films, labels, groups, *rest)

    monkeypatch.setattr(fitting, "fit_logistic", watched)
    settings = {"model": "vgg16-lr", "size": 32, "weights": str(vgg16_file), "regularisation": "1e-3"}
    changed = {"augment": "zoom=.1,contrast=.3", "copies": 2}
    prepared, model, facts = fitted(films_folder, place / "run", **settings, **changed)
    train, network = prepared.films.where("train"), start_network(prepared)[0]
    own = stages(prepared, network)[0][train]
    versions = [own, *(rows[train] for rows in copies(prepared, network)[0])]
    assert np.array_equal(seen["features"], np.concatenate(versions)) and len(own) * 3 == len(seen["groups"])
    assert np.array_equal(seen["labels"], np.tile(prepared.films.labels[train], 3))
    folds = stratified_folds(seen["labels"], seen["groups"], 3, 0).reshape(3, -1)
    assert (folds == folds[0]).all() and len(set(folds[0])) == 3
    same_after_saving(prepared, model, place / "run")
    weight = model.network.head[-1].weight.detach().numpy()
    labels = torch.from_numpy(seen["labels"])
    logits = torch.from_numpy(seen["features"] @ weight.T + model.network.head[-1].bias.detach().numpy())
    residual = torch.softmax(logits.double(), 1)[:, 1] - labels  # at the optimum w = C Σ (y - p) x, halved for two rows
    gradient = 1e-3 * (seen["features"] - seen["features"].mean(0)).T.astype(np.float64) @ residual.numpy()
    assert np.allclose(weight[1] - weight[0], -gradient, rtol=1e-3, atol=1e-4 * np.abs(gradient).max())
    plain = fitted(films_folder, place / "plain", **settings)[1].network.head[-1].weight.detach().numpy()
    assert not np.allclose(weight, plain, rtol=1e-2) and facts["search"]["optimality"] < 1e-6


def test_dense_layers_do_not_hear_a_feature_that_was_silent_in_training():
    layer = Standardise(4)
    rows = np.random.default_rng(0).normal(5, 2, (50, 4)).astype(np.float32)
    rows[:, 1], rows[:, 2] = 0, 7 + 1e-6 * rows[:, 2]  # never moves; hardly moves
    features, films = Rows(rows, np.arange(50), {}), np.arange(50)
    mean = mean_of(features, films)
    layer.learn(mean, deviation_of(features, films, mean))
    seen = layer(torch.from_numpy(rows)).numpy()
    assert np.allclose(seen[:, [0, 3]].std(0), 1, atol=1e-4) and np.abs(seen.mean(0)).max() < 1e-4
    loud = layer(torch.full((1, 4), 300.0)).numpy()[0]
    assert loud[1] == 0 and np.abs(loud).max() == LIMIT
    assert (
        np.abs(layer(torch.tensor([[5.0, 0, 7.5, 5]])).numpy()).max() < 4
    )  # of the floor's deviations, not of its own


def test_training_takes_each_film_as_it_is_or_one_of_its_copies():
    rows = [Rows(np.full((5, 2), value), np.arange(5), {}) for value in (0, 10, 20)]
    rows[2] = Rows(np.arange(20, 25)[:, None].repeat(2, 1), np.array([-1, 1, -1, 3, -1]), {})
    material = Material(rows[0], np.zeros(5), np.array([1, 3]), np.array([0]), np.ones(2), tuple(rows[1:]))
    generator = torch.Generator().manual_seed(0)
    drawn = np.stack([material.drawn(np.array([1, 3]), generator)[:, 0] for _ in range(60)])
    assert set(drawn[:, 0]) == {0, 10, 21} and set(drawn[:, 1]) == {0, 10, 23}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "vgg16-mlp", "augment": "zoom=.1"}, "vgg16-mlp trains on stored features; give --set copies=3"),
        ({"model": "vgg16-mlp", "copies": 2}, "copies=2 needs an --augment without `style`"),
        ({"model": "vgg16-ft", "copies": 2, "augment": "style=.5"}, "copies=2 needs an --augment without `style`"),
        (
            {"model": "vgg", "copies": 2, "augment": "zoom=.1"},
            "copies=2 is for layers behind frozen ones, and vgg trains every layer",
        ),
        ({"model": "vgg16-lr", "copies": 2}, "copies=2 needs an --augment without `style`"),
        ({"model": "vgg", "views": 3}, "views=3 goes with --model ensemble:RUN; train vgg first"),
    ],
)
def test_copies_that_do_not_go_with_the_rest_are_refused(place, films_folder, vgg16_file, settings, said):
    weights = {"weights": str(vgg16_file)} if settings["model"] != "vgg" else {}
    with pytest.raises(InputError, match=said):
        fitted(films_folder, place / "run", size=32, **settings, **weights)


def test_front_and_rest_are_the_networks_own_modules():
    network = recipe("vgg16-ft").build(2, recipe("vgg16-ft").preprocess).eval()
    front, rest = cut(network, recipe("vgg16-ft").row.frozen)
    assert isinstance(front, Front) and shape_behind(front, recipe("vgg16-ft").preprocess) == (512, 14, 14)
    assert not any(p.requires_grad for p in front.parameters()) and all(p.requires_grad for p in rest.parameters())
    x = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(rest(front.forward_features(x)), network(x), atol=1e-5)


@pytest.mark.parametrize("kind", ["lr", "mlp", "ft"])
def test_a_backbone_of_timm_from_films_to_file(place, films_folder, kind):
    name = f"timm:test_resnet-{kind}"
    try:
        features = recipe(name).build(2, recipe(name).preprocess).features
    except InputError as missing:
        pytest.skip(str(missing))
    np.savez(place / "random.npz", **{k: v.numpy() for k, v in features.state_dict().items()})
    settings = {"model": name, "size": 48, "weights": str(place / "random.npz"), "regularisation": "1e-3,1e-2"}
    prepared, model, facts = fitted(films_folder, place / "run", **settings)
    assert prepared.preprocess.resize == "stretch" and facts["weights"].endswith("random.npz")
    logits = same_after_saving(prepared, model, place / "run")
    assert logits.shape == (40, 2) and ((facts.get("search") is not None) == (kind == "lr"))


def test_best_starts_from_the_released_values(place, films_folder, monkeypatch):
    from plainfilm.models import pretrained
    from plainfilm.models.lite import Lite
    from plainfilm.models.weights import Weights

    taken = []
    source = pretrained.Source(
        lambda file: Weights({}, "0" * 64, "a test", place), lambda: None, lambda network, arrays: taken.append(network)
    )
    monkeypatch.setitem(pretrained._SOURCES, "efficientnet-lite0", source)
    prepared, model, facts = fitted(films_folder, place / "run", model="best", size=32, epochs=1)
    assert taken == [model.network] and isinstance(model.network, Lite)
    assert model.provenance["weights_sha256"] == "0" * 64 and facts["weights"] == "a test"
    assert prepared.preprocess.as_dict() | {"size": 160, "oversample": 0} == recipe("best").preprocess.as_dict()
    same_after_saving(prepared, model, place / "run")


def test_offsets_are_for_two_classes_only():
    # Among three the likeliest decides: offsets would take back what class weights gave the rare ones.
    films = SimpleNamespace(classes=("a", "b", "c"), where=lambda *_: np.arange(3))
    logits = torch.zeros(3, 3)
    prepared = SimpleNamespace(films=films, recipe=SimpleNamespace(trained=Trained.WHOLE))
    assert calibrate(prepared, None, logits) is logits
