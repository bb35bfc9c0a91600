"""How each kind of model is fitted: all weights by steps, or a head on frozen features."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import nn

from plainfilm.catalogue import Trained
from plainfilm.config import number_list
from plainfilm.data.films import Films
from plainfilm.data.split import Source, sources
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.findings import FindingsDecision
from plainfilm.image.augment import Augment
from plainfilm.image.store import Rows, Versions
from plainfilm.machine import ranks
from plainfilm.models.backbone import Backbone, Front, cut
from plainfilm.models.ensemble import assembled
from plainfilm.models.features import Copy, Stored, extract, shape_behind, write_features
from plainfilm.models.linear import Fit, deviation_of, fit_logistic, mean_of
from plainfilm.models.model import Model
from plainfilm.models.precision import of_model
from plainfilm.models.pretrained import pretrained
from plainfilm.models.standardise import Standardise
from plainfilm.models.summary import LIGHT, flops, parameters
from plainfilm.models.vgg import VGG, initialise
from plainfilm.models.zoo import Recipe
from plainfilm.progress import say
from plainfilm.storage import folders
from plainfilm.storage.documents import FitDocument
from plainfilm.training.checkpoint import optimizer_arrays
from plainfilm.training.feed import Material
from plainfilm.training.loop import Inputs, train_network
from plainfilm.training.preparation import Prepared

Passed: TypeAlias = tuple[torch.Tensor, torch.Tensor | None]  # logits, and what the gate looks at


def fit(prepared: Prepared, out: Path, resume: bool) -> tuple[Model, FitDocument]:
    """Return the fitted model and what model.json says of the fit.

    ``out`` takes checkpoints and features.h5; with ``resume`` a fit that was begun there goes on.
    """
    model, about = FITS[prepared.recipe.trained](prepared, out, resume)
    model.speed_up(of_model(str(prepared.precision.passes), model.provenance))
    return model, about


def _assemble(prepared: Prepared, out: Path, resume: bool) -> tuple[Model, FitDocument]:
    """Put trained runs together as one network."""
    models = [Model.load(run) for run in prepared.members]
    network, _ = assembled(models, prepared.config.views)
    members = [
        {"model": model.name, "sha256": model.hash, "prior": model.verdict.get("prior", 0.5), **model.provenance}
        for model in models
    ]
    model = _model(prepared, network.to(prepared.device), {}, {"members": members})
    seconds = {"training": 0.0, "features": 0.0}
    return model, {"seconds": seconds, "trained_parameters": 0, "weights": "those of its members"}


def _fit_steps(prepared: Prepared, out: Path, resume: bool) -> tuple[Model, FitDocument]:
    """Train all weights of a network (the paper's first two models from random ones), or those that aren't frozen."""
    network, start = start_network(prepared)
    material, inputs, trained, extraction = material_of(prepared, network, prepared.class_weights)
    if prepared.recipe.trained.on_features and not ranks.rank():
        write_features(out / folders.FEATURES, prepared.films, material.pixels)
    bits = prepared.precision.training
    progress, optimizer = train_network(
        trained,
        inputs,
        material,
        prepared.config,
        out,
        resume=resume,
        bits=bits,
        after=_passes_after(prepared, network),
    )
    seconds = {"training": sum(progress.seconds), "features": extraction}
    model = _model(prepared, network, optimizer_arrays(optimizer), {"epoch": progress.epoch, **start})
    count = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return model, {
        "seconds": seconds,
        "trained_parameters": count,
        "weights": prepared.weights.source if prepared.weights else None,
    }


def _passes_after(prepared: Prepared, network: Backbone) -> int:
    p = prepared.preprocess
    light = prepared.probed and flops(network, (p.channels, p.size, p.size)) < LIGHT
    return prepared.probed if light else 0


def material_of(
    prepared: Prepared, network: Backbone, weights: dict[str, float]
) -> tuple[Material, Inputs, torch.nn.Module, float]:
    """Return what steps learn from, how it becomes input, the part of ``network`` that they train, and the seconds that
    passing films through the rest took. ``weights``: each class's in the loss."""
    films = prepared.films
    rows, inputs, trained, extraction = stages(prepared, network)
    changed, more = copies(prepared, network)
    learn_scale(prepared, network, rows)
    names = films.findings or films.classes
    each = np.array([weights[name] for name in names], dtype=np.float32)
    groups = films.drawn_alike(prepared.config.sample_by) if prepared.config.sample_by else None
    wanted = films.truth.astype(np.float32) if films.findings else films.labels
    parts = films.where("train"), films.where("val")
    material = Material(rows, wanted, *parts, each, changed, groups, prepared.findings, prepared.elsewhere)
    return material, inputs, trained, extraction + more


def stages(prepared: Prepared, network: Backbone) -> tuple[Rows, Inputs, torch.nn.Module, float]:
    """Return what is stored of the films, how it becomes input, the part of the network behind it, and the seconds that
    making it took: pixels and the whole network, or what frozen layers give and the rest.

    Films that are changed anew each epoch pass through frozen layers each time: then nothing but pixels is stored.
    """
    config = prepared.config
    front, rest = _frozen_and_rest(prepared.architecture, network)
    anew = config.augment and not config.copies
    if front is None or (anew and not prepared.recipe.trained.on_features):
        return prepared.pixels, prepared.preprocess, network, 0.0
    rows, seconds = _behind(prepared, front, prepared.films, prepared.pixels)
    return rows, Stored(), rest, seconds


def copies(prepared: Prepared, network: Backbone) -> tuple[tuple[Rows, ...], float]:
    """Return what frozen layers make of each changed copy of the training films, made once, and the seconds that took;
    nothing where none is asked for."""
    config = prepared.config
    if not config.copies:
        return (), 0.0
    augment = Augment.parse(config.augment)
    front, _ = _frozen_and_rest(prepared.architecture, network)
    assert front is not None  # preparation refuses copies where nothing is frozen
    films, pixels = prepared.films, prepared.pixels
    train = films.where("train")
    chosen = films.at(train)
    own = Rows(pixels.data, pixels.order[train], pixels.about)
    found, total = [], 0.0
    for number in range(config.copies):
        rows, seconds = _behind(prepared, front, chosen, Copy(own, chosen, augment, config.seed, number))
        total += seconds
        order = np.full(len(films), -1)  # the others are never asked for
        order[train] = rows.order
        found.append(Rows(rows.data, order, rows.about))
    return tuple(found), total


def learn_scale(prepared: Prepared, network: Backbone, features: Rows) -> None:
    """Tell dense layers on frozen features what the training films' are like."""
    if isinstance(first := network.head[0], Standardise):
        train = prepared.films.where("train")
        mean = mean_of(features, train)
        first.learn(mean, deviation_of(features, train, mean))


def _frozen_and_rest(recipe: Recipe, network: Backbone) -> tuple[Backbone | Front | None, torch.nn.Module]:
    """The part of the network that keeps its pretrained values, if any, and the part that is trained."""
    if recipe.trained.on_features:
        network.features.requires_grad_(False)
        return network, network.head
    if not recipe.row.frozen:
        return None, network
    assert isinstance(network, VGG)
    return cut(network, recipe.row.frozen)


def _behind(prepared: Prepared, front: Backbone | Front, films: Films, pixels: Rows | Copy) -> tuple[Rows, float]:
    """Stored output of the frozen layers: features as they are, maps of layers further in front in half the bytes."""
    assert prepared.weights is not None
    sha256, p, bits = prepared.weights.sha256, prepared.preprocess, prepared.precision.passes
    if isinstance(front, Front):
        return extract(films, pixels, front, p, sha256, shape_behind(front, p), "float16", bits)
    return extract(films, pixels, front, p, sha256, (front.feature_count,), bits=bits)


def start_network(prepared: Prepared) -> tuple[Backbone, dict[str, str]]:
    """Return the network with the values it starts from, and hash and licence of those that are pretrained."""
    network = prepared.architecture.build(len(prepared.films.findings or prepared.films.classes), prepared.preprocess)
    initialise(network.head if prepared.weights else network, torch.Generator().manual_seed(prepared.config.seed))
    if prepared.weights:
        pretrained(prepared.recipe.pretrained).put(network, prepared.weights.arrays)
    if not prepared.weights:
        return network.to(prepared.device), {}
    start = {"weights_sha256": prepared.weights.sha256, "licence": prepared.architecture.row.licence}
    return network.to(prepared.device), start


def _fit_head(prepared: Prepared, out: Path, resume: bool) -> tuple[Model, FitDocument]:
    """Extract frozen features into features.h5 and fit a logistic regression to those of the training films and
    of their changed copies, if there are any."""
    assert prepared.weights is not None
    network, start = start_network(prepared)
    features, _, _, extraction = stages(prepared, network)
    changed, more = copies(prepared, network)
    last = network.head[-1]
    assert isinstance(last, torch.nn.Linear)
    began, search = time.perf_counter(), {}
    if not ranks.rank():  # one process is enough for the fit
        write_features(out / folders.FEATURES, prepared.films, features)
        began, search = time.perf_counter(), _fit_last(prepared, Versions((features, *changed)), last)
    for values in last.parameters():
        ranks.total(values.data if not ranks.rank() else values.data.zero_())
    seconds = {"training": time.perf_counter() - began, "features": extraction + more}
    return _model(prepared, network, {}, {"search": search, **start}), {
        "seconds": seconds,
        "trained_parameters": parameters(network.head),
        "search": search,
        "weights": prepared.weights.source,
    }


def _fit_last(prepared: Prepared, features: Versions, last: torch.nn.Linear) -> dict[str, Any]:
    """Fit the layer ``last``; return what the search for C found, of findings by name.

    Each finding has a logistic regression of its own, on the training films of which it is known.
    """
    films = prepared.films
    train = films.where("train")
    if not films.findings:
        fit = _fit_logistic(prepared, features, train, films.labels[train])
        fit.put_into(last)
        return _found(fit)
    search = {}
    for k, name in enumerate(films.findings):
        known = train[films.truth[train, k] >= 0]
        fit = _fit_logistic(prepared, features, known, films.truth[known, k].astype(np.int64))
        with torch.no_grad():
            last.weight[k] = torch.from_numpy(fit.weight[1] - fit.weight[0])
            last.bias[k] = float(fit.bias[1] - fit.bias[0])
        search[name] = _found(fit)
    return search


def _found(fit: Fit) -> dict[str, Any]:
    return {
        "C": fit.regularisation,
        "score": fit.score,
        "scores": fit.scores,
        "iterations": fit.iterations,
        "optimality": fit.optimality,
    }


def _fit_logistic(prepared: Prepared, features: Versions, train: np.ndarray, labels: np.ndarray) -> Fit:
    """Return the logistic regression of the films at ``train`` (N,) with ``labels`` (N,), in all their versions: a film
    and its copies are in one fold."""
    films, config = prepared.films, prepared.config
    grouped = config.split != "paper"  # folds inside the training part follow the protocol of the split itself
    groups = np.array([films.films[i].group if grouped else films.films[i].path for i in train])
    values = number_list("regularisation", config.regularisation)
    standardise = config.features == "standardised"
    count = len(features.rows)
    every = np.concatenate([train + version * len(films) for version in range(count)])
    left = [
        Source(each.name, np.tile(each.held, count), np.tile(each.taken, count))
        for each in left_in_turn(films.at(train), config.choose_by, labels)
    ]
    labels, groups = np.tile(labels, count), np.tile(groups, count)
    fit = fit_logistic(features, every, labels, groups, values, config.cv_folds, config.seed, standardise, left)
    tried = ", ".join(f"{value:g}" for value in values)
    say(f"Logistic regression: C = {fit.regularisation:g} is the best of {tried}; {fit.iterations} steps of Newton.")
    return fit


def left_in_turn(films: Films, column: str, labels: np.ndarray) -> list[Source]:
    """Return the sources of ``column`` that choose C of a logistic regression on ``films`` with ``labels`` (N,) 0 or 1:
    none where no column is named, and where fewer than two are left, as in a fold that leaves one of two out."""
    left = sources(films, column, labels) if column else []
    if column and len(left) < 2:
        say(f"C is chosen by folds of patients: these films have fewer than two values of {column} to leave out.")
        return []
    return left


FITS = {
    Trained.WHOLE: _fit_steps,
    Trained.TAIL: _fit_steps,
    Trained.MLP: _fit_steps,
    Trained.HEAD: _fit_head,
    Trained.NOTHING: _assemble,
}


def _model(
    prepared: Prepared, network: torch.nn.Module, optimizer: dict[str, np.ndarray], more: dict[str, Any]
) -> Model:
    films, config = prepared.films, prepared.config
    provenance = {
        "plainfilm": version("plainfilm"),
        "torch": version("torch"),
        "settings": asdict(config),
        "protocol": films.protocol,
        "data": films.name,
        "data_hash": films.data_hash,
        "synthetic": films.synthetic,
        "precision": prepared.precision.as_dict(),
        **(
            {"unlabelled": prepared.config.unlabelled, "unlabelled_films": len(prepared.elsewhere)}
            if prepared.elsewhere
            else {}
        ),
        **more,
    }
    decision = (
        FindingsDecision.of_names(films.findings)
        if films.findings
        else Decision.of(films.classes, config.positive or None)
    )
    return Model(network, prepared.recipe.name, decision, prepared.preprocess, provenance, optimizer)


def passes_of(prepared: Prepared, model: Model) -> Callable[[slice], Passed]:
    """Return what gives the (B, K) logits of some of the films, and (B, D) what the gate looks at (None of an
    ensemble): from the stored features where there are some."""
    if not prepared.recipe.trained.behind_frozen:
        return lambda chosen: model.passed(prepared.pixels[chosen])
    network = cast("Backbone", model.network)
    rows, inputs, rest, _ = stages(prepared, network)
    if rest is network:  # nothing but pixels is stored
        return lambda chosen: model.passed(prepared.pixels[chosen])
    layers = list(rest.children())
    between = nn.Sequential(*layers[: len(layers) - len(network.head)])

    @torch.inference_mode()
    def passed(chosen: slice) -> Passed:
        x = inputs.tensor(torch.from_numpy(rows[chosen]).to(prepared.device))
        features = between.eval()(x)
        return network.head.eval()(features), network.seen(features)

    return passed
