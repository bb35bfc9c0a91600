"""Every model that can be named, and all that is known of it before a network is built: one row each.

Neither numpy nor torch is needed to read it. ``models.zoo`` makes networks of the rows, ``training.fitting`` trains
what ``Trained`` says, and settings that a row wants otherwise than the paper are defaults behind the user's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from plainfilm.errors import InputError, did_you_mean


class Trained(Enum):
    """What of a model is trained; ``training.fitting`` has a way for each."""

    WHOLE = "every weight, by steps"
    TAIL = "what lies behind the first, frozen layers, by steps"
    MLP = "dense layers on frozen features, by steps"
    HEAD = "a logistic regression on frozen features"
    NOTHING = "nothing: trained runs joined"

    @property
    def by_steps(self) -> bool:
        """Whether weights are trained by epochs of steps."""
        return self in (Trained.WHOLE, Trained.TAIL, Trained.MLP)

    @property
    def behind_frozen(self) -> bool:
        """Whether steps train layers behind frozen ones, which may see each changed copy of a film once."""
        return self in (Trained.TAIL, Trained.MLP)

    @property
    def on_features(self) -> bool:
        """Whether all that is trained sees stored features, never a film."""
        return self in (Trained.MLP, Trained.HEAD)


@dataclass(frozen=True)
class Row:
    """A named model. ``network``: its family in ``models.zoo`` and what it is built from; ``input``: fields of
    ``Preprocess``; ``frozen``: how many of the first layers keep their pretrained values, for ``Trained.TAIL``."""

    name: str
    title: str  # as a reader of the paper knows it
    network: tuple[Any, ...]
    input: Mapping[str, Any]
    trained: Trained
    pretrained: str = ""  # weights it starts from
    licence: str = "Apache-2.0"
    frozen: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)  # what it wants otherwise than the paper


# Networks of VGG's kind, in the language of ``models.vgg``.
PAPER = "32 32 P D.25 64 64 P D.25 128 128 P D.25 | 512 D.5"
VGG16 = "64 64 P 128 128 P 256 256 256 P 512 512 512 P 512 512 512 P |"

OXFORD = "Apache-2.0; weights CC BY 4.0 (Visual Geometry Group, Oxford)"
GOOGLE = "Apache-2.0; weights Apache-2.0 (Google, converted by ML Illustrated)"
CAFFE = {"size": 224, "scaling": "caffe"}
STRETCHED = {"size": 160, "resize": "stretch"}
# What `best` and `best-gpu` are trained with: found by a battery of changed looks, see docs/models.md.
ROBUST: dict[str, Any] = {
    "epochs": 12,
    "batch": 32,
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "weight_decay": 0.02,
    "decay": "cosine",
    "label_smoothing": 0.05,
    "average": 0.998,
    "resize": "stretch",
    "augment": "rotation=10,translation=.08,zoom=.15,stretch=.35,style=.8,equalise=1,gamma=.8,contrast=.4,"
    "brightness=30,shading=.3,sharpness=1,noise=10,erase=.3",
}
GENTLE = {"batch": 32, "optimizer": "adamw", "learning_rate": 1e-4, "decay": "cosine"}
DECAYED = {"batch": 32, "optimizer": "adamw", "weight_decay": 0.02, "decay": "cosine", "resize": "stretch"}
ROWS = {
    row.name: row
    for row in (
        Row("vgg", "CNN", ("vgg", PAPER, False), {}, Trained.WHOLE),
        Row("vgg-bn", "CNN + BN", ("vgg", PAPER, True), {}, Trained.WHOLE),
        Row(
            "vgg16-lr",
            "VGG16 features + logistic regression",
            ("vgg", VGG16, False),
            CAFFE,
            Trained.HEAD,
            "vgg16",
            OXFORD,
        ),
        Row(
            "vgg16-ft",
            "VGG16, last block fine-tuned",
            ("vgg", f"{VGG16} D.5", False),
            CAFFE,
            Trained.TAIL,
            "vgg16",
            OXFORD,
            frozen=24,  # four blocks: ten convolutions with their ReLUs, four pools
            settings={**GENTLE, "epochs": 8},
        ),
        Row(
            "vgg16-mlp",
            "VGG16 features + dense layers",
            ("vgg", f"{VGG16} N 256 D.5", False),
            CAFFE,
            Trained.MLP,
            "vgg16",
            OXFORD,
            settings={**GENTLE, "epochs": 20},
        ),
        Row(
            "best",
            "EfficientNet-Lite0, fine-tuned on films of varied look",
            ("lite", 1.0, 1.0, 0.2),
            STRETCHED,
            Trained.WHOLE,
            "efficientnet-lite0",
            GOOGLE,
            settings=ROBUST,
        ),
        Row(
            "best-gpu",
            "EfficientNet-Lite2, fine-tuned on films of varied look",
            ("lite", 1.1, 1.2, 0.3),
            STRETCHED,
            Trained.WHOLE,
            "efficientnet-lite2",
            GOOGLE,
            settings=ROBUST | {"batch": 64, "average": 0.996, "class_weights": "none"},
        ),
    )
}
# timm:NAME-KIND: how the backbone is made a classifier, units between features and classes, what is trained, settings.
TIMM: dict[str, tuple[str, int, Trained, dict[str, Any]]] = {
    "lr": (
        "features + logistic regression",
        0,
        Trained.HEAD,
        {"features": "standardised", "resize": "stretch"},
    ),
    "mlp": ("features + dense layers", 256, Trained.MLP, DECAYED | {"epochs": 20, "learning_rate": 1e-3}),
    "ft": (
        "fine-tuned",
        0,
        Trained.WHOLE,
        DECAYED
        | {
            "epochs": 6,
            "learning_rate": 2e-4,
            "augment": "rotation=10,translation=.08,zoom=.15,stretch=.2,gamma=.5,contrast=.3,sharpness=.5,noise=5",
        },
    ),
}
ENSEMBLE = "ensemble:"
_TIMM = re.compile(rf"timm:([\w.]+)-({'|'.join(TIMM)})")


def row(name: str) -> Row:
    """Return the row of ``name``; InputError with the nearest name when there is none.

    That of ``timm:NAME-KIND`` leaves size and licence to the backbone (``models.zoo``).
    """
    if match := _TIMM.fullmatch(name):
        how, hidden, trained, settings = TIMM[match[2]]
        network = ("timm", match[1], hidden)
        start = f"timm:{match[1]}"
        return Row(name, f"{match[1]}, {how}", network, {"scaling": "unit"}, trained, start, settings=settings)
    if name not in ROWS:
        known = [*ROWS, *(f"timm:NAME-{kind}" for kind in TIMM), f"{ENSEMBLE}RUN,RUN"]
        raise InputError(f"There is no model '{name}'.{did_you_mean(name, known)}")
    return ROWS[name]


def own_settings(name: str) -> Mapping[str, Any]:
    """Return what the model ``name`` wants otherwise than the paper; nothing for a name that is none."""
    return row(name).settings if name in ROWS or _TIMM.fullmatch(name) else {}
