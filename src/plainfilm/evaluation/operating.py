"""Temperature, threshold and refer band of a model, all chosen on validation films."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from plainfilm.config import name_values
from plainfilm.errors import InputError
from plainfilm.evaluation import guarantee
from plainfilm.evaluation.calibration import fit_offsets, fit_temperature, proven_temperature
from plainfilm.evaluation.decision import Band, Decision, log_odds
from plainfilm.evaluation.intervals import numbered
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.referral import refer_band
from plainfilm.evaluation.scores import rates_at, sensitivity_threshold, youden_threshold

GRID = np.round(np.arange(0.01, 1.0, 0.01), 2)  # thresholds that a user can try, with what they would have meant


class Rules(NamedTuple):
    """How an operating point is to be chosen, as ``choose`` takes it."""

    threshold: str = "auto"
    refer: str = "share=0.05"
    shifted: bool = False

    @classmethod
    def asked(cls, threshold: str, refer: str, promised: str, shifted: bool = False) -> Rules:
        """Return the rules by the texts of --threshold, --refer and --guarantee, "" where one is not given; InputError
        where both kinds of a refer band are asked for, or a promise is none."""
        if promised and refer:
            raise InputError("--refer and --guarantee both set the films for a reader; leave one out.")
        if promised:
            guarantee.parsed(promised)
        return cls(threshold or "auto", promised or refer or "share=0.05", shifted)


def choose(
    val: Predictions, rule: str, refer: str, fitted: bool, shifted: bool = False, proven: bool = False
) -> Decision:
    """Return how to decide films like the validation films ``val``, whose probabilities have temperature 1.

    ``rule``: "auto" (that is "balanced"), "balanced", "youden", "sensitivity=0.95" or a number. ``refer``:
    "share=0.05", "error=0.01", a promise such as "npv=0.98,ppv=0.9" (see ``guarantee``), or "none". ``shifted``: fit a
    shift of the log-odds beside the temperature, for a model that has no last layer of ours.
    Where ``fitted`` is False the validation films are the ones scored (the paper's protocol): then the temperature is 1
    and "auto" is 0.5; the refer band and any other rule for the threshold are fitted to the films scored, as the report
    says. ``proven``: the temperature stays 1 unless cross-fitting shows that another one helps. InputError for a text
    of another form. With more than two classes the likeliest decides, whatever the rule.
    """
    start = replace(val.decision, temperature=1.0, shift=tuple(fit_offsets(val).tolist()) if shifted else ())
    raw, fit = val.under(start), proven_temperature if proven else fit_temperature
    cool = val.under(replace(start, temperature=fit(raw) if fitted else 1.0))
    cut, words = _threshold(cool, _rule(rule, fitted))
    chosen = replace(cool, decision=replace(cool.decision, threshold=cut, threshold_of="", rule=words))
    return referring(chosen, refer)


def _rule(text: str, fitted: bool) -> str:
    if text != "auto":
        return text
    return "balanced" if fitted else "0.5"


def _threshold(val: Predictions, rule: str) -> tuple[float, str]:
    if len(val.classes) > 2:
        return 0.5, "the likeliest class decides"
    if rule == "balanced":
        found, words = balanced_threshold(val), "sensitivity and specificity weighed alike on validation"
    elif rule == "youden":
        found, words = youden_threshold(val), "largest sensitivity + specificity on validation"
    elif rule.startswith("sensitivity="):
        wanted = name_values("threshold", rule)["sensitivity"]
        if not 0 < wanted <= 1:
            raise InputError(f"threshold={rule!r}: a sensitivity lies between 0 and 1.")
        found, words = sensitivity_threshold(val, wanted), f"sensitivity {wanted:g} on validation"
    else:
        found, words = number(rule), "set by the user" if rule != "0.5" else "0.5"
    return (0.5, "0.5: validation can't choose") if np.isnan(found) else (found, words)


def balanced_threshold(p: Predictions) -> float:
    """Return the probability at which both classes are equally likely, were they equally frequent: where a logistic
    line through the log-odds, fitted with both classes weighed alike, crosses one half. NaN when a class is missing.

    It aims at the same point as Youden's index and, fitted to all films instead of the few beside the best cut, varies
    less from sample to sample. The line is held back a little (one unit of L2), so that it exists where no film is
    wrong.
    """
    truth = p.truth
    if truth.all() or not truth.any():
        return float("nan")
    odds = log_odds(p.probabilities, p.decision.column)
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


def referring(val: Predictions, text: str) -> Decision:
    """Return the rule that decides ``val`` with the band for a reader that ``text`` asks for, found on them."""
    if text == "none":
        return replace(val.decision, refer=None, promises=())
    wanted = name_values("refer", text)
    if set(wanted) <= set(guarantee.NAMES) and val.decision.two:
        return _promising(val, text)
    if len(wanted) != 1 or next(iter(wanted)) not in ("share", "error"):
        raise InputError(
            f"refer={text!r}: expected share=0.05 (of the films), error=0.01 (left among the rest), none, or with two "
            f"classes a promise of {', '.join(guarantee.NAMES)}."
        )
    band = refer_band(val, **wanted).band
    return replace(val.decision, refer=None if band.low == band.high else band, promises=())


def _promising(val: Predictions, text: str) -> Decision:
    promises = tuple(
        guarantee.guarantee(name, target, val.truth, val.score, val.patients)
        for name, target in guarantee.parsed(text).items()
    )
    band = guarantee.band(list(promises), float(val.decision.threshold))
    return replace(val.decision, refer=None if band is None else Band(*band), promises=promises)


def check(rule: str, refer: str, classes: Sequence[str]) -> None:
    """InputError unless both texts have a form that ``choose`` takes, and mean something for so many classes: asked
    before a training, not after it."""
    if len(classes) > 2 and rule not in ("auto", "balanced"):
        raise InputError(f"threshold={rule!r} is for two classes; of {len(classes)} the likeliest decides.")
    nobody = Predictions(
        ["a", "b"],
        np.array(["val"] * 2),
        np.array([0, 1]),
        np.array([[0.9, 0.1], [0.2, 0.8]]),
        Decision.of(("a", "b")),
        np.array(["a", "b"]),
    )
    choose(nobody, rule, refer, True)


def operating_curve(p: Predictions) -> list[dict[str, Any]]:
    """Return for each threshold of ``GRID`` the sensitivity and specificity on ``p``, each {"value", "low", "high"},
    with intervals by patient."""
    whose = numbered(p.patients)
    found = ((threshold, rates_at(p, threshold, whose)) for threshold in GRID.tolist())
    return [
        {"threshold": threshold, **{name: rates[name].as_dict() for name in ("sensitivity", "specificity")}}
        for threshold, rates in found
    ]
