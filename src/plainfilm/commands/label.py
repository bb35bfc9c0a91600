"""Labels for films, folders and zips, in a table; films stream through, and an interrupted table can go on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.config import MONTAGE_FILMS
from plainfilm.data.dicom import is_dicom
from plainfilm.data.films import FilmError
from plainfilm.data.reading import read_file
from plainfilm.data.sources import Loose, stream
from plainfilm.errors import InputError
from plainfilm.export.opened import opened, torch_model
from plainfilm.machine import ranks
from plainfilm.machine.threads import prefetched
from plainfilm.models.answer import Answer, Film, alone, answer, blas_alone, look
from plainfilm.models.drift import FEWEST, Seen, group_of
from plainfilm.models.reads import Reads
from plainfilm.progress import bar, say
from plainfilm.storage.files import write_bytes, write_json
from plainfilm.storage.tables import csv_rows, growing_csv

ENGINES = ("torch", "onnx")
OURS = re.compile(rb"\Z|path,label,\"?p_[^\n]*,refer,reason\r?\n")  # how a table of label's begins, or nothing
COMPANION = re.compile(rb'\Z|\{\s*"labels_of"')
PNG = re.compile(rb"\Z|\x89PNG")
LONGEST_HEADER = 2**20  # bytes
Row = Callable[[Loose], list[Any]]  # a film -> its cells in the table
AHEAD = 4  # films a thread may be ahead of the table


def load_model(run: Path, engine: str | None = None, seed: int = 0, precision: str = "auto") -> Reads:
    """Return the model of a run folder, a model.h5 or an exported .onnx file, to be run by ``engine``.

    None is torch, but for an .onnx file; torch can't run that (InputError). ``precision``: see ``Model.load``; an
    .onnx file computes in 32 bits.
    """
    if engine not in (None, *ENGINES):
        raise InputError(f"There is no engine '{engine}'; choose from: {', '.join(ENGINES)}.")
    exported = run.suffix.lower() == ".onnx"
    if exported and engine == "torch":
        raise InputError(f"{run} can't be run by torch; give the run folder or model.h5 it was exported from.")
    if engine != "onnx" and not (exported and precision == "16"):
        return opened(run, precision)
    if precision == "16":
        raise InputError("--precision 16 does nothing for the engine onnx, which computes in 32 bits; leave it out.")
    if exported:
        return opened(run)
    from plainfilm.commands.export import check_pixels  # a second of imports that most runs have no use for
    from plainfilm.export.onnx import engine_of

    return engine_of(run, check_pixels(torch_model(run, "32"), run, (), seed)[0])


def label(
    model: Reads,
    paths: Sequence[str],
    out: Path,
    picture: Path | None = None,
    seed: int = 0,
    force: bool = False,
    resume: bool = False,
    answers: Path | None = None,
) -> dict[str, Any]:
    """Label every film in ``paths`` (films, folders, zips) with ``model`` into the CSV ``out``.

    One row a film: path, label, a probability a class, refer, reason; a film that can't be read has no label, and its
    reason. ``picture``: a PNG of up to 30 of them, drawn at random. With ``resume`` the rows that an interrupted run of
    the same model left are kept. ``answers``: a folder for a DICOM report and picture of each film that is DICOM.
    Processes that torchrun started take films by turns, and the first puts their rows
    together: the same table. Beside it, in FILE.csv.json, stand the counts that are returned: films, labelled, refused,
    referred, labels by class, and whether the films differ as a set from the training films. InputError
    when no film can be read, or a file is in the way and ``force`` is not given.
    """
    seen = Seen(model.gate)
    make: Row = _row_with_answer(model, seen, answers) if answers else partial(_row, model, seen)
    with ranks.together():
        count = _checked(model, paths, out, picture, force)
    header = ("path", "label", *(f"p_{name}" for name in model.classes), "refer", "reason")
    parts: list[Path] = []
    if ranks.world() > 1:
        parts = [_part(out, model, number) for number in range(ranks.world())]
        with ranks.together():
            _label_turns(model, make, paths, count, parts[ranks.rank()], header, resume or ranks.restarted())
        if ranks.rank():
            return {}
    counted = _Counted(np.random.default_rng(seed))
    with growing_csv(out, header, _tag(model), resume, force) as rows, bar("Labelling films", count) as progress:
        films = _each(paths)
        for begun in rows.kept:
            _require_same_film(begun, next(films, None), out)
            counted.add(begun)
        progress.step(counted.films)
        merged = _merged(parts, films, len(header), counted.films, out)
        rest: Iterator[Sequence[Any]] = merged if parts else labelled(make, films)
        for row in rest:
            rows.write(row)
            counted.add(row)
            progress.step()
    for part in parts:
        part.unlink()
    if not counted.labels:
        say(f"None of the {counted.films} films can be read; {out} has their reasons.")
    if picture and counted.labels:
        _draw(_found_again(paths, counted.sample, model), picture)
    about = {**counted.about, "as_a_set": _as_a_set(seen, counted.labels.total())}
    write_json(_companion(out), {"labels_of": out.name, "model": {"name": model.name, "sha256": model.hash}, **about})
    return about


def _companion(out: Path) -> Path:
    """Return where the counts and the warning of a table of labels stand."""
    return out.with_name(out.name + ".json")


def _found_again(
    paths: Sequence[str], sample: Sequence[Sequence[Any]], model: Reads
) -> list[tuple[Loose, Sequence[Any], int]]:
    """Return the films of ``sample``, rows of the table, with their class: by path, films may have come or gone."""
    wanted = {row[0] for row in sample}
    there = {film[0]: film for film in _each(paths) if film[0] in wanted}
    return [(there[row[0]], row, _shown(model, row)) for row in sample if row[0] in there]


def _as_a_set(seen: Seen, labelled: int) -> dict[str, Any]:
    """Return whether the films differ as a set from the training films, and say so; "judged" is of how many it is said:
    a sample, of several processes the first one's films, and none that were labelled before an interruption."""
    found = seen.change()
    if found:
        sample = f" Judged from {seen.films:,} of {labelled:,} films." if seen.films < labelled else ""
        say(f"WARNING: {found.sentence()}{sample}")
    judged = seen.films if seen.gate and seen.films >= FEWEST else 0
    measure = {"measure": found.measure, "p": found.p} if found else {}
    return {"judged": judged, "warning": found and found.sentence(), **measure}


