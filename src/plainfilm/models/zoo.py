"""Every model that can be named, and what each is: network, input, how it is trained, licence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from plainfilm.config import TrainConfig
from plainfilm.errors import InputError, did_you_mean
from plainfilm.image.preprocess import Preprocess

if TYPE_CHECKING:
    from plainfilm.models.vgg import VGG


@dataclass(frozen=True)
class Recipe:
    """A named model. ``build`` makes the untrained network; ``trained`` is "whole" or "head" (frozen features)."""

    name: str
    title: str  # as a reader of the paper knows it
    build: Callable[[int, Preprocess], VGG]
    preprocess: Preprocess
    trained: str
    pretrained: str  # weights it starts from, or ""
    licence: str

    def preprocess_for(self, config: TrainConfig) -> Preprocess:
        """Return the preprocessing with what ``config`` changes of this model's own."""
        own = self.preprocess
        return Preprocess(
            size=config.size or own.size,
            resize=config.resize,
            channels=config.channels if self.trained == "whole" else own.channels,
            scaling=config.scaling or own.scaling,
        )


def _vgg(table: str, batch_norm: bool, classes: int, preprocess: Preprocess) -> VGG:
    from plainfilm.models import vgg  # torch is loaded when a network is built, not when its name is read

    smallest = 2 ** getattr(vgg, table).count("P")
    if preprocess.size < smallest:
        raise InputError(f"size={preprocess.size} is too small for this network; it needs at least {smallest}.")
    return vgg.VGG(getattr(vgg, table), classes, preprocess.size, preprocess.channels, batch_norm)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("vgg", "CNN", partial(_vgg, "PAPER", False), Preprocess(), "whole", "", "Apache-2.0"),
        Recipe("vgg-bn", "CNN + BN", partial(_vgg, "PAPER", True), Preprocess(), "whole", "", "Apache-2.0"),
        Recipe(
            "vgg16-lr",
            "VGG16 features + logistic regression",
            partial(_vgg, "VGG16", False),
            Preprocess(size=224, scaling="caffe"),
            "head",
            "vgg16",
            "Apache-2.0; weights CC BY 4.0 (Visual Geometry Group, Oxford)",
        ),
    )
}


def recipe(name: str) -> Recipe:
    """Return the recipe named ``name``; InputError with the nearest name when there is none."""
    if name not in RECIPES:
        raise InputError(f"There is no model '{name}'.{did_you_mean(name, RECIPES)}")
    return RECIPES[name]
