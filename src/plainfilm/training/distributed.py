"""One step of many processes on shares of a batch, so that it is the step of one process on the whole batch.

Each takes a run of the batch's films; the gradients are added up. Two kinds of layer look beyond their own films: a
dropout draws for the whole batch and keeps its share, a batch norm takes mean and variance over the films of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from plainfilm.machine import ranks
from plainfilm.models.dropout import dropout

Drop: TypeAlias = Callable[[torch.Tensor, float], torch.Tensor]


def share(films: int) -> slice:
    """Return which of a batch's ``films`` are this rank's: whole numbers of films, as even as they can be."""
    return slice(films * ranks.rank() // ranks.world(), films * (ranks.rank() + 1) // ranks.world())


def sum_gradients(network: nn.Module) -> None:
    """Add up every weight's gradient over the ranks, in one message."""
    if ranks.world() == 1:
        return
    gradients = [weights.grad for weights in network.parameters() if weights.grad is not None]
    summed = ranks.total(torch.cat([gradient.flatten() for gradient in gradients]))
    pieces = torch.split(summed, [gradient.numel() for gradient in gradients])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view_as(gradient))


@contextmanager
def whole_batch(films: int) -> Iterator[None]:
    """Within, layers that train on this rank's share of a batch of ``films`` act as they do on the whole batch."""
    if ranks.world() == 1:
        yield
        return
    with _WholeBatch(films):
        yield


class _WholeBatch(TorchFunctionMode):
    def __init__(self, films: int) -> None:
        super().__init__()
        self.films = films

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        own: dict[Callable[..., Any], Callable[..., Any]] = {
            dropout: partial(self._dropout, dropout),
            F.dropout: partial(self._dropout, F.dropout),
            F.batch_norm: self._batch_norm,
        }
        return own.get(function, function)(*args, **(kwargs or {}))

    def _dropout(
        self, draw: Drop, x: torch.Tensor, p: float, training: bool = True, inplace: bool = False
    ) -> torch.Tensor:
        if not training:
            return x
        whole = x.new_ones((self.films, *x.shape[1:]))
        if x.dim() == 4 and not x.is_contiguous():  # draws follow the order in memory
            whole = whole.contiguous(memory_format=torch.channels_last)
        return x * draw(whole, p)[share(self.films)]

    def _batch_norm(  # noqa: PLR0913 - the arguments of PyTorch's own
        self,
        x: torch.Tensor,
        running_mean: torch.Tensor | None,
        running_var: torch.Tensor | None,
        weight: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> torch.Tensor:
        """As torch's SyncBatchNorm, which runs on GPUs only; sums are taken in float64."""
        if not training:
            return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
        wide = x.float()
        over, shape = [0, *range(2, x.dim())], (1, -1, *[1] * (x.dim() - 2))
        count = self.films * x.shape[2:].numel()
        mean = _summed(wide.sum(over, dtype=torch.float64)) / count
        centred = wide - mean.float().view(shape)
        variance = _summed(centred.square().sum(over, dtype=torch.float64)) / count
        with torch.no_grad():
            for kept, now in ((running_mean, mean), (running_var, variance * (count / max(count - 1, 1)))):
                if kept is not None:
                    kept.lerp_(now.to(kept.dtype), momentum)
        y: torch.Tensor = centred * (variance + eps).rsqrt().float().view(shape)
        y = y if weight is None or bias is None else y * weight.view(shape) + bias.view(shape)
        return y.to(x.dtype)


class _Sum(torch.autograd.Function):
    """The sum over the ranks, of values and of the gradients that flow back through it."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        """Return the sum, the same on every rank."""
        return ranks.total(values.clone())

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """Every rank's loss depends on every rank's values."""
        return ranks.total(gradient.clone())


def _summed(values: torch.Tensor) -> torch.Tensor:
    summed: torch.Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return summed
