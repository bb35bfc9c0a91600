"""Logistic regression on frozen features, fitted to convergence, and folded into the network as its last layer.

With fewer films than features the problem is solved in the films' space: for centred features X, any G with
G Gᵀ = X Xᵀ has the same inner products, hence the same penalised fit, the same scores on held-out rows and the same
choice of C (the representer theorem: Schölkopf, Herbrich & Smola 2001). G is the Cholesky factor, N × N instead of
N × 25,088. The weights come back as W = C (Y - P)ᵀ X, which holds exactly at the optimum; how far the result is from
one is then measured in the features' own space.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from torch import nn

from plainfilm.errors import InputError, PlainfilmError
from plainfilm.image.store import Rows

BLOCK = 512  # rows of float64 features held at a time
MOST_FILMS = 20_000  # beyond this N × N float64 no longer fits a laptop
TOLERANCE = 1e-8  # the solver stops when no entry of the mean loss's gradient is larger
ITERATIONS = 20_000


@dataclass(frozen=True)
class Fit:
    """A fitted head: logits = features @ weightᵀ + bias."""

    weight: np.ndarray  # (K, D) float32
    bias: np.ndarray  # (K,) float32
    regularisation: float  # the chosen C
    scores: dict[float, float]  # C -> mean accuracy over the folds
    iterations: int
    optimality: float  # |gradient| / |gradient of the loss alone| in the features' space: 0 at the optimum

    def put_into(self, layer: nn.Linear) -> None:
        """Copy the fit into a network's last layer: from here on there is one module from film to logits."""
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight))
            layer.bias.copy_(torch.from_numpy(self.bias))


def fit_logistic(
    features: Rows,
    films: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    values: Sequence[float],
    folds: int,
    seed: int,
    standardise: bool = False,
) -> Fit:
    """Fit an L2-penalised logistic regression to the features (D) of ``films`` (N positions), labels (N,) 0..K-1.

    C is chosen among ``values`` by a grid search over ``folds`` stratified folds that keep ``groups`` (N,) together:
    the best mean accuracy wins, the smaller C at a tie. With ``standardise`` every feature is first divided by its
    standard deviation, so that the penalty treats all alike; the result is for features as they are. InputError when
    there are too few films or too many for it, PlainfilmError when a fit does not converge.
    """
    if len(films) > MOST_FILMS:
        raise InputError(f"{len(films):,} training films; a logistic regression takes {MOST_FILMS:,} at most here.")
    fewest = min(len(set(groups[labels == k])) for k in range(labels.max() + 1))
    if fewest < folds:
        raise InputError(
            f"A class has {fewest} patients or films to train on; a {folds}-fold grid search needs {folds}."
        )
    mean = _mean(features, films)
    scale = _deviation(features, films, mean) if standardise else np.ones_like(mean)
    factor = _factor(features, films, mean, scale)
    search = GridSearchCV(
        LogisticRegression(tol=TOLERANCE, max_iter=ITERATIONS),
        {"C": sorted(values)},
        scoring="accuracy",
        cv=StratifiedGroupKFold(folds, shuffle=True, random_state=seed),
        error_score="raise",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            search.fit(factor, labels, groups=groups)
        except ConvergenceWarning as warning:
            raise PlainfilmError(f"The logistic regression did not converge: {str(warning).splitlines()[0]}") from None
    return _unfold(search, factor, features, films, mean, scale, labels)


def _unfold(
    search: GridSearchCV,
    factor: np.ndarray,
    features: Rows,
    films: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    labels: np.ndarray,
) -> Fit:
    """Carry the fit from the films' space back to the features' and measure there how optimal it is."""
    model: LogisticRegression = search.best_estimator_
    truth = np.eye(len(model.classes_))[labels]  # (N, K)
    residual = truth - model.predict_proba(factor)
    weight = model.C * _pull_back(features, films, mean, scale, residual)  # (K, D); C times minus the loss's gradient
    logits = _logits(features, films, mean, scale, weight)
    if len(weight) == 2:  # sklearn has one row for two classes: z = w·x + b; our two rows are -z/2 and z/2
        weight, logits = weight / 2, logits / 2
        intercept = np.array([-0.5, 0.5]) * model.intercept_[0]
    else:
        intercept = model.intercept_
    again = model.C * _pull_back(features, films, mean, scale, truth - softmax(logits + intercept, 1))
    again = again / 2 if len(weight) == 2 else again
    scores = search.cv_results_
    return Fit(
        (weight / scale).astype(np.float32),
        (intercept - (weight / scale) @ mean).astype(np.float32),
        float(model.C),
        dict(zip(scores["param_C"].tolist(), scores["mean_test_score"].tolist(), strict=True)),
        int(np.max(model.n_iter_)),
        float(np.abs(weight - again).max() / np.abs(again).max()),
    )


def _blocks(features: Rows, films: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (rows, (≤ BLOCK, D) float64 features), so that never more than a block is in memory."""
    for start in range(0, len(films), BLOCK):
        rows = slice(start, start + BLOCK)
        yield rows, features[films[rows]].astype(np.float64)


def _mean(features: Rows, films: np.ndarray) -> np.ndarray:
    return np.asarray(sum(block.sum(0) for _, block in _blocks(features, films)) / len(films))


def _deviation(features: Rows, films: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return each feature's standard deviation; 1 for one that hardly moves, which would be noise blown up."""
    squares = sum(np.square(block - mean).sum(0) for _, block in _blocks(features, films))
    deviation = np.sqrt(np.asarray(squares) / len(films))
    return np.where(deviation > 1e-6 * deviation.max(), deviation, 1.0)


def _factor(features: Rows, films: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the lower Cholesky factor (N, N) of the centred Gram matrix. The 1e-10 on its diagonal keeps exact
    duplicates apart; it is far below the precision of float32 features."""
    gram = np.empty((len(films), len(films)))
    for rows, left in _blocks(features, films):
        for columns, right in _blocks(features, films[: rows.stop]):
            gram[rows, columns] = ((left - mean) / scale) @ ((right - mean) / scale).T
    gram[np.diag_indices_from(gram)] += 1e-10 * np.trace(gram) / len(gram)
    return np.asarray(scipy.linalg.cholesky(gram, lower=True, overwrite_a=True, check_finite=True))


def _pull_back(
    features: Rows, films: np.ndarray, mean: np.ndarray, scale: np.ndarray, residual: np.ndarray
) -> np.ndarray:
    """Return residualᵀ (X - mean) / scale: (K, D)."""
    return np.asarray(sum(residual[rows].T @ ((block - mean) / scale) for rows, block in _blocks(features, films)))


def _logits(features: Rows, films: np.ndarray, mean: np.ndarray, scale: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return (X - mean) / scale weightᵀ: (N, K)."""
    return np.concatenate([((block - mean) / scale) @ weight.T for _, block in _blocks(features, films)])
