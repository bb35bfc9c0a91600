"""Reports: one self-contained page from the files of a run folder, or of several beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plainfilm.data.films import PARTS
from plainfilm.errors import command_line
from plainfilm.report import charts, elsewhere, evidence, external, mistakes, practice, provenance, verdict
from plainfilm.report.card import write_card
from plainfilm.report.claim import write_claim
from plainfilm.report.methods import write_methods
from plainfilm.report.page import write_page
from plainfilm.report.reference import PAPER_FILMS, PUBLISHED, SCORES, why_not_comparable
from plainfilm.report.stard import write_stard
from plainfilm.report.tripod import write_tripod
from plainfilm.report.words import Table, count, note_on, part_in_words, score_in_words, title_of
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.inside import did_not_learn, read_runs, unfinished

SECTIONS = {
    "table": "Table I",
    "network": "Network (Fig. 1)",
    "curves": "Training curves (Figs. 2 and 4)",
    "montage": "Films with their labels (Fig. 3)",
    "decisions": "Decisions",
    "thresholds": "Other thresholds",
    "prevalence": "Prevalence",
    "referral": "Films for a reader",
    "probabilities": "Probabilities",
    "subgroups": "Subgroups",
    "robustness": "Robustness",
    "shortcuts": "Shortcuts",
    "audit": "The data",
    "search": "Grid search",
    "cost": "Time and cost",
    "errors": "Errors",
    "how": "How it was computed",
    "elsewhere": "Films from elsewhere",
    "limits": "What this does not show",
}
OF_A_RUN = {
    "For the clinic": ("decisions", "thresholds", "prevalence", "referral", "errors", "montage", "elsewhere", "limits"),
    "For the reviewer": ("probabilities", "subgroups", "robustness", "shortcuts", "audit", "table"),
    "For the engineer": ("network", "curves", "search", "cost", "how"),
}
OF_THE_PAPER = {
    "": (
        "table",
        "network",
        "curves",
        "montage",
        "decisions",
        "probabilities",
        "search",
        "cost",
        "errors",
        "how",
        "limits",
    )
}


def run_report(run: RunFolder) -> Path:
    """Write report.html, figures/, model-card.md, methods.md and the checklists of a finished run folder; return the
    page's path.

    What is not on disk (history.csv, parts of metrics.json, probes.json, figures/montage.png) is shown as not done.
    InputError when a file is missing that every finished run has.
    """
    folder = run.folder
    page = {
        **_shared([run], folder, OF_A_RUN),
        "title": f"{run.full_title} on {verdict.data_name(run)}",
        "note": note_on(run),
        "tiles": [verdict.cell(run, name, title) for name, title in verdict.HEADLINE.items()],
        "plain": verdict.in_plain_words(run),
        "standing": verdict.standing(run),
        "all_scores": _all_scores(run),
        "thresholds": practice.thresholds(run),
        "prevalence": practice.prevalence(run),
        "shift": practice.shift(run),
        "decision_curve": practice.decision(run, folder),
        "referral": practice.referral(run, folder),
        "positive": run.positive,
        "calibration": charts.calibration(run),
        "subgroups": evidence.subgroups(run, folder),
        "by_columns": evidence.by_columns(run.metrics.get("by", {}), run.score("auroc"), folder),
        "robustness": evidence.robustness(run, folder),
        "shortcuts": evidence.shortcuts(run, folder),
        "audit": run.audit,
        "audit_lines": verdict.lines_of_audit(run),
        "probe": verdict.probing(run),
        "errors": mistakes.errors(run),
        "elsewhere": elsewhere.table(run),
        "elsewhere_reports": external.reports(run),
        "evaluate_elsewhere": command_line("evaluate", run.folder, "OTHER"),
        "how": Table("The run", ["What", "Value"], provenance.how(run)),
        "settings": provenance.settings(run),
        "quarantine": provenance.quarantine(run),
    }
    write_card(run)
    write_claim(run)
    write_tripod(run)
    write_stard(run)
    write_methods(run)
    return write_page(folder, "run.html", page)


def paper_report(out: str | Path) -> Path:
    """Write ``out``/report.html and ``out``/figures: all finished runs in the folders of ``out`` beside each other.

    Returns the page's path. InputError when there is no finished run.
    """
    folder = Path(out)
    runs = read_runs(folder)
    shared = _shared(runs, folder, OF_THE_PAPER)
    begun = [f"{name} was begun and is not finished; it is not on this page." for name in unfinished(folder)]
    page = {
        "title": f"The paper's comparison on {verdict.data_name(runs[0])}",
        "headline": _headline(runs),
        "comparisons": verdict.comparisons(runs),
        "standing": [f"{run.title}: {line}" for run in runs for line in verdict.standing(run)],
        "lines": shared["lines"] + begun,
        "error_counts": mistakes.error_counts(runs),
        "all_wrong": mistakes.all_wrong(runs),
        "how": provenance.how_beside(runs),
    }
    return write_page(folder, "paper.html", shared | page)


def _shared(runs: list[RunFolder], folder: Path, order: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Return what both kinds of page show, for one run or several; write the figures into ``folder``/figures."""
    searches = [charts.search(run, folder, runs) for run in runs if run.model["search"]]
    left_out = () if searches else ("search",)
    return {
        "groups": [
            (name, [(key, SECTIONS[key]) for key in keys if key not in left_out]) for name, keys in order.items()
        ],
        "lead": verdict.lead(runs[0]),
        "synthetic": any(run.config["synthetic"] for run in runs),
        "version": runs[0].config["plainfilm"],
        "protocol": "; ".join(sorted({run.config["protocol"] for run in runs})),
        "scored": verdict.what_was_scored(runs[0]),
        "summary": verdict.summary(runs),
        "lines": verdict.red_lines(runs),
        "table_rows": [_table_row(run, folder) for run in runs],
        "table_caption": _table_caption(runs[0]),
        "published": _published(),
        "forest": charts.forest(runs, folder),
        "networks": [charts.network(run, folder, runs) for run in runs if run.model["layers"]],
        "curves": charts.curves(runs, folder),
        "no_curves": [charts.no_curve(run) for run in runs if not run.history],
        "montages": [chart for chart in map(charts.montage, runs) if chart][:1],
        "decisions": charts.decisions(runs),
        "confusions": [charts.confusion(run, folder, runs) for run in runs],
        "probabilities": charts.probabilities(runs, folder),
        "searches": searches,
        "cost": provenance.cost(runs),
        "limit_lines": verdict.limits(runs),
    }


