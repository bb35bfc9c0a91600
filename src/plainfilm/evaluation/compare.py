"""Two or more models on the same films: paired tests, paired intervals, and words that don't say too much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import binomtest

from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.intervals import (
    DRAWS,
    Bools,
    Floats,
    Interval,
    auc_interval,
    bootstrap,
    clustered_variance,
    normal_quantile,
    placements,
)
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.scores import scores, weighted_scores

SIGNIFICANT = 0.05
POWER = 0.8


class Discordance(NamedTuple):
    """Films that only the first or only the second model gets right, and the p-value that both are as good."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first_right: Bools, second_right: Bools) -> Discordance:
    """Return McNemar's exact test (two-sided binomial) on two (N,) arrays: whether each model is right on each film.

    McNemar 1947, doi 10.1007/BF02295996. p is 1 when the models never differ. Films are taken as independent.
    """
    first = int((first_right & ~second_right).sum())
    second = int((second_right & ~first_right).sum())
    p = float(binomtest(first, first + second, 0.5).pvalue) if first + second else 1.0
    return Discordance(first, second, p)


def paired_delong(
    positive: Bools, first: Floats, second: Floats, level: float = 0.95, patients: NDArray[Any] | None = None
) -> tuple[Interval, float]:
    """Return the difference of two areas under the ROC curve (first - second) with its interval, and the p-value.

    positive: (N,) truth; first, second: (N,) scores of the same films. DeLong et al. 1988, doi 10.2307/2531595. With
    ``patients`` (N,) the films of one may err together: see ``auc_interval``.
    Where the variance is 0 or unknown but the areas differ (a flawless and a constant model), the bounds come from the
    two single intervals, and p from the sign test on the independent pairs there are: as many as the rarer class.
    All NaN when a class is missing.
    """
    rarer = min(int(positive.sum()), int((~positive).sum()))
    if rarer == 0:
        return Interval(np.nan, np.nan, np.nan), np.nan
    below, above = placements(positive, np.stack([first, second]))
    difference = float((below[0] - below[1]).mean())
    variance = sum(np.var(d, ddof=1) / len(d) for d in (below[0] - below[1], above[0] - above[1])) if rarer > 1 else 0.0
    if patients is not None and variance > 0:
        pulls = clustered_variance(positive, below[0] - below[1], above[0] - above[1], patients)
        variance = max(variance, pulls)
    if variance > 0:
        error = float(np.sqrt(variance))
        half = normal_quantile(level) * error
        return Interval(difference, difference - half, difference + half), float(2 * ndtr(-abs(difference) / error))
    if difference == 0:
        return Interval(0.0, 0.0, 0.0), 1.0
    a, b = auc_interval(positive, first, level), auc_interval(positive, second, level)
    return Interval(difference, a.low - b.high, a.high - b.low), 2.0 ** (1 - rarer)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number, in the same order; NaN stays NaN. Holm 1979, Scand J Stat 6:65."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")[: int((~np.isnan(p)).sum())]  # NaN sorts last
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return [float(value) for value in adjusted]


def smallest_difference(n: int, discordance: float, power: float = POWER, level: float = 0.95) -> float:
    """Return the smallest true difference in accuracy that McNemar's test on n films would show with ``power``.

    discordance: the share of films (0..1) on which exactly one model is right; at least the difference itself is taken.
    Connor 1987, doi 10.2307/2531961, solved for the difference; for 0.8 the exact test then has 0.75 to 0.79
    (simulated). NaN when n films can show none.
    """
    z, z_power = normal_quantile(level), float(ndtri(power))

    def lacking(difference: float) -> float:
        share = max(discordance, difference)
        spread = z * np.sqrt(share) + z_power * np.sqrt(max(share - difference**2, 0))
        return float(spread / difference - np.sqrt(n))

    return float(brentq(lacking, 1e-9, 1)) if n > 0 and lacking(1) <= 0 else float("nan")


# -- several models ---------------------------------------------------------------------------------------------------


