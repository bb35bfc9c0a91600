"""Every score of a table of predictions, each with its 95 % interval; thresholds; curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.evaluation.areas import (
    area,
    area_interval,
    auc_interval,
    average_precision,
    average_precision_interval,
)
from plainfilm.evaluation.intervals import UNKNOWN, Estimate, Floats, Interval, numbered, rate, ratio
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.reliability import DRAWS, calibration_line, ece_interval
from plainfilm.evaluation.tables import RATES, decision_intervals, table_estimates

PREVALENCES = (0.5, 0.3, 0.1, 0.05, 0.02)
BY_PATIENT = "_by_patient"  # end of names in metrics.json of earlier versions, beside plain ones that knew no patients


def by_patient(found: Mapping[str, Any], name: str) -> Any:
    """Return a score of metrics.json by its name: of earlier versions the one whose interval lets films of a patient
    err together, where there is one; None where it was not done."""
    return found.get(name + BY_PATIENT, found.get(name))


def scores(p: Predictions, rng: np.random.Generator, draws: int = DRAWS, level: float = 0.95) -> dict[str, Interval]:
    """Return every score of ``p`` by name, with its interval at ``level``, in a fixed order.

    Films are decided as the table says. With more than two classes sensitivity, specificity, PPV, NPV, AUROC, AUPRC and
    the calibration figures are those of the positive class against the rest. NaN where a score is not defined on these
    films.

    Each has one interval, by patient: see ``decision_intervals``, ``auc_interval``, ``average_precision_interval``,
    ``rate`` (brier), ``calibration_line`` and ``ece_interval`` (``draws`` of ``rng``). ``ece_by_chance`` is the
    calibration error that a calibrated model has on such films. Of films scored by the models of several ``folds``,
    auroc and auprc are the means within these; ``auroc_pooled`` and ``auprc_pooled`` rank all films together.
    """
    whose, truth, score = numbered(p.patients), p.truth, p.score
    found = decision_intervals(p, whose, level)
    found["auroc"] = auc_interval(truth, score, level, whose, p.folds)
    found["auprc"] = average_precision_interval(truth, score, whose, level, p.folds)
    if p.folds is not None:
        found["auroc_pooled"] = auc_interval(truth, score, level, whose)
        found["auprc_pooled"] = average_precision_interval(truth, score, whose, level)
    if len(p.classes) > 2:
        rarest = p.labels == int(np.argmin(np.bincount(p.labels, minlength=len(p.classes))))
        found["auroc_macro"] = area_interval(_auroc_macro(p), rarest, whose, level)
    found["brier"] = rate((score - truth) ** 2, whose, level)
    found["ece"], found["ece_by_chance"] = ece_interval(truth, score, whose, rng, draws, level)
    found["calibration_slope"], found["calibration_intercept"] = calibration_line(p, level)
    return found


def one_class_predicted(p: Predictions) -> str | None:
    """Return the name of the class that every film gets (the model did not learn), or None when there are several."""
    given = np.unique(p.decided)
    return p.classes[given[0]] if len(given) == 1 else None


def estimates(p: Predictions) -> dict[str, Estimate]:
    """Return every score but the calibration figures with the pull of each film: for differences of models."""
    truth, score = p.truth, p.score
    found = table_estimates(p)
    found["auroc"], found["auprc"] = area(truth, score, p.folds), average_precision(truth, score, p.folds)
    if len(p.classes) > 2:
        found["auroc_macro"] = _auroc_macro(p)
    # Binary Brier score of the positive class: Brier 1950's sum over the classes is twice this for two.
    squares = (score - truth) ** 2
    found["brier"] = Estimate(float(squares.mean()), (squares - squares.mean()) / len(p))
    return found


def _auroc_macro(p: Predictions) -> Estimate:
    each = [area(p.labels == k, p.probabilities[:, k]) for k in range(len(p.classes))]
    return Estimate(float(np.mean([one.value for one in each])), np.mean([one.pulls for one in each], axis=0))


# -- curves -----------------------------------------------------------------------------------------------------------


def roc_points(p: Predictions) -> tuple[Floats, Floats, Floats]:
    """Return (false positive rate, sensitivity, threshold), each (G + 1,), from no film called positive to all."""
    tp, fp, thresholds = _curve(p)
    return ratio(fp, fp[-1:]), ratio(tp, tp[-1:]), thresholds


def pr_points(p: Predictions) -> tuple[Floats, Floats, Floats]:
    """Return (recall, precision, threshold), each (G,), one point a distinct probability, recall rising."""
    tp, fp, thresholds = _curve(p)
    return ratio(tp[1:], tp[-1:]), ratio(tp[1:], tp[1:] + fp[1:]), thresholds[1:]


def _curve(p: Predictions) -> tuple[Floats, Floats, Floats]:
    """Return true and false positives as the threshold falls from above all scores past each, and these, (G + 1,)."""
    score, place = np.unique(p.score, return_inverse=True)
    tp, fp = (np.cumsum(np.bincount(place, side, len(score))[::-1]) for side in (p.truth, ~p.truth))
    return np.append(0.0, tp), np.append(0.0, fp), np.append(np.inf, score[::-1])


def decision_curve(
    p: Predictions, thresholds: Floats | None = None, prevalence: float | None = None
) -> dict[str, Floats]:
    """Return ``threshold``, ``model``, ``treat_all`` and ``treat_none``: net benefit a film, each (T,).

    Net benefit = sensitivity · prevalence - (1 - specificity) · (1 - prevalence) · t / (1 - t), for thresholds
    t in 0..1, 1 excluded (default 0.01 to 0.99); ``prevalence`` is that of the films unless given.
    Vickers & Elkin 2006, doi 10.1177/0272989X06295361.
    """
    thresholds = np.arange(1, 100) / 100 if thresholds is None else thresholds
    truth, score = p.truth, p.score
    share = ratio(truth.sum(), len(p)) if prevalence is None else np.float64(prevalence)
    odds = thresholds / (1 - thresholds)
    called = score[None] >= thresholds[:, None]
    sensitivity = ratio((called & truth).sum(axis=1), truth.sum())
    false_alarms = ratio((called & ~truth).sum(axis=1), (~truth).sum())
    return {
        "threshold": thresholds,
        "model": sensitivity * share - false_alarms * (1 - share) * odds,
        "treat_all": share - (1 - share) * odds,
        "treat_none": np.zeros_like(thresholds),
    }


# -- thresholds -------------------------------------------------------------------------------------------------------


def youden_threshold(p: Predictions) -> float:
    """Return the threshold with the largest sensitivity + specificity on ``p``, of equals the one nearest 0.5.

    Youden 1950, doi 10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3. NaN when a class is missing.
    """
    sensitivity, false_alarms, thresholds = _choices(p)
    index = sensitivity - false_alarms
    if np.isnan(index).any():
        return float("nan")
    best = thresholds[index >= index.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])


def sensitivity_threshold(p: Predictions, wanted: float = 0.95) -> float:
    """Return the highest threshold whose sensitivity on ``p`` is at least ``wanted``; NaN without positive films."""
    sensitivity, _, thresholds = _choices(p)
    reached = thresholds[sensitivity >= wanted - 1e-12]
    return float(reached.max()) if reached.size else float("nan")


def _choices(p: Predictions) -> tuple[Floats, Floats, Floats]:
    """Return (sensitivity, false positive rate, threshold), each (G,), for every cut that tells the films apart.

    The threshold lies halfway between the last score called positive and the next (0 below the lowest), so that
    films just like these fall on the same side.
    """
    false_alarms, sensitivity, score = roc_points(p)
    upper = score[1:]
    lower = np.append(upper[1:], 0.0)
    middle = (upper + lower) / 2
    return sensitivity[1:], false_alarms[1:], np.where(middle > lower, middle, upper)


def operating_points(val: Predictions, test: Predictions) -> dict[str, dict[str, Any]]:
    """Return the points "0.5", "youden" and "sensitivity_95", the last two chosen on ``val``, ready for JSON.

    Each has its ``threshold`` and, for ``validation`` and ``test``, sensitivity, specificity, ppv and npv of the
    positive class against the rest, with intervals by patient. A point that ``val`` can't choose (a class is missing)
    is left out.
    """
    chosen = {
        "0.5": 0.5,
        "youden": youden_threshold(val),
        "sensitivity_95": sensitivity_threshold(val),
    }
    return {
        name: {
            "threshold": threshold,
            "validation": {name: found.as_dict() for name, found in rates_at(val, threshold).items()},
            "test": {name: found.as_dict() for name, found in rates_at(test, threshold).items()},
        }
        for name, threshold in chosen.items()
        if not np.isnan(threshold)
    }


def rates_at(p: Predictions, threshold: float, whose: NDArray[np.int64] | None = None) -> dict[str, Interval]:
    """Return sensitivity, specificity, ppv and npv of the positive class, called so from ``threshold`` on, with
    intervals by patient (``whose``: numbered, where that was done before)."""
    truth, called = p.truth, p.score >= threshold
    whose = numbered(p.patients) if whose is None else whose
    sides = zip(RATES[1:], (called, ~called, truth, ~truth), (truth, ~truth, called, ~called), strict=True)
    found = {name: rate(hits[films], whose[films]) for name, hits, films in sides}
    return found if truth.any() and not truth.all() else found | {"ppv": UNKNOWN, "npv": UNKNOWN}


def ppv_npv_at(
    sensitivity: float, specificity: float, prevalences: Sequence[float] = PREVALENCES
) -> list[dict[str, float]]:
    """Return for each prevalence (0..1) a row ``prevalence``, ``ppv``, ``npv`` by Bayes' rule, NaN where undefined."""
    share = np.asarray(prevalences, dtype=np.float64)
    ppv = ratio(sensitivity * share, sensitivity * share + (1 - specificity) * (1 - share))
    npv = ratio(specificity * (1 - share), specificity * (1 - share) + (1 - sensitivity) * share)
    rows = zip(share.tolist(), ppv.tolist(), npv.tolist(), strict=True)
    return [{"prevalence": a, "ppv": b, "npv": c} for a, b, c in rows]
