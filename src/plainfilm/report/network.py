"""Fig. 1, the network: blocks of layers, drawn from the layers in model.json."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from plainfilm.report.figures import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LINE,
    ORANGE,
    SKY,
    VERMILLION,
    WIDE,
    YELLOW,
    label,
    mixed,
    styled,
)

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
    "MEAN": YELLOW,
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
    member = _member(layers[0]) if layers else ""
    blocks = [_Block(["INPUT"], ["INPUT", *([f"of {member}"] if member else [])], film, 0)]
    for layer in layers:
        if _member(layer) != member:
            member = _member(layer)
            blocks.append(_Block(["SOFTMAX"], ["SOFTMAX"], blocks[-1].shape, 0))
            blocks.append(_Block(["INPUT"], ["INPUT", f"of {member}"], film, 0))
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
    mean = [_Block(["MEAN"], ["MEAN", "of all"], blocks[-1].shape, 0)] if member else []
    return [*blocks, _Block(["SOFTMAX"], ["SOFTMAX"], blocks[-1].shape, 0), *mean]


def _member(layer: Mapping[str, Any]) -> str:
    """Which network of an ensemble a layer belongs to, counted from 1; "" for a network alone."""
    match = re.match(r"networks\.(\d+)\.", layer.get("name", ""))
    return f"no. {int(match[1]) + 1}" if match else ""


def _rows(blocks: list[_Block]) -> list[list[_Block]]:
    """Return the blocks in rows of at most A_ROW, broken before a new stage (CONV behind POOL or DROPOUT, FLATTEN)
    and before another input."""
    stages: list[list[_Block]] = [[]]
    for before, block in zip([None, *blocks], blocks, strict=False):
        behind_pool = before is not None and before.kinds[0] in ("POOL", "DROPOUT") and block.kinds[0] == "CONV"
        begins = block.kinds[0] == "FLATTEN" or (block.kinds[0] == "INPUT" and before is not None)
        if behind_pool or begins or len(stages[-1]) == A_ROW:
            stages.append([])
        stages[-1].append(block)
    rows: list[list[_Block]] = []
    for stage in stages:
        if rows and len(rows[-1]) + len(stage) <= A_ROW and stage[0].kinds != ["INPUT"]:
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


def _cuboid(axes: Axes, x: float, y: float, width: float, height: float, depth: float, kind: str) -> None:  # noqa: PLR0913 - a place and three sides
    up = 0.6 * depth
    style: dict[str, Any] = {"ec": BLACK, "lw": 0.6, "joinstyle": "round"}
    fill = FILLS.get(kind, "#BBBBBB")
    hatch = "////" if kind == "DROPOUT" else None
    top, right = y + height, x + width
    roof = [(x, top), (x + depth, top + up), (right + depth, top + up), (right, top)]
    side = [(right, y), (right + depth, y + up), (right + depth, top + up), (right, top)]
    axes.add_patch(Polygon(roof, fc=mixed(fill, "#FFFFFF"), **style))
    axes.add_patch(Polygon(side, fc=mixed(fill, "#000000"), **style))
    axes.add_patch(Rectangle((x, y), width, height, fc=fill, hatch=hatch, **style))


def _shape(shape: tuple[int, ...]) -> list[str]:
    """Return ``64×64×32`` for (32, 64, 64), as the paper writes it, in one line or two; ``8,192`` for a vector."""
    if len(shape) == 1:
        return [f"{shape[0]:,}"]
    side, channels = "×".join(str(n) for n in shape[1:]), f"×{shape[0]}"
    return [side + channels] if len(side + channels) <= SHAPE_LETTERS else [side, channels]
