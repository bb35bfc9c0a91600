"""What every figure of a report shares, and the montage of films.

Colours are those of Okabe & Ito, none relied on alone; no letter is below 9 points.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from numpy.typing import NDArray

from plainfilm.storage.files import replacing

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
    "svg.fonttype": "none",  # text is text, for a journal and for whoever edits it
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a $ in the name of a film or class is a $
}
styled = mpl.rc_context(STYLE)

WIDE, NARROW = 7.0, 3.5  # inches: both columns of a journal's page (178 mm), or one (89 mm)
LINE = 0.155  # inches from one line of 9-point text to the next
DPI = 300
KINDS = ("png", "svg", "pdf")


METADATA: dict[str, dict[str, Any]] = {  # without a date, so that the same figure has the same bytes
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def save(figure: Figure, folder: str | Path, name: str, kinds: tuple[str, ...] = KINDS) -> None:
    """Write ``folder``/NAME.png (300 dots an inch), NAME.svg and NAME.pdf (text as text), or some of them."""
    for kind in kinds:
        with replacing(Path(folder) / f"{name}.{kind}") as temporary:
            _write(figure, temporary, kind)


def outlined(figure: Figure) -> bytes:
    """Return the figure as SVG with its letters as outlines: it looks the same where our font is not installed."""
    packed = io.BytesIO()
    _write(figure, packed, "svg", {"svg.fonttype": "path"})
    return packed.getvalue()


def _write(figure: Figure, place: Any, kind: str, more: dict[Any, Any] | None = None) -> None:
    with mpl.rc_context(STYLE | (more or {})):
        if engine := figure.get_layout_engine():
            engine.execute(figure)
            figure.set_layout_engine(None)  # laid out once, for all kinds
        figure.savefig(place, format=kind, dpi=DPI, metadata=METADATA[kind], facecolor="white")


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


def wrapped(text: str, width: int) -> str:
    """Return ``text`` broken at its spaces into lines of ``width`` letters; longer words lose their middle."""
    words = " ".join(label(word, width) for word in text.split(" "))
    return "\n".join(textwrap.wrap(words, width, break_long_words=False, break_on_hyphens=False)) or "?"


def mixed(colour: str, other: str, share: float = 0.3) -> tuple[float, ...]:
    """Return ``colour`` with ``share`` (0..1) of ``other`` in it, as red, green and blue 0..1."""
    a, b = np.array(mpl.colors.to_rgb(colour)), np.array(mpl.colors.to_rgb(other))
    return tuple(a * (1 - share) + b * share)


# -- Fig. 3: films with their labels ----------------------------------------------------------------------------------


UNUSUAL, READER = "UNUSUAL", "READER"  # unlike the training films; for a reader for another reason, as in the band


def mark_of(unusual: bool, refer: bool) -> str:
    """Return what is written across a film that goes to a reader; empty for one that does not."""
    return UNUSUAL if unusual else READER * refer


class Tile(NamedTuple):
    """A film of the montage: pixels (H, W), the predicted class, its probability as text, the true class or None
    where nobody knows it, its path, why a reader should look at it (UNUSUAL, READER or ""), and whether that is right
    where the names don't say it (of several findings, some of them known)."""

    pixels: NDArray[np.uint8]
    predicted: str
    probability: str
    true: str | None
    path: str
    mark: str = ""
    agrees: bool | None = None

    @property
    def right(self) -> bool:
        """Whether the prediction is true, or not known to be wrong."""
        return self.true is None or (self.predicted == self.true if self.agrees is None else self.agrees)


