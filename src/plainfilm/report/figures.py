"""Every figure of a report: colours of Okabe & Ito, none relied on alone; no letter is below 9 points."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, log
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from matplotlib.patches import Polygon, Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from plainfilm.evaluation.intervals import Floats, Interval
from plainfilm.files import replacing

# Okabe & Ito, "Color Universal Design" (2008): told apart with every common kind of colour vision.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE, GREY = "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#8C8C8C"
SERIES = ((BLUE, "-", "o"), (VERMILLION, "--", "s"), (GREEN, "-.", "^"), (PURPLE, ":", "D"), (ORANGE, (0, (5, 1)), "v"))

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that a figure is the same on every machine
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "grid.color": "#D9D9D9",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "plainfilm",  # the same figure has the same bytes
    "svg.fonttype": "path",
    "text.parse_math": False,  # a $ in the name of a film or class is a $
}
styled = mpl.rc_context(STYLE)

WIDE, NARROW = 7.2, 3.6  # inches: both columns of a page, or one
LINE = 0.155  # inches from one line of 9-point text to the next
DPI = 150


def save(figure: Figure, folder: str | Path, name: str) -> None:
    """Write ``folder``/NAME.png (150 dots an inch) and NAME.svg; the same figure gives the same bytes."""
    metadata: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    with mpl.rc_context(STYLE):
        figure.draw_without_rendering()
        figure.set_layout_engine(None)  # laid out once, for both
        for kind, about in metadata.items():
            with replacing(Path(folder) / f"{name}.{kind}") as temporary:
                figure.savefig(temporary, format=kind, dpi=DPI, metadata=about, facecolor="white")


@cache
def _letters() -> frozenset[int]:
    return frozenset(FT2Font(findfont("DejaVu Sans")).get_charmap())


def label(text: str, length: int = 80) -> str:
    """Return ``text`` in letters that the font has ("?" for others), its middle left out beyond ``length``."""
    shown = "".join(c if c.isprintable() and ord(c) in _letters() else "?" for c in text)
    if len(shown) <= length:
        return shown
    end = (length - 1) // 2
    return f"{shown[: length - 1 - end]}…{shown[len(shown) - end :]}"


def _wrapped(text: str, width: int) -> str:
    """Return ``text`` broken at its spaces into lines of ``width`` letters; longer words lose their middle."""
    words = " ".join(label(word, width) for word in text.split(" "))
    return "\n".join(textwrap.wrap(words, width, break_long_words=False, break_on_hyphens=False)) or "?"


# -- Fig. 1: the network ----------------------------------------------------------------------------------------------

NAMES = {
    "Conv2d": "CONV",
    "ReLU": "ReLU",
    "BatchNorm1d": "BN",
    "BatchNorm2d": "BN",
    "MaxPool2d": "POOL",
    "Dropout": "DROPOUT",
    "Flatten": "FLATTEN",
    "Linear": "DENSE",
}
FILLS = {
    "INPUT": "#FFFFFF",
    "CONV": BLUE,
    "ReLU": ORANGE,
    "BN": GREEN,
    "POOL": VERMILLION,
    "DROPOUT": "#FFFFFF",
    "FLATTEN": GREY,
    "DENSE": SKY,
    "SOFTMAX": YELLOW,
}
A_ROW = 8  # blocks side by side on a page
CELL = WIDE / A_ROW
TALL, BROAD, SLAB = 0.86, 0.36, 0.05  # inches: the largest side, the most channels, a layer that keeps the shape
SHAPE_LETTERS = 9  # in one line under a block


@dataclass
class _Block:
    """A layer and the ones behind it that keep its shape: CONV → ReLU → BN."""

    kinds: list[str]
    words: list[str]
    shape: tuple[int, ...]
    parameters: int

    @property
    def figures(self) -> list[str]:
        """What stands under the names: output, parameters."""
        return [*_shape(self.shape), *([f"{self.parameters:,}"] if self.parameters else [])]


@styled
def network(layers: Sequence[Mapping[str, Any]], title: str, film: Sequence[int]) -> Figure:
    """Draw the paper's Fig. 1 from the layers in model.json: "kind", "shape" (C, H, W) or (N,), "parameters", "detail".

    film: the input's shape (C, H, W). A block's height follows the side and its breadth the number of channels, both
    as square roots; under it stand the layers' names, its output and its number of parameters.
    """
    rows = _rows(_blocks(layers, tuple(film)))
    scale = _Scale(max(max(b.shape[1:], default=1) for r in rows for b in r), max(b.shape[0] for r in rows for b in r))
    talls = [max(scale.height(block.shape) for block in row) for row in rows]
    lines = [max(len(block.words) + len(block.figures) for block in row) for row in rows]
    size = 0.6 + sum(1.2 * tall + LINE * n + 0.22 for tall, n in zip(talls, lines, strict=True))
    figure = Figure(figsize=(WIDE, size))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDE), ylim=(0, size))
    axes.set_axis_off()
    total = sum(layer["parameters"] for layer in layers)
    axes.text(0.12, size - 0.18, label(title), fontsize=11, weight="bold", va="center")
    axes.text(0.12, size - 0.39, f"{total:,} parameters; under each block: layers, output, parameters", va="center")
    top = size - 0.6
    for row, tall, n in zip(rows, talls, lines, strict=True):
        _draw_row(axes, row, top, tall, scale)
        top -= 1.2 * tall + LINE * n + 0.22
    return figure


def _blocks(layers: Sequence[Mapping[str, Any]], film: tuple[int, ...]) -> list[_Block]:
    blocks = [_Block(["INPUT"], ["INPUT"], film, 0)]
    for layer in layers:
        kind, shape = NAMES.get(layer["kind"], label(layer["kind"], 9)), tuple(layer["shape"])
        last = blocks[-1]
        if kind in ("ReLU", "BN") and last.kinds[0] in ("CONV", "DENSE"):
            last.kinds.append(kind)
            last.words.append(kind)
            last.parameters += layer["parameters"]
        else:
            detail = layer["detail"]
            words = [f"{kind} {detail}"] if len(detail) == 3 else [kind, *([detail] if detail else [])]
            blocks.append(_Block([kind], words, shape, layer["parameters"]))
    return [*blocks, _Block(["SOFTMAX"], ["SOFTMAX"], blocks[-1].shape, 0)]


def _rows(blocks: list[_Block]) -> list[list[_Block]]:
    """Return the blocks in rows of at most A_ROW, broken before a new stage (CONV behind POOL or DROPOUT, FLATTEN)."""
    stages: list[list[_Block]] = [[]]
    for before, block in zip([None, *blocks], blocks, strict=False):
        behind_pool = before is not None and before.kinds[0] in ("POOL", "DROPOUT") and block.kinds[0] == "CONV"
        if behind_pool or block.kinds[0] == "FLATTEN" or len(stages[-1]) == A_ROW:
            stages.append([])
        stages[-1].append(block)
    rows: list[list[_Block]] = []
    for stage in stages:
        if rows and len(rows[-1]) + len(stage) <= A_ROW:
            rows[-1] += stage
        else:
            rows.append(stage)
    return rows


class _Scale(NamedTuple):
    """The largest side and the largest number of channels or values in a figure."""

    side: int
    channels: int

    def height(self, shape: tuple[int, ...]) -> float:
        if len(shape) == 1:
            return TALL * (0.15 + 0.5 * log(shape[0] + 1) / log(self.channels + 1))
        return float(max(0.12, TALL * (max(shape[1:]) / self.side) ** 0.5))

    def breadth(self, shape: tuple[int, ...]) -> float:
        channels = min(shape[0], 512)
        return 0.06 if len(shape) == 1 else float(max(0.04, BROAD * (channels / 512) ** 0.5))


def _draw_row(axes: Axes, row: list[_Block], top: float, tall: float, scale: _Scale) -> None:
    middle, under = top - 0.68 * tall, top - 1.2 * tall - 0.04
    end = None if row[0].kinds == ["INPUT"] else 0.0
    for number, block in enumerate(row):
        centre = (number + 0.5) * CELL
        left, right = _draw_block(axes, block, centre, middle, scale)
        if end is not None:
            axes.annotate("", (left - 0.02, middle), (end + 0.04, middle), arrowprops=_ARROW)
        end = right
        for line, text in enumerate([*block.words, *block.figures]):
            colour = BLACK if line < len(block.words) else "#444444"
            axes.text(centre, under - LINE * line, text, ha="center", va="top", color=colour)


_ARROW = {"arrowstyle": "-|>", "color": "#444444", "lw": 0.8, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7}


def _draw_block(axes: Axes, block: _Block, centre: float, middle: float, scale: _Scale) -> tuple[float, float]:
    """Draw a block as slabs one behind the other; return where it begins and ends at half its height."""
    height = scale.height(block.shape)
    depth = 0.2 * height if len(block.shape) > 1 else 0.03
    widths = [SLAB if kind == "DROPOUT" else scale.breadth(block.shape) for kind in block.kinds[:1]]
    widths += [SLAB] * (len(block.kinds) - 1)
    left = start = centre - (sum(widths) + depth) / 2
    for kind, width in zip(block.kinds, widths, strict=True):
        _cuboid(axes, left, middle - height / 2, width, height, depth, kind)
        left += width
    return start, left + depth


def _cuboid(axes: Axes, x: float, y: float, width: float, height: float, depth: float, kind: str) -> None:
    up = 0.6 * depth
    style: dict[str, Any] = {"ec": BLACK, "lw": 0.6, "joinstyle": "round"}
    fill = FILLS.get(kind, "#BBBBBB")
    hatch = "////" if kind == "DROPOUT" else None
    top, right = y + height, x + width
    roof = [(x, top), (x + depth, top + up), (right + depth, top + up), (right, top)]
    side = [(right, y), (right + depth, y + up), (right + depth, top + up), (right, top)]
    axes.add_patch(Polygon(roof, fc=_mixed(fill, "#FFFFFF"), **style))
    axes.add_patch(Polygon(side, fc=_mixed(fill, "#000000"), **style))
    axes.add_patch(Rectangle((x, y), width, height, fc=fill, hatch=hatch, **style))


def _mixed(colour: str, other: str, share: float = 0.3) -> tuple[float, ...]:
    a, b = np.array(mpl.colors.to_rgb(colour)), np.array(mpl.colors.to_rgb(other))
    return tuple(a * (1 - share) + b * share)


def _shape(shape: tuple[int, ...]) -> list[str]:
    """Return ``64×64×32`` for (32, 64, 64), as the paper writes it, in one line or two; ``8,192`` for a vector."""
    if len(shape) == 1:
        return [f"{shape[0]:,}"]
    side, channels = "×".join(str(n) for n in shape[1:]), f"×{shape[0]}"
    return [side + channels] if len(side + channels) <= SHAPE_LETTERS else [side, channels]


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
            axes.set_title(_wrapped(title, 34), loc="left")
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
            f"{value:.3f}", (1.02, height), xycoords="axes fraction", color=_mixed(colour, BLACK, 0.25), va="center"
        )


def _apart(values: Sequence[float], axes: Axes, gap: float = 0.11) -> list[float]:
    """Return the heights (0..1 of the panel) of two labels at ``values``, moved apart where they would touch."""
    bottom, top = axes.get_ylim()
    first, second = ((value - bottom) / (top - bottom) for value in values)
    lack = max(0.0, gap - abs(first - second)) / 2
    lack = lack if first >= second else -lack
    return [first + lack, second - lack]


# -- Fig. 3: films with their labels ----------------------------------------------------------------------------------


Tile = tuple[NDArray[np.uint8], str, float, str | None, str]


@styled
def montage(films: Sequence[Tile], columns: int = 6) -> Figure:
    """Draw the paper's Fig. 3: films with prediction, its probability, the truth, and whether that is right.

    films: (pixels (H, W) uint8, predicted class, its probability 0..1, true class or None where nobody knows it, path)
    each. A wrong one has a thick broken frame, a cross and the word, so that it is seen in grey and with every kind of
    colour vision.
    """
    columns = max(1, min(columns, len(films)))
    cell, text = WIDE / columns, FILM_LINES * LINE + 0.2
    side = cell - 0.14
    size = ceil(len(films) / columns) * (side + text) + 0.4
    figure = Figure(figsize=(WIDE, size))
    known = [predicted == true for _, predicted, _, true, _ in films if true is not None]
    heading = f"{sum(known)} of {len(known)} films right" if known else f"{len(films)} films, truth not known"
    figure.text(0.07 / WIDE, 1 - 0.18 / size, heading, weight="bold", va="center")
    reading = "under each: probability, prediction, what it is, file"
    figure.text(1 - 0.07 / WIDE, 1 - 0.18 / size, reading, va="center", ha="right")
    for number, film in enumerate(films):
        row, column = divmod(number, columns)
        top = size - 0.4 - row * (side + text)
        box = ((column * cell + 0.07) / WIDE, (top - side) / size, side / WIDE, side / size)
        _draw_film(figure.add_axes(box, xticks=[], yticks=[], facecolor=BLACK), film, cell - 0.1)
    return figure


FILM_LINES = 5


def _draw_film(axes: Axes, film: Tile, width: float) -> None:
    pixels, predicted, probability, true, path = film
    right = true is None or predicted == true
    verdict = "" if true is None else "✓ right " if right else "✗ WRONG "
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    axes.set(aspect="equal", adjustable="datalim")  # a square frame, whatever the film's shape
    frame = {"color": BLUE, "lw": 1.2} if right else {"color": VERMILLION, "lw": 4, "ls": (0, (2.5, 0.8))}
    for spine in axes.spines.values():
        spine.set(visible=True, capstyle="butt", **frame)
    lines = [
        f"{verdict}{probability:.2f}",
        _fitted(predicted, width),
        *([] if true is None else [f"is {_fitted(true, width - 0.18)}"]),
        *_two_lines(Path(path).stem, width),
    ]
    for number, line in enumerate(lines):
        axes.annotate(
            line,
            (0, 0),
            (-1, -5 - 72 * LINE * number),
            xycoords="axes fraction",
            textcoords="offset points",
            va="top",
            weight="bold" if number < (1 if right else 2) else "normal",
            annotation_clip=False,
        )


def _fitted(text: str, width: float) -> str:
    """Return ``text`` with as much of its middle left out as makes it fit into ``width`` inches."""
    shown = label(text)
    for length in range(len(shown) - 1, 2, -1):
        if _inches(shown) <= width:
            break
        shown = label(text, length)
    return shown


def _two_lines(text: str, width: float) -> list[str]:
    """Return ``text`` in one line of ``width`` inches, or in two when that is too narrow."""
    shown = label(text)
    fits = max((n for n in range(1, len(shown) + 1) if _inches(shown[:n]) <= width), default=1)
    if fits < len(shown):  # better after a sign that joins words, when one is in the last half
        fits = max((n for n in range(fits // 2, fits + 1) if shown[n - 1] in "-_. "), default=fits)
    return [shown[:fits], *([_fitted(shown[fits:], width)] if shown[fits:] else [])]


def _inches(text: str) -> float:
    """Return the breadth of ``text`` in bold 9-point letters."""
    return sum(map(_breadth, text))


@cache
def _breadth(letter: str) -> float:
    font = FT2Font(findfont(FontProperties(family="DejaVu Sans", weight="bold")))
    font.set_size(9, 72)
    return font.load_char(ord(letter)).linearHoriAdvance / 65536 / 72  # 16.16 fixed-point pixels, here points


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
    names = ["\n".join(_two_lines(name, NAME)) if k == 2 else _fitted(name, NAME) for name in classes]
    axes.set_xticks(range(k), names, rotation=0 if k == 2 else 90)
    axes.set_yticks(range(k), names, rotation=90 if k == 2 else 0, va="center")
    axes.tick_params(length=0, pad=8)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="decided", ylabel="true")
    return figure


class Curve(NamedTuple):
    """One model's curve: x and y with the threshold of each point, the area under it, and the threshold in use."""

    title: str
    x: Floats
    y: Floats
    thresholds: Floats
    area: Interval
    threshold: float


