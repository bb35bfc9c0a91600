"""From a model's logits to a label, and to a reader where it is unsure: the one rule, whoever asks.

Training chooses it, a model file carries it; labels, service, exports, scores and comparisons apply it. ``Decision`` is
that of one class per film. A task of another kind (several findings per film) is another type with these methods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from plainfilm.errors import InputError, did_you_mean
from plainfilm.evaluation.digits import beside, edge, shown
from plainfilm.evaluation.guarantee import Guarantee

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Logits = TypeVar("Logits")  # an array, or a tensor where there is torch

FLOOR = 1e-12  # a probability printed as 0 is taken as this, so that no single film weighs without bound
TINY = 1e-300  # where logits are got back from probabilities: what a sure network says is not cut
NEGATIVE_NAMES = {"none", "clear", "control", "controls", "unaffected", "absent", "benign", "gesund", "sain", "sano"}
NEGATIVE_BEGINNINGS = ("normal", "health", "negativ", "nofinding", "without")


class Band(NamedTuple):
    """Films with low <= score < high go to a reader; a band up to 1 takes 1 itself."""

    low: float
    high: float

    @property
    def words(self) -> str:
        """Its ends as text."""
        return f"{edge(self.low)} to {edge(self.high)}"


@dataclass(frozen=True)
class Decision:
    """How the K logits of a film become one of K ``classes``; ValueError where a value is out of its range.

    ``positive``: the class that sensitivity, AUROC and so on are about. ``threshold``: with two classes a film is
    ``threshold_of`` (unless named: the positive class) from this probability of it on, so a tie counts as positive; one
    for all films, or (N,) each film's own. With more classes the likeliest decides, the first of equals.
    ``temperature``: what logits are divided by. ``offsets``: what calibration added to them before; the network's last
    layer holds it. ``rule``: how the threshold was chosen, in words. ``shift``: what is added to logits before the
    temperature divides them, of a model whose layers are not ours. ``promises``: what the refer band was found for.
    """

    classes: tuple[str, ...]
    positive: str
    threshold: float | Floats = 0.5
    temperature: float = 1.0
    refer: Band | None = None
    rule: str = ""
    threshold_of: str = ""
    offsets: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()
    promises: tuple[Guarantee, ...] = ()

    def __post_init__(self) -> None:
        thresholds = np.asarray(self.threshold)
        if (
            not {self.positive, self.threshold_of or self.positive} <= set(self.classes)
            or not ((thresholds >= 0) & (thresholds <= 1)).all()
            or not 0 < self.temperature < 1e6
        ):
            raise ValueError("positive class, threshold or temperature is out of range")

    @classmethod
    def of(cls, classes: Sequence[str], positive: str | None = None) -> Decision:
        """Return the rule before anything was chosen: ``positive``, else the class not called normal, from 0.5 on."""
        return cls(tuple(classes), classes[positive_class(classes, positive)])

    @classmethod
    def read(cls, classes: tuple[str, ...], about: Mapping[str, Any]) -> Decision:
        """Return the rule that a model file or model.json holds; KeyError, TypeError or ValueError where it is none."""
        refer = about.get("refer")
        return cls(
            classes,
            about["positive"],
            float(about["threshold"]),
            float(about["temperature"]),
            None if refer is None else _band(*refer),
            about.get("threshold_rule") or "",
            offsets=tuple(map(float, about.get("offsets") or ())),
            shift=tuple(map(float, about.get("shift") or ())),
            promises=tuple(Guarantee(**promise) for promise in about.get("promises") or ()),
        )

    @property
    def about(self) -> dict[str, Any]:
        """What a model file holds of it."""
        names = ("positive", "threshold", "temperature", "refer")
        return {name: getattr(self, name) for name in names} | self._promised

    @property
    def operating(self) -> dict[str, Any]:
        """What was chosen on films, under the names of model.json and adapt.json."""
        return {
            "temperature": self.temperature,
            "threshold": self.threshold,
            "threshold_rule": self.rule,
            "refer": self.refer,
            **self._promised,
            **({"shift": self.shift} if self.shift else {}),
        }

    @property
    def _promised(self) -> dict[str, Any]:
        """The key that only a rule with promises has, so that files of others are as they were."""
        return {"promises": [promise.as_dict() for promise in self.promises]} if self.promises else {}

    @property
    def two(self) -> bool:
        """Whether there are two classes, so that the threshold decides."""
        return len(self.classes) == 2

    @property
    def decided_by(self) -> str:
        """The class whose probability the threshold is for; with more than two classes each has its own."""
        return (self.threshold_of or self.positive) if self.two else ""

    @property
    def column(self) -> int:
        """Where the positive class stands among the classes."""
        return self.classes.index(self.positive)

    @property
    def cooled(self) -> Decision:
        """The rule at temperature 1."""
        return replace(self, temperature=1.0)

    @property
    def own_thresholds(self) -> bool:
        """Whether each film has a threshold of its own."""
        return np.ndim(self.threshold) > 0

    def take(self, rows: NDArray[np.int64]) -> Decision:
        """Return the rule for the films at ``rows`` alone."""
        return replace(self, threshold=np.asarray(self.threshold)[rows]) if self.own_thresholds else self

    def tempered(self, probabilities: Floats) -> Floats:
        """Return (N, K) probabilities of (N, K) ones at temperature 1."""
        if self.shift:
            probabilities = _softmax(np.log(np.maximum(probabilities, TINY)) + np.asarray(self.shift))
        return apply_temperature(probabilities, self.temperature)

    def as_trained(self, probabilities: Floats) -> Floats:
        """Return (N, K) what probabilities were before offsets and temperature: softmax(T log p - b)."""
        offsets = self.offsets or (0.0,) * len(self.classes)
        return _softmax(self.temperature * np.log(np.maximum(probabilities, TINY)) - np.asarray(offsets))

    def chances(self, logits: Any) -> Any:
        """Return (B, K) probabilities of a tensor of (B, K) logits."""
        return softened(logits, self.temperature).softmax(1)

    def evidence(self, logits: Any, chosen: Any) -> Any:
        """Return (B,) log-odds of class ``chosen`` (B, 1) against all others, tensors of (B, K) logits: what shifts all
        logits alike changes no probability."""
        others = logits.scatter(1, chosen, float("-inf")).logsumexp(1)
        return logits.gather(1, chosen)[:, 0] - others

    def targets(self, probabilities: Floats) -> list[int]:
        """Return which classes of the film of (K,) probabilities are to be explained: the one that it gets."""
        return [int(self.decide(probabilities[None])[0])]

    def gives(self, probabilities: Floats, k: int) -> bool:
        """Return whether the film of (K,) probabilities gets class ``k``."""
        return bool(self.decide(probabilities[None])[0] == k)

    def label(self, probabilities: Floats) -> str:
        """Return the class that the film of (K,) probabilities gets."""
        return self.classes[int(self.decide(probabilities[None])[0])]

    def decide(self, probabilities: Floats) -> NDArray[np.int64]:
        """Return (N,) the class that each film of (N, K) probabilities gets."""
        if not self.two:
            return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
        own = self.classes.index(self.decided_by)
        return np.where(probabilities[:, own] >= self.threshold, own, 1 - own)

    def score(self, probabilities: Floats) -> Floats:
        """Return (N,) what the refer band is of: the positive class's probability, of several classes the largest."""
        return np.asarray(probabilities[:, self.column] if self.two else probabilities.max(axis=1))

    def refers(self, probabilities: Floats) -> Bools:
        """Return (N,) whether each film of (N, K) probabilities goes to a reader."""
        if self.refer is None:
            return np.zeros(len(probabilities), dtype=bool)
        # By log-odds, as the band was chosen: in 32 bits 1 - 3e-8 is 1, while the other class still holds 3e-8.
        odds = log_odds(probabilities, self.column) if self.two else log_odds(np.sort(probabilities, axis=1), -1)
        score, (low, high) = sigmoid(odds), self.refer
        return np.asarray((score >= low) & ((score < high) | (high >= 1)))

    def reason(self, probabilities: Floats) -> str | None:
        """Return why the film of (K,) probabilities goes to a reader; None where it does not."""
        if self.refer is None or not self.refers(probabilities[None])[0]:
            return None
        of = f"probability of {self.positive}" if self.two else "largest probability"
        score, (low, high) = self.score(probabilities[None])[0], self.refer
        kept = " and ".join(f"{g.words} {'below' if g.side == 'below' else 'above'} it" for g in self.promises)
        promised = f", which keeps the promise of {kept}" if kept else ""
        said, (from_, to) = beside(float(score), (low, high))
        return f"the {of}, {said}, is in the band for a reader ({from_} to {to}){promised}"

    def edges(self, k: int) -> tuple[float, ...]:
        """Return where the probability of class ``k`` is compared: threshold and ends of the band, in 0..1."""
        if not self.two:
            return tuple(self.refer or ())
        ends = [value if self.column == k else 1 - value for value in self.refer or ()]
        if self.own_thresholds:
            return tuple(ends)
        cut = float(self.threshold)
        return (cut if self.classes[k] == self.decided_by else 1 - cut, *ends)

    def moved(self, logits: Floats, others: Floats) -> Floats:
        """Return (N,) by how much at most (N, K) ``others`` change any difference of two of a film's ``logits``: the
        log-odds, where there are two classes."""
        return np.asarray(np.ptp(others - logits, axis=1))

    def near(self, probabilities: Floats, margin: float) -> Bools:
        """Return (N,) whether label or referral of a film of (N, K) probabilities may change where differences of its
        logits, as the network gives them, change by up to ``margin``; no other film can."""
        from scipy.special import logit

        ranked = np.log(np.maximum(np.sort(probabilities, axis=1), TINY))
        odds = log_odds(probabilities, self.column) if self.two else log_odds(np.exp(ranked), -1)
        cuts = logit(np.array(self.edges(self.column)))
        distances = np.abs(odds[:, None] - cuts[None])
        if not self.two:  # the second likeliest may come first
            distances = np.column_stack([distances, ranked[:, -1] - ranked[:, -2]])
        return np.asarray((distances <= margin / self.temperature).any(axis=1))

    def told(self, probabilities: Floats, k: int) -> str:
        """Return the probability of class ``k``, of a film's (K,), with the digits that the rule asks for."""
        return shown(float(probabilities[k]), self.edges(k))

    def weighed(self, probabilities: Floats, k: int) -> str:
        """Return what decided that the film of (K,) probabilities is class ``k``: of two classes the probability that
        the threshold is for, beside it ("0.167 < 0.180"; "> 0.999" lies above any); of more that of ``k``."""
        if not self.two or self.own_thresholds:
            return self.told(probabilities, k)
        own = self.classes.index(self.decided_by)
        said = self.told(probabilities, own)
        return said if said[0] in "<>" else f"{said} {'≥' if k == own else '<'} {edge(float(self.threshold))}"


