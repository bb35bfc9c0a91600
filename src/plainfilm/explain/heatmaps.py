"""Grad-CAM for every network from film to logits: which parts of a film raise the log-odds of a class.

Two ways to weigh the last spatial layer's channels before they are summed and cut off below 0. ``grad-cam`` takes the
mean of the score's gradient over each channel's map (Selvaraju et al. 2017, doi 10.1109/ICCV.2017.74). ``hires-cam``
takes the gradient at each place (Draelos & Carin 2020, arXiv:2011.08891). Where the maps are averaged over the film
before the head the two are the same; where they are flattened into dense layers, as in the paper's networks and VGG16,
only the second adds up to the score, and only it passes the checks beside this file. It is the default.

The score is the class's log-odds, z_c - log Σ exp z_other (for two classes the difference of the logits): what shifts
all logits alike changes no probability, and shall change no map. A finding's log-odds are its own logit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from plainfilm.errors import InputError, PlainfilmError, did_you_mean
from plainfilm.explain.occlusion import occlusion_maps
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.averaging import Ensemble
from plainfilm.models.engines import Features
from plainfilm.models.ensemble import apart
from plainfilm.models.model import Model, batches, through
from plainfilm.models.reads import Reads

Map = NDArray[np.float32]

METHODS = ("hires-cam", "grad-cam")  # of a network's layers
OCCLUSION = "occlusion"  # of any model: see explain.occlusion
FILMS_AT_ONCE = 8  # a backward pass keeps every layer's output: VGG16 at 224 takes 120 MB a film
MOST_EXTRA_TOKENS = 8  # class, distillation and register tokens before the patches

# What only thins out or passes on a map that an earlier layer made.
_PASSES_ON = ("Pool", "Dropout", "DropPath", "Identity", "Flatten")


def method_for(model: Reads, method: str = "") -> str:
    """Return the ``method`` for a model's maps, by default the first that it allows. InputError where there is no such
    method, and for one that needs layers of a model that has none for us."""
    if method and method not in (known := (*METHODS, OCCLUSION)):
        raise InputError(f"There is no method '{method}' for heat maps.{did_you_mean(method, known)}")
    if isinstance(model, Model):
        return method or METHODS[0]
    if method not in ("", OCCLUSION):
        raise InputError(f"--method {method} needs a network's layers, and {model.name} has a graph; use {OCCLUSION}.")
    return OCCLUSION


def heat_map(model: Reads, pixels: np.ndarray, target: int | np.ndarray | None = None, method: str = METHODS[0]) -> Map:
    """Return (B, h, w) float32 maps of (B, S, S) uint8 pixels, at the resolution of the network's last spatial layer.

    0 is no evidence, 1 the strongest in that film; a map is 0 throughout where nothing speaks for the class.
    ``target``: class index, or one a film; None is the class that the model decides for. The model is left as it was.
    PlainfilmError when the network has no spatial layer, InputError as in ``method_for``.
    """
    if method_for(model, method) == OCCLUSION:
        wanted = model.decision.decide(model.probabilities(pixels)) if target is None else target
        return _to_one(occlusion_maps(model, pixels, np.broadcast_to(np.asarray(wanted), len(pixels))))
    assert isinstance(model, Model)
    if isinstance(model.network, Ensemble):
        return _mean_map(model, pixels, target, method)
    targets: list[int | None] = np.broadcast_to(np.asarray(target, object), len(pixels)).tolist()
    both = batches(zip(pixels, targets, strict=True), FILMS_AT_ONCE)
    parts = [_maps(model, np.stack([p for p, _ in batch]), [t for _, t in batch], method) for batch in both]
    return _to_one(np.concatenate(parts))


def _mean_map(model: Model, pixels: np.ndarray, target: int | np.ndarray | None, method: str) -> Map:
    """The members' maps, each with its own strongest place at 1, averaged at the resolution of the finest."""
    pixels = np.array(pixels)  # writable, as torch wants it
    wanted = model.decision.decide(model.probabilities(pixels)) if target is None else target
    maps = [heat_map(member, films, wanted, method) for member, films in apart(model, pixels)]
    side = max(heat.shape[1] for heat in maps)
    return _to_one(np.mean([on_input(heat, side) for heat in maps], axis=0))


def _to_one(maps: Map) -> Map:
    strongest = maps.max((1, 2), keepdims=True)
    return np.asarray(np.divide(maps, strongest, out=np.zeros_like(maps), where=strongest > 0))


