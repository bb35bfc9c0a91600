"""A model opened by what runs it: torch for a run, ONNX Runtime for an exported file; each loaded where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.errors import InputError
from plainfilm.models.reads import Reads

if TYPE_CHECKING:
    from plainfilm.models.model import Model


def opened(run: Path, precision: str = "auto") -> Reads:
    """Return the model of a run folder, a model.h5 or an exported .onnx file. InputError when it can't be loaded.

    ``precision``: see ``Model.load``; an .onnx file computes in 32 bits.
    """
    if run.suffix.lower() != ".onnx":
        return torch_model(run, precision)
    from plainfilm.export.engine import OnnxModel

    return OnnxModel.load(run)


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
