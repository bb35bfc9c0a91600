"""The search's page: what was found against what was given, how soon, which settings mattered, and the command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from plainfilm.evaluation.intervals import Floats
from plainfilm.report.charts import Chart, drawn
from plainfilm.report.figures import BLUE, GREEN, GREY, NARROW, VERMILLION, WIDE, label, styled
from plainfilm.report.page import write_page
from plainfilm.report.words import Table, count, duration
from plainfilm.search.journal import Trial
from plainfilm.search.objectives import SMALLER
from plainfilm.search.run import costs, front

SECTIONS = {
    "anytime": "How soon it was found",
    "trade": "What a better score costs",
    "settings": "Which settings mattered",
    "command": "Train it",
    "trials": "The best trials",
    "how": "How it was searched",
    "limits": "What this does not show",
}
ROWS = 20  # trials in the table on the page; all are in search.csv
MARKS = {"done": (BLUE, "o"), "pruned": (GREY, "x"), "failed": (VERMILLION, "X")}
TOGETHER = 0.3  # |Spearman| from which a setting is said to go with the score


def search_report(out: Path, found: dict[str, Any], trials: list[Trial]) -> Path:
    """Write ``out``/report.html and figures for the search that search.json (``found``) and its trials describe."""
    names = found["objective"].split(",")
    trade = _trade(trials, names, out) if len(names) > 1 else None
    page = {
        "title": f"Search: {found['settings']['model']} by {found['algorithm']}",
        "lead": f"{found['data']}: {count(found['films']['train'], 'training film')}, "
        f"{count(found['films']['val'], 'film')} {_by(found)}; positive: {found['positive']}",
        "synthetic": found["synthetic"],
        "version": found["plainfilm"],
        "protocol": f"Validation scores; {found['protocol']}. The test part was not opened",
        "lines": red_lines(found, trials, names),
        "groups": [("", [(key, name) for key, name in SECTIONS.items() if key != "trade" or trade])],
        "sentence": found["sentence"],
        "tiles": _tiles(found, names),
        "anytime": _anytime(found, trials, names[0], out),
        "trade": trade,
        "scatter": _scatter(found, trials, names[0], out),
        "train": found["train"],
        "chosen": _chosen(found),
        "best": _best(trials, names),
        "how": _how(found),
    }
    return write_page(out, "search.html", page)


def _by(found: dict[str, Any]) -> str:
    column = found["settings"].get("choose_by")
    return f"that judge, one {column} left out at a time" if column else "to validate"


def red_lines(found: dict[str, Any], trials: list[Trial], names: Sequence[str]) -> list[str]:
    """Return what a reader must not overlook: nothing gained, failures, a best at the end of a range."""
    lines = []
    best, given, name = found["best"], found["default"], names[0]
    if best["number"] == 0:
        lines.append("nothing that was tried beats the settings as given")
    elif best["scores"] and given["scores"] and _inside(given["scores"][name], best["interval"]):
        lines.append(f"the best {name} is not shown to be better than that of the settings as given")
    failed = found["states"]["failed"]
    if failed:
        lines.append(f"{count(failed, 'trial')} failed: {next(t.reason for t in trials if t.state == 'failed')}")
    ends = [
        dimension.partition("=")[0]
        for dimension, x in zip(found["space"], best["point"], strict=False)
        if abs(x) > 0.97 and "|" not in dimension
    ]
    if ends:
        lines.append(f"the best lies at the end of the range of {', '.join(ends)}; a better one may lie beyond")
    return lines


def _inside(value: float, bounds: Sequence[float] | None) -> bool:
    return bounds is not None and bounds[0] <= value <= bounds[1]


def _tile(title: str, trial: dict[str, Any], name: str) -> dict[str, str]:
    """Return a trial's first objective as a tile, with its interval."""
    if not trial["scores"]:
        return {"name": title, "value": "failed", "bounds": ""}
    bounds = "{:.3f}–{:.3f}".format(*trial["interval"]) if trial["interval"] else ""
    return {"name": title, "value": f"{trial['scores'][name]:.3f}", "bounds": bounds}


def _tiles(found: dict[str, Any], names: Sequence[str]) -> list[dict[str, str]]:
    states = ", ".join(f"{n} {state}" for state, n in found["states"].items() if n)
    unit = found["unit"]
    return [
        _tile(f"Best {names[0]}", found["best"], names[0]),
        _tile("Settings as given", found["default"], names[0]),
        {"name": "Trials", "value": f"{found['trials']:,}", "bounds": states},
        {"name": unit.capitalize(), "value": f"{found['spent']:,}", "bounds": f"of {found['budget']:,}"},
        {"name": "Time in trials", "value": duration(found["seconds"]), "bounds": ""},
    ]


