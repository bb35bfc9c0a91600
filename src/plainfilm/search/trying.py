"""One trial: a model fitted with some settings on the training films, judged on the validation films."""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from plainfilm.config import TrainConfig
from plainfilm.data.films import Films
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.intervals import Floats
from plainfilm.evaluation.predictions import Predictions
from plainfilm.image.store import Rows
from plainfilm.models.linear import fit_logistic
from plainfilm.progress import bar
from plainfilm.storage import folders
from plainfilm.training import checkpoint
from plainfilm.training.checkpoint import Progress
from plainfilm.training.feed import Material
from plainfilm.training.loop import Inputs, Training
from plainfilm.training.optimizers import optimizer_for

Score = Callable[[Floats], float]  # (V, K) probabilities of the validation films -> the first objective


@dataclass(frozen=True)
class Fitted:
    """What a fit came to: the first objective after each epoch, the last probabilities (V, K), the seconds."""

    curve: list[float]
    probabilities: Floats
    seconds: float
    pruned: bool


def train_epochs(  # noqa: PLR0913 - those of train_network, and when to stop
    network: nn.Module,
    inputs: Inputs,
    material: Material,
    config: TrainConfig,
    folder: Path,
    score: Score,
    hopeless: Callable[[Sequence[float]], bool],
    bits: int = 32,
) -> Fitted:
    """Train ``network`` as ``training.loop.train_network`` does, but stop when the curve of its scores is hopeless.

    After each epoch ``folder``/checkpoint.h5 is written; a trial that was killed goes on from there. The folder is gone
    when the trial is done. PlainfilmError when the loss is not finite.
    """
    network.to(memory_format=torch.channels_last)
    optimizer = optimizer_for(network, config)
    averaged = copy.deepcopy(network) if config.average else network
    kept = {"weights": network, **({"averaged": averaged} if config.average else {})}
    saved = folder / folders.CHECKPOINT
    progress = checkpoint.load(saved, kept, optimizer) if saved.exists() else Progress()
    scaler = torch.amp.GradScaler(enabled=bits == 16 and next(network.parameters()).device.type == "cuda")
    run = Training(network, averaged, inputs, material, config, optimizer, scaler, bits)
    pruned = bool(progress.history) and hopeless([past[-1] for past in progress.history])  # killed before it was told
    with bar("", 0) as silent:
        while progress.epoch < config.epochs and not pruned:
            began = time.perf_counter()
            row = run.epoch(progress.epoch, silent)
            value = score(probabilities_of(run.judged, inputs, material, material.val))
            progress.epoch += 1
            progress.history.append([progress.epoch, *row, time.perf_counter() - began, value])
            checkpoint.save(saved, kept, optimizer, progress)
            pruned = hopeless([past[-1] for past in progress.history])
    last = probabilities_of(run.judged, inputs, material, material.val)
    shutil.rmtree(folder)
    history = progress.history
    return Fitted([past[-1] for past in history], last, sum(past[-2] for past in history), pruned)


@torch.inference_mode()
def probabilities_of(network: nn.Module, inputs: Inputs, material: Material, films: np.ndarray) -> Floats:
    """Return (V, K) probabilities of the films at ``films``, dropout off."""
    network.eval()
    device = next(network.parameters()).device
    found = []
    for start in range(0, len(films), 128):
        x = inputs.tensor(torch.from_numpy(material.pixels[films[start : start + 128]]).to(device))
        x = x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
        found.append(torch.softmax(network(x).double(), 1).cpu().numpy())
    return np.concatenate(found)


def fit_head(  # noqa: PLR0913 - the quantities of one fit
    coordinates: Floats,
    labels: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
    groups: np.ndarray,
    strengths: Sequence[float],
    folds: int,
    seed: int,
) -> Fitted:
    """Fit a logistic regression to coordinates (N, R) of the films at ``train``, with C among ``strengths``.

    Several are chosen from as ``train`` does it: by ``folds`` folds of the training films, ``groups`` (N,) together.
    """
    began = time.perf_counter()
    rows = Rows(coordinates, np.arange(len(coordinates)), {})
    fit = fit_logistic(rows, train, labels[train], groups[train], strengths, folds, seed)
    probabilities = softmax(coordinates[val] @ fit.weight.T + fit.bias, axis=1)
    return Fitted([], probabilities, time.perf_counter() - began, False)


def table(films: Films, positions: np.ndarray, probabilities: Floats, positive: str) -> Predictions:
    """Return probabilities (V, K) of the films at ``positions`` as predictions."""
    decision = Decision(films.classes, positive)
    return Predictions.of([films.films[i] for i in positions], probabilities, decision)
