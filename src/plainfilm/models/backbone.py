"""A network's front, which makes features of films, and its head, which makes logits of features."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import nn

from plainfilm.models.backbones import Timm
from plainfilm.models.lite import Lite
from plainfilm.models.vgg import VGG

Backbone: TypeAlias = VGG | Lite | Timm


class Front(nn.Sequential):
    """The first, frozen layers of a network; what they give is stored like features."""

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the last of the layers gives."""
        features: torch.Tensor = self(x)
        return features

    def forward_wide(self, x: torch.Tensor) -> torch.Tensor:
        """Return the same: no gate looks at frozen layers' maps."""
        return self.forward_features(x)


def cut(network: VGG, layers: int) -> tuple[Front, nn.Sequential]:
    """Return the first ``layers`` of the network's features, frozen, and all that comes behind them: its own modules,
    so that training the second trains the network."""
    front = Front(*network.features[:layers])
    front.requires_grad_(False)
    return front, nn.Sequential(*network.features[layers:], *network.head)
