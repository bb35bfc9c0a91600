"""Whether a model is better than chance, and worse than it: said before any other figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plainfilm.errors import InputError
from plainfilm.evaluation.scores import by_patient

NOT_BETTER, WORSE = "Not shown to be better than chance on", "Worse than chance on"
CHANCE = 0.5  # area under the ROC curve of a model that knows nothing


def chance_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Return the red line about the scored part (test, else val) of metrics.json; none where it is better than chance,
    or a class is missing."""
    part = next((part for part in ("test", "val") if part in metrics), "")
    return [line] if part and (line := chance_line(metrics[part], f"the {part} films")) else []


def chance_line(scores: Mapping[str, Any], where: str) -> str:
    """Return a sentence where the area under the curve has an interval that reaches 0.5, or lies below; "" else.

    scores: {name: {"value", "low", "high"}}; the interval that counts patients is taken where there is one.
    """
    area = by_patient(scores, "auroc") or {}
    value, low, high = (_number(area.get(end)) for end in ("value", "low", "high"))
    if not low <= CHANCE:  # better, or unknown
        return ""
    figures = f"AUROC {value:.3f}, 95 % interval {low:.3f} to {high:.3f}"
    if high < CHANCE:
        return f"{WORSE} {where} ({figures}): are the classes swapped?"
    return f"{NOT_BETTER} {where} ({figures})."


def worse_than_chance(scores: Mapping[str, Any]) -> bool:
    """Return whether the whole interval of the area under the curve lies below 0.5."""
    return _number((by_patient(scores, "auroc") or {}).get("high")) < CHANCE


def chance_line_unless_worse(scores: Mapping[str, Any], where: str, advice: str, model: str = "") -> str:
    """Return ``chance_line``; InputError where the model is worse than chance, which no threshold mends: the line as a
    sentence about the ``model`` that is named, with ``advice`` behind it."""
    line = chance_line(scores, where)
    if worse_than_chance(scores):
        raise InputError(f"{as_said_of(model, line)} {advice}")
    return line


def as_said_of(model: str, line: str) -> str:
    """Return a line with the model before it, where it has a name."""
    return f"{model}: {line[0].lower()}{line[1:]}" if model else line


def tells_of_chance(line: str) -> bool:
    """Return whether a red line is one that ``chance_line`` gave."""
    return NOT_BETTER in line or WORSE in line


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
