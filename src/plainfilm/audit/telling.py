"""How well two kinds of films can be told apart by little things, and when that is too well to be chance."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr
from scipy.stats import rankdata, t

from plainfilm.audit.measure import NAMES, NUMBERS, Measured
from plainfilm.data.groups import Groups, dealt
from plainfilm.evaluation.areas import auc_interval, cross_validated
from plainfilm.evaluation.intervals import Bools, Floats, Interval
from plainfilm.models.newton import Problems, solve

FOLDS = 5
STRENGTH = 0.1  # C of logistic regressions on many columns, as films may be few
STRENGTH_ALONE = 10.0  # C on the few columns of one property
RED = 0.70  # area under the curve from which on a little thing matters
SURE = 0.998  # level of the interval whose lower bound must be above 0.5
EACH = 5_000  # films of each side that are learnt from at most: an AUC then has an interval of ± .012 or less
TIED = 0.05  # properties that come so near to the strongest are named with it
RULE = (
    f"A red line needs a cross-validated AUC of at least {RED:.2f} and the lower bound of its "
    f"{100 * SURE:.1f} % interval, with one score per patient, above 0.5: by chance alone about one "
    "simulated set in 500 did that."
)


class Told(NamedTuple):
    """How well films were told apart: AUC with its 95 % interval, the bound that RULE asks for, and (N,) scores."""

    auc: Interval
    bound: float
    scores: Floats  # out of fold; log odds

    @property
    def red(self) -> bool:
        """Whether RULE holds."""
        return self.auc.value >= RED and self.bound > 0.5

    def as_dict(self) -> dict[str, Any]:
        """Return AUC, bound and verdict as they stand in audit.json."""
        return {"auc": self.auc.as_dict(), "bound": self.bound, "red": self.red}


def learnt_from(side: Bools, groups: Groups, rng: np.random.Generator, each: int = EACH) -> NDArray[np.int64]:
    """Return the rows, ascending, that are enough to tell one ``side`` (N,) from the other: all, but of more than
    ``each`` films of a side those of groups (N,) in an order that is drawn, until they are so many."""
    if max(side.sum(), (~side).sum()) <= each:
        return np.arange(len(side))
    numbers, whose = np.unique(groups, return_inverse=True)
    order = np.argsort(rng.permutation(len(numbers))[whose], kind="stable")
    return np.sort(np.concatenate([order[side[order] == which][:each] for which in (False, True)]))


def too_few(positive: Bools, groups: Groups) -> bool:
    """Return whether a side has fewer than two patients, so that nothing can be cross-validated."""
    return min(len(set(groups[positive])), len(set(groups[~positive]))) < 2


def tell(
    columns: Floats, positive: Bools, groups: Groups, rng: np.random.Generator, strength: float = STRENGTH
) -> Told:
    """Return how well logistic regressions on ``columns`` tell the ``positive`` (N,) films from the others.

    columns: (N, M), each about 1 in size. Cross-validated over FOLDS parts; films of one group (N,) are never on both
    sides. Each side must have films of two groups at least (see ``too_few``).
    """
    fold, scores = _folds(positive, groups, rng), np.zeros(len(positive))
    held_out = fold[:, None] == np.unique(fold)  # (N, folds)
    # groups on both sides (films in both sets) can leave one side out: such a fold's films are told by nothing
    told = [k for k, out in enumerate(held_out.T) if len(np.unique(positive[~out])) == 2]
    if told:
        logits = regressions(columns, positive, ~held_out[:, told], strength)
        np.copyto(scores, (logits * held_out[:, told]).sum(1))
    whole = np.unique(np.stack([groups, positive], axis=1), axis=0, return_inverse=True)
    sides, patients = whole[0][:, 1].astype(bool), whole[1]
    means = np.bincount(patients, expit(scores)) / np.bincount(patients)
    rarer = min(int(sides.sum()), int((~sides).sum()))
    found = cross_validated(auc_interval(positive, scores, patients=groups), int(fold.max()) + 1)
    return Told(found, auc_interval(sides, means, _level(rarer)).low, scores)


def regressions(columns: Floats, positive: Bools, taken: Bools, strength: float = STRENGTH) -> Floats:
    """Return (N, P) log odds of all films by P logistic regressions on ``columns`` (N, M), each fitted to the films of
    its column of ``taken`` (N, P), which must have both sides."""
    width, every = columns.shape[1], np.asarray(columns, np.float64)
    truth, strengths = positive[:, None].astype(np.float64), np.full(taken.shape[1], strength)
    problems = Problems(lambda: [(slice(0, len(every)), every)], width, truth, taken.astype(np.float64), strengths)
    return solve(problems, unsolved=True).logits[..., 0]  # an audit goes on with what there is


def _level(patients: int) -> float:
    """Return the level at which a normal interval is as wide as Student's at SURE would be for so many ``patients``: of
    a few the variance is known badly."""
    return min(float(2 * ndtr(t.ppf(0.5 + SURE / 2, max(patients - 1, 1))) - 1), 1 - 1e-15)


def _folds(positive: Bools, groups: Groups, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (N,) the fold of each film. A group counts for its commoner side; each side has groups in every fold."""
    _, whose = np.unique(groups, return_inverse=True)
    sides = np.bincount(whose, positive) * 2 > np.bincount(whose)
    count = min(FOLDS, *(max(2, n) for n in np.bincount(sides, minlength=2) if n))
    return dealt(sides[whose].astype(np.int64), groups, [1 / count] * count, rng)


