"""Heat maps drawn: a film with its map, a sheet of films, and the page that shows what the maps withstood."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from plainfilm.config import DISCLAIMER
from plainfilm.explain.films import Explained
from plainfilm.explain.overlay import WARNING, blended, palette
from plainfilm.report.figures import DPI, LINE, WIDE, label, mark_of, styled, write_mark
from plainfilm.storage import folders
from plainfilm.storage.files import replacing, write_text

SHEET_COLUMNS = 4
NOT_SEEN = "#C8C8C8"

MEANINGS = {
    "randomised_all": "Rank correlation with the maps of the same network, all weights shuffled (near 0 is right)",
    "randomised_head": "The same, only the last layer shuffled",
    "deletion": "Area under the deletion curve (lower is better)",
    "deletion_shuffled": "The same for the map with its cells shuffled",
    "deletion_gain": "Difference (above 0 is right)",
    "insertion": "Area under the insertion curve (higher is better)",
    "insertion_shuffled": "The same for the map with its cells shuffled",
    "insertion_gain": "Difference (above 0 is right)",
    "blank": "Share of films that keep their class when painted one grey (0 is right)",
    "outside_thorax": "Share of the map outside the thorax (a box with round corners)",
    "outside_thorax_even": "The same for an even map",
    "outside_thorax_excess": "Difference (not above 0 is right)",
}


@styled
def picture(film: Explained) -> Figure:
    """Draw a film, the film with its map over it, and the map alone with its scale; the dashed line is what it saw."""
    panel = (WIDE - 1.0) / 3
    tall = min(1.6, film.shown.shape[0] / film.shown.shape[1]) * panel
    height = tall + 1.3
    figure = Figure(figsize=(WIDE, height))
    figure.text(0.1 / WIDE, 1 - 0.17 / height, label(Path(film.path).name, 84), weight="bold", va="center")
    figure.text(0.1 / WIDE, 1 - (0.17 + 1.2 * LINE) / height, _said(film), va="center")
    for number, (title, draw) in enumerate((("Film", _film), ("Map over the film", _over), ("Map alone", _alone))):
        box = ((0.1 + number * (panel + 0.08)) / WIDE, 0.5 / height, panel / WIDE, tall / height)
        axes = figure.add_axes(box, xticks=[], yticks=[])
        draw(axes, film)
        axes.set_title(title, fontsize=9, weight="normal", pad=3)
    _scale(figure, ((WIDE - 0.62) / WIDE, 0.5 / height, 0.1 / WIDE, tall / height))
    figure.text(0.1 / WIDE, 0.3 / height, f"{_dashed(film)}{WARNING}", va="center")
    figure.text(0.1 / WIDE, (0.3 - LINE) / height, DISCLAIMER, va="center")
    return figure


def _said(film: Explained) -> str:
    whose = "" if film.explained == film.said else f"; shown: evidence for {label(film.explained, 30)}"
    told = f"Decided: {label(film.said, 30)} ({label(film.decided, 60)}){whose}."
    if film.unusual:
        told = f"⚠ Unusual: {label(film.unusual, 60)}. {told}"
    elif film.refers:
        told = f"For a reader. {told}"
    if not film.heat.any():
        return f"{told} No map: nothing speaks for it."
    return f"{told} Outside the thorax: {100 * film.outside[0]:.0f} % of the map (even: {100 * film.outside[1]:.0f} %)."


def _dashed(film: Explained) -> str:
    return "Dashed: what the model saw. " if max(film.part[:2]) > 0 else ""


def _film(axes: Axes, film: Explained) -> None:
    axes.imshow(film.shown, cmap="gray", vmin=0, vmax=255)
    _frame(axes, film, "white")


def _over(axes: Axes, film: Explained) -> None:
    axes.imshow(blended(film.shown, film.heat))
    _frame(axes, film, "white")


def _alone(axes: Axes, film: Explained) -> None:
    height, width = film.heat.shape
    left, top, across, down = film.part
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    looked_at = ((y >= top) & (y <= top + down))[:, None] & ((x >= left) & (x <= left + across))
    axes.set_facecolor(NOT_SEEN)
    axes.imshow(np.ma.masked_where(~looked_at, film.heat), cmap=_colours(), vmin=0, vmax=1)
    _frame(axes, film, "white")


def _colours() -> ListedColormap:
    return ListedColormap(palette() / 255)


def _frame(axes: Axes, film: Explained, colour: str) -> None:
    """Mark what the model saw, where that is not the whole film."""
    height, width = film.shown.shape
    left, top, across, down = film.part
    if left > 0:
        for x in (left * width, (left + across) * width):
            axes.axvline(x - 0.5, color=colour, lw=0.8, ls=(0, (4, 3)))
    if top > 0:
        for y in (top * height, (top + down) * height):
            axes.axhline(y - 0.5, color=colour, lw=0.8, ls=(0, (4, 3)))


def _scale(figure: Figure, box: tuple[float, float, float, float]) -> None:
    axes = figure.add_axes(box)
    scale = figure.colorbar(ScalarMappable(cmap=_colours()), cax=axes, ticks=[0, 0.5, 1])
    scale.set_label("Evidence (1: strongest)", labelpad=2)
    scale.outline.set_linewidth(0.5)  # type: ignore[operator]


@styled
def sheet(films: Sequence[Explained]) -> Figure:
    """Draw films with their maps over them, four in a row; under each the probability that decided beside its
    threshold, the class that the map is of, and the name."""
    columns = min(SHEET_COLUMNS, len(films))
    rows = -(-len(films) // SHEET_COLUMNS)
    cell = WIDE / SHEET_COLUMNS
    side, text = cell - 0.12, 5 * LINE + 0.12
    height = rows * (side + text) + 0.62
    figure = Figure(figsize=(max(WIDE, columns * cell), height))
    figure.text(
        0.06 / WIDE, 1 - 0.16 / height, "Evidence for the class named below each film", weight="bold", va="center"
    )
    figure.text(0.06 / WIDE, 1 - (0.16 + 1.1 * LINE) / height, WARNING, va="center")
    for number, film in enumerate(films):
        row, column = divmod(number, SHEET_COLUMNS)
        bottom = height - 0.5 - row * (side + text) - side
        box = ((column * cell + 0.06) / WIDE, bottom / height, side / WIDE, side / height)
        axes = figure.add_axes(box, xticks=[], yticks=[], facecolor="black")
        axes.imshow(blended(film.shown, film.heat))
        axes.set(aspect="equal", adjustable="datalim")
        if mark := mark_of(bool(film.unusual), film.refers):
            write_mark(axes, mark)
        of = f"map: {label(film.explained, 18)}" if film.heat.any() else "no map"
        lines = (label(film.whose, 18), film.weighed or film.told, of, label(Path(film.path).stem, 22))
        axes.annotate("\n".join(lines), (0, 0), (0, -4), xycoords="axes fraction", textcoords="offset points", va="top")
    return figure


def save_picture(figure: Figure, path: Path) -> None:
    """Write ``figure`` to ``path`` as PNG; the same figure, the same bytes."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None}, facecolor="white")


def write_maps_page(out: Path, told: dict[str, Any], links: list[tuple[str, str, str, str]]) -> None:
    """Write ``out``/index.html: explain.json's findings, the sheet beside it, a link to each picture.

    links: (path, label, what decided, picture's name) of each film.
    """
    environment = Environment(
        loader=PackageLoader("plainfilm.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    picture = base64.b64encode((out / "sheet.png").read_bytes()).decode()
    page = environment.get_template("maps.html").render(
        told=told, links=links, sheet=f"data:image/png;base64,{picture}", meanings=MEANINGS
    )
    write_text(out / folders.MAPS_PAGE, page)
