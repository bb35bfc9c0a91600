"""How each kind of model is fitted: all weights by SGD, or a head on frozen features."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plainfilm.commands.preparation import Prepared
from plainfilm.config import number_list
from plainfilm.evaluation.predictions import positive_class
from plainfilm.models.features import extract, put_vgg16, write_features
from plainfilm.models.linear import fit_logistic
from plainfilm.models.model import Model
from plainfilm.models.summary import parameters
from plainfilm.models.vgg import VGG, initialise
from plainfilm.progress import say
from plainfilm.training.checkpoint import optimizer_arrays
from plainfilm.training.loop import Material, class_weights, train_network


def fit(prepared: Prepared, out: Path, resume: bool) -> tuple[Model, dict[str, Any]]:
    """Return the fitted model and what model.json says of the fit: seconds, trained parameters, search, weights.

    ``out`` takes checkpoints and features.h5; with ``resume`` a fit that was begun there goes on.
    """
    return (_fit_whole if prepared.recipe.trained == "whole" else _fit_head)(prepared, out, resume)


def _fit_whole(prepared: Prepared, out: Path, resume: bool) -> tuple[Model, dict[str, Any]]:
    """Train all weights of a network by SGD (the paper's first two models)."""
    films, config = prepared.films, prepared.config
    network = prepared.recipe.build(len(films.classes), prepared.preprocess)
    initialise(network, torch.Generator().manual_seed(config.seed))
    network.to(prepared.device)
    weights = class_weights(config.class_weights, films.counts)
    material = Material(
        prepared.pixels,
        films.labels,
        films.where("train"),
        films.where("val"),
        np.array([weights[name] for name in films.classes], dtype=np.float32),
    )
    progress, optimizer = train_network(network, prepared.preprocess, material, config, out, resume)
    seconds = sum(row[-1] for row in progress.history)
    model = _model(prepared, network, optimizer_arrays(optimizer), {"epoch": progress.epoch})
    return model, {"seconds": {"training": seconds, "features": 0.0}, "trained_parameters": parameters(network)}


def _fit_head(prepared: Prepared, out: Path, resume: bool) -> tuple[Model, dict[str, Any]]:
    """Extract frozen features into features.h5 and fit a logistic regression to the training films'."""
    films, config, weights = prepared.films, prepared.config, prepared.weights
    assert weights is not None
    network = prepared.recipe.build(len(films.classes), prepared.preprocess)
    put_vgg16(network, weights.arrays)
    network.to(prepared.device)
    features, extraction = extract(films, prepared.pixels, network, prepared.preprocess, weights.sha256)
    write_features(out / "features.h5", films, features)
    began = time.perf_counter()
    train = films.where("train")
    grouped = config.split != "paper"  # folds inside the training part follow the protocol of the split itself
    groups = np.array([films.films[i].group if grouped else films.films[i].path for i in train])
    values = number_list("regularisation", config.regularisation)
    fit = fit_logistic(features, train, films.labels[train], groups, values, config.cv_folds, config.seed)
    say(f"C = {fit.regularisation:g} of {values}; {fit.iterations} steps, off the optimum by {fit.optimality:.1e}")
    last = network.head[-1]
    assert isinstance(last, torch.nn.Linear)
    fit.put_into(last)
    search = {"C": fit.regularisation, "scores": fit.scores, "iterations": fit.iterations, "optimality": fit.optimality}
    model = _model(prepared, network, {}, {"weights_sha256": weights.sha256, "search": search})
    seconds = {"training": time.perf_counter() - began, "features": extraction}
    trained = parameters(network.head)
    return model, {"seconds": seconds, "trained_parameters": trained, "search": search, "weights": weights.source}


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
        **more,
    }
    positive = films.classes[positive_class(films.classes, config.positive or None)]
    return Model(
        network, config.model, films.classes, prepared.preprocess, positive, provenance=provenance, optimizer=optimizer
    )


def logits_of(prepared: Prepared, model: Model) -> Callable[[slice], torch.Tensor]:
    """Return what gives the (B, K) logits of some of the films: from the stored features where there are some."""
    if prepared.recipe.trained == "whole":
        return lambda chosen: model.logits(prepared.pixels[chosen])
    assert prepared.weights is not None and isinstance(model.network, VGG)
    network = model.network
    features, _ = extract(prepared.films, prepared.pixels, network, prepared.preprocess, prepared.weights.sha256)

    @torch.inference_mode()
    def logits(chosen: slice) -> torch.Tensor:
        return network.forward_head(torch.from_numpy(features[chosen]).to(prepared.device))

    return logits
