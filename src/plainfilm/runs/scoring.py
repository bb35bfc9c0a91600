"""Scores of a run from its predictions.csv; none of it needs torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.data.films import PARTS, further_columns, read_films
from plainfilm.errors import InputError
from plainfilm.evaluation.columns import Groups, by_columns, usual
from plainfilm.evaluation.operating import operating_curve
from plainfilm.evaluation.predictions import Predictions, read_predictions
from plainfilm.evaluation.scores import named, one_class_predicted, scores
from plainfilm.progress import say
from plainfilm.storage import folders
from plainfilm.storage.files import read_json, require_intact, write_json

HEADLINE = tuple(named("model"))


def evaluate_run(run: Path, again: bool = False, changed: bool = False, by: str = "") -> dict[str, Any]:
    """Score every part of a run from its predictions.csv and write metrics.json; return what it holds.

    "test_openings" counts how often the test part has been scored: once by training, however often that is resumed, and
    each time ``again`` is set, or other predictions have taken the place of those scored before (``changed``). ``by``:
    columns of films.csv to look at, see ``measure``.
    """
    if (run / folders.ADAPTED).exists():
        raise InputError(f"{run} is an adapted model: adapt.json has its scores; other films: evaluate {run} DATA.")
    if not (run / folders.PREDICTIONS).exists():
        raise InputError(f"{run} is no finished run: it has no predictions.csv; give a run folder or a FILE.csv.")
    if again:
        require_intact(run, folders.PREDICTIONS, folders.FILMS, folders.DESCRIPTION, folders.CONFIG, folders.METRICS)
    config = read_json(run / folders.CONFIG)
    predictions = _of_run(run)
    columns = columns_of(predictions, read_films(run / folders.FILMS))
    metrics = measure(predictions, config["protocol"], config["seed"], columns, by)
    if "test" in metrics:
        known = read_json(run / folders.METRICS) if (run / folders.METRICS).exists() else {}
        metrics["test_openings"] = known.get("test_openings", int(not changed)) + (again or changed)
    write_json(run / folders.METRICS, metrics)
    return metrics


def _of_run(run: Path) -> Predictions:
    return read_predictions(run / folders.PREDICTIONS, run / folders.FILMS, read_json(run / folders.DESCRIPTION))


def verdict(run: Path) -> dict[str, Any]:
    """Return what a user of the model must know in short, to be kept in the model file: the protocol's stamp, which
    part was scored and how (``scores``), and what each threshold would have meant there (``curve``)."""
    metrics = read_json(run / folders.METRICS)
    predictions = _of_run(run)
    part = "test" if "test" in metrics else "val"
    trained = predictions.part("train")
    return {
        "protocol": metrics["protocol"],
        "part": part,
        "films": int((predictions.parts == part).sum()),
        "prevalence": float(trained.truth.mean()),
        "scores": {name: metrics[part][name] for name in HEADLINE if name in metrics[part]},
        "curve": operating_curve(predictions.part(part)) if predictions.decision.two else [],
    }


def columns_of(predictions: Predictions, rows: Sequence[Mapping[str, str]]) -> dict[str, Groups]:
    """Return the further columns of ``rows`` (of a films.csv, or any table with ``path``) by name, in the order of the
    films."""
    by_path = {row["path"]: row for row in rows}
    own = [by_path.get(path, {}) for path in predictions.paths]
    names = further_columns(rows[0]) if rows else ()
    return {name: np.array([row.get(name, "") for row in own], object) for name in names}


def measure(
    predictions: Predictions, protocol: str, seed: int, columns: Mapping[str, Groups] | None = None, by: str = ""
) -> dict[str, Any]:
    """Return {"protocol": …, part: {score: {"value", "low", "high"}}} for every part that has films.

    With ``columns`` (by name, the cell of each film) also "by": the scores of the scored part by the columns that
    ``by`` names, or by those that are usually asked for, see ``evaluation.columns``.
    """
    metrics: dict[str, Any] = {"protocol": protocol}
    present = [part for part in PARTS if (predictions.parts == part).any()]
    for part in present:
        some = predictions.part(part)
        found = scores(some, np.random.default_rng(seed))
        metrics[part] = {name: interval.as_dict() for name, interval in found.items()}
        stuck = one_class_predicted(some) if len(np.unique(some.labels)) > 1 else None
        if stuck:
            say(f"{part}: did not learn: one class predicted ({stuck} for all {len(some)} films).")
    if wanted := by or usual(columns or ()):
        part = next(part for part in ("test", "val", "train") if part in present)
        of_part = {name: cells[predictions.parts == part] for name, cells in (columns or {}).items()}
        metrics["by"] = {"part": part, **by_columns(predictions.part(part), of_part, wanted)}
    return metrics
