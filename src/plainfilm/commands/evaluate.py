"""Scores of a run, of a run on other films, or of any model's predictions.csv. The scores themselves need no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.config import MAX_BAD
from plainfilm.data.findings import question_of
from plainfilm.data.sources import load
from plainfilm.errors import InputError
from plainfilm.evaluation.chance import chance_lines
from plainfilm.evaluation.decision import positive_class
from plainfilm.evaluation.predictions import read_predictions, write_predictions
from plainfilm.progress import say
from plainfilm.report.folds import folds_report
from plainfilm.runs.external import as_the_model_says, predict_films, shared_with, shift_from_training
from plainfilm.runs.pooling import pool
from plainfilm.runs.scoring import columns_of, measure
from plainfilm.storage import folders
from plainfilm.storage.files import read_json, sealed, write_json
from plainfilm.storage.tables import read_csv, write_csv


def evaluate_file(
    file: Path,
    positive: str,
    threshold: float | None,
    seed: int,
    out: Path | None,
    force: bool = False,
    by: str = "",
) -> dict[str, Any]:
    """Score any model's predictions.csv; with ``out`` write metrics.json there.

    ``threshold``: of two classes, 0.5 when None; InputError where the file's own thresholds or more classes leave it
    nothing to do. ``by``: further columns of the file to look at, see ``runs.scoring.measure``.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"--threshold {threshold}: expected a number between 0 and 1.")
    if out:
        folders.require_free(out, folders.EVALUATION, force=force)
    predictions = read_predictions(file)
    decision = predictions.decision
    if threshold is not None and (decision.own_thresholds or not decision.two):
        why = "it has a threshold for each film" if decision.two else "it has more than two classes"
        raise InputError(f"--threshold does nothing for {file}: {why}; leave it out.")
    changes: dict[str, Any] = {} if threshold is None else {"threshold": threshold}
    if positive:
        changes["positive"] = predictions.classes[positive_class(predictions.classes, positive)]
    protocol = "predictions as handed in; how the films were divided is not known"
    metrics = measure(predictions.by(**changes), protocol, seed, columns_of(predictions, read_csv(file)[1]), by)
    metrics["red_lines"] = chance_lines(metrics)
    if out:
        with sealed(out, shared=True):
            write_json(out / folders.METRICS, metrics)
    return metrics


def evaluate_elsewhere(
    run: Path,
    data: str,
    reading: Mapping[str, Any],
    seed: int,
    out: Path | None,
    force: bool = False,
    classes: str = "",
    max_bad: float = MAX_BAD,
    by: str = "",
    precision: str = "auto",
) -> dict[str, Any]:
    """Label the films of another data set with a run's model and score them.

    One class is enough: what needs both is then unknown. ``classes``: what ``data`` calls the model's, see
    ``as_the_model_says``; ``reading``: how it is read, see ``data.sources.load``.
    Writes predictions.csv, quarantine.csv and metrics.json into ``out``, by default RUN/on-NAME. Its "shift" says
    whether these films can be told from the training films, as in the audit: then scores of the run need not hold here.
    "shared" counts films and patients that the model was trained on or chosen by.
    """
    from plainfilm.models.model import Model  # only other films need torch

    model = Model.load(run, precision)
    films = as_the_model_says(
        load(data, fewest=1, question=question_of(model.classes), **reading), model.classes, classes
    )
    folder = out or (run if run.is_dir() else run.parent) / f"on-{Path(films.name).stem.replace(':', '-')}"
    written = (folders.METRICS, folders.PREDICTIONS, folders.QUARANTINE)
    folders.require_free(folder, folders.EVALUATION, force=force, written=written)
    with sealed(folder, shared=True):
        predictions, good, bad = predict_films(model, films, max_bad)
        cells = {film.path: film.columns for film in good}
        columns = {
            name: np.array([cells[path].get(name, "") for path in predictions.paths], object)
            for name in films.films.columns
        }
        metrics = measure(predictions, f"other films than the model's own: {data}", seed, columns, by)
        metrics["shift"] = shift_from_training(run, films, seed)
        metrics["shared"] = shared_with(run, good)
        metrics["red_lines"] = chance_lines(metrics)
        write_predictions(folder / folders.PREDICTIONS, predictions.deciding())
        write_csv(folder / folders.QUARANTINE, ("path", "reason"), bad)
        write_json(folder / folders.METRICS, metrics)
    for line in [*metrics["red_lines"], *metrics["shift"]["red_lines"], *metrics["shared"]["red_lines"]]:
        say(f"RED LINE: {line}")
    say(f"Written to {folder}; {len(bad)} unreadable films left out.")
    return metrics


def evaluate_runs(
    out: Path, kind: str, runs: list[str], protocol: str, seed: int, left_out: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Put repeated runs together in ``out``, see ``runs.pooling.pool``, with their report; return what folds.json
    holds."""
    with sealed(out):
        found = pool(out, kind, runs, protocol, seed, left_out)
        folds_report(out)
    return found


def pool_again(out: Path) -> dict[str, Any]:
    """Score a folder of repeated runs once more from their predictions; return what folds.json holds."""
    was = read_json(out / folders.FOLDS)
    return evaluate_runs(out, was["kind"], was["runs"], was["protocol"], was["seed"], was.get("left_out"))
