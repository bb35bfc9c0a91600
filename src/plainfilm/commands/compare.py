"""Paired comparison of models on the same films, from their predictions.csv alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.errors import InputError, refuse
from plainfilm.evaluation.compare import compare
from plainfilm.evaluation.compare_findings import compare_findings
from plainfilm.evaluation.decision import positive_class
from plainfilm.evaluation.findings import FindingsPredictions
from plainfilm.evaluation.handed_in import Told
from plainfilm.evaluation.predictions import Predictions
from plainfilm.runs.findings import findings_of
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.scoring import scored_films
from plainfilm.storage import folders
from plainfilm.storage.files import sealed, write_json


def compare_all(
    places: list[Path],
    *,
    positive: str = "",
    columns: str = "",
    scores: str = "",
    classes: str = "",
    out: Path | None = None,
    force: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare run folders and predictions files on their scored part (test, else val); with ``out`` write
    comparison.json there.

    ``columns``, ``scores``: what files hold that other programs made, see ``handed_in.Told``. ``classes``: what files
    call the classes of the others, "healthy=NORMAL,sick=PNEUMONIA", see ``Predictions.called_as``. Returns what
    ``evaluation.compare.compare`` does, for films with several findings what ``compare_findings`` does. InputError for
    fewer than two, or when films or labels differ.
    """
    if len(places) < 2:
        raise InputError("compare takes two or more run folders or predictions files.")
    if out:
        folders.require_free(out, folders.COMPARED, force=force)
    else:
        refuse("a comparison that is only printed", {"force": force})
    names, rng = _names(places), np.random.default_rng(seed)
    findings = [findings_of(place) for place in places]
    if any(findings):
        of_classes = {"positive": positive, "columns": columns, "scores": scores, "classes": classes}
        refuse("a comparison of several findings", of_classes)
        found = compare_findings(_all_of_findings(names, findings), rng)
    else:
        tables = _tables(places, Told.of(columns, scores, positive, classes))
        found = compare(list(zip(names, tables, strict=True)), rng)
    for place, model in zip(places, found["models"], strict=True):
        model["protocol"] = _protocol(place)
    if out:
        with sealed(out, shared=True):
            write_json(out / folders.COMPARISON, found)
    return found


def _all_of_findings(
    names: list[str], findings: Sequence[FindingsPredictions | None]
) -> list[tuple[str, FindingsPredictions]]:
    """Return the models of findings by name; InputError where one tells classes apart."""
    if other := [name for name, found in zip(names, findings, strict=True) if found is None]:
        raise InputError(
            f"{other[0]} has one class per film and another has several findings; compare models of one kind."
        )
    return [(name, found) for name, found in zip(names, findings, strict=True) if found is not None]


def _tables(places: list[Path], told: Told) -> list[Predictions]:
    """Return each model's scored films; the first one's positive class is the one that ``told`` or all name."""
    tables = [scored_films(place, told) for place in places]
    meant = {table.decision.threshold_of for table in tables} - {""}
    asked = told.positive or (meant.pop() if len(meant) == 1 else None)
    tables[0] = tables[0].by(positive=tables[0].classes[positive_class(tables[0].classes, asked)])
    return tables


def _protocol(place: Path) -> str:
    """Return the words that every score of a run carries."""
    run = RunFolder(place)
    if not run.has(folders.METRICS):
        return "predictions as given; how the films were divided is not known"
    return str(run.metrics.get("protocol", "not recorded"))


def _names(places: list[Path]) -> list[str]:
    """The last part of each path; the whole path where two would be called the same."""
    short = [place.resolve().stem if place.is_file() else place.resolve().name for place in places]
    names = [str(place) if short.count(name) > 1 else name for name, place in zip(short, places, strict=True)]
    if len(set(names)) < len(names):
        raise InputError(f"{next(n for n in names if names.count(n) > 1)} is named twice; name each model once.")
    return names
