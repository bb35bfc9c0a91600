"""The runs inside a folder, as those of a paper."""

from __future__ import annotations

from pathlib import Path

from plainfilm.config import PAPER_MODELS
from plainfilm.errors import InputError
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders


def read_runs(out: str | Path) -> list[RunFolder]:
    """Return the finished runs in the folders of ``out``: the paper's models in its order, then the others by name.

    InputError when there is none.
    """
    runs = [run for run in _inside(out) if run.finished]
    if not runs:
        raise InputError(f"{out} holds no finished run (a folder with model.json, predictions.csv); train one first.")
    return sorted(runs, key=lambda run: _rank(run.name))


def unfinished(out: str | Path) -> list[str]:
    """Return the names of the folders of ``out`` in which a run was begun and is not finished."""
    return [run.folder.name for run in _inside(out) if run.has(folders.CONFIG) and not run.finished]


def _inside(out: str | Path) -> list[RunFolder]:
    return [RunFolder(folder) for folder in sorted(Path(out).glob("*/"))]


def _rank(model: str) -> tuple[int, str]:
    return PAPER_MODELS.index(model) if model in PAPER_MODELS else len(PAPER_MODELS), model


def did_not_learn(runs: list[RunFolder]) -> list[int]:
    """Return the places of those of ``runs`` that did not learn."""
    return [number for number, run in enumerate(runs) if run.one_class]
