"""The report of a run whose films have several findings: a table, small multiples, and what is not known."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any, cast

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plainfilm.evaluation.calibration import reliability
from plainfilm.evaluation.findings import FindingsPredictions, cooccurrence
from plainfilm.evaluation.scores import roc_points
from plainfilm.report.charts import Chart, Table, drawn
from plainfilm.report.figures import BLUE, GREY, WIDE, fitted, styled
from plainfilm.report.page import write_page
from plainfilm.report.words import part_in_words, with_interval
from plainfilm.runs.findings import scored_part
from plainfilm.runs.folder import RunFolder, interval
from plainfilm.storage.documents import MetricsDocument

COLUMNS = 4  # small multiples beside each other
SHOWN = ("auroc", "auprc", "sensitivity", "specificity", "ece")
WORDS = {"auroc": "AUROC", "auprc": "AUPRC", "sensitivity": "Sensitivity", "specificity": "Specificity", "ece": "ECE"}
SECTIONS = {
    "findings": "Findings",
    "roc": "Ranking",
    "reliability": "Probabilities",
    "together": "Findings together",
    "unknown": "What is not known",
    "how": "How it was computed",
    "limits": "What this does not show",
}
CHANCE = 0.5


def findings_report(run: RunFolder) -> Path:
    """Write report.html and figures/ of a finished run whose films have findings; return the page's path."""
    part = scored_part(run)
    films = run.findings.part(part)
    found = cast(dict[str, Any], run.metrics)[part]
    page = {
        "title": f"{run.title}: {len(films.findings)} findings",
        "lead": f"{len(films):,} {part_in_words(part)} films; each finding is scored where it is known.",
        "synthetic": run.config["synthetic"],
        "version": run.config["plainfilm"],
        "protocol": run.metrics["protocol"],
        "groups": [("", list(SECTIONS.items()))],
        "lines": red_lines(run, part),
        "means": _means(found),
        "findings": _findings(run, found),
        "roc": _roc(films, found, run.folder),
        "reliability": _reliability(films, found, run.folder),
        "together": _together(films),
        "unknown": _unknown(run),
        "how": _how(run),
        "limits": LIMITS,
    }
    return write_page(run.folder, "findings.html", page)


def findings_elsewhere(
    folder: Path, run: RunFolder, films: FindingsPredictions, metrics: MetricsDocument, about: Mapping[str, Any]
) -> Path:
    """Write report.html and figures/ of films that are not the run's own into ``folder``; return the page's path.

    films: with the model's predictions; metrics: as metrics.json has them; about: "data", "data_hash", "synthetic" and
    "findings" (their known cells) of the films.
    """
    part = str(films.parts[0])
    config = {**run.config, **about, "crossing": {"patients": 0, "contents": 0}, "films": {part: len(films)}}
    other = RunFolder(folder).replaced(model=run.model, config=config, findings=films, metrics=metrics)
    return findings_report(other)


LIMITS = (
    "Unknown cells are left out, of training and of scores. Where a finding is noted only when it is looked for, the "
    "known films are not like all films: prevalence, PPV and NPV then hold for films that somebody asked about.",
    "Each finding has its own threshold, chosen on validation films. A film without any called finding is not shown to "
    "be normal.",
    "Means over findings weigh rare and frequent findings alike (macro) or by their positive films (weighted); neither "
    "says that every finding is found.",
    "Labels read from reports are the reports' words, not the films' truth.",
)


def red_lines(run: RunFolder, part: str) -> list[str]:
    """Return what must be read before the scores of the findings."""
    found = cast(dict[str, Any], run.metrics)[part]
    lines = list(run.metrics.get("shared", {}).get("red_lines", []))
    crossed = run.config["crossing"]
    if crossed.get("patients"):
        lines.append(f"{crossed['patients']} patients are in two parts: scores are too good.")
    for name, about in found["findings"].items():
        if "not_scored" in about:
            lines.append(f"{name} is not scored: {about['not_scored']}.")
        elif (low := about["scores"]["auroc"]["low"]) is not None and low <= CHANCE:
            area = interval(about["scores"]["auroc"])
            word = (
                "worse than chance; are its cells swapped?"
                if area.high < CHANCE
                else "not shown to be better than chance"
            )
            lines.append(f"{name}: {word} (AUROC {with_interval(area)}).")
    return lines


def _means(found: Mapping[str, Any]) -> Table:
    rows = [
        [
            WORDS.get(score, score),
            *(with_interval(interval(found.get(f"{kind}_{score}"))) for kind in ("macro", "weighted")),
        ]
        for score in SHOWN
        if f"macro_{score}" in found
    ]
    return Table("Means over the findings that are scored", ["Score", "Each finding alike", "By positive films"], rows)


def _findings(run: RunFolder, found: Mapping[str, Any]) -> Table:
    cuts = dict(zip(run.findings.findings, run.findings.decision.thresholds, strict=True))
    rows = []
    for name, about in found["findings"].items():
        scores = about.get("scores")
        cells = (
            [with_interval(interval(scores.get(score))) for score in SHOWN] if scores else ["not scored"] * len(SHOWN)
        )
        rows.append([name, f"{about['known']:,}", f"{about['positives']:,}", *cells, f"{cuts[name]:.3f}"])
    header = ["Finding", "Known", "Positive", *(WORDS[score] for score in SHOWN), "Threshold"]
    return Table("Each finding on the films of which it is known, with 95 % intervals", header, rows)


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    rows = ceil(count / COLUMNS)
    figure = Figure(figsize=(WIDE, 1.95 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True).ravel().tolist()
    for empty in axes[count:]:
        empty.set_visible(False)
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
        each.set_title(fitted(name, WIDE / COLUMNS - 0.5), loc="left", fontsize=9)
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
        each.set_title(fitted(name, WIDE / COLUMNS - 0.5), loc="left", fontsize=9)
    figure.supxlabel("Predicted probability", fontsize=9)
    figure.supylabel("Share of positive films", fontsize=9)
    return figure


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


def _together(films: FindingsPredictions) -> Table:
    both, known = cooccurrence(films.truth)
    rows = [
        [name, *(f"{both[i, j]:,} of {known[i, j]:,}" for j in range(len(films.findings)))]
        for i, name in enumerate(films.findings)
    ]
    caption = "Films that have both findings, of those where both are known"
    return Table(caption, ["", *films.findings], rows)


def _unknown(run: RunFolder) -> Table:
    rows = [
        [name, f"{c['positive']:,}", f"{c['negative']:,}", f"{c['unknown']:,}", _share(c)]
        for name, c in run.config.get("findings", {}).items()
    ]
    header = ["Finding", "Positive", "Negative", "Unknown", "Positive among known"]
    return Table("All films of the run: unknown is never counted as negative", header, rows)


def _share(counts: Mapping[str, int]) -> str:
    known = counts["positive"] + counts["negative"]
    return f"{100 * counts['positive'] / known:.1f} %" if known else "unknown"


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
