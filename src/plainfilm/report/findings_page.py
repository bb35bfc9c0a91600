"""The page of a run whose films have several findings: tables, small multiples, and what is not known."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plainfilm.evaluation.findings import FindingsPredictions, cooccurrence
from plainfilm.evaluation.intervals import Interval
from plainfilm.evaluation.reliability import reliability
from plainfilm.evaluation.scores import roc_points
from plainfilm.report import charts, evidence
from plainfilm.report.card import write_card
from plainfilm.report.charts import Chart, drawn
from plainfilm.report.claim import write_claim
from plainfilm.report.figures import BLACK, BLUE, GREY, WIDE, fitted, styled
from plainfilm.report.findings import (
    ALL_FILMS,
    LIMITS,
    MEANS,
    audited,
    by_columns,
    by_finding,
    cells_of,
    hidden_lines,
    hidden_table,
    limits,
    means,
    red_lines,
    together,
    unknown,
)
from plainfilm.report.methods import write_methods
from plainfilm.report.page import write_page
from plainfilm.report.tripod import write_tripod
from plainfilm.report.verdict import Cell, bounds, data_name, standing
from plainfilm.report.words import Table, count, number, part_in_words, with_interval
from plainfilm.runs.findings import scored_part
from plainfilm.runs.folder import RunFolder, interval

ELSEWHERE = "One set of films from one place: another hospital's films, or other years, may give other scores."
COLUMNS = 4  # small multiples beside each other
SECTIONS = {
    "local": "Before and after adapting",
    "findings": "Findings",
    "roc": "Ranking",
    "reliability": "Probabilities",
    "montage": "Films with their findings",
    "together": "Findings together",
    "unknown": "What is not known",
    "by": "Subgroups",
    "robustness": "Robustness",
    "shortcuts": "Shortcuts",
    "audit": "What tells findings without a look at the lungs",
    "how": "How it was computed",
    "limits": "What this does not show",
}


def findings_report(run: RunFolder) -> Path:
    """Write report.html, figures/ and the documents of a finished run whose films have findings; return the page's
    path."""
    part = scored_part(run)
    films = run.findings.part(part)
    more = {
        "montage": charts.montage(run),
        "unknown": unknown(run.config.get("findings", {}), ALL_FILMS),
        "audit": audited(run),
        "how": _how(run),
        "limits": limits(run),
        **_probed(run),
    }
    page = {
        "title": f"{run.title} on {data_name(run)}: {len(films.findings)} findings",
        "lead": f"{_films_of(films, f'film of the {part_in_words(part)} part')}; each finding is scored on the films"
        " of which it is known",
        "synthetic": run.config["synthetic"],
        "version": run.config["plainfilm"],
        "protocol": run.metrics["protocol"],
        "lines": red_lines(run, part),
        "standing": standing(run),
        **_sections(films, cast(dict[str, Any], run.metrics), part, run.folder, more),
    }
    write_card(run)
    write_claim(run)
    write_tripod(run)
    write_methods(run)
    return write_page(run.folder, "findings.html", page)


def findings_elsewhere_report(
    folder: Path,
    films: FindingsPredictions,
    metrics: Mapping[str, Any],
    about: Mapping[str, Any],
    adapted: Table | None = None,
) -> Path:
    """Write report.html and figures/ of ``films`` that are not the model's own into ``folder``; return the page's path.

    about: "data" and "model" (names), "synthetic", "version", "quarantine" (films that could not be read), "lines" (red
    lines), "probes" (probes.json, if they were probed). adapted: what adapting to these films did.
    """
    seen = RunFolder(folder).replaced(probes=about.get("probes", {}))
    more = {"unknown": unknown(cells_of(films), "These films"), "limits": [ELSEWHERE, *LIMITS], **_probed(seen)}
    bad = count(len(about["quarantine"]), "film")
    when = ", before and after adapting" if adapted else ""
    page = {
        "title": f"{about['model']} on {about['data']}{when}: {len(films.findings)} findings",
        "lead": f"{_films_of(films, 'film')}, not the model's own; {bad} could not be read",
        "synthetic": about["synthetic"],
        "version": about["version"],
        "protocol": metrics["protocol"],
        "lines": about["lines"],
        "standing": [],  # how often its test part was opened, and so on, is said of a run alone
        **_sections(films, metrics, "test", folder, {**more, "local": adapted}),
    }
    return write_page(folder, "findings.html", page)


def _probed(run: RunFolder) -> dict[str, Any]:
    return {
        "robustness": evidence.robustness(run, run.folder),
        "shortcuts": evidence.shortcuts(run, run.folder),
    }


def _films_of(films: FindingsPredictions, noun: str) -> str:
    word = noun if len(films) == 1 else noun.replace("film", "films", 1)
    return f"{len(films):,} {word}, of {count(len(set(films.patients.tolist())), 'patient')}"


def _sections(
    films: FindingsPredictions, metrics: Mapping[str, Any], part: str, folder: Path, more: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the page shows of the scored ``films``, with ``more`` sections that not every page has."""
    found = metrics[part]
    shown = {**figures(films, found, folder), **more, "together": _together(films, folder)}
    shown["by"] = by_columns(metrics.get("by", {}))
    return {
        "groups": [("", [(key, name) for key, name in SECTIONS.items() if shown.get(key)])],
        "tiles": [Cell(title, number(m.value), bounds(m)) for title, m in _tiles(found)],
        "means": means(found),
        "hidden": hidden_table(found),
        "hidden_lines": hidden_lines(found),
        **shown,
    }


