"""Heat maps for films: a picture a film, a sheet of them, a table, and what the maps withstood."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from plainfilm.commands.label import Loose, safe
from plainfilm.config import DISCLAIMER
from plainfilm.data.films import FilmError, find_patient
from plainfilm.data.sources import loose
from plainfilm.errors import InputError, did_you_mean
from plainfilm.explain.checks import check_films, outside_thorax, summary
from plainfilm.explain.heatmaps import FILMS_AT_ONCE, METHODS, Map, heat_map, on_film, seen
from plainfilm.explain.overlay import WARNING, blended, palette, reduced
from plainfilm.files import locked, replacing, write_csv, write_json, write_text
from plainfilm.image.decode import decode
from plainfilm.models.model import Model, batches
from plainfilm.progress import Bar, bar
from plainfilm.report.figures import DPI, LINE, WIDE, label, styled

HEADER = ("path", "label", "p", "explained", "outside_thorax", "outside_thorax_even", "map", "reason")
SHEET_FILMS = 24
SHEET_COLUMNS = 4
LONGEST = 640  # pixels of a film's longer side in a picture
NAME_LETTERS = 60
NOT_SEEN = "#C8C8C8"
NO_MAP = "nothing in the film speaks for this class: no map"


@dataclass(frozen=True)
class Explained:
    """One film with its map. ``shown`` is the film as drawn, ``heat`` the map over it."""

    path: str
    said: str
    explained: str
    p: float  # of the class explained
    shown: np.ndarray  # (H, W) uint8
    heat: Map  # (H, W)
    part: tuple[float, float, float, float]  # left, top, width, height of what the model saw, in shares of the film
    outside: tuple[float, float]


def explain(
    run: Path,
    paths: Sequence[str],
    out: Path,
    explained: str = "",
    method: str = METHODS[0],
    checks: int = SHEET_FILMS,
    seed: int = 0,
    force: bool = False,
) -> dict[str, Any]:
    """Draw a heat map for every film in ``paths`` (films, folders, zips) into ``out``; return explain.json.

    ``explained``: the class to explain (default: the one that the model decides for); ``checks``: how many films,
    drawn by ``seed``, the slow checks look at (0: none). Writes explain.csv, explain.json, index.html, sheet.png and
    maps/. InputError for an unknown class, films none of which can be read, or an ``out`` in use without ``force``.
    """
    if (out / "explain.csv").exists() and not force:
        raise InputError(f"{out} holds heat maps already; choose another --out, or add --force to replace them.")
    model = Model.load(run)
    if explained and explained not in model.classes:
        raise InputError(f"The model has no class '{explained}'.{did_you_mean(explained, model.classes)}")
    films = [film for path in paths for film in loose(path)]
    if checks < 0:
        raise InputError(f"--checks {checks}: expected a number of films, 0 for none.")
    desk = _Desk(model, explained, method, set(np.random.default_rng(seed).permutation(len(films))[:checks].tolist()))
    with locked(out):
        with bar("Drawing heat maps", len(films)) as progress:
            write_csv(out / "explain.csv", HEADER, list(desk.rows(films, out, progress)))
        _save(sheet(desk.sheet), out / "sheet.png")
        result: dict[str, Any] = {
            "films": len(films),
            "mapped": len(desk.outside),
            "refused": desk.refused,
            "empty_maps": desk.empty,
        }
        result |= {"model": model.name, "model_sha256": model.hash, "method": method, **desk.checked(seed)}
        result |= {"warning": WARNING, "disclaimer": DISCLAIMER}
        write_json(out / "explain.json", result)
        _write_page(out, result, desk.links)
    return result


@dataclass
class _Desk:
    """Films in, rows and pictures out; keeps figures of all films, and pixels only of those that are checked."""

    model: Model
    explained: str
    method: str
    drawn: set[int]  # which films the slow checks look at
    refused: int = 0
    empty: int = 0
    outside: list[tuple[float, float]] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)
    chosen: list[tuple[np.ndarray, int, int]] = field(default_factory=list)  # pixels, class, place in ``outside``
    sheet: list[Explained] = field(default_factory=list)
    links: list[tuple[str, str, str, str]] = field(default_factory=list)  # path, label, p, map

    def rows(self, films: Sequence[Loose], out: Path, progress: Bar) -> Iterator[tuple[Any, ...]]:
        """Yield one row of explain.csv a film, in the order given. InputError when no film can be read."""
        for batch in batches(enumerate(films), FILMS_AT_ONCE):
            read = [(number, path, self._decoded(reader)) for number, (path, reader) in batch]
            maps = self._mapped([film[1] for _, _, film in read if not isinstance(film, str)])
            for number, path, film in read:
                if isinstance(film, str):
                    self.refused += 1
                    if self.refused == len(films):
                        raise InputError(f"{path} can't be explained: {film}.")
                    yield (safe(path), "", "", "", "", "", "", film)
                else:
                    yield self._row(number, path, film[0], *next(maps), out)
                progress.step()

    def _decoded(self, reader: Callable[[], bytes]) -> tuple[np.ndarray, np.ndarray] | str:
        """Return all of a film's pixels and those the network sees, or why it can't be read."""
        try:
            data = reader()
            grey = decode(data)
            return grey, self.model.preprocess.read(data, grey)
        except FilmError as error:
            return str(error)

    def _mapped(self, films: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray, int, Map]]:
        """Yield pixels, probabilities, the class explained and the map of each film."""
        if not films:
            return
        pixels = np.stack(films)
        probabilities = self.model.probabilities(pixels)
        targets = self.model.decide(probabilities)
        if self.explained:
            targets = np.full(len(films), self.model.classes.index(self.explained))
        yield from zip(
            pixels, probabilities, targets.tolist(), heat_map(self.model, pixels, targets, self.method), strict=True
        )

    def _row(
        self,
        number: int,
        path: str,
        grey: np.ndarray,
        pixels: np.ndarray,
        p: np.ndarray,
        target: int,
        heat: Map,
        out: Path,
    ) -> tuple[Any, ...]:
        height, width = grey.shape
        small, part = reduced(grey, LONGEST), seen(self.model.preprocess, width, height)
        outside = outside_thorax(heat, self.model.preprocess, width, height)
        film = Explained(
            path,
            self.model.classes[int(self.model.decide(p[None])[0])],
            self.model.classes[target],
            float(p[target]),
            small,
            on_film(heat, self.model.preprocess, width, height, (small.shape[1], small.shape[0])),
            (part.left / width, part.top / height, part.width / width, part.height / height),
            outside,
        )
        name = f"maps/{number + 1:05d}-{_file_name(path)}.png"
        _save(picture(film), out / name)
        if number in self.drawn:
            self.chosen.append((pixels, target, len(self.outside)))
        if len(self.sheet) < SHEET_FILMS:
            self.sheet.append(film)
        self.outside.append(outside)
        self.patients.append(find_patient(path) or path)
        self.empty += not heat.any()
        self.links.append((path, film.said, f"{film.p:.3f}", name))
        shares = ["" if np.isnan(share) else share for share in outside]
        return (safe(path), film.said, film.p, film.explained, *shares, name, "" if heat.any() else NO_MAP)

    def checked(self, seed: int) -> dict[str, Any]:
        """Return the checks' part of explain.json: the films that were drawn for them come first."""
        places = [place for _, _, place in self.chosen]
        order = places + sorted(set(range(len(self.outside))) - set(places))
        found = []
        if self.chosen:
            with bar("Checking the maps", len(self.chosen)) as progress:
                pixels = np.stack([p for p, _, _ in self.chosen])
                targets = np.array([t for _, t, _ in self.chosen])
                rng = np.random.default_rng(seed)
                found = check_films(self.model, pixels, targets, self.method, rng, progress.step)
        told = summary(found, [self.outside[i] for i in order], [self.patients[i] for i in order], seed)
        return {**told, "films_checked": len(found), "each_film_checked": [asdict(check) for check in found]}


