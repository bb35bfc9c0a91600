"""The training loop, in plain sight: epochs of shuffled batches, weighted cross-entropy, a step, a checkpoint each."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from plainfilm.config import TrainConfig, name_values
from plainfilm.errors import InputError, PlainfilmError, did_you_mean
from plainfilm.machine import ranks
from plainfilm.machine.threads import prefetched
from plainfilm.models.mixed import Mixed
from plainfilm.progress import Bar, bar
from plainfilm.storage import folders
from plainfilm.storage.tables import write_csv
from plainfilm.training import checkpoint
from plainfilm.training.checkpoint import HISTORY, Progress
from plainfilm.training.compiled import chosen
from plainfilm.training.distributed import sum_gradients, whole_batch
from plainfilm.training.estimate import Pace, foretell
from plainfilm.training.feed import AHEAD, Batch, Feed, Material, pinned
from plainfilm.training.optimizers import optimizer_for
from plainfilm.training.schedules import rate

EVALUATION_BATCH = 128


class Inputs(Protocol):
    """What makes a network's input of stored rows: a preprocessing of pixels, or features as they are."""

    def tensor(self, pixels: torch.Tensor, /) -> torch.Tensor:
        """Return float32 input (B, …) of rows (B, …)."""


def class_weights(setting: str, counts: Mapping[str, float]) -> dict[str, float]:
    """Return {class: weight in the loss} for ``balanced`` (largest count / count), ``none`` or NAME=WEIGHT,…

    Names are matched whatever their case. InputError for an unknown class, a missing one, or a weight not above 0.
    """
    if setting == "balanced":
        return {name: max(counts.values()) / count for name, count in counts.items()}
    if setting == "none":
        return dict.fromkeys(counts, 1.0)
    given = name_values("class-weights", setting)
    known = {name.lower(): name for name in counts}
    for name, weight in given.items():
        if name.lower() not in known:
            raise InputError(f"class-weights: there is no class '{name}'.{did_you_mean(name, counts)}")
        if not 0 < weight < math.inf:
            raise InputError(f"class-weights: {name}={weight:g} must be above 0.")
    missing = set(known) - {name.lower() for name in given}
    if missing:
        raise InputError(f"class-weights: no weight for {', '.join(known[m] for m in sorted(missing))}.")
    return {known[name.lower()]: weight for name, weight in given.items()}


def batches(films: int, size: int) -> list[slice]:
    """Return the batches of an epoch: ``size`` films each, the last what is left.

    A single film left goes with the batch before it, since batch normalisation takes two films at least.
    """
    starts = range(0, max(films - 1, 1), size)
    return [slice(start, start + size) for start in starts[:-1]] + [slice(starts[-1], films)]


@contextmanager
def _seeded(seed: int, epoch: int) -> Iterator[torch.Generator]:
    """Draws of one epoch, the same whenever that epoch runs. Dropout layers draw from torch's own generator, which
    is seeded for the block and given back as it was."""
    own = int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
    with torch.random.fork_rng():
        torch.manual_seed(own)
        yield torch.Generator().manual_seed(own)


@dataclass(frozen=True)
class Judge:
    """A search's view of a training: ``score`` of the network after each epoch, and whether a curve of such scores is
    ``hopeless``, so that the training stops."""

    score: Callable[[nn.Module], float]
    hopeless: Callable[[Sequence[float]], bool]

    def gives_up(self, progress: Progress) -> bool:
        """Whether the training is not worth another epoch."""
        return bool(progress.curve) and self.hopeless(progress.curve)


