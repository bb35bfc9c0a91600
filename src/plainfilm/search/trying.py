"""One trial: a model fitted with some settings on the training films, judged on the validation films."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from plainfilm.config import TrainConfig
from plainfilm.data.films import Films
from plainfilm.data.split import Source
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.findings import FindingsDecision, FindingsPredictions
from plainfilm.evaluation.intervals import Floats
from plainfilm.evaluation.predictions import Predictions
from plainfilm.image.store import Rows
from plainfilm.models.linear import fit_logistic
from plainfilm.training.feed import Material
from plainfilm.training.loop import Inputs, Judge, judged, train_network

Left = Callable[[np.ndarray, np.ndarray], list[Source]]  # positions of films and their labels -> their sources
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

    After each epoch ``folder``/checkpoint.h5 is written; a trial that was killed goes on from there.
    PlainfilmError when the loss is not finite.
    """
    judge = Judge(lambda trained: score(probabilities_of(trained, inputs, material, material.val)), hopeless)
    config = replace(config, compile="off")  # a minute of compiling is more than most trials take
    progress, _ = train_network(network, inputs, material, config, folder, resume=True, bits=bits, judge=judge)
    last = probabilities_of(judged(network, bits), inputs, material, material.val)
    return Fitted(progress.curve, last, sum(progress.seconds), judge.gives_up(progress))


@torch.inference_mode()
def probabilities_of(network: nn.Module, inputs: Inputs, material: Material, films: np.ndarray) -> Floats:
    """Return (V, K) probabilities of the films at ``films``, dropout off."""
    network.eval()
    device = next(network.parameters()).device
    found = []
    for start in range(0, len(films), 128):
        x = inputs.tensor(torch.from_numpy(material.pixels[films[start : start + 128]]).to(device))
        x = x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
        logits = network(x).double()
        found.append((logits.sigmoid() if material.findings else logits.softmax(1)).cpu().numpy())
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
    left: Left = lambda *_: [],
) -> Fitted:
    """Fit a logistic regression to coordinates (N, R) of the films at ``train``, with C among ``strengths``.

    Several are chosen from as ``train`` does it: by ``folds`` folds of the training films, ``groups`` (N,) together, or
    by the sources that ``left`` finds among them.
    """
    began = time.perf_counter()
    rows = Rows(coordinates, np.arange(len(coordinates)), {})
    fit = fit_logistic(
        rows, train, labels[train], groups[train], strengths, folds, seed, sources=left(train, labels[train])
    )
    probabilities = softmax(coordinates[val] @ fit.weight.T + fit.bias, axis=1)
    return Fitted([], probabilities, time.perf_counter() - began, False)


def fit_heads(  # noqa: PLR0913 - those of fit_head
    coordinates: Floats,
    truth: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
    groups: np.ndarray,
    strengths: Sequence[float],
    folds: int,
    seed: int,
    left: Left = lambda *_: [],
) -> Fitted:
    """As ``fit_head``, for findings ``truth`` (N, F): one for each, fitted to the training films of which it is
    known; below 0 nobody knows."""
    each = [
        fit_head(coordinates, np.maximum(cells, 0), train[cells[train] >= 0], val, groups, strengths, folds, seed, left)
        for cells in truth.T.astype(np.int64)
    ]
    chances = np.stack([fitted.probabilities[:, 1] for fitted in each], axis=1)
    return Fitted([], chances, sum(fitted.seconds for fitted in each), False)


def table(
    films: Films, positions: np.ndarray, probabilities: Floats, decision: Decision | FindingsDecision
) -> Predictions | FindingsPredictions:
    """Return probabilities (V, K) of the films at ``positions`` as predictions."""
    some = films.at(positions)
    if isinstance(decision, FindingsDecision):
        return FindingsPredictions.of_films(some, probabilities, decision)
    return Predictions.of(some.films, probabilities, decision)
