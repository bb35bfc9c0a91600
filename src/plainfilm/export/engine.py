"""A model that onnxruntime runs: everything else (preprocessing, threshold, refer band, gate) is the Model's own."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.export import FORMAT
from plainfilm.export.onnx import GATE, SEAL, require, seal, write_onnx
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.gate import Gate
from plainfilm.models.model import Model
from plainfilm.storage.files import cache_dir, locked

MOST_BYTES = 2**31 - 1  # protobuf's own limit
NUMBERS = (1, 2, 3, 6, 7, 9, 10, 11)  # ONNX tensor types: float32 and 64, integers, bool, float16

VALUES = ("classes", "preprocess", "threshold", "temperature", "refer", "verdict")  # JSON; the rest is text


@dataclass
class OnnxModel(Model):
    """A Model whose probabilities come from an ONNX file; ``network`` is empty."""

    session: Any = None  # onnxruntime.InferenceSession
    engine = "onnx"

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return (B, K) float64 probabilities of (B, S, S) uint8 pixels."""
        (found,) = self.session.run(None, {"pixels": np.ascontiguousarray(pixels, np.uint8)})
        return np.asarray(found, np.float64)

    @classmethod
    def load(cls, path: str | os.PathLike[str], precision: str = "32") -> OnnxModel:
        """Return the model in an ONNX file that ``write_onnx`` wrote; it computes in 32 bits, whatever ``precision``.

        InputError in one sentence when it is not ours, was changed, refers to other files, or is not valid.
        """
        require("onnxruntime")
        path = Path(path)
        data = _read(path)
        try:
            told, gate = _checked(data)
            return cls._made(told, {key: json.loads(told[key]) for key in VALUES}, gate, _session(data))
        except InputError:
            raise
        except Exception as error:  # protobuf, the checker and the runtime each have their own, and hostile files all
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise InputError(f"{path} is not a plainfilm ONNX model that can be used ({reason}).") from None

    @classmethod
    def of_run(cls, run: str | os.PathLike[str], pixels: np.ndarray) -> OnnxModel:
        """Return the model of a run folder or model.h5 as ONNX, made and checked once and kept in the cache.

        pixels: (N, S, S) films to check it on when it is made. Everything besides the network is the run's own.
        """
        model = Model.load(run, "32")
        folder = cache_dir() / "onnx"
        path = folder / f"{model.hash}-{FORMAT}.onnx"
        if kept := cls._kept(model, path):  # a cache that can't be written to is one as well
            return kept
        with locked(folder, wait=True):
            if kept := cls._kept(model, path):
                return kept
            write_onnx(model, path, pixels)
        return cls._by(model, cls.load(path))

    @classmethod
    def _kept(cls, model: Model, path: Path) -> OnnxModel | None:
        """The model from the cache; None where the file there is damaged or another model's: it is then made anew."""
        with suppress(InputError):
            if path.exists() and (found := cls.load(path)).hash == model.hash:
                return cls._by(model, found)
        return None

    @classmethod
    def _by(cls, model: Model, exported: OnnxModel) -> OnnxModel:
        return cls(**{**vars(model), "network": nn.Identity(), "features": None, "session": exported.session})

    @classmethod
    def _made(
        cls, texts: dict[str, str], values: dict[str, Any], gate: dict[str, np.ndarray], session: Any
    ) -> OnnxModel:
        model = cls(
            network=nn.Identity(),
            name=texts["model"],
            decision=Decision.read(tuple(map(str, values["classes"])), {**values, "positive": texts["positive"]}),
            preprocess=Preprocess(**values["preprocess"]),
            gate=Gate.from_arrays(gate) if gate else None,
            verdict=dict(values["verdict"]),
            hash=texts["model_sha256"],
            session=session,
        )
        size = model.preprocess.size
        shapes = [list(value.shape[1:]) for value in (*session.get_inputs(), *session.get_outputs())]
        if shapes != [[size, size], [len(model.classes)]]:
            raise ValueError(f"its input and output have the shapes {shapes}")
        if model.gate and model.gate.size != size:
            raise ValueError(f"its gate is for films of {model.gate.size} pixels, the network for {size}")
        return model


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than 2 GB and can't be a model of ours.")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror or error}).") from None


def _checked(data: bytes) -> tuple[dict[str, str], dict[str, np.ndarray]]:  # noqa: C901, PLR0912 - a line for each thing that a file from elsewhere may lack
    """Return metadata and the gate's arrays of an ONNX file once all that could reach out or surprise was refused.

    The seal finds damage and careless edits; it is no signature.
    """
    import onnx

    proto = onnx.load_model_from_string(data)
    told = {item.key: item.value for item in proto.metadata_props}
    if told.get("plainfilm") is None or SEAL not in told:
        raise ValueError("plainfilm did not write it")
    if int(told["plainfilm"]) > FORMAT:
        raise ValueError(f"made by a newer plainfilm (format {told['plainfilm']}); update plainfilm to read it")
    if int(told["plainfilm"]) < FORMAT:
        raise ValueError("made by an older plainfilm, which left the input gate out; export it again")
    if seal(data, told[SEAL].encode()) != data:
        raise ValueError("its content does not match its check sum; restore it from a copy")
    domains = {item.domain for item in proto.opset_import} | {node.domain for node in proto.graph.node}
    if proto.functions or not domains <= {"", "ai.onnx"}:
        raise ValueError("it uses operators outside the ONNX standard")
    for node in proto.graph.node:
        if any(item.type in (item.GRAPH, item.GRAPHS) for item in node.attribute):
            raise ValueError(f"it has a branch or a loop ({node.op_type})")
    for tensor in proto.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ValueError(f"{tensor.name} lies in another file")
        if tensor.data_type not in NUMBERS:
            raise ValueError(f"{tensor.name} is no array of numbers")
    onnx.checker.check_model(proto)
    gate = [tensor for tensor in proto.graph.initializer if tensor.name.startswith(GATE)]
    return told, {tensor.name.removeprefix(GATE): onnx.numpy_helper.to_array(tensor) for tensor in gate}


def _session(data: bytes) -> Any:
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a film's pass has one thread, see models.answer
    options.log_severity_level = 3  # errors only: a warning would be one about a machine's devices
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