def _shown(model: Reads, row: Sequence[Any]) -> int:
    """Return which of a row's probabilities stands beside its label: that of its class, or of its foremost finding."""
    if row[1] in model.classes:
        return model.classes.index(row[1])
    chances = np.array([float(cell) for cell in row[2 : 2 + len(model.classes)]])
    return int(model.decision.decide(chances[None])[0])


def _checked(model: Reads, paths: Sequence[str], out: Path, picture: Path | None, force: bool) -> int:  # noqa: C901 - a line for each thing that is refused
    """Return how many films are in ``paths``, once nothing stands against labelling them."""
    if picture and picture.suffix != ".png":
        raise InputError(f"--montage {picture}: the picture is a PNG; give a name that ends in .png.")
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; give the name of a CSV file.")
    if picture:
        _check_picture(picture, out, paths)
    for place, own in ((out, OURS), (_companion(out), COMPANION), (picture, PNG)):
        if place and place.exists() and not force:
            raise InputError(f"{place} exists; choose another name, or add --force to replace it.")
        if place and place.exists() and not own.match(_first(place, LONGEST_HEADER)):
            raise InputError(f"{place} is nothing that label wrote, and --force does not replace it; name another.")
    count = sum(1 for _ in _each(paths))  # listed again for every use: the names of a million films take a gigabyte
    if count == 1:
        path, reason = _looked(model, next(_each(paths)))
        if isinstance(reason, FilmError):
            raise InputError(f"{path} can't be labelled: {reason}.")
    return count


def _check_picture(picture: Path, out: Path, paths: Sequence[str]) -> None:
    """InputError where a montage would lie among the films, or can't be written: before hours of labelling."""
    if picture.resolve() == out.resolve():
        raise InputError(f"--out and --montage are one file, {out}; name two.")
    if any(picture.resolve().is_relative_to(Path(path).resolve()) for path in paths):
        raise InputError(f"--montage {picture} lies among the films; name it elsewhere.")
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--montage {picture} can't be written ({error.strerror}).") from None


def _first(place: Path, count: int) -> bytes:
    """Return a file's first bytes; for what is no file that can be read, some that begin nothing of ours."""
    try:
        return read_file(place, count)
    except FilmError:
        return b"?"


def _tag(model: Reads) -> str:
    """Name what makes the rows; engines differ in their last digits, so that none goes on with another's."""
    return f"{model.hash[:12]}-{model.engine}"


def _part(out: Path, model: Reads, number: int) -> Path:
    return out.with_name(f".{out.name[:180]}.{_tag(model)}.{number}-of-{ranks.world()}.csv")


