"""Training curves, the table of decisions, and the curves of how good decisions and probabilities are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from plainfilm.evaluation.intervals import Floats, Interval
from plainfilm.evaluation.referral import RiskCoverage
from plainfilm.report.figures import (
    BLACK,
    GREY,
    NARROW,
    SERIES,
    VERMILLION,
    WIDE,
    fitted,
    mixed,
    styled,
    two_lines,
    wrapped,
)

# -- Figs. 2 and 4: loss and accuracy over the epochs -----------------------------------------------------------------

PANELS = {"loss": "Loss (cross-entropy)", "accuracy": "Accuracy"}
PARTS = {"train": "training", "val": "validation"}


@styled
def curves(history_by_model: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Draw the paper's Figs. 2 and 4: loss and accuracy of both parts over the epochs, a row of panels a model.

    history_by_model: the rows of history.csv by title. All models share the axes; the last values are written out.
    """
    models = list(history_by_model.items())
    figure = Figure(figsize=(WIDE, 2.35 * len(models) + 0.35), layout="constrained")
    grid = figure.subplots(len(models), 2, squeeze=False, sharex=True, sharey="col")
    for column, measure in enumerate(PANELS):
        values = [row[f"{part}_{measure}"] for _, history in models for row in history for part in PARTS]
        bottom, top = _limits(np.array(values), measure)
        for (title, history), axes in zip(models, grid[:, column], strict=True):
            axes.set(ylim=(bottom, top), ylabel=PANELS[measure])
            axes.set_title(wrapped(title, 34), loc="left")
            axes.grid(axis="y")
            axes.tick_params(labelbottom=True, labelleft=True)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            _draw_history(axes, history, measure)
    for axes in grid[-1]:
        axes.set_xlabel("Epoch")
    handles = grid[0, 0].get_lines()[: len(PARTS)]
    figure.legend(handles, [PARTS[part] for part in PARTS], loc="outside upper right", ncols=2, handlelength=3)
    return figure


def _limits(values: Floats, measure: str) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if measure == "loss":
        return 0.0, float(values.max(initial=1e-3)) * 1.06
    return float(np.floor(values.min(initial=0.95) * 20 - 0.2) / 20), 1.005


def _draw_history(axes: Axes, history: Sequence[Mapping[str, float]], measure: str) -> None:
    epochs = [row["epoch"] for row in history]
    last = []
    for part, (colour, line, marker) in zip(PARTS, SERIES, strict=False):
        values = [row[f"{part}_{measure}"] for row in history]
        axes.plot(epochs, values, color=colour, ls=line, marker=marker, ms=3.2, lw=1.3)
        last.append((values[-1], colour))
    for height, (value, colour) in zip(_apart([v for v, _ in last], axes), last, strict=True):
        axes.annotate(
            f"{value:.3f}", (1.02, height), xycoords="axes fraction", color=mixed(colour, BLACK, 0.25), va="center"
        )


def _apart(values: Sequence[float], axes: Axes, gap: float = 0.11) -> list[float]:
    """Return the heights (0..1 of the panel) of two labels at ``values``, moved apart where they would touch."""
    bottom, top = axes.get_ylim()
    first, second = ((value - bottom) / (top - bottom) for value in values)
    lack = max(0.0, gap - abs(first - second)) / 2
    lack = lack if first >= second else -lack
    return [first + lack, second - lack]


# -- how good the decisions and the probabilities are -----------------------------------------------------------------


NAME = 1.25  # inches for the name of a class beside the table


@styled
def confusion(matrix: NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """Draw the table of counts (K, K), rows the truth and columns the decision, with the share of each row."""
    k = len(classes)
    side = NARROW if k == 2 else 0.72 * k + NAME + 0.6
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15)
    for row, column in np.ndindex(k, k):
        text = f"{matrix[row, column]:,}\n{100 * shares[row, column]:.1f} %"
        colour = "white" if shares[row, column] > 0.6 else BLACK
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=11 if k == 2 else 9)
    for line in np.arange(k + 1) - 0.5:
        axes.plot([line, line], [-0.5, k - 0.5], color=GREY, lw=0.6, clip_on=False)
        axes.plot([-0.5, k - 0.5], [line, line], color=GREY, lw=0.6, clip_on=False)
    names = ["\n".join(two_lines(name, NAME)) if k == 2 else fitted(name, NAME) for name in classes]
    axes.set_xticks(range(k), names, rotation=0 if k == 2 else 90)
    axes.set_yticks(range(k), names, rotation=90 if k == 2 else 0, va="center")
    axes.tick_params(length=0, pad=8)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="decided", ylabel="true")
    return figure


CORNER = 0.2  # side of the corner of few errors, which is drawn larger


