"""The list of all scores; those of decisions: the table of truth by decision, and what is read from it, with intervals
by patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.intervals import (
    UNKNOWN,
    Estimate,
    Floats,
    Interval,
    correlations,
    rate,
    ratio,
    together,
    wilson,
)
from plainfilm.evaluation.predictions import Predictions

RATES = ("accuracy", "sensitivity", "specificity", "ppv", "npv")
STEP = 1e-4  # of a film, for derivatives
HIGHEST = {"mcc": 1.0}  # of scores that are no shares
DECISIONS, ORDER, CALIBRATION = "decisions", "order", "calibration"  # what a score is about


class Score(NamedTuple):
    """A score by name: how it is called, what it is about, and where it stands.

    ``places``: "tile" (a report's first figures), "model" (what a model file says of itself), "runs" (repeated and
    adapted runs), "search" (what a search can make better). How it is computed stands in ``from_tables``, where it is
    about decisions, else in ``scores.scores``.
    """

    name: str
    words: str
    about: str
    places: str
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
    Score("mcc", "Matthews' coefficient", DECISIONS, "runs search"),
    Score("auroc", "AUROC", ORDER, "tile model runs search"),
    Score("auprc", "Area under precision–recall", ORDER, "runs search"),
    Score("brier", "Brier score", CALIBRATION, "model runs search", smaller=True),
    Score("ece", "Expected calibration error", CALIBRATION, "model runs search", smaller=True),
    Score("calibration_slope", "Slope (1 is calibrated)", CALIBRATION, ""),
    Score("calibration_intercept", "Intercept (0 is calibrated)", CALIBRATION, ""),
)


def named(place: str = "", about: str = "") -> dict[str, str]:
    """Return {name: words} of the scores that stand in ``place`` and are ``about`` something; of all, if not named."""
    return {
        score.name: score.words
        for score in SCORES
        if (not place or place in score.places.split()) and about in ("", score.about)
    }


def confusion(p: Predictions) -> NDArray[np.int64]:
    """Return the (K, K) table of counts; rows are the truth, columns the decision."""
    k = len(p.classes)
    return np.bincount(p.labels * k + p.decided, minlength=k * k).reshape(k, k).astype(np.int64)


# -- values -----------------------------------------------------------------------------------------------------------


def from_tables(tables: Floats, decision: Decision) -> dict[str, Floats]:
    """Return the scores, each (draws,), of confusion tables (draws, K, K).

    Macro averages are over the classes that have films, as long as two have; a class that has films and is never
    decided for counts with precision 0. Of films of one class nothing is known of precision, PPV, NPV and F1: no
    decision for that class could be wrong.
    """
    hits = np.diagonal(tables, axis1=1, axis2=2)  # (draws, K)
    true, decided, n = tables.sum(axis=2), tables.sum(axis=1), tables.sum(axis=(1, 2))
    tp = hits[:, decision.column]
    fn, fp = true[:, decision.column] - tp, decided[:, decision.column] - tp
    tn = n - tp - fn - fp
    several = ((true > 0).sum(axis=1) > 1)[:, None]
    both = (tp + fn > 0) & (fp + tn > 0)
    precision, f1 = (np.where(several, ratio(a, b), np.nan) for a, b in ((hits, decided), (2 * hits, true + decided)))
    recall = ratio(hits, true)
    found = {
        "accuracy": ratio(hits.sum(axis=1), n),
        "sensitivity": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "ppv": np.where(both, ratio(tp, tp + fp), np.nan),
        "npv": np.where(both, ratio(tn, tn + fn), np.nan),
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


# -- how far each film moves them -------------------------------------------------------------------------------------


def table_estimates(p: Predictions) -> dict[str, Estimate]:
    """Return every score of the table with the pull of each film: the derivative by the count of its cell."""
    k, counts = len(p.classes), confusion(p).astype(np.float64)
    cells = np.flatnonzero(counts)
    steps = np.zeros((len(cells), k * k))
    steps[np.arange(len(cells)), cells] = STEP
    moved = np.concatenate([counts.reshape(1, -1), counts.reshape(-1) + steps, counts.reshape(-1) - steps])
    place = np.zeros(k * k, np.int64)
    place[cells] = np.arange(len(cells))
    of_film = place[p.labels * k + p.decided]
    found = {}
    for name, values in from_tables(moved.reshape(-1, k, k), p.decision).items():
        slope = (values[1 : len(cells) + 1] - values[len(cells) + 1 :]) / (2 * STEP)
        found[name] = Estimate(float(values[0]), np.nan_to_num(slope)[of_film])
    return found


def one_film_moves(p: Predictions) -> dict[str, float]:
    """Return for every score of the table how far it moves at most when a single film is decided otherwise."""
    k, counts = len(p.classes), confusion(p)
    tables = [counts]
    for truth, was in np.argwhere(counts):
        for now in set(range(k)) - {int(was)}:
            tables.append(counts.copy())
            tables[-1][truth, [was, now]] += [-1, 1]
    scores = from_tables(np.stack(tables).astype(np.float64), p.decision)
    return {name: float(np.nan_to_num(np.abs(values - values[0])).max()) for name, values in scores.items()}


# -- intervals --------------------------------------------------------------------------------------------------------


def decision_intervals(p: Predictions, whose: NDArray[np.int64], level: float = 0.95) -> dict[str, Interval]:
    """Return every score of ``from_tables`` with its interval, by patient; ``whose`` (N,) numbers them from 0.

    Shares of films: ``rate``. F1: of the films that are of the class or called so, the share J that are both, turned
    into 2 J / (1 + J). Means of classes: ``together``, with the correlation of the classes' films. Matthews'
    coefficient, and any other: ``_by_recall_and_share``.
    """
    decided, truth, called = p.decided, p.truth, p.called
    right, every = decided == p.labels, np.ones(len(p), bool)
    known = table_estimates(p)
    hits = zip(RATES, (right, called, ~called, truth, ~truth), (every, truth, ~truth, called, ~called), strict=True)
    found = {name: rate(hit[films], whose[films], level) for name, hit, films in hits}
    parts: dict[str, list[Interval]] = {"recall": [], "precision": [], "f1": []}
    for k, name in enumerate(p.classes):
        truly, given = p.labels == k, decided == k
        either = truly | given
        shares = {
            "precision": (truly[given], given),
            "recall": (given[truly], truly),
            "f1": ((truly & given)[either], either),
        }
        for kind, (hit, films) in shares.items():
            turned = _f1 if kind == "f1" else Interval
            found[f"{kind}_{name}"] = turned(*rate(hit, whose[films], level))
            parts[kind].append(turned(*rate(hit, whose[films], level, cautious=True)))
    there = np.flatnonzero(np.bincount(p.labels, minlength=len(p.classes)))
    if len(there) > 1:
        for kind, some in parts.items():
            pulls = np.stack([known[f"{kind}_{p.classes[k]}"].pulls for k in there])
            related = correlations(pulls, whose, 0.0)
            if kind == "f1":  # an error counts in the F1 of two classes, and where there is none, none is known
                related = np.ones_like(related)
            found[f"{kind}_macro"] = _mean_of(known[f"{kind}_macro"].value, [some[k] for k in there], related, level)
        found["balanced_accuracy"] = found["recall_macro"]
    defined = [name for name, estimate in known.items() if estimate.value == estimate.value]
    found |= _by_recall_and_share([name for name in defined if name not in found], p, whose, level)
    return {name: found[name] if name in defined else UNKNOWN for name in known}


def _f1(value: float, low: float, high: float) -> Interval:
    """Return F1 from the share J of the films of a class, or called so, that are both: 2 J / (1 + J)."""
    return Interval(*(2 * j / (1 + j) for j in (value, low, high)))


def _mean_of(value: float, parts: Sequence[Interval], known: Floats, level: float) -> Interval:
    """Return the mean of the classes' scores; one never decided for has precision 0, and one more film may be right."""
    never = Interval(0.0, 0.0, wilson(0, 1, level).high)
    parts = [never if np.isnan(part.value) else part for part in parts]
    _, low, high = together(value, parts, np.full(len(parts), 1 / len(parts)), known)
    return Interval(value, max(low, 0.0), min(high, 1.0))


