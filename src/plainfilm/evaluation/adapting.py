"""A model at a new site: temperature, threshold and refer band from local films, judged on others than those.

The weights stay. Before and after are compared on the same local films; "after" is cross-fitted by patient, so no film
is judged by a threshold that it helped to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.errors import InputError
from plainfilm.evaluation.compare import differences
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.guarantee import PREVALENCES, at_prevalence, holds_until
from plainfilm.evaluation.intervals import Interval, rate
from plainfilm.evaluation.operating import Rules, choose, referring
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.referral import useless
from plainfilm.evaluation.reliability import DRAWS, ece_gap
from plainfilm.evaluation.scores import scores
from plainfilm.evaluation.tables import ORDER, named

FOLDS = 5
FEWEST = 10  # films a class: below this a threshold is a guess
SIZES = (25, 50, 100, 200, 400)  # local films in the learning curve
FEW = 50  # patients: below this a gain is seldom shown
REPEATS = 40
ENOUGH = 0.01  # mean loss of balanced accuracy against all films fitted, that no longer matters
OF_ORDER = tuple(named(about=ORDER))  # scores that depend on the films' order alone
COMPARED = tuple(name for name in named("runs") if name not in OF_ORDER)


def adapt(
    raw: Predictions, old: Decision, rules: Rules, rng: np.random.Generator, force: bool = False
) -> tuple[Decision, Predictions, dict[str, Any]]:
    """Return the rule of decision for the new site; the films as it decides them, cross-fitted; what is known of it.

    The new rule, fitted to all local films, is taken where it is shown to be better (``shown_better``), was asked for
    (the threshold is a number or a sensitivity) or is forced; else the old one is kept, and "kept" is true; of what was
    to be promised, the band is found for whichever is taken.
    ``raw``: the local films with their labels, probabilities at temperature 1. The dictionary has "before" and "after"
    ({score: {"value", "low", "high"}}, after cross-fitted but for OF_ORDER), "deployed" (the same of the rule returned,
    on the very films it was fitted to), "difference" (after - before, by patient), "lines" (what must be read first),
    "refer" (share of films referred and share of errors among the others, cross-fitted; None without a band),
    "learning_curve" (balanced accuracy on films left out, by number of films fitted) and "enough": the smallest
    number there that loses no more than one point against larger ones, None where none was tried. InputError for fewer
    than 10 films of a class.
    """
    counts = np.bincount(raw.labels, minlength=len(raw.classes))
    if counts.min() < FEWEST:
        few = f"{counts.min()} of {raw.classes[int(counts.argmin())]}"
        raise InputError(f"adapt needs at least {FEWEST} local films of each class, and there are {few}; add films.")
    known = min(len(np.unique(raw.patients[raw.labels == k])) for k in range(len(raw.classes)))
    if known < FOLDS:
        raise InputError(f"adapt needs films of at least {FOLDS} patients of each class, and there are {known}.")
    fit = partial(choose, rule=rules.threshold, refer=rules.refer, fitted=True, shifted=rules.shifted)
    new = fit(raw)
    new = replace(new, rule=new.rule.replace("on validation", "on local films"))
    before = raw.under(old)
    after, referred = cross_fitted(raw, fit, rng)
    curve = learning_curve(raw, rules, rng)
    scored = {"before": _scored(before, rng), "after": _scored(after, rng)}
    if old.two:  # a temperature leaves the order of the films as it is; those of the folds are five, and would mix it
        scored["after"] |= {name: value for name, value in scored["before"].items() if name in OF_ORDER}
    gaps = differences(after, before)
    gaps["ece"] = ece_gap(after, before, rng, DRAWS)
    found: dict[str, Any] = {
        "films": len(raw),
        "patients": len(set(raw.patients.tolist())),
        **scored,
        "difference": {name: gaps[name].as_dict() for name in COMPARED},
        "refer": _referring(after, referred) if new.refer else None,
        "learning_curve": curve,
        "enough": _enough(curve),
    }
    asked = force or rules.threshold.split("=")[0] not in ("auto", "balanced", "youden")
    found["kept"] = not (asked or shown_better(found["difference"]))
    deployed = old if found["kept"] else new
    if new.promises:
        if found["kept"]:
            old_fit = partial(_as_before, old=old, refer=rules.refer)
            deployed, found["refer"] = old_fit(raw), _referring(*cross_fitted(raw, old_fit, rng))
        found["promises"] = _promised(deployed, force)
    found["deployed"] = found["before"] if found["kept"] else _scored(raw.under(deployed), rng)
    found["lines"] = _lines(found)
    return deployed, before if found["kept"] else after, found


def _as_before(raw: Predictions, old: Decision, refer: str) -> Decision:
    """Return the old rule with the band that keeps what is promised of ``raw``."""
    return referring(raw.under(old), refer)


def _promised(deployed: Decision, force: bool) -> list[dict[str, Any]]:
    """Return each promise with its sentences; InputError where one can't be given, unless ``force``."""
    if (missing := [p for p in deployed.promises if p.cut is None]) and not force:
        raise InputError(f"{missing[0].sentence()} With --force no film of that side is decided; all go to a reader.")
    moved = {
        promise.name: {
            f"{p:g}": at_prevalence(promise.bound, promise.prevalence, p, promise.name)
            for p in PREVALENCES
            if promise.bound is not None
        }
        for promise in deployed.promises
    }
    return [
        {
            **promise.as_dict(),
            "sentence": promise.sentence(),
            "elsewhere": promise.elsewhere(),
            "holds_until": holds_until(promise),
            "at_prevalence": moved[promise.name],
        }
        for promise in deployed.promises
    ]


