"""The scores of several findings: of each on the films that know it, and their means over findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from plainfilm.evaluation.findings import FindingsPredictions, too_few
from plainfilm.evaluation.intervals import Floats, Interval, correlations, numbered, together
from plainfilm.evaluation.scores import estimates, scores

AVERAGED = ("auroc", "auprc", "balanced_accuracy", "sensitivity", "specificity", "brier")  # over findings


def scored(p: FindingsPredictions, rng: np.random.Generator) -> dict[str, Any]:
    """Return the scores of one part: means over findings, and under "findings" each finding's.

    A finding has ``known``, ``positives``, and ``scores`` ({score: {"value", "low", "high"}}) or, with fewer than two
    films of either answer, ``not_scored`` with the reason. ``macro`` and ``weighted`` (by positives) means are over the
    findings that are scored; see ``means`` for their intervals.
    """
    each: dict[str, Any] = {}
    for name in p.findings:
        films = p.of(name)
        found: dict[str, Any] = {"known": len(films), "positives": int(films.truth.sum())}
        if few := too_few(films):
            each[name] = found | {"not_scored": few}
        else:
            each[name] = found | {"scores": {key: i.as_dict() for key, i in scores(films, rng).items()}}
    names = [name for name, found in each.items() if "scores" in found]
    return {**means(each, errors_together(p, names)), "findings": each}


def means(each: Mapping[str, Any], together_by: Mapping[str, Floats] | None = None) -> dict[str, Any]:
    """Return {"macro_<score>", "weighted_<score>"} over those findings of ``each`` (see ``scored``) that are scored.

    Bounds are recovered from the findings' own (``intervals.together``) with ``together_by``: of each score how far the
    findings' estimates err together, (F, F) for the F that are scored. Without it they are taken to err fully together,
    which is the widest.
    """
    scored_ones = [one for one in each.values() if "scores" in one]
    found: dict[str, Any] = {}
    for score in AVERAGED:
        kept = [
            k for k, one in enumerate(scored_ones) if score in one["scores"] and _known(one["scores"][score].values())
        ]
        if not kept:
            continue
        parts = [Interval(**scored_ones[k]["scores"][score]) for k in kept]
        matrix = np.ones((len(kept), len(kept)))
        if together_by:
            matrix = together_by[score][np.ix_(kept, kept)]
        positives = np.array([scored_ones[k]["positives"] for k in kept], dtype=np.float64)
        for kind, weights in (("macro", np.ones(len(kept))), ("weighted", positives)):
            share = weights / weights.sum()
            value = float(share @ [part.value for part in parts])
            mean = together(value, parts, share, matrix)
            found[f"{kind}_{score}"] = Interval(value, max(mean.low, 0.0), min(mean.high, 1.0)).as_dict()
    return found


def errors_together(p: FindingsPredictions, names: Sequence[str]) -> dict[str, Floats]:
    """Return for each averaged score the correlation (F, F) of the findings' estimates, patients whole: the films that
    know two findings pull on both. Of no findings there is nothing."""
    if not names:
        return {}
    pulls = {score: np.zeros((len(names), len(p))) for score in AVERAGED}
    for row, name in enumerate(names):
        known = p.truth[:, p.findings.index(name)] >= 0
        for score, estimate in estimates(p.of(name)).items():
            if score in pulls:
                pulls[score][row, known] = estimate.pulls
    whose = numbered(p.patients)
    return {score: correlations(values, whose, 1.0) for score, values in pulls.items()}


def _known(values: Iterable[float | None]) -> bool:
    return all(value is not None and bool(np.isfinite(value)) for value in values)


def doubtful(p: FindingsPredictions, most: int) -> tuple[list[dict[str, Any]], int]:
    """Return the known cells whose own answer the model finds least likely, ``most`` at most and only those below 0.5,
    and how many these are: {"path", "finding", "label" (1 or 0), "p_own_label"}."""
    own = np.where(p.truth == 1, p.chances, 1 - p.chances)
    own = np.where(p.truth >= 0, own, 1.0)
    lowest = np.argsort(own, axis=None, kind="stable")[:most]
    listed = [
        {
            "path": p.paths[film],
            "finding": p.findings[k],
            "label": int(p.truth[film, k]),
            "p_own_label": float(own[film, k]),
        }
        for film, k in zip(*np.unravel_index(lowest, own.shape), strict=True)
        if own[film, k] < 0.5
    ]
    return listed, int((own < 0.5).sum())
