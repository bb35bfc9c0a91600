"""Dropout with a byte of chance a value: the same distribution as torch's, without its slowest part.

torch draws the values to drop one by one in a single thread, which was a tenth of a training step of `vgg` on two.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import handle_torch_function, has_torch_function_unary


class Dropout(nn.Dropout):
    """As ``nn.Dropout``: in training each value is 0 with probability ``p``, else divided by 1 - ``p``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` (any shape) with values dropped."""
        return dropout(x, self.p) if self.training else x


def dropout(x: torch.Tensor, p: float) -> torch.Tensor:
    """Return ``x`` (any shape) with each value dropped with probability ``p``.

    Eight values share one 64-bit draw of torch's own generator. A ``p`` that is no multiple of 1/256, and other
    devices than the CPU, are left to torch. Like torch's own functions it can be overridden (training.distributed).
    """
    if has_torch_function_unary(x):
        dropped: torch.Tensor = handle_torch_function(dropout, (x,), x, p)
        return dropped
    if not x.is_cpu or not 0 < p < 1 or p * 256 % 1:
        return F.dropout(x, p)
    draws = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)
    like = torch.empty_like(x, dtype=torch.uint8)  # in the order of x's memory, channels last or not
    kept = (draws.as_strided(like.shape, like.stride()) >= p * 256).to(torch.promote_types(x.dtype, torch.float32))
    return x * kept.div_(1 - p)  # in float32: as a bfloat16, 1 / (1 - p) would be up to 0.2 % off for all values
