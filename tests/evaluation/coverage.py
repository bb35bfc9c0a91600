"""How often the intervals hold the truth and the tests keep their level, by simulation: data whose truth is known.

``python tests/evaluation/coverage.py [SETS] [WORD]`` prints the table of all settings, or of those named with WORD.
Scores are normal, N(0, 1) for negative and N(SEPARATION, 1) for positive films unless said; the films of a patient
share a part of the noise (its intra-class correlation ``icc``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from time import perf_counter
from typing import Any

import numpy as np
from scipy.special import expit, ndtr
from scipy.stats import norm

from plainfilm.audit.telling import tell
from plainfilm.evaluation import adapting
from plainfilm.evaluation.columns import SCORES, by_columns
from plainfilm.evaluation.compare import compare
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.operating import Rules
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.scores import scores
from plainfilm.evaluation.subgroups import subgroups, worst_subgroup

Outcomes = dict[str, bool]
Floats = np.ndarray
SEPARATION = 2.5  # sensitivity and specificity ndtr(1.25) = .894 at the middle, area ndtr(2.5 / sqrt 2) = .961
DRAWS = 300  # where figures are resampled; those in use are more and no worse


def table(score: Floats, truth: Floats, patients: Floats, separation: float = SEPARATION) -> Predictions:
    """Predictions whose log-odds are those of the two normals: calibrated where both classes are equally frequent."""
    return of(expit(separation * (score - separation / 2)), truth, patients)


def of(share: Floats, truth: Floats, patients: Floats) -> Predictions:
    n = len(share)
    shares = np.column_stack([1 - share, share])
    paths = [f"{i:06d}" for i in range(n)]
    whose = np.array([f"{i:06d}" for i in patients])
    decision = Decision(("normal", "ill"), "ill")
    return Predictions(paths, np.full(n, "test"), np.asarray(truth, np.int64), shares, decision, whose)


def noise(rng: np.random.Generator, patients: Floats, icc: float, columns: int = 1) -> Floats:
    """(columns, N) standard normal noise, correlated by ``icc`` within a patient (numbered from 0)."""
    shared = rng.normal(size=(columns, int(patients.max()) + 1))[:, patients]
    return np.sqrt(icc) * shared + np.sqrt(1 - icc) * rng.normal(size=(columns, len(patients)))


def cohort(ill: int, well: int, films: int | tuple[int, int], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(truth, patients) of ``ill`` and ``well`` patients with ``films`` each, or between two numbers of them."""
    many = np.full(ill + well, films) if isinstance(films, int) else rng.integers(films[0], films[1] + 1, ill + well)
    patients = np.repeat(np.arange(ill + well), many)
    return (patients < ill).astype(np.int64), patients


# -- the truth --------------------------------------------------------------------------------------------------------


@lru_cache
def truth_of(ill: float, separation: float = SEPARATION) -> dict[str, float]:
    """Every score of the two normals at the middle, where a share ``ill`` of the films is positive."""
    rate, x = float(ndtr(separation / 2)), np.linspace(-10, 10 + separation, 200_001)
    tp, fp, well = rate * ill, (1 - rate) * (1 - ill), 1 - ill
    fn, tn = ill - tp, well - fp
    step, share = x[1] - x[0], expit(separation * (x - separation / 2))
    above, false = norm.sf(x, separation), norm.sf(x)
    precision = above * ill / np.maximum(above * ill + false * well, 1e-300)
    brier = ill * (norm.pdf(x, separation) * (1 - share) ** 2).sum() + well * (norm.pdf(x) * share**2).sum()
    f1, f0 = 2 * tp / (2 * tp + fp + fn), 2 * tn / (2 * tn + fp + fn)
    return {
        "accuracy": rate,
        "sensitivity": rate,
        "specificity": rate,
        "balanced_accuracy": rate,
        "ppv": tp / (tp + fp),
        "f1_ill": f1,
        "f1_macro": (f1 + f0) / 2,
        "precision_macro": (tp / (tp + fp) + tn / (tn + fn)) / 2,
        "mcc": (tp * tn - fp * fn) / np.sqrt((tp + fp) * ill * well * (tn + fn)),
        "auroc": float(ndtr(separation / np.sqrt(2))),
        "auprc": float((norm.pdf(x, separation) * precision).sum() * step),
        "brier": float(brier * step),
        "calibration_slope": 1.0,
    }


def held(found: dict[str, Any], truth: dict[str, float], names: tuple[str, ...]) -> Outcomes:
    """Whether each interval holds the truth; and whether one of them has no width."""
    bounds = {name: found[name] for name in names}
    return {name: bool(i.low <= truth[name] <= i.high) for name, i in bounds.items()} | {
        "WIDTH 0": any(i.low == i.high for i in bounds.values())
    }


