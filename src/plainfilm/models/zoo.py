"""Every model that can be named, and what each is: network, input, how it is trained, licence."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from plainfilm.config import TrainConfig
from plainfilm.errors import InputError, did_you_mean
from plainfilm.image.preprocess import Preprocess

if TYPE_CHECKING:
    from plainfilm.models.backbones import Timm
    from plainfilm.models.lite import Lite
    from plainfilm.models.vgg import VGG

    Backbone: TypeAlias = VGG | Lite | Timm


@dataclass(frozen=True)
class Recipe:
    """A named model. ``build`` makes the network, its values without meaning yet.

    ``trained``: "whole" (every weight), "tail" (what lies behind ``frozen`` layers), "mlp" (dense layers on frozen
    features), "head" (a logistic regression on frozen features) or "" (nothing: an ensemble of trained models).
    """

    name: str
    title: str  # as a reader of the paper knows it
    build: Callable[[int, Preprocess], Backbone]
    preprocess: Preprocess
    trained: str
    pretrained: str  # weights it starts from, or ""
    licence: str
    members: dict[str, str] = field(default_factory=dict)  # of an ensemble: run folder -> SHA-256 of its model.h5
    frozen: int = 0  # how many of the first layers keep their pretrained values, for "tail"

    @property
    def by_steps(self) -> bool:
        """Whether weights are trained by epochs of steps."""
        return self.trained in ("whole", "tail", "mlp")

    def preprocess_for(self, config: TrainConfig) -> Preprocess:
        """Return the preprocessing with what ``config`` changes of this model's own; an ensemble's is its members'."""
        own = self.preprocess
        if not self.trained:
            return own
        return Preprocess(
            size=config.size or own.size,
            resize=config.resize,
            channels=own.channels if self.pretrained else config.channels,
            scaling=config.scaling or own.scaling,
            oversample=config.oversample,
        )


def _vgg(table: str, batch_norm: bool, classes: int, preprocess: Preprocess) -> VGG:
    from plainfilm.models import vgg  # torch is loaded when a network is built, not when its name is read

    smallest = 2 ** getattr(vgg, table).count("P")
    if preprocess.size < smallest:
        raise InputError(f"size={preprocess.size} is too small for this network; it needs at least {smallest}.")
    return vgg.VGG(getattr(vgg, table), classes, preprocess.size, preprocess.channels, batch_norm)


def _lite(wider: float, deeper: float, dropout: float, classes: int, preprocess: Preprocess) -> Lite:
    from plainfilm.models.lite import Lite

    return Lite(classes, wider, deeper, dropout)


VGG16_LICENCE = "Apache-2.0; weights CC BY 4.0 (Visual Geometry Group, Oxford)"
LITE_LICENCE = "Apache-2.0; weights Apache-2.0 (Google, converted by ML Illustrated)"
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
            VGG16_LICENCE,
        ),
        Recipe(
            "vgg16-ft",
            "VGG16, last block fine-tuned",
            partial(_vgg, "VGG16_DROPOUT", False),
            Preprocess(size=224, scaling="caffe"),
            "tail",
            "vgg16",
            VGG16_LICENCE,
            frozen=24,  # four blocks: ten convolutions with their ReLUs, four pools
        ),
        Recipe(
            "vgg16-mlp",
            "VGG16 features + dense layers",
            partial(_vgg, "VGG16_MLP", False),
            Preprocess(size=224, scaling="caffe"),
            "mlp",
            "vgg16",
            VGG16_LICENCE,
        ),
        Recipe(
            "best",
            "EfficientNet-Lite0, fine-tuned on films of varied look",
            partial(_lite, 1.0, 1.0, 0.2),
            Preprocess(size=160, resize="stretch"),
            "whole",
            "efficientnet-lite0",
            LITE_LICENCE,
        ),
        Recipe(
            "best-gpu",
            "EfficientNet-Lite2, fine-tuned on films of varied look",
            partial(_lite, 1.1, 1.2, 0.3),
            Preprocess(size=160, resize="stretch"),
            "whole",
            "efficientnet-lite2",
            LITE_LICENCE,
        ),
    )
}
ENSEMBLE = "ensemble:"
KINDS = {  # of a backbone: how it is made a classifier, what is trained, units between features and classes
    "lr": ("features + logistic regression", "head", 0),
    "mlp": ("features + dense layers", "mlp", 256),
    "ft": ("fine-tuned", "whole", 0),
}
_TIMM = re.compile(rf"timm:([\w.]+)-({'|'.join(KINDS)})")


