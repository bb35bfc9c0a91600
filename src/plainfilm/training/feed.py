"""What steps learn from, made on the processor: rows of films, their random changes, the pairs of mixup.

Where a GPU computes, the next batches are made in a thread of their own meanwhile, in memory that it can copy from by
itself. The order of the draws, and with it the result, is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from plainfilm.config import TrainConfig
from plainfilm.image.augment import Augment, Lent
from plainfilm.image.store import Rows
from plainfilm.training.distributed import share
from plainfilm.training.task import Classes, Findings, Task

LENT = 0.5  # share of the films that take their style from films of elsewhere, where there are some
AHEAD = 2  # batches that wait for the GPU


@dataclass(frozen=True)
class Material:
    """What a training sees: pixels (N, S, S) uint8 of all films (or features of theirs), labels (N,), or of findings
    (N, F) float32, and which films train and validate."""

    pixels: Rows
    labels: np.ndarray
    train: np.ndarray
    val: np.ndarray
    class_weights: np.ndarray  # (K,) float
    copies: tuple[
        Rows, ...
    ] = ()  # the films changed at random, if that was done before; only those that train are used
    groups: np.ndarray | None = None  # (N,) whole numbers; films that train are drawn from each alike
    findings: Findings | None = None  # the task, where it is not to tell classes apart
    elsewhere: Rows | None = None  # films without labels that lend their style

    @property
    def task(self) -> Task:
        """What the network is trained to say."""
        return self.findings or Classes(torch.as_tensor(self.class_weights, dtype=torch.float32))

    def order(self, generator: torch.Generator) -> np.ndarray:
        """Return the films of an epoch, as many as train, in the order in which they do.

        With ``groups`` these take turns, so that every batch has them alike: of a large one only some films come, those
        of a small one come again. Another draw each epoch.
        """
        shuffled: np.ndarray = self.train[torch.randperm(len(self.train), generator=generator).numpy()]
        if self.groups is None:
            return shuffled
        of_each = [shuffled[self.groups[shuffled] == group] for group in np.unique(self.groups[self.train])]
        turns = -(-len(shuffled) // len(of_each))
        return np.stack([np.resize(films, turns) for films in of_each], axis=1).reshape(-1)[: len(shuffled)]

    def drawn(self, films: np.ndarray, generator: torch.Generator) -> np.ndarray:
        """Return the rows of the films at ``films`` as training sees them: where there are copies, the film as it is or
        one of them, drawn for each."""
        if not self.copies:
            return self.pixels[films]
        versions = (self.pixels, *self.copies)
        which = torch.randint(len(versions), (len(films),), generator=generator).tolist()
        return np.stack([versions[v].data[versions[v].order[film]] for v, film in zip(which, films, strict=True)])


class Mix(NamedTuple):
    """Which rows of a batch are mixed: ``part`` of those at ``own`` with the rest of those at ``other``, (b,) each."""

    part: float
    own: torch.Tensor
    other: torch.Tensor


class Batch(NamedTuple):
    """A rank's share of a batch of ``films``: pixels (b, S, S) (or features) before the preprocessing, labels (b,)."""

    films: int
    pixels: torch.Tensor
    labels: torch.Tensor
    mix: Mix | None


class Feed:
    """Makes batches of ``material`` as ``config`` wants them. No draw depends on how many ranks there are."""

    def __init__(self, material: Material, config: TrainConfig) -> None:
        self.material, self.config = material, config
        self.augment = Augment() if material.copies else Augment.parse(config.augment)

    def batch(self, films: np.ndarray, generator: torch.Generator) -> Batch:
        """Return this rank's share of the films at ``films``, and the films that they are mixed with."""
        wanted, mix = torch.arange(len(films))[share(len(films))], None
        if self.config.mixup:
            wanted, mix = self._mixed(wanted, len(films), generator)
        if self.config.augment:
            rows = torch.from_numpy(self.material.drawn(films, generator))
            classes = None if self.material.findings else torch.from_numpy(self.material.labels[films])
            pixels = self.augment(rows, generator, wanted, classes, self._lent(len(films), generator))
        else:
            pixels = torch.from_numpy(self.material.pixels[films[wanted.numpy()]])
        return Batch(len(films), pixels, torch.from_numpy(self.material.labels[films[wanted.numpy()]]), mix)

    def _lent(self, films: int, generator: torch.Generator) -> Lent | None:
        """Draw who of elsewhere lends ``films`` their style, to half of them."""
        if (elsewhere := self.material.elsewhere) is None:
            return None
        drawn = torch.randint(len(elsewhere), (films,), generator=generator)
        taken = torch.rand(films, generator=generator) < LENT
        needed, place = torch.unique(drawn[taken], return_inverse=True)
        which = torch.full((films,), -1)
        which[taken] = place
        return Lent(torch.from_numpy(elsewhere[needed.numpy()]), which)

    def _mixed(self, mine: torch.Tensor, films: int, generator: torch.Generator) -> tuple[torch.Tensor, Mix]:
        """Return which films are needed so that each of ``mine`` is mixed with one of all the ``films`` (Zhang et al.
        2018, "mixup")."""
        other = torch.randperm(films, generator=generator)[mine]
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        part = rng.beta(self.config.mixup, self.config.mixup)
        needed, place = torch.unique(torch.cat([mine, other]), return_inverse=True)
        own, other = place.split(len(mine))
        return needed, Mix(max(part, 1 - part), own, other)  # each film keeps the larger part of itself


def pinned(batch: Batch) -> Batch:
    """Return the batch in memory that a GPU can copy from while the processor goes on."""
    return batch._replace(pixels=batch.pixels.pin_memory(), labels=batch.labels.pin_memory())
