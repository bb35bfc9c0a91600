"""What a network is trained to say of a film: one of K classes, or the presence of F findings.

The loop asks a task for the loss of a batch and for what stands in history.csv, and knows no more of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from plainfilm.config import name_values
from plainfilm.errors import InputError, did_you_mean

MOST = 20.0  # times that a positive cell of a rare finding may weigh: beyond it single films steer the steps


@dataclass(frozen=True)
class Classes:
    """One of K classes: targets (B,) int64, weighted cross-entropy. ``weights``: (K,) of each class's films."""

    weights: torch.Tensor

    def to(self, device: torch.device) -> Classes:
        """Return the task with its weights on ``device``."""
        return Classes(self.weights.to(device))

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float, films: int) -> torch.Tensor:
        """Return the weighted loss of a share of a batch of ``films``: see ``weighted_cross_entropy``."""
        return weighted_cross_entropy(logits, targets, self.weights, smoothing, films)

    def counted(self, logits: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
        """Return the sum of the films' unweighted losses, and how many are labelled right."""
        losses = F.cross_entropy(logits, targets, reduction="sum")
        return float(losses), float((logits.argmax(1) == targets).sum())


@dataclass(frozen=True)
class Findings:
    """F findings: targets (B, F) float32, 1, 0, or below 0 where nobody knows; binary cross-entropy of the known cells.

    ``weights``: (F,) of each finding's positive cells; ``known``: how many known cells a training film has on average,
    by which sums are divided, so that a batch's loss does not depend on how it is shared out among processes.
    """

    weights: torch.Tensor
    known: float

    def to(self, device: torch.device) -> Findings:
        """Return the task with its weights on ``device``."""
        return Findings(self.weights.to(device), self.known)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float, films: int) -> torch.Tensor:
        """Return the weighted loss per known cell of a share of a batch of ``films``."""
        wanted = targets.clamp(min=0) * (1 - smoothing) + smoothing / 2
        cells = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none", pos_weight=self.weights)
        return (cells * (targets >= 0)).sum() / (self.known * (films or len(targets)))

    def counted(self, logits: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
        """Return sums over the films: unweighted loss per known cell, and share of known cells that are right."""
        known = targets >= 0
        cells = F.binary_cross_entropy_with_logits(logits, targets.clamp(min=0), reduction="none")
        right = ((logits > 0) == (targets > 0)) & known
        return float((cells * known).sum()) / self.known, float(right.sum()) / self.known


Task = Classes | Findings


def weighted_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, smoothing: float = 0.0, films: int = 0
) -> torch.Tensor:
    """Return the mean over (B,) films of weight[label] * cross-entropy of (B, K) logits.

    For two classes this equals the paper's binary cross-entropy of one-hot labels against the softmax outputs: with
    p_0 = 1 - p_1 both of its terms are -log p_label. As in Keras the sum is divided by the number of films, not by
    the sum of their weights. ``smoothing`` is the share of each label that goes to all classes alike. ``films``: how
    many the whole batch has, when these are a share of it.
    """
    losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing) * weights[labels]
    return losses.sum() / (films or len(labels))


def finding_weights(setting: str, truth: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Return {finding: weight of its positive cells}: ``balanced`` (negatives / positives of the known cells, at most
    ``MOST``), ``none`` or NAME=WEIGHT,…

    truth: (N, F). InputError for a finding without a positive or a negative film, which can't be learnt, and for other
    names and weights not above 0.
    """
    positives, negatives = (truth == 1).sum(0), (truth == 0).sum(0)
    for name, yes, nay in zip(names, positives, negatives, strict=True):
        if not yes or not nay:
            kind = "negative" if yes else "positive"
            raise InputError(f"No film that trains is {kind} for {name}; leave it out of --findings.")
    if setting == "balanced":
        return {name: float(min(n / p, MOST)) for name, p, n in zip(names, positives, negatives, strict=True)}
    given = {} if setting == "none" else name_values("class-weights", setting)
    if unknown := sorted(set(given) - set(names)):
        raise InputError(f"class-weights: there is no finding '{unknown[0]}'.{did_you_mean(unknown[0], names)}")
    if wrong := [name for name, weight in given.items() if not 0 < weight < float("inf")]:
        raise InputError(f"class-weights: {wrong[0]}={given[wrong[0]]:g} must be above 0.")
    return {name: given.get(name, 1.0) for name in names}
