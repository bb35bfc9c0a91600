"""Trained runs joined as one model, and taken apart again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from plainfilm.catalogue import ENSEMBLE, Trained
from plainfilm.config import TrainConfig
from plainfilm.errors import InputError
from plainfilm.evaluation.findings import of_classes
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.averaging import Ensemble, Member
from plainfilm.models.model import Model
from plainfilm.models.zoo import Recipe, recipe
from plainfilm.storage import folders


@dataclass(frozen=True)
class Joined:
    """Runs named together as ``ensemble:RUN,RUN``; nothing of them is trained."""

    name: str
    title: str
    preprocess: Preprocess
    members: dict[str, str]  # run folder -> SHA-256 of its model.h5

    trained: ClassVar[Trained] = Trained.NOTHING
    pretrained: ClassVar[str] = ""

    def preprocess_for(self, config: TrainConfig) -> Preprocess:
        """Return how films become the members' input, whatever ``config`` says."""
        return self.preprocess


def named(name: str) -> Recipe | Joined:
    """Return what a model's name stands for: an architecture, or the runs that ``ensemble:RUN,RUN`` names, which are
    read."""
    return _joined(name) if name.startswith(ENSEMBLE) else recipe(name)


def _joined(name: str) -> Joined:
    runs = _runs_of(name)
    models = [Model.load(run) for run in runs]
    _, preprocess = assembled(models, 1)
    names = ",".join(model.name for model in models)
    title = f"mean of {names.replace(',', ', ')}" if len(models) > 1 else f"views of {names}"
    members = {run: model.hash for run, model in zip(runs, models, strict=True)}
    return Joined(f"{ENSEMBLE}{names}", title, preprocess, members)


def _runs_of(name: str) -> list[str]:
    """Return the run folders that ``ensemble:RUN,RUN`` names; InputError when one of them is no run."""
    runs = [run.strip() for run in name.removeprefix(ENSEMBLE).split(",")]
    wrong = next((run for run in runs if not run or not (Path(run) / folders.MODEL).is_file()), None)
    if wrong is not None:
        raise InputError(f"--model {name}: '{wrong}' is no finished run folder; name some as ensemble:RUN,RUN.")
    if len({Path(run).resolve() for run in runs}) < len(runs):
        raise InputError(f"--model {name}: a run stands there twice; name each once.")
    return runs


def assembled(models: Sequence[Model], views: int) -> tuple[Ensemble, Preprocess]:
    """Return the ensemble of ``models``, and how films become its input.

    InputError when they have other classes, or cut films otherwise than each other.
    """
    first = models[0]
    for model in models:
        if isinstance(model.network, Ensemble):
            raise InputError("A member of an ensemble can't be an ensemble itself; name its members.")
        for what, ours, theirs in (
            ("classes", ", ".join(first.classes), ", ".join(model.classes)),
            ("positive class", first.decision.positive, model.decision.positive),
        ):
            if theirs != ours:
                raise InputError(f"An ensemble's members need the same {what}: {ours} and {theirs} differ.")
        if model.preprocess.resize != first.preprocess.resize:
            both = f"{first.name} {first.preprocess.resize} and {model.name} {model.preprocess.resize}"
            raise InputError(f"An ensemble's members need the same --set resize: {both}.")
    each = [model.preprocess for model in models]
    size = max(p.size for p in each)
    finest = -(-max(p.oversample * p.size for p in each) // size)  # as many pixels as the member that wants most
    oversample = finest if all(p.oversample for p in each) else 0
    preprocess = Preprocess(size, first.preprocess.resize, 1, "unit", oversample)
    members = [Member(model.name, model.preprocess, model.decision.temperature) for model in models]
    return Ensemble(members, [model.network for model in models], size, views), preprocess


def apart(model: Model, pixels: np.ndarray) -> list[tuple[Model, np.ndarray]]:
    """Return each member as a model with the films, of (B, S, S) uint8, as it sees them; a model that is no ensemble
    with the films as they are."""
    ensemble = model.network
    if not isinstance(ensemble, Ensemble):
        return [(model, pixels)]
    grey = torch.from_numpy(np.ascontiguousarray(pixels)).float()
    return [
        (
            replace(
                model,
                network=network,
                name=m.model,
                preprocess=m.preprocess,
                decision=replace(of_classes(model.decision, "An ensemble"), temperature=m.temperature),
            ),
            ensemble.seen(grey, number).round().clamp(0, 255).to(torch.uint8).numpy(),
        )
        for number, (network, m) in enumerate(zip(ensemble.networks, ensemble.members, strict=True))
    ]
