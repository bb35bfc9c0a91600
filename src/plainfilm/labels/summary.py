"""What is said beside a table of labels: counts, whether the films differ as a set, a picture of some of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.config import MONTAGE_FILMS
from plainfilm.data.films import FilmError
from plainfilm.data.sources import Loose
from plainfilm.labels.rows import films_in, looked
from plainfilm.models.answer import answer
from plainfilm.models.drift import FEWEST, Seen
from plainfilm.models.reads import Reads
from plainfilm.progress import say

Shown = tuple[Loose, Sequence[Any], int]  # a film, its row, which of its probabilities stands beside its label


@dataclass
class Counts:
    """Counts of the rows so far, and an even random sample of those with a label (Vitter 1985, algorithm R)."""

    draws: np.random.Generator
    films: int = 0
    referred: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    sample: list[Sequence[Any]] = field(default_factory=list)  # rows

    def add(self, row: Sequence[Any]) -> None:
        """Count one row of the table."""
        if row[1]:
            self.labels[row[1]] += 1
            self.referred += row[-2] == "yes"
            self._maybe_keep(row)
        self.films += 1

    def _maybe_keep(self, row: Sequence[Any]) -> None:
        seen = self.labels.total()
        place = len(self.sample) if seen <= MONTAGE_FILMS else int(self.draws.integers(seen))
        self.sample[place : place + 1] = [row] if place < MONTAGE_FILMS else self.sample[place : place + 1]

    @property
    def about(self) -> dict[str, Any]:
        """The counts, ready for JSON."""
        known = self.labels.total()
        counts = {"films": self.films, "labelled": known, "refused": self.films - known, "referred": self.referred}
        return {**counts, "labels": self.labels}


def as_a_set(seen: Seen, labelled: int) -> dict[str, Any]:
    """Return whether the films differ as a set from the training films, and say so; "judged" is of how many it is said:
    a sample, of several processes the first one's films, and none that were labelled before an interruption."""
    found = seen.change()
    if found:
        sample = f" Judged from {seen.films:,} of {labelled:,} films." if seen.films < labelled else ""
        say(f"WARNING: {found.sentence()}{sample}")
    judged = seen.films if seen.gate and seen.films >= FEWEST else 0
    measure = {"measure": found.measure, "p": found.p} if found else {}
    return {"judged": judged, "warning": found and found.sentence(), **measure}


def draw_montage(model: Reads, paths: Sequence[str], sample: Sequence[Sequence[Any]], picture: Path) -> None:
    """Draw the films of ``sample``, rows of the table, with their labels into the PNG ``picture``.

    They are decoded once more, so that none is kept while thousands go by.
    """
    from plainfilm.report.figures import Tile, montage, save
    from plainfilm.report.pictures import picture as small  # seconds of imports, for those who want a picture

    tiles = []
    for film, row, shown in found_again(model, paths, sample):
        if (grey := small(*film)) is not None:
            p = model.decision.weighed(np.array(row[2:-2], float), shown)
            tiles.append(Tile(grey, row[1], p, None, film[0], _mark(model, film, row)))
    save(montage(tiles, of=model.decision.decided_by), picture.parent, picture.name[: -len(".png")], ("png",))


def _mark(model: Reads, film: Loose, row: Sequence[Any]) -> str:
    """Return what is written across a film in the picture. The gate judges those for a reader once more: the row's
    reason is for people, and may join several."""
    from plainfilm.report.figures import mark_of

    if row[-2] != "yes":
        return ""
    _, seen = looked(model, film)
    gate = None if isinstance(seen, FilmError) else answer(model, seen).gate
    return mark_of(bool(gate and gate.reason), refer=True)


def found_again(model: Reads, paths: Sequence[str], sample: Sequence[Sequence[Any]]) -> list[Shown]:
    """Return the films of ``sample``: by path, since films may have come or gone meanwhile."""
    wanted = {row[0] for row in sample}
    there = {film[0]: film for film in films_in(paths) if film[0] in wanted}
    return [(there[row[0]], row, _shown(model, row)) for row in sample if row[0] in there]


def _shown(model: Reads, row: Sequence[Any]) -> int:
    """Return which of a row's probabilities stands beside its label: that of its class, or of its foremost finding."""
    if row[1] in model.classes:
        return model.classes.index(row[1])
    chances = np.array([float(cell) for cell in row[2 : 2 + len(model.classes)]])
    return int(model.decision.decide(chances[None])[0])
