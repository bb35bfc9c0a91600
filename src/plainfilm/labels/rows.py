"""Films -> rows of the table of labels: path, label, a probability per class, refer, reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any

from plainfilm.data.dicom import is_dicom
from plainfilm.data.films import FilmError
from plainfilm.data.sources import Loose, stream
from plainfilm.errors import InputError
from plainfilm.machine import ranks
from plainfilm.machine.threads import prefetched
from plainfilm.models.answer import Answer, Film, alone, answer, blas_alone, look
from plainfilm.models.drift import Seen, group_of
from plainfilm.models.reads import Reads
from plainfilm.storage.files import write_bytes

Row = Callable[[Loose], list[Any]]  # a film -> its cells in the table
AHEAD = 4  # films a thread may be ahead of the table


def header(model: Reads) -> tuple[str, ...]:
    """Return the names of the columns."""
    return ("path", "label", *(f"p_{name}" for name in model.classes), "refer", "reason")


def films_in(paths: Sequence[str]) -> Iterator[Loose]:
    """Yield the films of ``paths`` (films, folders, zips) anew: the names of a million films would take a gigabyte."""
    return chain.from_iterable(map(stream, paths))


class Answers:
    """The ``folder`` into which films are answered as DICOM besides, and how many could not be, from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.without = 0
        self._example = ""
        self._lock = Lock()

    def lacks(self, path: str, why: str) -> None:
        """Count a film that has no answer."""
        with self._lock:
            self.without += 1
            self._example = min(self._example or f"{path}: {why}", f"{path}: {why}")

    @property
    def sentence(self) -> str:
        """Say how many films have no answer, and why the first has none."""
        return f"Without an answer as DICOM: {self.without:,} ({self._example})."


def row_maker(model: Reads, seen: Seen, answers: Answers | None = None) -> Row:
    """Return what makes a film's row and notes in ``seen`` how the film looks.

    ``answers``: where each film that is DICOM is answered as DICOM besides. InputError where the libraries for that are
    not installed.
    """
    return partial(_row, model, seen) if answers is None else _row_with_answer(model, seen, answers)


def labelled(make: Row, films: Iterable[Loose]) -> Iterator[list[Any]]:
    """Yield one row of the table per film, in the order given; films are answered side by side, one per core."""
    with blas_alone():
        yield from prefetched(make, films, ranks.cores(), AHEAD * ranks.cores(), alone)


def looked(model: Reads, named: Loose) -> tuple[str, Film | FilmError]:
    """Return a film's path and what the network would see of it, or why it can't be read."""
    path, read = named
    try:
        return path, look(model, read())
    except FilmError as error:
        return path, error


def cells(path: str, found: Answer | FilmError, classes: int) -> list[Any]:
    """Return a film's row; one that can't be read has no label and no probabilities."""
    if isinstance(found, FilmError):
        return [path, "", *([""] * classes), "yes", str(found)]
    return [path, found.label, *found.probabilities.tolist(), "yes" if found.refer else "no", found.reason or ""]


def _row(model: Reads, seen: Seen, named: Loose) -> list[Any]:
    path, film = looked(model, named)
    if isinstance(film, FilmError):
        return cells(path, film, len(model.classes))
    found = answer(model, film)
    _note(seen, path, found, model)
    return cells(path, found, len(model.classes))


def _note(seen: Seen, path: str, found: Answer | FilmError, model: Reads) -> None:
    if not isinstance(found, FilmError) and found.gate and seen.gate:
        seen.add(path, found.gate.described, group_of(found.label, model.classes))


def _row_with_answer(model: Reads, seen: Seen, answers: Answers) -> Row:
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
                answers.lacks(path, "no DICOM film")
                return _row(model, seen, (path, lambda: data))
            made = answering.answer(data)
        except FilmError as error:  # no film, or nobody's: then there is a row, and no answer
            answers.lacks(path, str(error))
            return _row(model, seen, named)
        _note(seen, path, made.found, model)
        for kind, written in made.files.items():
            write_bytes(answers.folder / f"{Path(path).stem}-{made.line['film'][:8]}-{kind}.dcm", written)
        return cells(path, made.found, len(model.classes))

    return row
