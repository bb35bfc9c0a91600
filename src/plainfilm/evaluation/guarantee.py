"""Cuts that come with a promise: an NPV, PPV, sensitivity or specificity that holds with 95 % confidence.

What can't be promised goes to a reader. The bounds are exact for independent patients whose films come as those that
the cuts were found on; at another prevalence NPV and PPV no longer hold, and ``at_prevalence`` says how far they move.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from plainfilm.evaluation.intervals import Bools, Floats

NAMES = ("npv", "ppv", "sensitivity", "specificity")
BELOW = ("npv", "sensitivity")  # they promise something of films below a cut; the others of films above one
CONFIDENCE = 0.95
STARTS = (1.0, 2.5)  # where the search for an NPV or PPV begins, in the fewest patients that could show it
PREVALENCES = (0.5, 0.3, 0.1, 0.05, 0.02)


@dataclass(frozen=True)
class Guarantee:
    """One promise: of films ``side`` ("below" or "above") the ``cut``, at least ``target`` is right.

    cut: 0..1 probability of the positive class, None where too few films or too many errors leave none; bound: the
    lower 95 % bound of the score there; fewest: patients that could show the target without an error; seen: patients
    that the bound rests on; prevalence: of the films it was found on.
    """

    name: str
    target: float
    side: str
    cut: float | None
    bound: float | None
    fewest: int
    seen: int
    prevalence: float

    def as_dict(self) -> dict[str, Any]:
        """Return its fields, for a model file or a page."""
        return asdict(self)

    @property
    def words(self) -> str:
        """What is promised, in short."""
        name = self.name.upper() if self.name in ("npv", "ppv") else self.name
        return f"{name} of at least {self.target:g}"

    def sentence(self) -> str:
        """Return what is promised, or what is missing for it."""
        if self.cut is not None:
            return (
                f"{self.words}, with {100 * CONFIDENCE:.0f} % confidence: by {self.seen} patients, for "
                f"films {'below' if self.side == 'below' else 'from'} {self.cut:.3g}."
            )
        if self.seen < self.fewest:
            few = f"{self.seen} patients count here, at least {self.fewest} are needed"
            return f"No promise: {self.words} can't be shown: {few}."
        shown = "" if self.bound is None else f"; the best that these films show is {self.bound:.3f}"
        return f"No promise: for {self.words} the model errs too often{shown}."

    def elsewhere(self) -> str:
        """Return how an NPV or PPV fails at another prevalence, in numbers; "" for what does not depend on it."""
        until = holds_until(self)
        if until is None or self.bound is None:
            return ""
        way, worse = ("up to", [0.5, 0.3]) if self.name == "npv" else ("down to", [0.05, 0.02])
        others = [p for p in worse if (p > until) == (self.name == "npv") and abs(p - until) > 0.01]
        shown = ", ".join(
            f"{at_prevalence(self.bound, self.prevalence, p, self.name):.3f} at a prevalence of {p:g}" for p in others
        )
        return (
            f"It was found at a prevalence of {self.prevalence:.3g} and holds {way} {until:.3g}"
            + (f"; only {shown}" if shown else "")
            + "."
        )


def parsed(text: str) -> dict[str, float]:
    """Return {name: target} for ``npv=0.98,ppv=0.9``; InputError for another form, name or range."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (piece.strip().lower() for piece in part.partition("="))
        if name not in NAMES:
            raise InputError(
                f"--guarantee {text}: '{name}' can't be promised, only {', '.join(NAMES)}.{did_you_mean(name, NAMES)}"
            )
        try:
            target = float(value)
        except ValueError:
            raise InputError(f"--guarantee {text}: give {name} as a number, such as {name}=0.98.") from None
        if not 0.5 <= target < 1:
            raise InputError(f"--guarantee {text}: {name}={value} must be at least 0.5 and below 1.")
        found[name] = target
    return found


def fewest(target: float, confidence: float = CONFIDENCE) -> int:
    """Return how many patients without an error show ``target`` (0..1): the n with target ** n <= 1 - confidence."""
    return int(np.ceil(np.log(1 - confidence) / np.log(target) - 1e-9))


def at_least(right: ArrayLike, n: ArrayLike, confidence: float = CONFIDENCE) -> Floats:
    """Return the lower bounds of shares of which ``right`` of ``n`` patients were seen: Clopper & Pearson 1934.

    ``right`` may have a fraction: a patient with several films counts by the share of them that is right, which varies
    less than a whole patient would (Hoeffding 1963), so that the bound is on the safe side.
    """
    from scipy.special import betaincinv

    right, n = np.asarray(right, dtype=np.float64), np.asarray(n, dtype=np.float64)
    some = np.maximum(right, 1e-12)  # of none the bound is 0, which the function can't be asked
    return np.where(right > 0, betaincinv(some, n - some + 1, 1 - confidence), 0.0)


def guarantee(
    name: str, target: float, positive: Bools, chance: Floats, patients: NDArray[Any], confidence: float = CONFIDENCE
) -> Guarantee:
    """Return the cut from which on ``name`` (of ``NAMES``) of at least ``target`` is promised.

    positive: (N,) truth; chance: (N,) probability of the positive class 0..1; patients: (N,). Sensitivity and
    specificity change one way with the cut, so that bounds at single cuts suffice (Bates et al. 2021,
    doi 10.1145/3478535). NPV and PPV may not: cuts are tested in a fixed order from several starts, among which the
    error is divided (Angelopoulos et al. 2021, arXiv 2110.01052).
    """
    side = "below" if name in BELOW else "above"
    score = chance if side == "below" else -chance  # what is promised is of the lowest scores
    wrong = positive if side == "below" else ~positive
    by_class = name in ("sensitivity", "specificity")
    counted = wrong if by_class else np.ones(len(wrong), dtype=bool)
    need = fewest(target, confidence if by_class else 1 - (1 - confidence) / len(STARTS))
    clear = _Cleared(score[counted], wrong[counted], patients[counted])
    index, bound = (clear.missed if by_class else clear.errors)(target, need, confidence)
    cut = None if index is None else clear.cut(index)
    above = None if cut is None else float(np.nextafter(-cut, np.inf))
    where = cut if side == "below" else above
    seen = clear.patients if by_class or index is None else clear.patients_below(index)
    return Guarantee(name, target, side, where, bound, need, seen, float(np.mean(positive)))


