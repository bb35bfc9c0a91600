"""Films as a model sees them once they are spoilt or covered: each is decoded once and labelled under every change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import nn

from plainfilm.data.films import Film, FilmError
from plainfilm.errors import InputError
from plainfilm.evaluation.exchange import EXCHANGES, Lenders, with_look
from plainfilm.evaluation.intervals import Floats
from plainfilm.evaluation.probes import COVERS, cover, other_resize
from plainfilm.evaluation.robustness import CORRUPTIONS, WORKING_SIDE, Grey, reduced
from plainfilm.image.decode import decode
from plainfilm.image.preprocess import Preprocess
from plainfilm.machine import ranks
from plainfilm.machine.threads import prefetched
from plainfilm.models.answer import alone, blas_alone
from plainfilm.models.averaging import Ensemble
from plainfilm.models.reads import Reads
from plainfilm.progress import bar

UNTOUCHED = "untouched"
VERSIONS = 1 + len(CORRUPTIONS) + len(COVERS) + 1 + len(EXCHANGES)  # of each film that is probed
AT_ONCE = 10  # changes of a film a pass: each thread holds the maps of so many
_caught: ContextVar[list[np.ndarray] | None] = ContextVar("caught", default=None)


@dataclass(frozen=True)
class Looked:
    """What a model says of N films under each change, what reached its network's last layer, and mean greys."""

    chances: dict[str, Floats]  # by change: (N, K) probabilities
    features: np.ndarray  # (N, D) float32, D = 0 for a network without such a layer
    brightness: Floats  # (N,) 0..255


def look(model: Reads, films: Sequence[Film], seed: int, lenders: Lenders | None = None) -> Looked:
    """Decode each of ``films``, which have their hashes, and label it as it is and under every change: a film a core,
    changes and passes in one thread, so that no thread waits for another's share of a film. ``lenders``: whose look
    each film gets as well. InputError for a film that is not what it was."""
    exchanges = EXCHANGES[: len(lenders)] if lenders is not None else ()
    names = (UNTOUCHED, *(c.name for c in CORRUPTIONS), *covers_of(model.preprocess), *exchanges)
    answered = partial(_answered, model=model, names=names, seed=seed)
    cores = ranks.cores()
    found = []
    lent = np.transpose(lenders).tolist() if lenders is not None else [[]] * len(films)
    jobs = [(film, [films[i] for i in own]) for film, own in zip(films, lent, strict=True)]
    with blas_alone(), _last_layer(model), bar("Probing films", len(films) * len(names)) as progress:
        for each in prefetched(answered, jobs, cores, 2 * cores, alone):
            found.append(each)
            progress.step(len(names))
    brightness, probabilities, features = zip(*found, strict=True)
    chances = dict(zip(names, np.stack(probabilities, 1), strict=True))
    return Looked(chances, np.stack(features), np.array(brightness))


def _answered(
    job: tuple[Film, Sequence[Film]], model: Reads, names: Sequence[str], seed: int
) -> tuple[float, Floats, np.ndarray]:
    """Return the mean grey of a film, given with those that lend it their look, its probabilities (V, K) under each of
    the changes, and what reached the network's last layer when it was untouched, (D,) float32."""
    mean, pictures = _versions(*job, model.preprocess, seed)
    pixels = np.stack([pictures[name] for name in names])
    caught: list[np.ndarray] = []
    _caught.set(caught)
    parts = [model.probabilities(pixels[i : i + AT_ONCE]) for i in range(0, len(pixels), AT_ONCE)]
    _caught.set(None)
    return mean, np.concatenate(parts), caught[0][0] if caught else np.zeros(0, np.float32)


def _versions(film: Film, lending: Sequence[Film], preprocess: Preprocess, seed: int) -> tuple[float, dict[str, Grey]]:
    """Return a film's mean grey and the network's (S, S) uint8 pixels of it by name: untouched, spoilt, covered, with
    another's look."""
    side, resize = max(WORKING_SIDE, preprocess.size), preprocess.resize
    grey, *others = (reduced(_decoded(each), side) for each in (film, *lending))
    changed = {
        UNTOUCHED: grey,
        **{corruption.name: corruption(grey, seed, film.sha256) for corruption in CORRUPTIONS},
        **{name: cover(grey, area, resize) for name, area in COVERS.items()},
        **{name: with_look(grey, other, resize) for name, other in zip(EXCHANGES, others, strict=False)},
    }
    other, name = other_resize(resize)
    pixels = {key: preprocess.pixels(picture) for key, picture in changed.items()}
    return float(grey.mean()), {**pixels, name: replace(preprocess, resize=other).pixels(grey)}


def covers_of(preprocess: Preprocess) -> tuple[str, ...]:
    """Return the names of the changes that probe for shortcuts; the others spoil the film."""
    return (*COVERS, other_resize(preprocess.resize)[1])


def _decoded(film: Film) -> Grey:
    try:
        data = film.read()
        if hashlib.sha256(data).hexdigest() == film.sha256:
            return decode(data)
    except FilmError as error:
        raise InputError(f"{film.path} {error}; put the film back to probe the model that was scored on it.") from None
    raise InputError(
        f"{film.path} is not the film that was scored: its SHA-256 differs; put the old one back to probe."
    )


@contextmanager
def _last_layer(model: Reads) -> Iterator[None]:
    """Add what reaches the last linear layer, (B, D) float32, to the list that the thread has set, while the block
    runs; nothing of a model whose layers are not ours, and of an ensemble, which has one for each member and view."""

    def keep(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if (caught := _caught.get()) is not None:
            caught.append(inputs[0].flatten(1).float().cpu().numpy())

    network = cast(nn.Module | None, getattr(model, "network", None))
    modules = () if network is None or isinstance(network, Ensemble) else network.modules()
    linear = [module for module in modules if isinstance(module, nn.Linear)]
    handles = [module.register_forward_pre_hook(keep) for module in linear[-1:]]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