class Curve(NamedTuple):
    """One model's curve: x and y with the threshold of each point, the area under it, and the threshold in use (None
    where there is not one for all films).

    ``pooled``: where ``area`` is the mean of several models' own curves, the area under this one, of all their films.
    """

    title: str
    x: Floats
    y: Floats
    thresholds: Floats
    area: Interval
    threshold: float | None = None
    pooled: Interval | None = None


@styled
def roc(curves: Sequence[Curve]) -> Figure:
    """Draw ROC curves (x: 1 - specificity, y: sensitivity); a large marker is the threshold in use.

    Where all areas are above 0.95, and the curves pass through it, the corner that matters is drawn again, larger.
    """
    figure, axes = _unit_square("1 − specificity", "Sensitivity", _entries(curves))
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (1, 2)))
    _draw_curves(axes, curves, "AUROC")
    if all((curve.pooled or curve.area).value > 0.95 and _in_the_corner(curve) for curve in curves):
        corner = axes.inset_axes((0.42, 0.1, 0.54, 0.54), xlim=(0, CORNER), ylim=(1 - CORNER, 1.003))
        _draw_curves(corner, curves, "", clip=True)  # a threshold outside the corner must not widen the layout
        corner.set(xticks=[0, 0.1, 0.2], yticks=[0.8, 0.9, 1])
        corner.grid()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", handlelength=3)
    return figure


def _in_the_corner(curve: Curve) -> bool:
    """Whether a ROC curve runs through the corner of few errors, rather than past it or along its edge."""
    return bool(curve.y[curve.x <= CORNER / 2].max(initial=0) >= 1 - CORNER)


@styled
def precision_recall(curves: Sequence[Curve], prevalence: float) -> Figure:
    """Draw precision (y) over recall (x); the dotted line is ``prevalence`` (0..1), what chance would give."""
    figure, axes = _unit_square("Recall (sensitivity)", "Precision (PPV)", _entries(curves))
    axes.axhline(prevalence, color=GREY, lw=1, ls=(0, (1, 2)))
    _draw_curves(axes, curves, "AUPRC")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", handlelength=3)
    return figure


def _entries(curves: Sequence[Curve]) -> float:
    """Return the height of a legend in entries of two lines."""
    return sum(1 if curve.pooled is None else 1.5 for curve in curves)


def _unit_square(x: str, y: str, entries: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(NARROW, NARROW + 0.36 * entries), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y, aspect="equal")
    axes.grid()
    return figure, axes


def _draw_curves(axes: Axes, curves: Sequence[Curve], area: str, clip: bool = False) -> None:
    for curve, (colour, line, marker) in zip(curves, SERIES * len(curves), strict=False):
        axes.plot(curve.x, curve.y, color=colour, ls=line, lw=1.5, label=_with_area(curve, area))
        at = -1
        if curve.threshold is not None:
            at = int(np.searchsorted(-curve.thresholds, -curve.threshold, side="right")) - 1
        if at >= 0:
            axes.plot(curve.x[at], curve.y[at], color=colour, marker=marker, ms=7, mec="white", clip_on=clip)


def _with_area(curve: Curve, name: str) -> str:
    title = wrapped(curve.title, 36)
    if curve.pooled is None:
        return f"{title}\n{name} {_bounded(curve.area)}"
    return f"{title}\n{name} of this curve {_bounded(curve.pooled)}\nmean of the folds {_bounded(curve.area)}"


def _bounded(area: Interval) -> str:
    value, low, high = area
    return "not done" if np.isnan(value) else f"{value:.3f}" + ("" if np.isnan(low) else f" ({low:.3f}–{high:.3f})")


@styled
def reliability(
    table: Sequence[Mapping[str, float]], error: Interval, before: Sequence[Mapping[str, float]] = (), called: str = ""
) -> Figure:
    """Draw the reliability table (n, mean_predicted, observed, low, high a row); the diagonal is perfect calibration.

    error: the expected calibration error. before: the same table of the probabilities before anything was
    fitted, drawn hollow and without intervals; what it is ``called``.
    """
    figure, axes = _unit_square("Mean predicted probability", "Share of positives", 2 if before else 1)
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (1, 2)))
    x, y, low, high = (np.array([row[key] for row in table]) for key in ("mean_predicted", "observed", "low", "high"))
    (colour, _, marker), (other, _, square) = SERIES[:2]
    bars = np.abs([y - low, high - y])
    name = _with_area(Curve("Bins of equal size, 95 % interval", x, y, x, error), "calibration error")
    if before:
        points = ([row["mean_predicted"] for row in before], [row["observed"] for row in before])
        axes.plot(*points, color=other, marker=square, ms=5.5, mfc="none", lw=0, label=called)
    axes.errorbar(x, y, bars, color=colour, marker=marker, ms=4.5, lw=0, elinewidth=1.2, capsize=2, label=name)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center")
    return figure