def train_network(  # noqa: PLR0913, PLR0915 - the loop in plain sight
    network: nn.Module,
    inputs: Inputs,
    material: Material,
    config: TrainConfig,
    folder: Path,
    *,
    resume: bool,
    bits: int = 32,
    judge: Judge | None = None,
    after: int = 0,
) -> tuple[Progress, torch.optim.Optimizer]:
    """Train ``network`` in place; after every epoch write ``folder``/checkpoint.h5 and history.csv.

    With ``resume`` continue from the checkpoint, where there is one. At the end the network holds the weights of the
    last epoch, their moving average when ``config.average`` asks for it, and those of the epoch with the lowest
    validation loss when ``config.patience`` does. Returns how far it came, and the optimizer as it is then. A ``judge``
    may end it earlier. Where it will take over a minute, that is said first, with ``after`` passes of films that follow
    it. PlainfilmError when the loss is not finite, InputError for batches of
    one film where films are normalised together.
    """
    device = next(network.parameters()).device
    network.to(memory_format=torch.channels_last)
    optimizer = optimizer_for(network, config)
    averaged = copy.deepcopy(network) if config.average else network
    best = copy.deepcopy(network) if config.patience else averaged
    kept = {"weights": network, **({"averaged": averaged} if config.average else {})}
    kept |= {"best": best} if config.patience else {}
    saved = folder / folders.CHECKPOINT
    begun = ranks.agreed(resume and saved.exists())
    with ranks.together():
        progress = checkpoint.load(saved, kept, optimizer) if begun else Progress()
    scaler = torch.amp.GradScaler(enabled=device.type == "cuda" and bits == 16)
    run = Training(network, averaged, inputs, material, config, optimizer, scaler, bits)
    if not progress.epoch:
        foretell(config, len(material.train), len(material.val), run.rehearse(), after)
    run.forward = run.compiled()
    steps = len(batches(len(material.train), config.batch))
    with bar(f"Training {config.model} (steps)", config.epochs * steps) as shown:
        shown.step(progress.epoch * steps)
        while progress.epoch < config.epochs and not _stalled(progress, config.patience):
            if judge and judge.gives_up(progress):
                break
            began = time.perf_counter()
            row = run.epoch(progress.epoch, shown)
            score = [judge.score(run.judged)] if judge else []
            progress.epoch += 1
            progress.history.append([progress.epoch, *row, time.perf_counter() - began, *score])
            if config.patience and _best_epoch(progress) == progress.epoch:
                best.load_state_dict(averaged.state_dict())
            with ranks.together():
                if not ranks.rank():
                    checkpoint.save(saved, kept, optimizer, progress)
                    write_csv(folder / folders.HISTORY, HISTORY, progress.rows)
            shown.line(f"epoch {progress.epoch:3d}  loss {row[1]:.3f} {row[3]:.3f}  accuracy {row[2]:.3f} {row[4]:.3f}")
    network.load_state_dict(best.state_dict())
    return progress, optimizer


def _best_epoch(progress: Progress) -> int:
    """The epoch with the lowest validation loss so far, the first at a tie."""
    return int(min(progress.history, key=lambda row: row[HISTORY.index("val_loss")])[0])


def _stalled(progress: Progress, patience: int) -> bool:
    return bool(patience and progress.epoch and progress.epoch - _best_epoch(progress) >= patience)


def judged(network: nn.Module, bits: int) -> nn.Module:
    """Return what passes films through ``network`` with layers that multiply with ``bits``."""
    on_cpu = next(network.parameters()).device.type == "cpu"
    return Mixed(network) if bits == 16 and on_cpu else network


