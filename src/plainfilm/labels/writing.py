"""The table of labels, written row by row: what an interrupted run left goes on, and several processes share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from plainfilm.data.sources import Loose
from plainfilm.errors import InputError
from plainfilm.labels.rows import Row, films_in, header, labelled
from plainfilm.machine import ranks
from plainfilm.models.reads import Reads
from plainfilm.progress import bar
from plainfilm.storage.tables import csv_rows, growing_csv

Counter = Callable[[Sequence[Any]], None]


@dataclass(frozen=True)
class Work:
    """The ``count`` films of ``paths``, to be labelled by ``make``; with ``resume`` what an interrupted run of the same
    model left is kept."""

    model: Reads
    make: Row
    paths: Sequence[str]
    count: int
    resume: bool

    def parts(self, out: Path) -> list[Path]:
        """Let each process that torchrun started label every N-th film into a part beside ``out``; return the parts'
        places, none where this process is alone."""
        if ranks.world() == 1:
            return []
        parts = [
            out.with_name(f".{out.name[:180]}.{self._tag}.{n}-of-{ranks.world()}.csv") for n in range(ranks.world())
        ]
        resume = self.resume or ranks.restarted()
        with ranks.together():
            if not (resume and parts[ranks.rank()].exists()):
                own = islice(films_in(self.paths), ranks.rank(), None, ranks.world())
                one = replace(self, resume=resume, count=len(ranks.turns(self.count)))
                one._write(parts[ranks.rank()], True, own)
        return parts

    def write(self, out: Path, force: bool, parts: Sequence[Path], counted: Counter) -> None:
        """Write the table ``out``, from ``parts`` that are done where there are any; ``counted`` is told each row.

        InputError where the rows that are kept are of other films.
        """
        self._write(out, force, films_in(self.paths), parts, counted)
        for part in parts:
            part.unlink()

    def _write(
        self,
        out: Path,
        force: bool,
        films: Iterator[Loose],
        parts: Sequence[Path] = (),
        counted: Counter = lambda row: None,
    ) -> None:
        names, done = header(self.model), 0
        with (
            growing_csv(out, names, self._tag, self.resume, force) as rows,
            bar("Labelling films", self.count) as progress,
        ):
            for begun in rows.kept:
                _require_same_film(begun, next(films, None), out)
                counted(begun)
                done += 1
            progress.step(done)
            for row in _merged(parts, films, len(names), done, out) if parts else labelled(self.make, films):
                rows.write(row)
                counted(row)
                progress.step()

    @property
    def _tag(self) -> str:
        """What makes the rows; engines differ in their last digits, so that none goes on with another's."""
        return f"{self.model.hash[:12]}-{self.model.engine}"


def _merged(parts: Sequence[Path], films: Iterator[Loose], cells: int, done: int, out: Path) -> Iterator[Sequence[Any]]:
    """Yield the rows of all processes' parts in the order of ``films``, of which ``done`` have gone before."""
    tables = [csv_rows(part, cells) for part in parts]
    for number in range(done):
        next(tables[number % len(tables)])
    for number, film in enumerate(films, done):
        row = next(tables[number % len(tables)])
        _require_same_film(row, film, out)
        yield row


def _require_same_film(row: Sequence[str], film: Loose | None, out: Path) -> None:
    if film is None or row[0] != film[0]:
        raise InputError(f"{out} was begun with other films; leave out --resume to begin again.")
