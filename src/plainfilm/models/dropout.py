"""Dropout with a byte of chance a value: the same distribution as torch's, without its slowest part.

torch draws the values to drop one by one in a single thread, which was a tenth of a training step of `vgg` on two.
"""

from __future__ import annotations

import torch
from torch import nn


class Dropout(nn.Dropout):
    """As ``nn.Dropout``: each value is 0 with probability ``p``, else divided by 1 - ``p``; nothing in evaluation mode.

    Eight values share one 64-bit draw of torch's own generator. A ``p`` that is no multiple of 1/256, and other
    devices than the CPU, are left to ``nn.Dropout``.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` (any shape) with values dropped."""
        if not self.training or not x.is_cpu or not 0 < self.p < 1 or self.p * 256 % 1:
            return super().forward(x)
        draws = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)
        like = torch.empty_like(x, dtype=torch.uint8)  # in the order of x's memory, channels last or not
        kept = (draws.as_strided(like.shape, like.stride()) >= self.p * 256).to(x.dtype)
        return x * kept.div_(1 - self.p)
