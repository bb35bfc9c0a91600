"""Features brought to one scale for dense layers, by what the training films' features are."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

FLOOR = 0.1  # of the median deviation; a feature that moves less is not blown up further
LIMIT = 8.0  # deviations; what no training film came near says no more than that


class Standardise(nn.Module):
    """Features (B, D) -> minus their mean, over their deviation, within ± LIMIT; 0 for those that never moved.

    ``learn`` sets mean and deviation once. A batch normalisation would not do here: a feature that is silent on the
    training films has no variance, and the first film where it speaks would drown all others.
    """

    mean: torch.Tensor
    factor: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("factor", torch.ones(width))

    def learn(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Take the training films' (D,) mean and standard deviation of each feature."""
        moving = deviation > 0
        floor = FLOOR * float(np.median(deviation[moving])) if moving.any() else 1.0
        factor = np.where(moving, 1 / np.maximum(deviation, floor), 0.0)
        self.mean.copy_(torch.from_numpy(mean))
        self.factor.copy_(torch.from_numpy(factor))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (B, D)."""
        return ((features - self.mean) * self.factor).clamp(-LIMIT, LIMIT)
