"""What a model says of one film, as `label` and the service give it: one code path, equal to the last bit.

Each film goes through the network in a pass of its own. In a batch, matrix products of another shape add up in another
order, and the last bits of a probability would depend on what else was asked at the time. Each pass has one thread, as
many films side by side as there are cores (`alone`): threads that share a film wait for each other at every layer, and
the last bits would depend on their number.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from plainfilm.data.dicom import is_dicom
from plainfilm.image.decode import Decoded, decoded
from plainfilm.image.dicom import facts
from plainfilm.models.gate import Verdict
from plainfilm.models.reads import Reads


class Film(NamedTuple):
    """A decoded film: (S, S) uint8 as the network's input, what its header warns of."""

    pixels: np.ndarray
    remarks: tuple[str, ...]


class Answer(NamedTuple):
    """What the model says about one film, and whether a reader should look at it, and why."""

    label: str
    probabilities: np.ndarray  # (K,) float64
    refer: bool
    reason: str | None
    gate: Verdict | None


def alone() -> None:
    """Let the thread that calls answer films by itself: OpenMP counts its threads by the thread that asks."""
    if torch := sys.modules.get("torch"):  # whoever reads films by another engine has none
        torch.set_num_threads(1)


def blas_alone() -> AbstractContextManager[object]:
    """Return a context in which OpenBLAS, which NumPy has, works in the thread that calls it.

    Its own threads spin for a while after the gate's small products and take the core from the next film: `best`
    answered 97 films a second without them, 28 with (LOG.md).
    """
    limited: AbstractContextManager[object] = ThreadpoolController().select(internal_api="openblas").limit(limits=1)
    return limited


def look(model: Reads, data: bytes, whole: Decoded | None = None) -> Film:
    """Return the film in ``data``; FilmError with the reason when it can't be used.

    ``whole``: what ``decoded`` gave of it, where the caller has that already.
    """
    if whole is None and not is_dicom(data):
        return Film(model.preprocess.read(data), ())  # it may be decoded smaller than it is
    grey, header = whole or decoded(data)
    return Film(model.preprocess.read(data, grey), () if header is None else facts(header).remarks)


def answer(model: Reads, film: Film) -> Answer:
    """Return what ``model`` says of ``film``. It is referred for a warning in its header, when the gate finds it unlike
    the training films, and in the model's refer band."""
    pixels = np.stack([film.pixels])  # a copy: torch warns of what it may not write to
    probabilities, seen = model.answered(pixels)
    gate = model.gate.judge(pixels, seen)[0] if model.gate else None
    reasons = [*film.remarks, *([gate.reason] if gate and gate.reason else [])]
    if why := model.decision.reason(probabilities[0]):
        reasons.append(why)
    label = model.decision.label(probabilities[0])
    return Answer(label, probabilities[0], bool(reasons), "; ".join(reasons) or None, gate)
