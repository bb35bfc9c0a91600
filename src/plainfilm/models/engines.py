"""The engines that give a network's features outside of training, and which of them is used.

In 32 bits the plain way is the network's own ``forward_wide``; VGG16's frozen layers go through ncnn where it is
installed, whose Winograd convolutions need fewer multiplications. In 16 bits (bfloat16) it is OpenVINO or torch,
whichever takes less time here. An engine is held against torch in 32 bits on the first films that come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from plainfilm.machine import processor
from plainfilm.models.backbone import Backbone, Front
from plainfilm.models.mixed import half, one_thread
from plainfilm.models.openvino import OpenVino
from plainfilm.progress import say

Pass: TypeAlias = Callable[[torch.Tensor], torch.Tensor]  # films (B, C, S, S) float32 -> features (B, …) float32

# Of the largest feature. Rounding in 32 bits stays below 1e-5, and 16-bit floats are 1e-3 off and more.
TOLERANCE = {32: 1e-4, 16: 5e-2}
FIRST = 2  # films that both engines are given, so that they can be compared
MAGIC = "7767517"  # the first line of a net in ncnn's words
SAME = ((3, 3), (1, 1), (1, 1))  # kernel, stride and padding of VGG16's convolutions
RAW = bytes(4)  # ncnn's mark before a layer's weights: 32-bit floats follow


class Features:
    """A network's ``forward_wide`` in ``bits`` (32 or 16) by the fastest engine at hand; torch where none can.

    The choice is made, and said with its reason, when the first films come; ``name`` is the engine's from then on.
    """

    def __init__(self, network: Backbone | Front, bits: int = 32) -> None:
        self.network, self.bits, self.name = network, bits, ""
        self._fast: Pass | None = None
        self._threads = torch.get_num_threads()  # of the command; those that label films have one each
        self._choosing = Lock()  # several films may be the first

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return what ``network.forward_wide`` gives for films (B, C, S, S) float32, on their device."""
        with self._choosing:
            if not self.name:
                self._fast, self.name, why = self._choose(x[:FIRST])
                say(f"Features by {self.name}{' in 16 bits' * (self.bits == 16)}: {why}.")
        return self._fast(x) if self._fast else self._by_torch(x)

    def _by_torch(self, x: torch.Tensor, bits: int = 0) -> torch.Tensor:
        with half(x.device, (bits or self.bits) == 16):
            return self.network.forward_wide(x.contiguous(memory_format=torch.channels_last)).float()

    def _choose(self, x: torch.Tensor) -> tuple[Pass | None, str, str]:
        if x.device.type != "cpu":
            return None, "torch", f"the network is on {x.device}"
        name = "ncnn" if self.bits == 32 else "openvino"
        try:
            fast = self._engine(tuple(x.shape[1:]), self._threads)
            expected, found = self._by_torch(x, 32), fast(x)
        except ImportError:
            return None, "torch", f"{name}, about twice as fast, is not installed (pip install 'plainfilm[fast]')"
        except Exception as error:
            if self.bits == 32 and not isinstance(error, ValueError):
                raise
            return None, "torch", _first_line(error)  # of torch's tracing or OpenVINO's many parts
        difference = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))
        if not difference <= TOLERANCE[self.bits]:
            return None, "torch", f"{name} differs from it by {difference:.0e} of the largest feature"
        if self.bits == 16 and (share := self._share(x[:1])) >= 1:
            return None, "torch", f"{name} takes {share:.2f} of its time"
        why = f"its features differ from PyTorch's by at most {difference:.0e} of the largest"
        return fast, name, why

    def _engine(self, shape: tuple[int, ...], threads: int) -> Pass:
        """Return the engine that may be used in torch's place, where it takes these layers."""
        if self.bits == 32:
            return Ncnn(getattr(self.network, "features", self.network), shape)
        if not processor.multiplies_bfloat16():
            raise ValueError("this processor only emulates bfloat16")
        return OpenVino(self.network, shape, self.bits, threads)

    def _share(self, film: torch.Tensor) -> float:
        """Return the share of torch's time that OpenVINO takes, both in 16 bits, for a film (1, C, S, S)."""
        found = seconds(self.network, film)
        return found.get("openvino 16", float("inf")) / found["torch 16"]