def _anytime(found: dict[str, Any], trials: list[Trial], name: str, out: Path) -> Chart:
    spent = np.cumsum([trial.spent for trial in trials])
    values = np.array([trial.scores.get(name, np.nan) for trial in trials])
    better = np.fmin.accumulate if name in SMALLER else np.fmax.accumulate
    reached = better(np.where([trial.state == "done" for trial in trials], values, np.nan))
    kept = [i for i in range(len(trials)) if i == 0 or (reached[i] != reached[i - 1] and not np.isnan(reached[i]))]
    rows = [[f"{trials[i].number}", f"{spent[i]:,}", f"{reached[i]:.4f}"] for i in kept]
    table = Table("Each time a better one was found", ["Trial", found["unit"].capitalize(), f"Best {name}"], rows)
    alt = f"Best {name} so far: " + "; ".join(f"{row[2]} after {row[1]} {found['unit']}" for row in rows[:12]) + "."
    caption = (
        f"Every trial by the {found['unit']} spent until then; the line is the best finished one so far, dashed the "
        "settings as given. Crosses were stopped early."
    )
    figure = _draw_anytime(spent, values, reached, trials, (name, found["unit"]))
    return drawn(out, "anytime", figure, "How soon", alt, caption, table)


@styled
def _draw_anytime(
    spent: Floats, values: Floats, reached: Floats, trials: Sequence[Trial], titles: tuple[str, str]
) -> Figure:
    figure = Figure(figsize=(WIDE, 3.0), layout="constrained")
    axes = figure.subplots()
    _points(axes, spent, values, trials)
    axes.step(spent, reached, where="post", color=GREEN, lw=2, label="best so far")
    axes.axhline(values[0], color="black", lw=1, ls="--", label="settings as given")
    axes.set(xlabel=f"{titles[1].capitalize()} spent", ylabel=titles[0])
    finite = values[np.isfinite(values)]
    low = np.quantile(finite, 0.1) - 0.1 if finite.size else 0.0
    if titles[0] not in SMALLER and finite.size and finite.min() < low:
        axes.set_ylim(bottom=low)  # a few hopeless trials must not flatten the rest
    axes.grid()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _points(axes: Axes, x: Floats, values: Floats, trials: Sequence[Trial]) -> None:
    for state, (colour, marker) in MARKS.items():
        own = np.array([trial.state == state for trial in trials]) & np.isfinite(values)
        if own.any():
            axes.scatter(x[own], values[own], s=20, color=colour, marker=marker, alpha=0.75, label=state)


def _trade(trials: list[Trial], names: Sequence[str], out: Path) -> Chart:
    """Return the Pareto front of the first two objectives."""
    scored = [trial for trial in trials if trial.scores]
    best = front(trials, names)
    rows = [[f"{trial.number}", *(f"{trial.scores[name]:.4g}" for name in names)] for trial in best]
    table = Table("Trials that no other beats in all objectives (Pareto front)", ["Trial", *names], rows)
    alt = "Pareto front: " + "; ".join(", ".join(row[1:]) for row in rows) + "."
    caption = f"{names[0]} against {names[1]}; the line joins the trials that no other beats in every objective."
    return drawn(out, "trade", _draw_trade(scored, best, names), "Trade-off", alt, caption, table)


