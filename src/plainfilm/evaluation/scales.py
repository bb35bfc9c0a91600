"""What a program's scores are: probabilities, per cent, logits, or numbers of which only the order counts.

Scores that are no probabilities keep their order, which is all that AUROC needs; what they say of a single film is
calibrated only where somebody asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from plainfilm.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from plainfilm.evaluation.intervals import Floats

KINDS = ("probability", "percent", "logit", "rank")
RANGES = {"probability": (0.0, 1.0), "percent": (0.0, 100.0)}


class Scale(NamedTuple):
    """How scores become numbers 0..1; of ranks ``centre`` and ``spread`` say which becomes one half, and how fast."""

    kind: str = "probability"
    centre: float = 0.0
    spread: float = 1.0

    def probabilities(self, scores: Floats) -> Floats:
        """Return (N,) values 0..1 in the order of ``scores``; InputError for what this scale can't hold."""
        low, high = RANGES.get(self.kind, (-np.inf, np.inf))
        if scores.min() < low or scores.max() > high:
            raise InputError(
                f"--scores {self.kind}: they reach from {scores.min():g} to {scores.max():g}; that is no {self.kind}."
            )
        if self.kind == "rank":  # never saturates, so that no two different scores become equal
            z = (scores - self.centre) / self.spread
            return np.asarray(np.where(z > 0, 0.5 + z, 0.5) / (1 + np.abs(z)))
        if self.kind == "logit":
            from scipy.special import expit

            return np.asarray(expit(scores))
        return scores / 100 if self.kind == "percent" else scores

    def remarks(self, scores: Floats) -> list[str]:
        """Return what whoever reads figures of these scores should know."""
        ranged = f"the scores reach from {scores.min():g} to {scores.max():g} and are taken for"
        if self.kind == "percent":
            return [f"{ranged} per cent"]
        if self.kind == "logit":
            return [f"{ranged} logits: probabilities are their sigmoid, not calibrated"]
        if self.kind == "rank":
            return [f"{ranged} ranks: only their order counts, so thresholds and calibration mean nothing"]
        two = len(np.unique(scores)) <= 2
        return ["the scores have only two values: they are decisions, no scores"] if two else []


AS_IS = Scale()


def scale_of(scores: Floats, kind: str = "") -> Scale:
    """Return the scale of (N,) scores: of ``kind``, or what they look like.

    Within 0..1 they are probabilities; 0..100 and above 20, per cent; of either sign and within ±50, logits; else only
    their order counts, as ranks. InputError for an unknown kind.
    """
    low, high = float(scores.min()), float(scores.max())
    if kind and kind not in KINDS:
        raise InputError(f"--scores {kind}: choose from {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}")
    kind = kind or _kind(low, high)
    if kind != "rank":
        return Scale(kind)
    quarters = np.quantile(scores, (0.25, 0.75))
    return Scale(kind, float(np.median(scores)), float(np.ptp(quarters)) or float(np.ptp(scores)) or 1.0)


def as_probabilities(scores: Floats, kind: str = "") -> tuple[Floats, Scale, list[str]]:
    """Return (N,) values 0..1 in the order of ``scores``, their scale, and what is to be said of it."""
    scale = scale_of(scores, kind)
    return scale.probabilities(scores), scale, scale.remarks(scores)


def _kind(low: float, high: float) -> str:
    """Return what scores from ``low`` to ``high`` may be."""
    if low >= 0 and high <= 1:
        return "probability"
    if low >= 0 and 20 < high <= 100:
        return "percent"
    return "logit" if low < 0 and max(-low, high) <= 50 else "rank"
