"""Whether another set is like this one: can its films be told from ours, within a class, and by what."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.baselines import PROBE, pixel_columns
from plainfilm.audit.duplicates import Twins, duplicates, inseparable
from plainfilm.audit.measure import ARRAYS, LOOKS, NAMES, Measured
from plainfilm.audit.telling import (
    Told,
    each_alone,
    file_columns,
    learnt_from,
    number_columns,
    regressions,
    standardised,
    strongest,
    tell,
    too_few,
)
from plainfilm.data import identity
from plainfilm.data.films import Table
from plainfilm.data.groups import Groups
from plainfilm.evaluation.intervals import Bools, Floats
from plainfilm.storage.columns import Kinds

COMPONENTS = 20  # of the thumbnails
UNLIKE = 20  # films listed
ALL = ""  # the class of a test that looks at all films


def shift(ours: Measured, other: Measured, rng: np.random.Generator) -> dict[str, Any]:
    """Return how well ``other`` can be told from ``ours``: ``tests`` by class and kind of evidence, the films most
    unlike, and what both sets share.

    With the same class names in both, each class is looked at by itself, as classes differ and may be mixed
    differently; where ``other`` has no labels, each class that a weak probe of our labels predicts ("predicted"), for
    our films out of fold. Patients and pictures that are in both sets stay together in cross-validation, so that
    knowing a film again is no use.
    """
    both = _stacked(ours, other)
    twins = duplicates(both)
    groups = inseparable(both, twins)
    foreign = np.arange(len(both)) >= len(ours)
    shared = _shared(both, foreign, twins)
    classes = _shared_classes(ours, other)
    of_tests = [np.flatnonzero((both.labels == label) | (label == ALL)) for label in (ALL, *classes)]
    drawn = np.unique(np.concatenate([rows[learnt_from(foreign[rows], groups[rows], rng)] for rows in of_tests]))
    if len(drawn) < len(both):
        both, groups, foreign = both.at(drawn), groups[drawn], foreign[drawn]
    labels, predicted = both.labels, False
    if not any(other.films.films.labels) and (guessed := _predicted(both, foreign, groups, rng)) is not None:
        labels, classes, predicted = guessed, sorted(set(guessed.tolist())), True
    pictures, files = _picture_columns(both), file_columns(both)
    looks = {name: number_columns(both.number(name)) for name in LOOKS}
    tests, unlike = [], np.full(len(both), -np.inf)
    for label in (ALL, *classes):
        rows = np.flatnonzero((labels == label) | (label == ALL))
        for kind, columns, properties in (
            ("pictures", pictures, looks),
            ("metadata", np.concatenate([*files.values(), np.zeros((len(both), 1))], axis=1), files),
        ):
            test, told = _test(columns, properties, rows, foreign, groups, rng)
            tests.append({"class": label, "predicted": predicted and label != ALL, "kind": kind} | test)
            if told and kind == "pictures":
                unlike[rows] = told.scores if told.auc.low > 0.5 else -np.inf  # chance names no film
    for test in tests:
        _with_medians(test, both, foreign, (labels == test["class"]) | (test["class"] == ALL))
    return {
        "other": other.films.name,
        "films": {"readable": len(other), "unreadable": len(other.films.quarantine), "classes": _labelled(other)},
        "shared": shared,
        "learnt_from": len(both),
        "tests": tests,
        "most_unlike": _most_unlike(both, foreign, unlike),
    }


def _stacked(ours: Measured, other: Measured) -> Measured:
    """Return both sets as one, ours first (and not sorted by path, so that rows stay where they are)."""
    names = Kinds[str](ours.different)
    theirs = np.array([names.code(name) for name in other.different], np.int32)[other.codes]
    arrays = {name: np.concatenate([getattr(ours, name), getattr(other, name)]) for name in ARRAYS}
    arrays["codes"] = np.concatenate([ours.codes, theirs])
    films = replace(ours.films, films=Table(chain(ours.films, other.films)))
    return Measured(films, **arrays, different=tuple(names.different))


def _labelled(other: Measured) -> dict[str, int]:
    return {name: n for name, n in other.films.counts.items() if name}


def _shared_classes(ours: Measured, other: Measured) -> list[str]:
    return sorted(set(ours.films.classes) & set(other.films.classes) - {ALL})


def _predicted(both: Measured, foreign: Bools, groups: Groups, rng: np.random.Generator) -> NDArray[np.object_] | None:
    """Return (N,) class names by regressions on thumbnails, one a class against the rest; None where there are not two
    classes of ours with enough films."""
    columns, own = standardised(pixel_columns(both, PROBE)), ~foreign
    truth, whose = both.labels[own], groups[own]
    classes = sorted(set(truth.tolist()) - {ALL})
    if len(classes) < 2 or any(too_few(truth == name, whose) for name in classes):
        return None
    scores = np.empty((len(both), len(classes)))
    for k, name in enumerate(classes):
        scores[own, k] = tell(columns[own], truth == name, whose, rng).scores
        scores[foreign, k] = regressions(columns, own & (both.labels == name), own[:, None])[foreign, 0]
    return np.asarray(np.array(classes, object)[scores.argmax(axis=1)])


def _picture_columns(both: Measured) -> Floats:
    """Return columns of grey levels, sharpness, noise, and of the arrangement of light and dark (free of exposure)."""
    grey = pixel_columns(both, PROBE)
    shape = (grey - grey.mean(axis=1, keepdims=True)) / np.maximum(grey.std(axis=1, keepdims=True), 1)
    centred = shape - shape.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)  # ascending
    components = centred @ directions[:, -COMPONENTS:]
    looks = [number_columns(both.number(name)) for name in LOOKS]
    shares = [number_columns(column)[:, :1] for column in both.histograms.T.astype(np.float64)]
    return np.concatenate([standardised(components), *looks, *shares], axis=1)


def _test(
    columns: Floats,
    properties: dict[str, Floats],
    rows: NDArray[np.int64],
    foreign: Bools,
    groups: Groups,
    rng: np.random.Generator,
) -> tuple[dict[str, Any], Told | None]:
    side, whose = foreign[rows], groups[rows]
    if too_few(side, whose):
        return {"auc": None, "bound": None, "red": False, "properties": [], "strongest": ""}, None
    varying = {name: values[rows] for name, values in properties.items() if np.ptp(values[rows], axis=0).any()}
    told = tell(columns[rows], side, whose, rng)
    alone = each_alone(varying, side, whose, rng)
    listed = [{"name": name, "auc": auc.as_dict()} for name, auc in alone.items()]
    return told.as_dict() | {"properties": listed, "strongest": strongest(alone) if alone else ""}, told


def _with_medians(test: dict[str, Any], both: Measured, foreign: Bools, rows: Bools) -> None:
    """Add to each property that is a number its median in our films and in the other set's."""
    for found in test["properties"]:
        name = found["name"]
        if name in NAMES:
            continue
        values = both.number(name)
        found["ours"], found["other"] = (_median(values[rows & (foreign == side)]) for side in (False, True))


def _median(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else float("nan")


def _shared(both: Measured, foreign: Bools, twins: list[Twins]) -> dict[str, int]:
    ours, theirs = ([f.patient for f, out in zip(both.films, foreign, strict=True) if out == s] for s in (0, 1))
    across = [twin for twin in twins if len({bool(foreign[row]) for row in twin.rows}) > 1]
    return {"pictures": len(across), "patients": identity.shared(ours, theirs)[0]}


def _most_unlike(both: Measured, foreign: Bools, scores: Floats) -> list[dict[str, Any]]:
    """Return the other set's films that are least like ours, by the test within their class where there is one."""
    order = [int(i) for i in np.argsort(-scores, kind="stable") if foreign[i] and scores[i] > 0][:UNLIKE]
    films = both.films.films
    return [{"path": films[i].path, "label": films[i].label, "score": float(scores[i])} for i in order]