@styled
def roc(curves: Sequence[Curve]) -> Figure:
    """Draw ROC curves (x: 1 - specificity, y: sensitivity); a large marker is the threshold in use.

    Where all areas are above 0.95 the corner that matters is drawn again, larger.
    """
    figure, axes = _unit_square("1 − specificity", "Sensitivity", len(curves))
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (1, 2)))
    _draw_curves(axes, curves, "AUROC")
    if all(curve.area.value > 0.95 for curve in curves):
        corner = axes.inset_axes((0.42, 0.1, 0.54, 0.54), xlim=(0, 0.2), ylim=(0.8, 1.003))
        _draw_curves(corner, curves, "", clip=True)  # a threshold outside the corner must not widen the layout
        corner.set(xticks=[0, 0.1, 0.2], yticks=[0.8, 0.9, 1])
        corner.grid()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", handlelength=3)
    return figure


@styled
def precision_recall(curves: Sequence[Curve], prevalence: float) -> Figure:
    """Draw precision (y) over recall (x); the dotted line is ``prevalence`` (0..1), what chance would give."""
    figure, axes = _unit_square("Recall (sensitivity)", "Precision (PPV)", len(curves))
    axes.axhline(prevalence, color=GREY, lw=1, ls=(0, (1, 2)))
    _draw_curves(axes, curves, "AUPRC")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", handlelength=3)
    return figure