def _band(low: Any, high: Any) -> Band:
    found = Band(float(low), float(high))
    if not 0 <= found.low <= found.high <= 1:
        raise ValueError(f"the refer band {found.low} to {found.high} is not between 0 and 1")
    return found


def log_odds(probabilities: Floats, k: int) -> Floats:
    """Return (N,) log(p / (1 - p)) of class ``k`` from (N, K) probabilities, within ±27.6 (see FLOOR)."""
    other = np.delete(probabilities, k, axis=1).sum(axis=1)
    return np.asarray(np.log(np.maximum(probabilities[:, k], FLOOR)) - np.log(np.maximum(other, FLOOR)))


def sigmoid(odds: Floats) -> Floats:
    """Return (N,) 1 / (1 + exp(-x)) of (N,) log-odds as ``log_odds`` gives them.

    It is scipy.special.expit to the last bit, whose package takes a tenth of the time in which a film gets its label.
    """
    return np.array([1 / (1 + math.exp(-x)) for x in odds.tolist()])


def softened(logits: Logits, temperature: float) -> Logits:
    """Return what the last softmax takes: ``logits`` over the temperature."""
    return logits / temperature  # type: ignore[operator,return-value]


def apply_temperature(probabilities: Floats, temperature: float) -> Floats:
    """Return (N, K) softmax(log p / T): T above 1 makes less sure, below 1 more; the order of the classes stays."""
    if not 0 < temperature < np.inf:
        raise InputError(f"A temperature must be a number above 0, and this one is {temperature}; 1 changes nothing.")
    return _softmax(softened(np.log(np.maximum(probabilities, TINY)), temperature))


