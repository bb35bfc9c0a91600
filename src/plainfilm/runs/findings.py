"""Scores of a run whose films have findings; none of it needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np

from plainfilm.data.films import PARTS
from plainfilm.evaluation.findings import FindingsPredictions, holds_findings, read_findings, scored
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders
from plainfilm.storage.documents import MetricsDocument
from plainfilm.storage.files import require_intact
from plainfilm.storage.tables import is_table


def measure_findings(predictions: FindingsPredictions, protocol: str, seed: int) -> MetricsDocument:
    """Return {"protocol": …, part: …} for every part that has films: see ``evaluation.findings.scored``."""
    metrics: dict[str, Any] = {"protocol": protocol}
    for part in PARTS:
        if (predictions.parts == part).any():
            metrics[part] = scored(predictions.part(part), np.random.default_rng(seed))
    return cast(MetricsDocument, metrics)


def score_findings(run: RunFolder, predictions: FindingsPredictions | None = None) -> MetricsDocument:
    """Score every part of a run anew, of the ``predictions`` of its training, which are written first, or of those it
    has; return what metrics.json holds. "test_openings" counts as in ``runs.scoring``."""
    if predictions is None:
        openings = run.metrics.get("test_openings", 1)  # the same model on the same films: no further opening
    else:
        replaced = run.write_findings(predictions)
        openings = run.metrics.get("test_openings", int(not replaced)) + replaced
    metrics = measure_findings(run.findings, run.config["protocol"], run.config["seed"])
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
    headline = ("auroc", "sensitivity", "specificity")
    each = {
        name: {
            "known": about["known"],
            "positives": about["positives"],
            **{score: about["scores"][score] for score in headline if score in about.get("scores", {})},
        }
        for name, about in found["findings"].items()
    }
    means = {name: found[name] for name in found if name != "findings"}
    films = int((run.findings.parts == part).sum())
    return {
        "protocol": run.metrics["protocol"],
        "part": part,
        "films": films,
        "scores": means,
        "findings": each,
        "curve": [],
    }


def scored_part(run: RunFolder) -> Any:
    """Return the part whose scores count: test where there is one, else val, else what there is."""
    return next(part for part in ("test", "val", "train") if part in run.metrics)
