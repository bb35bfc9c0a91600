"""EfficientNet-Lite: Tan & Le 2019 without its attention blocks and with ReLU6 (the "lite" variants of the authors' TPU
repository), as their released values want it: padding is "same" as TensorFlow means it, batch norm has eps 1e-3.

Lite0 has 3.4 million weights, an eightieth of VGG16's work; Lite2 4.8 million, half as much work again.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from plainfilm.models.grid import gridded

SEEN = 5  # the stage whose first block's output the gate looks at
STEM, LAST = 32, 1280  # channels of the first and the last convolution, whatever the scale
# repeats, kernel, stride, expansion, width of each stage: Tan & Le 2019, table 1 (B0)
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
BATCH_NORM = {"momentum": 0.01, "eps": 1e-3}


class Same(nn.Conv2d):
    """A convolution padded so that its output has ceil(side / stride) pixels; the odd pixel goes right and below."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, out, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, across = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:])
        return super().forward(F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2)))


def _unit(width: int, out: int, kernel: int, stride: int = 1, groups: int = 1, active: bool = True) -> list[nn.Module]:
    convolution = (
        Same(width, out, kernel, stride, groups=groups, bias=False)
        if stride > 1
        else nn.Conv2d(width, out, kernel, padding=kernel // 2, groups=groups, bias=False)
    )
    norm = nn.BatchNorm2d(out, **BATCH_NORM)  # type: ignore[arg-type]
    return [convolution, norm, nn.ReLU6()] if active else [convolution, norm]


class Block(nn.Module):
    """Widen, filter each channel, narrow; the input is added where the shape allows it (Sandler et al. 2018)."""

    def __init__(self, width: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = width * expansion
        widen = _unit(width, wide, 1) if expansion > 1 else []
        self.layers = nn.Sequential(
            *widen, *_unit(wide, wide, kernel, stride, wide), *_unit(wide, out, 1, active=False)
        )
        self.adds = stride == 1 and width == out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, out, H / stride, W / stride)."""
        y: torch.Tensor = self.layers(x)
        return x + y if self.adds else y


def _channels(number: float) -> int:
    """Return the multiple of 8 nearest to ``number``, but none below nine tenths of it (as in Tan & Le's code)."""
    near = max(8, int(number + 4) // 8 * 8)
    return near + 8 if near < 0.9 * number else near


class Lite(nn.Module):
    """Films (B, 3, size, size) float32 of mean 0 and standard deviation about 1 -> logits (B, classes).

    ``wider`` and ``deeper`` are factors of Lite0's channels and repeats; the first and the last stage keep one block.
    """

    def __init__(self, classes: int, wider: float = 1.0, deeper: float = 1.0, dropout: float = 0.2) -> None:
        super().__init__()
        layers: list[nn.Module] = _unit(3, STEM, 3, 2)
        width = STEM
        for stage, (repeats, kernel, stride, expansion, base) in enumerate(STAGES):
            out = _channels(base * wider)
            for i in range(math.ceil(repeats * deeper) if repeats > 1 else 1):
                layers.append(Block(width, out, kernel, stride if i == 0 else 1, expansion))
                width = out
                if stage == SEEN and i == 0:
                    self.looked_at = len(layers)
        layers += _unit(width, LAST, 1)
        self.features = nn.Sequential(*layers)
        self.feature_count = LAST
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(LAST, classes))

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, 1280): the last convolution's output, averaged over the film."""
        maps: torch.Tensor = self.features(x)
        return maps.mean((2, 3))

    def forward_wide(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, 1280 + D): the features, and behind them what ``seen`` returns, by one pass.

        The gate looks at the block that first has 192 channels (of Lite0). Behind it the network has forgotten most of
        how films of other places look: of adults' films among children's, the last layer's features told 1 in 20, these
        7 in 10 (LOG.md, 2026-11-30).
        """
        early: torch.Tensor = self.features[: self.looked_at](x)
        maps: torch.Tensor = self.features[self.looked_at :](early)
        return torch.cat([maps.mean((2, 3)), gridded(early)], 1)

    def seen(self, wide: torch.Tensor) -> torch.Tensor:
        """Return (B, D) of what ``forward_wide`` gave: what the gate looks at."""
        return wide[:, LAST:]

    def forward_head(self, features: torch.Tensor) -> torch.Tensor:
        """Return (B, classes) logits of (B, 1280) features, or of what ``forward_wide`` gave."""
        logits: torch.Tensor = self.head(features[:, :LAST])
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, classes) logits."""
        return self.forward_head(self.forward_features(x))
