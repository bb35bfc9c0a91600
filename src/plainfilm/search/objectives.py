"""What a search makes better: scores of validation films, or what a model costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plainfilm.errors import InputError, did_you_mean
from plainfilm.evaluation.findings import FindingsPredictions, too_few
from plainfilm.evaluation.intervals import UNKNOWN, Bools, Floats, Interval, mean_of, rate
from plainfilm.evaluation.operating import balanced_threshold
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.reliability import expected_calibration_error
from plainfilm.evaluation.scores import estimates, scores
from plainfilm.evaluation.tables import SCORES, named

SENSITIVITY = 0.95  # at which ``specificity_at_95`` is read
COSTS = ("seconds", "flops")  # of fitting; of one film's way through the network
_SMALLER = tuple(score.name for score in SCORES if score.smaller)
SMALLER = (*_SMALLER, *(f"worst_{name}" for name in _SMALLER), *COSTS)
LOWEST = "worst_"  # before a score: that of the finding or source which has the worst, instead of the mean over them
OF_FILMS = (*named("search"), "specificity_at_95")
OBJECTIVES = (*OF_FILMS, *(LOWEST + name for name in OF_FILMS), *COSTS)
DRAWS = 300  # for the interval of a trial's calibration error
WORST = {True: 1e15, False: -1.0}  # told for a trial that failed; keyed by whether smaller is better


def parse(text: str) -> tuple[str, ...]:
    """Return the objectives in ``a,b``; InputError for an unknown one, one twice, or a cost without a score."""
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in OBJECTIVES:
            raise InputError(f"--objective: there is no '{name}'.{did_you_mean(name, OBJECTIVES)}")
    if len(set(names)) < len(names) or names[0] in COSTS:
        raise InputError(f"--objective {text}: name each once, a score before {' or '.join(COSTS)}.")
    return names


def cost(name: str, value: float | None) -> float:
    """Return what an algorithm is told for ``value``, None for a trial that failed: smaller is better."""
    smaller = name in SMALLER
    if value is None or not np.isfinite(value):
        value = WORST[smaller]
    return float(value) if smaller else -float(value)


def specificity_at(truth: Bools, score: Floats, sensitivity: float = SENSITIVITY) -> float:
    """Return the specificity at the highest threshold that finds at least ``sensitivity`` of the positive films.

    truth (N,) and score (N,), larger = more likely positive. A film at the threshold counts as positive. NaN when a
    class is missing.
    """
    positives = np.sort(score[truth])[::-1]
    if not len(positives) or truth.all():
        return float("nan")
    return float((score[~truth] < _cut(positives, sensitivity)).mean())


def _cut(positives: Floats, sensitivity: float = SENSITIVITY) -> float:
    """Return the highest threshold that finds this share of positive films, from their scores, the largest first."""
    return float(positives[int(np.ceil(sensitivity * len(positives) - 1e-9)) - 1])


def judged(p: Predictions | FindingsPredictions, names: Sequence[str]) -> dict[str, float]:
    """Return the scores ``names`` of validation films. Those that need a threshold get the balanced one, which is
    chosen on the same films as ``train`` would. Of several findings it is the mean over those that can be scored, or,
    with ``LOWEST`` before the name, the worst of them."""
    wanted = [name for name in names if name not in COSTS]
    if isinstance(p, FindingsPredictions):
        each = [judged(films, [name.removeprefix(LOWEST) for name in wanted]) for films in _scorable(p)]
        return {name: over([found[name.removeprefix(LOWEST)] for found in each], name) for name in wanted}
    truth, score = p.truth, p.score
    found = {name: one.value for name, one in estimates(_balanced(p)).items()}
    found["ece"], found["specificity_at_95"] = expected_calibration_error(truth, score), specificity_at(truth, score)
    return {name: found[name] for name in wanted}


def judged_over(each: Sequence[Predictions | FindingsPredictions], names: Sequence[str]) -> dict[str, float]:
    """Return the scores ``names`` of films judged in several tests, a source left out in each: the mean over them or,
    with ``LOWEST`` before the name, the worst."""
    found = [judged(p, [_within(p, name) for name in names]) for p in each]
    wanted = [name for name in names if name not in COSTS]
    return {name: over([one[_within(p, name)] for one, p in zip(found, each, strict=True)], name) for name in wanted}


def _within(p: Predictions | FindingsPredictions, name: str) -> str:
    """Return what ``name`` is within one test: findings have a worst one there too."""
    return name if isinstance(p, FindingsPredictions) else name.removeprefix(LOWEST)


def interval_over(each: Sequence[Predictions | FindingsPredictions], name: str, seed: int) -> Interval:
    """Return a score of ``judged_over`` with its 95 % interval; the patients of the tests are different ones."""
    found = [interval(p, _within(p, name), seed) for p in each]
    known = [one for one in found if not np.isnan(one.value)]
    if not known or len(known) == 1:
        return known[0] if known else UNKNOWN
    if not name.startswith(LOWEST):
        return mean_of(known)
    return (max if name in SMALLER else min)(known, key=lambda one: one.value)


def _scorable(p: FindingsPredictions) -> list[Predictions]:
    return [films for films in map(p.of, p.findings) if not too_few(films)]


def over(values: Sequence[float], name: str) -> float:
    """Return the mean over findings or sources, or the worst where ``name`` asks for it; NaN where none is scored."""
    known = [value for value in values if not np.isnan(value)]
    if not known:
        return float("nan")
    if not name.startswith(LOWEST):
        return float(np.mean(known))
    return max(known) if name in SMALLER else min(known)


def _balanced(p: Predictions) -> Predictions:
    found = balanced_threshold(p)
    return p.by(threshold=0.5 if np.isnan(found) else found)


def interval(p: Predictions | FindingsPredictions, name: str, seed: int) -> Interval:
    """Return a score of ``judged`` with its 95 % interval by patient; the threshold is taken as given. The bounds of a
    mean over findings are the means of theirs, as if they erred fully together."""
    if isinstance(p, FindingsPredictions):
        own = name.removeprefix(LOWEST)
        each = [found for films in _scorable(p) if not np.isnan((found := interval(films, own, seed)).value)]
        if not each:
            return UNKNOWN
        if name == own:
            return Interval(*(float(mean) for mean in np.mean(np.array(each), axis=0)))
        return (max if name in SMALLER else min)(each, key=lambda found: found.value)
    truth, score = p.truth, p.score
    if name != "specificity_at_95":
        return scores(_balanced(p), np.random.default_rng(seed), DRAWS)[name]
    positives = np.sort(score[truth])[::-1]
    if not len(positives) or truth.all():
        return UNKNOWN
    return rate(score[~truth] < _cut(positives), p.patients[~truth])
