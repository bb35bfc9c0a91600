"""The report of a model of several findings that was adapted to a site: each finding before and after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.evaluation.adapting import protocol
from plainfilm.evaluation.findings import FindingsPredictions
from plainfilm.evaluation.scores_findings import errors_together, means, scored
from plainfilm.report.findings_page import findings_elsewhere_report
from plainfilm.report.words import Table, with_interval
from plainfilm.runs.folder import interval

COMPARED = "balanced_accuracy"


def adapted_findings_report(
    folder: Path, films: FindingsPredictions, found: Mapping[str, Any], about: Mapping[str, Any]
) -> Path:
    """Write report.html and figures/ of the local films into ``folder``; return the page's path.

    films: as adapt.json's scores have them, cross-fitted where a finding was adapted; found: what adapt.json holds;
    about: as of ``findings_elsewhere_report``.
    """
    metrics = {"protocol": protocol(found, Path(about["data"]).name), "test": _scored(films, found["findings"])}
    return findings_elsewhere_report(folder, films, metrics, {**about, "lines": found["red_lines"]}, _changes(found))


def _scored(films: FindingsPredictions, each: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scores of the local films. Of an adapted finding they are adapt.json's: the temperatures of several
    folds mix the order of its films."""
    part = scored(films, np.random.default_rng(0))
    for name, own in part["findings"].items():
        if not each[name].get("kept", True):
            own["scores"] = {**own["scores"], **each[name]["after"]}
    names = [name for name, own in part["findings"].items() if "scores" in own]
    return {**part, **means(part["findings"], errors_together(films, names))}


def _changes(found: Mapping[str, Any]) -> Table:
    """Return what adapting did to each finding; why one was not adapted is a red line."""
    header = ["Finding", "Known", "Positive", "Threshold", "As trained", "Adapted", "Difference", "Now", "Films enough"]
    caption = "Balanced accuracy before and after adapting, cross-fitted by patient (95 % interval)"
    return Table(caption, header, [_row(name, one, found) for name, one in found["findings"].items()])


def _row(name: str, one: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    counts = [name, f"{one['known']:,}", f"{one['positives']:,}"]
    old, new = (found[when]["findings"][name]["threshold"] for when in ("from", "to"))
    if "not_adapted" in one:
        return [*counts, f"{old:.3f}", *["not compared"] * 3, "as trained", "more than these"]
    cells = [with_interval(interval(one[when][COMPARED])) for when in ("before", "after", "difference")]
    if one["kept"]:
        return [*counts, f"{old:.3f}", *cells, "as trained: no gain is shown", "not known"]
    enough = f"about {one['enough']}" if one["enough"] else "not known"
    return [*counts, f"{old:.3f} → {new:.3f}", *cells, "adapted", enough]
