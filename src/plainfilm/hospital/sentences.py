"""What an answer says to a person, in a few short lines: they stand in the report and over the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from plainfilm.data.films import FilmError
from plainfilm.evaluation.digits import edge
from plainfilm.evaluation.findings import FindingsDecision
from plainfilm.models.answer import Answer
from plainfilm.models.reads import Reads


class Point(NamedTuple):
    """The operating point of a class or finding: its threshold, and its scores ({name: {"value", "low", "high"}})."""

    threshold: float
    scores: Mapping[str, Any]


def points(model: Reads) -> dict[str, Point]:
    """Return the operating point of each finding, or of the positive class of two; of more classes none."""
    if isinstance(model.decision, FindingsDecision):
        scores = model.verdict.get("findings", {})
        cuts = zip(model.classes, model.decision.thresholds.tolist(), strict=True)
        return {name: Point(cut, scores.get(name, {})) for name, cut in cuts}
    if model.decision.two:
        return {model.decision.positive: Point(model.threshold, model.verdict.get("scores", {}))}
    return {}


class State(NamedTuple):
    """Of one finding: whether it is called, and whether its probability is in the band for a reader."""

    called: bool
    refer: bool


def states(model: Reads, found: Answer) -> list[State] | None:
    """Return the state of each finding; None where the model sorts films into classes."""
    if not isinstance(model.decision, FindingsDecision):
        return None
    chances = found.probabilities[None]
    pairs = np.column_stack([model.decision.called(chances)[0], model.decision.refers_each(chances)[0]])
    return [State(*pair) for pair in pairs.tolist()]


def summary(model: Reads, found: Answer | FilmError) -> list[str]:
    """Return an answer in a few short lines."""
    if isinstance(found, FilmError):
        return [f"Not assessed: {found}"]
    lines = _lines(model, found)
    if found.refer:
        lines.append(f"For a reader: {found.reason}")
    return [*lines, f"Model {model.name}, {model.hash[:12]}"]


def verdict(model: Reads, found: Answer) -> str:
    """Return the answer's label in one short line."""
    return _lines(model, found)[0]


def _lines(model: Reads, found: Answer) -> list[str]:
    each = states(model, found)
    return _label(model, found) if each is None else _findings(model, found, [state.called for state in each])


def _label(model: Reads, found: Answer) -> list[str]:
    told = model.decision.told(found.probabilities, model.classes.index(found.label))
    lines = [f"{found.label} (probability {told})"]
    for name, point in points(model).items():
        lines.append(f"{name} from {edge(point.threshold)} on{_measured(model, point)}")
    return lines


def _findings(model: Reads, found: Answer, yes: list[bool]) -> list[str]:
    """Those that are called, each with its probability and threshold, the surest first; then those that are not."""
    cuts = [point.threshold for point in points(model).values()]
    order = np.argsort(-found.probabilities, kind="stable").tolist()
    told = [
        f"{name} (probability {model.decision.told(found.probabilities, k)}, called from {edge(cuts[k])} on)"
        for k, name in enumerate(model.classes)
    ]
    first = f"Called: {'; '.join(told[k] for k in order if yes[k])}" if any(yes) else "No finding called"
    others = ", ".join(model.classes[k] for k in order if not yes[k])
    return [first, *([f"Not called: {others}"] if others else [])]


def _measured(model: Reads, point: Point) -> str:
    """How well the model does at its threshold, with 95 % intervals; empty where its file does not say so."""
    said = [text for name in ("sensitivity", "specificity") if (text := _score(point.scores, name))]
    where = f" on {model.verdict.get('films', '?')} {model.verdict.get('part', '')} films"
    return f": {', '.join(said)}{where}" if said else ""


def _score(scores: Mapping[str, Any], name: str) -> str:
    value, low, high = (scores.get(name, {}).get(key) for key in ("value", "low", "high"))
    if value is None:
        return ""
    return f"{name} {value:.2f}" + (f" ({low:.2f}-{high:.2f})" if None not in (low, high) else "")
