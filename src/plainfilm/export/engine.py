"""A model that ONNX Runtime runs; it needs no torch."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.findings import FindingsDecision, rule_of
from plainfilm.export.onnx_file import checked, read, require
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.gate import Gate
from plainfilm.models.reads import Reads

FINDINGS = "findings"  # the rule of each, in a model of several
VALUES = ("classes", "preprocess", "threshold", "temperature", "refer", "verdict")  # JSON; the rest is text


@dataclass
class OnnxModel(Reads):
    """A model whose probabilities come from an ONNX file; it holds no network that could be explained or trained."""

    name: str
    decision: Decision | FindingsDecision
    preprocess: Preprocess
    session: Any = field(repr=False)  # onnxruntime.InferenceSession
    hash: str = ""
    gate: Gate | None = None
    verdict: dict[str, Any] = field(default_factory=dict)
    engine = "onnx"

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return (B, K) float64 probabilities of (B, S, S) uint8 pixels."""
        (found,) = self.session.run(None, {"pixels": np.ascontiguousarray(pixels, np.uint8)})
        return np.asarray(found, np.float64)

    @classmethod
    def load(cls, path: str | os.PathLike[str], precision: str = "32") -> OnnxModel:
        """Return the model in an ONNX file that ``export.onnx`` wrote; it computes in 32 bits, whatever ``precision``.

        InputError in one sentence when it is not ours, was changed, refers to other files, or is not valid.
        """
        require("onnxruntime")
        path = Path(path)
        data = read(path)
        try:
            told, gate = checked(data)
            known = [*VALUES, *(key for key in (FINDINGS,) if key in told)]
            return cls._made(told, {key: json.loads(told[key]) for key in known}, gate, _session(data))
        except InputError:
            raise
        except Exception as error:  # protobuf, the checker and the runtime each have their own, and hostile files all
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise InputError(f"{path} is not a plainfilm ONNX model that can be used ({reason}).") from None

    @classmethod
    def _made(
        cls, texts: dict[str, str], values: dict[str, Any], gate: dict[str, np.ndarray], session: Any
    ) -> OnnxModel:
        model = cls(
            name=texts["model"],
            decision=rule_of(tuple(map(str, values["classes"])), {**values, "positive": texts["positive"]}),
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


def _session(data: bytes) -> Any:
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a film's pass has one thread, see models.answer
    options.log_severity_level = 3  # errors only: a warning would be one about a machine's devices
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
