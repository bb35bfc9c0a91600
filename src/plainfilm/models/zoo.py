"""The networks of the models in ``catalogue``: how each is built, and how films become its input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from plainfilm.catalogue import Row, Trained, row
from plainfilm.config import TrainConfig
from plainfilm.errors import InputError
from plainfilm.image.preprocess import Preprocess

if TYPE_CHECKING:
    from plainfilm.models.backbone import Backbone
    from plainfilm.models.backbones import Timm
    from plainfilm.models.lite import Lite
    from plainfilm.models.vgg import VGG


@dataclass(frozen=True)
class Recipe:
    """An architecture by name, its network and its preprocessing."""

    row: Row
    preprocess: Preprocess

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return self.row.name

    @property
    def title(self) -> str:
        """Its name as a reader of the paper knows it."""
        return self.row.title

    @property
    def trained(self) -> Trained:
        """What of it is trained."""
        return self.row.trained

    @property
    def pretrained(self) -> str:
        """Weights it starts from, or ""."""
        return self.row.pretrained

    def build(self, classes: int, preprocess: Preprocess) -> Backbone:
        """Return its network with random weights; InputError for a size that it can't take."""
        family, *built_from = self.row.network
        network: Backbone = BUILDERS[family](*built_from, classes, preprocess)
        return network

    def preprocess_for(self, config: TrainConfig) -> Preprocess:
        """Return the preprocessing with what ``config`` changes of this model's own."""
        own = self.preprocess
        return Preprocess(
            size=config.size or own.size,
            resize=config.resize,
            channels=own.channels if self.pretrained else config.channels,
            scaling=config.scaling or own.scaling,
            oversample=config.oversample,
        )


def recipe(name: str) -> Recipe:
    """Return the architecture named ``name``; InputError with the nearest name when there is none."""
    found = row(name)
    if found.network[0] != "timm":
        return Recipe(found, Preprocess(**found.input))
    from plainfilm.models import backbones

    backbone = found.network[1]
    licence = f"Apache-2.0; weights: {backbones.licence(backbone)}"
    return Recipe(replace(found, licence=licence), Preprocess(size=backbones.side(backbone), **found.input))


def built(name: str, classes: int, preprocess: Preprocess, arrays: Mapping[str, np.ndarray]) -> Backbone:
    """Return the network of the architecture ``name`` with random weights; ValueError where ``arrays`` are not of its
    names and shapes, before memory is taken for it: a file may name any network."""
    import torch

    with torch.device("meta"):
        wanted = recipe(name).build(classes, preprocess).state_dict()
    own, given = ({key: tuple(value.shape) for key, value in values.items()} for values in (wanted, arrays))
    wrong = [key for key in own.keys() | given.keys() if own.get(key) != given.get(key)]
    if wrong:
        raise ValueError(f"{min(wrong)[:80]} has another shape than its network, or is missing in one of them")
    return recipe(name).build(classes, preprocess)


# -- families: torch is loaded when a network is built, not when its name is read --------------------------------------


def _vgg(table: str, batch_norm: bool, classes: int, preprocess: Preprocess) -> VGG:
    from plainfilm.models.vgg import VGG

    smallest = 2 ** table.count("P")
    if preprocess.size < smallest:
        raise InputError(f"size={preprocess.size} is too small for this network; it needs at least {smallest}.")
    return VGG(table, classes, preprocess.size, preprocess.channels, batch_norm)


def _lite(wider: float, deeper: float, dropout: float, classes: int, preprocess: Preprocess) -> Lite:
    from plainfilm.models.lite import Lite

    return Lite(classes, wider, deeper, dropout)


def _timm(backbone: str, hidden: int, classes: int, preprocess: Preprocess) -> Timm:
    from plainfilm.models import backbones

    return backbones.build(backbone, hidden, classes, preprocess)


def _encoder(name: str, hidden: int, classes: int, preprocess: Preprocess) -> Timm:
    from plainfilm.models import encoders

    return encoders.build(name, hidden, classes, preprocess)


BUILDERS: dict[str, Callable[..., Any]] = {"vgg": _vgg, "lite": _lite, "timm": _timm, "cxr": _encoder}
