"""Forest plots: scores with their intervals, one under the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from plainfilm.evaluation.intervals import Interval
from plainfilm.report.figures import BLACK, BLUE, GREY, SERIES, VERMILLION, WIDE, label, mixed, styled

ROUNDING_BAND = "#F3CF80"  # orange, paler


@styled
def intervals(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw a forest plot of scores with their intervals, and beside them the paper's values.

    rows: ``model``, ``score`` (as they are to read), ``value``, ``low``, ``high`` (NaN where not done), ``paper`` (two
    digits, or None) and ``note`` ("" or what must be read first), in the order of drawing; rows of a model together.
    """
    models = list(dict.fromkeys(row["model"] for row in rows))
    lines = len(rows) + len(models)
    figure = Figure(figsize=(WIDE, 0.25 * lines + 0.95), layout="constrained")
    axes = figure.subplots()
    ticks: dict[int, str] = {}
    for place, row in _placed(rows):
        if isinstance(row, str):
            axes.text(0, place, label(row, 84), transform=axes.get_yaxis_transform(), weight="bold", va="center")
            continue
        ticks[place] = row["score"]
        _draw_interval(axes, place, row)
    known = [r[key] for r in rows for key in ("value", "low", "paper") if r[key] is not None]
    low = min((value for value in known if not np.isnan(value)), default=0.9)
    axes.set(ylim=(lines - 0.4, -0.7), xlim=(low - 0.08 * (1.01 - low), 1 + 0.02 * (1.01 - low)), xlabel="Score")
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    _intervals_legend(figure, axes, any(row["paper"] is not None for row in rows))
    return figure


def _placed(rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, Any]]:
    """Return (line, row) for every row, and (line, heading) where a model begins."""
    placed: list[tuple[int, Any]] = []
    model = None
    for row in rows:
        if row["model"] != model:
            model = row["model"]
            placed.append((len(placed), model + (f" — {row['note']}" if row["note"] else "")))
        placed.append((len(placed), row))
    return placed


def _draw_interval(axes: Axes, place: int, row: Mapping[str, Any]) -> None:
    if row["paper"] is not None:
        axes.plot([row["paper"] - 0.005, row["paper"] + 0.005], [place + 0.22] * 2, color=ROUNDING_BAND, lw=3)
        axes.plot(row["paper"], place + 0.22, marker="D", ms=5.5, color="white", mec=BLACK)
    colour, marker = (VERMILLION, "X") if row["note"] else (BLUE, "o")
    axes.plot([row["low"], row["high"]], [place - 0.1] * 2, color=colour, lw=2)
    axes.plot(row["value"], place - 0.1, marker=marker, color=colour, ms=6)
    known = not np.isnan(row["value"])
    bounds = "" if np.isnan(row["low"]) else f" ({row['low']:.3f}–{row['high']:.3f})"
    axes.text(
        1.01,
        place,
        f"{row['value']:.3f}{bounds}" if known else "not done",
        transform=axes.get_yaxis_transform(),
        va="center",
    )


def _intervals_legend(figure: Figure, axes: Axes, with_paper: bool) -> None:
    (ours,) = axes.plot([], [], color=BLUE, marker="o", ms=6, lw=2)
    (paper,) = axes.plot([], [], color=ROUNDING_BAND, lw=3, marker="D", ms=5.5, mfc="white", mec=BLACK)
    handles, texts = [ours, paper], ["ours, 95 % interval", "the paper's, with its rounding"]
    shown = 2 if with_paper else 1
    figure.legend(handles[:shown], texts[:shown], loc="outside upper left", ncols=2)


# -- any scores of ours beside each other -----------------------------------------------------------------------------


class Row(NamedTuple):
    """One line of ``rows``: its name, the score with its interval (bounds NaN where unknown), whether to mark it."""

    name: str
    score: Interval
    marked: bool = False