# -- the settings -----------------------------------------------------------------------------------------------------


def scored(
    ill: int, well: int, films: int | tuple[int, int] = 1, icc: float = 0.0, names: tuple[str, ...] = (), separation=2.5
) -> Callable[[np.random.Generator], Outcomes]:
    def one(rng: np.random.Generator) -> Outcomes:
        truth, patients = cohort(ill, well, films, rng)
        p = table(noise(rng, patients, icc)[0] + separation * truth, truth, patients, separation)
        right = truth_of(ill / (ill + well), separation)
        return held(scores(p, rng, DRAWS), right, names or COMPOSED)

    return one


def areas(ill: int, well: int, area: float) -> Callable[[np.random.Generator], Outcomes]:
    return scored(ill, well, names=("auroc",), separation=float(np.sqrt(2) * norm.ppf(area)))


def mixed_patients(rng: np.random.Generator) -> Outcomes:
    """40 patients with 10 films each, of both classes."""
    patients = np.repeat(np.arange(40), 10)
    truth = (rng.random(400) < 0.4).astype(np.int64)
    p = table(noise(rng, patients, 0.5)[0] + SEPARATION * truth, truth, patients)
    return held(scores(p, rng, DRAWS), truth_of(0.4), (*COMPOSED, "accuracy", "ppv"))


def three_classes(rng: np.random.Generator) -> Outcomes:
    """15, 40 and 145 films; the likeliest class decides, the right one with a chance of .8."""
    labels = np.repeat([0, 1, 2], [15, 40, 145])
    decided = np.where(rng.random(200) < 0.8, labels, (labels + rng.integers(1, 3, 200)) % 3)
    n = [str(i) for i in range(200)]
    share = np.full((200, 3), 0.1) + 0.7 * np.eye(3)[decided]
    p = Predictions(n, np.full(200, "test"), labels, share, Decision(("a", "b", "c"), "c"), np.array(n))
    counts = np.array([15, 40, 145])
    whole = np.where(np.eye(3, dtype=bool), 0.8, 0.1) * counts[:, None]
    f1 = 2 * np.diag(whole) / (whole.sum(0) + counts)
    truth = {"balanced_accuracy": 0.8, "f1_macro": float(f1.mean())}
    truth["precision_macro"] = float((np.diag(whole) / whole.sum(0)).mean())
    called, n_all = whole.sum(0), 200.0
    up = np.trace(whole) * n_all - (counts * called).sum()
    truth["mcc"] = float(up / np.sqrt((n_all**2 - (counts**2).sum()) * (n_all**2 - (called**2).sum())))
    return held(scores(p, rng, DRAWS), truth, ("balanced_accuracy", "f1_macro", "precision_macro", "mcc"))


def equal_models(patients: int, films: int | tuple[int, int], icc: float = 0.5) -> Callable[..., Outcomes]:
    """Four equal models on the same films: each its own noise, correlated within a patient, beside a shared part."""

    def one(rng: np.random.Generator) -> Outcomes:
        truth, whose = cohort(patients // 2, patients - patients // 2, films, rng)
        shared, own = noise(rng, whose, icc)[0], noise(rng, whose, icc, 4)
        models = [(f"m{k}", table((shared + own[k]) / np.sqrt(2) + 2 * truth, truth, whose, 2)) for k in range(4)]
        pairs = compare(models, rng, DRAWS)["pairs"]
        found: Outcomes = {}
        for score in ("accuracy", "auroc"):
            said = [pair[score]["sentence"] for pair in pairs]
            found[f"{score}: any 'is better'"] = any(" is better" in s for s in said)
            found[f"{score}: p < .05"] = pairs[0][score]["p"] < 0.05
            found[f"{score}: all hold 0"] = all(
                pair["differences"][score]["low"] <= 0 <= pair["differences"][score]["high"] for pair in pairs
            )
        return found

    return one


def folds(n: int) -> Callable[[np.random.Generator], Outcomes]:
    """Logistic regressions on 20 columns, 5 folds, each film scored by a model that did not see it."""
    return lambda rng: _folds(rng, n)


def _folds(rng: np.random.Generator, n: int) -> Outcomes:
    shift = np.full(20, 0.35)
    truth = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 20)) + truth[:, None] * shift
    fold, odds, right = np.arange(n) % 5, np.empty(n), []
    for k in range(5):
        line = _newton(np.column_stack([x, np.ones(n)])[fold != k], truth[fold != k])
        odds[fold == k] = x[fold == k] @ line[:-1] + line[-1]
        right.append(ndtr(line[:-1] @ shift / np.sqrt(2) / np.linalg.norm(line[:-1])))
    found = pooled(of(expit(odds), truth, np.arange(n)), fold, rng)
    return {"auroc": bool(found.low <= np.mean(right) <= found.high)}


