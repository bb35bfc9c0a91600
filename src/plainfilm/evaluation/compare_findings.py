"""Two or more models that find several findings on the same films: each finding's comparison, and that of the means.

Each finding is compared as a question of its own, on the films of which it is known. All findings and pairs are tested
together: Holm's p-values and the simultaneous intervals are over both.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import ndtri

from plainfilm.errors import InputError
from plainfilm.evaluation.areas import area, two_sided_spread
from plainfilm.evaluation.compare import POWER, SIGNIFICANT, Paired, add_words, align, paired, scores_of
from plainfilm.evaluation.findings import FindingsPredictions, too_few
from plainfilm.evaluation.intervals import Gap, numbered, spread, student_quantile
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.reliability import DRAWS


def compare_findings(
    models: Sequence[tuple[str, FindingsPredictions]], rng: np.random.Generator, draws: int = DRAWS
) -> dict[str, Any]:
    """Return the paired comparison of every two models by finding, ready for JSON.

    ``findings`` holds, for each finding that all models have, ``known`` and ``positives`` with ``models`` and ``pairs``
    as in ``compare``, or ``not_scored`` with the reason; p_holm and intervals are for all its ``tests``: pairs ×
    findings that are scored. ``pairs``: the difference of the mean AUROC over these findings (``mean_auroc``), for
    every two models. InputError where no finding is common, or films or truths differ.
    """
    names = [name for name, _ in models]
    together = {finding: _aligned(models, finding) for finding in _common(models)}
    scored = {finding: tables for finding, tables in together.items() if not too_few(tables[0])}
    pairs = list(combinations(range(len(names)), 2))
    many, findings = len(pairs) * len(scored), dict[str, dict[str, Any]]()
    rows, tests = list[dict[str, Any]](), list[dict[str, Paired]]()
    for finding, tables in together.items():
        findings[finding] = {"known": len(tables[0]), "positives": int(tables[0].truth.sum())}
        if finding not in scored:
            findings[finding]["not_scored"] = too_few(tables[0])
            continue
        found, tested = paired(names, tables, many, rng, draws)
        findings[finding] |= {"models": scores_of(names, tables, rng, draws), "pairs": found}
        rows, tests = rows + found, tests + tested
    add_words(rows, tests, f"{many} differences ({len(scored)} findings)" if many > 1 else "")
    return {
        "films": len(models[0][1]),
        "patients": min(len(np.unique(p.patients)) for _, p in models),
        "tests": many,
        "models": [{"name": name} for name in names],
        "findings": findings,
        "pairs": _means(names, [*scored.values()]) if scored else [],
    }


def _common(models: Sequence[tuple[str, FindingsPredictions]]) -> list[str]:
    """Return the findings that all models have, in the first one's order."""
    found = [name for name in models[0][1].findings if all(name in p.findings for _, p in models)]
    if not found:
        each = "; ".join(f"{name} has {', '.join(p.findings)}" for name, p in models)
        raise InputError(f"The models have no finding in common ({each}).")
    return found


def _aligned(models: Sequence[tuple[str, FindingsPredictions]], finding: str) -> list[Predictions]:
    """Return the films of which ``finding`` is known, of all models in one order: see ``align``."""
    try:
        return align([(name, p.of(finding)) for name, p in models])
    except InputError as error:
        raise InputError(f"{finding}: {error}") from None


def _means(names: Sequence[str], scored: Sequence[list[Predictions]]) -> list[dict[str, Any]]:
    """Return the difference of the mean AUROC over findings of every two models, with words."""
    rows, tests = [], []
    many = len(names) * (len(names) - 1) // 2
    for a, b in combinations(range(len(names)), 2):
        found = mean_area_test([(tables[a], tables[b]) for tables in scored])
        level = 1 - SIGNIFICANT / many
        shown = (student_quantile(level, found.gap.df) + float(ndtri(POWER))) * found.gap.error
        same = found.gap.value == 0 and found.gap.error == 0
        row = {"p": found.p, "identical": same, "smallest_difference": shown if not same else float("nan")}
        rows.append({"first": names[a], "second": names[b], "mean_auroc": row})
        tests.append({"mean_auroc": found})
    add_words(rows, tests, f"{many} pairs" if many > 1 else "")
    return rows


def mean_area_test(findings: Sequence[tuple[Predictions, Predictions]]) -> Paired:
    """Return the difference of two models' mean AUROC over ``findings``, each on its own known films.

    A patient's films pull on every finding of which they are known. All these pulls are added up, so that findings that
    err together count as they do (Obuchowski 1997, doi 10.2307/2533958, with a film's findings as a further level of
    the cluster). The variance is no less than that of findings that err apart, each as in ``area_test``; the degrees of
    freedom are theirs (Satterthwaite 1946, doi 10.2307/3002019).
    """
    values, pulls, whose, apart = [], [], [], []
    for first, second in findings:
        areas = [area(p.truth, p.score, p.folds) for p in (first, second)]
        values.append(areas[0].value - areas[1].value)
        pulls.append((areas[0].pulls - areas[1].pulls) / len(findings))
        whose.append(first.patients)
        apart.append(two_sided_spread(pulls[-1], first.truth, numbered(first.patients)))
    variance = max(sum(v for v, _ in apart), spread(np.concatenate(pulls), numbered(np.concatenate(whose))))
    squares = sum(v**2 / df for v, df in apart)
    found = Gap(
        float(np.mean(values)), float(np.sqrt(variance)), sum(v for v, _ in apart) ** 2 / squares if squares else 1.0
    )
    return Paired(found, found.p)
