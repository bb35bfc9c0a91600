"""Labels for films, folders and zips, in a table; films stream through, and an interrupted table can go on."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.config import MONTAGE_FILMS
from plainfilm.data.films import FilmError
from plainfilm.data.sources import Loose, stream
from plainfilm.errors import InputError
from plainfilm.files import growing_csv
from plainfilm.image.decode import decode
from plainfilm.models.answer import Film, answer, look
from plainfilm.models.model import Model
from plainfilm.progress import bar, say

ENGINES = ("torch", "onnx")
DECODERS, AHEAD = 2, 8  # threads that decode beside the network, and how many films they may be ahead of it


def load_model(run: Path, engine: str | None = None, seed: int = 0) -> Model:
    """Return the model of a run folder, a model.h5 or an exported .onnx file, to be run by ``engine``.

    None is torch, but for an .onnx file; torch can't run that (InputError).
    """
    if engine not in (None, *ENGINES):
        raise InputError(f"There is no engine '{engine}'; choose from: {', '.join(ENGINES)}.")
    exported = run.suffix.lower() == ".onnx"
    if exported and engine == "torch":
        raise InputError(f"{run} can't be run by torch; give the run folder or model.h5 it was exported from.")
    if not exported and engine != "onnx":
        return Model.load(run)
    from plainfilm.commands.exporting import check_pixels  # a second of imports that most runs have no use for
    from plainfilm.export.engine import OnnxModel

    if exported:
        return OnnxModel.load(run)
    return OnnxModel.of_run(run, check_pixels(Model.load(run), run, (), seed)[0])


def label(
    model: Model,
    paths: Sequence[str],
    out: Path,
    picture: Path | None = None,
    seed: int = 0,
    force: bool = False,
    resume: bool = False,
) -> dict[str, Any]:
    """Label every film in ``paths`` (films, folders, zips) with ``model`` into the CSV ``out``.

    One row a film: path, label, a probability a class, refer, reason; a film that can't be read has no label, and its
    reason. ``picture``: a PNG of up to 30 of them, drawn at random. With ``resume`` the rows that an interrupted run of
    the same model left are kept. Returns counts: films, labelled, refused, referred, and labels by class. InputError
    when no film can be read, or a file is in the way and ``force`` is not given.
    """
    if picture and picture.suffix.lower() != ".png":
        raise InputError(f"--montage {picture}: the picture is a PNG; give a name that ends in .png.")
    for place in (out, picture):
        if place and place.exists() and not force:
            raise InputError(f"{place} exists; choose another name, or add --force to replace it.")
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; give the name of a CSV file.")
    count = sum(1 for _ in _each(paths))  # listed again for every use: the names of a million films take a gigabyte
    if count == 1:
        _require_readable(model, next(_each(paths)))
    header = ("path", "label", *(f"p_{name}" for name in model.classes), "refer", "reason")
    counted = _Counted(np.random.default_rng(seed))
    with growing_csv(out, header, model.hash[:12], resume) as rows, bar("Labelling films", count) as progress:
        films = _each(paths)
        for row in rows.kept:
            _require_same_film(row, next(films, None), out)
            counted.add(row)
        progress.step(counted.films)
        for row in labelled(model, films):
            rows.write(row)
            counted.add(row)
            progress.step()
    if not counted.labels:
        say(f"None of the {counted.films} films can be read; {out} has their reasons.")
    if picture and counted.labels:
        rows_of = dict(counted.sample)
        drawn = {i: film for i, film in enumerate(_each(paths)) if i in rows_of}
        _draw([(drawn[i], row, model.classes.index(row[1])) for i, row in counted.sample], picture)
    return counted.about


def _each(paths: Sequence[str]) -> Iterator[Loose]:
    return chain.from_iterable(map(stream, paths))


def _require_readable(model: Model, film: Loose) -> None:
    if isinstance(reason := _looked(model, film[1]), FilmError):
        raise InputError(f"{film[0]} can't be labelled: {reason}.")


def _require_same_film(row: Sequence[str], film: Loose | None, out: Path) -> None:
    if film is None or row[0] != film[0]:
        raise InputError(f"{out} was begun with other films; leave out --resume to begin anew.")


def labelled(model: Model, films: Iterable[Loose]) -> Iterator[list[Any]]:
    """Yield one row of the table a film, in the order given; the next films are decoded beside the network."""
    with ThreadPoolExecutor(DECODERS) as pool:
        ahead: deque[tuple[str, Future[Film | FilmError]]] = deque()
        for path, read in films:
            ahead.append((path, pool.submit(_looked, model, read)))
            if len(ahead) > AHEAD:
                yield _row(model, *ahead.popleft())
        while ahead:
            yield _row(model, *ahead.popleft())


def _looked(model: Model, read: Callable[[], bytes]) -> Film | FilmError:
    try:
        return look(model, read())
    except FilmError as error:
        return error


def _row(model: Model, path: str, decoded: Future[Film | FilmError]) -> list[Any]:
    film = decoded.result()
    if isinstance(film, FilmError):
        return [path, "", *("" for _ in model.classes), "yes", str(film)]
    found = answer(model, film)
    return [path, found.label, *found.probabilities.tolist(), "yes" if found.refer else "no", found.reason or ""]


@dataclass
class _Counted:
    """Counts of the rows so far, and an even random sample of those with a label (Vitter 1985, algorithm R)."""

    draws: np.random.Generator
    films: int = 0
    referred: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    sample: list[tuple[int, Sequence[Any]]] = field(default_factory=list)  # (which film, its row)

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
        self.sample[place : place + 1] = (
            [(self.films, row)] if place < MONTAGE_FILMS else self.sample[place : place + 1]
        )

    @property
    def about(self) -> dict[str, Any]:
        """The counts, ready for JSON."""
        known = self.labels.total()
        counts = {"films": self.films, "labelled": known, "refused": self.films - known, "referred": self.referred}
        return {**counts, "labels": self.labels}


def _draw(sample: Sequence[tuple[Loose, Sequence[Any], int]], picture: Path) -> None:
    """Draw films with their row and class: decoded once more, so that none is kept while thousands go by."""
    from plainfilm.commands.training import thumbnail  # seconds of imports, for those who want a picture
    from plainfilm.report.figures import montage, save

    tiles = [
        (thumbnail(decode(read())), row[1], float(row[2 + said]), None, path) for (path, read), row, said in sample
    ]
    save(montage(tiles), picture.parent, picture.name[: -len(".png")], ("png",))
