"""A trained model: preprocessing, one network from film to logits, classes, threshold. Speaks scikit-learn."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

from plainfilm.catalogue import ENSEMBLE
from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.findings import FindingsDecision, rule_of
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.averaging import Ensemble, rebuilt
from plainfilm.models.bundle import read_bundle, write_bundle
from plainfilm.models.engines import Features
from plainfilm.models.gate import Gate
from plainfilm.models.mixed import one_thread
from plainfilm.models.precision import of_model
from plainfilm.models.reads import BATCH as BATCH
from plainfilm.models.reads import Reads
from plainfilm.models.reads import batches as batches
from plainfilm.models.zoo import built, recipe
from plainfilm.storage import folders

if TYPE_CHECKING:
    from plainfilm.image.store import Rows
    from plainfilm.models.backbone import Backbone

# By how much 16 bits may move log-odds of a model that does not say it: the most that was seen was .75, of 5,216 films
# by a `best` of two epochs (docs/evidence/real-films.md).
MARGIN = 0.8


@dataclass
class Model(Reads):
    """``network`` maps (B, C, S, S) float32 to (B, K) logits; ``predict_proba`` takes films in any form.

    Where layers multiply 16-bit floats, a film whose label or referral that may decide is passed again in 32 bits, and
    this is the answer: in predictions.csv, labels, service and evaluation alike.
    """

    network: nn.Module
    name: str
    decision: Decision | FindingsDecision
    preprocess: Preprocess
    provenance: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, np.ndarray] = field(default_factory=dict)
    hash: str = ""  # SHA-256 of the file it was loaded from
    gate: Gate | None = None  # does a film look like the training films?
    verdict: dict[str, Any] = field(default_factory=dict)  # what the report says in short
    features: Features | None = field(default=None, repr=False)  # runs the network's front faster, if set
    single: Features | None = field(default=None, repr=False)  # the same in 32 bits
    margin: float | None = None  # the most that 16 bits moved log-odds, see ``moved``; None where that is not known

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return (B, K) float64 probabilities of (B, S, S) uint8 pixels as the store holds them."""
        return self.answered(pixels)[0]

    def answered(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return (B, K) float64 probabilities of (B, S, S) uint8 pixels and what the gate looks at, (B, D) float32."""
        logits, seen = self.passed(pixels)
        return self.from_logits(self.settled(logits, pixels)), None if seen is None else seen.cpu().numpy()

    def settled(self, logits: torch.Tensor, pixels: np.ndarray | Rows) -> torch.Tensor:
        """Return (B, K) ``logits`` of (B, S, S) ``pixels``, those of films that 16 bits may decide otherwise by a pass
        in 32 bits: each alone and by one thread, so that they do not depend on the other films."""
        if not (films := self.unsure(logits)):
            return logits
        found = logits.clone()
        with one_thread():
            for film in films:
                found[film] = self.in_32_bits(pixels[film : film + 1])[0]
        return found

    def unsure(self, logits: torch.Tensor) -> list[int]:
        """Return which films of (B, K) ``logits`` 16 bits may label or refer otherwise; none where passes have 32."""
        if self.bits == 32:
            return []
        margin = MARGIN if self.margin is None else self.margin
        return np.flatnonzero(self.decision.near(self.from_logits(logits), margin)).tolist()

    def moved(self, pixels: np.ndarray) -> np.ndarray:
        """Return (B,) by how much 16 bits move the log-odds of (B, S, S) uint8 pixels, before the temperature."""
        return self.decision.moved(self.passed(pixels)[0].cpu().numpy(), self.in_32_bits(pixels).cpu().numpy())

    def passed(self, pixels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return (B, K) logits of (B, S, S) uint8 pixels and what the gate looks at, (B, D): None of joined networks,
        whose members each have their own."""
        return self._passed(pixels, self.features)

    def in_32_bits(self, pixels: np.ndarray) -> torch.Tensor:
        """Return (B, K) logits of (B, S, S) uint8 pixels by a pass in 32 bits."""
        return self._passed(pixels, self.single)[0]

    @torch.inference_mode()
    def _passed(self, pixels: np.ndarray, features: Features | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        device = next(self.network.parameters()).device
        if self.network.training:
            self.network.eval()
        x = self.preprocess.tensor(torch.from_numpy(np.ascontiguousarray(pixels)).to(device))
        return through(self.network, x.contiguous(memory_format=torch.channels_last), features)

    def from_logits(self, logits: torch.Tensor) -> np.ndarray:
        """Return (B, K) float64 probabilities of logits, as the rule of decision has it."""
        return np.asarray(self.decision.chances(logits.detach().double().cpu()).numpy())

    def twin(self) -> Model:
        """Return a model with the same weights (no second copy of them) and layers of its own: heat maps hang hooks on
        theirs, and films pass through the others meanwhile."""
        weights = chain(self.network.parameters(), self.network.buffers())
        return replace(self, network=deepcopy(self.network, {id(tensor): tensor for tensor in weights}))

    def save(self, path: str | Path) -> None:
        """Write model.h5: weights, optimiser state and everything needed to label, explain, export and serve."""
        about = {
            "model": self.name,
            "classes": self.classes,
            "preprocess": self.preprocess.as_dict(),
            **self.decision.about,
            "verdict": self.verdict,
            "provenance": self.provenance,
            **({} if self.margin is None else {"margin": self.margin}),
            **(self.network.about() if isinstance(self.network, Ensemble) else {}),
        }
        arrays = {f"weights/{k}": v for k, v in to_arrays(self.network.state_dict()).items()}
        arrays |= {f"optimizer/{k}": v for k, v in self.optimizer.items()}
        arrays |= {f"gate/{k}": v for k, v in (self.gate.arrays() if self.gate else {}).items()}
        write_bundle(path, "model", arrays, about)

    @classmethod
    def load(cls, path: str | os.PathLike[str], precision: str = "auto") -> Model:
        """Return the model in a model.h5 (or in a run folder that holds one).

        precision: bits of its passes, "32" or "16"; "auto" = those of its own predictions, where they are available.
        InputError in one sentence when it is not ours, damaged, of a newer version, or does not fit together.

        >>> model = pf.Model.load("runs/small")
        >>> model.classes, model.predict_proba(pf.load("demo:60")[:3]).shape
        (('NORMAL', 'PNEUMONIA'), (3, 2))
        """
        path = Path(path)
        if path.is_dir() and not (path / folders.MODEL).exists() and (inner := sorted(path.glob(f"*/{folders.MODEL}"))):
            raise InputError(f"{path} holds {len(inner)} models; name one of them, such as {inner[0].parent}.")
        path = path / folders.MODEL if path.is_dir() else path
        bundle = read_bundle(path)
        try:
            about = bundle.about
            preprocess = Preprocess(**about["preprocess"])
            classes = tuple(str(name) for name in about["classes"])
            if not 2 <= len(classes) == len(set(classes)):
                raise ValueError(f"its classes are {', '.join(classes) or 'none'}; two or more are needed, each once")
            weights = bundle.group("weights")
            network = _built(about, len(classes), preprocess, weights)
            load_arrays(network, weights)
            gate = bundle.group("gate")
            model = cls(
                network.to(memory_format=torch.channels_last),
                str(about["model"]),
                rule_of(classes, about),
                preprocess,
                dict(about["provenance"]),
                bundle.group("optimizer"),
                gate=Gate.from_arrays(gate) if gate else None,
                verdict=dict(about.get("verdict", {})),
                margin=_margin(about),
            )
            bits = of_model(precision, model.provenance)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"{path} does not fit together: {error}.") from None
        if model.gate and model.gate.size != preprocess.size:
            raise InputError(f"{path} does not fit together: its gate is for films of {model.gate.size} pixels.")
        model.hash = hashlib.sha256(path.read_bytes()).hexdigest()
        network.eval()
        model.speed_up(bits)
        return model

    def speed_up(self, bits: int = 32) -> None:
        """Have the network's front computed by the fastest engine at hand from here on, with ``bits`` (32 or 16)."""
        if isinstance(self.network, Ensemble):
            return
        network = cast("Backbone", self.network)
        self.single = Features(network) if recipe(self.name).pretrained == "vgg16" else None
        self.features = Features(network, 16) if bits == 16 else self.single

    @property
    def bits(self) -> int:
        """Bits of the passes, 32 or 16."""
        return self.features.bits if self.features and self.features.network is self.network else 32

    @property
    def engine(self) -> str:
        """What makes the probabilities: films that another has answered may differ in their last digits."""
        return "torch16" if self.bits == 16 else "torch"


def through(
    network: nn.Module, x: torch.Tensor, features: Features | None = None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return what ``Model.passed`` does, of films (B, C, S, S) float32 as the network takes them."""
    if not hasattr(network, "forward_wide"):
        return network(x), None
    backbone = cast("Backbone", network)
    wide = (features if features and features.network is network else backbone.forward_wide)(x)
    return backbone.forward_head(wide), backbone.seen(wide).float()


def _margin(about: Mapping[str, Any]) -> float | None:
    """The margin that a model file holds; ValueError or TypeError where it is none."""
    if (told := about.get("margin")) is None:
        return None
    if not 0 <= float(told) < np.inf:
        raise ValueError(f"its margin between 16 and 32 bits is {told}")
    return float(told)


def _built(
    about: Mapping[str, Any], classes: int, preprocess: Preprocess, weights: Mapping[str, np.ndarray]
) -> nn.Module:
    """The network that a model file describes, with random weights."""
    name = str(about["model"])
    if name.startswith(ENSEMBLE) != ("members" in about):  # the name alone would have runs read
        raise ValueError(f"{name[:60]!r} is not the name of what it holds")
    if "members" in about:
        return rebuilt(about, classes, preprocess.size, weights)
    return built(name, classes, preprocess, weights)


def to_arrays(state: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return a state dict as plain arrays."""
    return {name: value.detach().cpu().contiguous().numpy() for name, value in state.items()}


def load_arrays(network: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Copy ``arrays`` into ``network``; ValueError when names, shapes or types differ or a value is not finite."""
    own = network.state_dict()
    if set(own) != set(arrays):
        raise ValueError(f"its layers are not those of the named model ({len(arrays)} arrays for {len(own)})")
    for name, value in arrays.items():
        if tuple(own[name].shape) != value.shape:
            raise ValueError(f"{name} has the shape {value.shape} instead of {tuple(own[name].shape)}")
        if not np.isfinite(value).all():
            raise ValueError(f"{name} holds values that are not finite")
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in arrays.items()})