@styled
def rows(groups: Mapping[str, Sequence[Row]], line: float | None, axis: str, marked: str = "") -> Figure:
    """Draw scores with their intervals under headings; ``line`` is a value to hold them against, None for none.

    axis: what the scores are; marked: in the legend, what a crossed vermillion row means.
    """
    lines = sum(len(group) + 1 for group in groups.values())
    figure = Figure(figsize=(WIDE, 0.23 * lines + 0.95), layout="constrained")
    axes = figure.subplots()
    at_the_edge = blended_transform_factory(figure.transFigure, axes.transData)
    ticks: dict[int, str] = {}
    place = 0
    for heading, group in groups.items():
        text = axes.text(0.02, place, label(heading, 84), transform=at_the_edge, weight="bold", va="center")
        text.set_in_layout(False)  # it stands in the empty line above the names, which need the room
        for row in group:
            place += 1
            ticks[place] = label(row.name, 44)
            _draw_row(axes, place, row)
        place += 1
    axes.set(ylim=(lines - 0.4, -0.7), xlabel=axis)
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    if line is not None:
        axes.axvline(line, color=GREY, lw=1.2, ls=(0, (4, 2)))
    if any(row.marked for group in groups.values() for row in group):
        (cross,) = axes.plot([], [], color=VERMILLION, marker="X", ms=6, lw=2)
        figure.legend([cross], [marked], loc="outside upper left")
    return figure


def _draw_row(axes: Axes, place: int, row: Row) -> None:
    colour, marker = (VERMILLION, "X") if row.marked else (BLUE, "o")
    value, low, high = row.score
    axes.plot([low, high], [place] * 2, color=colour, lw=2)
    axes.plot(value, place, marker=marker, color=colour, ms=5.5)
    bounds = "" if np.isnan(low) else f" ({low:.3f}–{high:.3f})"
    shown = "undefined" if np.isnan(value) else f"{value:.3f}{bounds}"
    axes.text(1.01, place, shown, transform=axes.get_yaxis_transform(), va="center")


class Spread(NamedTuple):
    """One score of several runs: its name, each run's value, and the pooled score (NaN where there is none)."""

    name: str
    values: Sequence[float]
    pooled: Interval


@styled
def strip(scores: Sequence[Spread]) -> Figure:
    """Draw a row a score: a hollow ring for each run, a bar at their mean, and below it the pooled score."""
    figure = Figure(figsize=(WIDE, 0.52 * len(scores) + 1.0), layout="constrained")
    axes = figure.subplots()
    (_, _, ring), (other, _, diamond) = SERIES[0], SERIES[1]
    for place, (_, values, pooled) in enumerate(scores):
        known = [value for value in values if not np.isnan(value)]
        axes.plot(known, [place - 0.13] * len(known), ring, mfc="none", mec=BLUE, ms=6.5, mew=1.3, lw=0)
        mean, sd = (float(np.mean(known)), float(np.std(known, ddof=1))) if len(known) > 1 else (np.nan, np.nan)
        axes.plot([mean] * 2, [place - 0.32, place + 0.06], color=BLACK, lw=1.6)
        axes.plot([pooled.low, pooled.high], [place + 0.24] * 2, color=mixed(other, BLACK, 0.1), lw=2)
        axes.plot(pooled.value, place + 0.24, color=other, marker=diamond, ms=5.5)
        spread = "undefined" if np.isnan(mean) else f"mean {mean:.3f}, SD {sd:.3f}"
        axes.text(1.01, place, spread, transform=axes.get_yaxis_transform(), va="center")
    axes.set(ylim=(len(scores) - 0.5, -0.6), xlabel="Score")
    axes.set_yticks(range(len(scores)), [score.name for score in scores])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    (each,) = axes.plot([], [], ring, mfc="none", mec=BLUE, ms=6.5, mew=1.3)
    (mean_bar,) = axes.plot([], [], color=BLACK, lw=0, marker="|", ms=12, mew=1.6)
    (together,) = axes.plot([], [], color=other, marker=diamond, ms=5.5, lw=2)
    shown = 2 if all(np.isnan(score.pooled.value) for score in scores) else 3
    names = ["one run", "mean of the runs", "pooled, 95 % interval"]
    figure.legend([each, mean_bar, together][:shown], names[:shown], loc="outside upper left", ncols=3)
    return figure
