"""The audit's page: red lines first, then what they rest on, in figures, tables and the films themselves."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from plainfilm.audit.measure import Measured
from plainfilm.audit.telling import RED
from plainfilm.data.films import Film, FilmError
from plainfilm.evaluation.intervals import Floats, Interval
from plainfilm.image.decode import decode
from plainfilm.report.charts import Chart, drawn
from plainfilm.report.figures import BLUE, SERIES, VERMILLION, WIDE, label, styled
from plainfilm.report.page import write_page
from plainfilm.report.words import Table, count, with_interval
from plainfilm.runs.folder import interval

GROUPS, SHOWN, PICTURES = 12, 4, 8  # duplicates, the films of one, and other films shown as pictures
ROWS = 200  # of a table on the page; all are in the files beside it
SIDE = 168  # pixels of a picture
DOTS = 1500  # films drawn in the scatter
SECTIONS = {
    "baselines": "What predicts the class without a look at the lungs",
    "shift": "Is the other set like this one?",
    "files": "Films and files",
    "twins": "Films there more than once",
    "people": "Patients",
    "labels": "Doubtful labels",
    "limits": "What this does not show",
}
ALL_FILMS = "all films"  # where they have no classes
KINDS = {"bytes": "the same file", "pixels": "the same pixels", "near": "nearly the same"}


def audit_report(out: Path, found: dict[str, Any], measured: Measured, other: Measured | None = None) -> Path:
    """Write ``out``/report.html and ``out``/figures for the audit ``found`` of ``measured`` films; return the page."""
    films = found["films"]
    classes = ", ".join(f"{name} {n:,}" for name, n in films["classes"].items())
    classes = f"positive: {classes}" if found.get("findings") else classes
    doubtful, unlike = found["doubtful_labels"]["films"][:PICTURES], (found["shift"] or {}).get("most_unlike", [])
    twins = sorted(found["duplicates"], key=lambda row: (not row["conflicting"], not row["crossing"]))[:GROUPS]
    ours = _films(measured, [*doubtful, *(film for row in twins for film in row["films"][:SHOWN])])
    theirs = _films(other, unlike[:PICTURES]) if other else {}
    page = {
        "title": f"Audit of {found['data']}",
        "lead": f"{count(films['readable'], 'film')} ({classes})"
        + (f"; {len(found['findings'])} findings" if found.get("findings") else f"; positive: {found['positive']}"),
        "found": found,
        "synthetic": found["synthetic"],
        "version": version("plainfilm"),
        "protocol": "Before training: nothing here is a score of a model",
        "lines": found["red_lines"],
        "groups": [("", [(key, name) for key, name in SECTIONS.items() if key != "shift" or found["shift"]])],
        "tiles": _tiles(found),
        "counts": _counts(found),
        "odd": _listed("Odd films", ["Film", "Why"], [[r["path"], "; ".join(r["reasons"])] for r in found["odd"]]),
        "quarantine": _listed(
            "Films that can't be read", ["Film", "Why"], [[r["path"], r["reason"]] for r in found["unreadable"]]
        ),
        "patients": _patients(found),
        "several": _several(found),
        "sizes": [_sizes(measured, out), *_quality(measured, out)],
        "baselines_chart": _baselines(found, out),
        "properties": _properties(found),
        "columns": _columns(found),
        "column_tables": [_by_value(table, found) for table in (found.get("columns") or {"tables": []})["tables"]],
        "leak": _leak(found),
        "galleries": [_twin_pictures(row, ours) for row in twins],
        "twin_table": _twin_table(found),
        "doubtful": [_picture(ours[r["path"]], _doubt(r)) for r in doubtful],
        "doubtful_table": _listed(
            "Films whose label is doubted most",
            ["Film", "Label", "Its probability"],
            [[r["path"], r["label"], f"{r['probability']:.4f}"] for r in found["doubtful_labels"]["films"]],
        ),
        "shift_chart": _shift(found, out),
        "shift_table": _shift_table(found),
        "shared": _shared(found),
        "unlike": [_picture(theirs[r["path"]], [r["path"], r["label"] or "no label"]) for r in unlike[:PICTURES]],
    }
    return write_page(out, "audit.html", page)


def _listed(caption: str, header: list[str], rows: list[list[str]]) -> Table | None:
    more = f"; the first {ROWS} of {len(rows):,}" if len(rows) > ROWS else ""
    return Table(f"{caption} ({len(rows):,}{more})", header, rows[:ROWS]) if rows else None


def _tiles(found: dict[str, Any]) -> list[tuple[str, str]]:
    people = found["patients"]
    return [
        ("Films", f"{found['films']['readable']:,}"),
        ("Patients", f"{people['patients']:,}" if people["patients"] else "unknown"),
        ("Unreadable", f"{found['films']['unreadable']:,}"),
        ("There twice", f"{len(found['duplicates']):,}"),
        ("Red lines", f"{len(found['red_lines']):,}"),
    ]


def _counts(found: dict[str, Any]) -> Table:
    first = "positive for" if found.get("findings") else "class"
    names = {"classes": first, "known": "known for", "parts": "part", "folders": "folder", "types": "file type"}
    rows = [
        [f"{what} {name}", f"{n:,}", f"{100 * n / found['films']['readable']:.1f} %"]
        for key, what in names.items()
        for name, n in list(found["films"].get(key, {}).items())[:20]
    ]
    return Table("Readable films", ["Kind", "Films", "Share"], rows)


def _patients(found: dict[str, Any]) -> Table:
    people = found["patients"]
    rows = [
        ["Films whose patient is known", f"{100 * people['known']:.1f} %"],
        ["Patients", f"{people['patients']:,}"],
        *(
            [f"Patients with {number} film{'s' * (number != '1')}", f"{n:,}"]
            for number, n in people["films_each"].items()
        ),
        ["Most films of one patient", f"{people['most_films']:,}"],
        ["Patients in more than one class", f"{len(people['in_several_classes']):,}"],
        ["Patients in more than one part", f"{len(people['in_several_parts']):,}"],
    ]
    return Table("Patients, as names or columns tell them", ["What", "Number"], rows)


def _several(found: dict[str, Any]) -> Table | None:
    people = found["patients"]
    rows = [
        [row["patient"], ", ".join(row["places"]), ", ".join(row["films"][:4])]
        for row in people["in_several_classes"] + people["in_several_parts"]
    ]
    return _listed("Patients in more than one class or part", ["Patient", "Where", "Films"], rows)


# --- figures ----------------------------------------------------------------------------------------------------------


def _sizes(measured: Measured, out: Path) -> Chart:
    width, height = measured.number("width"), measured.number("height")
    rows = []
    for name in measured.films.classes:
        own = measured.labels == name
        rows.append([name or ALL_FILMS, *(_quartiles(values[own]) for values in (width, height, width / height))])
    told = "; ".join(f"{row[0]}: width {row[1]}, height {row[2]}" for row in rows)
    table = Table("Median (quartiles)", ["Class", "Width", "Height", "Width / height"], rows)
    caption = "Each film's size by class. Sizes that differ by class are a shortcut: cropping and scaling leave traces."
    return drawn(out, "sizes", _scatter(measured, width, height), "Sizes", f"Sizes. {told}.", caption, table)


def _quartiles(values: Floats) -> str:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.4g} ({low:.4g}–{high:.4g})"


@styled
def _scatter(measured: Measured, width: Floats, height: Floats) -> Figure:
    figure = Figure(figsize=(WIDE / 2, 3.1), layout="constrained")
    axes = figure.subplots()
    step = max(1, len(measured) // DOTS)
    for name, (colour, _, marker) in zip(measured.films.classes, SERIES * len(measured.films.classes), strict=False):
        own = np.flatnonzero(measured.labels == name)[::step]
        style: dict[str, Any] = {
            "marker": marker,
            "s": 12,
            "facecolors": "none",
            "edgecolors": colour,
            "linewidths": 0.7,
        }
        axes.scatter(width[own], height[own], alpha=0.7, label=label(name or ALL_FILMS, 30), **style)
    if np.ptp(width) == np.ptp(height) == 0:
        axes.text(0.5, 0.9, "all films have this size", transform=axes.transAxes, ha="center")
    axes.set(xlabel="Width (pixels)", ylabel="Height (pixels)")
    axes.grid()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _quality(measured: Measured, out: Path) -> list[Chart]:
    """Return JPEG quality by class; nothing where no film is a JPEG."""
    quality = measured.number("JPEG quality")
    if np.isnan(quality).all():
        return []
    classes = {
        name or ALL_FILMS: quality[(measured.labels == name) & ~np.isnan(quality)] for name in measured.films.classes
    }
    rows = [[name, f"{len(values):,}", _quartiles(values)] for name, values in classes.items() if len(values)]
    table = Table("JPEG quality", ["Class", "JPEG films", "Median (quartiles)"], rows)
    alt = "JPEG quality. " + "; ".join(f"{row[0]}: {row[2]}" for row in rows) + "."
    caption = "JPEG quality by class, from the films' quantisation tables. Classes should lie on one another."
    return [drawn(out, "quality", _histograms(classes), "JPEG quality", alt, caption, table)]


@styled
def _histograms(classes: dict[str, Floats]) -> Figure:
    figure = Figure(figsize=(WIDE / 2, 3.1), layout="constrained")
    panels = figure.subplots(len(classes), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values), (colour, *_) in zip(panels, classes.items(), SERIES * len(classes), strict=False):
        axes.hist(values, bins=np.arange(0, 102, 2).tolist(), color=colour)
        axes.set_title(label(name, 30), loc="left")
        axes.set_ylabel("Films")
        axes.grid(axis="y")
    panels[-1].set(xlabel="JPEG quality", xlim=(0, 101))
    return figure


def _baselines(found: dict[str, Any], out: Path) -> Chart | None:
    several = bool(found["by_class"])
    names = [f"{found['positive']}: {row['name']}" if several else row["title"] for row in found["baselines"]]
    rows = [(name, interval(row["auc"]), row["red"]) for name, row in zip(names, found["baselines"], strict=True)]
    rows += [(f"{row['class']}: {row['name']}", interval(row["auc"]), row["red"]) for row in found["by_class"]]
    if not rows:
        return None
    alt = "; ".join(f"{name}: AUC {with_interval(auc)}" for name, auc, _ in rows) + "."
    caption = (
        "Cross-validated AUC with 95 % interval, patients and duplicates kept together. Dashed: "
        f"{RED:.2f}, the red line for the file and the borders."
    )
    if found["majority"]:
        caption += f" Always saying the commoner class has an accuracy of {found['majority']['value']:.3f}."
    table = Table(
        "Baselines", ["What is seen", "AUC (95 % interval)"], [[name, with_interval(auc)] for name, auc, _ in rows]
    )
    return drawn(out, "baselines", _forest(rows), "Baselines", alt, caption, table)


def _shift(found: dict[str, Any], out: Path) -> Chart | None:
    tests = [test for test in (found["shift"] or {"tests": []})["tests"] if test["auc"]]
    if not tests:
        return None
    rows = [(_test_name(test), interval(test["auc"]), test["red"]) for test in tests]
    alt = "; ".join(f"{name}: AUC {with_interval(auc)}" for name, auc, _ in rows) + "."
    caption = (
        f"How well films of {found['shift']['other']} can be distinguished from ours: 0.5 is not at all, 1 is always."
    )
    return drawn(out, "shift", _forest(rows), "Shift", alt, caption, None)


def _test_name(test: dict[str, Any]) -> str:
    return f"{'predicted ' * test['predicted']}{test['class'] or 'all films'}: {test['kind']}"


@styled
def _forest(rows: Sequence[tuple[str, Interval, bool]]) -> Figure:
    """Draw an AUC with its interval a row; a red one is marked by colour, sign and word."""
    figure = Figure(figsize=(WIDE, 0.34 * len(rows) + 0.7), layout="constrained")
    axes = figure.subplots()
    for place, (_, auc, red) in enumerate(rows):
        colour, marker = (VERMILLION, "X") if red else (BLUE, "o")
        axes.plot([auc.low, auc.high], [place] * 2, color=colour, lw=2)
        axes.plot(auc.value, place, color=colour, marker=marker, ms=7)
        shown = f"{auc.value:.3f} ({auc.low:.3f}–{auc.high:.3f}){'  red' if red else ''}"
        axes.text(1.02, place, shown, transform=axes.get_yaxis_transform(), va="center")
    axes.axvline(0.5, color="#8C8C8C", lw=1)
    axes.axvline(RED, color=VERMILLION, lw=1, ls="--")
    low = min(0.45, *(auc.low - 0.02 for _, auc, _ in rows))
    axes.set(xlim=(low, 1.01), ylim=(len(rows) - 0.5, -0.5), xlabel="AUC")
    axes.set_yticks(range(len(rows)), [label(name, 44) for name, *_ in rows])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    return figure


# --- tables and pictures ----------------------------------------------------------------------------------------------


def _properties(found: dict[str, Any]) -> Table | None:
    rows = [
        [each["name"], with_interval(interval(each["auc"]))] for row in found["baselines"] for each in row["properties"]
    ]
    caption = f"What each property of the file tells about {found['positive']} by itself"
    return Table(caption, ["Property", "AUC (95 % interval)"], rows) if rows else None


def _columns(found: dict[str, Any]) -> Table | None:
    listed = (found.get("columns") or {"rows": []})["rows"]
    rows = [[*_whose(row), row["name"], with_interval(interval(row["auc"]))] for row in listed]
    about = "each finding" if found.get("findings") else found["positive"]
    caption = f"What each column of the table tells about {about}, and pairs that tell more"
    header = [*["Finding"] * bool(found.get("findings")), "Column", "AUC (95 % interval)"]
    return Table(caption, header, rows) if rows else None


def _whose(row: dict[str, Any]) -> list[str]:
    return [row["class"]] if "class" in row else []


def _by_value(table: dict[str, Any], found: dict[str, Any]) -> Table:
    rows, asked = [], table.get("class", found["positive"])
    for value, counts in table["values"].items():
        films, positive = sum(counts.values()), counts.get(asked, 0)
        rows.append([value, *(f"{n:,}" for n in counts.values()), f"{100 * positive / films:.0f} %" if films else ""])
    header = [table["column"], *next(iter(table["values"].values()), {}), f"{asked}, share"]
    return Table(f"Films by {table['column']} and class", header, rows)


def _leak(found: dict[str, Any]) -> Table | None:
    leak = found["leak"]
    names = {"by_film": "Films dealt one by one", "by_patient": "Patients kept together", "difference": "Difference"}
    each = {name: told["leak"] for name, told in found.get("findings", {}).items() if told["leak"]}
    if each:
        rows = [[name, *(with_interval(interval(told[key])) for key in names)] for name, told in each.items()]
        probe = next(iter(each.values()))["probe"]
        return Table(f"AUC of {probe} (95 % interval)", ["Finding", *names.values()], rows)
    if not leak:
        return None
    rows = [[name, with_interval(interval(leak[key]))] for key, name in names.items()]
    return Table(f"AUC of {leak['probe']} (95 % interval)", ["Folds", "AUC"], rows)


def _films(measured: Measured, rows: Iterable[dict[str, Any]]) -> dict[str, Film]:
    """Return the films that ``rows`` name, by path."""
    named = {row["path"] for row in rows}
    films = measured.films.films
    return {path: films[place] for place, path in enumerate(films.paths) if path in named}


def _twin_pictures(row: dict[str, Any], films: dict[str, Film]) -> dict[str, Any]:
    pictures = [_picture(films[f["path"]], [f["path"], f["label"]]) for f in row["films"][:SHOWN]]
    return {"title": _twin_words(row), "pictures": pictures}


def _twin_words(row: dict[str, Any]) -> str:
    said = {
        "under different labels": "conflicting",
        "in several parts": "crossing",
        "several patients": "several_patients",
    }
    return ", ".join([KINDS[row["kind"]], *(words for words, key in said.items() if row[key])])


def _twin_table(found: dict[str, Any]) -> Table | None:
    rows = [
        [", ".join(f["path"] for f in row["films"]), _twin_words(row), f"{row['correlation']:.3f}"]
        for row in found["duplicates"]
    ]
    return _listed("Pictures there more than once", ["Films", "How", "Correlation"], rows)


def _doubt(row: dict[str, Any]) -> list[str]:
    return [row["path"], f"labelled {row['label']}, probability {row['probability']:.3f}"]


def _picture(film: Film, lines: list[str]) -> dict[str, Any]:
    """Return a film to be looked at, as a data URI, with the lines that stand under it; the reason in its place when it
    has vanished since."""
    try:
        image, packed = Image.fromarray(decode(film.read())), io.BytesIO()
    except FilmError as error:
        return {"source": "", "lines": [*lines, str(error)]}
    image.thumbnail((SIDE, SIDE))
    image.save(packed, "JPEG", quality=80)
    source = "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode()
    return {"source": source, "lines": lines}


def _shift_table(found: dict[str, Any]) -> Table | None:
    rows = [
        [
            _test_name(test),
            each["name"],
            with_interval(interval(each["auc"])),
            _value(each, "ours"),
            _value(each, "other"),
        ]
        for test in (found["shift"] or {"tests": []})["tests"]
        for each in test["properties"][:4]
    ]
    caption = "What carries the difference: the four strongest properties of each test, alone"
    header = ["Films: evidence", "Property", "AUC (95 % interval)", "Median here", "Median there"]
    return Table(caption, header, rows) if rows else None


def _shared(found: dict[str, Any]) -> str:
    if not found["shift"]:
        return ""
    films, both = found["shift"]["films"], found["shift"]["shared"]
    return (
        f"{count(films['readable'], 'readable film')} there, {films['unreadable']:,} unreadable; "
        f"{count(both['pictures'], 'picture')} and {count(both['patients'], 'patient')}, by name, in both sets."
    )


def _value(each: dict[str, Any], side: str) -> str:
    value = each.get(side)
    return "" if value is None or np.isnan(value) else f"{value:.4g}"
