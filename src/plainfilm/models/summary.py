"""What a built network consists of: its layers, shapes, parameters and floating-point operations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

LIGHT = 1e9  # FLOPs per film: below it every scored film can be labelled some 25 times over


@dataclass(frozen=True)
class Layer:
    """One layer as built: ``kind`` is the module's class name, ``shape`` its output without the batch."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    detail: str  # such as "3×3" or "p = 0.25"


def layers(network: nn.Module, shape: tuple[int, int, int]) -> list[Layer]:
    """Return every layer in the order in which a film of ``shape`` (C, H, W) first passes through."""
    found: dict[str, Layer] = {}

    def record(name: str) -> object:
        def hook(module: nn.Module, _: object, output: torch.Tensor) -> None:
            count = sum(p.numel() for p in module.parameters())
            layer = Layer(name, type(module).__name__, tuple(output.shape[1:]), count, _detail(module))
            found.setdefault(name, layer)  # views of a film pass through the same layers again

        return hook

    hooks = [
        module.register_forward_hook(record(name))
        for name, module in network.named_modules()
        if not list(module.children())
    ]
    try:
        _pass(network, shape)
    finally:
        for handle in hooks:
            handle.remove()
    return list(found.values())


def flops(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Return floating-point operations to label one film (a multiplication and an addition count as two)."""
    with FlopCounterMode(display=False) as counter:
        _pass(network, shape)
    return int(counter.get_total_flops())


def parameters(network: nn.Module) -> int:
    """Return the number of trained values (buffers such as running means are none)."""
    return sum(p.numel() for p in network.parameters())


def _pass(network: nn.Module, shape: tuple[int, int, int]) -> None:
    was_training = network.training
    network.eval()
    with torch.no_grad():
        network(torch.zeros(1, *shape, device=next(network.parameters()).device))
    network.train(was_training)


def _detail(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        return f"{module.kernel_size[0]}×{module.kernel_size[1]}"
    if isinstance(module, nn.MaxPool2d):
        return f"{module.kernel_size}×{module.kernel_size}"
    if isinstance(module, nn.Dropout):
        return f"p = {module.p:g}"
    return ""
