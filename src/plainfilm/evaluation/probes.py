"""Probes of shortcuts: what a model still knows when the lungs, the borders or the corners of the films are covered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from plainfilm.data.groups import stratified_folds
from plainfilm.evaluation.areas import auc_interval, cross_validated
from plainfilm.evaluation.compare import paired_delong
from plainfilm.evaluation.intervals import Bools, Floats, Interval
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.robustness import Grey, flipped
from plainfilm.evaluation.subgroups import Groups

# Shares of the height and width that the model sees. The box is wide, because a crop cuts to the chest's own width.
LUNGS = (0.80, 0.90)  # the centre box
BORDER = 0.10  # depth of the frame
CORNER = 0.20  # side of each corner square
BORDERS_COST = 0.02  # of AUROC
LUNGS_LEFT = 0.70  # AUROC
FOLDS = 5
FEWEST_FILMS = 20  # of each source, to predict it


def seen(shape: tuple[int, ...], resize: str) -> tuple[slice, slice]:
    """Return (rows, columns) of the part of an (H, W) film that reaches a model: the centre square with ``crop``."""
    height, width = shape
    side = min(shape)
    if resize != "crop":
        return slice(0, height), slice(0, width)
    top, left = (height - side) // 2, (width - side) // 2
    return slice(top, top + side), slice(left, left + side)


def lungs(height: int, width: int) -> Bools:
    """Return (height, width) whether a pixel lies in the centre box, where the lungs are."""
    return _box(height, width, *LUNGS)


def borders(height: int, width: int) -> Bools:
    """Return (height, width) whether a pixel lies in the frame around the film."""
    return ~_box(height, width, 1 - 2 * BORDER, 1 - 2 * BORDER)


def corners(height: int, width: int) -> Bools:
    """Return (height, width) whether a pixel lies in one of the corner squares, where letters and marks are."""
    y, x = _from_edge(height), _from_edge(width)
    return np.asarray((y < CORNER)[:, None] & (x < CORNER)[None])


def _box(height: int, width: int, high: float, wide: float) -> Bools:
    return np.asarray((_from_edge(height) > (1 - high) / 2)[:, None] & (_from_edge(width) > (1 - wide) / 2)[None])


def _from_edge(length: int) -> Floats:
    """Return (length,) how far the middle of each pixel is from the nearer edge, as a share of the length."""
    middle = (np.arange(length) + 0.5) / length
    return np.minimum(middle, 1 - middle)


def cover(grey: Grey, area: Callable[[int, int], Bools], resize: str) -> Grey:
    """Return the (H, W) uint8 film with ``area`` of what a model sees filled with the film's mean grey.

    The mean is that of what stays visible: the whole film's would still tell how dense the covered lungs are. What a
    crop leaves out stays as it is: the model can't read it.
    """
    covered = grey.copy()
    part = covered[seen(grey.shape, resize)]  # a view: filling it fills the film
    hidden = area(*part.shape)
    part[hidden] = round(float(part[~hidden].mean()))
    return covered


COVERS = {
    "lungs covered": lungs,
    "borders covered": borders,
    "corners covered": corners,
}


def other_resize(resize: str) -> tuple[str, str]:
    """Return the way of resizing to hold against ``resize``, and what the probe is called."""
    if resize == "crop":
        return "pad", "padded, not cropped"
    return "crop", f"cropped, not {'padded' if resize == 'pad' else 'stretched'}"


def probe_rows(clean: Predictions, changed: Mapping[str, Predictions]) -> list[dict[str, Any]]:
    """Return the untouched films and one row a probe, ready for JSON, from predictions on the same films in order.

    ``kind`` "model"; ``name``; ``auroc`` (DeLong, by patient); ``change`` of it (probe - untouched) and ``p`` by
    paired DeLong; ``flipped``, the share of labels that change; these three are None for the untouched films. NaN where
    a class is missing.
    """
    truth, score = clean.truth, clean.score
    rows = [_row("model", "untouched", auc_interval(truth, score, patients=clean.patients))]
    for name, table in changed.items():
        covered = table.score
        change, p = paired_delong(truth, covered, score, patients=clean.patients)
        more = {
            "change": change.as_dict(),
            "p": p,
            "flipped": flipped(clean, table).as_dict(),
        }
        rows.append({**_row("model", name, auc_interval(truth, covered, patients=clean.patients)), **more})
    return rows


def baseline_rows(baselines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of ``kind`` "baseline" for those of audit.json (``title``, ``auc``): what borders or metadata alone
    reach on this data set, to stand beside the model's own rows."""
    return [_row("baseline", row["title"], Interval(**row["auc"])) for row in baselines]