def _by_recall_and_share(
    names: Sequence[str], p: Predictions, whose: NDArray[np.int64], level: float
) -> dict[str, Interval]:
    """Return scores of ``from_tables`` with an interval put together as ``together`` does, from how far each moves when
    a class's recall goes to its own bounds (errors shared out as they are, evenly where there are none) and when its
    share of the films does."""
    counts, k = confusion(p).astype(np.float64), len(p.classes)
    true = counts.sum(axis=1)
    tables, weights = [counts], []
    for c in np.flatnonzero(true):
        of_class = p.labels == c
        recall = rate((p.decided == c)[of_class], whose[of_class], level, cautious=True)
        share = rate(of_class, whose, level, cautious=True)
        tables += [_with_recall(counts, int(c), bound) for bound in recall[1:]]
        tables += [_with_share(counts, int(c), bound) for bound in share[1:]]
        weights += [1.0, (k - 1) / k]  # shares sum to 1: of two classes both say the same
    found = from_tables(np.stack(tables), p.decision)
    return {name: _moved(found[name], np.array(weights), HIGHEST.get(name, np.inf)) for name in names}


def _moved(values: Floats, weights: Floats, highest: float) -> Interval:
    """Return the first of ``values`` with an interval by pairs of the others, (1 + 2 M,), within ±``highest``."""
    value, *moved = values.tolist()
    down, up = (
        np.array([max(0.0, *(sign * (m - value) for m in pair)) for pair in zip(moved[::2], moved[1::2], strict=True)])
        for sign in (-1, 1)
    )
    low, high = (float(np.sqrt(weights @ side**2)) for side in (down, up))
    return Interval(value, max(value - low, -highest), min(value + high, highest))


def _with_recall(counts: Floats, c: int, recall: float) -> Floats:
    """Return the table with another share of class ``c`` decided rightly."""
    table, n = counts.copy(), counts[c].sum()
    wrong = np.delete(counts[c], c)
    wrong = wrong / wrong.sum() if wrong.any() else np.full(len(wrong), 1 / len(wrong))
    table[c] = np.insert(n * (1 - recall) * wrong, c, n * recall)
    return table


def _with_share(counts: Floats, c: int, share: float) -> Floats:
    """Return the table with another share of the films of class ``c``, its other classes as they are to each other."""
    true, n = counts.sum(axis=1), counts.sum()
    factor = np.full(len(true), n * (1 - share) / max(n - true[c], 1e-9))
    factor[c] = n * share / true[c]
    return np.asarray(counts * factor[:, None])
