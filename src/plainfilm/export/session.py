"""ONNX Runtime, as every ONNX file is run here; apart, so that the process that tries one imports little."""

from __future__ import annotations

from typing import Any


def session_of(data: bytes) -> Any:
    """Return an onnxruntime.InferenceSession of a file's bytes: on the CPU, one thread per film, silent."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a film's pass has one thread, see models.answer
    options.log_severity_level = 3  # errors only: a warning would be one about a machine's devices
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