def _newton(x: Floats, y: Floats) -> Floats:
    line = np.zeros(x.shape[1])
    for _ in range(8):
        p = expit(x @ line)
        hessian = (x.T * (p * (1 - p))) @ x + 0.1 * np.eye(len(line))
        line = line + np.linalg.solve(hessian, x.T @ (y - p) - 0.1 * line)
    return line


def pooled(p: Predictions, fold: Floats, rng: np.random.Generator) -> Any:
    """The headline AUROC of pooled folds."""
    return scores(replace(p, folds=fold.astype(str)), rng, 5)["auroc"]


def calibrated(patients: int, films: int, sure: float = 1.0) -> Callable[[np.random.Generator], Outcomes]:
    """Labels drawn from the probabilities, whose errors agree within a patient (a shared uniform in half of films);
    ``sure`` other than 1 makes the model too sure."""

    def one(rng: np.random.Generator) -> Outcomes:
        whose = np.repeat(np.arange(patients), films)
        odds = 1.5 * noise(rng, whose, 0.5)[0]
        luck = ndtr(noise(rng, whose, 0.6)[0])
        truth = (luck < expit(odds)).astype(np.int64)
        p = of(expit(sure * odds), truth, whose)
        found = scores(p, rng, DRAWS)["ece"]
        grid = 1.5 * norm.ppf((np.arange(20_000) + 0.5) / 20_000)
        right = float(np.abs(expit(grid) - expit(sure * grid)).mean())
        return {"ece": bool(found.low <= right <= found.high), "ece < 0 width": found.low == found.high}

    return one


