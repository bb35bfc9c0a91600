"""What a model gets without a look at the lungs, what the leaky split would have scored, and doubtful labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from plainfilm.audit.measure import THUMBNAIL, Measured
from plainfilm.audit.telling import (
    Told,
    each_alone,
    file_columns,
    number_columns,
    standardised,
    strongest,
    tell,
)
from plainfilm.data.groups import Groups
from plainfilm.errors import InputError
from plainfilm.evaluation.compare import paired_delong
from plainfilm.evaluation.intervals import Bools, Floats, wilson
from plainfilm.evaluation.predictions import Predictions

FRAME = 3  # of the thumbnail's 32 pixels at each side: the outer tenth of the film
CANDIDATES = 50  # doubtful labels listed
PROBE = 16  # side of the thumbnail that the quick probe sees

BASELINES = {
    "metadata": "The file alone: size, JPEG quality, tags, …",
    "exposure": "Mean grey and contrast",
    "thumbnail": "Thumbnail of 8×8 pixels",
    "borders": "Borders: the outer tenth of the film",
}
SHORTCUTS = ("metadata", "borders")  # what shows no disease


def pixel_columns(measured: Measured, side: int) -> Floats:
    """Return the (N, side²) grey values of the thumbnails, averaged down to ``side`` (a divisor of 32)."""
    step = THUMBNAIL // side
    blocks = measured.thumbnails.reshape(-1, side, step, side, step).mean(axis=(2, 4))
    return np.asarray(blocks.reshape(len(measured), -1), dtype=np.float64)


def border_columns(measured: Measured) -> Floats:
    """Return the (N, 348) grey values of the outer frame of the thumbnails."""
    inner = slice(FRAME, THUMBNAIL - FRAME)
    frame = np.ones((THUMBNAIL, THUMBNAIL), bool)
    frame[inner, inner] = False
    return measured.thumbnails[:, frame].astype(np.float64)


def baselines(
    measured: Measured,
    positive: Bools,
    groups: Groups,
    rng: np.random.Generator,
    wanted: Sequence[str] = tuple(BASELINES),
) -> list[dict[str, Any]]:
    """Return what each of BASELINES that is ``wanted`` gets: ``name``, ``title``, ``auc``, ``bound``, ``red``,
    ``properties``.

    ``properties`` has the AUC of each property of the file alone, the strongest first; ``strongest`` names it.
    ``red`` is set for metadata and borders only: exposure and a thumbnail may well show disease.
    """
    files = file_columns(measured)
    looks = [number_columns(measured.number(name)) for name in ("mean grey", "contrast")]
    columns = {
        "metadata": np.concatenate([*files.values(), np.zeros((len(measured), 1))], axis=1),
        "exposure": np.concatenate(looks, axis=1),
        "thumbnail": standardised(pixel_columns(measured, 8)),
        "borders": standardised(border_columns(measured)),
    }
    rows = []
    for name in wanted:
        row = {"name": name, "title": BASELINES[name]} | tell(columns[name], positive, groups, rng).as_dict()
        alone = each_alone(files, positive, groups, rng) if name == "metadata" else {}
        row["red"] = row["red"] and name in SHORTCUTS
        row["properties"] = [{"name": key, "auc": auc.as_dict()} for key, auc in alone.items()]
        row["strongest"] = strongest(alone) if alone else ""
        rows.append(row)
    return rows


def majority(positive: Bools) -> dict[str, float]:
    """Return the accuracy of always naming the commoner side, with its interval."""
    return wilson(int(max(positive.sum(), (~positive).sum())), len(positive)).as_dict()


def leak(measured: Measured, positive: Bools, groups: Groups, rng: np.random.Generator) -> tuple[dict[str, Any], Told]:
    """Return the AUC of a quick probe with films dealt one by one and with patients kept together, the difference with
    its interval (paired DeLong, films of a patient erring together); and the probe's scores from the second."""
    columns = standardised(pixel_columns(measured, PROBE))
    leaky = tell(columns, positive, np.arange(len(measured)), rng)
    clean = tell(columns, positive, groups, rng)
    difference, _ = paired_delong(positive, leaky.scores, clean.scores, patients=groups)
    return {
        "probe": f"logistic regression on {PROBE}×{PROBE} grey values",
        "by_film": leaky.auc.as_dict(),
        "by_patient": clean.auc.as_dict(),
        "difference": difference.as_dict(),
    }, clean


def doubtful_by_probe(measured: Measured, positive: Bools, probe: Told) -> list[dict[str, Any]]:
    """Return the films whose own label the probe finds least likely, out of fold."""
    return _least_likely(measured, expit(np.where(positive, probe.scores, -probe.scores)))


def doubtful_by_model(measured: Measured, predictions: Predictions) -> list[dict[str, Any]]:
    """Return the films whose own label a model's ``predictions`` find least likely, those that trained left out: a
    model has learned their labels.

    InputError when they are of other films or other classes.
    """
    rows = {path: row for row, path in enumerate(predictions.paths) if predictions.parts[row] != "train"}
    unknown = sorted(set(measured.films.classes) - set(predictions.classes))
    if unknown or not any(film.path in rows for film in measured.films):
        what = f"the class {unknown[0]}" if unknown else "any of its films"
        raise InputError(f"The predictions don't know {what} in {measured.films.name}; give those made on this set.")
    own = [
        predictions.probabilities[rows[film.path], predictions.classes.index(film.label)] if film.path in rows else 1.0
        for film in measured.films
    ]
    return _least_likely(measured, np.array(own))


def _least_likely(measured: Measured, own: Floats) -> list[dict[str, Any]]:
    order = [int(i) for i in np.argsort(own, kind="stable")[:CANDIDATES] if own[i] < 0.5]
    films = measured.films.films
    return [{"path": films[i].path, "label": films[i].label, "probability": float(own[i])} for i in order]
