from __future__ import annotations

import pytest
import torch
from torch import nn

from plainfilm.models.batchnorm import BatchNorm2d


def both(shape: tuple[int, ...], dtype: torch.dtype):
    """Outputs, gradients and running figures of ours, channels last, and of torch's in float64, channels first."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).relu() * 3 + 1
    gradient = torch.randn(shape, generator=generator, dtype=torch.float64)
    for layer, type_, order in (
        (BatchNorm2d(shape[1], eps=1e-3, momentum=0.01), dtype, torch.channels_last),
        (nn.BatchNorm2d(shape[1], eps=1e-3, momentum=0.01), torch.float64, torch.contiguous_format),
    ):
        layer.to(type_)
        with torch.no_grad():
            layer.weight.copy_(torch.linspace(-1, 2, shape[1]))
            layer.bias.copy_(torch.linspace(0, 1, shape[1]))
        own = x.to(type_).contiguous(memory_format=order).requires_grad_()
        found = layer(own)
        found.backward(gradient.to(type_).contiguous(memory_format=order))
        assert found.is_contiguous(memory_format=order)
        assert own.grad is not None and layer.weight.grad is not None and layer.bias.grad is not None
        yield [found, own.grad, layer.weight.grad, layer.bias.grad, *layer.buffers()], layer.eval()(own)


@pytest.mark.parametrize("shape", [(24, 32, 64, 64), (7, 5, 3, 3), (2, 128, 2, 2), (3, 1, 8, 8), (2, 3, 1, 1)])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
def test_it_is_torchs_batch_normalisation(shape, dtype, error):
    (ours, in_use), (plain, plain_in_use) = both(shape, dtype)
    for a, b in zip([*ours, in_use], [*plain, plain_in_use], strict=True):
        assert (a - b).abs().max() <= error * b.abs().max().clamp(min=1), (a - b).abs().max()
