"""Every score of a table of predictions, each with its 95 % interval; thresholds; curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plainfilm.evaluation.calibration import calibration_line, ece_interval, expected_calibration_error
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.intervals import (
    DRAWS,
    Bools,
    Floats,
    Interval,
    auc_interval,
    bootstrap,
    ratio,
    wilson,
    wilson_by_patient,
)
from plainfilm.evaluation.predictions import Predictions

PREVALENCES = (0.5, 0.3, 0.1, 0.05, 0.02)
RATES = ("accuracy", "sensitivity", "specificity", "ppv", "npv")
DECISIONS, ORDER, CALIBRATION = "decisions", "order", "calibration"  # what a score is about
BY_PATIENT = "_by_patient"  # end of the names of scores whose interval lets the films of a patient err together


class Score(NamedTuple):
    """A score by name: how it is called, what it is about, and where it stands.

    ``places``: "tile" (a report's first figures), "model" (what a model file says of itself), "runs" (repeated and
    adapted runs), "search" (what a search can make better). ``proportion``: within 0..1. How it is computed stands in
    ``weighted_scores``.
    """

    name: str
    words: str
    about: str
    places: str
    proportion: bool = True
    smaller: bool = False  # is better


SCORES = (
    Score("accuracy", "Accuracy", DECISIONS, "tile model runs search"),
    Score("balanced_accuracy", "Balanced accuracy", DECISIONS, "tile model runs search"),
    Score("sensitivity", "Sensitivity", DECISIONS, "tile model runs search"),
    Score("specificity", "Specificity", DECISIONS, "tile model runs search"),
    Score("ppv", "PPV", DECISIONS, "model search"),
    Score("npv", "NPV", DECISIONS, "model search"),
    Score("f1_macro", "F1 (macro)", DECISIONS, "runs search"),
    Score("precision_macro", "Precision (macro)", DECISIONS, "search"),
    Score("recall_macro", "Recall (macro)", DECISIONS, "search"),
    Score("mcc", "Matthews' coefficient", DECISIONS, "runs search", proportion=False),
    Score("auroc", "AUROC", ORDER, "tile model runs search"),
    Score("auprc", "Area under precision–recall", ORDER, "runs search"),
    Score("brier", "Brier score", CALIBRATION, "model runs search", smaller=True),
    Score("ece", "Expected calibration error", CALIBRATION, "model runs search", smaller=True),
    Score("calibration_slope", "Slope (1 is calibrated)", CALIBRATION, "", proportion=False),
    Score("calibration_intercept", "Intercept (0 is calibrated)", CALIBRATION, "", proportion=False),
)


def named(place: str = "", about: str = "") -> dict[str, str]:
    """Return {name: words} of the scores that stand in ``place`` and are ``about`` something; of all, if not named."""
    return {
        score.name: score.words
        for score in SCORES
        if (not place or place in score.places.split()) and about in ("", score.about)
    }


def by_patient(found: Mapping[str, Any], name: str) -> Any:
    """Return a score of metrics.json by its name: the one whose interval lets films of a patient err together, where
    there is one; None where it was not done."""
    return found.get(name + BY_PATIENT, found.get(name))


def scores(p: Predictions, rng: np.random.Generator, draws: int = DRAWS) -> dict[str, Interval]:
    """Return every score of ``p`` by name, with its 95 % interval, in a fixed order.

    Films are decided as the table says. With more than two classes sensitivity, specificity, PPV, NPV, AUROC, AUPRC and
    the calibration figures are those of the positive class against the rest.
    Wilson: accuracy, sensitivity, specificity, ppv, npv, precision and recall of each class. DeLong: auroc. The
    logistic fit, robust for patients: calibration_slope, calibration_intercept. All others: ``draws`` resamples of
    patients (for ece see ``ece_interval``). Wilson and DeLong take films as independent; where a patient has several
    of them, ``accuracy_by_patient`` and so on (of RATES and auroc) are the same scores with intervals that don't. NaN
    where a score is not defined on these films.
    """
    names, statistic = weighted_scores(p)
    resampled = bootstrap(statistic, p.patients, rng, draws)
    found = {n: _unless_flawless(n, interval, p) for n, interval in zip(names, resampled, strict=True)}
    table = confusion(p)
    found |= _rates(table, p.decision.column)
    for k, name in enumerate(p.classes):
        found[f"precision_{name}"] = wilson(table[k, k], table[:, k].sum())
        found[f"recall_{name}"] = wilson(table[k, k], table[k].sum())
    found["auroc"] = auc_interval(p.truth, p.score)
    found["ece"] = ece_interval(p.truth.astype(np.float64), p.score, p.patients, rng, draws)
    found["calibration_slope"], found["calibration_intercept"] = calibration_line(p)
    return found | (_by_patient(p) if len(np.unique(p.patients)) < len(p) else {})


def _by_patient(p: Predictions) -> dict[str, Interval]:
    truth, called, right = p.truth, p.called, p.decided == p.labels
    every = np.ones(len(p), bool)
    among = zip(RATES, (right, called, ~called, truth, ~truth), (every, truth, ~truth, called, ~called), strict=True)
    found = {name: wilson_by_patient(hits[films], p.patients[films]) for name, hits, films in among}
    found["auroc"] = auc_interval(truth, p.score, patients=p.patients)
    return {name + BY_PATIENT: interval for name, interval in found.items()}


def _unless_flawless(name: str, interval: Interval, p: Predictions) -> Interval:
    """Return ``interval``, or wider bounds where all resamples give the same 0 or 1.

    Resampling films without an error can't show how one would look; so then the bounds are Wilson's for as many films
    as the rarest class has. (Matthews' 0 is a convention for a model that decides for one class, and stays.)
    """
    value, low, high = interval
    if low != high or value not in (0.0, 1.0) or (name == "mcc" and value == 0):
        return interval
    counts = np.bincount(p.labels)
    rarest = int(counts[counts > 0].min())
    return wilson(value * rarest, rarest)


def confusion(p: Predictions) -> NDArray[np.int64]:
    """Return the (K, K) table of counts; rows are the truth, columns the decision."""
    k = len(p.classes)
    return np.bincount(p.labels * k + p.decided, minlength=k * k).reshape(k, k).astype(np.int64)


def one_class_predicted(p: Predictions) -> str | None:
    """Return the name of the class that every film gets (the model did not learn), or None when there are several."""
    given = np.unique(p.decided)
    return p.classes[given[0]] if len(given) == 1 else None


# -- all scores from weights of films: one definition for the value, its resamples, and differences of models ---------


def weighted_scores(p: Predictions) -> tuple[list[str], Callable[[Floats], Floats]]:
    """Return the names of M scores, and a function from weights of the films (draws, N) to the scores (draws, M)."""
    k, truth, score = len(p.classes), p.truth, p.score
    cells = np.eye(k * k)[p.labels * k + p.decided]  # (N, K·K): which cell of the table
    squares = (score - truth) ** 2

    def columns(weights: Floats) -> dict[str, Floats]:
        found = _from_table((weights @ cells).reshape(-1, k, k), p.decision)
        found["auroc"], found["auprc"] = areas(truth, score, weights)
        if k > 2:
            one_by_one = [areas(p.labels == c, p.probabilities[:, c], weights)[0] for c in range(k)]
            found["auroc_macro"] = np.mean(one_by_one, axis=0)
        # Binary Brier score of the positive class: Brier 1950's sum over the classes is twice this for two.
        found["brier"] = ratio(weights @ squares, weights.sum(axis=1))
        found["ece"] = expected_calibration_error(truth.astype(np.float64), score, weights)
        return found

    names = list(columns(np.ones((1, len(p)))))
    return names, lambda weights: np.column_stack(list(columns(weights).values()))


def _from_table(tables: Floats, decision: Decision) -> dict[str, Floats]:
    """Return the scores of confusion tables (draws, K, K).

    Macro averages are over the classes that have films, as long as two have; a class that has films and is never
    decided for counts with precision 0.
    """
    hits = np.diagonal(tables, axis1=1, axis2=2)  # (draws, K)
    true, decided, n = tables.sum(axis=2), tables.sum(axis=1), tables.sum(axis=(1, 2))
    tp = hits[:, decision.column]
    fn, fp = true[:, decision.column] - tp, decided[:, decision.column] - tp
    tn = n - tp - fn - fp
    precision, recall, f1 = ratio(hits, decided), ratio(hits, true), ratio(2 * hits, true + decided)
    found = {
        "accuracy": ratio(hits.sum(axis=1), n),
        "sensitivity": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "ppv": ratio(tp, tp + fp),
        "npv": ratio(tn, tn + fn),
        "balanced_accuracy": _macro(recall, true),
        "f1_macro": _macro(f1, true),
        "precision_macro": _macro(np.nan_to_num(precision), true),
        "recall_macro": _macro(recall, true),
        "mcc": _matthews(hits, true, decided, n),
    }
    for k, name in enumerate(decision.classes):
        found |= {f"precision_{name}": precision[:, k], f"recall_{name}": recall[:, k], f"f1_{name}": f1[:, k]}
    return found


def _macro(values: Floats, true: Floats) -> Floats:
    there = true > 0
    mean = ratio(np.where(there, values, 0).sum(axis=1), there.sum(axis=1).astype(np.float64))
    return np.where(there.sum(axis=1) > 1, mean, np.nan)


def _matthews(hits: Floats, true: Floats, decided: Floats, n: Floats) -> Floats:
    """Return (draws,) Matthews' coefficient for K classes (Gorodkin 2004, doi 10.1016/j.compbiolchem.2004.09.006).

    0 when one class is decided for throughout, NaN when the films have one class only.
    """
    covariance = hits.sum(axis=1) * n - (true * decided).sum(axis=1)
    spread_true, spread_decided = n**2 - (true**2).sum(axis=1), n**2 - (decided**2).sum(axis=1)
    value = np.nan_to_num(ratio(covariance, np.sqrt(spread_true * spread_decided)))
    return np.where(spread_true > 0, value, np.nan)


def areas(truth: Bools, score: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return (draws,) areas under the ROC and the precision-recall curve of ``score`` (N,) under weights (draws, N).

    ROC: trapezoids, ties count one half. Precision-recall: average precision, the sum of precision times the step in
    recall, without interpolation (Davis & Goadrich 2006, doi 10.1145/1143844.1143874). NaN when a class is missing.
    """
    tp, fp = _counts_above(truth, score, weights)
    both = (tp[:, -1:] > 0) & (fp[:, -1:] > 0)
    steps = np.diff(tp, axis=1)
    roc = ratio((np.diff(fp, axis=1) * (tp[:, 1:] + tp[:, :-1]) / 2).sum(axis=1), tp[:, -1] * fp[:, -1])
    precision = np.nan_to_num(ratio(tp[:, 1:], tp[:, 1:] + fp[:, 1:]))
    average = ratio((steps * precision).sum(axis=1), tp[:, -1])
    return roc, np.where(both[:, 0], average, np.nan)


def _counts_above(truth: Bools, score: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return true and false positives (draws, G + 1) as the threshold falls from above all scores past each of G."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))  # the last film of each score
    sorted_weights = weights[:, order]
    tp = np.cumsum(sorted_weights * truth[order], axis=1)[:, ends]
    both = np.cumsum(sorted_weights, axis=1)[:, ends]
    start = np.zeros((len(weights), 1))
    return np.hstack([start, tp]), np.hstack([start, both - tp])


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
    tp, fp = _counts_above(p.truth, p.score, np.ones((1, len(p))))
    return tp[0], fp[0], np.concatenate([[np.inf], np.unique(p.score)[::-1]])


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
    positive class against the rest, with Wilson intervals. A point that ``val`` can't choose (a class is missing) is
    left out.
    """
    chosen = {
        "0.5": 0.5,
        "youden": youden_threshold(val),
        "sensitivity_95": sensitivity_threshold(val),
    }
    return {
        name: {
            "threshold": cut,
            "validation": _realised(val, cut),
            "test": _realised(test, cut),
        }
        for name, cut in chosen.items()
        if not np.isnan(cut)
    }


def _realised(p: Predictions, cut: float) -> dict[str, dict[str, float]]:
    cell = p.truth * 2 + (p.score >= cut)
    rates = _rates(np.bincount(cell, minlength=4).reshape(2, 2), 1)
    return {name: rates[name].as_dict() for name in RATES[1:]}


def _rates(table: NDArray[np.int64], k: int) -> dict[str, Interval]:
    """Return RATES of class ``k`` in a (K, K) table, with Wilson intervals."""
    n, tp = table.sum(), table[k, k]
    true, decided = table[k].sum(), table[:, k].sum()
    tn = n - true - decided + tp
    counts = [(np.trace(table), n), (tp, true), (tn, n - true), (tp, decided), (tn, n - decided)]
    return {name: wilson(float(a), float(b)) for name, (a, b) in zip(RATES, counts, strict=True)}


def ppv_npv_at(
    sensitivity: float, specificity: float, prevalences: Sequence[float] = PREVALENCES
) -> list[dict[str, float]]:
    """Return for each prevalence (0..1) a row ``prevalence``, ``ppv``, ``npv`` by Bayes' rule, NaN where undefined."""
    share = np.asarray(prevalences, dtype=np.float64)
    ppv = ratio(sensitivity * share, sensitivity * share + (1 - specificity) * (1 - share))
    npv = ratio(specificity * (1 - share), specificity * (1 - share) + (1 - sensitivity) * share)
    rows = zip(share.tolist(), ppv.tolist(), npv.tolist(), strict=True)
    return [{"prevalence": a, "ppv": b, "npv": c} for a, b, c in rows]