def shown_better(difference: Mapping[str, Mapping[str, float]]) -> bool:
    """Return whether balanced accuracy or Brier score is shown to gain, and neither to lose, by its interval."""
    balanced, brier = difference["balanced_accuracy"], difference["brier"]
    gains = balanced["low"] > 0 or brier["high"] < 0
    return bool(gains and not (balanced["high"] < 0 or brier["low"] > 0))


def _lines(found: Mapping[str, Any]) -> list[str]:
    """Return what must be read before the figures of an adapted model."""
    gain = Interval(**found["difference"]["balanced_accuracy"])
    figures = f"balanced accuracy {gain.value:+.3f}, 95 % interval {gain.low:+.3f} to {gain.high:+.3f}"
    few = (
        f"Only {found['films']} local films of {found['patients']} patients: too few to tell what a new threshold does."
    )
    kept = f"The old operating point is kept: a new one is not shown to be better here ({figures}); --force takes it."
    worse = f"The new operating point is worse here than the old one ({figures})."
    said = {few: found["patients"] < FEW, kept: found["kept"], worse: not found["kept"] and gain.high < 0}
    return [line for line, applies in said.items() if applies]


def still_off(scores: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return a red line where the probabilities are off as a whole: a temperature moves none across one half, so at
    another prevalence it can't calibrate them."""
    found = scores["calibration_intercept"]
    if not (found["low"] > 0 or found["high"] < 0):
        return []
    way = "low" if found["value"] > 0 else "high"
    return [
        f"The probabilities stay too {way} here (calibration intercept {found['value']:.2f}, 95 % interval "
        f"{found['low']:.2f} to {found['high']:.2f}): decide by the threshold, and don't read them as risks."
    ]


def _referring(p: Predictions, referred: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    wrong = p.decided != p.labels
    return {
        "share": rate(referred, p.patients).as_dict(),
        "error_among_others": rate(wrong[~referred], p.patients[~referred]).as_dict(),
    }


def cross_fitted(
    raw: Predictions, fit: Callable[[Predictions], Decision], rng: np.random.Generator
) -> tuple[Predictions, NDArray[np.bool_]]:
    """Return the films with probabilities and, with two classes, thresholds of their own, and whether each goes to a
    reader (N,): all fitted by ``fit`` to the other patients' films."""
    cool, cuts, referred = raw.probabilities.copy(), np.empty(len(raw)), np.zeros(len(raw), bool)
    fold = _folds(raw, rng)
    for number in range(FOLDS):
        here = fold == number
        fitted = fit(raw.take(~here))
        cool[here] = fitted.tempered(raw.probabilities[here])
        cuts[here] = fitted.threshold
        referred[here] = fitted.refers(cool[here])
    own = {"threshold": cuts, "threshold_of": raw.decision.positive} if raw.decision.two else {}
    own["refer"] = None  # each fold has its band; what it refers is returned beside
    names = np.array([f"fold {number}" for number in fold.tolist()], dtype=np.str_)
    return replace(raw, probabilities=cool, folds=names).by(**own), referred


def _folds(raw: Predictions, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (N,) fold numbers: patients whole, dealt out class by class."""
    names, first, whose = np.unique(raw.patients, return_index=True, return_inverse=True)
    order = rng.permutation(len(names))
    order = order[np.argsort(raw.labels[first][order], kind="stable")]
    return np.asarray((np.argsort(order) % FOLDS)[whose])


def _scored(p: Predictions, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    return {name: interval.as_dict() for name, interval in scores(p, rng).items()}


def learning_curve(
    raw: Predictions, rules: Rules, rng: np.random.Generator, sizes: Sequence[int] = SIZES
) -> list[dict[str, float]]:
    """Return for each number of films fitted the balanced accuracy on the films left out: mean, 10 % and 90 % quantile.

    Films are drawn by patient, ``REPEATS`` times; numbers above two thirds of the films are left out, and so is a draw
    without enough films of a class.
    """
    rows = []
    for size in (s for s in sizes if s <= 2 * len(raw) / 3):
        found = [_one_draw(raw, rules, size, rng) for _ in range(REPEATS)]
        known = np.array([value for value in found if value is not None])
        if known.size:
            low, high = np.quantile(known, (0.1, 0.9))
            rows.append({"films": size, "mean": float(known.mean()), "low": float(low), "high": float(high)})
    return rows


def _one_draw(raw: Predictions, rules: Rules, size: int, rng: np.random.Generator) -> float | None:
    """Return the balanced accuracy on the films outside a random sample of about ``size``, fitted inside it."""
    names, where = np.unique(raw.patients, return_inverse=True)
    rank = rng.permutation(len(names))[where]
    inside = np.zeros(len(raw), dtype=bool)
    inside[np.argsort(rank, kind="stable")[:size]] = True
    outside = ~np.isin(where, where[inside])
    if any(len(np.unique(raw.labels[rows])) < len(raw.classes) for rows in (inside, outside)):
        return None
    rest = raw.take(outside).under(choose(raw.take(inside), rules.threshold, "none", True, rules.shifted))
    recalls = [(rest.decided[rest.labels == k] == k).mean() for k in range(len(raw.classes))]
    return float(np.mean(recalls))


def protocol(found: Mapping[str, Any], data: str) -> str:
    """Return how the scores of an adapted model were made, on the films of ``data``."""
    how = "operating point as trained, scored on" if found["kept"] else "adapted and cross-fitted by patient to"
    return f"{how} {found['films']} films of {data}"


def enough_in_words(found: Mapping[str, Any]) -> str:
    """Return how many local films are enough, as far as it is known; that question has no answer where nothing was
    gained."""
    if found["kept"]:
        return "Nothing was shown to be gained here, so no number of films can be called enough."
    if enough := found["enough"]:
        return f"About {enough} local films are enough here: more change the balanced accuracy by less than one point."
    return "How many are enough is not known: larger numbers were not tried, or still gained."


def referral_in_words(decision: Decision, refer: Mapping[str, Mapping[str, float]] | None) -> str:
    """Return which films go to a reader, how many, and how many of the others are decided wrongly."""
    if decision.refer is None:
        return "No refer band: the model decides every film."
    what = f"a probability of {decision.positive}" if decision.two else "a largest probability"
    band = f"A film with {what} from {decision.refer.words} goes to a reader"
    if not refer:
        return f"{band}."
    share, error = (f"{r['value']:.3f} ({r['low']:.3f} to {r['high']:.3f})" for r in refer.values())
    warned = useless(refer["share"]["value"])
    return f"{band}: {share} of the films; errors among the others {error}; cross-fitted. {warned}".rstrip()


def _enough(curve: list[dict[str, float]]) -> int | None:
    if not curve:
        return None
    best = max(row["mean"] for row in curve)
    enough = next(row for row in curve if row["mean"] >= best - ENOUGH)
    return int(enough["films"]) if enough is not curve[-1] else None  # more was tried, and brought no more
