"""A run in the words of its documents (model card, checklists, methods): of classes, or of several findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from plainfilm.evaluation.digits import edge
from plainfilm.report import elsewhere, external, findings, practice, verdict
from plainfilm.report.mistakes import wrong_films
from plainfilm.report.provenance import pairs
from plainfilm.report.words import NOT_DONE, Table, count, fitted_in_words, part_in_words, score_in_words, with_interval
from plainfilm.runs.folder import RunFolder, interval

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Spoken:
    """What documents say of a run that depends on what is asked of its films."""

    outputs: str  # the classes or findings, with commas between them
    positive: str  # what a probability is of, in the sentence about the output
    counted: str  # films of all parts by class or finding
    decided: str  # how a film is decided: threshold and its rule
    fitted: str  # what was fitted to the probabilities
    refer: str  # the band for a reader
    films: int  # that are scored
    patients: int
    scored: str  # the scored films by class or finding
    flow: str  # films and positives in each part
    measures: str  # which scores there are
    headline: str
    rates: str
    wrong: str  # the films decided wrongly
    elsewhere: str
    red_lines: list[str]
    limits: list[str]
    tables: list[Table]  # of results


def spoken(run: RunFolder) -> Spoken:
    """Return what documents say of a finished run."""
    return _of_findings(run) if run.of_findings else _of_classes(run)


def _of_classes(run: RunFolder) -> Spoken:
    p, scored, refer = run.predictions, run.scored, run.decision.refer
    names = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV"}
    _, wrong = wrong_films(run)
    missed = int(scored.truth[wrong].sum())
    flow = {part: p.parts == part for part in PARTS if (p.parts == part).any()}
    return Spoken(
        outputs=", ".join(p.classes),
        positive=f"; positive class {run.positive}",
        counted=pairs(run.config["classes"]),
        decided=f"threshold {edge(run.threshold)} ({practice.rule(run)})",
        fitted=fitted_in_words(run),
        refer=refer.words if refer else "",
        films=len(scored),
        patients=len(set(scored.patients.tolist())),
        scored=pairs({name: int((scored.labels == k).sum()) for k, name in enumerate(p.classes)}),
        flow="; ".join(
            f"{part_in_words(part)}: {count(int(here.sum()), 'film')}, {int(p.truth[here].sum()):,} of {run.positive}"
            for part, here in flow.items()
        ),
        measures=", ".join(run.metrics.get(run.part, {})) or NOT_DONE,
        headline="; ".join(f"{title} {score_in_words(run, name)}" for name, title in verdict.HEADLINE.items()),
        rates=f"at threshold {edge(run.threshold)}: "
        + ", ".join(f"{title} {score_in_words(run, name)}" for name, title in names.items())
        + "; report.html has other thresholds",
        wrong=f"{count(len(wrong), 'wrong film')} by name and confidence in report.html ({missed:,} missed)",
        elsewhere=external.sentence(run),
        red_lines=verdict.red_lines([run]),
        limits=verdict.limits([run]),
        tables=[t for t in (practice.thresholds(run), practice.prevalence(run), elsewhere.table(run)) if t],
    )


def _of_findings(run: RunFolder) -> Spoken:
    p = run.findings
    scored, found = p.part(run.part), cast(dict[str, Any], run.metrics)[run.part]
    cells = run.config.get("findings", {})
    cuts = dict(zip(p.findings, p.decision.thresholds.tolist(), strict=True))
    flow = {part: p.part(part) for part in PARTS if (p.parts == part).any()}
    bands = {rule.positive: rule.refer for rule in p.decision.each if rule.refer}
    return Spoken(
        outputs=", ".join(p.findings),
        positive=", each by itself; a film may have several or none",
        counted="; ".join(
            f"{name} {c['positive']:,} positive, {c['negative']:,} negative, {c['unknown']:,} unknown"
            for name, c in cells.items()
        ),
        decided=f"a threshold for each finding ({pairs(cuts)})",
        fitted="temperature and offset of each finding fitted on the validation films of which it is known",
        refer="; ".join(f"{name} {band.words}" for name, band in bands.items()),
        films=len(scored),
        patients=len(set(scored.patients.tolist())),
        scored=_known(found),
        flow="; ".join(
            f"{part_in_words(part)}: {count(len(some), 'film')}, positive of the known: "
            + ", ".join(
                f"{name} {int((some.truth[:, k] == 1).sum()):,} of {int((some.truth[:, k] >= 0).sum()):,}"
                for k, name in enumerate(p.findings)
            )
            for part, some in flow.items()
        ),
        measures=f"{', '.join(_measures(found)) or NOT_DONE}, of each finding on the films of which it is known; their "
        "means over findings",
        headline=_means(found) + "; by finding, AUROC: " + _each(found, "auroc"),
        rates=f"at the thresholds in use, sensitivity: {_each(found, 'sensitivity')}; specificity: "
        f"{_each(found, 'specificity')}",
        wrong="decisions of each finding are in predictions.csv",
        elsewhere="",
        red_lines=findings.red_lines(run, run.part),
        limits=findings.limits(run),
        tables=findings.tables(run),
    )


def _known(found: Mapping[str, Any]) -> str:
    each = found["findings"].items()
    return ", ".join(f"{name} {about['positives']:,} positive of {about['known']:,} known" for name, about in each)


def _measures(found: Mapping[str, Any]) -> list[str]:
    return next((list(about["scores"]) for about in found["findings"].values() if "scores" in about), [])


def _means(found: Mapping[str, Any]) -> str:
    said = [f"{title} {with_interval(interval(found[n]))}" for n, title in findings.MEANS.items() if n in found]
    return "; ".join(said) or "no finding is scored"


def _each(found: Mapping[str, Any], score: str) -> str:
    values = {
        name: interval(about["scores"].get(score)) for name, about in found["findings"].items() if "scores" in about
    }
    known = [f"{name} {with_interval(value)}" for name, value in values.items() if not np.isnan(value.value)]
    left = [name for name, about in found["findings"].items() if "scores" not in about]
    return ", ".join([*known, *(f"{name} not scored" for name in left)]) or NOT_DONE
