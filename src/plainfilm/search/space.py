"""What a search may vary: each setting's range, and the box from -1 to 1 in which every algorithm moves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plainfilm.catalogue import Row
from plainfilm.config import READING, TrainConfig, from_text
from plainfilm.errors import InputError, did_you_mean
from plainfilm.evaluation.intervals import Floats
from plainfilm.image.augment import LIMITS, Augment

KINDS = ("linear", "log", "whole")
WEIGHT = "class_weights.positive"  # the positive class's weight, as a multiple of the balanced one
DIGITS = 3  # of a number that is tried: a command that can be typed, and finer than validation films can tell


@dataclass(frozen=True)
class Dimension:
    """One setting and where it may lie. ``name`` is a field of TrainConfig, ``augment.KIND`` or ``WEIGHT``."""

    name: str
    kind: str  # one of KINDS, or "choice"
    low: float = 0.0
    high: float = 0.0
    choices: tuple[Any, ...] = ()

    def value(self, x: float) -> Any:
        """Return the setting at ``x`` in -1..1; what lies outside counts as the nearest end.

        A whole number and a choice have the same share of the way each, so none is likelier than another.
        """
        share = (min(max(float(x), -1.0), 1.0) + 1) / 2
        if self.kind == "choice":
            return self.choices[min(int(share * len(self.choices)), len(self.choices) - 1)]
        if self.kind == "whole":
            return min(int(self.low + share * (self.high - self.low + 1)), int(self.high))
        if self.kind == "log":
            return _short(math.exp(math.log(self.low) + share * math.log(self.high / self.low)))
        return _short(self.low + share * (self.high - self.low))

    def words(self) -> str:
        """Return the range as ``--vary`` takes it."""
        if self.kind == "choice":
            return f"{self.name}={'|'.join(str(choice) for choice in self.choices)}"
        return f"{self.name}={self.low:g}:{self.high:g}" + (f":{self.kind}" if self.kind != "linear" else "")


Space = tuple[Dimension, ...]

WHOLE: Space = (
    Dimension("learning_rate", "log", 1e-3, 0.3),
    Dimension("batch", "choice", choices=(8, 16, 24, 32, 64)),
    Dimension("decay", "choice", choices=("keras", "epoch", "cosine")),
    Dimension("augment.rotation", "linear", 0.0, 15.0),
    Dimension("augment.translation", "linear", 0.0, 0.1),
    Dimension("augment.zoom", "linear", 0.0, 0.2),
    Dimension(WEIGHT, "log", 0.25, 4.0),
)
FINE_TUNED: Space = (
    Dimension("learning_rate", "log", 1e-4, 1e-2),
    Dimension("weight_decay", "log", 1e-4, 0.2),
    Dimension("label_smoothing", "linear", 0.0, 0.15),
    Dimension("batch", "choice", choices=(16, 32, 64)),
    Dimension(WEIGHT, "log", 0.25, 4.0),
)
HEAD: Space = (Dimension("regularisation", "log", 1e-8, 1.0),)


def default_space(model: Row) -> Space:
    """Return the ranges for a kind of model: a logistic regression, or steps from random or from pretrained weights."""
    if not model.trained.by_steps:
        return HEAD
    return FINE_TUNED if model.pretrained else WHOLE


def varied(space: Space, texts: Iterable[str]) -> Space:
    """Return ``space`` as the user wants it: each text replaces, adds or takes away one dimension.

    ``NAME=LOW:HIGH[:log|:whole]``, ``NAME=a|b|c``, or ``NAME=fixed``: as the settings have it. InputError says what is
    wrong with a text.
    """
    found = {dimension.name: dimension for dimension in space}
    for text in texts:
        name, equals, rest = text.partition("=")
        if not equals or not rest:
            raise InputError(f"--vary {text!r} is not of the form NAME=LOW:HIGH[:log|:whole] or NAME=a|b|c.")
        name = _known(name.strip().replace("-", "_"))
        if rest == "fixed":
            found.pop(name, None)
        else:
            found[name] = _choice(name, rest) if "|" in rest else _range(name, rest)
    if not found:
        raise InputError("There is nothing to vary; name a setting with --vary NAME=LOW:HIGH.")
    return tuple(found.values())


def _known(name: str) -> str:
    fields = [field.name for field in dataclasses.fields(TrainConfig)]
    names = [*fields, *(f"augment.{kind}" for kind in LIMITS), WEIGHT]
    if name not in names:
        raise InputError(f"--vary: there is no setting '{name}'.{did_you_mean(name, names)}")
    if name in ("model", "split", "seed", "epochs", "patience", "positive", "max_bad", "choose_by", *READING):
        raise InputError(f"--vary {name}: trials that differ in it can't be compared; set it with --{name}.")
    return name


def _choice(name: str, text: str) -> Dimension:
    texts = [part.strip() for part in text.split("|")]
    try:
        values = tuple(float(t) if "." in name else from_text(name, t) for t in texts)
    except ValueError:
        raise InputError(f"--vary {name}={text}: expected numbers.") from None
    if len(set(values)) < len(values):
        raise InputError(f"--vary {name}={text}: each choice may stand once.")
    return Dimension(name, "choice", choices=values)


def _range(name: str, text: str) -> Dimension:
    low, _, rest = text.partition(":")
    high, _, kind = rest.partition(":")
    kind = kind or ("whole" if isinstance(getattr(TrainConfig, name, None), int) else "linear")
    try:
        ends = float(low), float(high)
    except ValueError:
        ends = (1.0, 0.0)
    if kind not in KINDS or not -math.inf < ends[0] < ends[1] < math.inf or (kind == "log" and ends[0] <= 0):
        raise InputError(
            f"--vary {name}={text}: expected LOW:HIGH, LOW:HIGH:log (above 0) or LOW:HIGH:whole with LOW < HIGH."
        )
    return Dimension(name, kind, *ends)


def check(space: Space, base: dict[str, Any]) -> None:
    """InputError when a choice or a range holds what its setting can't be, beside the settings ``base``."""
    for dimension in space:
        if dimension.name == WEIGHT:
            continue
        for value in dimension.choices or tuple(map(dimension.value, (-1.0, 0.1, 1.0))):
            try:
                Augment.parse(TrainConfig(**settings_of({dimension.name: value}, base, {}, ())).augment)
            except InputError as error:
                raise InputError(f"--vary {dimension.words()}: {error}") from None


