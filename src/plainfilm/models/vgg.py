"""One builder, three networks: the paper's `vgg` and `vgg-bn` (its Fig. 1) and VGG16 are rows of the same table.

A table is read from left to right: a number is a 3×3 convolution with that many filters and a ReLU, ``P`` a 2×2
max-pool, ``D.25`` a dropout; behind the ``|`` a number is a dense layer with a ReLU, ``N`` brings the
features to one scale. The last dense layer, one output a class, is always added.
"""

from __future__ import annotations

import torch
from torch import nn

from plainfilm.models.batchnorm import BatchNorm2d
from plainfilm.models.dropout import Dropout
from plainfilm.models.grid import gridded
from plainfilm.models.standardise import Standardise

# Keras' defaults, written as torch counts momentum: new = (1 - momentum) * old + momentum * batch.
BATCH_NORM = {"momentum": 0.01, "eps": 1e-3}


class VGG(nn.Module):
    """A network of the VGG kind. Films (B, channels, size, size) float32 -> logits (B, classes)."""

    def __init__(self, table: str, classes: int, size: int, channels: int = 3, batch_norm: bool = False) -> None:
        super().__init__()
        front, _, back = table.partition("|")
        layers, width = _front(front.split(), channels, batch_norm)
        self.features = nn.Sequential(*layers, nn.Flatten())
        side = size // 2 ** front.split().count("P")
        self.feature_count, self.map_side = width * side * side, side
        self.head = nn.Sequential(*_back(back.split(), self.feature_count, classes, batch_norm))

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, feature_count): the last pool's output, flattened channel by channel."""
        features: torch.Tensor = self.features(x)
        return features

    def forward_wide(self, x: torch.Tensor) -> torch.Tensor:
        """Return what ``forward_head`` and ``seen`` need: the features."""
        return self.forward_features(x)

    def seen(self, wide: torch.Tensor) -> torch.Tensor:
        """Return (B, filters * GRID²) of what ``forward_wide`` gave: the last pool's maps as the gate looks at them."""
        side = self.map_side
        return gridded(wide.reshape(-1, self.feature_count // side**2, side, side))

    def forward_head(self, features: torch.Tensor) -> torch.Tensor:
        """Return (B, classes) logits of (B, feature_count) features."""
        logits: torch.Tensor = self.head(features)
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, classes) logits."""
        return self.forward_head(self.forward_features(x))


def _front(words: list[str], width: int, batch_norm: bool) -> tuple[list[nn.Module], int]:
    layers: list[nn.Module] = []
    for word in words:
        if word == "P":
            layers.append(nn.MaxPool2d(2))
        elif word.startswith("D"):
            layers.append(Dropout(float(word[1:])))
        else:
            layers += [nn.Conv2d(width, int(word), 3, padding=1), _relu()]
            width = int(word)
            layers += [BatchNorm2d(width, **BATCH_NORM)] if batch_norm else []  # type: ignore[arg-type]
    return layers, width


def _back(words: list[str], width: int, classes: int, batch_norm: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for word in words:
        if word.startswith("D"):
            layers.append(Dropout(float(word[1:])))
        elif word == "N":
            layers.append(Standardise(width))
        else:
            layers += [nn.Linear(width, int(word)), _relu()]
            width = int(word)
            layers += [nn.BatchNorm1d(width, **BATCH_NORM)] if batch_norm else []  # type: ignore[arg-type]
    return [*layers, nn.Linear(width, classes)]


def _relu() -> nn.ReLU:
    """In place: nobody needs what comes before it, and a copy takes a twentieth of a film's time."""
    return nn.ReLU(inplace=True)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Glorot-uniform weights (Glorot & Bengio 2010), zero biases: Keras' defaults, which the paper kept."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
