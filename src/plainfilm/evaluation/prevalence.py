"""Probabilities for another prevalence, and a prevalence from films without labels."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from plainfilm.errors import InputError
from plainfilm.evaluation.decision import FLOOR
from plainfilm.evaluation.intervals import Floats, Interval, Whose, numbered, student_quantile, summed, worth_patients


def adjust_prevalence(probabilities: Floats, trained: Floats, given: Floats) -> Floats:
    """Return (N, K) probabilities for films where the classes have shares ``given`` instead of ``trained`` (both (K,)).

    Only the shares may have changed, not how a film of a class looks. Saerens et al. 2002, equation 2.4,
    doi 10.1162/089976602753284446. ``trained`` must be above 0 for every class.
    """
    if np.any(trained <= 0):
        raise InputError("A class with no training films has no share to adjust; leave it out or train with it.")
    weighed = np.maximum(probabilities, FLOOR) * (given / trained)
    return np.asarray(weighed / weighed.sum(axis=1, keepdims=True))


def estimate_prevalence(probabilities: Floats, trained: Floats, rounds: int = 10_000) -> Floats:
    """Return (K,) the class shares among unlabelled films, by expectation maximisation from the probabilities alone.

    Saerens et al. 2002, equation 2.9: it needs calibrated probabilities and films that look, class by class, like the
    training films; so the result is an estimate and must be shown as one.
    """
    shares = trained
    for _ in range(rounds):
        renewed = adjust_prevalence(probabilities, trained, shares).mean(axis=0)
        if np.abs(renewed - shares).max() < 1e-9:
            break
        shares = renewed
    return shares


def prevalence_interval(
    score: Floats, trained: float, estimate: float, patients: Whose | None = None, level: float = 0.95
) -> Interval:
    """Return the ``estimate`` of ``estimate_prevalence`` for two classes with its interval: the shares whose likelihood
    is too little below its largest to be left out (Wilks 1938, doi 10.1214/aoms/1177732360), the difference divided by
    how much more whole patients sway it than as many independent films.

    score: (N,) probability of the positive class; ``trained``: its share in training. The films are taken to look,
    class by class, as in training: that is not in the interval.
    """
    whose = np.arange(len(score)) if patients is None else numbered(patients)
    ill, well = np.maximum(score, FLOOR) / trained, np.maximum(1 - score, FLOOR) / (1 - trained)

    def likelihood(share: float) -> float:
        return float(np.log(share * ill + (1 - share) * well).sum())

    best = float(np.clip(estimate, 1e-9, 1 - 1e-9))
    pulls = (ill - well) / (best * ill + (1 - best) * well)
    effect = max(1.0, float(np.square(summed(pulls - pulls.mean(), whose)).sum()) / max(float(pulls @ pulls), 1e-12))
    reach = student_quantile(level, worth_patients(whose) - 1) ** 2 * effect / 2

    def lacking(share: float) -> float:
        return likelihood(best) - likelihood(share) - reach

    ends = ((1e-9, best), (1 - 1e-9, best))
    low, high = (
        float(brentq(lacking, *end)) if lacking(end[0]) > 0 and end[0] != best else round(end[0]) for end in ends
    )
    return Interval(estimate, min(low, estimate), max(high, estimate))
