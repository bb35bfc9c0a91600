"""A network's maps as the input gate looks at them: averaged over the squares of a coarse grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F

GRID = 4  # squares along each side: enough to tell where in a film something lies


def gridded(maps: torch.Tensor) -> torch.Tensor:
    """Return (B, C * GRID²) float32 means of (B, C, H, W) maps over a grid of GRID x GRID squares."""
    return F.adaptive_avg_pool2d(maps, GRID).flatten(1).float()