def figures(films: FindingsPredictions, found: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the table of the findings of the scored ``films`` and, where any is scored, their charts, drawn into
    ``folder``/figures; ``found``: their part of metrics.json."""
    return {
        "findings": by_finding(films, found),
        "roc": _roc(films, found, folder),
        "reliability": _reliability(films, found, folder),
    }


def _tiles(found: Mapping[str, Any]) -> list[tuple[str, Interval]]:
    return [(title, interval(found[name])) for name, title in MEANS.items() if name in found]


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    rows = ceil(count / COLUMNS)
    figure = Figure(figsize=(WIDE, 1.95 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True).ravel().tolist()
    for empty in axes[count:]:
        empty.set_visible(False)
    for each in axes[max(count - COLUMNS, 0) : count]:  # the last of each column, whatever row that is in
        each.tick_params(labelbottom=True)
    for each in axes[:count]:
        each.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        each.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=(0, (1, 2)))
    return figure, axes


@styled
def roc_grid(films: FindingsPredictions, names: list[str]) -> Figure:
    """Draw the ROC curve of each finding in ``names``, with its threshold as a point."""
    figure, axes = _grid(len(names))
    for name, each in zip(names, axes, strict=False):
        p = films.of(name)
        false, true, _ = roc_points(p)
        each.plot(false, true, color=BLUE, lw=1.4)
        each.plot(
            (p.called & ~p.truth).sum() / (~p.truth).sum(), (p.called & p.truth).sum() / p.truth.sum(), "o", color=BLUE
        )
        each.set_title(fitted(name.replace("_", " "), WIDE / COLUMNS - 0.35), loc="left", fontsize=9)
    figure.supxlabel("1 − specificity", fontsize=9)
    figure.supylabel("Sensitivity", fontsize=9)
    return figure


@styled
def reliability_grid(films: FindingsPredictions, names: list[str]) -> Figure:
    """Draw, for each finding in ``names``, the share of positive films over the predicted probability."""
    figure, axes = _grid(len(names))
    for name, each in zip(names, axes, strict=False):
        rows = reliability(films.of(name), 8)
        x, y = [row["mean_predicted"] for row in rows], [row["observed"] for row in rows]
        low = [max(0.0, row["observed"] - row["low"]) for row in rows]
        high = [max(0.0, row["high"] - row["observed"]) for row in rows]
        each.errorbar(x, y, yerr=[low, high], color=BLUE, fmt="o-", ms=3, lw=1)
        each.set_title(fitted(name.replace("_", " "), WIDE / COLUMNS - 0.35), loc="left", fontsize=9)
    figure.supxlabel("Predicted probability", fontsize=9)
    figure.supylabel("Share of positive films", fontsize=9)
    return figure


@styled
def together_grid(films: FindingsPredictions) -> Figure:
    """Draw of the films with one finding (rows) the share that has another (columns), where both are known."""
    both, _ = cooccurrence(films.truth)
    have = (films.truth == 1).astype(np.int64).T @ (films.truth >= 0)  # with the row's, where the column's is known
    share = np.divide(both, have, out=np.full(both.shape, np.nan), where=have > 0)
    names = [fitted(name.replace("_", " "), 1.3) for name in films.findings]
    count = len(names)
    side = min(0.42, (WIDE - 1.6) / count)
    figure = Figure(figsize=(1.6 + side * count, 1.5 + side * count), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i in range(count):
        for j in range(count):
            text = "" if np.isnan(share[i, j]) else f"{100 * share[i, j]:.0f}"
            axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if share[i, j] > 0.6 else BLACK)
    axes.set_xticks(range(count), names, rotation=45, ha="left", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(count), names, fontsize=8)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    return figure


def _together(films: FindingsPredictions, folder: Path) -> Chart:
    alt = "Of the films with the finding of a row, the share in per cent that has the finding of a column too."
    return drawn(folder, "findings-together", together_grid(films), "Findings together", alt, alt, together(films))


def _scored(found: Mapping[str, Any]) -> list[str]:
    return [name for name, about in found["findings"].items() if "scores" in about]


def _roc(films: FindingsPredictions, found: Mapping[str, Any], folder: Path) -> Chart | None:
    names = _scored(found)
    if not names:
        return None
    alt = f"ROC curves of {len(names)} findings; the point is the threshold in use."
    rows = [[name, with_interval(interval(found["findings"][name]["scores"]["auroc"]))] for name in names]
    table = Table("Areas under the curves", ["Finding", "AUROC"], rows)
    return drawn(folder, "findings-roc", roc_grid(films, names), "Ranking by finding", alt, alt, table)


def _reliability(films: FindingsPredictions, found: Mapping[str, Any], folder: Path) -> Chart | None:
    names = _scored(found)
    if not names:
        return None
    alt = f"Reliability of {len(names)} findings: on the diagonal, probabilities are as often right as they say."
    rows = [[name, with_interval(interval(found["findings"][name]["scores"]["ece"]))] for name in names]
    table = Table("Expected calibration error", ["Finding", "ECE"], rows)
    return drawn(
        folder, "findings-reliability", reliability_grid(films, names), "Probabilities by finding", alt, alt, table
    )


def _how(run: RunFolder) -> Table:
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in run.config["class_weights"].items())
    settings = run.config["settings"]
    rows = [
        ["Model", f"{run.title} ({run.model['parameters']:,} parameters)"],
        ["Films", ", ".join(f"{count:,} {part}" for part, count in run.config["films"].items() if count)],
        ["Loss", "binary cross-entropy of the known cells"],
        ["Weight of positive cells", weights],
        ["Uncertain cells (-1)", str(settings.get("uncertain", "ignore"))],
        ["Epochs, batch, seed", f"{settings['epochs']}, {settings['batch']}, {run.config['seed']}"],
        ["Command of the training", f"plainfilm {run.config['command']}"],
        ["Data", f"{run.config['data']} (SHA-256 {run.config['data_hash'][:16]}…)"],
    ]
    return Table("Settings", ["", ""], rows)