@styled
def montage(films: Sequence[Tile], columns: int = 6, of: str = "") -> Figure:
    """Draw the paper's Fig. 3: films with prediction, its probability, the truth, and whether that is right.

    ``of``: the class whose probability it is on every film, with the threshold; by default the one that is predicted.

    A wrong one has a thick broken frame, a cross and the word, one that goes to a reader a band with the words across
    it, so that both are seen in grey and with every kind of colour vision.
    """
    films = [Tile(*film) for film in films]
    several = any(film.agrees is not None for film in films)  # findings of a film take two lines
    columns = max(1, min(FINDINGS_COLUMNS if several else columns, len(films)))
    cell, text = WIDE / columns, (FILM_LINES + 2 * several) * LINE + 0.2
    side = cell - 0.14
    size = ceil(len(films) / columns) * (side + text) + 0.4
    figure = Figure(figsize=(WIDE, size))
    known = [film.right for film in films if film.true is not None]
    heading = f"{sum(known)} of {len(known)} films right" if known else f"{len(films)} films, truth not known"
    figure.text(0.07 / WIDE, 1 - 0.18 / size, heading, weight="bold", va="center")
    shown = f"probability of {label(of)}, threshold, prediction" if of else "probability, prediction"
    reading = f"under each: {shown}, {'what it is, ' if known else ''}file"
    figure.text(1 - 0.07 / WIDE, 1 - 0.18 / size, reading, va="center", ha="right")
    for number, film in enumerate(films):
        row, column = divmod(number, columns)
        top = size - 0.4 - row * (side + text)
        box = ((column * cell + 0.07) / WIDE, (top - side) / size, side / WIDE, side / size)
        _draw_film(figure.add_axes(box, xticks=[], yticks=[], facecolor=BLACK), film, cell - 0.1)
    return figure


FILM_LINES = 6
FINDINGS_COLUMNS = 4
LONELY = 3  # letters that are too few for a line of their own


def _draw_film(axes: Axes, film: Tile, width: float) -> None:
    pixels, predicted, probability, true, path, mark, _ = film
    right, several = film.right, film.agrees is not None
    verdict = "" if true is None else "✓ right" if right else "✗ WRONG"
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    axes.set(aspect="equal", adjustable="datalim")  # a square frame, whatever the film's shape
    frame = {"color": BLUE, "lw": 1.2} if right else {"color": VERMILLION, "lw": 4, "ls": (0, (2.5, 0.8))}
    for spine in axes.spines.values():
        spine.set(visible=True, capstyle="butt", **frame)
    if mark:
        write_mark(axes, mark)
    lines = [
        *([verdict] if verdict else []),
        *two_lines(probability, width),
        *(two_lines(predicted, width) if several else [fitted(predicted, width)]),
        *([] if true is None else two_lines(f"is {true}", width) if several else [f"is {fitted(true, width - 0.18)}"]),
        *two_lines(Path(path).stem, width),
    ]
    for number, line in enumerate(lines):
        axes.annotate(
            line,
            (0, 0),
            (-1, -5 - 72 * LINE * number),
            xycoords="axes fraction",
            textcoords="offset points",
            va="top",
            weight="bold" if number < (1 if right else 3) else "normal",
            annotation_clip=False,
        )


def write_mark(axes: Axes, mark: str) -> None:
    """Write across a film why it goes to a reader, whatever a model says of it: UNUSUAL or READER."""
    axes.text(
        0.5,
        0.93,
        f"⚠ {mark}",
        transform=axes.transAxes,
        ha="center",
        va="top",
        weight="bold",
        color=BLACK,
        bbox={"facecolor": YELLOW, "edgecolor": BLACK, "boxstyle": "square,pad=0.25"},
    )


def fitted(text: str, width: float) -> str:
    """Return ``text`` with as much of its middle left out as makes it fit into ``width`` inches."""
    shown = label(text)
    for length in range(len(shown) - 1, 2, -1):
        if _inches(shown) <= width:
            break
        shown = label(text, length)
    return shown


def two_lines(text: str, width: float) -> list[str]:
    """Return ``text`` in one line of ``width`` inches, or in two when that is too narrow; without its middle where only
    a letter or two would stand on the second."""
    shown = label(text)
    fits = max((n for n in range(1, len(shown) + 1) if _inches(shown[:n]) <= width), default=1)
    if fits < len(shown):  # better after a sign that joins words, when one is in the last half
        most = min(fits, len(shown) - LONELY)
        fits = max((n for n in range(fits // 2, most + 1) if shown[n - 1] in "-_. "), default=fits)
    if 0 < len(shown) - fits < LONELY:
        return [fitted(shown, width)]
    return [shown[:fits], *([fitted(shown[fits:], width)] if shown[fits:] else [])]


def _inches(text: str) -> float:
    """Return the breadth of ``text`` in bold 9-point letters."""
    return sum(map(_breadth, text))


@cache
def _breadth(letter: str) -> float:
    font = FT2Font(findfont(FontProperties(family="DejaVu Sans", weight="bold")))
    font.set_size(9, 72)
    return font.load_char(ord(letter)).linearHoriAdvance / 65536 / 72  # 16.16 fixed-point pixels, here points
