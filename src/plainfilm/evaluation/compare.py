"""Two or more models on the same films: paired tests, paired intervals, and words that don't say too much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.signal import fftconvolve
from scipy.special import ndtri
from scipy.stats import binom

from plainfilm.errors import InputError
from plainfilm.evaluation.areas import area, two_sided_spread
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.intervals import (
    Bools,
    Estimate,
    Floats,
    Gap,
    Interval,
    Whose,
    gap,
    normal_quantile,
    numbered,
    student_quantile,
    summed,
)
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.reliability import DRAWS, ece_gap
from plainfilm.evaluation.scores import estimates, scores
from plainfilm.evaluation.tables import one_film_moves

SIGNIFICANT = 0.05
POWER = 0.8
MANY = 1e9  # degrees of freedom of what is known


class Discordance(NamedTuple):
    """Films that only the first or only the second model gets right, and the p-value that both are as good."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first_right: Bools, second_right: Bools, patients: Whose | None = None) -> Discordance:
    """Return McNemar's exact test on two (N,) arrays: whether each model is right on each film.

    Without ``patients`` films are taken as independent: the two-sided binomial (McNemar 1947, doi 10.1007/BF02295996).
    With them (N,) the two models change places for whole patients: exact too, and the same where each has one film.
    (Of many patients it is the test of Obuchowski 1998, Statistics in Medicine 17:1495.) p is 1 when the models never
    differ.
    """
    leads = first_right.astype(np.int64) - second_right
    whose = np.arange(len(leads)) if patients is None else numbered(patients)
    return Discordance(int((leads > 0).sum()), int((leads < 0).sum()), _changing_places(summed(leads, whose)))


