"""A network whose layers up to the features multiply 16-bit floats, and whose head does all in 32 bits.

The log-odds, and with them the loss, are never rounded to 16 bits. Weights stay float32: a copy is rounded for each
pass, so that a step is never too small for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn


class Mixed(nn.Module):
    """``network`` (films to logits, by forward_features and forward_head), its features in 16 bits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, classes) float32 logits."""
        network = cast(Any, self.network)
        with half(x.device):
            features = network.forward_features(x)
        logits: torch.Tensor = network.forward_head(features.float())
        return logits


def half(device: torch.device, enabled: bool = True) -> torch.autocast:
    """Return the context in which layers multiply 16-bit floats: bfloat16 on a processor, float16 on a GPU."""
    kind = torch.bfloat16 if device.type == "cpu" else torch.float16
    return torch.autocast(device.type, kind, enabled, cache_enabled=torch.is_grad_enabled())


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch computes in the thread that calls it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
