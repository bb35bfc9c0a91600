"""Everything that can be checked before a run folder is made: films readable, split, decoded once for every model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from plainfilm import ranks
from plainfilm.config import TrainConfig, number_list
from plainfilm.data.films import Films
from plainfilm.data.split import split
from plainfilm.errors import InputError
from plainfilm.evaluation import operating
from plainfilm.evaluation.predictions import positive_class
from plainfilm.image.augment import Augment
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import Rows, ingest
from plainfilm.models.pretrained import pretrained
from plainfilm.models.weights import Weights
from plainfilm.models.zoo import Recipe, recipe
from plainfilm.progress import say
from plainfilm.training.loop import class_weights


@dataclass(frozen=True)
class Prepared:
    """Films that can be read, split, with their stored pixels for one model."""

    films: Films
    pixels: Rows
    recipe: Recipe
    preprocess: Preprocess
    config: TrainConfig
    device: torch.device
    weights: Weights | None  # pretrained, where the model starts from some
    data: str  # as the user named it


def prepare(films: Films, configs: Sequence[TrainConfig], data: str) -> list[Prepared]:
    """Check everything that can be checked before a folder is made; decode each film once for all ``configs``.

    The configs differ in the model only; films that have been split already keep their parts. InputError says what
    is wrong with films or settings.
    """
    first = configs[0]
    with ranks.together():
        recipes = [recipe(config.model) for config in configs]
        preprocesses = [r.preprocess_for(c) for r, c in zip(recipes, configs, strict=True)]
        Augment.parse(first.augment)
        number_list("regularisation", first.regularisation)
        operating.check(first.threshold, first.refer)
        device = _device(first)
        positive_class(films.classes, first.positive or None)
        class_weights(first.class_weights, films.counts)
    names = sorted({r.pretrained for r in recipes if r.pretrained})
    for leads in (True, False):  # rank 0 may have to fetch what the others then find
        with ranks.together():
            if leads == (ranks.rank() == 0):
                weights = {name: pretrained(name).load(first.weights or None) for name in names}
    for note in films.notes:
        say(note)
    with ranks.together():
        if not films.protocol:  # too few films or patients shows here, before hours of decoding
            split(films, first.split, first.seed, contents=False)
    films, rows = ingest(films, preprocesses, first.max_bad)
    films = films if films.protocol else split(films, first.split, first.seed)
    return [
        Prepared(films, pixels, r, p, config, device, weights.get(r.pretrained), data)
        for config, r, p, pixels in zip(configs, recipes, preprocesses, rows, strict=True)
    ]


def _device(config: TrainConfig) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: there is no CUDA device that torch can use; leave it out for the CPU.")
    torch.set_num_threads(config.threads or ranks.cores())
    return torch.device("cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu")
