"""Heat maps for films: a picture a film, a sheet of them, a table, and what the maps withstood."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.config import DISCLAIMER
from plainfilm.data.dicom import patient_of
from plainfilm.data.films import FilmError
from plainfilm.data.identity import find_patient, known_patterns
from plainfilm.data.sources import Loose, loose
from plainfilm.errors import InputError, did_you_mean
from plainfilm.explain.checks import check_films, outside_thorax, summary
from plainfilm.explain.heatmaps import FILMS_AT_ONCE, METHODS, Map, heat_map, on_film, seen
from plainfilm.explain.overlay import WARNING, reduced
from plainfilm.image.decode import decoded
from plainfilm.models.model import Model, batches
from plainfilm.progress import Bar, bar
from plainfilm.report.maps import Explained, picture, save_picture, sheet, write_maps_page
from plainfilm.storage import folders
from plainfilm.storage.files import SUMS, sealed, write_json
from plainfilm.storage.tables import write_csv

HEADER = ("path", "label", "p", "explained", "outside_thorax", "outside_thorax_even", "map", "reason")
SHEET_FILMS = 24
LONGEST = 640  # pixels of a film's longer side in a picture
NAME_LETTERS = 60
WRITTEN = (folders.MAPS_TABLE, folders.MAPS, folders.MAPS_PAGE, "sheet.png", SUMS, "maps")
NO_MAP = "nothing in the film speaks for this class: no map"


def explain(
    run: Path,
    paths: Sequence[str],
    out: Path,
    *,
    explained: str = "",
    method: str = METHODS[0],
    checks: int = SHEET_FILMS,
    seed: int = 0,
    force: bool = False,
    precision: str = "auto",
) -> dict[str, Any]:
    """Draw a heat map for every film in ``paths`` (films, folders, zips) into ``out``; return explain.json.

    ``explained``: the class to explain (default: the one that the model decides for); ``checks``: how many films,
    drawn by ``seed``, the slow checks look at (0: none). Writes what WRITTEN names, the table only when every film is
    done. InputError for an unknown class, films none of which can be read, or anything of that name in ``out`` and no
    ``force``.
    """
    folders.require_free(out, folders.HEAT_MAPS, force=force, written=WRITTEN)
    model = Model.load(run, precision)  # of the probabilities: gradients, and so the maps, are taken in 32 bits
    if explained and explained not in model.classes:
        raise InputError(f"The model has no class '{explained}'.{did_you_mean(explained, model.classes)}")
    films = [film for path in paths for film in loose(path)]
    if checks < 0:
        raise InputError(f"--checks {checks}: expected a number of films, 0 for none.")
    drawn = set(np.random.default_rng(seed).permutation(len(films))[:checks].tolist())
    desk = _Desk(model, explained, method, drawn, known_patterns(path for path, _ in films))
    with sealed(out):
        _remove_earlier(out)
        with bar("Drawing heat maps", len(films)) as progress:
            write_csv(out / folders.MAPS_TABLE, HEADER, list(desk.rows(films, out, progress)))
        save_picture(sheet(desk.sheet), out / "sheet.png")
        result: dict[str, Any] = {
            "films": len(films),
            "mapped": len(desk.outside),
            "refused": desk.refused,
            "empty_maps": desk.empty,
        }
        result |= {"model": model.name, "model_sha256": model.hash, "method": method, **desk.checked(seed)}
        result |= {"warning": WARNING, "disclaimer": DISCLAIMER}
        write_json(out / folders.MAPS, result)
        write_maps_page(out, result, desk.links)
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


@dataclass
class _Desk:
    """Films in, rows and pictures out; keeps figures of all films, and pixels only of those that are checked."""

    model: Model
    explained: str
    method: str
    drawn: set[int]  # which films the slow checks look at
    patterns: tuple[str, ...]  # by which a path names its patient
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
                    yield (path, "", "", "", "", "", "", film)
                else:
                    self.patients.append(film[2] or find_patient(path, *self.patterns) or path)
                    yield self._row(number, path, film[0], *next(maps), out)
                progress.step()

    def _decoded(self, reader: Callable[[], bytes]) -> tuple[np.ndarray, np.ndarray, str] | str:
        """Return all of a film's pixels, those the network sees and what the header says of the patient, or why it
        can't be read."""
        try:
            data = reader()
            grey, header = decoded(data)
            return grey, self.model.preprocess.read(data, grey), "" if header is None else patient_of(header)
        except FilmError as error:
            return str(error)

    def _mapped(self, films: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray, int, Map]]:
        """Yield pixels, probabilities, the class explained and the map of each film."""
        if not films:
            return
        pixels = np.stack(films)
        probabilities = self.model.probabilities(pixels)
        targets = self.model.decision.decide(probabilities)
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
            self.model.classes[int(self.model.decision.decide(p[None])[0])],
            self.model.classes[target],
            float(p[target]),
            small,
            on_film(heat, self.model.preprocess, width, height, (small.shape[1], small.shape[0])),
            (part.left / width, part.top / height, part.width / width, part.height / height),
            outside,
            self._flagged(pixels),
        )
        name = f"maps/{number + 1:05d}-{_file_name(path)}.png"
        save_picture(picture(film), out / name)
        if number in self.drawn:
            self.chosen.append((pixels, target, len(self.outside)))
        if len(self.sheet) < SHEET_FILMS:
            self.sheet.append(film)
        self.outside.append(outside)
        self.empty += not heat.any()
        self.links.append((path, film.said, f"{film.p:.3f}", name))
        shares = ["" if np.isnan(share) else share for share in outside]
        return (path, film.said, film.p, film.explained, *shares, name, "" if heat.any() else NO_MAP)

    def _flagged(self, pixels: np.ndarray) -> str:
        """Return why a film looks unlike the training films; empty when it does not."""
        return (self.model.gate.judge(pixels[None])[0].reason or "") if self.model.gate else ""

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
        told = summary(found, [self.outside[i] for i in order], [self.patients[i] for i in order])
        return {**told, "films_checked": len(found), "each_film_checked": [asdict(check) for check in found]}


def _file_name(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(path).stem)[:NAME_LETTERS].strip(".-") or "film"
