"""What the headline hides, from RUN/probes.json and RUN/audit.json: subgroups, spoilt films, shortcuts, the data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plainfilm.evaluation.intervals import Interval
from plainfilm.report import forest
from plainfilm.report.charts import Chart, drawn
from plainfilm.report.forest import Row
from plainfilm.report.words import Table, count, part_in_words, with_interval
from plainfilm.runs.folder import RunFolder, interval

HEADINGS = {
    "model": "Films as they are, covered, with other looks",
    "source": "Source of a film, predicted from the model's features",
    "baseline": "Known without a lung",
}


def subgroups(run: RunFolder, folder: Path) -> tuple[Chart, str] | None:
    """Return the subgroups' balanced accuracy as a chart, and the worst in a sentence; None where it was not done."""
    found, worst = run.probes.get("subgroups", []), run.probes.get("worst_subgroup")
    if not found:
        return None
    groups: dict[str, list[Row]] = {}
    for row in found:
        lowest = worst is not None and (row["grouping"], row["group"]) == (worst["grouping"], worst["group"])
        name = f"{row['group']} ({row['films']:,})"
        groups.setdefault(row["grouping"], []).append(Row(name, interval(row["balanced_accuracy"]), lowest))
    whole = run.score("balanced_accuracy").value
    scored = ("balanced_accuracy", "auroc", "sensitivity", "specificity")
    lines = [
        [
            f"{row['grouping']}: {row['group']}{_against(row)}",
            f"{row['films']:,}",
            f"{row['patients']:,}",
            *_cells(row, scored),
        ]
        for row in found
    ]
    header = ["Subgroup", "Films", "Patients", "Balanced accuracy", "AUROC", "Sensitivity", "Specificity"]
    table = Table("Scores of subgroups (95 % interval)", header, lines)
    sentence = worst["sentence"] if worst else "No subgroup has enough films to be called the worst."
    caption = (
        f"Balanced accuracy, and how many films each subgroup has; broken line: all films ({whole:.3f}). A subgroup "
        "that has one class only is held against all films of the other."
    )
    figure = forest.rows(groups, whole, "Balanced accuracy", "the lowest with enough films")
    alt = f"Balanced accuracy of {count(len(found), 'subgroup')} beside {whole:.3f} for all films. {sentence}"
    return drawn(folder, "subgroups", figure, "Subgroups", alt, caption, table), sentence


def by_columns(found: dict[str, Any], whole: Interval, folder: Path) -> tuple[Chart, str] | None:
    """Return the AUROC by columns of the films' table (``found``: "by" of metrics.json) as a chart, and the worst group
    in a sentence; None where nothing was asked for or no group was scored."""
    rows = found.get("rows", [])
    if not any(row["scored"] for row in rows):
        return None
    worst = found["worst"] or {"column": "", "group": ""}
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["scored"]:
            lowest = (row["column"], row["group"]) == (worst["column"], worst["group"])
            name = f"{row['group']} ({row['films']:,})"
            groups.setdefault(row["column"], []).append(Row(name, interval(row["auroc"]), lowest))
    scored = ("auroc", "sensitivity", "specificity")
    lines = [
        [
            f"{row['column']}: {row['group']}",
            *(f"{row[name]:,}" for name in ("films", "patients", "positives")),
            *(_cells(row, scored) if row["scored"] else ["not scored"] * len(scored)),
            _apart(row["difference"].get("auroc")),
        ]
        for row in rows
    ]
    header = ["Group", "Films", "Patients", "Positive", "AUROC", "Sensitivity", "Specificity", "AUROC less the rest's"]
    table = Table(f"Scores by column (95 % interval). {found['rule']}", header, lines)
    caption = f"AUROC by column of the films' table, and how many films each group has; broken line: all ({whole}). "
    figure = forest.rows(groups, whole.value, "AUROC", "the worst")
    alt = f"AUROC of {count(len(rows), 'group')} beside {whole} for all films. {found['sentence']}"
    return drawn(folder, "by-column", figure, "By column", alt, caption, table), found["sentence"]


def _apart(found: Any) -> str:
    return f"{with_interval(interval(found))}, p = {found['p_adjusted']:.3f}" if found else ""


