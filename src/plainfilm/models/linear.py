"""Logistic regression on frozen features, fitted to convergence, and folded into the network as its last layer.

With fewer films than features the problem is solved in the films' space: for centred features X, any G with
G Gᵀ = X Xᵀ has the same inner products, hence the same penalised fit, the same scores on held-out rows and the same
choice of C (the representer theorem: Schölkopf, Herbrich & Smola 2001). G is the Cholesky factor, N × N instead of
N × 25,088. The weights come back as W = C (Y - P)ᵀ X, which holds exactly at the optimum. With fewer features than
films, or too many films for a matrix of N × N, G is X itself, streamed from where it is stored. Either way all folds
and all values of C are solved at once (newton.py), and how far the result is from the optimum is measured in the
features' own space.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from scipy.linalg.blas import dsyrk
from torch import nn

from plainfilm.data.groups import stratified_folds
from plainfilm.data.split import Source
from plainfilm.errors import InputError
from plainfilm.evaluation.areas import area
from plainfilm.image.store import Rows, Versions
from plainfilm.models.newton import Blocks, Floats, Problems, chances, solve

BLOCK = 512  # rows held as float64 at a time
PANEL = 2**24  # numbers of some features of all films, held as float64 at a time
MOST_FILMS = 20_000  # beyond this N × N float64 no longer fits a laptop


@dataclass(frozen=True)
class Fit:
    """A fitted head: logits = features @ weightᵀ + bias."""

    weight: np.ndarray  # (K, D) float32
    bias: np.ndarray  # (K,) float32
    regularisation: float  # the chosen C
    scores: dict[float, float]  # C -> mean over the folds of accuracy, over sources of AUROC
    iterations: int  # Newton steps
    optimality: float  # |gradient| / |gradient of the loss alone| in the features' space: 0 at the optimum
    score: str = "accuracy"  # what ``scores`` are

    def put_into(self, layer: nn.Linear) -> None:
        """Copy the fit into a network's last layer: from here on there is one module from film to logits."""
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight))
            layer.bias.copy_(torch.from_numpy(self.bias))


def fit_logistic(  # noqa: PLR0913 - the quantities of one fit
    features: Rows | Versions,
    films: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    values: Sequence[float],
    folds: int,
    seed: int,
    standardise: bool = False,
    sources: Sequence[Source] = (),
) -> Fit:
    """Fit an L2-penalised logistic regression to the features (D) of ``films`` (N positions), labels (N,) 0..K-1.

    C is chosen among ``values`` by a grid search over ``folds`` stratified folds that keep ``groups`` (N,) together:
    the best mean accuracy wins, the smaller C at a tie. Where there are ``sources``, each is held out in place of a
    fold and the best mean AUROC wins (of more than two classes accuracy): what is ranked right at a place that the fit
    has not seen. With ``standardise`` every feature is first divided by its
    standard deviation, so that the penalty treats all alike; the result is for features as they are. Memory: N × N
    float64 where N is below D and MOST_FILMS, else as much at most; beyond that features are read once a product, and
    some ten numbers are held for each film, fold and value of C. InputError when there are too few films for the
    folds, PlainfilmError when a fit does not converge.
    """
    held_out, taken = _by_source(labels, sources) if sources else _by_group(labels, groups, folds, seed)
    count = held_out.shape[1]
    grid = np.array(sorted(values), dtype=np.float64)
    own = scaled(features, films, standardise)
    blocks, width = _coordinates(own)
    truth = np.eye(labels.max() + 1)[labels] if labels.max() > 1 else labels[:, None].astype(np.float64)
    taken = np.pad(taken.astype(np.float64), ((0, 0), (0, 1)), constant_values=1.0)  # the last takes all films
    taken = np.repeat(taken, len(grid), axis=1)  # (N, (folds + 1) values), values within folds
    solution = solve(Problems(blocks, width, truth, taken, np.tile(grid, count + 1)))
    judged = _areas if sources and labels.max() == 1 else _accuracies
    scores = judged(solution.logits[:, : count * len(grid)], labels, held_out)  # (values,)
    best = int(scores.argmax())
    chosen = count * len(grid) + best
    whole = Problems(own.blocks, own.width, truth, taken[:, [chosen]], grid[[best]])
    weights = solution.weights[:, [chosen]]
    if width != own.width:
        weights = _carried_back(whole, weights, solution.logits[:, [chosen]])
    gradient = whole.gradient(weights)[1][:-1]
    by_loss = weights[:-1] - gradient  # what the loss alone would make of the weights; the weights, at the optimum
    weight, bias = own.unscaled(weights[:, 0])
    return Fit(
        weight,
        bias,
        float(grid[best]),
        dict(zip(grid.tolist(), scores.tolist(), strict=True)),
        int(solution.steps[chosen]),
        float(np.abs(gradient).max() / np.abs(by_loss).max()),
        "AUROC" if judged is _areas else "accuracy",
    )