def recipe(name: str) -> Recipe:
    """Return the recipe named ``name`` (``timm:NAME-lr`` and its kind included, and ``ensemble:RUN,RUN``, whose runs it
    reads); InputError with the nearest name when there is none."""
    if match := _TIMM.fullmatch(name):
        return _timm(name, match[1], match[2])
    if name.startswith(ENSEMBLE):
        return _ensemble(name)
    if name not in RECIPES:
        known = [*RECIPES, *(f"timm:NAME-{kind}" for kind in KINDS), f"{ENSEMBLE}RUN,RUN"]
        raise InputError(f"There is no model '{name}'.{did_you_mean(name, known)}")
    return RECIPES[name]


def built(name: str, classes: int, preprocess: Preprocess, arrays: Mapping[str, np.ndarray]) -> Backbone:
    """Return the network of the recipe ``name``, its values without meaning yet; ValueError where ``arrays`` are not of
    its names and shapes, before memory is taken for it: a file may name any network."""
    import torch

    with torch.device("meta"):
        wanted = recipe(name).build(classes, preprocess).state_dict()
    own, given = ({key: tuple(value.shape) for key, value in values.items()} for values in (wanted, arrays))
    wrong = [key for key in own.keys() | given.keys() if own.get(key) != given.get(key)]
    if wrong:
        raise ValueError(f"{min(wrong)[:80]} has another shape than its network, or is missing in one of them")
    return recipe(name).build(classes, preprocess)


def runs_of(name: str) -> list[str]:
    """Return the run folders that ``ensemble:RUN,RUN`` names; InputError when one of them is no run."""
    runs = [run.strip() for run in name.removeprefix(ENSEMBLE).split(",")]
    wrong = next((run for run in runs if not run or not (Path(run) / "model.h5").is_file()), None)
    if wrong is not None:
        raise InputError(f"--model {name}: '{wrong}' is no finished run folder; name some as ensemble:RUN,RUN.")
    if len({Path(run).resolve() for run in runs}) < len(runs):
        raise InputError(f"--model {name}: a run stands there twice; name each once.")
    return runs


def _ensemble(name: str) -> Recipe:
    from plainfilm.models.ensemble import assembled
    from plainfilm.models.model import Model

    models = [Model.load(run) for run in runs_of(name)]
    network, preprocess = assembled(models, 1)
    names = ",".join(model.name for model in models)
    return Recipe(
        f"{ENSEMBLE}{names}",
        f"mean of {names.replace(',', ', ')}" if len(models) > 1 else f"views of {names}",
        lambda *_: cast("Backbone", network),  # nothing of it is trained, so none of a backbone's parts is needed
        preprocess,
        "",
        "",
        "that of its members",
        {run: model.hash for run, model in zip(runs_of(name), models, strict=True)},
    )


def _timm(name: str, backbone: str, kind: str) -> Recipe:
    from plainfilm.models import backbones

    how, trained, hidden = KINDS[kind]
    return Recipe(
        name,
        f"{backbone}, {how}",
        partial(backbones.build, backbone, hidden),
        Preprocess(size=backbones.side(backbone), scaling="unit"),
        trained,
        f"timm:{backbone}",
        f"Apache-2.0; weights: {backbones.licence(backbone)}",
    )