def _row(kind: str, name: str, auroc: Interval) -> dict[str, Any]:
    return {"kind": kind, "name": name, "auroc": auroc.as_dict(), "change": None, "p": None, "flipped": None}


def source_rows(
    features: NDArray[np.float32], groups: Mapping[str, Groups], p: Predictions, seed: int
) -> list[dict[str, Any]]:
    """Return rows of ``kind`` "source": how well a model's features tell where a film came from, within one class.

    features: (N, D) of the films of ``p``; groups: {grouping: (N,) source of each film, empty where unknown}. Within
    a class, so that the disease itself gives nothing away: the commonest source against the others, AUROC of a
    logistic regression by cross-validation over patients. Nothing without features (D = 0), where a class has one
    source only, or fewer than 20 films or 5 patients on either side.
    """
    rows = []
    for grouping, source in groups.items():
        for k, name in enumerate(p.classes):
            chosen = np.flatnonzero((p.labels == k) & (source != ""))
            names, counts = np.unique(source[chosen], return_counts=True)
            if len(names) < 2 or not features.shape[1]:
                continue
            commonest = names[counts.argmax()]
            found = _told_apart(features[chosen], source[chosen] == commonest, p.patients[chosen], seed)
            if found:
                rows.append(
                    _row("source", f"{grouping} {commonest} predicted from the model's features ({name})", found)
                )
    return rows


def _told_apart(features: NDArray[np.float32], truth: Bools, patients: NDArray[np.str_], seed: int) -> Interval | None:
    """Return the cross-validated AUROC, or None where there are too few films or patients."""
    sides = [truth, ~truth]
    if min(int(s.sum()) for s in sides) < FEWEST_FILMS or min(len(set(patients[s])) for s in sides) < FOLDS:
        return None
    # C = 1 / D: inner products of standardised features grow with their number D, and the penalty keeps pace.
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / features.shape[1], max_iter=1000))
    folds = PredefinedSplit(stratified_folds(truth, patients, FOLDS, seed))
    score = cross_val_predict(model, features, truth, cv=folds, method="decision_function")
    return cross_validated(auc_interval(truth, np.asarray(score, dtype=np.float64), patients=patients), FOLDS)


def red_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each limit that ``probe_rows`` are past.

    Borders: covering them costs more than .02 AUROC and the paired interval excludes 0. Lungs: with them covered the
    AUROC is still .70 or more and its lower bound above .5.
    """
    named = {row["name"]: row for row in rows}
    lines = []
    if "borders covered" in named:
        change = Interval(**named["borders covered"]["change"])
        if change.value < -BORDERS_COST and change.high < 0:
            lines.append(
                f"Covering the outer {100 * BORDER:.0f} % of the films costs {-change.value:.3f} AUROC (95 % interval"
                f" {-change.high:.3f} to {-change.low:.3f}): the model leans on borders, where there is little lung."
            )
    if "lungs covered" in named:
        left = Interval(**named["lungs covered"]["auroc"])
        if left.value >= LUNGS_LEFT and left.low > 0.5:
            lines.append(
                f"With the centre of the films covered, where the lungs are, the AUROC is still {left.value:.3f} (95 %"
                f" interval {left.low:.3f} to {left.high:.3f}): what stays visible around it (edges of the chest,"
                " shoulders, belly, marks) predicts the class, and the model reads it."
            )
    return lines
