"""Every backbone of timm (extra ``backbones``) as a network of ours: grey films in, logits out."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from plainfilm.data.fetch import offline
from plainfilm.errors import InputError, did_you_mean
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.standardise import Standardise
from plainfilm.models.weights import VARIABLE, Arrays, Weights, named_place

ENDINGS = (".safetensors", ".npz")


class Timm(nn.Module):
    """Films (B, 3, size, size) float32 in 0..1 -> logits (B, classes).

    Mean and deviation of the pictures that the weights were trained on are part of the network. ``hidden``: units
    between features and classes, 0 for none.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, name: str, classes: int, size: int, hidden: int = 0) -> None:
        super().__init__()
        own = _config(name)
        more = {"img_size": size} if own.fixed_input_size and size != side(name) else {}
        self.features: nn.Module = _timm().create_model(name, pretrained=False, num_classes=0, **more)
        self.feature_count = int(self.features.num_features)
        if hasattr(self.features, "head_hidden_size"):
            self.feature_count = int(self.features.head_hidden_size)
        self.head = _head(self.feature_count, classes, hidden)
        self.register_buffer("mean", torch.tensor(own.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(own.std).view(1, 3, 1, 1))

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, feature_count): what the backbone gives its own classifier."""
        features: torch.Tensor = self.features((x - self.mean) / self.std)
        return features

    def forward_head(self, features: torch.Tensor) -> torch.Tensor:
        """Return (B, classes) logits of (B, feature_count) features."""
        logits: torch.Tensor = self.head(features)
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, classes) logits."""
        return self.forward_head(self.forward_features(x))


def _head(width: int, classes: int, hidden: int) -> nn.Sequential:
    if not hidden:
        return nn.Sequential(nn.Dropout(0.2), nn.Linear(width, classes))
    between = nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(0.5)
    return nn.Sequential(Standardise(width), *between, nn.Linear(hidden, classes))


def build(name: str, hidden: int, classes: int, preprocess: Preprocess) -> Timm:
    """Return the backbone ``name`` for films of ``preprocess.size``; InputError when it can't take that size."""
    try:
        return Timm(name, classes, preprocess.size, hidden)
    except (TypeError, AssertionError, ValueError) as error:
        raise InputError(f"timm's {name} can't be built for {preprocess.size} pixels ({error}).") from None


def side(name: str) -> int:
    """Return the side of the square input, in pixels, that the backbone's weights were trained on."""
    return int(_config(name).input_size[-1])


def licence(name: str) -> str:
    """Return the licence of the backbone's weights, as timm gives it."""
    return str(_config(name).license or "see the model's page")


def timm_weights(name: str, file: str | Path | None = None) -> Weights:
    """Return the backbone's arrays: from ``file`` or PLAINFILM_WEIGHTS (safetensors or npz; a folder holds
    NAME.safetensors or NAME.npz), else from timm, which keeps what it downloads. InputError when there are none."""
    if file is not None:
        return _read(Path(file).expanduser(), "--weights")
    if (found := _named(name)) is not None:
        return _read(found, VARIABLE)
    if offline():
        raise InputError(
            f"PLAINFILM_OFFLINE is set, and there is no file with {name}'s weights: name one by --weights."
        )
    try:
        model = _timm().create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # of the network, of the hub's client, of timm: many kinds
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"The weights of timm's {name} could not be fetched ({said[:160]}); bring its safetensors file by other "
            "means and name it by --weights."
        ) from None
    arrays = {key: value.numpy() for key, value in model.state_dict().items()}
    return Weights(arrays, _hash(arrays), f"timm {name}", Path(name))


def timm_here(name: str) -> str | None:
    """Return where PLAINFILM_WEIGHTS has the backbone's weights, None when nowhere; timm's own cache isn't searched."""
    found = _named(name)
    return f"{VARIABLE} {found}" if found else None


def put_timm(network: Timm, arrays: Mapping[str, np.ndarray]) -> None:
    """Copy ``arrays`` into the backbone; those of its own classifier are left out. InputError when they don't fit."""
    own = network.features.state_dict()
    missing = sorted(set(own) - set(arrays))
    wrong = missing or [k for k, value in own.items() if tuple(value.shape) != np.shape(arrays[k])]
    if wrong:
        raise InputError(f"The weights are not this backbone's: {wrong[0]} and {len(wrong) - 1} more don't fit it.")
    network.features.load_state_dict({name: torch.tensor(arrays[name]) for name in own})


def _named(name: str) -> Path | None:
    """The file for ``name`` that PLAINFILM_WEIGHTS means: itself, or one in that folder."""
    place = named_place()
    choices = [place, *(place / f"{name}{ending}" for ending in ENDINGS)] if place else []
    return next((path for path in choices if path.suffix in ENDINGS and path.is_file()), None)


def _read(path: Path, option: str) -> Weights:
    arrays = _safetensors(path) if path.suffix == ".safetensors" else _npz(path)
    return Weights(arrays, _hash(arrays), f"{option} {path}", path)


def _safetensors(path: Path) -> Arrays:
    try:
        import safetensors
        from safetensors.numpy import load_file
    except ImportError:
        raise _missing("safetensors") from None
    try:
        arrays: Arrays = load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} can't be read as safetensors ({str(error)[:160]}).") from None
    return arrays


def _npz(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        said = str(error)[:160]
        raise InputError(f"{path} can't be read as weights, safetensors or npz ({said}).") from None


def _hash(arrays: Mapping[str, np.ndarray]) -> str:
    total = hashlib.sha256()
    for name in sorted(arrays):
        total.update(f"{name} {arrays[name].shape} {arrays[name].dtype}\n".encode())
        total.update(np.ascontiguousarray(arrays[name]).tobytes())
    return total.hexdigest()


def _config(name: str) -> Any:
    timm = _timm()
    if not timm.is_model(name):
        architecture = name.partition(".")[0]
        near = timm.list_models(f"{architecture[:4]}*") or timm.list_models("resnet*")
        raise InputError(f"timm has no backbone '{name}'.{did_you_mean(name, near[:20])}")
    try:
        return timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:  # a tag of weights that does not exist
        raise InputError(f"timm: {str(error).splitlines()[0].rstrip('.')}.") from None


def _timm() -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # timm 1.0 annotates for torch.jit, which is on its way out
            import timm
    except ImportError:
        raise _missing("timm") from None
    return timm


def _missing(package: str) -> InputError:
    return InputError(f"{package} is not installed; install it with: pip install 'plainfilm[backbones]'.")