def _label_turns(
    model: Reads, make: Row, paths: Sequence[str], count: int, part: Path, header: Sequence[str], resume: bool
) -> None:
    """Write the rows of every N-th film, this rank's, into ``part``; what an interrupted run left is kept."""
    if part.exists() and resume:
        return
    films, own = islice(_each(paths), ranks.rank(), None, ranks.world()), len(ranks.turns(count))
    with growing_csv(part, header, _tag(model), resume, force=True) as rows, bar("Labelling films", own) as progress:
        for begun in rows.kept:
            _require_same_film(begun, next(films, None), part)
            progress.step()
        for row in labelled(make, films):
            rows.write(row)
            progress.step()


def _merged(parts: Sequence[Path], films: Iterator[Loose], cells: int, done: int, out: Path) -> Iterator[Sequence[Any]]:
    """Yield the rows of all ranks' parts in the order of ``films``, of which ``done`` have gone before."""
    tables = [csv_rows(part, cells) for part in parts]
    for number in range(done):
        next(tables[number % len(tables)])
    for number, film in enumerate(films, done):
        row = next(tables[number % len(tables)])
        _require_same_film(row, film, out)
        yield row


def _each(paths: Sequence[str]) -> Iterator[Loose]:
    return chain.from_iterable(map(stream, paths))


def _require_same_film(row: Sequence[str], film: Loose | None, out: Path) -> None:
    if film is None or row[0] != film[0]:
        raise InputError(f"{out} was begun with other films; leave out --resume to begin anew.")


def labelled(make: Row, films: Iterable[Loose]) -> Iterator[list[Any]]:
    """Yield one row of the table a film, in the order given; films are answered side by side, one a core."""
    with blas_alone():
        yield from prefetched(make, films, ranks.cores(), AHEAD * ranks.cores(), alone)


def _looked(model: Reads, named: Loose) -> tuple[str, Film | FilmError]:
    path, read = named
    try:
        return path, look(model, read())
    except FilmError as error:
        return path, error


def cells(path: str, found: Answer | FilmError, classes: int) -> list[Any]:
    """Return a film's row: path, label, a probability per class, refer, reason."""
    if isinstance(found, FilmError):
        return [path, "", *([""] * classes), "yes", str(found)]
    return [path, found.label, *found.probabilities.tolist(), "yes" if found.refer else "no", found.reason or ""]


def _row(model: Reads, seen: Seen, named: Loose) -> list[Any]:
    path, film = _looked(model, named)
    if isinstance(film, FilmError):
        return cells(path, film, len(model.classes))
    found = answer(model, film)
    _note(seen, path, found, model)
    return cells(path, found, len(model.classes))


def _note(seen: Seen, path: str, found: Answer | FilmError, model: Reads) -> None:
    if not isinstance(found, FilmError) and found.gate and seen.gate:
        seen.add(path, found.gate.described, group_of(found.label, model.classes))


def _row_with_answer(model: Reads, seen: Seen, folder: Path) -> Row:
    """Return what makes a film's row, and writes its answer as DICOM into ``folder`` where the film is DICOM."""
    try:
        from plainfilm.hospital.answering import Answering
    except ModuleNotFoundError as error:
        raise InputError(f"--dicom needs {error.name}; run: pip install 'plainfilm[hospital]'.") from None
    answering = Answering(model)

    def row(named: Loose) -> list[Any]:
        path, read = named
        try:
            data = read()
            if not is_dicom(data):
                return _row(model, seen, (path, lambda: data))
            made = answering.answer(data)
        except FilmError:  # no film, or nobody's: then there is a row, and no answer
            return _row(model, seen, named)
        _note(seen, path, made.found, model)
        for kind, written in made.files.items():
            write_bytes(folder / f"{Path(path).stem}-{made.line['film'][:8]}-{kind}.dcm", written)
        return cells(path, made.found, len(model.classes))

    return row


@dataclass
class _Counted:
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


def _draw(sample: Sequence[tuple[Loose, Sequence[Any], int]], picture: Path) -> None:
    """Draw films with their row and class: decoded once more, so that none is kept while thousands go by."""
    from plainfilm.report.figures import Tile, montage, save
    from plainfilm.report.pictures import picture as small  # seconds of imports, for those who want a picture

    tiles = [
        Tile(grey, row[1], float(row[2 + said]), None, path, row[-2] == "yes")
        for (path, read), row, said in sample
        if (grey := small(path, read)) is not None
    ]
    save(montage(tiles), picture.parent, picture.name[: -len(".png")], ("png",))