def _file_name(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(path).stem)[:NAME_LETTERS].strip(".-") or "film"


# -- pictures ---------------------------------------------------------------------------------------------------------


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
    told = f"Decided: {label(film.said, 30)}{whose} (probability {film.p:.3f})."
    if not film.heat.any():
        return f"{told} No map: nothing speaks for it."
    return f"{told} Outside the thorax: {film.outside[0]:.0%} of the map (even: {film.outside[1]:.0%})."


def _dashed(film: Explained) -> str:
    return "Dashed: what the model saw. " if film.part != (0, 0, 1, 1) else ""


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
    """Draw films with their maps over them, four in a row, under each the decision, its probability and the name."""
    columns = min(SHEET_COLUMNS, len(films))
    rows = -(-len(films) // SHEET_COLUMNS)
    cell = WIDE / SHEET_COLUMNS
    side, text = cell - 0.12, 3 * LINE + 0.12
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
        note = "" if film.heat.any() else ", no map"
        lines = (f"{film.p:.2f} {label(film.explained, 18)}{note}", label(Path(film.path).stem, 22))
        axes.annotate("\n".join(lines), (0, 0), (0, -4), xycoords="axes fraction", textcoords="offset points", va="top")
    return figure


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None}, facecolor="white")


# -- the page ---------------------------------------------------------------------------------------------------------

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

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Heat maps of {{ told.model }}</title>
<style>{% include "style.css" %}</style></head>
<body><header><h1>Heat maps of {{ told.model }}</h1>
<p class="lead">{{ told.mapped }} of {{ told.films }} films, {{ told.method }}. {{ told.empty_maps }} without a map,
{{ told.refused }} could not be read. Checked on {{ told.films_checked }}.</p>
<p class="banner">{{ told.warning }}</p></header>
<main><section class="verdict" aria-labelledby="v"><h2 id="v">What the maps withstood</h2>
{% if told.red_lines %}<ul class="red">
{% for line in told.red_lines %}<li><strong>Red line:</strong> {{ line }}</li>{% endfor %}</ul>{% endif %}
<ul>{% for line in told.findings %}<li>{{ line }}</li>{% endfor %}</ul></section>
<section><h2>Films</h2><figure><div class="sheet wide" role="region" aria-label="Films with maps" tabindex="0">
<img src="{{ sheet }}" alt="Up to 24 films with their heat maps over them" style="width: 1080px"></div>
<figcaption>Violet is little evidence, yellow the strongest in that film; grey is none, or was not seen by the model.
</figcaption></figure></section>
<section><h2>Checks</h2><div class="scroll" role="region" aria-label="Checks" tabindex="0"><table class="names">
<thead><tr><th scope="col">Check</th><th scope="col">Mean</th><th scope="col">95 % interval</th>
<th scope="col">Films</th></tr></thead><tbody>
{% for name, meaning in meanings.items() %}{% set s = told.checks[name] %}<tr><th scope="row">{{ meaning }}</th>
{% if s.films %}<td>{{ "%.2f"|format(s.value) }}</td>
<td>{% if s.low == s.low %}{{ "%.2f to %.2f"|format(s.low, s.high) }}{% else %}one patient{% endif %}</td>
{% else %}<td>not done</td><td></td>{% endif %}<td>{{ s.films }}</td></tr>
{% endfor %}</tbody></table></div></section>
<section><h2>Every film</h2><details><summary>{{ links|length }} pictures</summary><ul>
{% for path, said, p, map in links %}<li><a href="{{ map }}">{{ path }}</a>: {{ said }} {{ p }}</li>{% endfor %}
</ul></details></section></main>
<footer><p><strong>{{ told.disclaimer }}</strong></p></footer></body></html>
"""


def _write_page(out: Path, told: dict[str, Any], links: list[tuple[str, str, str, str]]) -> None:
    environment = Environment(
        loader=PackageLoader("plainfilm.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    picture = base64.b64encode((out / "sheet.png").read_bytes()).decode()
    page = environment.from_string(PAGE).render(
        told=told, links=links, sheet=f"data:image/png;base64,{picture}", meanings=MEANINGS
    )
    write_text(out / "index.html", page)
