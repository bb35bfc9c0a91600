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
from plainfilm.report import charts
from plainfilm.report.charts import Chart, Table, drawn
from plainfilm.report.figures import BLUE, GREY, WIDE, fitted, styled
from plainfilm.report.page import write_page
from plainfilm.report.words import part_in_words, with_interval
from plainfilm.runs.findings import scored_part
from plainfilm.runs.folder import RunFolder, interval

COLUMNS = 4  # small multiples beside each other
SHOWN = ("auroc", "auprc", "sensitivity", "specificity", "ece")
WORDS = {"auroc": "AUROC", "auprc": "AUPRC", "sensitivity": "Sensitivity", "specificity": "Specificity", "ece": "ECE"}
SECTIONS = {
    "findings": "Findings",
    "roc": "Ranking",
    "reliability": "Probabilities",
    "montage": "Films with their findings",
    "together": "Findings together",
    "unknown": "What is not known",
    "audit": "What tells findings without a look at the lungs",
    "how": "How it was computed",
    "limits": "What this does not show",
}
CHANCE = 0.5
MEANS = {f"macro_{score}": f"{WORDS[score]}, mean of findings" for score in ("auroc", "sensitivity", "specificity")}


def findings_report(run: RunFolder) -> Path:
    """Write report.html and figures/ of a finished run whose films have findings; return the page's path."""
    part = scored_part(run)
    films = run.findings.part(part)
    found = cast(dict[str, Any], run.metrics)[part]
    shown = figures(films, found, run.folder)
    shown["montage"] = charts.montage(run)
    shown["audit"] = _audited(run)
    skipped = {key for key in ("roc", "reliability", "montage", "audit") if not shown[key]}
    page = {
        "title": f"{run.title}: {len(films.findings)} findings",
        "lead": f"{len(films):,} {part_in_words(part)} films; each finding is scored where it is known.",
        "synthetic": run.config["synthetic"],
        "version": run.config["plainfilm"],
        "protocol": run.metrics["protocol"],
        "groups": [("", [(key, name) for key, name in SECTIONS.items() if key not in skipped])],
        "lines": red_lines(run, part),
        "means": _means(found),
        **shown,
        "together": _together(films),
        "unknown": _unknown(run),
        "how": _how(run),
        "limits": LIMITS,
    }
    return write_page(run.folder, "findings.html", page)


LIMITS = (
    "Unknown cells are left out, of training and of scores. Where a finding is noted only when it is looked for, the "
    "known films are not like all films: prevalence, PPV and NPV then hold for films that somebody asked about.",
    "Each finding has its own threshold, chosen on validation films. A film without any called finding is not shown to "
    "be normal.",
    "Means over findings weigh rare and frequent findings alike (macro) or by their positive films (weighted); neither "
    "says that every finding is found.",
    "Labels read from reports are the reports' words, not the films' truth.",
)


def figures(films: FindingsPredictions, found: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the table of the findings of the scored ``films`` and, where any is scored, their charts, drawn into
    ``folder``/figures; ``found``: their part of metrics.json."""
    return {
        "findings": _findings(films, found),
        "roc": _roc(films, found, folder),
        "reliability": _reliability(films, found, folder),
    }


def red_lines(run: RunFolder, part: str) -> list[str]:
    """Return what must be read before the scores of the findings."""
    crossed = run.config["crossing"].get("patients")
    lines = [f"{crossed} patients are in two parts: scores are too good."] if crossed else []
    lines += run.audit.get("red_lines", [])
    return lines + lines_of(cast(dict[str, Any], run.metrics)[part])


def lines_of(found: Mapping[str, Any]) -> list[str]:
    """Return what must be read of the findings of a part of metrics.json: not scored, or not better than chance."""
    lines = []
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


def _findings(films: FindingsPredictions, found: Mapping[str, Any]) -> Table:
    own = films.decision.own_thresholds
    cuts = dict(zip(films.findings, films.decision.thresholds, strict=True)) if not own else {}
    rows = []
    for name, about in found["findings"].items():
        scores = about.get("scores")
        cells = (
            [with_interval(interval(scores.get(score))) for score in SHOWN] if scores else ["not scored"] * len(SHOWN)
        )
        cut = [f"{cuts[name]:.3f}"] if cuts else []
        rows.append([name, f"{about['known']:,}", f"{about['positives']:,}", *cells, *cut])
    header = ["Finding", "Known", "Positive", *(WORDS[score] for score in SHOWN), *["Threshold"] * (not own)]
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


def _audited(run: RunFolder) -> Table | None:
    """Return what files, borders and columns alone tell about each finding, from the audit that a training does."""
    rows = []
    for name, told in run.audit.get("findings", {}).items():
        alone = {row["name"]: with_interval(interval(row["auc"])) for row in told["baselines"]}
        best = next(iter((told["columns"] or {"rows": []})["rows"]), None)
        column = f"{best['name']} {with_interval(interval(best['auc']))}" if best else "none"
        rows.append([name, *(alone.get(key, "too few films") for key in ("metadata", "borders")), column])
    seen = run.audit.get("light")
    of = f" (a sample of {seen['films']:,} of {seen['of']:,} films)" if seen else ""
    caption = f"Cross-validated AUC of what shows no disease{of}, with 95 % intervals"
    return Table(caption, ["Finding", "The file alone", "Borders", "The strongest column"], rows) if rows else None


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
        ["Command", f"plainfilm {run.config['command']}"],
        ["Data", f"{run.config['data']} (SHA-256 {run.config['data_hash'][:16]}…)"],
    ]
    return Table("Settings", ["", ""], rows)
