"""An operating point for a model that plainfilm did not make, from its predictions of labelled films."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.errors import InputError
from plainfilm.evaluation import adapting, operating
from plainfilm.evaluation.chance import chance_line_unless_worse
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.handed_in import Told
from plainfilm.evaluation.point import floored, point_of
from plainfilm.evaluation.predictions import HandedIn, read_table_of
from plainfilm.storage.files import sha256_file, write_json


def adapt_predictions(
    file: Path,
    out: Path,
    *,
    threshold: str = "",
    refer: str = "",
    guarantee: str = "",
    columns: str = "",
    scores: str = "",
    positive: str = "",
    force: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit shift, temperature, threshold and refer band to the predictions in ``file``; write them into ``out``.

    ``threshold``, ``refer``, ``guarantee``: as of ``adapt``; ``columns``, ``scores``, ``positive``: see
    ``handed_in.Told``. Returns what ``out`` holds: the operating point, and how it was found (before, after
    cross-fitted by patient, difference, promises). InputError where nothing is gained, or a promise can't be given,
    unless ``force``; where ``out`` exists; and where the model is worse than chance.
    """
    if out.suffix.lower() != ".json":
        raise InputError(f"--out {out}: an operating point is a JSON file; give a name that ends in .json.")
    if out.exists() and not force:
        raise InputError(f"{out} exists; choose another name, or add --force to replace it.")
    rules = operating.Rules.asked(threshold, refer, guarantee, shifted=True)
    handed = read_table_of(file, told=Told.of(columns, scores, positive))
    operating.check(rules.threshold, rules.refer, handed.predictions.classes)
    decision, found = _fitted(file, handed, rules, force, seed)
    document = {
        **point_of(handed, decision).document,
        "from": {"file": file.name, "sha256": sha256_file(file), "threshold": 0.5},
        "remarks": handed.table.remarks,
        "found": found,
    }
    write_json(out, document)
    return document


def _fitted(
    file: Path, handed: HandedIn, rules: operating.Rules, force: bool, seed: int
) -> tuple[Decision, dict[str, Any]]:
    raw = handed.predictions
    raw = floored(raw.part(raw.scored_part)).settled()  # one threshold for all is no cross-validation
    if not raw.decision.two:
        raise InputError(f"{file}: an operating point is for two classes, and there are {len(raw.classes)}.")
    if raw.decision.own_thresholds:
        raise InputError(f"{file} has a threshold for each film, of cross-validation; give the films of one model.")
    old = replace(raw.decision, rule="as given")
    decision, _, found = adapting.adapt(raw, old, rules, np.random.default_rng(seed), force)
    advice = "If they are, name the class that the scores are for: --positive NAME."
    line = chance_line_unless_worse(found["before"], f"the films of {file}", advice)
    if found["kept"] and not decision.promises:
        gain = found["difference"]["balanced_accuracy"]
        raise InputError(
            f"{file}: a new operating point is not shown to be better than {old.threshold:.3g} (balanced accuracy "
            f"{gain['value']:+.3f}, 95 % interval {gain['low']:+.3f} to {gain['high']:+.3f}), and nothing is written; "
            "add films, or take it all the same with --force."
        )
    found["red_lines"] = [line] * bool(line) + found.pop("lines")
    return decision, found
