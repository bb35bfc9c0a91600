"""Films to check an exported model on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from plainfilm.data.demo_films import draw, phantom_set
from plainfilm.data.films import FilmError
from plainfilm.data.sources import loose
from plainfilm.errors import InputError
from plainfilm.models.reads import Reads
from plainfilm.runs.folder import RunFolder

CHECK_FILMS = 64  # real films at most; the check takes as long as labelling them twice
PHANTOMS = 8


def check_pixels(model: Reads, run: Path, paths: Sequence[str] = (), seed: int = 0) -> tuple[np.ndarray, int]:
    """Return (N, S, S) uint8 films to check an export on, and how many of them are real ones.

    InputError when ``paths`` are given and none of their films can be read.
    """
    readers = [read for path in paths for _, read in loose(path)] if paths else _validation(run)
    order = np.random.default_rng(seed).permutation(len(readers))
    real = list(islice(_readable([readers[i] for i in order], model), CHECK_FILMS))
    if paths and not real:
        raise InputError(f"{paths[0]}: no film can be read, so the export can't be checked on them.")
    drawn = [] if paths else [model.preprocess.read(draw(film)) for film in phantom_set(PHANTOMS, seed)]
    return np.stack([*real, *drawn]), len(real)


def _validation(run: Path) -> list[Callable[[], bytes]]:
    """Return readers of the run's validation films; none where the run's data is no longer there."""
    folder = RunFolder(run if run.is_dir() else run.parent)
    try:
        wanted = {row["path"] for row in folder.films if row["part"] == "val"}
        return [film.read for film in folder.load_films() if film.path in wanted]
    except (InputError, OSError, ValueError, KeyError, TypeError):
        return []


def _readable(readers: list[Callable[[], bytes]], model: Reads) -> Iterator[np.ndarray]:
    for read in readers:
        try:
            yield model.preprocess.read(read())
        except FilmError:
            continue
