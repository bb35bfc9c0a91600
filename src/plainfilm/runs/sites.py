"""What random folds promise beside what a site that was left out gets: the gap, site by site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.evaluation.intervals import Interval
from plainfilm.evaluation.scores import by_patient
from plainfilm.storage import folders
from plainfilm.storage.files import read_json

SCORES = ("auroc", "balanced_accuracy", "sensitivity", "specificity")
MATTERS = 0.05  # AUROC by which random folds may flatter before it is the first thing to be said


def gap(out: Path, runs: Sequence[str], left_out: Mapping[str, Any]) -> dict[str, Any]:
    """Return what folds.json says of runs that left a site out each.

    left_out: {"column", "sites" (in the order of ``runs``), "random" (the folder of random folds inside ``out``)}.
    Adds ``rows`` (of each site name, films and SCORES with intervals), ``mean`` (AUROC over the sites), ``promised``
    (that of the random folds), ``gap`` between the two with its interval (for these sites), ``red``, ``sentence``.
    """
    random = out / left_out["random"]
    folds = [_tested(random / run) for run in read_json(random / folders.FOLDS)["runs"]]
    rows = [{"site": site, **_tested(out / run)} for site, run in zip(left_out["sites"], runs, strict=True)]
    here, promised = _mean(rows), _mean(folds)
    down = float(np.hypot(promised.value - promised.low, here.high - here.value))
    up = float(np.hypot(promised.high - promised.value, here.value - here.low))
    value = promised.value - here.value
    apart = Interval(value, value - down, value + up)
    red = bool(value >= MATTERS and apart.low > 0)
    return {
        **{name: left_out[name] for name in ("column", "sites", "random")},
        "rows": rows,
        "mean": here.as_dict(),
        "promised": promised.as_dict(),
        "gap": apart.as_dict(),
        "red": red,
        "sentence": _sentence(left_out["column"], rows, here, promised, apart, red),
    }


def _sentence(
    column: str, rows: Sequence[Mapping[str, Any]], here: Interval, promised: Interval, apart: Interval, red: bool
) -> str:
    each = ", ".join(f"{row['site']} {row['auroc']['value']:.2f}" for row in rows)
    meant = (
        f"the model tells films by the {column} they come from; only the scores of a left-out {column} count."
        if red
        else "random folds are not shown to flatter."
    )
    return (
        f"AUROC on a {column} that the model has not seen: {here} on average ({each}). Random folds of the same films"
        f" promise {promised}. The gap is {apart}: {meant}"
    )


def _tested(run: Path) -> dict[str, Any]:
    """Return films, positives and SCORES of a run's test part, intervals by patient."""
    found = read_json(run / folders.METRICS)["test"]
    config = read_json(run / folders.CONFIG)
    return {"films": config["films"]["test"], **{name: by_patient(found, name) for name in SCORES}}


def _mean(rows: Sequence[Mapping[str, Any]]) -> Interval:
    """Return the mean AUROC of tests on different films, with the interval from theirs: arms add as variances do."""
    of = [Interval(**{k: np.nan if v is None else v for k, v in row["auroc"].items()}) for row in rows]
    value = float(np.mean([one.value for one in of]))
    down = float(np.sqrt(sum((one.value - one.low) ** 2 for one in of))) / len(of)
    up = float(np.sqrt(sum((one.high - one.value) ** 2 for one in of))) / len(of)
    return Interval(value, value - down, value + up)
