"""Scores of a run whose films have findings; none of it needs torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from plainfilm.data.films import PARTS
from plainfilm.evaluation.columns import Groups, by_columns_of_findings, usual
from plainfilm.evaluation.findings import FindingsPredictions, holds_findings, read_findings
from plainfilm.evaluation.hidden import hidden
from plainfilm.evaluation.scores_findings import scored
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.scoring import columns_of
from plainfilm.storage import folders
from plainfilm.storage.documents import MetricsDocument
from plainfilm.storage.files import require_intact
from plainfilm.storage.tables import is_table

HEADLINE = ("auroc", "sensitivity", "specificity")


def measure_findings(
    predictions: FindingsPredictions,
    protocol: str,
    seed: int,
    columns: Mapping[str, Groups] | None = None,
    by: str = "",
) -> MetricsDocument:
    """Return {"protocol": …, part: …} for every part that has films: see ``evaluation.scores_findings.scored``,
    and "hidden" of a finding with enough unknown films, see ``evaluation.hidden``.
    With ``columns`` (by name, the cell of each film) also "by", as ``runs.scoring.measure`` has it."""
    metrics: dict[str, Any] = {"protocol": protocol}
    for part in PARTS:
        if (predictions.parts == part).any():
            films = predictions.part(part)
            metrics[part] = scored(films, np.random.default_rng(seed))
            for name, found in metrics[part]["findings"].items():
                if left_out := hidden(films, name):
                    found["hidden"] = left_out
    if wanted := by or usual(columns or ()):
        part = next(part for part in ("test", "val", "train") if part in metrics)
        metrics["by"] = {"part": part, **_by(predictions, part, columns or {}, wanted)}
    return cast(MetricsDocument, metrics)


def _by(p: FindingsPredictions, part: str, columns: Mapping[str, Groups], by: str) -> dict[str, Any]:
    here = p.parts == part
    each = {}
    for k, name in enumerate(p.findings):
        known = here & (p.truth[:, k] >= 0)
        if known.any():
            each[name] = p.part(part).of(name), {column: cells[known] for column, cells in columns.items()}
    return by_columns_of_findings(each, by)


def score_findings(run: RunFolder, predictions: FindingsPredictions | None = None, by: str = "") -> MetricsDocument:
    """Score every part of a run anew, of the ``predictions`` of its training, which are written first, or of those it
    has; return what metrics.json holds. "test_openings" counts as in ``runs.scoring``; ``by``: columns of its films to
    look at."""
    if predictions is None:
        openings = run.metrics.get("test_openings", 1)  # the same model on the same films: no further opening
    else:
        replaced = run.write_findings(predictions)
        openings = run.metrics.get("test_openings", int(not replaced)) + replaced
    columns = columns_of(run.findings, run.films)
    metrics = measure_findings(run.findings, run.config["protocol"], run.config["seed"], columns, by)
    if "test" in metrics:
        metrics["test_openings"] = openings
    run.write_metrics(metrics)
    return run.metrics


def findings_of(place: Path) -> FindingsPredictions | None:
    """Return the scored films of a run's folder or of a predictions file whose films have findings; None where they
    have classes."""
    if place.is_dir():
        require_intact(place, folders.PREDICTIONS, folders.FILMS, folders.DESCRIPTION)
        run = RunFolder(place)
        found = run.findings if run.of_findings else None
    else:
        found = read_findings(place) if is_table(place) and holds_findings(place) else None
    return found and found.part(found.scored_part)


def findings_verdict(run: RunFolder) -> dict[str, Any]:
    """Return what a user of the model must know in short, to be kept in the model file: the protocol's stamp, the means
    over findings and each finding's headline on the part that counts."""
    part = scored_part(run)
    found = cast(dict[str, Any], run.metrics)[part]
    each = {name: headline(about) for name, about in found["findings"].items()}
    overall = {name: found[name] for name in found if name != "findings"}
    films = int((run.findings.parts == part).sum())
    return {
        "protocol": run.metrics["protocol"],
        "part": part,
        "films": films,
        "scores": overall,
        "findings": each,
        "curve": [],
    }


def headline(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a finding's scores what stands first: known and positive films, HEADLINE where it is scored."""
    scores = found.get("scores", {})
    return {name: found[name] for name in ("known", "positives")} | {s: scores[s] for s in HEADLINE if s in scores}


def in_all(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the findings that are scored in each of several runs (their "findings" in metrics.json): means over others
    can't be set beside each other."""
    return [name for name in runs[0] if all("scores" in run.get(name, {}) for run in runs)]


def scored_part(run: RunFolder) -> Any:
    """Return the part whose scores count: test where there is one, else val, else what there is."""
    return next(part for part in ("test", "val", "train") if part in run.metrics)
