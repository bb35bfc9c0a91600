"""A run's model as a file for other programs, checked against the original on films before it stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.data.demo_films import draw, phantom_set
from plainfilm.data.films import FilmError
from plainfilm.data.sources import loose
from plainfilm.errors import InputError, did_you_mean, refuse
from plainfilm.export.onnx import write_onnx
from plainfilm.export.safetensors import write_safetensors
from plainfilm.models.model import Model
from plainfilm.runs.folder import RunFolder
from plainfilm.storage.files import remove_left_over, sha256_file

FORMATS = ("onnx", "safetensors")
CHECK_FILMS = 64  # real films at most; the check takes as long as labelling them twice
PHANTOMS = 8


def export(
    run: Path, form: str, out: Path, *, films: Sequence[str] = (), force: bool = False, seed: int = 0
) -> dict[str, Any]:
    """Write the model of ``run`` as ``form`` to ``out`` and return what was written and how it was checked.

    ONNX is checked on ``films`` (paths); without any on synthetic films and the run's validation films, where
    they are still to be had; 64 drawn by ``seed`` at most. safetensors is read back bit for bit. InputError for an
    unknown form, films that can't be read, or a file in the way and no ``force``.
    """
    if form not in FORMATS:
        raise InputError(f"There is no format '{form}'.{did_you_mean(form, FORMATS)}")
    if form == "safetensors":
        refuse("safetensors, which are read back bit for bit", {"films": list(films)})
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; give the name of a file.")
    if out.exists() and not force:
        raise InputError(f"{out} exists; choose another name, or add --force to replace it.")
    if out.exists() and not _exported(out):  # a run's own model, a table, …
        raise InputError(f"{out} is nothing that export wrote, and --force does not replace it; name another.")
    remove_left_over(out)
    model = Model.load(run, "32")  # as the file that is held against it
    told: dict[str, Any] = {"out": str(out), "format": form, "model": model.name}
    if form == "onnx":
        pixels, real = check_pixels(model, run, films, seed)
        told["largest_difference"] = write_onnx(model, out, pixels)
        told |= {"real_films": real, "synthetic_films": len(pixels) - real}
    else:
        told["values"] = write_safetensors(model, out)
    return {**told, "bytes": out.stat().st_size, "sha256": sha256_file(out)}


def _exported(out: Path) -> bool:
    """Whether a file begins as ours: ONNX names who made it, safetensors has our name in its JSON."""
    with open(out, "rb") as file:
        head = file.read(2**20)
    return (
        not head
        or (head[:1] == b"\x08" and b"plainfilm" in head[:256])
        or (head[8:9] == b"{" and b'"plainfilm"' in head)
    )


def check_pixels(model: Model, run: Path, paths: Sequence[str] = (), seed: int = 0) -> tuple[np.ndarray, int]:
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


def _readable(readers: list[Callable[[], bytes]], model: Model) -> Any:
    for read in readers:
        try:
            yield model.preprocess.read(read())
        except FilmError:
            continue
