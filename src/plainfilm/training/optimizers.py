"""Rules of the steps by name: torch's own, and Lion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from plainfilm.config import TrainConfig


class Lion(torch.optim.Optimizer):
    """Steps of one size, along the sign of gradient and momentum mixed (Chen et al. 2023, algorithm 2).

    Wants a learning rate a third to a tenth of AdamW's and a weight decay as many times larger.
    """

    def __init__(self, params: Any, lr: float, weight_decay: float = 0.0, betas: tuple[float, float] = (0.9, 0.99)):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient; ``closure`` is torch's and must be None."""
        assert closure is None
        for group in self.param_groups:
            now, later = group["betas"]
            for weights in (p for p in group["params"] if p.grad is not None):
                momentum = self.state[weights].setdefault("momentum", torch.zeros_like(weights))
                direction = torch.lerp(weights.grad, momentum, now).sign_()
                weights.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"])
                momentum.lerp_(weights.grad, 1 - later)


def optimizer_for(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimiser that ``config`` names, over the weights of ``network`` that are not frozen."""
    weights = [p for p in network.parameters() if p.requires_grad]
    rate, decay, momentum = config.learning_rate, config.weight_decay, config.momentum
    match config.optimizer:
        case "adam":
            return torch.optim.Adam(weights, rate, weight_decay=decay)
        case "adamw":
            return torch.optim.AdamW(weights, rate, weight_decay=decay)
        case "rmsprop":
            return torch.optim.RMSprop(weights, rate, weight_decay=decay, momentum=momentum)
        case "lion":
            return Lion(weights, rate, decay)
    return torch.optim.SGD(weights, rate, momentum, weight_decay=decay)