def _unit_square(x: str, y: str, entries: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(NARROW, NARROW + 0.36 * entries), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y, aspect="equal")
    axes.grid()
    return figure, axes


def _draw_curves(axes: Axes, curves: Sequence[Curve], area: str, clip: bool = False) -> None:
    for curve, (colour, line, marker) in zip(curves, SERIES * len(curves), strict=False):
        axes.plot(curve.x, curve.y, color=colour, ls=line, lw=1.5, label=_with_area(curve, area))
        at = int(np.searchsorted(-curve.thresholds, -curve.threshold, side="right")) - 1
        if at >= 0:
            axes.plot(curve.x[at], curve.y[at], color=colour, marker=marker, ms=7, mec="white", clip_on=clip)


def _with_area(curve: Curve, name: str) -> str:
    value, low, high = curve.area
    shown = "not done" if np.isnan(value) else f"{value:.3f}" + ("" if np.isnan(low) else f" ({low:.3f}–{high:.3f})")
    return f"{_wrapped(curve.title, 36)}\n{name} {shown}"


@styled
def reliability(table: Sequence[Mapping[str, float]], error: Interval) -> Figure:
    """Draw the reliability table (n, mean_predicted, observed, low, high a row); the diagonal is perfect calibration.

    error: the expected calibration error.
    """
    figure, axes = _unit_square("Mean predicted probability", "Share of positives", 1)
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (1, 2)))
    x, y, low, high = (np.array([row[key] for row in table]) for key in ("mean_predicted", "observed", "low", "high"))
    colour, _, marker = SERIES[0]
    bars = np.abs([y - low, high - y])
    name = _with_area(Curve("Bins of equal size, 95 % interval", x, y, x, error, 0), "calibration error")
    axes.errorbar(x, y, bars, color=colour, marker=marker, ms=4.5, lw=0, elinewidth=1.2, capsize=2, label=name)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center")
    return figure


@styled
def grid_search(scores: Mapping[float, float], chosen: float) -> Figure:
    """Draw the mean cross-validated accuracy (0..1) of each C; the ring is the one chosen."""
    figure = Figure(figsize=(NARROW + 1, 2.7), layout="constrained")
    axes = figure.subplots()
    pairs = sorted((float(c), score) for c, score in scores.items())
    values = [c for c, _ in pairs]
    colour, line, marker = SERIES[0]
    axes.plot(values, [score for _, score in pairs], color=colour, ls=line, marker=marker)
    best = dict(pairs)[chosen]
    axes.plot(chosen, best, marker="o", ms=13, mfc="none", mec=VERMILLION, mew=1.8)
    axes.annotate(f"C = {chosen:g}: {best:.3f}", (chosen, best), (0, 11), textcoords="offset points", ha="center")
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{c:g}" for c in values], rotation=0 if len(values) < 7 else 45)
    axes.minorticks_off()
    axes.margins(0.16, 0.3)
    axes.set(xlabel="C (smaller: more regularised)", ylabel="Mean accuracy of the folds")
    axes.grid(axis="y")
    return figure


# -- our figures beside the paper's -----------------------------------------------------------------------------------

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
