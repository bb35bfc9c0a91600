"""Scores of a run from its predictions; none of it needs torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from plainfilm.data.films import PARTS, further_columns
from plainfilm.errors import InputError
from plainfilm.evaluation.columns import Groups, by_columns, usual
from plainfilm.evaluation.findings import FindingsPredictions
from plainfilm.evaluation.handed_in import Told
from plainfilm.evaluation.operating import operating_curve
from plainfilm.evaluation.predictions import Predictions, read_table_of
from plainfilm.evaluation.scores import one_class_predicted, scores
from plainfilm.evaluation.tables import named
from plainfilm.progress import say
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders
from plainfilm.storage.documents import MetricsDocument, Scores
from plainfilm.storage.files import require_intact

HEADLINE = tuple(named("model"))


def score_trained(run: RunFolder, predictions: Predictions) -> MetricsDocument:
    """Write the predictions of a training and the scores of every part; return what metrics.json holds.

    "test_openings" counts how often the test part has been scored: once by training, however often that is resumed, and
    each time that other predictions take the place of those scored before.
    """
    replaced = run.write_predictions(predictions)
    known = run.metrics.get("test_openings", int(not replaced))
    return _score(run, known + replaced)


def score_again(run: RunFolder, by: str = "") -> MetricsDocument:
    """Score every part of a finished run once more; return what metrics.json holds. ``by``: columns of films.csv to
    look at, see ``measure``.

    The same model, threshold and films: the test part is not opened once more. How often it was is not known where
    metrics.json is damaged.
    """
    try:
        openings = run.metrics.get("test_openings", 1)
    except InputError as error:
        say(f"{error} It is written again; how often the test part was opened is not known any more.")
        openings = None
    return _score(run, openings, by)


def _score(run: RunFolder, openings: int | None, by: str = "") -> MetricsDocument:
    columns = columns_of(run.predictions, run.films)
    metrics = measure(run.predictions, run.config["protocol"], run.config["seed"], columns, by)
    if "test" in metrics and openings is not None:
        metrics["test_openings"] = openings
    run.write_metrics(metrics)
    return run.metrics


def scored_films(place: Path, told: Told | None = None) -> Predictions:
    """Return the scored films of a run's folder or of a predictions file, decided as the run decides them.

    ``told``: what a file of another program holds.
    """
    run = RunFolder(place)
    require_intact(place, folders.PREDICTIONS, folders.FILMS, folders.DESCRIPTION)
    predictions = run.predictions if place.is_dir() else read_table_of(place, told=told).predictions
    scored = predictions.part(predictions.scored_part)
    if run.has(folders.ADAPTED):
        say(f"{place} was adapted: five temperatures mix the order of its films; compare its decisions, not its AUROC.")
    return scored.deciding() if run.has(folders.DESCRIPTION) else scored


def verdict(run: RunFolder) -> dict[str, Any]:
    """Return what a user of the model must know in short, to be kept in the model file: the protocol's stamp, which
    part was scored and how (``scores``), and what each threshold would have meant there (``curve``)."""
    found = run.scores()
    return {
        "protocol": run.metrics["protocol"],
        "part": run.part,
        "films": len(run.scored),
        "prevalence": float(run.predictions.part("train").truth.mean()),
        "scores": {name: found[name] for name in HEADLINE if name in found},
        "curve": operating_curve(run.scored) if run.two else [],
    }


def columns_of(predictions: Predictions | FindingsPredictions, rows: Sequence[Mapping[str, str]]) -> dict[str, Groups]:
    """Return the further columns of ``rows`` (of a films.csv, or any table with ``path``) by name, in the order of the
    films."""
    by_path = {row["path"]: row for row in rows}
    own = [by_path.get(path, {}) for path in predictions.paths]
    names = further_columns(rows[0]) if rows else ()
    return {name: np.array([row.get(name, "") for row in own], object) for name in names}


def measure(
    predictions: Predictions, protocol: str, seed: int, columns: Mapping[str, Groups] | None = None, by: str = ""
) -> MetricsDocument:
    """Return {"protocol": …, part: {score: {"value", "low", "high"}}} for every part that has films.

    With ``columns`` (by name, the cell of each film) also "by": the scores of the scored part by the columns that
    ``by`` names, or by those that are usually asked for, see ``evaluation.columns``.
    """
    metrics: MetricsDocument = {"protocol": protocol}
    present = [part for part in PARTS if (predictions.parts == part).any()]
    for part in present:
        some = predictions.part(part)
        found = scores(some, np.random.default_rng(seed))
        metrics[part] = cast(Scores, {name: interval.as_dict() for name, interval in found.items()})
        stuck = one_class_predicted(some) if len(np.unique(some.labels)) > 1 else None
        if stuck:
            say(f"{part}: did not learn: one class predicted ({stuck} for all {len(some)} films).")
    if wanted := by or usual(columns or ()):
        part = next(part for part in ("test", "val", "train") if part in present)
        of_part = {name: cells[predictions.parts == part] for name, cells in (columns or {}).items()}
        metrics["by"] = {"part": part, **by_columns(predictions.part(part), of_part, wanted)}
    return metrics