def _softmax(logits: Floats) -> Floats:
    from scipy.special import logsumexp

    return np.asarray(np.exp(logits - logsumexp(logits, axis=1, keepdims=True)))


# -- which class is the positive one ----------------------------------------------------------------------------------


def positive_class(classes: Sequence[str], named: str | None = None) -> int:
    """Return the index of the positive class: the ``named`` one, else the one not called normal, else the last.

    The negative class is known by such names as normal, healthy, negative, no finding, or non-X beside a class X. With
    more than two classes and no name there is no such rule: the last that is not negative is returned (see
    ``positive_is_a_guess``). InputError on an unknown name.
    """
    if named is not None:
        matches = [i for i, c in enumerate(classes) if c == named]
        matches += [i for i, c in enumerate(classes) if c.lower() == named.lower()]
        if not matches:
            raise InputError(f"There is no class '{named}' to be the positive one.{did_you_mean(named, classes)}")
        return matches[0]
    positives = [i for i, c in enumerate(classes) if not _is_negative(c, classes)]
    return positives[-1] if positives else len(classes) - 1


def positive_is_a_guess(classes: Sequence[str]) -> bool:
    """Return whether the names of the classes leave open which is the positive one."""
    return sum(not _is_negative(name, classes) for name in classes) != 1


def _is_negative(name: str, classes: Sequence[str]) -> bool:
    plain, others = _letters(name), {_letters(other) for other in classes} - {_letters(name)}
    denied = any(plain.startswith(no) and plain.removeprefix(no) in others for no in ("no", "non", "not"))
    return denied or plain in NEGATIVE_NAMES or plain.startswith(NEGATIVE_BEGINNINGS)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
