"""Which films go to a reader: those about which the model is least sure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Band, log_odds
from plainfilm.evaluation.intervals import Floats
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.reliability import equal_scores

USELESS = 0.5  # share of films for a reader above which a band spares nobody anything


class ReferBand(NamedTuple):
    """A band for a reader, and the share of films kept and of errors among them on the films it was chosen on."""

    band: Band
    coverage: float
    error: float


class RiskCoverage(NamedTuple):
    """The share of films kept, surest first, and the share of errors among them; ``area`` is the mean risk."""

    coverage: Floats
    risk: Floats
    area: float


def certainty(p: Predictions) -> Floats:
    """Return (N,) how sure each decision is, in log-odds: with two classes the distance from the threshold, with more
    the log-odds of the likeliest class."""
    if not p.decision.two:
        return log_odds(np.sort(p.probabilities, axis=1), -1)
    return np.abs(log_odds(p.probabilities, p.decision.column) - _odds_of(p.decision.threshold))


def _odds_of(threshold: float | Floats) -> Floats:
    probability = np.atleast_1d(threshold)
    return log_odds(np.stack([1 - probability, probability], axis=1), 1)


def risk_coverage(p: Predictions) -> RiskCoverage:
    """Return the risk-coverage curve (El-Yaniv & Wiener 2010, JMLR 11:1605), one point for each distinct certainty.

    Films that are equally sure are kept or referred together.
    """
    wrong = p.decided != p.labels
    order, starts = equal_scores(-certainty(p))
    sizes = np.diff(starts, append=len(order))
    kept = np.cumsum(sizes)
    risk = np.cumsum(np.add.reduceat(wrong[order].astype(np.float64), starts)) / kept
    return RiskCoverage(kept / len(order), risk, float((risk * sizes).sum() / len(order)))


def refer_band(p: Predictions, *, error: float | None = None, share: float | None = None) -> ReferBand:
    """Return the band of films to refer, chosen on validation films ``p``; symmetric in log-odds about their threshold.

    ``error``: the narrowest band that leaves at most this share of errors among the films kept. ``share``: the
    narrowest band that refers at least this share of films. Exactly one is given, in 0..1. Where no band reaches the
    error, every film is referred (coverage 0). Test films will err a little more than these: the band was fitted here.
    """
    wanted = error if error is not None else share
    if wanted is None or (error is not None and share is not None) or not 0 <= wanted <= 1:
        raise InputError("A refer band needs either an error or a share of films to refer, between 0 and 1.")
    curve = risk_coverage(p)
    meets = curve.risk <= wanted if error is not None else curve.coverage <= 1 - wanted + 1e-12
    if not meets.any():
        return ReferBand(Band(0.0, 1.0), 0.0, float("nan"))  # log-odds end at ±27.6, so no film is at 1 itself
    last = int(np.flatnonzero(meets)[-1])
    levels = np.unique(certainty(p))[::-1]
    # Halfway between the last film kept and the first referred, so that rounding can't move a film across.
    reach = float(levels[last] + levels[last + 1]) / 2 if last + 1 < len(levels) else 0.0
    kept = float(curve.coverage[last]), float(curve.risk[last])
    if reach == 0:
        return ReferBand(Band(float(p.decision.threshold), float(p.decision.threshold)), *kept)
    if not p.decision.two:
        return ReferBand(Band(0.0, float(expit(reach))), *kept)
    middle = float(_odds_of(p.decision.threshold)[0])
    return ReferBand(Band(float(expit(middle - reach)), float(expit(middle + reach))), *kept)


def useless(share: float) -> str:
    """Return that a band is useless where it refers more than half of the films, a ``share`` in 0..1; else nothing."""
    return "More than half of the films go to a reader: such a band is useless." if share > USELESS else ""
