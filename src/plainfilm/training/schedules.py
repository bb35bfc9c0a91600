"""Learning-rate rules by name. The paper's equation (1) can be read three ways; each reading is one rule."""

from __future__ import annotations

DESCRIPTIONS = {
    "keras": "alpha_0 / (1 + k * step), a step a batch: what Keras' `decay` did",
    "recursion": "alpha_(i+1) = alpha_i / (1 + k * i) after each epoch: the paper's equation (1) as printed",
    "epoch": "alpha_0 / (1 + k * epoch)",
}


def rate(rule: str, first: float, epochs: int, epoch: int, step: int) -> float:
    """Return the learning rate for a step.

    ``first`` is alpha_0, ``epochs`` their planned number, ``epoch`` and ``step`` count from 0 over the whole run;
    k = alpha_0 / epochs (Laban et al., equation 1).
    """
    k = first / epochs
    if rule == "keras":
        return first / (1 + k * step)
    if rule == "epoch":
        return first / (1 + k * epoch)
    for i in range(epoch + 1):
        first /= 1 + k * i
    return first