def values_at(space: Space, point: Floats) -> dict[str, Any]:
    """Return {name: value} at ``point`` (D,) of the box -1..1."""
    return {dimension.name: dimension.value(x) for dimension, x in zip(space, point, strict=True)}


def settings_of(
    values: dict[str, Any], base: dict[str, Any], weights: dict[str, float], positive: Collection[str]
) -> dict[str, Any]:
    """Return settings of TrainConfig: ``base`` with ``values``, which may name parts of a setting.

    ``weights``: {class: balanced weight}, which ``WEIGHT`` multiplies for those in ``positive``: the positive class, or
    all findings.
    """
    settings = {name: _as_field(name, value) for name, value in values.items() if "." not in name}
    kinds = {name.partition(".")[2]: value for name, value in values.items() if name.startswith("augment.")}
    if kinds:
        given = str(base.get("augment", ""))
        rest = [part for part in given.split(",") if part and part.partition("=")[0].strip() not in kinds]
        settings["augment"] = ",".join([*rest, *(f"{kind}={value:g}" for kind, value in kinds.items())])
    if WEIGHT in values:
        factor = {name: values[WEIGHT] if name in positive else 1.0 for name in weights}
        shown = (f"{name}={_short(weight * factor[name]):g}" for name, weight in weights.items())
        settings["class_weights"] = ",".join(shown)
    return {**base, **settings}


def _as_field(name: str, value: Any) -> Any:
    """A number for a setting that is text (the grid of C) becomes that text."""
    return from_text(name, value if isinstance(value, str) else f"{value:g}")


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def box(points: Sequence[Sequence[float]] | Floats) -> Floats:
    """Return points (M, D) held inside -1..1."""
    return np.clip(np.asarray(points, dtype=np.float64), -1.0, 1.0)