def _by_group(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, folds) bool which films each fold holds out and which it is fitted to: groups whole."""
    fewest = min(len(set(groups[labels == k])) for k in range(labels.max() + 1))
    if fewest < folds:
        raise InputError(
            f"A class has {fewest} patients or films to train on; a {folds}-fold grid search needs {folds}."
        )
    held_out = stratified_folds(labels, groups, folds, seed)[:, None] == np.arange(folds)
    return held_out, ~held_out


def _by_source(labels: np.ndarray, sources: Sequence[Source]) -> tuple[np.ndarray, np.ndarray]:
    """Return the same of sources, each left out in turn."""
    for source in sources:
        if not np.bincount(labels[source.taken], minlength=labels.max() + 1).all():
            raise InputError(f"Without the films of {source.name} a class has none to train on; leave --choose-by out.")
    return np.stack([each.held for each in sources], 1), np.stack([each.taken for each in sources], 1)


@dataclass(frozen=True)
class Scaled:
    """The features of some films, minus their mean, over their scale."""

    features: Rows | Versions
    films: np.ndarray  # (N,)
    mean: Floats  # (D,)
    scale: Floats  # (D,)

    @property
    def width(self) -> int:
        return len(self.mean)

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Yield rows and their (≤ BLOCK, D), so that never more than a block is in memory."""
        for rows, block in _read(self.features, self.films):
            yield rows, (block - self.mean) / self.scale

    def panels(self) -> Iterator[Floats]:
        """Yield some features (N, ≤ PANEL / N) of all films, and so on until all features have come."""
        wide = max(1, PANEL // len(self.films))
        for start in range(0, self.width, wide):
            some = slice(start, start + wide)
            yield (self.features.columns(self.films, some) - self.mean[some]) / self.scale[some]

    def unscaled(self, weights: Floats) -> tuple[np.ndarray, np.ndarray]:
        """Return weight (K, D) and bias (K,), float32, for features as they are, of weights (D + 1, k)."""
        if weights.shape[1] == 1:  # z = w·x + b of two classes; our two rows are -z/2 and z/2
            weights = np.concatenate([-weights, weights], 1) / 2
        weight = (weights[:-1].T / self.scale).astype(np.float32)
        return weight, (weights[-1] - weight.astype(np.float64) @ self.mean).astype(np.float32)


def scaled(features: Rows | Versions, films: np.ndarray, standardise: bool) -> Scaled:
    """Return the features of the films at ``films``, minus their mean; each over its deviation with ``standardise``,
    unless it hardly moves, which would be noise blown up."""
    mean = mean_of(features, films)
    if not standardise:
        return Scaled(features, films, mean, np.ones_like(mean))
    deviation = deviation_of(features, films, mean)
    return Scaled(features, films, mean, np.where(deviation > 1e-6 * deviation.max(), deviation, 1.0))


def mean_of(features: Rows | Versions, films: np.ndarray) -> Floats:
    """Return each feature's mean (D,) over the films at ``films``."""
    return np.asarray(sum(block.sum(0, dtype=np.float64) for _, block in _read(features, films)) / len(films))


def deviation_of(features: Rows | Versions, films: np.ndarray, mean: Floats) -> Floats:
    """Return each feature's standard deviation (D,) over the films at ``films``, which have this mean."""
    squares = sum(np.square(block - mean).sum(0) for _, block in _read(features, films))
    return np.sqrt(np.asarray(squares) / len(films))


def _read(features: Rows | Versions, films: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    for start in range(0, len(films), BLOCK):
        rows = slice(start, start + BLOCK)
        yield rows, features[films[rows]]


def _coordinates(scaled: Scaled) -> tuple[Blocks, int]:
    """Return the films' coordinates, block by block, and how many there are: N with fewer films than features, if N × N
    numbers can be held, else the features, held if they are no more than that."""
    n = len(scaled.films)
    if n < scaled.width and n <= MOST_FILMS:
        factor = _factor(scaled)
        ends = range(BLOCK, n + BLOCK, BLOCK)
        held = [
            (slice(end - BLOCK, end), factor[end - BLOCK : end, :end]) for end in ends
        ]  # beyond the diagonal it is 0
        return lambda: held, n
    if n * scaled.width <= MOST_FILMS**2:
        held = list(scaled.blocks())
        return lambda: held, scaled.width
    return scaled.blocks, scaled.width


def _factor(scaled: Scaled) -> Floats:
    """Return the lower Cholesky factor (N, N) of the Gram matrix. The 1e-10 on its diagonal keeps exact duplicates
    apart; it is far below the precision of float32 features."""
    n = len(scaled.films)
    gram = np.zeros((n, n), order="F")
    for panel in scaled.panels():
        gram = dsyrk(1.0, panel.T, beta=1.0, c=gram, trans=1, lower=1, overwrite_c=1)
    gram[np.diag_indices_from(gram)] += 1e-10 * np.trace(gram) / n
    return np.asarray(scipy.linalg.cholesky(gram, lower=True, overwrite_a=True, check_finite=True))


def _accuracies(logits: Floats, labels: np.ndarray, held_out: np.ndarray) -> Floats:
    """Return the mean accuracy over the folds for each value of C, of logits (N, folds · values, k)."""
    found = logits[..., 0] > 0 if logits.shape[2] == 1 else logits.argmax(2)
    right = (found == labels[:, None]).reshape(*held_out.shape, -1)  # (N, folds, values)
    return np.average([right[out, fold].mean(0) for fold, out in enumerate(held_out.T)], axis=0)


def _areas(logits: Floats, labels: np.ndarray, held_out: np.ndarray) -> Floats:
    """Return the mean AUROC over the folds for each value of C, of logits (N, folds · values, 1) of two classes."""
    score = logits[..., 0].reshape(*held_out.shape, -1)  # (N, folds, values)
    each = [
        [area(labels[out] == 1, column).value for column in score[out, fold].T] for fold, out in enumerate(held_out.T)
    ]
    return np.asarray(np.mean(each, axis=0))


def _carried_back(whole: Problems, weights: Floats, logits: Floats) -> Floats:
    """Return the weights (D + 1, 1, k) of the features, W = C (Y - P)ᵀ X, of a problem with N + 1 and these logits."""
    back = np.zeros((whole.width, 1, weights.shape[2]))
    for rows, block in whole.blocks():
        back[:, 0] += block.T @ (whole.truth[rows] - chances(logits[rows, 0]))
    return np.concatenate([whole.strengths[0] * back, weights[-1:]])
