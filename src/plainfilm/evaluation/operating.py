"""How a finished model is used: temperature, threshold and refer band, all chosen on validation films."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from plainfilm.config import name_values
from plainfilm.errors import InputError
from plainfilm.evaluation.calibration import apply_temperature, fit_temperature, log_odds, refer_band
from plainfilm.evaluation.intervals import wilson
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.scores import sensitivity_threshold, youden_threshold

GRID = np.round(np.arange(0.01, 1.0, 0.01), 2)  # thresholds that a user can try, with what they would have meant


class Operating(NamedTuple):
    """What turns logits into decisions; ``rule`` says in words how the threshold was chosen."""

    temperature: float
    threshold: float
    rule: str
    refer: tuple[float, float] | None  # low <= score < high goes to a reader, see calibration.ReferBand

    @property
    def about(self) -> dict[str, Any]:
        """The same as a dictionary for JSON, under the names that model.json uses."""
        return {
            "temperature": self.temperature,
            "threshold": self.threshold,
            "threshold_rule": self.rule,
            "refer": self.refer,
        }


def choose(val: Predictions, positive: int, threshold: str, refer: str, fitted: bool) -> Operating:
    """Return the operating point for the validation films ``val``, whose probabilities have temperature 1.

    ``threshold``: "auto" (that is "balanced"), "balanced", "youden", "sensitivity=0.95" or a number. ``refer``:
    "share=0.05", "error=0.01" or "none".
    Where ``fitted`` is False the validation films are the ones scored (the paper's protocol): then the temperature is 1
    and "auto" is 0.5; the refer band and any other rule for the threshold are fitted to the films scored, as the report
    says. InputError for a text of another form. With more than two classes the likeliest decides, whatever the rule.
    """
    rule = _rule(threshold, fitted)
    temperature = fit_temperature(val) if fitted else 1.0
    cool = Predictions(**{**val.__dict__, "probabilities": apply_temperature(val.probabilities, temperature)})
    cut, words = _threshold(cool, positive, rule)
    return Operating(temperature, cut, words, _refer(cool, positive, cut, refer))


def _rule(text: str, fitted: bool) -> str:
    if text != "auto":
        return text
    return "balanced" if fitted else "0.5"


def _threshold(val: Predictions, positive: int, rule: str) -> tuple[float, str]:
    if len(val.classes) > 2:
        return 0.5, "the likeliest class decides"
    if rule == "balanced":
        found, words = balanced_threshold(val, positive), "both classes equally likely by a logistic line on validation"
    elif rule == "youden":
        found, words = youden_threshold(val, positive), "largest sensitivity + specificity on validation"
    elif rule.startswith("sensitivity="):
        wanted = name_values("threshold", rule)["sensitivity"]
        if not 0 < wanted <= 1:
            raise InputError(f"threshold={rule!r}: a sensitivity lies between 0 and 1.")
        found, words = sensitivity_threshold(val, positive, wanted), f"sensitivity {wanted:g} on validation"
    else:
        found, words = number(rule), "set by the user" if rule != "0.5" else "0.5"
    return (0.5, "0.5: validation can't choose") if np.isnan(found) else (found, words)


def balanced_threshold(p: Predictions, positive: int) -> float:
    """Return the probability at which both classes are equally likely, were they equally frequent: where a logistic
    line through the log-odds, fitted with both classes weighed alike, crosses one half. NaN when a class is missing.

    It aims at the same point as Youden's index and, fitted to all films instead of the few beside the best cut, varies
    less from sample to sample. The line is held back a little (one unit of L2), so that it exists where no film is
    wrong.
    """
    truth = p.labels == positive
    if truth.all() or not truth.any():
        return float("nan")
    odds = log_odds(p.probabilities, positive)
    centre = (odds[truth].mean() + odds[~truth].mean()) / 2
    scale = max(float(odds.std()), 1e-9)
    weight = np.where(truth, 0.5 / truth.mean(), 0.5 / (~truth).mean())
    x, y = (odds - centre) / scale, truth.astype(np.float64)

    def loss(line: np.ndarray) -> float:
        z = line[0] + line[1] * x
        return float((weight * (np.logaddexp(0, z) - y * z)).sum() + line[1] ** 2 / 2)

    intercept, slope = minimize(loss, np.array([0.0, 1.0]), method="BFGS", options={"gtol": 1e-8}).x
    return float("nan") if slope <= 0 else float(expit(centre - intercept / slope * scale))


def number(text: str) -> float:
    """Return a threshold given as text; InputError unless it is a number between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise InputError(
            f"threshold={text!r}: expected auto, balanced, youden, sensitivity=0.95 or a number between 0 and 1."
        )
    return value


def _refer(val: Predictions, positive: int, threshold: float, text: str) -> tuple[float, float] | None:
    if text == "none":
        return None
    wanted = name_values("refer", text)
    if len(wanted) != 1 or next(iter(wanted)) not in ("share", "error"):
        raise InputError(
            f"refer={text!r}: expected share=0.05 (of the films), error=0.01 (left among the rest) or none."
        )
    band = refer_band(val, positive, threshold, **wanted)
    return None if band.low == band.high else (band.low, band.high)


def check(threshold: str, refer: str, classes: Sequence[str]) -> None:
    """InputError unless both texts have a form that ``choose`` takes, and mean something for so many classes: asked
    before a training, not after it."""
    if len(classes) > 2 and threshold not in ("auto", "balanced"):
        raise InputError(f"threshold={threshold!r} is for two classes; of {len(classes)} the likeliest decides.")
    nobody = Predictions(
        ["a", "b"],
        np.array(["val"] * 2),
        np.array([0, 1]),
        np.array([[0.9, 0.1], [0.2, 0.8]]),
        ("a", "b"),
        np.array(["a", "b"]),
    )
    choose(nobody, 1, threshold, refer, True)


def operating_curve(p: Predictions, positive: int) -> list[dict[str, Any]]:
    """Return for each threshold of ``GRID`` the sensitivity and specificity on ``p``, each {"value", "low", "high"}."""
    score, truth = p.probabilities[:, positive], p.labels == positive
    rows = []
    for threshold in GRID.tolist():
        called = score >= threshold
        hit = wilson(float((called & truth).sum()), float(truth.sum()))
        spared = wilson(float((~called & ~truth).sum()), float((~truth).sum()))
        rows.append({"threshold": threshold, "sensitivity": hit.as_dict(), "specificity": spared.as_dict()})
    return rows