def align(models: Sequence[tuple[str, Predictions]]) -> list[Predictions]:
    """Return the predictions of all models with rows in the order of the paths, and the first one's classes.

    InputError unless all have the same films with the same labels and classes. The patients are those of the model
    that knows most (the fewest distinct ones), because a foreign file seldom has them.
    """
    names = [name for name, _ in models]
    if len(models) < 2 or len(set(names)) < len(names):
        raise InputError(f"A comparison needs two or more models of different names; these are: {', '.join(names)}.")
    tables = [p.take(np.argsort(np.array(p.paths), kind="stable")) for _, p in models]
    for name, table in zip(names[1:], tables[1:], strict=True):
        _require_same_films(names[0], tables[0], name, table)
    patients = min((table.patients for table in tables), key=lambda who: len(np.unique(who)))
    return [replace(_told_like(table, tables[0].decision), patients=patients) for table in tables]


def _require_same_films(name: str, first: Predictions, other_name: str, other: Predictions) -> None:
    if set(first.classes) != set(other.classes):
        classes = f"{', '.join(first.classes)} against {', '.join(other.classes)}"
        raise InputError(f"{name} and {other_name} can't be compared: their classes differ ({classes}).")
    a = {path: first.classes[label] for path, label in zip(first.paths, first.labels, strict=True)}
    b = {path: other.classes[label] for path, label in zip(other.paths, other.labels, strict=True)}
    counts = {
        f"only in {name}": len(a.keys() - b.keys()),
        f"only in {other_name}": len(b.keys() - a.keys()),
        "labelled differently": sum(a[path] != b[path] for path in a.keys() & b.keys()),
    }
    found = [f"{n} film{'s are' if n > 1 else ' is'} {what}" for what, n in counts.items() if n]
    if found:
        raise InputError(
            f"{name} and {other_name} can't be compared: {', '.join(found)}; give predictions on the same films."
        )


def _told_like(p: Predictions, first: Decision) -> Predictions:
    columns = [p.classes.index(name) for name in first.classes]
    labels = np.argsort(columns)[p.labels]
    decision = replace(p.decision, classes=first.classes, positive=first.positive)
    return replace(p, probabilities=p.probabilities[:, columns], labels=labels, decision=decision)


