"""ONNX: one graph from a film's pixels to probabilities, with preprocessing and temperature inside.

In: ``pixels`` (N, S, S) uint8 grey. Out: ``probabilities`` (N, K) float32. What a reader of the file must know besides
stands in its metadata: classes, threshold, refer band, preprocessing, the hash of the model it came from. The input
gate's arrays are initialisers named ``gate/…`` that no node uses.
"""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from plainfilm.errors import InputError, PlainfilmError
from plainfilm.evaluation.decision import softened
from plainfilm.export import about
from plainfilm.models.model import BATCH, Model, batches
from plainfilm.storage.files import replacing, to_json

OPSET = 18  # of 2023: read by onnxruntime 1.14 and later
LARGEST_DIFFERENCE = 1e-4  # of a probability; beyond it the file is not kept
GATE = "gate/"
SEAL = "plainfilm_sha256"
UNSEALED = b"0" * 64
NEEDED = ("onnxruntime", "onnxscript")


class _Whole(nn.Module):
    """(N, S, S) uint8 -> (N, K) float32 probabilities."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network, self.preprocess, self.decision = model.network, model.preprocess, model.decision

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits = self.network(self.preprocess.tensor(pixels))
        return torch.softmax(softened(logits.double(), self.decision.temperature), 1).float()


def write_onnx(model: Model, path: str | Path, pixels: np.ndarray) -> float:
    """Write ``model`` to ``path``, checked on ``pixels`` (N, S, S) uint8 films; return the largest difference.

    Probabilities of the file, run by onnxruntime, are compared with the model's own. PlainfilmError, and no file, when
    one differs by more than LARGEST_DIFFERENCE; InputError when the packages are missing.
    """
    require(*NEEDED)
    from plainfilm.export.engine import OnnxModel

    data = _sealed(_graph(model))
    with replacing(path) as temporary:
        temporary.write_bytes(data)
        difference = largest_difference(model, OnnxModel.load(temporary), pixels)
        if not difference <= LARGEST_DIFFERENCE:
            raise PlainfilmError(
                f"{path} was not kept: its probabilities differ from the model's by up to {difference:.2g}"
                f" ({LARGEST_DIFFERENCE:g} is allowed)."
            )
    return difference


def require(*packages: str) -> None:
    """InputError with what to install unless all ``packages`` of the extra ``export`` are here."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise InputError(f"This needs the package {missing[0]}; run: pip install 'plainfilm[export]'.")


def largest_difference(model: Model, other: Model, pixels: np.ndarray) -> float:
    """Return the largest difference between two models' probabilities of (N, S, S) films, alone and in batches.

    A film alone is compared as well: a graph that fixed its batch would fail there.
    """
    rows: list[Sequence[np.ndarray]] = [*batches(pixels, BATCH), [pixels[0]]]
    found = [np.abs(model.probabilities(np.stack(b)) - other.probabilities(np.stack(b))).max() for b in rows]
    return float(max(found))


def _graph(model: Model) -> Any:
    """Return the ONNX ModelProto, without the traces (source lines, paths of this machine) that the exporter leaves."""
    from onnx import numpy_helper

    model.network.eval()
    size = model.preprocess.size
    example = (torch.arange(2 * size * size) % 251).to(torch.uint8).view(2, size, size)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter's own, about its own future
        program = torch.onnx.export(
            _Whole(model).eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["pixels"],
            output_names=["probabilities"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("films", min=1)}},
            external_data=False,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _strip(proto)
    for name, array in (model.gate.arrays() if model.gate else {}).items():
        proto.graph.initializer.append(numpy_helper.from_array(array, GATE + name))
    proto.producer_name = "plainfilm"
    proto.doc_string = about(model)["disclaimer"]
    for key, value in {**about(model), SEAL: UNSEALED.decode()}.items():
        proto.metadata_props.add(key=key, value=value if isinstance(value, str) else to_json(value))
    return proto


def _strip(proto: Any) -> None:
    graph = proto.graph
    del proto.metadata_props[:]
    for items in (graph.node, graph.input, graph.output, graph.value_info, graph.initializer, [graph]):
        for item in items:
            del item.metadata_props[:]
            item.doc_string = ""


def _sealed(proto: Any) -> bytes:
    """Return the file's bytes with their own SHA-256 (taken with zeros in its place) in the metadata."""
    data: bytes = proto.SerializeToString(deterministic=True)
    return seal(data, UNSEALED)


def seal(data: bytes, old: bytes) -> bytes:
    """Return ``data`` with the hash ``old`` behind SEAL replaced by that of the bytes with zeros there."""
    at = data.rfind(old, data.rfind(SEAL.encode()))
    blank = data[:at] + UNSEALED + data[at + len(old) :]
    return blank[:at] + hashlib.sha256(blank).hexdigest().encode() + blank[at + len(old) :]
