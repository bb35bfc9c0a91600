"""Labels for films, folders and zips, in a table; films stream through, and an interrupted table can go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.data.films import FilmError
from plainfilm.errors import InputError
from plainfilm.labels.place import companion, require_free
from plainfilm.labels.rows import Answers, films_in, looked, row_maker
from plainfilm.labels.summary import Counts, as_a_set, draw_montage
from plainfilm.labels.writing import Work
from plainfilm.machine import ranks
from plainfilm.models.drift import Seen
from plainfilm.models.reads import Reads
from plainfilm.progress import say
from plainfilm.storage.files import write_json


def label(
    model: Reads,
    paths: Sequence[str],
    out: Path,
    *,
    picture: Path | None = None,
    seed: int = 0,
    force: bool = False,
    resume: bool = False,
    answers: Path | None = None,
) -> dict[str, Any]:
    """Label every film in ``paths`` (films, folders, zips) with ``model`` into the CSV ``out``.

    One row per film: path, label, a probability per class, refer, reason; a film that can't be read has no label, and
    its reason. ``picture``: a PNG of up to 30 of them, drawn at random. With ``resume`` the rows that an interrupted
    run of the same model left are kept. ``answers``: a folder for a DICOM report and picture of each film that is
    DICOM. Processes that torchrun started take films by turns, and the first puts their rows together: the same table.
    Beside it, in FILE.csv.json, stand the counts that are returned: films, labelled, refused, referred, labels by
    class, and whether the films differ as a set from the training films. InputError when a lone film can't be read, or
    a file is in the way and ``force`` is not given.
    """
    seen, counts = Seen(model.gate), Counts(np.random.default_rng(seed))
    asked = Answers(answers) if answers else None
    make = row_maker(model, seen, asked)
    with ranks.together():
        require_free(out, picture, paths, force)
        work = Work(model, make, paths, _count(model, paths), resume)
    parts = work.parts(out)
    if ranks.world() > 1 and ranks.rank():
        return {}
    work.write(out, force, parts, counts.add)
    if not counts.labels:
        say(f"None of the {counts.films} films can be read; {out} has their reasons.")
    if asked and asked.without:
        say(asked.sentence)
    if picture and counts.labels:
        draw_montage(model, paths, counts.sample, picture)
    about = {**counts.about, "as_a_set": as_a_set(seen, counts.labels.total())}
    made_by = {"name": model.name, "sha256": model.hash, "engine": model.engine}
    write_json(companion(out), {"labels_of": out.name, "model": made_by, **about})
    return about


def _count(model: Reads, paths: Sequence[str]) -> int:
    """Return how many films there are; InputError where a lone one can't be read: its reason is no table."""
    count = sum(1 for _ in films_in(paths))
    if count == 1:
        path, found = looked(model, next(films_in(paths)))
        if isinstance(found, FilmError):
            raise InputError(f"{path} can't be labelled: {found}.")
    return count