@styled
def _draw_trade(trials: Sequence[Trial], best: Sequence[Trial], names: Sequence[str]) -> Figure:
    figure = Figure(figsize=(WIDE, 3.2), layout="constrained")
    axes = figure.subplots()
    x, y = (np.array([trial.scores[name] for trial in trials]) for name in (names[1], names[0]))
    _points(axes, x, y, trials)
    order = sorted((trial.scores[names[1]], trial.scores[names[0]]) for trial in best)
    axes.plot(*np.array(order).T, color=GREEN, lw=2, marker="D", ms=5, label="Pareto front")
    axes.set(xlabel=names[1], ylabel=names[0])
    axes.grid()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _scatter(found: dict[str, Any], trials: list[Trial], name: str, out: Path) -> Chart | None:
    """Return the first objective against each setting, with Spearman's rank correlation; None with too few trials."""
    tried = [trial for trial in trials if trial.point and trial.scores]
    if len(tried) < 3:
        return None
    titles = [words.partition("=")[0] for words in found["space"]]
    points = np.array([trial.point for trial in tried])
    values = np.array([trial.scores[name] for trial in tried])
    together = [_spearman(column, values) for column in points.T]
    rows = [
        [words, "not defined" if np.isnan(r) else f"{r:+.2f}", "yes" if abs(r) >= TOGETHER else "hardly"]
        for words, r in zip(found["space"], together, strict=True)
    ]
    header = ["Setting and its range", "Spearman's rank correlation", "Goes with the score?"]
    table = Table(f"Each setting beside {name}", header, rows)
    alt = f"Rank correlation with {name}: " + "; ".join(f"{t} {row[1]}" for t, row in zip(titles, rows, strict=True))
    caption = (
        f"{name} of every trial against each setting, over its range. A correlation says in which direction to look; "
        "an algorithm tries more where it expects more, so it is no experiment on that setting."
    )
    headed = [f"{title}\nrho {row[1]}" for title, row in zip(titles, rows, strict=True)]
    figure = _draw_scatter(points, values, tried, headed, [_ends(words) for words in found["space"]])
    return drawn(out, "settings", figure, "Settings", alt + ".", caption, table)


def _ends(words: str) -> tuple[str, str]:
    """Return the two ends of a range that was written as ``--vary`` takes it."""
    text = words.partition("=")[2]
    parts = text.split("|") if "|" in text else text.split(":")[:2]
    return label(parts[0], 8), label(parts[-1], 8)


def _spearman(x: Floats, y: Floats) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(spearmanr(x, y).statistic)


@styled
def _draw_scatter(
    points: Floats, values: Floats, trials: Sequence[Trial], titles: Sequence[str], ends: Sequence[tuple[str, str]]
) -> Figure:
    columns = min(4, len(titles))
    lines = -(-len(titles) // columns)
    width = WIDE if columns > 2 else NARROW * columns
    figure = Figure(figsize=(width, 1.75 * lines + 0.5), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    bottom = np.quantile(values, 0.1) - 0.1
    for axes, column, title, (low, high) in zip(grid, points.T, titles, ends, strict=False):
        _points(axes, column, values, trials)
        axes.set_title("\n".join(label(line, 26) for line in title.split("\n")), loc="left", fontsize=9)
        axes.set(xlim=(-1.08, 1.08))
        axes.set_xticks([-1, 1], [low, high])
        if values.min() < bottom:
            axes.set_ylim(bottom=bottom)
        axes.grid()
    for axes in grid[len(titles) :]:
        axes.set_visible(False)
    return figure


def _chosen(found: dict[str, Any]) -> Table | None:
    rows = [
        [name, f"{value:g}" if isinstance(value, float) else f"{value}"]
        for name, value in found["best"]["values"].items()
    ]
    return Table("Settings of the best trial", ["Setting", "Value"], rows) if rows else None


def _best(trials: list[Trial], names: Sequence[str]) -> Table:
    scored = [trial for trial in trials if trial.scores]
    order: list[int] = np.argsort(costs(scored, names)[:, 0], kind="stable")[:ROWS].tolist() if scored else []
    values = list(dict.fromkeys(name for trial in scored for name in trial.values))
    rows = [
        [
            f"{trial.number}{' (as given)' if trial.number == 0 else ''}",
            *(f"{trial.scores[name]:.4g}" for name in names),
            trial.state,
            f"{trial.spent}",
            *(f"{trial.values.get(name, '')}" for name in values),
        ]
        for trial in (scored[i] for i in order)
    ]
    more = f", the first {ROWS} of {len(scored)}" if len(scored) > ROWS else ""
    return Table(
        f"Trials by {names[0]}{more}; all are in search.csv", ["Trial", *names, "State", "Spent", *values], rows
    )


def _how(found: dict[str, Any]) -> Table:
    stopped = "a trial worse than the median of earlier ones at the same epoch" if found["prune"] else "no"
    rows = [
        ["Algorithm", found["algorithm"]],
        ["Objective", found["objective"]],
        ["Budget", f"{found['budget']:,} {found['unit']}, {found['price']} a trial"],
        ["Stopped early", stopped],
        ["Seed", f"{found['settings']['seed']}"],
        *([f"Range {i}", words] for i, words in enumerate(found["space"], 1)),
        ["Command", f"plainfilm {found['command']}"],
        *([name, number] for name, number in found["versions"].items() if number),
    ]
    return Table("How it was searched", ["What", "Value"], rows)
