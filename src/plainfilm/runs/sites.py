"""What random folds promise beside what a site that was left out gets: the gap, site by site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.evaluation.intervals import UNKNOWN, Interval, mean_of
from plainfilm.evaluation.scores import by_patient
from plainfilm.evaluation.scores_findings import means
from plainfilm.runs.findings import in_all
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
    places = [out / run for run in runs] + [random / run for run in read_json(random / folders.FOLDS)["runs"]]
    score, tested = _tested(places)
    rows = [{"site": site, **found} for site, found in zip(left_out["sites"], tested, strict=False)]
    folds = tested[len(rows) :]
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
        "score": score,
        "sentence": _sentence(score, left_out["column"], rows, here, promised, apart, red),
    }


def _sentence(  # noqa: PLR0913 - what the sentence is made of
    score: str,
    column: str,
    rows: Sequence[Mapping[str, Any]],
    here: Interval,
    promised: Interval,
    apart: Interval,
    red: bool,
) -> str:
    each = ", ".join(f"{row['site']} {row['auroc']['value']:.2f}" for row in rows)
    meant = (
        f"the model tells films by the {column} they come from; only the scores of a left-out {column} count."
        if red
        else "random folds are not shown to flatter."
    )
    return (
        f"{score} on a {column} that the model has not seen: {here} on average ({each}). Random folds of the same films"
        f" promise {promised}. The gap is {apart}: {meant}"
    )


def _tested(runs: Sequence[Path]) -> tuple[str, list[dict[str, Any]]]:
    """Return what the area is of, in words, and of each run's test part films and SCORES, intervals by patient: of
    findings the means over those that are scored in every run."""
    found = [read_json(run / folders.METRICS)["test"] for run in runs]
    films = [read_json(run / folders.CONFIG)["films"]["test"] for run in runs]
    score, prefix = "AUROC", ""
    if "findings" in found[0]:
        common = in_all([each["findings"] for each in found])
        score, prefix = f"Mean AUROC over {len(common)} findings", "macro_"
        found = [means({name: each["findings"][name] for name in common}) for each in found]
    rows = [
        {"films": count, **{name: by_patient(each, prefix + name) or UNKNOWN.as_dict() for name in SCORES}}
        for count, each in zip(films, found, strict=True)
    ]
    return score, rows


def _mean(rows: Sequence[Mapping[str, Any]]) -> Interval:
    """Return the mean AUROC of tests on different films, with its interval."""
    return mean_of([Interval(**{k: np.nan if v is None else v for k, v in row["auroc"].items()}) for row in rows])