@dataclass
class Training:
    """The parts of one training that every epoch uses."""

    network: nn.Module
    averaged: nn.Module  # the network itself when no average is asked for
    inputs: Inputs
    material: Material
    config: TrainConfig
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    bits: int = 32  # that layers multiply with, see models.precision

    def __post_init__(self) -> None:
        if self.config.batch == 1 and any(isinstance(layer, _BatchNorm) for layer in self.network.modules()):
            raise InputError("batch=1: batch normalisation needs two films per step at least.")
        self.device = next(self.network.parameters()).device
        self.task = self.material.task.to(self.device)
        self.feed = Feed(self.material, self.config)
        # what a step runs (the network, or what torch compiled of it) and what validation runs
        self.forward = judged(self.network, self.bits)
        self.judged = judged(self.averaged, self.bits)

    def _require_finite(self, loss: float, where: str) -> None:
        if not math.isfinite(loss):
            with ranks.together():
                raise PlainfilmError(
                    f"The loss is {loss} in {where}: lower --learning-rate (now {self.config.learning_rate:g}) in"
                    " another --out; checkpoint.h5 holds the state after the epoch before, if there was one."
                )

    def epoch(self, epoch: int, shown: Bar) -> list[float]:
        """Train one epoch (counted from 0); return learning rate, train loss and accuracy, val loss and accuracy.

        Train figures are means over the epoch, with dropout on and the weights moving, as Keras prints them. Losses
        are unweighted, so that both parts' curves show the same quantity.
        """
        config, train = self.config, self.material.train
        parts = batches(len(train), config.batch)
        losses, right, learning_rate = 0.0, 0.0, config.learning_rate
        with _seeded(config.seed, epoch) as generator:
            order = self.material.order(generator)
            for step, batch in enumerate(self._batches([order[part] for part in parts], generator)):
                done = epoch * len(parts) + step
                learning_rate = rate(config.decay, config.learning_rate, config.epochs, epoch, done, len(parts))
                loss, correct = self.step(batch, learning_rate)
                self._average(done)
                self._require_finite(loss, f"epoch {epoch + 1}, step {step + 1}")
                losses, right = losses + loss, right + correct
                shown.step()
                shown.note(f"loss {losses / (step + 1) / config.batch:.3f}")
        val_loss, val_accuracy = self._validate(self.material.val)
        self._require_finite(val_loss, f"validation after epoch {epoch + 1}")  # the last step may have gone too far
        return [learning_rate, losses / len(train), right / len(train), val_loss, val_accuracy]

    def _batches(self, parts: list[np.ndarray], generator: torch.Generator) -> Iterator[Batch]:
        if self.device.type == "cuda":
            return prefetched(lambda films: pinned(self.feed.batch(films, generator)), parts, 1, AHEAD)
        return (self.feed.batch(films, generator) for films in parts)

    def step(self, batch: Batch, learning_rate: float) -> tuple[float, float]:
        """One step, each rank with its share of the batch; return the sum of the films' losses and how many were
        labelled right."""
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        x, labels = self._inputs(batch.pixels, batch.labels)
        with whole_batch(batch.films), self._half():
            logits, labels, loss = self._forward(x, labels, batch)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        sum_gradients(self.network)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        with torch.no_grad():
            counted = self.task.counted(logits.float(), labels)
        losses, rights = ranks.total(torch.tensor(counted, dtype=torch.float64)).tolist()
        return losses, rights

    def _half(self) -> torch.autocast:
        """On a GPU everything up to the logits; on a processor ``Mixed`` does it for the features alone."""
        return torch.autocast("cuda", enabled=self.bits == 16 and self.device.type == "cuda")

    def _forward(
        self, x: torch.Tensor, labels: torch.Tensor, batch: Batch
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return logits, labels and weighted loss of the films or, with mixup, of their mixtures: labels are mixed in
        the same shares, the larger one's are returned."""
        if not batch.mix:
            logits = self.forward(x)
            return logits, labels, self._loss(logits, labels, batch.films)
        part, own, other = batch.mix
        logits = self.forward(part * x[own] + (1 - part) * x[other])
        loss = part * self._loss(logits, labels[own], batch.films)
        return logits, labels[own], loss + (1 - part) * self._loss(logits, labels[other], batch.films)

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor, films: int) -> torch.Tensor:
        return self.task.loss(logits.float(), labels, self.config.label_smoothing, films)

    @torch.no_grad()
    def _average(self, done: int) -> None:
        """Move the average towards the weights after step ``done``; early on it forgets faster, so that the first
        weights do not linger (as in Tan & Le 2019)."""
        if self.averaged is self.network:
            return
        kept = min(self.config.average, (1 + done) / (10 + done))
        now = self.network.state_dict()
        for name, value in self.averaged.state_dict().items():
            value.lerp_(now[name], 1 - kept) if value.is_floating_point() else value.copy_(now[name])

    @torch.no_grad()
    def _validate(self, films: np.ndarray) -> tuple[float, float]:
        """Return (mean loss, accuracy) on the films at ``films``, dropout off; the ranks take batches by turns."""
        self.averaged.eval()
        batches = [films[start : start + EVALUATION_BATCH] for start in range(0, len(films), EVALUATION_BATCH)]
        found = torch.zeros(len(batches), 2, dtype=torch.float64)
        for number in ranks.turns(len(batches)):
            part = batches[number]
            rows, labels = self.material.pixels[part], self.material.labels[part]
            x, labels = self._inputs(torch.from_numpy(rows), torch.from_numpy(labels))
            found[number] = torch.tensor(self.task.counted(self.judged(x), labels), dtype=torch.float64)
        losses, rights = ranks.total(found).T.tolist()
        return sum(losses) / len(films), sum(rights) / len(films)

    def _inputs(self, pixels: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return network input (B, C, S, S) of pixels (B, S, S), and the labels, where the network is."""
        x = self.inputs.tensor(pixels.to(self.device, non_blocking=True))
        x = x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
        return x, labels.to(self.device, non_blocking=True)

    def compiled(self) -> nn.Module:
        """Return what ``training.compiled`` chooses for a batch of the first films; draws stay as they were."""
        with _seeded(self.config.seed, 0) as generator:
            batch = self.feed.batch(self.material.train[: self.config.batch], generator)
            x = self._inputs(batch.pixels, batch.labels)[0]
            return chosen(self.forward, self.config.compile, x, self._half)

    def rehearse(self) -> Pace:
        """Two training steps and a validation on a copy, so that what would fail in hour three fails now; return how
        long they took."""
        network = copy.deepcopy(self.network)
        optimizer, scaler = optimizer_for(network, self.config), torch.amp.GradScaler(enabled=False)
        run = Training(network, network, self.inputs, self.material, self.config, optimizer, scaler, self.bits)
        size = self.config.batch
        with _seeded(self.config.seed, 0) as generator:
            for batch in (self.material.train[:size], self.material.train[-size:]):
                began = time.perf_counter()  # the first step also loads what the second one has
                run.step(run.feed.batch(batch, generator), self.config.learning_rate)
        stepped = time.perf_counter()
        val = self.material.val[:size]
        run._validate(val)
        return Pace((stepped - began) / len(batch), (time.perf_counter() - stepped) / max(1, len(val)))
