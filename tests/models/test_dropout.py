from __future__ import annotations

import pytest
import torch
from torch import nn

from plainfilm.models.dropout import Dropout


@pytest.mark.parametrize("p", [0.25, 0.5, 1 / 256, 0.3])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_it_drops_its_share_and_scales_the_rest_as_torchs_does(p, order):
    x = torch.full((5, 30, 41, 41), 2.0).contiguous(memory_format=order).requires_grad_()
    torch.manual_seed(0)
    found = Dropout(p)(x)
    dropped = found == 0
    assert torch.allclose(found[~dropped], torch.tensor(2 / (1 - p)))
    assert float(dropped.double().mean()) == pytest.approx(p, abs=5 * (p * (1 - p) / x.numel()) ** 0.5)
    found.sum().backward()
    assert x.grad is not None and torch.allclose(x.grad, found.detach() / 2)  # what was dropped has no gradient
    assert found.is_contiguous(memory_format=order)


def test_values_are_dropped_independently_of_each_other():
    """Neighbours share a 64-bit draw: of each pair, as often both as chance would have it."""
    torch.manual_seed(0)
    dropped = Dropout(0.5)(torch.ones(100_000, 16)) == 0
    both = (dropped[:, :, None] & dropped[:, None, :]).double().mean(0)
    expected = torch.full((16, 16), 0.25, dtype=torch.float64).fill_diagonal_(0.5)
    assert torch.allclose(both, expected, atol=0.009)


def test_the_seed_decides_and_evaluation_changes_nothing():
    layer, x = Dropout(0.25), torch.randn(7, 3)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(layer(x))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert layer.eval()(x) is x
    assert torch.equal(Dropout(0)(x), x) and not Dropout(1)(x).any()
    assert isinstance(layer, nn.Dropout)
