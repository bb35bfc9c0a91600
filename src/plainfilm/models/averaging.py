"""Several networks as one, and several views of a film: the mean of their probabilities.

The film comes once, at the side of the largest member; each member gets it at its own, as its own preprocessing has it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from plainfilm.errors import InputError
from plainfilm.evaluation.decision import softened
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.zoo import built

MOST = 16  # members
# (across, down) by how much a view enlarges the film about its middle: as it is, wider, taller, nearer, farther
VIEWS = ((1.0, 1.0), (1.1, 1.0), (1.0, 1.1), (1.1, 1.1), (0.9, 0.9))


@dataclass(frozen=True)
class Member:
    """What is needed of a trained model besides its network's values."""

    model: str
    preprocess: Preprocess
    temperature: float


class Ensemble(nn.Module):
    """Films (B, 1, size, size) float32 in 0..1 -> logits (B, classes), the logarithms of the mean probabilities."""

    def __init__(self, members: Sequence[Member], networks: Sequence[nn.Module], size: int, views: int = 1) -> None:
        super().__init__()
        if not 1 <= len(members) <= MOST or not 1 <= views <= len(VIEWS):
            raise InputError(f"An ensemble has 1 to {MOST} members and 1 to {len(VIEWS)} views.")
        self.members, self.views = tuple(members), views
        self.networks = nn.ModuleList(networks)
        zooms = {zoom for view in VIEWS[:views] for zoom in view}
        for side, zoom in sorted({(m.preprocess.size, zoom) for m in members for zoom in zooms}):
            self.register_buffer(_name(side, zoom), torch.from_numpy(resizing(size, side, zoom)), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, classes) logits."""
        grey, found = x[:, 0] * 255, []
        for number, (network, member) in enumerate(zip(self.networks, self.members, strict=True)):
            for view in range(self.views):
                pixels = self.seen(grey, number, view)
                logits = network(member.preprocess.tensor(pixels).contiguous(memory_format=torch.channels_last))
                found.append(torch.log_softmax(softened(logits, member.temperature), 1))
        return torch.logsumexp(torch.stack(found), 0) - math.log(len(found))

    def seen(self, grey: torch.Tensor, number: int, view: int = 0) -> torch.Tensor:
        """Return (B, s, s) grey values of (B, size, size), as member ``number`` sees them in a view."""
        across, down = (getattr(self, _name(self.members[number].preprocess.size, zoom)) for zoom in VIEWS[view])
        shown: torch.Tensor = down @ grey @ across.T
        return shown

    def about(self) -> dict[str, Any]:
        """Return what ``rebuilt`` needs, as plain values."""
        return {"members": [asdict(member) for member in self.members], "views": self.views}


def _name(side: int, zoom: float) -> str:
    return f"to_{side}_by_{round(100 * zoom)}"


def rebuilt(about: Mapping[str, Any], classes: int, size: int, arrays: Mapping[str, np.ndarray]) -> Ensemble:
    """Return the ensemble that ``about()`` was of, with random weights.

    ``arrays``: its state dict, which each network must fit before the next is made. InputError, KeyError, TypeError or
    ValueError when that is none.
    """
    members = [
        Member(str(m["model"]), Preprocess(**m["preprocess"]), float(m["temperature"])) for m in about["members"][:MOST]
    ]
    if any(member.model.startswith("ensemble") or not 0 < member.temperature < 1e6 for member in members):
        raise ValueError("a member is no model of its own")
    networks = []
    for number, member in enumerate(members):
        own = f"networks.{number}."
        its = {name.removeprefix(own): values for name, values in arrays.items() if name.startswith(own)}
        networks.append(built(member.model, classes, member.preprocess, its))
    return Ensemble(members, networks, size, int(about["views"]))


def resizing(size: int, target: int, zoom: float = 1.0) -> np.ndarray:
    """Return (target, size) float32 weights that make ``target`` pixels of a row of ``size``, enlarged about its
    middle.

    Bilinear, widened to the scale, as Pillow has it: weights fall in a straight line to 0 at one output pixel's
    distance. Beyond the film its edge goes on.
    """
    step = size / zoom / target  # source pixels an output pixel
    middle = size / 2 + (np.arange(target) + 0.5 - target / 2) * step
    middle = middle.clip(0.5, size - 0.5)
    distance = np.abs(np.arange(size) + 0.5 - middle[:, None]) / max(step, 1.0)
    weights = np.clip(1 - distance, 0, None)
    return np.asarray(weights / weights.sum(1, keepdims=True), dtype=np.float32)
