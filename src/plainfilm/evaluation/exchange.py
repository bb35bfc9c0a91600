"""Films with the look of other films: what a score is worth where exposure and borders say nothing of the disease.

At the next hospital other devices and habits go with the disease than here. So each film gets exposure and borders of
another: of any other, which makes them say nothing, or of one of another class, which makes them say the opposite.
Films with several findings have no other class: theirs get those of any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainfilm.evaluation.intervals import Interval
from plainfilm.evaluation.probes import borders, seen
from plainfilm.evaluation.robustness import Grey

UNRELATED, OPPOSITE = "look of any other film", "look of another class"
EXCHANGES = (UNRELATED, OPPOSITE)
Lenders = NDArray[np.int64]  # (1 or 2, N), a row an exchange: the place of the film that lends each film its look


def any_other(films: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (films,) who lends each of ``films`` films its look, by place: each lends once, to another."""
    order = rng.permutation(films)
    found = np.empty(films, np.int64)
    found[order] = np.roll(order, 1)
    return found


def lenders(labels: NDArray[np.int64], seed: int) -> Lenders | None:
    """Return who lends films of ``labels`` (N,) their look, drawn by ``seed``: in the first row each film lends once,
    in the second it is of another class. None for films of one class."""
    if len(np.unique(labels)) < 2:
        return None
    rng = np.random.default_rng(seed)
    found = np.stack([any_other(len(labels), rng)] * len(EXCHANGES))
    for label in np.unique(labels):
        others = rng.permutation(np.flatnonzero(labels != label))
        found[1, labels == label] = np.resize(others, (labels == label).sum())
    return found


def with_look(grey: Grey, lender: Grey, resize: str) -> Grey:
    """Return the (H, W) uint8 film with the ``lender``'s borders, scaled to its sides, and the mean and deviation of
    its grey values within them; what a crop leaves out stays as it is."""
    changed = grey.copy()
    part = changed[seen(grey.shape, resize)]  # a view: filling it fills the film
    image = Image.fromarray(lender[seen(lender.shape, resize)])
    lent = np.asarray(image.resize(part.shape[::-1], Image.Resampling.BILINEAR))
    frame = borders(*part.shape)
    own, other = part[~frame].astype(np.float32), lent[~frame].astype(np.float32)
    part[~frame] = np.clip(np.rint((own - own.mean()) * other.std() / max(own.std(), 1) + other.mean()), 0, 255)
    part[frame] = lent[frame]
    return changed


def left_elsewhere(rows: Sequence[Mapping[str, Any]], worst: Mapping[str, Any]) -> dict[str, Any]:
    """Return the AUROC that is left with the looks exchanged (``unrelated``, ``opposite``) and under the ``worst``
    change of one class's films, and a ``sentence``; {} where looks were not exchanged or no AUROC can be told.

    ``rows``: of ``probe_rows``; ``worst``: of ``worst_in_one_class``.
    """
    named = {row["name"]: row["auroc"] for row in rows}
    found = [Interval(**named[name]) for name in EXCHANGES if name in named]
    if not found or not np.isfinite([interval.value for interval in found]).all():
        return {}
    unrelated, opposite = found
    changed = f"; the worst change of one class's films leaves {Interval(**worst['auroc'])}" if worst else ""
    sentence = _sentence(f"AUROC {unrelated} is left; where it has those of another class's, {opposite}{changed}")
    return {
        "unrelated": unrelated.as_dict(),
        "opposite": opposite.as_dict(),
        "worst_change": worst.get("auroc"),
        "sentence": sentence,
    }


def left_elsewhere_of_findings(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean AUROC that is left with the looks of any other films (``unrelated``), the ``worst`` finding there
    and a ``sentence``; {} where looks were not exchanged. ``rows``: of ``probe_rows_of_findings``."""
    found = next((row for row in rows if row["name"] == UNRELATED), None)
    if found is None:
        return {}
    mean, worst = Interval(**found["auroc"]), found["worst"]
    told = f"a mean AUROC of {mean} over {len(found['findings'])} findings is left"
    told += f", {Interval(**worst['auroc'])} of {worst['finding']}, which loses most"
    return {"unrelated": found["auroc"], "worst": worst, "sentence": _sentence(told)}


def _sentence(left: str) -> str:
    return (
        f"Another hospital: where each film has exposure and borders of any other, {left}. Other diseases and ages "
        "aren't in this."
    )