@styled
def decision(curve: Mapping[str, Floats], threshold: float | None) -> Figure:
    """Draw net benefit a film over the threshold (the columns of ``scores.decision_curve``); a marker is the one in
    use."""
    figure = Figure(figsize=(NARROW, NARROW + 0.5), layout="constrained")
    axes = figure.subplots()
    names = {"model": "decide by the model", "treat_all": "call every film positive", "treat_none": "call none"}
    for (key, name), (colour, line, _) in zip(names.items(), (SERIES[0], SERIES[1], (GREY, ":", "")), strict=True):
        axes.plot(curve["threshold"], curve[key], color=colour, ls=line, lw=1.6, label=name)
    top = max(float(curve["model"].max()), float(curve["treat_all"].max()), 0.01)
    if threshold is not None:
        benefit = float(np.interp(threshold, curve["threshold"], curve["model"]))
        axes.plot(threshold, benefit, color=SERIES[0][0], marker="o", ms=7, mec="white", label="threshold in use", lw=0)
    axes.set(xlim=(0, 1), ylim=(-0.15 * top, 1.08 * top), xlabel="Threshold probability", ylabel="Net benefit a film")
    axes.grid()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center")
    return figure


class Kept(NamedTuple):
    """A risk-coverage curve and, where a band of films is referred, the share kept and the share wrong among them."""

    title: str
    curve: RiskCoverage
    band: tuple[float, float] | None


@styled
def risk_coverage(parts: Sequence[Kept]) -> Figure:
    """Draw the share of errors (y) among the films that are kept (x), surest first; a marker is the band in use."""
    figure = Figure(figsize=(NARROW, NARROW + 0.5), layout="constrained")
    axes = figure.subplots()
    for part, (colour, line, marker) in zip(parts, SERIES, strict=False):
        axes.plot(part.curve.coverage, part.curve.risk, color=colour, ls=line, lw=1.5, label=part.title)
        if part.band:
            axes.plot(*part.band, color=colour, marker=marker, ms=7.5, mec="white", lw=0, label="with the refer band")
    top = max(float(part.curve.risk[part.curve.coverage >= 0.2].max(initial=0.005)) for part in parts)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.04 * top, 1.15 * top))
    axes.set(xlabel="Share of films the model decides", ylabel="Share of them decided wrongly")
    axes.grid()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center")
    return figure


@styled
def grid_search(scores: Mapping[float, float], chosen: float, score: str = "accuracy") -> Figure:
    """Draw the mean cross-validated ``score`` (0..1) of each C; the ring is the one chosen."""
    figure = Figure(figsize=(NARROW, 2.7), layout="constrained")
    axes = figure.subplots()
    pairs = sorted((float(c), score) for c, score in scores.items())
    values = [c for c, _ in pairs]
    colour, line, marker = SERIES[0]
    axes.plot(values, [score for _, score in pairs], color=colour, ls=line, marker=marker)
    best = dict(pairs)[chosen]
    axes.plot(chosen, best, marker="o", ms=13, mfc="none", mec=VERMILLION, mew=1.8)
    axes.annotate(f"C = {chosen:g}: {best:.3f}", (chosen, best), (0, 11), textcoords="offset points", ha="center")
    axes.set_xscale("log")
    short = [f"{c:g}" if c >= 0.001 else np.format_float_scientific(c, trim="-", exp_digits=1) for c in values]
    axes.set_xticks(values, short, rotation=0 if len(values) < 7 else 45)
    axes.minorticks_off()
    axes.margins(0.16, 0.3)
    axes.set(xlabel="C (smaller: more regularised)", ylabel=f"Mean {score} of the folds")
    axes.grid(axis="y")
    return figure


# -- Planning: the width of intervals over the number of films --------------------------------------------------------

PLANNED = {"sensitivity": "sensitivity", "specificity": "specificity", "auroc": "AUROC"}


@styled
def widths_by_films(rows: Sequence[Mapping[str, float]], wanted: float) -> Figure:
    """Draw the width of each score's 95 % interval over the number of films, both axes logarithmic.

    rows: ``films`` and a width 0..1 per score, as in plan.json; ``wanted``: the width that is asked for.
    """
    figure = Figure(figsize=(NARROW, 2.7), layout="constrained")
    axes = figure.subplots()
    films = [row["films"] for row in rows]
    for (name, words), (colour, line, mark) in zip(PLANNED.items(), SERIES, strict=False):
        axes.plot(films, [row[name] for row in rows], color=colour, ls=line, marker=mark, ms=4, label=words)
    axes.axhline(wanted, color=GREY, lw=1)
    axes.annotate(f"wanted: {wanted:g}", (films[-1], wanted), (0, 3), textcoords="offset points", ha="right")
    axes.set(xscale="log", yscale="log", xlabel="Films", ylabel="Width of the 95 % interval")
    axes.set_xticks(films, [f"{int(n):,}" for n in films], rotation=30, minor=False)
    axes.xaxis.set_minor_locator(NullLocator())
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid()
    axes.legend()
    return figure
