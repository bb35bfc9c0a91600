"""A trained model: preprocessing, one network from film to logits, classes, threshold. Speaks scikit-learn."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from torch import nn

from plainfilm.catalogue import ENSEMBLE
from plainfilm.data.films import Film, FilmError
from plainfilm.data.frames import to_html
from plainfilm.data.reading import read_file
from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision, softened
from plainfilm.evaluation.intervals import Interval
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.averaging import Ensemble, rebuilt
from plainfilm.models.bundle import read_bundle, write_bundle
from plainfilm.models.engines import Features
from plainfilm.models.gate import Gate
from plainfilm.models.precision import of_model
from plainfilm.models.zoo import built, recipe

if TYPE_CHECKING:
    from plainfilm.models.vgg import VGG

T = TypeVar("T")
BATCH = 32  # films a pass when labelling


@dataclass
class Model:
    """``network`` maps (B, C, S, S) float32 to (B, K) logits; ``predict_proba`` takes films in any form."""

    network: nn.Module
    name: str
    decision: Decision
    preprocess: Preprocess
    provenance: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, np.ndarray] = field(default_factory=dict)
    hash: str = ""  # SHA-256 of the file it was loaded from
    gate: Gate | None = None  # does a film look like the training films?
    verdict: dict[str, Any] = field(default_factory=dict)  # what the report says in short
    features: Features | None = field(default=None, repr=False)  # runs the network's front faster, if set

    @property
    def classes(self) -> tuple[str, ...]:
        """The K classes, in the order of the probabilities' columns."""
        return self.decision.classes

    @property
    def classes_(self) -> np.ndarray:
        """(K,) the same as an array, as scikit-learn has it."""
        return np.array(self.classes)

    def fit(self, films: Any = None, labels: Any = None) -> Model:
        """Return the model as it is, trained already: scikit-learn's tools may call it (as its FrozenEstimator)."""
        return self

    def score(self, films: Sequence[Any] | np.ndarray, labels: Sequence[str]) -> float:
        """Return the share of films that get the class named in ``labels`` (N,)."""
        return float(np.mean(self.predict(films) == np.asarray(labels)))

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> Model:
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        two = ClassifierTags(multi_class=len(self.classes) > 2)
        inputs = InputTags(two_d_array=False, string=True)
        return Tags(
            "classifier", TargetTags(required=False), classifier_tags=two, input_tags=inputs, requires_fit=False
        )

    def _repr_html_(self) -> str:
        scores = self.verdict.get("scores", {})
        rows = [(name, str(Interval(**found))) for name, found in scores.items()]
        decision = (
            f"{self.decision.positive} from {self.threshold:.3f} on" if self.decision.two else "the likeliest class"
        )
        about = f"{self.name}: {', '.join(self.classes)}; {decision}. {self.verdict.get('protocol', '')}"
        return to_html(about, ("score", f"on {self.verdict.get('films', 0):,} films (95 % interval)"), rows)

    @property
    def threshold(self) -> float:
        """The positive class's probability from which a film gets that class; with two classes only."""
        return float(self.decision.threshold)

    def predict_proba(self, films: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Return (N, K) float64 probabilities of paths, bytes, (H, W) uint8 arrays, or plainfilm's own films (``Films``
        or ``Film``); a lone path, bytes or ``Film`` are one film.

        FilmError for a film that can't be read.
        """
        films = [films] if isinstance(films, str | bytes | os.PathLike | Film) else films
        rows = (self._pixels(film) for film in films)
        parts = [self.probabilities(np.stack(batch)) for batch in batches(rows, BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.classes)))

    def _pixels(self, film: Any) -> np.ndarray:
        if isinstance(film, bytes):
            return self.preprocess.read(film)
        if not isinstance(film, np.ndarray):
            own = isinstance(film, Film)
            try:
                return self.preprocess.read(film.read() if own else read_file(Path(film)))
            except FilmError as error:
                raise FilmError(f"{film.path if own else film}: {error}") from None
        if film.ndim != 2 or film.dtype != np.uint8:
            raise InputError(f"An array of a film must be (H, W) uint8, not {film.shape} {film.dtype}.")
        return self.preprocess.pixels(film)

    def predict(self, films: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Return (N,) class names, by the threshold for two classes, else the most probable."""
        return np.asarray(self.classes_[self.decision.decide(self.predict_proba(films))])

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return (B, K) float64 probabilities of (B, S, S) uint8 pixels as the store holds them."""
        return self.from_logits(self.logits(pixels))

    @torch.inference_mode()
    def logits(self, pixels: np.ndarray) -> torch.Tensor:
        """Return (B, K) logits of (B, S, S) uint8 pixels, before the temperature."""
        device = next(self.network.parameters()).device
        self.network.eval()
        x = self.preprocess.tensor(torch.from_numpy(np.ascontiguousarray(pixels)).to(device))
        if self.features and self.features.network is self.network:
            return cast("VGG", self.network).forward_head(self.features(x))
        logits: torch.Tensor = self.network(x.contiguous(memory_format=torch.channels_last))
        return logits

    def from_logits(self, logits: torch.Tensor) -> np.ndarray:
        """Return (B, K) float64 probabilities: softmax of logits over the temperature."""
        return torch.softmax(softened(logits.detach().double().cpu(), self.decision.temperature), 1).numpy()

    def save(self, path: str | Path) -> None:
        """Write model.h5: weights, optimiser state and everything needed to label, explain, export and serve."""
        about = {
            "model": self.name,
            "classes": self.classes,
            "preprocess": self.preprocess.as_dict(),
            **self.decision.about,
            "verdict": self.verdict,
            "provenance": self.provenance,
            **(self.network.about() if isinstance(self.network, Ensemble) else {}),
        }
        arrays = {f"weights/{k}": v for k, v in to_arrays(self.network.state_dict()).items()}
        arrays |= {f"optimizer/{k}": v for k, v in self.optimizer.items()}
        arrays |= {f"gate/{k}": v for k, v in (self.gate.arrays() if self.gate else {}).items()}
        write_bundle(path, "model", arrays, about)

    @classmethod
    def load(cls, path: str | os.PathLike[str], precision: str = "auto") -> Model:
        """Return the model in a model.h5 (or in a run folder that holds one).

        precision: bits of its passes, "32" or "16"; "auto" = those of its own predictions, where they are at hand.
        InputError in one sentence when it is not ours, damaged, of a newer version, or does not fit together.
        """
        path = Path(path)
        if path.is_dir() and not (path / "model.h5").exists() and (inner := sorted(path.glob("*/model.h5"))):
            raise InputError(f"{path} holds {len(inner)} models; name one of them, such as {inner[0].parent}.")
        path = path / "model.h5" if path.is_dir() else path
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
                Decision.read(classes, about),
                preprocess,
                dict(about["provenance"]),
                bundle.group("optimizer"),
                gate=Gate.from_arrays(gate) if gate else None,
                verdict=dict(about.get("verdict", {})),
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
        if bits == 16 or recipe(self.name).pretrained == "vgg16":
            self.features = Features(cast("VGG", self.network), bits)

    @property
    def engine(self) -> str:
        """What makes the probabilities: films that another has answered may differ in their last digits."""
        return "torch16" if self.features and self.features.bits == 16 else "torch"


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


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of ``size`` items; the last may be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
