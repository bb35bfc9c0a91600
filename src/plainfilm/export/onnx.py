"""ONNX: one graph from a film's pixels to probabilities, with preprocessing and temperature inside.

In: ``pixels`` (N, S, S) uint8 grey. Out: ``probabilities`` (N, K) float32 and, where the input gate looks at the
network, ``seen`` (N, D) float32. What a reader of the file must know besides
stands in its metadata: classes, threshold, refer band, preprocessing, the hash of the model it came from. The input
gate's arrays are initialisers named ``gate/…`` that no node uses.
"""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

from plainfilm.errors import InputError, PlainfilmError
from plainfilm.export import FORMAT, about
from plainfilm.export.engine import OnnxModel
from plainfilm.export.onnx_file import GATE, LARGEST_DIFFERENCE, OUTPUT, describe, require, sealed
from plainfilm.models.model import BATCH, Model, batches
from plainfilm.models.reads import Reads
from plainfilm.storage.files import cache_dir, locked, replacing

if TYPE_CHECKING:
    from plainfilm.models.backbone import Backbone

OPSET = 18  # of 2023: read by onnxruntime 1.14 and later
NEEDED = ("onnxruntime", "onnxscript")


class _Whole(nn.Module):
    """(N, S, S) uint8 -> (N, K) float32 probabilities and, where the gate looks at the network, (N, D) of it."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network, self.preprocess, self.decision = model.network, model.preprocess, model.decision
        self.looked_at = bool(model.gate and model.gate.looked_at)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.preprocess.tensor(pixels)
        if not self.looked_at:
            return (self._chances(self.network(x)),)
        network = cast("Backbone", self.network)
        wide = network.forward_wide(x)
        return self._chances(network.forward_head(wide)), network.seen(wide)

    def _chances(self, logits: torch.Tensor) -> torch.Tensor:
        chances: torch.Tensor = self.decision.chances(logits.double())
        return chances.float()


def write_onnx(model: Model, path: str | Path, pixels: np.ndarray) -> float:
    """Write ``model`` to ``path``, checked on ``pixels`` (N, S, S) uint8 films; return the largest difference.

    Probabilities of the file, run by onnxruntime, are compared with the model's own. PlainfilmError, and no file, when
    one differs by more than LARGEST_DIFFERENCE; InputError when the packages are missing.
    """
    require(*NEEDED)
    data = sealed(_graph(model))
    with replacing(path) as temporary:
        temporary.write_bytes(data)
        difference = largest_difference(model, OnnxModel.load(temporary), pixels)
        if not difference <= LARGEST_DIFFERENCE:
            raise PlainfilmError(
                f"{path} was not kept: its probabilities differ from the model's by up to {difference:.2g}"
                f" ({LARGEST_DIFFERENCE:g} is allowed)."
            )
    return difference


def largest_difference(model: Model, other: Reads, pixels: np.ndarray) -> float:
    """Return the largest difference between two models' probabilities of (N, S, S) films, alone and in batches.

    A film alone is compared as well: a graph that fixed its batch would fail there.
    """
    rows: list[Sequence[np.ndarray]] = [*batches(pixels, BATCH), [pixels[0]]]
    found = [np.abs(model.probabilities(np.stack(b)) - other.probabilities(np.stack(b))).max() for b in rows]
    return float(max(found))


def _graph(model: Model) -> Any:
    """Return the ONNX ModelProto, without the traces (source lines, paths of this machine) that the exporter leaves."""
    from onnx import helper, numpy_helper

    model.network.eval()
    whole = _Whole(model).eval()
    size = model.preprocess.size
    example = (torch.arange(2 * size * size) % 251).to(torch.uint8).view(2, size, size)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter's own, about its own future
        program = torch.onnx.export(
            whole,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["pixels"],
            output_names=[OUTPUT, "seen"][: 1 + whole.looked_at],
            dynamic_shapes={"pixels": {0: torch.export.Dim("films", min=1)}},
            external_data=False,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _strip(proto)
    for name, array in (model.gate.arrays() if model.gate else {}).items():
        proto.graph.initializer.append(numpy_helper.from_array(array, GATE + name))
        # onnxruntime warns of what no node uses, at every load and in every program that loads the file
        proto.graph.node.append(helper.make_node("Identity", [GATE + name], [f"{GATE}kept/{name}"]))
    proto.producer_name = "plainfilm"
    proto.doc_string = about(model)["disclaimer"]
    describe(proto, about(model))
    return proto


def _strip(proto: Any) -> None:
    graph = proto.graph
    for items in (graph.node, graph.input, graph.output, graph.value_info, graph.initializer, [graph]):
        for item in items:
            del item.metadata_props[:]
            item.doc_string = ""


def engine_of(run: str | os.PathLike[str], pixels: np.ndarray) -> OnnxModel:
    """Return the model of a run folder or model.h5 as ONNX, made and checked once and kept in the cache.

    pixels: (N, S, S) films to check it on when it is made. Everything besides the network is the run's own.
    """
    model = Model.load(run, "32")
    folder = cache_dir() / "onnx"
    path = folder / f"{model.hash}-{FORMAT}.onnx"
    if kept := _kept(model, path):  # a cache that can't be written to is one as well
        return kept
    with locked(folder, wait=True):
        if kept := _kept(model, path):
            return kept
        write_onnx(model, path, pixels)
    return _by(model, OnnxModel.load(path))


def _kept(model: Model, path: Path) -> OnnxModel | None:
    """The model from the cache; None where the file there is damaged or another model's: it is then made anew."""
    with suppress(InputError):
        if path.exists() and (found := OnnxModel.load(path)).hash == model.hash:
            return _by(model, found)
    return None


def _by(model: Model, exported: OnnxModel) -> OnnxModel:
    own = {name: getattr(model, name) for name in ("name", "decision", "preprocess", "hash", "gate", "verdict")}
    return OnnxModel(**own, session=exported.session, temperature=exported.temperature, path=exported.path)
