"""A network's features by OpenVINO: any network that torch can trace, in 32 bits or in bfloat16.

One pass holds one film and has one thread, as many films side by side as there are threads: a film's features depend on
no other film. OpenVINO takes the module from memory; no file is read or written, and nothing goes to the network.
"""

from __future__ import annotations

import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import nn


class _Front(nn.Module):
    """What is traced: a network up to its features, and what the gate looks at."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what ``network.forward_wide`` gives."""
        features: torch.Tensor = cast(Any, self.network).forward_wide(x)
        return features


class OpenVino:
    """``network.forward_wide`` for films (B, C, S, S) float32 of one ``shape`` (C, S, S), by ``threads`` threads.

    ImportError where OpenVINO is not installed; what it can't take is an error of its own kind, or of torch's tracing.
    """

    name = "openvino"

    def __init__(self, network: nn.Module, shape: tuple[int, ...], bits: int, threads: int) -> None:
        openvino = _openvino()
        model = _converted(network.eval(), torch.zeros(1, *shape))
        model.reshape([1, *shape])
        self._threads = threads
        self._compiled = openvino.Core().compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "bf16" if bits == 16 else "f32",
                "EXECUTION_MODE_HINT": "PERFORMANCE" if bits == 16 else "ACCURACY",
                "NUM_STREAMS": threads,  # a stream takes one film at a time
                "INFERENCE_NUM_THREADS": threads,
                "ENABLE_CPU_PINNING": False,  # other programs and other ranks have the same cores
            },
        )
        self._free: SimpleQueue[Any] = SimpleQueue()  # requests: each has the memory of one pass

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, …) float32 features of films (B, C, S, S)."""
        films = x.contiguous().numpy()
        if len(films) == 1:
            return torch.from_numpy(self._one(films[0])[None])
        with ThreadPoolExecutor(self._threads) as pool:
            return torch.from_numpy(np.stack(list(pool.map(self._one, films))))

    def _one(self, film: np.ndarray) -> np.ndarray:
        try:
            request = self._free.get_nowait()
        except Empty:
            request = self._compiled.create_infer_request()
        found = np.asarray(request.infer({0: film[None]})[0][0], np.float32)
        self._free.put(request)
        return found


def _openvino() -> ModuleType:
    """Import OpenVINO without its companion that counts users: it writes to their home as soon as it is imported."""
    sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))
    import openvino

    return cast(ModuleType, openvino)


def _converted(network: nn.Module, film: torch.Tensor) -> Any:
    """Return OpenVINO's model of ``network``, traced with ``film`` (1, C, S, S)."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit is on its way out; OpenVINO 2026.4 still traces by it
        decoder = TorchScriptPythonDecoder(_Front(network), example_input=film, trace_kwargs={"check_trace": False})
        front_end = FrontEndManager().load_by_framework("pytorch")
        return front_end.convert(front_end.load(decoder))
