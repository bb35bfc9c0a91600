"""What a change of the films does to a model of several findings: the mean over findings, and the worst of them.

Rows are those of ``robustness`` and ``probes``, their scores means over the findings that can be scored, and beside
them ``findings``, each one's ``auroc`` and ``change`` with its interval, and ``worst``, the one that loses most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plainfilm.errors import InputError
from plainfilm.evaluation.areas import auc_interval
from plainfilm.evaluation.compare import paired_delong
from plainfilm.evaluation.compare_findings import mean_area_test
from plainfilm.evaluation.findings import FindingsPredictions, too_few
from plainfilm.evaluation.intervals import Interval, rate
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.probes import probe_rows, red_lines
from plainfilm.evaluation.robustness import Corruption
from plainfilm.evaluation.scores_findings import errors_together, means

Row = dict[str, Any]


def scored_names(p: FindingsPredictions) -> list[str]:
    """Return the findings that can be scored on these films. InputError where there is none."""
    names = [name for name in p.findings if not too_few(p.of(name))]
    if not names:
        first = f"{p.findings[0]}: {too_few(p.of(p.findings[0]))}"
        raise InputError(f"No finding can be probed on {len(p)} films ({first}); take more: --films N.")
    return names


def robustness_of_findings(
    clean: FindingsPredictions, changed: Mapping[Corruption, FindingsPredictions], names: Sequence[str]
) -> list[Row]:
    """Return one row per corruption, as ``robustness.robustness`` has them, over the findings ``names``, from
    predictions on the same films in the same order."""
    rows = []
    for corruption, table in changed.items():
        about = {"name": corruption.name, "kind": corruption.kind, "severity": corruption.severity}
        found = _row(clean, table, names)
        rows.append({**about, "auroc_change": found.pop("change"), **found, "one_class": {}})
    return rows


def probe_rows_of_findings(
    clean: FindingsPredictions, changed: Mapping[str, FindingsPredictions], names: Sequence[str]
) -> list[Row]:
    """Return the untouched films and one row per probe, as ``probes.probe_rows`` has them, over the findings
    ``names``."""
    untouched = {"kind": "model", "name": "untouched", "auroc": _mean(clean, names), "change": None, "flipped": None}
    return [untouched, *({"kind": "model", "name": name, **_row(clean, t, names)} for name, t in changed.items())]


def _row(clean: FindingsPredictions, changed: FindingsPredictions, names: Sequence[str]) -> Row:
    pairs = [(changed.of(name), clean.of(name)) for name in names]
    each = {name: _finding(*pair) for name, pair in zip(names, pairs, strict=True)}
    columns = [clean.findings.index(name) for name in names]
    calls = [p.decision.called(p.chances)[:, columns] for p in (changed, clean)]
    worst = min(names, key=lambda name: float(each[name]["change"]["value"]))
    return {
        "auroc": _mean(changed, names),
        "change": mean_area_test(pairs).interval(0.95).as_dict(),
        "flipped": rate((calls[0] != calls[1]).mean(axis=1), clean.patients).as_dict(),
        "findings": each,
        "worst": {"finding": worst, **each[worst]},
    }


def _finding(changed: Predictions, clean: Predictions) -> Row:
    change, _ = paired_delong(clean.truth, changed.score, clean.score, patients=clean.patients)
    area = auc_interval(clean.truth, changed.score, patients=clean.patients)
    return {"auroc": area.as_dict(), "change": change.as_dict()}


def _mean(p: FindingsPredictions, names: Sequence[str]) -> dict[str, float]:
    """Return the mean AUROC over ``names``, as metrics.json has it."""
    each: dict[str, Any] = {}
    for name in names:
        films = p.of(name)
        area = auc_interval(films.truth, films.score, patients=films.patients).as_dict()
        each[name] = {"positives": int(films.truth.sum()), "scores": {"auroc": area}}
    found: dict[str, float] = means(each, errors_together(p, names))["macro_auroc"]
    return found


def worst_finding(rows: Sequence[Row]) -> Row:
    """Return the finding whose AUROC falls most under one of the ``rows`` of ``robustness_of_findings``, with a
    ``sentence``. Inverted films are left out: they come from a mistake, not from another device."""
    usual = [row for row in rows if row["kind"] != "inverted"]
    most = min(usual, key=lambda row: float(row["worst"]["change"]["value"]))
    finding, change = most["worst"]["finding"], Interval(**most["worst"]["change"])
    sentence = (
        f"The finding that loses most is {finding}, by {most['name']}: its AUROC changes by {change.value:+.3f} (95 % "
        f"interval {change.low:+.3f} to {change.high:+.3f}; mean of {len(most['findings'])} findings "
        f"{most['auroc_change']['value']:+.3f})."
    )
    return {"name": most["name"], **most["worst"], "sentence": sentence}


def lines_by_finding(
    clean: FindingsPredictions, covered: Mapping[str, FindingsPredictions], names: Sequence[str]
) -> list[str]:
    """Return a sentence for each finding and each limit that it is past when films are ``covered``: see
    ``probes.red_lines``."""
    lines = []
    for name in names:
        rows = probe_rows(clean.of(name), {cover: table.of(name) for cover, table in covered.items()})
        lines += [f"{name}: {line}" for line in red_lines(rows)]
    return lines
