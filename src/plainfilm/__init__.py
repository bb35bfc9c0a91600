"""plainfilm: from a folder of chest X-rays to a classifier whose figures can be believed.

import plainfilm as pf
films = pf.split(pf.load("chest_xray/"), "grouped", seed=0)
run = pf.train(films, model="vgg-bn", out="runs/bn")
scores = pf.evaluate(run)
model = pf.Model.load("runs/bn/model.h5")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plainfilm.api import Metrics, Run, calibrate, compare, operating_point, scores
    from plainfilm.commands.plan import plan
    from plainfilm.data.films import Films
    from plainfilm.data.sources import load
    from plainfilm.data.split import split
    from plainfilm.models.model import Model

__all__ = ["Model", "calibrate", "compare", "evaluate", "load", "operating_point", "plan", "scores", "split", "train"]

_PLACES = {
    "load": "data.sources",
    "split": "data.split",
    "Model": "models.model",
    "scores": "api",
    "compare": "api",
    "calibrate": "api",
    "operating_point": "api",
    "plan": "commands.plan",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for when it is asked for: ``plainfilm --help`` needs no torch."""
    if name not in _PLACES:
        raise AttributeError(f"module 'plainfilm' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"plainfilm.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    """What tab completion shows: the public names."""
    return sorted(__all__)


def train(
    films: str | Films, model: str = "vgg", out: str | Path = "run", resume: bool = False, **settings: Any
) -> Run:
    """Train ``model`` on ``films`` (a source's name, or a table that may be split already); return the run folder.

    ``settings`` are fields of plainfilm.config.TrainConfig. InputError says what is wrong with films or settings.

    >>> run = pf.train("demo:60", out="runs/small", epochs=1, size=16)
    >>> (run / "report.html").exists()
    True
    """
    from plainfilm.api import Run as Finished
    from plainfilm.commands import train as command
    from plainfilm.config import checked

    command.train(films, Path(out), checked({"model": model, **settings}), resume=resume)
    return Finished(out)


def evaluate(run: str | Path, by: str = "") -> Metrics:
    """Return the scores of a run folder, per part: {part: {score: {"value", "low", "high"}}, "protocol": …}.

    ``by``: columns of its films' table to look at, such as "site,age:40:65". The result is shown as a table in a
    notebook and converts by ``to_pandas()``.

    >>> found = pf.evaluate("runs/small")
    >>> found["protocol"], 0 <= found["test"]["auroc"]["value"] <= 1
    ('patients separate', True)
    """
    from plainfilm.api import Metrics as Found
    from plainfilm.commands import evaluate as command

    return Found(command.evaluate(Path(run), by=by))