class _Cleared:
    """Films by rising score; a cut at k leaves the k lowest below it."""

    def __init__(self, score: Floats, wrong: Bools, patients: NDArray[Any]) -> None:
        order = np.argsort(score, kind="stable")
        self.score, self.wrong = score[order], wrong[order].astype(np.float64)
        _, self.whose = np.unique(patients[order], return_inverse=True)
        self.patients = int(self.whose.max()) + 1 if len(order) else 0

    def cut(self, k: int) -> float:
        """Return the score that the k lowest lie below."""
        return float(self.score[k]) if k < len(self.score) else float(np.nextafter(self.score[-1], np.inf))

    def patients_below(self, k: int) -> int:
        return len(np.unique(self.whose[:k]))

    def _cuts(self) -> NDArray[np.int64]:
        """Return the k at which no tie is torn, rising."""
        ends = np.flatnonzero(np.diff(self.score, append=np.inf) > 0) + 1
        return ends.astype(np.int64)

    def missed(self, target: float, need: int, confidence: float) -> tuple[int | None, float | None]:
        """Return the largest k below which so few of these (all of one class) lie that ``target`` of them don't."""
        if self.patients < need:
            return None, None
        share_below = np.cumsum(1 / np.bincount(self.whose)[self.whose])  # patients, each film by its patient's share
        cuts = np.concatenate([[0], self._cuts()])
        bounds = at_least(self.patients - np.concatenate([[0.0], share_below])[cuts], self.patients, confidence)
        last = _until(bounds, target)
        return int(cuts[last]), float(bounds[last])

    def errors(self, target: float, need: int, confidence: float) -> tuple[int | None, float | None]:
        """Return the largest k of whose lowest films ``target`` is shown to be right."""
        cuts = self._cuts()
        seen, right = (values[cuts - 1] for values in self._rights())
        bounds = at_least(right, seen, 1 - (1 - confidence) / len(STARTS))
        found = -1
        for start in STARTS:
            first = int(np.searchsorted(seen, need * start))
            last = _until(bounds[first:], target)
            found = max(found, first + last) if last >= 0 else found
        if found < 0:
            return None, float(bounds.max()) if len(bounds) else None
        return int(cuts[found]), float(bounds[found])

    def _rights(self) -> tuple[Floats, Floats]:
        """Return for k = 1 … N how many patients the k lowest films are of, and the sum of their right shares."""
        films, errors = np.zeros(self.patients), np.zeros(self.patients)
        seen, right = np.zeros(len(self.wrong)), np.zeros(len(self.wrong))
        patients, wrong = 0, 0.0
        for k, (whose, error) in enumerate(zip(self.whose, self.wrong, strict=True)):
            before = errors[whose] / films[whose] if films[whose] else 0.0
            patients += films[whose] == 0
            films[whose] += 1
            errors[whose] += error
            wrong += errors[whose] / films[whose] - before
            seen[k], right[k] = patients, patients - wrong
        return seen, right


def _until(bounds: Floats, target: float) -> int:
    """Return the index of the last of ``bounds`` before the first below ``target``; -1 where that is the first."""
    return int(np.argmax(np.append(bounds, -1.0) < target)) - 1


def band(found: list[Guarantee], threshold: float) -> tuple[float, float] | None:
    """Return the (low, high) between which films go to a reader so that every promise holds; None where none do.

    Films below low are called negative and those from high on positive, whatever lies between. Where nothing can be
    promised of a side, no film of it is decided.
    """
    lows = [0.0 if g.cut is None else g.cut for g in found if g.side == "below"]
    highs = [np.nextafter(1.0, 2.0) if g.cut is None else g.cut for g in found if g.side == "above"]
    low, high = min([threshold, *lows]), min(1.0, max([threshold, *highs]))  # a band up to 1 takes 1 itself
    return (float(low), float(high)) if low < high else None


def at_prevalence(bound: float, found_at: float, prevalence: float, name: str) -> float:
    """Return what a lower bound of an NPV or PPV, found at one prevalence (0..1), becomes at another.

    Bayes' rule with the same likelihood ratio; sensitivity and specificity stay as they are.
    """
    if name not in ("npv", "ppv") or bound in (0.0, 1.0):
        return bound
    odds = bound / (1 - bound)
    moved = (1 - prevalence) / prevalence / ((1 - found_at) / found_at)
    odds *= moved if name == "npv" else 1 / moved
    return float(odds / (1 + odds))


def holds_until(found: Guarantee) -> float | None:
    """Return the prevalence up to which an NPV's promise holds, down to which a PPV's does; None without one."""
    if found.cut is None or found.bound is None or found.name not in ("npv", "ppv"):
        return None
    bound, target = found.bound / (1 - found.bound), found.target / (1 - found.target)
    here = found.prevalence / (1 - found.prevalence)
    odds = here * bound / target if found.name == "npv" else here * target / bound
    return float(odds / (1 + odds))
