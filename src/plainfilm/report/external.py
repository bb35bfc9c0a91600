"""What evaluations on other films, that lie in a run's folder, say of its model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import quote

from plainfilm.evaluation.chance import chance_lines
from plainfilm.report.words import NOT_DONE, with_interval
from plainfilm.runs.folder import RunFolder, interval
from plainfilm.storage import folders
from plainfilm.storage.documents import MetricsDocument
from plainfilm.storage.files import read_json

COLUMNS = {"auroc": "AUROC", "sensitivity": "Sensitivity", "specificity": "Specificity"}


def lines(metrics: MetricsDocument) -> list[str]:
    """Return what must be read before the scores of films from elsewhere, each line once."""
    found = [*metrics.get("red_lines", chance_lines(metrics))]
    found += metrics.get("shift", {}).get("red_lines", []) + metrics.get("shared", {}).get("red_lines", [])
    return list(dict.fromkeys(found))


def beside_the_own(run: RunFolder) -> tuple[str, list[str], list[list[str]]] | None:
    """Return caption, header and rows of the scores on other films beside the run's own; None where there was no such
    evaluation."""
    others = evaluations(run)
    if not others:
        return None
    rows = [["the run's own films", *_cells(run.metrics.get(run.part, {})), "see the verdict"]]
    rows += [[name, *_cells(_scored(found)), " ".join(lines(found)) or "none"] for name, found in others]
    caption = "Films from elsewhere, by the same model and threshold (95 % interval)"
    return caption, ["Films", *COLUMNS.values(), "Red lines"], rows


def evaluations(run: RunFolder) -> list[tuple[str, MetricsDocument]]:
    """Return (name, metrics.json) of the evaluations on other films that lie in the run's folder (on-NAME)."""
    found = sorted(run.folder.glob(f"on-*/{folders.METRICS}"))
    return [(path.parent.name.removeprefix("on-"), cast(MetricsDocument, read_json(path))) for path in found]


def reports(run: RunFolder) -> list[tuple[str, str]]:
    """Return (name, link from the run's own report) of the reports of those evaluations."""
    places = [f"on-{name}/{folders.REPORT}" for name, _ in evaluations(run)]
    names = [name for name, _ in evaluations(run)]
    return [(name, quote(at)) for name, at in zip(names, places, strict=True) if run.has(at)]


def sentence(run: RunFolder) -> str:
    """Return the AUROC on other films in words; empty where there was no such evaluation."""
    said = [f"{name}: AUROC {_cells(_scored(found))[0]}" for name, found in evaluations(run)]
    return "; ".join(said)


def red_lines(run: RunFolder) -> list[str]:
    """Return the red lines of the evaluations on other films that concern the model itself, each with its films."""
    return [f"On {name}: {line}" for name, found in evaluations(run) for line in chance_lines(found)]


def _scored(metrics: MetricsDocument) -> Any:
    return metrics.get("test") or metrics.get("val") or {}


def _cells(scores: Any) -> Sequence[str]:
    return [with_interval(interval(scores[name])) if name in scores else NOT_DONE for name in COLUMNS]
