"""safetensors: the weights as they are, and everything needed to use them as JSON in the file's metadata."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from plainfilm.errors import PlainfilmError
from plainfilm.export import about
from plainfilm.export.onnx_file import require
from plainfilm.models.averaging import Ensemble
from plainfilm.models.model import Model, to_arrays
from plainfilm.storage.files import replacing, to_json


def write_safetensors(model: Model, path: str | Path) -> int:
    """Write the weights of ``model`` to ``path``, read them back bit for bit, and return how many values they are.

    ``about`` stands as JSON under the metadata's name "plainfilm"; equal models give equal bytes. PlainfilmError, and
    no file, when what is read back differs; InputError when the package is missing.
    """
    require("safetensors")
    from safetensors.numpy import load, save

    arrays = to_arrays(model.network.state_dict())
    members = model.network.about() if isinstance(model.network, Ensemble) else {}
    told = to_json({**about(model), **members})
    metadata = {"plainfilm": told}  # one entry: the library writes several in no fixed order
    with replacing(path) as temporary:
        temporary.write_bytes(save(arrays, metadata))
        again = load(temporary.read_bytes())
        if set(again) != set(arrays) or any(_bits(again[name]) != _bits(arrays[name]) for name in arrays):
            raise PlainfilmError(f"{path} was not kept: what was read back is not what was written.")
    return sum(array.size for array in arrays.values())


def _bits(array: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    return array.dtype.str, array.shape, array.tobytes()