def _changing_places(leads: Floats) -> float:
    """Return the chance that |Σ ± leads| is at least |Σ leads|, each sign by a fair coin; leads: (patients,), whole."""
    sizes, counts = np.unique(np.abs(np.rint(leads)).astype(np.int64), return_counts=True)
    chances = np.ones(1)  # of each sum, from the lowest to the highest
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        if size:
            each = np.zeros(2 * size * count + 1)
            each[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
            chances = np.maximum(fftconvolve(chances, each), 0) if len(chances) > 1 else each
    sums = np.abs(np.arange(len(chances)) - (len(chances) - 1) // 2)
    return float(min(chances[sums >= abs(round(float(leads.sum())))].sum(), 1.0))


class Paired(NamedTuple):
    """A difference of two models with the p-value that there is none."""

    gap: Gap
    p: float

    def interval(self, level: float = 0.95) -> Interval:
        """The difference with its interval, which leaves out 0 where p < 1 - level and only there: where a test's p is
        not the normal one and they would disagree, the error is what the p-value says it is (Miettinen 1976,
        doi 10.1093/oxfordjournals.aje.a112225)."""
        found = self.gap.interval(level)
        value, half = self.gap.value, found.high - self.gap.value
        if (abs(value) > half) != (self.p < 1 - level):
            half *= abs(value) / max(student_quantile(1 - self.p, self.gap.df) * self.gap.error, 1e-12)
        return Interval(value, max(value - half, -1.0), min(value + half, 1.0))


def accuracy_test(first_right: Bools, second_right: Bools, whose: NDArray[np.int64]) -> Paired:
    """Return the difference of two accuracies on the same films (N,), whose patients are numbered: see ``mcnemar``."""
    n, right = len(first_right), np.stack([first_right, second_right]).astype(np.float64)
    share = right.mean(axis=1)
    first, second = (Estimate(float(m), (row - m) / n) for m, row in zip(share, right, strict=True))
    return Paired(gap(first, second, whose, 1 / n), mcnemar(first_right, second_right, whose).p)


def area_test(positive: Bools, first: Estimate, second: Estimate, whose: NDArray[np.int64]) -> Paired:
    """Return the difference of two areas under the ROC curve from the pulls of the same films (N,).

    DeLong et al. 1988, doi 10.2307/2531595, by patient (Obuchowski 1997, doi 10.2307/2533958), with Student's quantile.
    Where no film pulls though the areas differ (a flawless and a constant model), p is from the sign test on the
    independent pairs there are, as many as the rarer class has patients, and the interval from it.
    """
    value = first.value - second.value
    if np.isnan(value):
        return Paired(Gap(value, value, value), value)
    variance, df = two_sided_spread(first.pulls - second.pulls, positive, whose)
    rarer = min(len(np.unique(whose[side])) for side in (positive, ~positive))
    if value and (variance < 1e-20 or rarer < 2):
        p = 2.0 ** (1 - rarer)
        return Paired(Gap(value, abs(value) / max(student_quantile(1 - p, MANY), 1e-9), MANY), p)
    found = Gap(value, float(np.sqrt(variance)), df)
    return Paired(found, found.p)


def paired_delong(
    positive: Bools, first: Floats, second: Floats, level: float = 0.95, patients: Whose | None = None
) -> tuple[Interval, float]:
    """Return the difference of the areas under the ROC curve of two scores (N,) of the same films (first - second) with
    its interval, and the p-value: ``area_test``. All NaN when a class is missing."""
    whose = np.arange(len(positive)) if patients is None else numbered(patients)
    found = area_test(positive, area(positive, first), area(positive, second), whose)
    return found.interval(level), found.p


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
    folds = next((table.folds for table in tables if table.folds is not None), None)  # ranked within them, all alike
    shared = [replace(_told_like(table, tables[0].decision), patients=patients) for table in tables]
    return [table if table.folds is not None else replace(table, folds=folds) for table in shared]


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
    for every two models ``first`` and ``second``: ``accuracy`` (McNemar's exact test by patient, films only one model
    gets right) and ``auroc`` (paired DeLong by patient), each with the difference (first - second), p, p_holm (over all
    pairs), the smallest difference that these films would show with 80 % power at the level that Holm asks of the first
    of the pairs, and a ``sentence``; ``differences`` of every score. All intervals are simultaneous for the pairs: each
    at the level 1 - .05 / pairs (Bonferroni); one that Holm's test calls unequal leaves out 0.
    InputError as in ``align``.
    """
    tables = align(models)
    names = [name for name, _ in models]
    many = len(names) * (len(names) - 1) // 2
    rows, tests = paired(names, tables, many, rng, draws)
    add_words(rows, tests, f"{many} pairs" if many > 1 else "")
    return {
        "films": len(tables[0]),
        "patients": len(np.unique(tables[0].patients)),
        "positive": tables[0].decision.positive,
        "models": scores_of(names, tables, rng, draws),
        "pairs": rows,
    }


def paired(
    names: Sequence[str], tables: Sequence[Predictions], many: int, rng: np.random.Generator, draws: int = DRAWS
) -> tuple[list[dict[str, Any]], list[dict[str, Paired]]]:
    """Return a row for every two of aligned ``tables``, still without words, and the tests of each.

    ``many``: how many differences of each score are tested together, here or elsewhere.
    """
    rows, tests = [], []
    level = 1 - SIGNIFICANT / many
    for a, b in combinations(range(len(names)), 2):
        tests.append(_tests(tables[a], tables[b]))
        rows.append({"first": names[a], "second": names[b]} | _rows(tables[a], tables[b], tests[-1], many))
        found = differences(tables[a], tables[b], level)
        found["ece"] = ece_gap(tables[a], tables[b], rng, draws, level)
        rows[-1]["differences"] = {name: interval.as_dict() for name, interval in found.items()}
    return rows, tests


def scores_of(
    names: Sequence[str], tables: Sequence[Predictions], rng: np.random.Generator, draws: int = DRAWS
) -> list[dict[str, Any]]:
    """Return name, threshold, how films are decided, and scores of each of the models ``names``."""
    return [
        {
            "name": name,
            **_decided_by(table),
            "scores": {key: value.as_dict() for key, value in scores(table, rng, draws).items()},
        }
        for name, table in zip(names, tables, strict=True)
    ]


def _decided_by(p: Predictions) -> dict[str, Any]:
    if not p.decision.two:
        return {"threshold": None, "decided_by": "the likeliest class"}
    low, high = np.min(p.decision.threshold), np.max(p.decision.threshold)
    if low == high:
        whose = f" of {p.decision.threshold_of}" if p.decision.threshold_of else ""
        return {"threshold": float(low), "decided_by": f"the threshold {low:.3f}{whose}"}
    return {"threshold": None, "decided_by": f"each fold's own threshold ({low:.3f} to {high:.3f})"}


def _tests(first: Predictions, second: Predictions) -> dict[str, Paired]:
    truth, whose = first.truth, numbered(first.patients)
    right = [p.decided == p.labels for p in (first, second)]
    areas = [area(truth, p.score, p.folds) for p in (first, second)]
    return {"accuracy": accuracy_test(right[0], right[1], whose), "auroc": area_test(truth, areas[0], areas[1], whose)}


def _rows(first: Predictions, second: Predictions, tests: dict[str, Paired], pairs: int) -> dict[str, dict[str, Any]]:
    right = [p.decided == p.labels for p in (first, second)]
    leads = right[0].astype(np.int64) - right[1]
    by_patient = summed(leads, numbered(first.patients))
    n, discordant = len(leads), int(np.abs(leads).sum())
    effect = max(float(by_patient @ by_patient) / discordant, 1.0) if discordant else 1.0  # films worth one, together
    level = 1 - SIGNIFICANT / pairs
    area_gap = tests["auroc"].gap
    shown = (student_quantile(level, area_gap.df) + float(ndtri(POWER))) * area_gap.error
    return {
        "accuracy": {
            "p": tests["accuracy"].p,
            "only_first_right": int((leads > 0).sum()),
            "only_second_right": int((leads < 0).sum()),
            "identical": discordant == 0,
            "smallest_difference": smallest_difference(int(n / effect), discordant / n, level=level),
        },
        "auroc": {
            "p": tests["auroc"].p,
            "identical": area_gap.value == 0 and area_gap.error == 0,
            "smallest_difference": shown if area_gap.error > 0 else float("nan"),
        },
    }


def differences(first: Predictions, second: Predictions, level: float = 0.95) -> dict[str, Interval]:
    """Return first - second of every score of ``estimates`` on the same films in the same order, by patient.

    A film that both decide alike is no proof that both always would: see ``gap`` and ``one_film_moves``.
    """
    truth, whose = first.truth, numbered(first.patients)
    known, moves = [estimates(p) for p in (first, second)], [one_film_moves(p) for p in (first, second)]
    gaps = {name: gap(known[0][name], known[1][name], whose, max(m.get(name, 0.0) for m in moves)) for name in known[0]}
    found = {name: one.interval(level) for name, one in gaps.items()}
    return found | {"auroc": area_test(truth, known[0]["auroc"], known[1]["auroc"], whose).interval(level)}


def add_words(rows: Sequence[dict[str, Any]], tests: Sequence[Mapping[str, Paired]], many: str) -> None:
    """Add the p-values by Holm, the intervals that agree with them, and what may be said, to each row.

    tests: of each row, by score; the same scores in all. ``many``: what was tested together, in words; empty for one.
    """
    level = 1 - SIGNIFICANT / max(len(rows), 1)
    for score in tests[0] if tests else ():
        adjusted = holm([row[score]["p"] for row in rows])
        for row, test, p in zip(rows, tests, adjusted, strict=True):
            difference = simultaneous(test[score], p, level)
            row[score] |= {"difference": difference.as_dict(), "p_holm": p}
            row.setdefault("differences", {})[score] = difference.as_dict()
            row[score]["sentence"] = verdict(row["first"], row["second"], score, row[score], many)


def simultaneous(test: Paired, p_holm: float, level: float) -> Interval:
    """Return the interval of one of several differences at the ``level`` that Bonferroni asks. Holm's test shows more:
    where it leaves out 0 and this interval does not, its bound there is that at the level at which Holm tested."""
    found = test.interval(level)
    if not p_holm < SIGNIFICANT or found.low > 0 or found.high < 0:
        return found
    own = test.interval(1 - SIGNIFICANT * test.p / p_holm)
    return found._replace(low=own.low) if found.value > 0 else found._replace(high=own.high)


def verdict(first: str, second: str, score: str, row: Mapping[str, Any], many: str = "") -> str:
    """Return what may be said of two models from a ``row`` of a comparison by ``score``: the ``difference`` (first -
    second), ``p_holm``, the ``smallest_difference`` that such films would show, and whether they are ``identical``.

    One is called better only when p < 0.05, and then the interval leaves out 0. ``many``: how many differences were
    tested together, in words.
    """
    value, low, high = Interval(**row["difference"])
    if np.isnan(value):
        return f"{first} and {second} can't be compared by {score}: a class is missing."
    named = {"auroc": "AUROC", "mean_auroc": "mean AUROC over findings"}.get(score, score)
    if row["identical"]:
        return f"{first} and {second}: the two are identical on these films ({named})."
    if value < 0:
        first, second, value, low, high = second, first, -value, -high, -low
    p, smallest = row["p_holm"], row["smallest_difference"]
    shown = p < SIGNIFICANT and low > 0
    chance = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    together = f", for {many}" if many else ""
    figures = f"{named}: difference {value:.3f}, 95 % interval {low:.3f} to {high:.3f}, {chance}{together}"
    if not shown and not np.isnan(smallest):
        figures += f"; a true difference of {smallest:.3f} would be shown four times in five"
    return f"{first} is {'better' if shown else 'not shown to be better'} than {second} ({figures})."