def _maps(model: Model, pixels: np.ndarray, targets: list[int | None], method: str) -> Map:
    logits, _, layers = model.taken(pixels) if isinstance(model, Watched) else _passed(model, pixels)
    if None in targets:
        decided = model.decision.decide(model.from_logits(logits)).tolist()
        targets = [d if t is None else t for d, t in zip(decided, targets, strict=True)]
    with torch.enable_grad():
        score = model.decision.evidence(logits, torch.tensor(targets, device=logits.device)[:, None]).sum()
        features, gradients = _last_spatial(layers, score)
        weights = gradients.mean((1, 2), keepdim=True) if method == "grad-cam" else gradients
        maps = (features * weights).sum(3).clamp(min=0)
    return maps.detach().float().cpu().numpy()


class Pass(NamedTuple):
    """A pass that maps can be made of: (B, K) logits, (B, D) that the gate looks at (None: an ensemble has none), and
    the outputs that may hold a map, in the order of the pass."""

    logits: torch.Tensor
    seen: torch.Tensor | None
    layers: list[torch.Tensor]


def _passed(model: Model, pixels: np.ndarray) -> Pass:
    device = next(model.network.parameters()).device
    x = model.preprocess.tensor(torch.from_numpy(np.ascontiguousarray(pixels)).to(device))
    with torch.enable_grad(), _recorded(model.network) as layers:
        # Needed where all weights are frozen, and then the only thing that is differentiated to.
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        return Pass(*through(model.network, x), layers)


