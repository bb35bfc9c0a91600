from __future__ import annotations

import pytest
import torch
from torch import nn

from plainfilm.config import OPTIMIZERS, TrainConfig
from plainfilm.training.optimizers import Lion, optimizer_for


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_goes_downhill_and_leaves_frozen_weights_alone(name):
    layer = nn.Linear(3, 1)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    assert layer.bias is not None
    layer.bias.requires_grad_(False)
    frozen = layer.bias.clone()
    optimizer = optimizer_for(layer, TrainConfig(optimizer=name, learning_rate=0.01, momentum=0.5))
    losses = []
    for _ in range(120):
        loss = layer.weight.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0] and torch.equal(layer.bias, frozen)
    assert sum(p.numel() for g in optimizer.param_groups for p in g["params"]) == 3


def test_lion_is_the_papers_algorithm():
    """Two steps by hand: update = sign(.9 m + .1 g), weights shrink by lr * decay first, m = .99 m + .01 g."""
    weight = nn.Parameter(torch.tensor([1.0, -1.0]))
    optimizer = Lion([weight], lr=0.1, weight_decay=0.5)
    weight.grad = torch.tensor([2.0, -3.0])
    optimizer.step()
    assert torch.allclose(weight, torch.tensor([0.95 - 0.1, -0.95 + 0.1]))
    weight.grad = torch.tensor([-0.1, -3.0])  # .9 * .02 - .1 * .1 > 0: momentum outweighs the gradient's sign
    optimizer.step()
    assert torch.allclose(weight, torch.tensor([0.85 * 0.95 - 0.1, -0.85 * 0.95 + 0.1]))
    assert torch.allclose(optimizer.state[weight]["momentum"], torch.tensor([0.0198 - 0.001, -0.0297 - 0.03]))