def _table_row(run: RunFolder, folder: Path) -> dict[str, Any]:
    cells = [verdict.cell(run, score, title) for score, title in SCORES.items()]
    link = "" if run.folder == folder else f"{run.folder.relative_to(folder).as_posix()}/report.html"
    return {"title": run.full_title, "note": note_on(run), "link": link, "cells": cells}


def _table_caption(run: RunFolder) -> str:
    films = sum(run.config["classes"].values())
    why = why_not_comparable(run.config)
    ours = f"Macro averages on {count(len(run.scored), 'film')}, {run.config['protocol']}; 95 % intervals."
    theirs = (
        f"No verdict: {why}." if why else "Reproduced: the paper's value, which has two digits, overlaps our interval."
    )
    return f"{ours} {theirs} The paper had {PAPER_FILMS:,} films, this set has {films:,}."


def _published() -> Table:
    caption = "Published figures with their protocols; figures of different protocols are not ranked."
    rows = [[p.who, p.figures, p.protocol, p.source] for p in PUBLISHED]
    return Table(caption, ["Whose", "Figures", "Protocol", "Source"], rows)


def _headline(runs: list[RunFolder]) -> Table:
    rows = [[title_of(run), *(score_in_words(run, score) for score in verdict.HEADLINE)] for run in runs]
    header = ["Model", *verdict.HEADLINE.values()]
    return Table("Headline scores (95 % interval)", header, rows, did_not_learn(runs))


def _all_scores(run: RunFolder) -> Table | None:
    parts = [part for part in PARTS if run.scores(part)]
    if not parts:
        return None
    names = dict.fromkeys(name for part in parts for name in run.scores(part))
    rows = [[name, *(score_in_words(run, name, part) for part in parts)] for name in names]
    return Table("Every score (95 % interval)", ["Score", *map(part_in_words, parts)], rows)
