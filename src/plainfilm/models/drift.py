"""Do the films that come look, as a set, like the training films? A test for a batch, a watch for a stream.

The input gate judges films one by one; films of another hospital may pass it one by one and still be told from the
training films as a set. Here the gate's physical statistics, its distance and the first of its principal components
are compared between the films and a sample of the training films that is kept with the model. Classes differ and may
be mixed differently, so films are compared with training films of the classes that the model gave them.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from heapq import heappush, heappushpop
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plainfilm.models.gate import DESCRIBED, Gate

Floats = NDArray[np.float64]

FEWEST = 20  # films that a batch is judged from
MOST = 2_000  # films of a batch that are looked at; with more, differences that don't matter would be found
LEVEL = 0.02  # chance of a warning for a batch of films like the training films
WORDS = {
    "shapes": ("their shapes lie nearer to the training films' mean", "their shapes are unusual"),
    "brightness": ("they are darker", "they are brighter"),
    "contrast": ("they have less contrast", "they have more contrast"),
    "black": ("less of them is black", "more of them is black"),
    "white": ("less of them is white", "more of them is white"),
    "greys": ("they have fewer shades of grey", "they have more shades of grey"),
    "sharpness": ("they are less sharp", "they are sharper or grainier"),
    "symmetry": ("left and right differ more", "left and right differ less"),
    "border": ("their borders are darker", "their borders are lighter"),
}
OTHERWISE = ("their pose or framing differs",) * 2  # the principal components have no name


def group_of(label: str, classes: Sequence[str]) -> int:
    """Return which training films a film with this label is held against: those of its class; all, of findings."""
    return list(classes).index(label) if label in classes else 0


class Change(NamedTuple):
    """The measure in which a batch differs most: its name, in words, and the corrected chance of so large a one."""

    measure: str
    words: str
    p: float
    films: int

    def sentence(self) -> str:
        """Return one line for whoever reads the labels."""
        return (
            f"As a set, these {self.films:,} films differ from the training films: {self.words}. The scores of this "
            "model's report need not hold for them; check with labelled films of this kind (plainfilm evaluate, adapt)."
        )


def changed(gate: Gate, described: np.ndarray, classes: NDArray[np.int64]) -> Change | None:
    """Return how a batch of (B, len(DESCRIBED)) films that got ``classes`` (B,) differs as a set, or None.

    Kolmogorov's and Smirnov's two-sample test for each measure, corrected by Bonferroni, with the training films
    weighted to the batch's mix of classes (their effective number: Kish 1965). None for fewer than ``FEWEST`` films,
    and for a gate that keeps no sample of the training films.
    """
    if len(described) < FEWEST or not len(gate.sample):
        return None
    from scipy.special import kolmogorov

    weights = _weights(gate.sampled, classes)
    size = len(described) / (1 + len(described) * float(weights @ weights))
    root = np.sqrt(size)
    gaps = np.array([_gap(gate.sample[:, d], weights, described[:, d]) for d in range(len(DESCRIBED))])
    nearer = DESCRIBED.index("shapes")  # is no reason: the training films themselves lie nearer than when held out
    gaps[nearer] = max(0.0, gaps[nearer])
    chances = kolmogorov((root + 0.12 + 0.11 / root) * np.abs(gaps))  # Stephens 1970, for small samples
    first = int(np.argmin(chances))
    p = min(1.0, float(chances[first]) * len(DESCRIBED))
    if p >= LEVEL:
        return None
    low, high = WORDS.get(DESCRIBED[first], OTHERWISE)
    return Change(DESCRIBED[first], high if gaps[first] > 0 else low, p, len(described))


def _weights(of_training: np.ndarray, classes: NDArray[np.int64]) -> Floats:
    """Return (M,) weights, of sum 1, that mix the training films' classes as ``classes`` (B,) are mixed.

    All are alike where they have no class in common.
    """
    most = int(max(of_training.max(), classes.max())) + 1
    share = np.bincount(classes, minlength=most) / np.maximum(np.bincount(of_training, minlength=most), 1)
    weights = share[of_training]
    total = weights.sum()
    return np.asarray(weights / total if total > 0 else np.full(len(weights), 1 / len(weights)))


def _gap(reference: np.ndarray, weights: Floats, values: np.ndarray) -> float:
    """Return the largest difference of two distribution functions: above 0 where ``values`` tend to be larger."""
    order = np.argsort(reference, kind="stable")
    known, share = reference[order], np.concatenate([[0.0], np.cumsum(weights[order])])
    own, steps = np.sort(values), np.unique(values)
    gaps = [
        share[np.searchsorted(known, steps, side)] - np.searchsorted(own, steps, side) / len(own)  # type: ignore[call-overload]
        for side in ("left", "right")
    ]
    both = np.concatenate(gaps)
    return float(both[np.argmax(np.abs(both))])


class Seen:
    """A sample of the films of a batch, ``MOST`` at most, however many go by: those whose names hash lowest.

    So it is the same in whatever order threads bring them.
    """

    def __init__(self, gate: Gate | None) -> None:
        self.gate = gate if gate is not None and len(gate.sample) else None
        self._kept: list[tuple[int, tuple[float, ...], int]] = []  # a heap, the highest hash first
        self._lock = Lock()

    def add(self, name: str, described: tuple[float, ...], of: int) -> None:
        """Take a film's ``Verdict.described`` and the class it got."""
        ranked = -int.from_bytes(sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big")
        with self._lock:
            (heappush if len(self._kept) < MOST else heappushpop)(self._kept, (ranked, described, of))

    @property
    def films(self) -> int:
        """How many films a judgement rests on."""
        return len(self._kept)

    def change(self) -> Change | None:
        """Return how the films differ as a set from the training films, as ``changed`` does."""
        if self.gate is None or not self._kept:
            return None
        rows = sorted(self._kept)
        return changed(self.gate, np.array([row[1] for row in rows]), np.array([row[2] for row in rows]))

    def red_lines(self) -> list[str]:
        """Return what must be said first of films without labels that differ as a set from the training films."""
        change = self.change()
        if change is None:
            return []
        return [
            f"As a set, these {change.films:,} films differ from the training films: {change.words}. Without labels "
            "nobody can know whether the model works on them at all: on other patients, or another disease, it may be "
            "at chance, whatever accuracy is expected. Label 50 of them."
        ]


class Watch:
    """Looks at films one after the other and says when they have begun to differ from the training films.

    For each measure a bet is made that films lie higher, lower, or farther out than training films of their class
    (conformal test martingales: Vovk, Nouretdinov & Gammerman 2003); stakes start anew with every film, so that a
    change is seen whenever it comes (Shiryaev & Roberts). Were the reference exact, ``ALARM`` films would pass on
    average until a false alarm; with a sample of some hundred films it is fewer (tests/models/test_drift.py counts).
    """

    ALARM = 100_000
    MEASURED = ((1_000, 11_000), (400, 2_800))  # training films kept, and films until a false alarm: LOG.md, 2026-11-30
    STAKE = 1.5  # 0..2: how much a film's rank moves a bet

    def __init__(self, gate: Gate) -> None:
        # (len(DESCRIBED), N): all films of a measure side by side, which each film that comes is counted among
        self._known = {int(c): gate.sample[gate.sampled == c].T.copy() for c in np.unique(gate.sampled)}
        self._all = gate.sample.T.copy()
        self._bets = np.zeros(3 * len(DESCRIBED))
        self.films = 0

    @property
    def evidence(self) -> float:
        """How far the alarm is: 0 at the start, 1 where it is raised."""
        return float(np.log1p(self._bets.mean()) / np.log1p(self.ALARM))

    @property
    def alarm(self) -> bool:
        """Whether the latest films differ from the training films."""
        return bool(self._bets.mean() >= self.ALARM)

    @property
    def false_alarms(self) -> str:
        """How often the alarm is raised for films like the training films, as it was counted with real films."""
        for kept, films in self.MEASURED:
            if self._all.shape[1] >= kept:
                return f"films like the training films raise a false alarm about once in {films:,}"
        least, films = self.MEASURED[-1]
        return f"with fewer than {least} training films kept, false alarms come more often than once in {films:,} films"

    @property
    def warning(self) -> str | None:
        """What is to be said while the alarm is raised."""
        if not self.alarm:
            return None
        return (
            f"The latest films differ from the training films: {self.words}. The scores of this model's report need "
            "not hold for them."
        )

    @property
    def words(self) -> str:
        """In what they differ most."""
        kind, measure = divmod(int(np.argmax(self._bets)), len(DESCRIBED))
        low, high = WORDS.get(DESCRIBED[measure], OTHERWISE)
        return (high, low, f"they vary more in {DESCRIBED[measure]}")[kind]

    def see(self, described: Sequence[float] | np.ndarray, of: int) -> bool:
        """Take one film's ``Verdict.described`` and the class it got; return whether the alarm is raised."""
        known, own = self._known.get(of, self._all), np.asarray(described, np.float64)[:, None]
        below = np.count_nonzero(known < own, 1) + 0.5 * np.count_nonzero(known == own, 1)
        rank = (below + 0.5) / (known.shape[1] + 1) - 0.5  # -½..½, even for films like the training films
        stakes = self.STAKE * np.concatenate([rank, -rank, 2 * np.abs(rank) - 0.5])
        self._bets = np.minimum((self._bets + 1) * (1 + stakes), 1e300)
        self.films += 1
        return self.alarm
