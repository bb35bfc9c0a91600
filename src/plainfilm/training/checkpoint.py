"""All state of a training after an epoch, in one file that is moved into place: what `--resume` continues from.

Random numbers need no state of their own: each epoch draws from a generator seeded by (seed, epoch).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from plainfilm.errors import InputError
from plainfilm.models.bundle import read_bundle, write_bundle
from plainfilm.models.model import load_arrays, to_arrays

Networks = Mapping[str, nn.Module]
HISTORY = ("epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds")


@dataclass
class Progress:
    """Epochs done, and for each a row in the order of HISTORY, in a search with its score behind."""

    epoch: int = 0
    history: list[list[float]] = field(default_factory=list)

    @property
    def rows(self) -> list[list[float]]:
        """The rows of history.csv, seconds to two digits."""
        return [[*row[: len(HISTORY) - 1], round(row[len(HISTORY) - 1], 2)] for row in self.history]

    @property
    def seconds(self) -> list[float]:
        """The seconds of each epoch."""
        return [row[len(HISTORY) - 1] for row in self.history]

    @property
    def curve(self) -> list[float]:
        """The score of each epoch, where a search has it scored."""
        return [row[-1] for row in self.history if len(row) > len(HISTORY)]


def save(path: Path, networks: Networks, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    """Write the networks (``weights`` and what else is kept of them), optimiser and history."""
    arrays = {f"optimizer/{k}": v for k, v in optimizer_arrays(optimizer).items()}
    for name, network in networks.items():
        arrays |= {f"{name}/{k}": v for k, v in to_arrays(network.state_dict()).items()}
    write_bundle(path, "checkpoint", arrays, {"epoch": progress.epoch, "history": progress.history})


def load(path: Path, networks: Networks, optimizer: torch.optim.Optimizer) -> Progress:
    """Read back what ``save`` wrote into ``networks`` and ``optimizer``; InputError when it does not fit."""
    bundle = read_bundle(path, "checkpoint")
    try:
        for name, network in networks.items():
            load_arrays(network, bundle.group(name))
        load_optimizer(optimizer, bundle.group("optimizer"))
        return Progress(int(bundle.about["epoch"]), list(bundle.about["history"]))
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} does not fit this run: {error}.") from None


def optimizer_arrays(optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """Return the optimiser's state as arrays: ``I/name`` for parameter I, and each group's numbers."""
    state = optimizer.state_dict()
    arrays = {
        f"{index}/{name}": value.detach().cpu().numpy()
        for index, values in state["state"].items()
        for name, value in values.items()
        if isinstance(value, torch.Tensor)
    }
    numbers = {k: v for k, v in state["param_groups"][0].items() if isinstance(v, float)}
    return arrays | {f"group/{name}": np.array(value) for name, value in numbers.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, arrays: dict[str, np.ndarray]) -> None:
    """Put arrays of ``optimizer_arrays`` back."""
    state: dict[str, Any] = optimizer.state_dict()
    for name, value in arrays.items():
        owner, _, key = name.partition("/")
        if owner == "group":
            state["param_groups"][0][key] = float(value)
        else:
            state["state"].setdefault(int(owner), {})[key] = torch.from_numpy(np.array(value))
    optimizer.load_state_dict(state)