def _against(row: dict[str, Any]) -> str:
    return f" (against {row['against']})" if row["against"] else ""


def _cells(row: dict[str, Any], names: Sequence[str]) -> list[str]:
    return [with_interval(interval(row[name])) if row[name] else "" for name in names]


def robustness(run: RunFolder, folder: Path) -> tuple[Chart, str] | None:
    """Return the share of labels that flip when films are spoilt, and the worst in a sentence; None if not done."""
    found, worst = run.probes.get("robustness", []), run.probes.get("worst_corruption")
    if not found:
        return None
    rows = [
        Row(row["name"], interval(row["flipped"]), worst is not None and row["name"] == worst["name"]) for row in found
    ]
    classes = list(found[0].get("one_class", {}))  # reports of before November 2026 have none
    header = ["Change", "Labels that flip", "AUROC", "Its change", *(f"AUROC, only {k} changed" for k in classes)]
    names = ("flipped", "auroc", "auroc_change")
    lines = [
        [r["name"], *_cells(r, names), *(with_interval(interval(r["one_class"][k]["auroc"])) for k in classes)]
        for r in found
    ]
    lines = [[*line, *_worst(row)] for line, row in zip(lines, found, strict=True)]
    table = Table(f"Films spoilt on purpose (95 % interval){_means(found)}", header + _worst_header(found), lines)
    told = (worst, run.probes.get("worst_in_one_class"), run.probes.get("worst_finding"))
    sentence = " ".join(one["sentence"] for one in told if one)
    figure = forest.rows({_films(run): rows}, None, "Share of labels that flip", "the worst")
    label = "answers, of all findings, that differ" if "worst" in found[0] else "films that get another label"
    caption = f"Share of {label} once the film is changed before it enters the model."
    alt = f"Share of flipped labels under {count(len(found), 'change')}. {sentence}"
    return drawn(folder, "robustness", figure, "Robustness", alt, caption, table), sentence


def shortcuts(run: RunFolder, folder: Path) -> tuple[Chart, str] | None:
    """Return the AUROC with lungs, borders and corners covered and of what is no lung; None where it was not done."""
    found = run.probes.get("probes", [])
    if not found:
        return None
    groups = {
        heading: [Row(_short(row["name"]), interval(row["auroc"])) for row in found if row["kind"] == kind]
        for kind, heading in HEADINGS.items()
    }
    untouched = interval(found[0]["auroc"]).value
    header = ["Films", "AUROC", "Change", "Labels that flip"]
    lines = [[row["name"], *_cells(row, ("auroc", "change", "flipped")), *_worst(row)] for row in found]
    table = Table(f"Probes of shortcuts (95 % interval){_means(found)}", header + _worst_header(found), lines)
    crossed = run.probes.get("red_lines", [])
    sentence = (
        " ".join(crossed)
        or "No limit is crossed: covering the borders costs little, and little is known with the lungs covered."
    )
    figure = forest.rows({name: rows for name, rows in groups.items() if rows}, untouched, "AUROC")
    caption = (
        f"AUROC on {_films(run)}; broken line: the films untouched. A model of lungs loses most when they are covered."
    )
    alt = f"AUROC under {count(len(found), 'probe')}, {untouched:.3f} untouched. {sentence}"
    return drawn(folder, "shortcuts", figure, "Shortcuts", alt, caption, table), sentence


def _worst_header(rows: Sequence[dict[str, Any]]) -> list[str]:
    return ["Finding that loses most, its AUROC's change"] if "worst" in rows[-1] else []


def _means(rows: Sequence[dict[str, Any]]) -> str:
    return f"; means over {count(len(rows[-1]['findings']), 'finding')}" if "worst" in rows[-1] else ""


def _worst(row: dict[str, Any]) -> list[str]:
    """Return the cell of the finding that loses most, where there are findings; the untouched films lose nothing."""
    worst = row.get("worst")
    return [f"{worst['finding']} {with_interval(interval(worst['change']))}"] if worst else []


def _short(name: str) -> str:
    return name.replace(" predicted from the model's features", "")  # the heading above it says so


def _films(run: RunFolder) -> str:
    return f"{count(run.probes['films'], 'film')} of the {part_in_words(run.probes['part'])} part"
