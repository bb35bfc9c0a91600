"""The network as torch.compile makes it: the same sums in fewer kernels, where that is asked for or found to be faster.

On a CPU it was slower than the plain network (LOG.md), so there it runs only by ``compile=on``. On a GPU it is tried.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import nn

from plainfilm.errors import PlainfilmError
from plainfilm.machine import ranks
from plainfilm.progress import say

STEPS = 10  # timed of each, after as many that are not
GAIN = 0.95  # share of the plain network's time that is worth the minute of compiling


def chosen(
    network: nn.Module, how: str, x: torch.Tensor, half: Callable[[], AbstractContextManager[object]] = nullcontext
) -> nn.Module:
    """Return ``network`` or what torch.compile makes of it, by ``how`` ("off", "on", "auto"); they share their weights.

    x: (B, …) float32, a batch as the network gets them, where the network is; "auto" times both with it, in the context
    that ``half`` gives. Processes of
    one command are left as they are by "auto": their shares of a batch change its shape. PlainfilmError when "on" can't
    compile (no C++ compiler, say).
    """
    gpu = next(network.parameters()).device.type == "cuda"
    if how == "off" or (how == "auto" and (not gpu or ranks.world() > 1)):
        return network
    fast = cast(nn.Module, torch.compile(network, options={"fallback_random": True}))  # dropout draws as it does
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor")  # of tracing, and nothing to a user
            _seconds(fast, network, x[1:], half)  # the last batch of an epoch has another size: it must compile too
            plain, quick = (_seconds(model, network, x, half) for model in (network, fast))
    except Exception as error:  # of the compiler's many parts
        if how == "on":
            said = str(error).strip().splitlines()[:1]
            raise PlainfilmError(f"compile=on: torch can't compile this network here ({''.join(said)}).") from None
        say(f"The network runs as it is: torch.compile failed ({type(error).__name__}).")
        return network
    wins = quick < GAIN * plain
    found = f"{quick / plain:.2f} of the plain network's time, by {STEPS} steps"
    say(f"torch.compile takes {found}: {'it is' if wins or how == 'on' else 'not'} used.")
    return fast if wins or how == "on" else network


def _seconds(
    model: nn.Module, network: nn.Module, x: torch.Tensor, half: Callable[[], AbstractContextManager[object]]
) -> float:
    """Return the seconds of STEPS forward and backward passes of ``model``; ``network``, whose weights they are, is
    left as it was."""
    kept = copy.deepcopy(network.state_dict())  # batch normalisation moves its means

    def steps() -> None:
        for _ in range(STEPS):
            with half():
                loss = model(x).float().square().mean()
            cast(Callable[[], None], loss.backward)()
        if x.is_cuda:
            torch.cuda.synchronize()

    network.train()
    steps()
    began = time.perf_counter()
    steps()
    took = time.perf_counter() - began
    network.zero_grad()
    network.load_state_dict(kept)
    return took