@dataclass
class Watched(Model):
    """A model that keeps its last pass until the maps of the same films are made of it: a pass less per film."""

    last: tuple[np.ndarray, Pass] | None = field(default=None, repr=False)  # pixels, and their pass

    def _passed(self, pixels: np.ndarray, features: Features | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        found = _passed(self, pixels)
        self.last = pixels, found
        return found.logits.detach(), None if found.seen is None else found.seen.detach()

    def taken(self, pixels: np.ndarray) -> Pass:
        """Return the pass of (B, S, S) ``pixels`` and keep it no longer; a new one where it was not the last."""
        last, self.last = self.last, None
        return last[1] if last and np.array_equal(last[0], pixels) else _passed(self, pixels)


def watched(model: Model) -> Watched | None:
    """Return a twin of ``model`` that is ``Watched``; None where that would change an answer: its answers are
    made by another engine or in 16 bits, or its layers compute otherwise for gradients."""
    if model.features or isinstance(model.network, Ensemble):
        return None
    twin = model.twin()
    kept = Watched(**{each.name: getattr(twin, each.name) for each in fields(twin)})
    pixels = np.random.default_rng(0).integers(0, 256, (1, *2 * [model.preprocess.size]), np.uint8)
    pairs = zip(kept.answered(pixels), model.answered(pixels), strict=True)
    same = all(np.array_equal(np.asarray(ours), np.asarray(theirs)) for ours, theirs in pairs)
    kept.last = None
    return kept if same else None


@contextmanager
def _recorded(network: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collect, in the order of the pass, each output that may hold a map; evaluation mode and no hooks afterwards."""
    found: list[torch.Tensor] = []
    seen: set[int] = set()  # the outputs are kept alive by ``kept``, so that no identity is used twice
    kept: list[object] = []

    def record(module: nn.Module, _: object, output: object) -> None:
        if not isinstance(output, torch.Tensor) or id(output) in seen:
            return
        seen.add(id(output))
        kept.append(output)
        if output.requires_grad and _holds_map(module, output):
            found.append(output)

    was_training = network.training
    named: Callable[[], nn.Module] | None = getattr(network, "cam_layer", None)
    hooks = [m.register_forward_hook(record) for m in ([named()] if named else network.modules())]
    network.eval()
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was_training)


def _holds_map(module: nn.Module, output: torch.Tensor) -> bool:
    if any(word in type(module).__name__ for word in _PASSES_ON):
        return False
    if output.ndim == 4:
        return output.shape[2] == output.shape[3] > 1 or output.shape[1] == output.shape[2] > 1
    # A projection inside a block (queries, keys and values; the wide middle) is not the block's representation.
    return output.ndim == 3 and not isinstance(module, nn.Linear) and _extra_tokens(output.shape[1]) is not None


def _extra_tokens(count: int) -> int | None:
    """Return how many tokens stand before a square grid of patches; None when ``count`` leaves no such grid."""
    fits = (n for n in range(MOST_EXTRA_TOKENS + 1) if count - n >= 4 and math.isqrt(count - n) ** 2 == count - n)
    return next(fits, None)


def _last_spatial(layers: list[torch.Tensor], score: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return output and gradient, (B, h, w, C) each, of the last layer through whose map the score is reached.

    The patches of a transformer's last block don't reach a score that is read off its class token, for instance.
    Where nothing reaches the score (every unit behind is off) the last layer's gradient of 0 is the answer.
    """
    if not layers:
        raise PlainfilmError("This network has no layer with a map, so there is nothing to draw a heat map from.")
    last = None
    for output in reversed(layers):
        (gradient,) = torch.autograd.grad(score, output, retain_graph=True, allow_unused=True)
        if gradient is not None:
            found = _grid(output), _grid(gradient)
            last = last or found
            if found[1].any():
                return found
    return last or (_grid(layers[-1]), torch.zeros_like(_grid(layers[-1])))


def _grid(x: torch.Tensor) -> torch.Tensor:
    """Return (B, h, w, C) of (B, C, h, w), (B, h, w, C), or (B, N, C) tokens without the ones before the patches."""
    if x.ndim == 3:
        extra = _extra_tokens(x.shape[1]) or 0
        side = math.isqrt(x.shape[1] - extra)
        return x[:, extra:].reshape(len(x), side, side, -1)
    return x.permute(0, 2, 3, 1) if x.shape[2] == x.shape[3] else x  # films are square, and so are their maps


class Seen(NamedTuple):
    """The part of a film that the network's square input covers, in the film's pixels; it may reach beyond the film."""

    left: float
    top: float
    width: float
    height: float


def seen(preprocess: Preprocess, width: int, height: int) -> Seen:
    """Return what ``preprocess`` shows the network of a film of ``width`` × ``height`` pixels."""
    if preprocess.resize == "stretch":
        return Seen(0, 0, width, height)
    if preprocess.resize == "crop":
        side = min(width, height)
        return Seen((width - side) / 2, (height - side) / 2, side, side)
    size, scale = preprocess.size, preprocess.size / max(width, height)
    inner = [max(1, round(length * scale)) for length in (width, height)]
    pixel = [length / n for length, n in zip((width, height), inner, strict=True)]  # of the input, in the film's
    margin = [(size - n) // 2 for n in inner]
    return Seen(-margin[0] * pixel[0], -margin[1] * pixel[1], size * pixel[0], size * pixel[1])


def on_film(heat: Map, preprocess: Preprocess, width: int, height: int, shown: tuple[int, int] | None = None) -> Map:
    """Return an (h, w) map as (height, width) float32 over the whole film, interpolated; 0 where nothing was seen.

    ``shown``: (width, height) of the picture of the film, when it is drawn at another size than its own.
    """
    part = seen(preprocess, width, height)
    wide, high = shown or (width, height)
    across = _between(heat.shape[1], wide, -part.left / part.width, width / part.width)
    down = _between(heat.shape[0], high, -part.top / part.height, height / part.height)
    return np.asarray(down @ np.asarray(heat, np.float32) @ across.T)


def _between(cells: int, count: int, first: float, all_of_it: float) -> NDArray[np.float32]:
    """Return (count, cells): which shares of a map's cells make each of the pixels side by side. They are interpolated
    between the middles of two cells; outside there is none. The pixels begin at ``first`` and are together as wide as
    ``all_of_it``, the map being 1."""
    at = (first + (np.arange(count) + 0.5) * all_of_it / count) * cells
    below = np.floor(at - 0.5)
    shares = np.zeros((count, cells), np.float32)
    rows = np.arange(count)
    inside = (at >= 0) & (at < cells)
    for cell, share in ((below, below + 1.5 - at), (below + 1, at - 0.5 - below)):
        np.add.at(shares, (rows, cell.clip(0, cells - 1).astype(np.int64)), np.where(inside, share, 0))
    return shares


def on_input(maps: Map, size: int) -> Map:
    """Return (B, h, w) maps as (B, size, size), interpolated: one value for every pixel that the network sees."""
    tensor = torch.from_numpy(np.ascontiguousarray(maps))[:, None]
    return nn.functional.interpolate(tensor, (size, size), mode="bilinear", align_corners=False)[:, 0].numpy()
