"""Labels for films, folders and zips, in a table; films stream through, so a million need no more memory than one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.commands.training import MONTAGE_FILMS, thumbnail
from plainfilm.data.films import FilmError
from plainfilm.data.sources import loose
from plainfilm.errors import InputError
from plainfilm.files import write_csv
from plainfilm.image.decode import decode
from plainfilm.models.model import BATCH, Model, batches
from plainfilm.progress import Bar, bar
from plainfilm.report.figures import montage, save

Loose = tuple[str, Callable[[], bytes]]  # path as given, reader

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so would be run by a spreadsheet


def label(
    run: Path, paths: Sequence[str], out: Path, picture: Path | None = None, seed: int = 0, force: bool = False
) -> dict[str, Any]:
    """Label every film in ``paths`` (films, folders, zips) with the model of ``run`` into the CSV ``out``.

    One row a film: path, label, a probability a class, refer, reason; a film that can't be read has no label, and
    its reason. ``picture``: a PNG of up to 30 of them, drawn at random. Returns counts: films, labelled, refused, and
    labels by class. InputError when no film can be read, or a file is in the way and ``force`` is not given.
    """
    for place in (out, picture):
        if place and place.exists() and not force:
            raise InputError(f"{place} exists; choose another name, or add --force to replace it.")
    films = [film for path in paths for film in loose(path)]
    desk = _Desk(Model.load(run), np.random.default_rng(seed) if picture else None)
    header = ("path", "label", *(f"p_{name}" for name in desk.model.classes), "refer", "reason")
    with bar("Labelling films", len(films)) as progress:
        rows = desk.rows(films, progress)
        first = next(rows)
        if len(films) == 1 and desk.refused:
            raise InputError(f"{films[0][0]} can't be labelled: {first[-1]}.")
        write_csv(out, header, chain([first], rows))
    if picture:
        save(montage(desk.tiles), picture.parent, picture.stem)
    return {"films": len(films), "labelled": len(films) - desk.refused, "refused": desk.refused, "labels": desk.counts}


@dataclass
class _Desk:
    """Films in, rows out; keeps only counts and the few films that the picture will show."""

    model: Model
    draws: np.random.Generator | None  # None: no picture is wanted
    counts: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    tiles: list[tuple[Any, ...]] = field(default_factory=list)

    def rows(self, films: Sequence[Loose], progress: Bar) -> Iterator[tuple[Any, ...]]:
        """Yield one row of the table a film, in the order given."""
        for batch in batches(films, BATCH):
            decoded = [self._decoded(reader) for _, reader in batch]
            grey = [g for g in decoded if isinstance(g, np.ndarray)]
            probabilities = iter(self.model.predict_proba(grey))
            for (path, _), found in zip(batch, decoded, strict=True):
                if isinstance(found, str):
                    self.refused += 1
                    yield (safe(path), "", *("" for _ in self.model.classes), "yes", found)
                else:
                    yield self._labelled(path, found, next(probabilities))
                progress.step()

    @staticmethod
    def _decoded(reader: Callable[[], bytes]) -> np.ndarray | str:
        try:
            return decode(reader())
        except FilmError as error:
            return str(error)

    def _labelled(self, path: str, grey: np.ndarray, probabilities: np.ndarray) -> tuple[Any, ...]:
        said = int(self.model.decide(probabilities[None])[0])
        name = self.model.classes[said]
        self.counts[name] += 1
        if self.draws is not None:
            self._maybe_keep((thumbnail(grey), name, float(probabilities[said]), None, path))
        return (safe(path), name, *probabilities.tolist(), "no", "")

    def _maybe_keep(self, tile: tuple[Any, ...]) -> None:
        """Keep an even random sample of all films so far (Vitter 1985, algorithm R)."""
        assert self.draws is not None
        seen = sum(self.counts.values())
        if seen <= MONTAGE_FILMS:
            self.tiles.append(tile)
        elif (place := int(self.draws.integers(seen))) < MONTAGE_FILMS:
            self.tiles[place] = tile


def safe(cell: str) -> str:
    """Return ``cell``, with an apostrophe before what a spreadsheet would take for a formula."""
    return "'" + cell if cell.startswith(FORMULA) else cell
