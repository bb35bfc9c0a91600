"""Conditions on scores, such as ``auroc<0.9`` or ``sensitivity.low<0.85``: a check that a script can rely on."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

from plainfilm.errors import InputError, did_you_mean

_CONDITION = re.compile(r"\s*([^\s<>=][^<>=]*?)(?:\.(value|low|high))?\s*(<=|>=|<|>)\s*([0-9.eE+-]+)\s*")
_COMPARED = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}


def check(conditions: Sequence[str]) -> None:
    """InputError unless every condition has the form that ``holding`` takes."""
    for condition in conditions:
        _parsed(condition)


def holding(conditions: Sequence[str], scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return those of ``conditions`` that hold for ``scores``, each with the figure found.

    A condition is SCORE[.low|.high] with <, >, <= or >= and a number; a score that is not defined fulfils every
    condition, because nothing was shown. InputError for another form or an unknown score.
    """
    found = []
    for condition in conditions:
        name, bound, sign, number = _parsed(condition)
        if name not in scores:
            raise InputError(f"--fail-if {condition!r}: there is no score '{name}'.{did_you_mean(name, scores)}")
        value = scores[name][bound or "value"]
        if value is None or value != value or _COMPARED[sign](value, number):
            shown = "not defined" if value is None or value != value else f"{value:.4f}"
            found.append(f"{condition.strip()} ({shown})")
    return found


def _parsed(condition: str) -> tuple[str, str | None, str, float]:
    match = _CONDITION.fullmatch(condition)
    if not match:
        raise InputError(f"--fail-if {condition!r}: expected SCORE<NUMBER, such as auroc<0.9 or npv.low<0.95.")
    name, bound, sign, text = match.groups()
    try:
        return name, bound, sign, float(text)
    except ValueError:
        raise InputError(f"--fail-if {condition!r}: {text} is not a number.") from None
