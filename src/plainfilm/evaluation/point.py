"""operating.json: how the scores of a model that plainfilm did not make become labels, so that new ones can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from plainfilm.errors import InputError
from plainfilm.evaluation.decision import FLOOR, Decision
from plainfilm.evaluation.handed_in import Told
from plainfilm.evaluation.predictions import HandedIn, Predictions
from plainfilm.evaluation.scales import KINDS, Scale
from plainfilm.storage.files import read_json

FORMAT = 1


class Point(NamedTuple):
    """A rule of decision with the table that its scores stood in: columns, scale, classes."""

    decision: Decision
    told: Told

    @property
    def document(self) -> dict[str, Any]:
        """What operating.json holds of it."""
        return {
            "operating_point": FORMAT,
            "classes": self.decision.classes,
            "positive": self.decision.positive,
            **self.decision.operating,
            "columns": dict(self.told.columns),
            "scores": (self.told.scale or Scale())._asdict(),
        }


def point_of(handed: HandedIn, decision: Decision) -> Point:
    """Return the operating point that ``decision`` is for tables like ``handed``."""
    table = handed.table
    told = Told(table.columns, table.scale.kind, table.scale, decision.positive, table.classes, labelled=False)
    return Point(decision, told)


def read_point(path: str | Path) -> Point:
    """Return what operating.json holds; InputError in one sentence where it is none, damaged or of a newer version."""
    about = read_json(path)
    if not isinstance(about, dict) or "operating_point" not in about:
        raise InputError(f"{path} is no operating point; plainfilm adapt FILE.csv --out operating.json writes one.")
    if about["operating_point"] != FORMAT:
        raise InputError(f"{path} was made by a newer plainfilm (format {about['operating_point']}); update plainfilm.")
    try:
        classes = tuple(map(str, about["classes"]))
        if len(classes) != 2 or len(set(classes)) != 2:
            raise ValueError("two classes are needed")
        scale = Scale(str(about["scores"]["kind"]), *(float(about["scores"][key]) for key in ("centre", "spread")))
        decision = Decision.read(classes, about)
        columns = {str(role): str(name) for role, name in about["columns"].items() if role != "label"}
        if scale.kind not in KINDS or not scale.spread > 0 or len(decision.shift) not in (0, 2):
            raise ValueError("its scores or its shift are out of range")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} does not fit together: {error}.") from None
    return Point(decision, Told(columns, scale.kind, scale, decision.positive, classes, labelled=False))


def floored(p: Predictions) -> Predictions:
    """Return the films with probabilities that are never quite 0 or 1: one film a program was sure of, and wrong about,
    would else decide the whole calibration."""
    shares = np.clip(p.probabilities, FLOOR, 1)
    return replace(p, probabilities=shares / shares.sum(axis=1, keepdims=True))


def columns_there(told: Told, given: Mapping[str, str], header: list[str]) -> Told:
    """Return the columns that a new table has: those ``given``, else those of the films before that are there."""
    kept = {role: name for role, name in told.columns.items() if name in header}
    return told._replace(columns={**kept, **given})