# --- what the columns are ---------------------------------------------------------------------------------------------


def standardised(columns: Floats) -> Floats:
    """Return (N, M) columns with mean 0 and standard deviation 1 (0 where all films are the same)."""
    centred = columns - columns.mean(axis=0)
    return np.asarray(centred / np.maximum(centred.std(axis=0), 1e-9))


def number_columns(values: Floats) -> Floats:
    """Return (N, 3) columns of a property (N,): its rank in -1..1, the rank's square, whether it is missing.

    Ranks, so that no unit and no outlier matters; the square, so that a middle range can be told from both ends.
    """
    missing, rank = np.isnan(values), np.zeros(len(values))
    if not missing.all():
        rank[~missing] = (2 * rankdata(values[~missing]) - 1) / (~missing).sum() - 1
    return np.stack([rank, rank**2, missing.astype(np.float64)], axis=1)


def name_columns(values: NDArray[np.object_]) -> Floats:
    """Return (N, K) columns of 0 and 1 for the commonest values of a property (N,); the rare ones share none."""
    names, counts = np.unique(values, return_counts=True)
    common = names[np.argsort(-counts, kind="stable")][:12]
    return np.asarray(values[:, None] == common, dtype=np.float64)


def file_columns(measured: Measured) -> dict[str, Floats]:
    """Return the columns of every property of the files that is not the same in all films."""
    numbers = {name: number_columns(measured.number(name)) for name in NUMBERS}
    names = {name: name_columns(measured.name(name)) for name in NAMES}
    return {name: values for name, values in (numbers | names).items() if np.ptp(values, axis=0).any()}


def each_alone(
    properties: dict[str, Floats], positive: Bools, groups: Groups, rng: np.random.Generator
) -> dict[str, Interval]:
    """Return the AUC of each property alone, the strongest first (in equal hundredths: as given)."""
    found = {name: tell(columns, positive, groups, rng, STRENGTH_ALONE).auc for name, columns in properties.items()}
    return dict(sorted(found.items(), key=lambda item: -round(item[1].value, 2)))


def strongest(properties: dict[str, Interval]) -> str:
    """Return the property that tells most, with those that tie with it (three at most), in words."""
    best = max(interval.value for interval in properties.values())
    known = [*NUMBERS, *NAMES]  # in this order: a cause, such as the JPEG quality, before its effect, such as the size
    tied = [name for name, interval in properties.items() if interval.value >= best - TIED]
    tied = sorted(tied, key=lambda name: known.index(name) if name in known else 0)[:3]
    return ", ".join(tied[:-1]) + (" and " if len(tied) > 1 else "") + tied[-1]
