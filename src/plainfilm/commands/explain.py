"""``plainfilm explain``: heat maps of films: a picture a film, a sheet, a table, and what the maps withstood."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.config import DISCLAIMER
from plainfilm.data.sources import Loose, loose
from plainfilm.explain.films import CHECKED, Explained, Explainer
from plainfilm.explain.overlay import WARNING
from plainfilm.export.opened import Foreign, opened
from plainfilm.progress import bar
from plainfilm.report.maps import picture, save_picture, sheet, write_maps_page
from plainfilm.storage import folders
from plainfilm.storage.files import SUMS, sealed, write_json
from plainfilm.storage.tables import write_csv

HEADER = ("path", "label", "p", "explained", "outside_thorax", "outside_thorax_even", "map", "reason")
SHEET_FILMS = 24
NAME_LETTERS = 60
WRITTEN = (folders.MAPS_TABLE, folders.MAPS, folders.MAPS_PAGE, "sheet.png", SUMS, "maps")
NO_MAP = "nothing in the film speaks for this class: no map"


def explain(
    run: Path,
    paths: Sequence[str],
    out: Path,
    *,
    explained: str = "",
    method: str = "",
    checks: int = CHECKED,
    seed: int = 0,
    force: bool = False,
    precision: str = "auto",
    preprocess: str = "",
    classes: str = "",
) -> dict[str, Any]:
    """Draw heat maps for every film in ``paths`` (films, folders, zips) into ``out``; return explain.json.

    ``explained``: the class to explain (default: the one that the model decides for), of several findings "NAME,NAME"
    or "all" (default: those that it calls, else the nearest to its threshold); ``method``: see
    ``explain.heatmaps.method_for``; ``checks``: how many films, drawn by ``seed``, the slow checks look at (0: none);
    ``preprocess`` and ``classes``: of another program's .onnx file, see ``ForeignModel.load``. Writes what WRITTEN
    names, the table only when every film is done. InputError for an unknown class, films none of which can be read, or
    anything of that name in ``out`` and no ``force``.
    """
    folders.require_free(out, folders.HEAT_MAPS, force=force, written=WRITTEN)
    # ``precision`` is of the probabilities: gradients, and so the maps, are taken in 32 bits
    model = opened(run, precision, foreign=Foreign(preprocess, classes))
    films = [film for path in paths for film in loose(path)]
    explainer = Explainer.of(model, films, explained, method, checks, seed)
    with sealed(out):
        _remove_earlier(out)
        rows, shown, links = _drawn(explainer, films, out)
        write_csv(out / folders.MAPS_TABLE, HEADER, rows)
        save_picture(sheet(shown), out / "sheet.png")
        result: dict[str, Any] = {
            "films": len(films),
            "mapped": explainer.mapped,
            "maps": len(explainer.outside),
            "refused": explainer.refused,
            "empty_maps": explainer.empty,
        }
        result |= {
            "model": model.name,
            "model_sha256": model.hash,
            "method": explainer.method,
            **explainer.checked(seed),
        }
        result |= {"warning": WARNING, "disclaimer": DISCLAIMER}
        write_json(out / folders.MAPS, result)
        write_maps_page(out, result, links)
    return result


def _remove_earlier(out: Path) -> None:
    """Remove what an earlier run left, the sums first: they may be another model's maps, and none of it shall stand
    beside this one's, should it be interrupted."""
    for name in (SUMS, *WRITTEN):
        if (out / name).is_file():
            (out / name).unlink()
    for left in (out / "maps").glob("*.png"):
        if re.match(r"\d{5,}-", left.name):
            left.unlink()


def _drawn(
    explainer: Explainer, films: Sequence[Loose], out: Path
) -> tuple[list[tuple[Any, ...]], list[Explained], list[tuple[str, str, str, str]]]:
    """Draw every film; return the rows of the table, the films of the sheet, and path, label, what decided and map of
    each."""
    rows: list[tuple[Any, ...]] = []
    shown: list[Explained] = []
    links: list[tuple[str, str, str, str]] = []
    with bar("Drawing heat maps", len(films)) as progress:
        for number, path, film in explainer.each(films):
            if isinstance(film, str):
                rows.append((path, "", "", "", "", "", "", film))
            else:
                for one in film:
                    whose = f"-{_file_name(one.explained)}" * explainer.several
                    name = f"maps/{number + 1:05d}-{_file_name(path)}{whose}.png"
                    save_picture(picture(one), out / name)
                    rows.append(_row(one, name))
                    links.append((path, one.explained if whose else one.said, one.decided, name))
                    shown += [one] * (len(shown) < SHEET_FILMS)
            progress.step()
    return rows, shown, links


def _row(film: Explained, name: str) -> tuple[Any, ...]:
    shares = ["" if np.isnan(share) else share for share in film.outside]
    return (film.path, film.said, film.p, film.explained, *shares, name, "" if film.heat.any() else NO_MAP)


def _file_name(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(path).stem)[:NAME_LETTERS].strip(".-") or "film"
