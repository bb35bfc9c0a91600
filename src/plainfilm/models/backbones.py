"""Every backbone of timm (extra ``backbones``) as a network of ours: grey films in, logits out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from plainfilm.data.fetch import offline
from plainfilm.errors import InputError, did_you_mean
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.standardise import Standardise
from plainfilm.models.weight_files import ENDINGS, hash_of, not_installed, read_weights
from plainfilm.models.weights import VARIABLE, Weights, named_place

Scale: TypeAlias = tuple[Sequence[float], Sequence[float]]  # mean and deviation of each channel


class Timm(nn.Module):
    """Films (B, C, size, size) float32 in 0..1 -> logits (B, classes), by a network of timm's.

    ``scale``: mean and deviation, of each channel, of the pictures that the weights were trained on; they are part of
    the network. ``hidden``: units between features and classes, 0 for none.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, features: nn.Module, scale: Scale, classes: int, hidden: int = 0) -> None:
        super().__init__()
        self.features: Any = features
        self.feature_count = int(getattr(features, "head_hidden_size", features.num_features))  # type: ignore[arg-type]
        self.head = _head(self.feature_count, classes, hidden)
        mean, deviation = (torch.tensor(values).view(1, -1, 1, 1) for values in scale)
        self.register_buffer("mean", mean)
        self.register_buffer("std", deviation)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, feature_count): what the backbone gives its own classifier."""
        features: torch.Tensor = self.features((x - self.mean) / self.std)
        return features

    def forward_wide(self, x: torch.Tensor) -> torch.Tensor:
        """Return what ``forward_head`` and ``seen`` need: the features."""
        return self.forward_features(x)

    def seen(self, wide: torch.Tensor) -> torch.Tensor:
        """Return (B, feature_count) of what ``forward_wide`` gave: what the gate looks at."""
        return wide

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
    own = _config(name)
    return network_of(name, preprocess.size, {}, (own.mean, own.std), classes, hidden)


def network_of(name: str, size: int, built: Mapping[str, Any], scale: Scale, classes: int, hidden: int) -> Timm:
    """Return timm's network ``name``, built otherwise as ``built`` says, for films of ``size``; InputError when it
    can't take that size."""
    own = _config(name)
    sized = {"img_size": size} if own.fixed_input_size and (built or size != side(name)) else {}
    try:
        features = _timm().create_model(name, pretrained=False, num_classes=0, **sized, **built)
    except (TypeError, AssertionError, ValueError) as error:
        raise InputError(f"timm's {name} can't be built for {size} pixels ({error}).") from None
    return Timm(features, scale, classes, hidden)


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
        return read_weights(Path(file).expanduser(), "--weights")
    if (found := _named(name)) is not None:
        return read_weights(found, VARIABLE)
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
    return Weights(arrays, hash_of(arrays), f"timm {name}", Path(name))


def timm_here(name: str) -> str | None:
    """Return where PLAINFILM_WEIGHTS has the backbone's weights, None when nowhere; timm's own cache isn't searched."""
    found = _named(name)
    return f"{VARIABLE} {found}" if found else None


def put_timm(network: Timm, arrays: Mapping[str, np.ndarray]) -> None:
    """Copy ``arrays`` into the backbone; those of its own classifier are left out. InputError when they don't fit.

    The places of a vision transformer's patches are drawn out for a film of another size, as timm does it.
    """
    own = network.features.state_dict()
    given = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}  # not in every file
    given |= {name: torch.tensor(arrays[name]) for name in own if name in arrays}
    if "pos_embed" in given:
        given["pos_embed"] = _places(network.features, given["pos_embed"])
    wrong = sorted(name for name, value in own.items() if name not in given or given[name].shape != value.shape)
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise InputError(f"The weights are not this backbone's: {wrong[0]}{more} of {len(own)} arrays don't fit it.")
    network.features.load_state_dict(given)


def _places(features: Any, places: torch.Tensor) -> torch.Tensor:
    """Return ``places`` (1, tokens, width) for the network's grid of patches, where they are of another square grid."""
    before = 0 if features.no_embed_class else features.num_prefix_tokens
    patches = places.shape[1] - before if places.dim() == 3 else 0
    if patches < 1 or math.isqrt(patches) ** 2 != patches or places.shape[1:] == features.pos_embed.shape[1:]:
        return places
    grid = features.patch_embed.grid_size
    resampled: torch.Tensor = _timm().layers.resample_abs_pos_embed(places, grid, num_prefix_tokens=before)
    return resampled


def _named(name: str) -> Path | None:
    """The file for ``name`` that PLAINFILM_WEIGHTS means: itself, or one in that folder."""
    place = named_place()
    choices = [place, *(place / f"{name}{ending}" for ending in ENDINGS)] if place else []
    return next((path for path in choices if path.suffix in ENDINGS and path.is_file()), None)


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
        raise not_installed("timm") from None
    return timm
