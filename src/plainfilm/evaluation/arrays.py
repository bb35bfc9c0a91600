"""Predictions from arrays that a caller has at hand: labels, scores, patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.data import words
from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.handed_in import affirmed, listed
from plainfilm.evaluation.predictions import Predictions


def from_arrays(
    labels: Any,
    scores: Any,
    patients: Any = None,
    classes: Sequence[str] | None = None,
    positive: str = "",
    threshold: float = 0.5,
) -> Predictions:
    """Return predictions of N films from arrays.

    labels: (N,) names of classes, booleans, or indices 0 … K - 1 where ``classes`` are given; scores: (N,) probability
    of the positive class 0..1, or (N, K) of each class in the order of ``classes`` (else sorted); patients: (N,), each
    film its own patient without. InputError where shapes differ or values can't be probabilities.
    """
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or values.ndim not in (1, 2) or len(values) != len(truth):
        raise InputError(
            f"labels of shape {truth.shape} and scores of shape {values.shape} don't fit: (N,) and (N,) or (N, K)."
        )
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise InputError(
            "scores must be probabilities within 0..1; plainfilm.evaluation.scales.as_probabilities makes them."
        )
    names = list(classes) if classes is not None else sorted(set(_spelt(truth)))
    index = _indices(truth, names, classes is not None)
    decision = Decision.of(names, positive or affirmed(names))
    decision = Decision(decision.classes, decision.positive, threshold)
    if values.ndim == 1:
        if not decision.two:
            raise InputError(f"one score can't tell {len(names)} classes; give (N, {len(names)}) probabilities.")
        both = np.empty((len(values), 2))
        both[:, decision.column], both[:, 1 - decision.column] = values, 1 - values
        values = both
    if values.shape[1] != len(names):
        raise InputError(f"{values.shape[1]} columns of scores for {len(names)} classes ({listed(names)}).")
    films = [str(number) for number in range(len(truth))]
    whose = films if patients is None else [str(who) for who in np.asarray(patients).tolist()]
    if len(whose) != len(films):
        raise InputError(f"{len(whose)} patients for {len(films)} films.")
    parts = np.full(len(films), "test", dtype=np.str_)
    return Predictions(films, parts, index, values, decision, np.array(whose, dtype=np.str_))


def _spelt(labels: NDArray[Any]) -> list[str]:
    return [words.label(str(int(value) if isinstance(value, bool) else value)) for value in labels.tolist()]


def _indices(truth: NDArray[Any], names: Sequence[str], given: bool) -> NDArray[np.int64]:
    spelt = _spelt(truth)
    places = {name: place for place, name in enumerate(names)}
    if given and not set(spelt) <= set(names) and all(text.isdigit() and int(text) < len(names) for text in set(spelt)):
        return np.array([int(text) for text in spelt], dtype=np.int64)
    unknown = sorted(set(spelt) - set(names))
    if unknown:
        raise InputError(f"label '{unknown[0]}' is none of the classes {listed(names)}.")
    return np.array([places[text] for text in spelt], dtype=np.int64)