def compare(
    models: Sequence[tuple[str, Predictions]],
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Return scores of each model and the paired comparison of every two, ready for JSON.

    Films are decided as their table says; the positive class is the first model's. ``models`` holds name, threshold
    (None where each fold has its own, and for more than two classes), ``decided_by`` in words, and scores; ``pairs``
    for every two models ``first`` and ``second``: ``accuracy`` (McNemar's exact test, films only one model gets right)
    and ``auroc`` (paired DeLong), each with the difference (first - second), p, p_holm (over all pairs), the smallest
    difference that these films would show with 80 % power at the level that Holm asks of the first of the pairs, and a
    ``sentence``; ``differences`` of every score with intervals from resampled patients, the same draws for both
    models.
    InputError as in ``align``.
    """
    tables = align(models)
    names = [name for name, _ in models]
    pairs = list(combinations(range(len(names)), 2))
    strict = 1 - 0.05 / len(pairs)  # what the least p-value of all pairs must pass after Holm
    differences = _score_differences(tables, pairs, rng, draws)
    rows = [
        {
            "first": names[a],
            "second": names[b],
            "accuracy": _accuracy_row(tables[a], tables[b], found["accuracy"], strict),
            "auroc": _auroc_row(tables[a], tables[b], strict),
            "differences": {name: interval.as_dict() for name, interval in found.items()},
        }
        for (a, b), found in zip(pairs, differences, strict=True)
    ]
    _add_words(rows)
    return {
        "films": len(tables[0]),
        "patients": len(np.unique(tables[0].patients)),
        "positive": tables[0].decision.positive,
        "models": [
            {
                "name": name,
                **_decided_by(table),
                "scores": {key: value.as_dict() for key, value in scores(table, rng, draws).items()},
            }
            for name, table in zip(names, tables, strict=True)
        ],
        "pairs": rows,
    }


def _decided_by(p: Predictions) -> dict[str, Any]:
    if not p.decision.two:
        return {"threshold": None, "decided_by": "the likeliest class"}
    low, high = np.min(p.decision.threshold), np.max(p.decision.threshold)
    if low == high:
        whose = f" of {p.decision.threshold_of}" if p.decision.threshold_of else ""
        return {"threshold": float(low), "decided_by": f"the threshold {low:.3f}{whose}"}
    return {"threshold": None, "decided_by": f"each fold's own threshold ({low:.3f} to {high:.3f})"}


def _score_differences(
    tables: list[Predictions],
    pairs: list[tuple[int, int]],
    rng: np.random.Generator,
    draws: int,
) -> list[dict[str, Interval]]:
    """Return for each pair the difference of every score, all pairs from the same resamples of patients."""
    named = [weighted_scores(table) for table in tables]
    names = named[0][0]

    def statistic(weights: Floats) -> Floats:
        columns = [score(weights) for _, score in named]
        return np.hstack([columns[a] - columns[b] for a, b in pairs])

    found = bootstrap(statistic, tables[0].patients, rng, draws)
    return [dict(zip(names, found[i * len(names) :], strict=False)) for i in range(len(pairs))]


def _accuracy_row(
    first: Predictions,
    second: Predictions,
    difference: Interval,
    level: float,
) -> dict[str, Any]:
    right = [p.decided == p.labels for p in (first, second)]
    test = mcnemar(right[0], right[1])
    shown = smallest_difference(len(first), (test.only_first + test.only_second) / len(first), level=level)
    return {
        "difference": difference.as_dict(),
        "p": test.p,
        "only_first_right": test.only_first,
        "only_second_right": test.only_second,
        "identical": test.only_first + test.only_second == 0,
        "smallest_difference": shown,
    }


def _auroc_row(first: Predictions, second: Predictions, level: float) -> dict[str, Any]:
    difference, p = paired_delong(first.truth, first.score, second.score)
    error = (difference.high - difference.low) / 2 / normal_quantile(0.95)
    shown = (normal_quantile(level) + float(ndtri(POWER))) * error
    return {
        "difference": difference.as_dict(),
        "p": p,
        "identical": difference == (0, 0, 0),
        "smallest_difference": shown if error > 0 else float("nan"),
    }


def _add_words(rows: list[dict[str, Any]]) -> None:
    for score in ("accuracy", "auroc"):
        for row, adjusted in zip(rows, holm([row[score]["p"] for row in rows]), strict=True):
            row[score]["p_holm"] = adjusted
            difference = Interval(**row["differences"][score])
            if difference.low == difference.high and score == "auroc":  # no resample differs: DeLong's still has width
                difference = Interval(**row[score]["difference"])
            identical = row[score]["identical"]
            row[score]["sentence"] = verdict(row["first"], row["second"], score, difference, adjusted, identical)


def verdict(first: str, second: str, score: str, difference: Interval, p: float, identical: bool = False) -> str:
    """Return what may be said of two models from the difference (first - second) of ``score`` and its p-value.

    One is called better only when p < 0.05 and the interval leaves out 0: the test takes films as independent, the
    interval is from resampled patients, and both must agree.
    """
    if np.isnan(difference.value):
        return f"{first} and {second} can't be compared by {score}: a class is missing."
    named = {"auroc": "AUROC"}.get(score, score)
    if identical:
        return f"{first} and {second}: the two are identical on these films ({named})."
    value, low, high = difference
    if value < 0:
        first, second, value, low, high = second, first, -value, -high, -low
    shown = p < SIGNIFICANT and low > 0
    chance = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    known = "too few patients for an interval" if np.isnan(low) else f"95 % interval {low:.3f} to {high:.3f}"
    figures = f"{named}: difference {value:.3f}, {known}, {chance}"
    return f"{first} is {'better' if shown else 'not shown to be better'} than {second} ({figures})."
