"""A model that ONNX Runtime runs; it needs no torch."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.errors import InputError, PlainfilmError
from plainfilm.evaluation.decision import Decision, apply_temperature
from plainfilm.evaluation.findings import FindingsDecision, rule_of
from plainfilm.export import about
from plainfilm.export.onnx_file import LARGEST_DIFFERENCE, checked, read, require, sealed, with_temperature
from plainfilm.export.session import session_of
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.gate import Gate
from plainfilm.models.reads import Reads
from plainfilm.storage.files import replacing, to_json

FINDINGS = "findings"  # the rule of each, in a model of several
VALUES = ("classes", "preprocess", "threshold", "temperature", "refer", "verdict")  # JSON; the rest is text
IF_THERE = (FINDINGS, "promises", "adapted")


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
    provenance: dict[str, Any] = field(default_factory=dict)
    temperature: float = 1.0  # what the graph itself divides logits by
    path: Path | None = field(default=None, repr=False)
    engine = "onnx"

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return (B, K) float64 probabilities of (B, S, S) uint8 pixels."""
        return self.answered(pixels)[0]

    def answered(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return (B, K) float64 probabilities of (B, S, S) uint8 pixels, and what the gate looks at, (B, D) float32."""
        given, *seen = self.session.run(None, {"pixels": np.ascontiguousarray(pixels, np.uint8)})
        found = np.asarray(given, np.float64)
        return found if self._further == 1 else apply_temperature(found, self._further), seen[0] if seen else None

    @property
    def _further(self) -> float:
        """The temperature of the rule of decision, against the graph's own."""
        return self.decision.temperature / self.temperature if isinstance(self.decision, Decision) else 1.0

    def save(self, path: Path) -> None:
        """Write the model's file again with the rule of decision that the model has by now, its temperature in the
        graph, and another hash. PlainfilmError, and no file, when the two would answer differently."""
        assert self.path is not None and isinstance(self.decision, Decision)
        self.hash = hashlib.sha256(f"{self.hash} {to_json(self.decision.about)}".encode()).hexdigest()
        told = {**about(self), "adapted": self.provenance.get("adapted", {})}
        data = sealed(with_temperature(read(self.path), self._further, told))
        size = self.preprocess.size
        noise = np.random.default_rng(0).integers(0, 256, (2, size, size), np.uint8)
        with replacing(path) as temporary:
            temporary.write_bytes(data)
            difference = np.abs(self.probabilities(noise) - OnnxModel.load(temporary).probabilities(noise)).max()
            if not difference <= LARGEST_DIFFERENCE:
                raise PlainfilmError(f"{path} was not kept: its probabilities differ by up to {difference:.2g}.")

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
            known = [*VALUES, *(key for key in IF_THERE if key in told)]
            model = cls._made(told, {key: json.loads(told[key]) for key in known}, gate, session_of(data))
            model.path = path
            return model
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
            provenance={"adapted": dict(values["adapted"])} if values.get("adapted") else {},
        )
        if isinstance(model.decision, Decision):
            model.temperature = model.decision.temperature
        size = model.preprocess.size
        shapes = [list(value.shape[1:]) for value in (*session.get_inputs(), *session.get_outputs())]
        looked_at = [[model.gate.looked_at]] if model.gate and model.gate.looked_at else []
        if shapes != [[size, size], [len(model.classes)], *looked_at]:
            raise ValueError(f"its input and outputs have the shapes {shapes}")
        if model.gate and model.gate.size != size:
            raise ValueError(f"its gate is for films of {model.gate.size} pixels, the network for {size}")
        return model