def local(films: int, threshold: str, films_each: int = 1) -> Callable[[np.random.Generator], Outcomes]:
    """A new site that is like the old one: nothing to be gained."""

    def one(rng: np.random.Generator) -> Outcomes:
        truth, whose = cohort(films // 2 // films_each, films // 2 // films_each, films_each, rng)
        raw = table(noise(rng, whose, 0.5)[0] + SEPARATION * truth, truth, whose)
        old = raw.decision
        new, gain = adapted(raw, old, threshold, rng)

        def right(point: Decision) -> float:
            cut = SEPARATION / 2 + np.log(point.threshold / (1 - point.threshold)) * point.temperature / SEPARATION
            return float(ndtr(SEPARATION - cut) + ndtr(cut)) / 2

        gained = right(new) - right(old)
        return {
            "loss > .02": gained < -0.02,
            "gain held": bool(gain["low"] <= gained <= gain["high"]),
            "WIDTH 0": gain["low"] == gain["high"],
        }

    return one


def adapted(raw: Predictions, old: Decision, threshold: str, rng: np.random.Generator) -> tuple[Decision, Any]:
    new, _, found = adapting.adapt(raw, old, Rules(threshold, "none"), rng)
    return new, found["difference"]["balanced_accuracy"]


def groups(number: int, patients: int, films: int) -> Callable[[np.random.Generator], Outcomes]:
    """``number`` groups of ``patients`` patients each, none worse than the others."""

    def one(rng: np.random.Generator) -> Outcomes:
        truth, whose = cohort(number * patients // 2, number * patients // 2, films, rng)
        group = np.array([str(g) for g in whose % number])
        p = table(noise(rng, whose, 0.5)[0] + SEPARATION * truth, truth, whose)
        whole = float(ndtr(SEPARATION / 2))
        found = worst_subgroup(subgroups(p, {"group": group}), whole)
        return {"called worse": bool(found and found["worse"])}

    return one


def sites(number: int, patients: int, films: int | tuple[int, int]) -> Callable[[np.random.Generator], Outcomes]:
    """``number`` sites of ``patients`` patients each, none worse than the others, by ``--by site``."""

    def one(rng: np.random.Generator) -> Outcomes:
        truth, whose = cohort(number * patients // 2, number * patients // 2, films, rng)
        site = np.array([f"s{g}" for g in whose % number], object)
        found = by_columns(table(noise(rng, whose, 0.5)[0] + SEPARATION * truth, truth, whose), {"site": site}, "site")
        gaps = {name: [r["difference"][name] for r in found["rows"] if r["difference"]] for name in SCORES}
        held = {
            f"{name} holds 0": float(np.mean([gap["low"] <= 0 <= gap["high"] for gap in of]))
            for name, of in gaps.items()
            if of
        }
        return held | {"called worse": bool(found["worst"] and found["worst"]["worse"])}

    return one


def told_by_noise(patients: int, films: int, columns: int) -> Callable[[np.random.Generator], Outcomes]:
    """Columns that know nothing; what they tell is .5."""

    def one(rng: np.random.Generator) -> Outcomes:
        whose = np.repeat(np.arange(patients), films)
        positive = whose < patients // 2
        found = tell(noise(rng, whose, 0.5, columns).T, positive, whose, rng)
        return {"auc .5": bool(found.auc.low <= 0.5 <= found.auc.high), "red line": found.red}

    return one


COMPOSED = ("sensitivity", "balanced_accuracy", "f1_macro", "f1_ill", "precision_macro", "mcc")
BY_PATIENT = ("accuracy", "sensitivity", "balanced_accuracy", "auroc", "auprc", "brier", "calibration_slope")
SETTINGS: dict[str, Callable[[np.random.Generator], Outcomes]] = {
    "S1 level: 20 patients x 10 films": equal_models(20, 10),
    "S1 level: 40 x 10": equal_models(40, 10),
    "S1 level: 60 x 5": equal_models(60, 5),
    "S1 level: 100 x 3": equal_models(100, 3),
    "S1 level: 200 x 1": equal_models(200, 1),
    "S1 level: 24 x 1 to 30": equal_models(24, (1, 30)),
    "S2 10 + 200 films": scored(10, 200),
    "S2 20 + 200 films": scored(20, 200),
    "S2 5 + 1,000 films": scored(5, 1000),
    "S2 6 + 6 patients x 50": scored(6, 6, 50, 0.5),
    "S2 three classes, 15 + 40 + 145": three_classes,
    "S2 40 mixed patients x 10": mixed_patients,
    "S3 folds, 150 films": folds(150),
    "S3 folds, 300 films": folds(300),
    "S3 folds, 1,000 films": folds(1000),
    "S5 calibrated, 40 x 10": calibrated(40, 10),
    "S5 calibrated, 100 x 5": calibrated(100, 5),
    "S5 calibrated, 600 x 1": calibrated(600, 1),
    "S5 too sure, 100 x 5": calibrated(100, 5, 2.0),
    "S6 40 local films, balanced": local(40, "balanced"),
    "S6 40 local films, youden": local(40, "youden"),
    "S6 200 local films, balanced": local(200, "balanced"),
    "S7 3 + 3 patients x 20": scored(3, 3, 20, 0.5, BY_PATIENT),
    "S7 5 + 5 patients x 20": scored(5, 5, 20, 0.5, BY_PATIENT),
    "S7 10 + 10 patients x 10": scored(10, 10, 10, 0.5, BY_PATIENT),
    "S7 20 + 20 patients x 10": scored(20, 20, 10, 0.5, BY_PATIENT),
    "S7 75 + 75 patients x 1 to 9": scored(75, 75, (1, 9), 0.5, BY_PATIENT),
    "S7 20 + 20 patients x 1 to 40, films alone": scored(20, 20, (1, 40), 0.0, BY_PATIENT),
    **{
        f"S8 area {area}: {ill} + {well}": areas(ill, well, area)
        for ill, well in ((5, 1000), (10, 100), (10, 1000), (30, 300))
        for area in (0.8, 0.95, 0.99)
    },
    "S9 10 groups x 6 patients x 20": groups(10, 6, 20),
    "S9 5 groups x 24 patients x 4": groups(5, 24, 4),
    "by: 4 sites x 12 patients x 6": sites(4, 12, 6),
    "by: 4 sites x 20 patients x 1 to 9": sites(4, 20, (1, 9)),
    "by: 4 sites x 40 patients x 1": sites(4, 40, 1),
    "by: 2 sites x 14 patients x 20": sites(2, 14, 20),
    "S10 noise: 100 x 1, 3 columns": told_by_noise(100, 1, 3),
    "S10 noise: 60 x 3, 20 columns": told_by_noise(60, 3, 20),
    "S10 noise: 600 x 1, 20 columns": told_by_noise(600, 1, 20),
}


def run(name: str, sets: int, seed: int = 0) -> dict[str, float]:
    """Share of ``sets`` in which each outcome of a setting is true; ``seed``: other sets than those that were looked at
    when the intervals were made."""
    rng = np.random.default_rng([*name.encode(), *([seed] if seed else [])])
    found = [SETTINGS[name](rng) for _ in range(sets)]
    return {key: float(np.mean([one[key] for one in found])) for key in found[0]}


def main(sets: int = 1000, word: str = "", seed: int = 0) -> None:
    adapting.REPEATS = 1  # its learning curve is not looked at
    for name in SETTINGS:
        if word in name:
            start = perf_counter()
            outcomes = ", ".join(f"{key} {value:.3f}" for key, value in run(name, sets, seed).items())
            print(f"{name} | {outcomes} | {perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main(*(int(a) if a.isdigit() else a for a in sys.argv[1:]))
