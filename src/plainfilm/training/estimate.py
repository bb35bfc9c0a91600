"""How long a training will take, said before it begins where it is over a minute, and what would shorten it."""

from __future__ import annotations

from typing import NamedTuple

from plainfilm.config import TrainConfig
from plainfilm.machine import ranks
from plainfilm.progress import minutes, say

LONG = 60.0  # seconds from which on it is said


class Pace(NamedTuple):
    """Seconds that a film takes in a training step, and in a pass without one: as rehearsed."""

    step: float
    look: float


def foretell(config: TrainConfig, train: int, val: int, pace: Pace, after: int = 0) -> None:
    """Say how long ``train`` films in steps and ``val`` films without take for all epochs, where that is long.

    ``after``: passes of films that follow the last epoch, for the probes.
    """
    if line := sentence(config, train, val, pace, after):
        say(line)


def sentence(config: TrainConfig, train: int, val: int, pace: Pace, after: int = 0) -> str:
    """Return what ``foretell`` says; empty where it takes less than a minute."""
    epochs = config.epochs * (train * pace.step + val * pace.look)
    probes = after * pace.look / ranks.cores()  # they go through the network side by side, one film per core
    if epochs + probes < LONG:
        return ""
    most = " at most" if config.patience else ""
    films = f"{config.epochs} epochs of {train:,} films at {1 / pace.step:,.3g} films/s, {minutes(epochs)}{most}"
    later = f"; then probes, {minutes(probes)}" if after else ""
    skip = "; --no-probes leaves the probes to a later evaluate RUN --probes" if after else ""
    return f"This takes about {minutes(epochs + probes)}: {films}{later}. Fewer --epochs take less{skip}."
