"""A model opened by what runs it: torch for a run, ONNX Runtime for an exported file; each loaded where it is used."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from plainfilm.errors import InputError, refuse
from plainfilm.models.reads import Reads
from plainfilm.storage.folders import EXPORTED, MODEL

if TYPE_CHECKING:
    from plainfilm.models.model import Model


ENGINES = ("torch", "onnx")


class Foreign(NamedTuple):
    """What has to be said of an .onnx file that another program wrote: see ``ForeignModel.load``."""

    preprocess: str = ""
    classes: str = ""


def opened(
    run: Path, precision: str = "auto", engine: str | None = None, seed: int = 0, foreign: Foreign | None = None
) -> Reads:
    """Return the model of a run folder, a model.h5 or an .onnx file, to be run by ``engine``.

    ``engine``: None is torch, but for an .onnx file, which torch can't run. A run that onnx is to run is exported into
    the cache and checked on films drawn by ``seed``. ``precision``: see ``Model.load``; onnx computes in 32 bits.
    ``foreign``: of an .onnx file that another program wrote. InputError when it can't be loaded, or can't be run so.
    """
    run = _file_in(run)
    exported = run.suffix.lower() == ".onnx"
    if engine not in (None, *ENGINES):
        raise InputError(f"There is no engine '{engine}'; choose from: {', '.join(ENGINES)}.")
    if exported and engine == "torch":
        raise InputError(f"{run} can't be run by torch; give the run folder or model.h5 it was exported from.")
    if precision == "16" and (exported or engine == "onnx"):
        raise InputError("--precision 16 does nothing for the engine onnx, which computes in 32 bits; leave it out.")
    if foreign and (foreign.preprocess or foreign.classes):
        return _foreign(run, exported, foreign)
    if exported:
        from plainfilm.export.engine import OnnxModel

        return OnnxModel.load(run)
    return _by_onnx(run, seed) if engine == "onnx" else torch_model(run, precision)


def _foreign(run: Path, exported: bool, foreign: Foreign) -> Reads:
    if not exported:
        refuse("a run, which holds its own", foreign._asdict())
    if not foreign.preprocess:
        refuse("an .onnx file without --preprocess", {"classes": foreign.classes})
    from plainfilm.export.foreign import ForeignModel

    return ForeignModel.load(run, *foreign)


def _file_in(run: Path) -> Path:
    """Return the ONNX file of a folder that has no other model, or none that could be run here; else ``run``."""
    exported = run / EXPORTED
    readable = (run / MODEL).exists() and find_spec("torch") is not None
    return exported if exported.is_file() and not readable else run


def require_layers(run: Path) -> None:
    """InputError for an .onnx file, which holds a graph and no layers from which a heat map could be taken."""
    if _file_in(run).suffix.lower() == ".onnx":
        raise InputError(
            f"{run} is an ONNX file, which holds no layers for heat maps; explain the run that it was exported from, "
            "where there is PyTorch: pip install 'plainfilm[train]'. Another program's file needs --preprocess."
        )


def _by_onnx(run: Path, seed: int) -> Reads:
    model = torch_model(run, "32")
    from plainfilm.export.films import check_pixels  # a second of imports that most runs have no use for
    from plainfilm.export.onnx import engine_of

    return engine_of(run, check_pixels(model, run, (), seed)[0])


def torch_model(run: Path, precision: str = "auto") -> Model:
    """Return the model of a run folder or a model.h5, to be run by torch. InputError where there is no torch."""
    try:
        from plainfilm.models.model import Model
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(
            f"{run} is run by PyTorch, which is not installed; use the run's ONNX file (made by plainfilm export, where"
            " there is PyTorch), or run: pip install 'plainfilm[train]'."
        ) from None
    return Model.load(run, precision)
