"""Learning-rate rules by name. The paper's equation (1) can be read three ways; each reading is one rule."""

from __future__ import annotations

import math

DESCRIPTIONS = {
    "keras": "alpha_0 / (1 + k * step), one step per batch: what Keras' `decay` did",
    "recursion": "alpha_(i+1) = alpha_i / (1 + k * i) after each epoch: the paper's equation (1) as printed",
    "epoch": "alpha_0 / (1 + k * epoch)",
    "cosine": "up to alpha_0 over the first tenth of the steps, then down to 0 along half a cosine",
    "one-cycle": "from alpha_0 / 25 up to it over the first 30 % of the steps, then down to almost 0, along cosines",
}
WARM_UP = 0.1  # share of all steps
RISE, START, END = 0.3, 1 / 25, 1e-4  # Smith & Topin 2018, with the proportions that torch's OneCycleLR has


def rate(rule: str, first: float, epochs: int, epoch: int, step: int, steps: int = 1) -> float:
    """Return the learning rate for a step.

    ``first`` is alpha_0, ``epochs`` their planned number, ``epoch`` and ``step`` count from 0 over the whole run,
    ``steps`` is the number in an epoch; k = alpha_0 / epochs (Laban et al., equation 1).
    """
    done = step / (epochs * steps)
    if rule == "cosine":
        return first * (min(1.0, (done + 1 / (epochs * steps)) / WARM_UP) if done < WARM_UP else _down(done, WARM_UP))
    if rule == "one-cycle":
        if done < RISE:
            return first * (START + (1 - START) * (1 - _down(done / RISE, 0)))
        return first * (END + (1 - END) * _down(done, RISE))
    k = first / epochs
    if rule == "keras":
        return first / (1 + k * step)
    if rule == "epoch":
        return first / (1 + k * epoch)
    for i in range(epoch + 1):
        first /= 1 + k * i
    return first


def _down(done: float, start: float) -> float:
    """Half a cosine from 1 at ``start`` to 0 at 1."""
    return (1 + math.cos(math.pi * (done - start) / (1 - start))) / 2
