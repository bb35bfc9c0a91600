"""The weights that models start from, by name: where they are found and how they are put into a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from plainfilm.models import encoders
from plainfilm.models.backbones import put_timm, timm_here, timm_weights
from plainfilm.models.features import put_vgg16
from plainfilm.models.released import LITE0, LITE2, put_lite
from plainfilm.models.weights import Weights, vgg16_weights, weights_here


@dataclass(frozen=True)
class Source:
    """``load`` finds (or fetches) the weights, ``here`` says where they are without a download, ``put`` copies them."""

    load: Callable[[str | Path | None], Weights]
    here: Callable[[], str | None]
    put: Callable[[Any, Any], None]


_SOURCES = {
    "vgg16": Source(vgg16_weights, weights_here, put_vgg16),
    "efficientnet-lite0": Source(LITE0.load, LITE0.here, put_lite),
    "efficientnet-lite2": Source(LITE2.load, LITE2.here, put_lite),
}


def pretrained(name: str) -> Source:
    """Return the source of the weights that a recipe calls ``name``."""
    family, _, backbone = name.partition(":")
    if family == "timm":
        return Source(partial(timm_weights, backbone), partial(timm_here, backbone), put_timm)
    if family == "cxr":
        return Source(partial(encoders.load, backbone), partial(encoders.here, backbone), put_timm)
    return _SOURCES[name]