def seconds(network: Backbone | Front, film: torch.Tensor) -> dict[str, float]:
    """Return processor seconds of one ``film`` (1, C, S, S) by each engine and precision that this machine has:
    "torch 32", "torch 16", "ncnn 32", "openvino 16"."""
    shape = tuple(film.shape[1:])

    def prepare() -> dict[str, Callable[[], object]]:
        single, double = Features(network), Features(network, 16)
        ways = {"torch 32": partial(single._by_torch, film), "torch 16": partial(double._by_torch, film)}
        for name, features in (("ncnn 32", single), ("openvino 16", double)):
            with suppress(Exception):  # not installed, or not for this network: Features says which when it is asked
                engine = features._engine(shape, 1)
                engine(film)  # ncnn sees the layers when the first film comes
                ways[name] = partial(engine, film)
        return dict(ways)

    with one_thread(), torch.inference_mode():
        return processor.seconds(f"features of {described(network)} {shape}", prepare)


def described(network: nn.Module) -> str:
    """Return a short name of a network's layers, whatever their values."""
    return f"{type(network).__name__} {hashlib.sha256(repr(network).encode()).hexdigest()[:12]}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]


class Ncnn:
    """Layers of VGG's kind in ncnn. Films (B, C, S, S) float32 -> (B, …), each film in a pass of its own.

    Several films are spread over the threads, one each: threads that share a film wait for each other hundreds of times
    a pass, which on a busy machine costs more than it brings (LOG.md). Where films come one by one, each gets all
    threads; its features are the same to the last bit.

    ImportError when ncnn is not installed; ValueError, on the first films, for layers that VGG16 does not have.
    """

    def __init__(self, layers: nn.Module, shape: tuple[int, ...]) -> None:
        import ncnn

        self._ncnn = ncnn
        self._layers, self._shape = layers, shape
        self._nets: dict[int, Any] = {}  # by number of threads

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the last of the layers gives."""
        films, threads = x.contiguous().numpy(), torch.get_num_threads()
        if len(films) == 1 and 1 not in self._nets:  # a batch's last film needs no second copy of the weights
            return torch.from_numpy(self._one(films[0], self.net(threads))[None])
        with ThreadPoolExecutor(threads) as pool:
            return torch.from_numpy(np.stack(list(pool.map(partial(self._one, net=self.net(1)), films))))

    def net(self, threads: int) -> Any:
        """Return the ncnn.Net that uses so many threads a film; made when it is first asked for."""
        if threads not in self._nets:
            net = self._ncnn.Net()
            for option in dir(net.opt):
                if option.startswith(("use_fp16", "use_bf16", "use_int8", "use_vulkan")):
                    setattr(net.opt, option, False)  # ncnn takes half precision where a processor has it
            net.opt.num_threads = threads
            text, values = told(self._layers.children(), self._shape)
            if net.load_param_mem(text):
                raise ValueError("ncnn does not take the network's layers")
            net.load_model_mem(values)  # copies them
            self._nets[threads] = net
        return self._nets[threads]

    def _one(self, film: np.ndarray, net: Any) -> np.ndarray:
        extractor = net.create_extractor()
        extractor.input(0, self._ncnn.Mat(film))
        failed, found = extractor.extract(len(net.blobs()) - 1)
        if failed:
            raise MemoryError(f"ncnn gave up on a film (code {failed})")
        return np.array(found)


def told(layers: Iterable[nn.Module], shape: tuple[int, ...]) -> tuple[str, bytes]:
    """Return ``layers`` for films of ``shape`` (C, H, W) as ncnn reads a net: a line a layer, and their values.

    A line is: kind, name, numbers of inputs and outputs, input, output, parameters by number
    (https://github.com/Tencent/ncnn/wiki/operators). ValueError for a layer that VGG16's front does not have.
    """
    channels, height, width = shape
    lines, values = [f"Input film 0 1 0 0={width} 1={height} 2={channels}"], []
    for layer in layers:
        names = f"{len(lines)} 1 1 {len(lines) - 1} {len(lines)}"
        if isinstance(layer, nn.Conv2d) and (layer.kernel_size, layer.stride, layer.padding) == SAME:
            assert layer.bias is not None
            lines.append(f"Convolution {names} 0={layer.out_channels} 1=3 4=1 5=1 6={layer.weight.numel()}")
            values += [RAW, _bytes(layer.weight), _bytes(layer.bias)]
        elif isinstance(layer, nn.ReLU) and lines[-1].startswith("Convolution"):
            lines[-1] += " 9=1"
        elif isinstance(layer, nn.MaxPool2d) and layer.kernel_size == layer.stride == 2:
            lines.append(f"Pooling {names} 1=2 2=2 5=1")
        elif isinstance(layer, nn.Flatten):
            lines.append(f"Flatten {names}")
        else:
            raise ValueError(f"ncnn is used for VGG16 only, and this network has a {type(layer).__name__}")
    return "\n".join([MAGIC, f"{len(lines)} {len(lines)}", *lines, ""]), b"".join(values)


def _bytes(values: Any) -> bytes:
    return bytes(values.detach().numpy().astype("<f4").tobytes())
