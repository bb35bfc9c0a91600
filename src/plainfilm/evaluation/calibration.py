"""What makes probabilities mean what they say: a temperature and offsets, fitted where they are shown to help."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import logsumexp

from plainfilm.evaluation.decision import TINY
from plainfilm.evaluation.intervals import Floats, numbered, summed
from plainfilm.evaluation.predictions import Predictions

TEMPERATURES = (1 / 20, 20.0)
FOLDS, FEWEST, WRONG = 8, 10, 3  # of cross-fitting; films of a class, and errors, without which nothing is calibrated
TO_MOVE, TO_SOFTEN, TO_SHARPEN = 1.65, 1.0, 2.0  # standard errors of a gain; below, calibrating 48 films can do harm


def fit_temperature(p: Predictions) -> float:
    """Return the temperature T, 1/20..20, that makes the labels of ``p`` (validation films) most likely under
    softmax(log p / T).

    Guo et al. 2017, arXiv 1706.04599; the search runs over log T, which is held back a little (one unit of L2, against
    the sum over the films): films separated without error would ask for T = 0, and a dozen films for anything. T is 1
    without films.
    """
    logs = np.log(np.maximum(p.probabilities, TINY))
    told = np.take_along_axis(logs, p.labels[:, None], axis=1)[:, 0]

    def loss(log_t: float) -> float:
        misfit = logsumexp(logs / np.exp(log_t), axis=1) - told / np.exp(log_t)
        return float(misfit.sum() + log_t**2 / 2)

    if not len(p) or np.ptp(logs, axis=1).max() < 1e-9:
        return 1.0
    bounds = tuple(np.log(TEMPERATURES))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8}).x))


def fit_offsets(p: Predictions) -> Floats:
    """Return (K,) what to add to the logits log p of ``p`` (validation films) so that a temperature can calibrate them.

    Class weights and label smoothing move all probabilities one way, which a temperature alone can't undo: temperature
    T and offsets b are fitted together, softmax(log p / T + b), and T b is returned (Alexandari et al. 2020,
    arXiv 1901.06852). Labels count as (n + 1) / (n + K) of their class, n its number of films, so that no offset is
    without bound where the films are separated without error (Platt 1999). Zeros without films of every class.
    """
    counts = np.bincount(p.labels, minlength=len(p.classes))
    if not counts.all():
        return np.zeros(len(p.classes))
    logs = np.log(np.maximum(p.probabilities, TINY))
    sure = (counts + 1) / (counts + len(counts))
    targets = np.tile(((1 - sure) / (len(counts) - 1))[p.labels, None], (1, len(counts)))
    np.put_along_axis(targets, p.labels[:, None], sure[p.labels, None], axis=1)

    def loss(x: Floats) -> float:
        z = logs / np.exp(x[0]) + np.append(0.0, x[1:])
        return float((logsumexp(z, axis=1) - (targets * z).sum(axis=1)).mean())

    found = minimize(
        loss, np.zeros(len(counts)), bounds=[tuple(np.log(TEMPERATURES)), *[(-20, 20)] * (len(counts) - 1)]
    )
    offsets = np.exp(found.x[0]) * np.append(0.0, found.x[1:])
    return np.asarray(offsets - offsets.mean())


class Gain(NamedTuple):
    """How much less log loss per film a calibration has on films that it was not fitted to, and its standard error."""

    value: float
    error: float

    def shown(self, errors: float) -> bool:
        """Whether it is more than so many standard errors."""
        return self.value > errors * self.error


def crossfitted_gain(p: Predictions, offsets: bool) -> Gain:
    """Return what calibrating films like ``p`` (validation films) gains: a temperature, with ``offsets`` before it, is
    fitted to all patients but an eighth, and the log loss of that eighth is compared with the one as it is.

    No gain where a class has fewer than FEWEST films, fewer than WRONG are on the wrong side (how sure a model may be
    is told by its errors alone: films without any ask for ever surer ones), or there are fewer than eight patients.
    """
    whose = numbered(p.patients)
    people = int(whose.max()) + 1 if len(p) else 0
    errors = int((p.probabilities.argmax(axis=1) != p.labels).sum())
    if people < FOLDS or errors < WRONG or np.bincount(p.labels, minlength=len(p.classes)).min() < FEWEST:
        return Gain(0.0, 0.0)
    fold = np.random.default_rng(0).permutation(people)[whose] % FOLDS
    after = np.empty(len(p))
    for number in range(FOLDS):
        rest, left = p.take(np.flatnonzero(fold != number)), np.flatnonzero(fold == number)
        moves = fit_offsets(rest) if offsets else np.zeros(len(p.classes))
        temperature = fit_temperature(_moved(rest, moves, 1.0))
        after[left] = _log_loss(_moved(p.take(left), moves, temperature))
    gains = summed(_log_loss(p) - after, whose)
    spread = np.sqrt(float(np.square(gains - gains.mean()).sum()) * people / (people - 1))
    return Gain(float(gains.sum() / len(p)), float(spread / len(p)))


def proven_offsets(p: Predictions) -> Floats | None:
    """Return ``fit_offsets`` of validation films where cross-fitting shows that they help, else None."""
    return fit_offsets(p) if crossfitted_gain(p, offsets=True).shown(TO_MOVE) else None


def proven_temperature(p: Predictions) -> float:
    """Return ``fit_temperature`` of validation films where cross-fitting shows that it helps, else 1; surer
    probabilities need more to be shown, as they cost more where they are wrong."""
    found = fit_temperature(p)
    return found if crossfitted_gain(p, offsets=False).shown(TO_SOFTEN if found > 1 else TO_SHARPEN) else 1.0


def _moved(p: Predictions, offsets: Floats, temperature: float) -> Predictions:
    return replace(p, probabilities=moved(p.probabilities, offsets, temperature))


def moved(probabilities: Floats, offsets: Floats, temperature: float) -> Floats:
    """Return (N, K) softmax((log p + offsets) / temperature) of (N, K) probabilities."""
    logits = (np.log(np.maximum(probabilities, TINY)) + offsets) / temperature
    return np.asarray(np.exp(logits - logsumexp(logits, axis=1, keepdims=True)))


def _log_loss(p: Predictions) -> Floats:
    told = np.take_along_axis(p.probabilities, p.labels[:, None], axis=1)[:, 0]
    return np.asarray(-np.log(np.maximum(told, TINY)))
