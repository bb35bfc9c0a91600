"""The input gate: does a film look like those that the model was trained on? Learnt from them, stored with the model.

It sees no label. Of each film it takes

- the *shapes*: a 32×32 thumbnail whose greys are replaced by their ranks, so that exposure, contrast and display
  window do not matter, and how far it lies from the training films along their principal components and beside them;
- whether it would be nearer when inverted or turned, which then is the reason;
- a few physical *statistics* (brightness, contrast, sharpness, …), each of which may be too low or too high;
- what the *network* sees of it in a middle layer, on a coarse grid, and how far that lies from what it saw of the
  training films (Lee et al. 2018, arXiv 1807.03888, with principal axes in place of the whole covariance).

Every measure of the picture is divided by how far training films go in it; the largest quotient is how unusual the
film is. The limit is the conformal quantile of the same figure over training films that were held out, a fifth of the
patients at a time (cross-conformal prediction: Vovk 2015, doi 10.1007/s10472-013-9368-4). The network has learnt from
all training films, so its limit comes from validation films; picture and network then have half of the false alarms
each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from plainfilm.image.store import Rows

Floats = NDArray[np.float64]

SIDE = 32  # of the thumbnail
DETAIL = 64  # side of the picture that statistics are taken of, at most
MOST_FILMS = 5_000  # learnt from; more would change the limits by less than their own error
MOST_AXES = 48  # principal components; more find finer faults of pose but flag more of another site's films
LEAST_SPREAD = 0.01  # of a thumbnail's pixel, in ranks: what never varied among few films may still do so
FOLDS = 5
ALARM = 0.01  # share of films like the training films that may be flagged
BLOCK = 128  # films read at a time
USUAL = 0.9  # share of training films within the distance that a mended film must keep
WIDER = 1.5  # limits of a gate with too few films for the conformal quantile

# How to undo what was done to a film: the sign of its greys, and quarter turns against the clock.
UNDO = {"inverted": (-1, 0), "upside_down": (1, 2), "turned_right": (1, 1), "turned_left": (1, 3)}
UNDONE = {
    "inverted": "inverted: what is light in the training films is dark here",
    "upside_down": "upside down",
    "turned_right": "turned on its side, a quarter turn clockwise",
    "turned_left": "turned on its side, a quarter turn anticlockwise",
}


class Statistic(NamedTuple):
    """A physical statistic: how much another site's equipment may add, and the reason when it is too low or high."""

    tolerance: float
    low: str
    high: str


STATISTICS = {
    "brightness": Statistic(0.12, "darker than the training films", "brighter than the training films"),
    "contrast": Statistic(0.06, "less contrast than the training films", "more contrast than the training films"),
    "black": Statistic(0.15, "", "more of it is black than in the training films"),
    "white": Statistic(0.10, "", "more of it is white than in the training films"),
    "greys": Statistic(0.6, "fewer shades of grey than the training films", ""),
    "sharpness": Statistic(
        0.7, "blurred: less detail than the training films", "grainier or sharper edges than the training films"
    ),
    "symmetry": Statistic(0.25, "left and right differ more than in the training films", ""),
    "border": Statistic(0.1, "", "its border is lighter than in the training films"),
}
UNSEEN = "the network sees other structures in it than in the training films; perhaps another age, device or projection"
STRANGE = "its shapes are not those of the training films; perhaps not a film of the same kind"
SHAPES = "shapes"
SHAPES_TOLERANCE = 0.1  # of the logarithm of the distance
MEASURES = (SHAPES, *UNDO, *STATISTICS)
COMPONENTS = 8  # of the principal ones that describe a film among others of its set
DESCRIBED = (SHAPES, *STATISTICS, *(f"component {number}" for number in range(1, COMPONENTS + 1)))
KEPT = 1_000  # training films whose description stays with the model: see models/drift.py


class Verdict(NamedTuple):
    """``score``: share of held-out training films at least as unusual, 0..1; ``reason``: None when not flagged;
    ``described``: of the film, in the order of DESCRIBED."""

    score: float
    reason: str | None
    described: tuple[float, ...]


class Limit(NamedTuple):
    """One way to be unusual: a measure, in which direction (±1), the tolerance, and what to call it."""

    measure: str
    sign: int
    tolerance: float
    reason: str


LIMITS = (
    Limit(SHAPES, 1, SHAPES_TOLERANCE, STRANGE),
    *(Limit(name, 1, SHAPES_TOLERANCE, reason) for name, reason in UNDONE.items()),
    *(
        Limit(name, sign, statistic.tolerance, reason)
        for name, statistic in STATISTICS.items()
        for sign, reason in ((-1, statistic.low), (1, statistic.high))
        if reason
    ),
)
_COLUMN = np.array([MEASURES.index(limit.measure) for limit in LIMITS])
_SIGN = np.array([limit.sign for limit in LIMITS], np.float64)


@dataclass(frozen=True)
class Cloud:
    """The training films as points of D coordinates: centre, principal axes, spread along them and beside them."""

    mean: np.ndarray  # (D,) float32
    axes: np.ndarray  # (Q, D) float32, orthonormal rows
    spread: np.ndarray  # (Q,) float32, standard deviation along each axis
    beside: np.ndarray  # (D,) float32, standard deviation of what the axes leave over

    @classmethod
    def fit(cls, films: np.ndarray, most: int = MOST_AXES, least: float = LEAST_SPREAD) -> Self:
        """Return the cloud of (N, …) films; a quarter as many axes as films or coordinates, ``most`` at most.

        ``least``: what is added to the spread beside the axes, since what never varied among few films may still do so.
        """
        flat = films.reshape(len(films), -1).astype(np.float64)
        mean = flat.mean(0)
        centred = flat - mean
        spread, axes = _principal(centred, min(most, len(flat) // 4, flat.shape[1] // 4))
        beside = (centred - centred @ axes.T @ axes).std(0) + least
        return cls(*(array.astype(np.float32) for array in (mean, axes, spread, beside)))

    def distance(self, films: np.ndarray) -> Floats:
        """Return (B,) logarithms of the distance of (B, …) films, about 0 for the films themselves.

        The squared distance is the mean of two: along the axes in units of their spread (Mahalanobis's), and beside
        them in units of what they leave over, each as a mean over its directions.
        """
        centred = films.reshape(len(films), -1) - self.mean
        along = centred @ self.axes.T
        beside = (((centred - along @ self.axes) / self.beside) ** 2).mean(1)
        inside = ((along / self.spread) ** 2).sum(1) / max(1, len(self.spread))
        return np.asarray(0.5 * np.log(1e-9 + (inside + beside).astype(np.float64) / 2))


class Shapes(Cloud):
    """The cloud of the training films' thumbnails."""

    def measures(self, thumbnails: np.ndarray) -> Floats:
        """Return (B, 1 + len(UNDO)): the distance, and how much nearer the film would be with each thing undone."""
        own = self.distance(thumbnails)
        undone = [self.distance(sign * np.rot90(thumbnails, turns, (1, 2))) for sign, turns in UNDO.values()]
        return np.stack([own, *(own - other for other in undone)], 1)

    def components(self, thumbnails: np.ndarray) -> Floats:
        """Return (B, COMPONENTS): how far films lie along the first axes; 0 where few films gave fewer."""
        along = (thumbnails.reshape(len(thumbnails), -1) - self.mean) @ self.axes[:COMPONENTS].T
        return np.pad(along.astype(np.float64), ((0, 0), (0, COMPONENTS - along.shape[1])))


def _principal(centred: Floats, count: int) -> tuple[Floats, Floats]:
    """Return the ``count`` largest standard deviations of (N, D) centred rows and their directions (count, D).

    By whichever of the rows' and the columns' products is smaller.
    """
    import scipy.linalg  # only learning a gate needs it, and labelling is to start at once

    films, pixels = centred.shape
    product, size = (centred @ centred.T, films) if films < pixels else (centred.T @ centred, pixels)
    if count == 0:
        return np.empty(0), np.empty((0, pixels))
    values, vectors = scipy.linalg.eigh(product, subset_by_index=(size - count, size - 1))
    found = vectors.T[::-1]
    axes = found @ centred if films < pixels else found
    axes = axes / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-12)
    return np.sqrt((values[::-1] / films).clip(1e-9)), axes


@dataclass(frozen=True)
class Insight:
    """What a network saw of the training films, and how far films lie from it that it has not learnt from."""

    cloud: Cloud
    held_out: np.ndarray  # (M,) distances of validation films, ascending
    limit: np.ndarray  # () a film that is farther is flagged

    @classmethod
    def fit(cls, seen: np.ndarray, others: np.ndarray) -> Insight:
        """Return it from what the network saw of (N, D) training films and of (M, D) validation films.

        ValueError for fewer than two of either.
        """
        if min(len(seen), len(others)) < 2:
            raise ValueError(f"too few films: {len(seen)} and {len(others)}")
        least = LEAST_SPREAD * float(seen.std(0).mean()) + 1e-6
        cloud = Cloud.fit(seen, least=least)
        held_out = np.sort(cloud.distance(others))
        return cls(cloud, held_out, np.asarray(_farthest(held_out, ALARM / 2)))

    def shares(self, distance: Floats) -> Floats:
        """Return (B,) the share of held-out films that are at least as far, never 0."""
        films = len(self.held_out)
        return np.asarray((1 + films - np.searchsorted(self.held_out, distance)) / (1 + films))


def _farthest(held_out: Floats, alarm: float) -> float:
    """Return the distance that a share ``alarm`` of films exceeds: the conformal rank of the distances ``held_out``
    (ascending), or of too few for that the upper end of a normal distribution's prediction interval, but not less than
    the largest."""
    films = len(held_out)
    if (rank := _rank(films, alarm)) <= films:
        return float(held_out[rank - 1])
    from scipy.stats import t

    upper = held_out.mean() + t.ppf(1 - alarm, films - 1) * held_out.std(ddof=1) * math.sqrt(1 + 1 / films)
    return max(float(upper), float(held_out[-1]))


@dataclass(frozen=True)
class Gate:
    """What was learnt; plain arrays, so that it is stored with the model and judges the same after loading."""

    shapes: Shapes
    size: int  # side of the films' pixels
    centre: np.ndarray  # (len(MEASURES),) median over the training films
    reach: np.ndarray  # (len(LIMITS),) how far from the centre training films go, tolerance included
    held_out: np.ndarray  # (N,) how unusual each training film was when it was held out, ascending
    limit: np.ndarray  # () a film that is more unusual is flagged
    usual: np.ndarray  # () distance that nine of ten training films keep: what a film must be within once mended
    quantiles: np.ndarray  # (len(STATISTICS), len(QUANTILES)) of the training films' statistics
    sample: np.ndarray = field(default_factory=lambda: np.empty((0, len(DESCRIBED)), np.float32))  # of training films
    sampled: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # their classes; models of old have none
    insight: Insight | None = None  # models of old have none, nor has an ensemble

    @property
    def about(self) -> str:
        """Say what the gate rests on, and how often it is wrong about films like the training films."""
        films = len(self.held_out)
        if _rank(films) > films:
            return f"learnt from only {films} films, so its limits are wide: it sees gross mistakes only"
        return f"learnt from {films:,} films; flags about {ALARM:.0%} of films like them"

    @property
    def looked_at(self) -> int:
        """How many numbers of the network's the gate looks at; 0 where it looks at the picture alone."""
        return len(self.insight.cloud.mean) if self.insight else 0

    def with_insight(self, insight: Insight) -> Gate:
        """Return the gate that also looks at the network, the false alarms shared between the two."""
        rank = _rank(len(self.held_out), ALARM / 2)
        limit = self.held_out[rank - 1] if rank <= len(self.held_out) else self.limit
        return replace(self, limit=np.asarray(max(float(limit), float(self.limit))), insight=insight)

    def judge(self, pixels: np.ndarray, seen: np.ndarray | None = None) -> list[Verdict]:
        """Return a verdict for each of (B, S, S) uint8 pixels, as the model's store holds them; ``seen``: (B, D) what
        the network saw of them, without which the picture alone is judged.

        ValueError for another shape or type.
        """
        if pixels.ndim != 3 or pixels.shape[1:] != (self.size, self.size) or pixels.dtype != np.uint8:
            raise ValueError(f"the gate needs (B, {self.size}, {self.size}) uint8, not {pixels.shape} {pixels.dtype}")
        blocks = range(0, len(pixels), BLOCK)
        looked = [verdict for i in blocks for verdict in self._judge(pixels[i : i + BLOCK])]
        if self.insight is None or seen is None:
            return looked
        far = [d for i in blocks for d in self.insight.cloud.distance(seen[i : i + BLOCK])]
        unseen = np.array(far) > self.insight.limit
        shares = self.insight.shares(np.array(far))
        return [
            own._replace(score=min(own.score, float(share)), reason=own.reason or (UNSEEN if strange else None))
            for own, share, strange in zip(looked, shares, unseen, strict=True)
        ]

    def _judge(self, pixels: np.ndarray) -> list[Verdict]:
        small = thumbnails(pixels)
        measures = np.concatenate([self.shapes.measures(small), statistics(pixels, small)], 1)
        excess = _excess(measures, self.centre, self.reach)
        described = np.concatenate([measures[:, :1], measures[:, 1 + len(UNDO) :], self.shapes.components(small)], 1)
        worst = excess.max(1)
        scores = (1 + len(self.held_out) - np.searchsorted(self.held_out, worst)) / (1 + len(self.held_out))
        return [
            Verdict(float(score), self._reason(row, own) if top > self.limit else None, tuple(of_film))
            for score, row, own, top, of_film in zip(scores, excess, measures, worst, described, strict=True)
        ]

    def _reason(self, excess: Floats, measures: Floats) -> str:
        """Name what was done to the film if, undone, it looks like the training films; else what is most unusual."""
        gain = measures[1 : 1 + len(UNDO)]
        if excess[1 : 1 + len(UNDO)].max() > self.limit and measures[0] - gain.max() <= self.usual:
            return list(UNDONE.values())[gain.argmax()]
        others = [i for i, limit in enumerate(LIMITS) if limit.measure not in UNDO]
        return LIMITS[max(others, key=lambda i: excess[i])].reason

    def reference(self) -> dict[str, dict[str, float]]:
        """Return {statistic: {quantile: value}} over the training films; ``statistics`` gives a film's own."""
        return {
            name: {f"{q:g}": float(v) for q, v in zip(QUANTILES, row, strict=True)}
            for name, row in zip(STATISTICS, self.quantiles, strict=True)
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays, for the group ``gate`` of model.h5."""
        parts = ("shapes", "insight")
        own = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self) if f.name not in parts}
        own |= {f"shapes_{f.name}": getattr(self.shapes, f.name) for f in fields(Shapes)}
        if self.insight is None:
            return own
        own |= {f"insight_{f.name}": getattr(self.insight.cloud, f.name) for f in fields(Cloud)}
        return own | {"insight_held_out": self.insight.held_out, "insight_limit": self.insight.limit}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Gate:
        """Return the gate that ``arrays`` came from; ValueError when one is missing, misshapen or not finite."""
        _check(arrays)
        shapes = Shapes(*(arrays[f"shapes_{f.name}"] for f in fields(Shapes)))
        rest: dict[str, Any] = {f.name: arrays[f.name] for f in fields(cls) if f.name in arrays and f.name != "size"}
        if "insight_mean" in arrays:
            cloud = Cloud(*(arrays[f"insight_{f.name}"] for f in fields(Cloud)))
            rest["insight"] = Insight(cloud, arrays["insight_held_out"], arrays["insight_limit"])
        return cls(shapes, int(arrays["size"]), **rest)


QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def _check(arrays: Mapping[str, np.ndarray]) -> None:
    wanted = _shapes(arrays)
    if set(arrays) != set(wanted):
        raise ValueError(f"the gate's arrays are {', '.join(sorted(arrays))}, not {', '.join(sorted(wanted))}")
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise ValueError(f"the gate's {name} has the shape {arrays[name].shape} instead of {shape}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"the gate's {name} holds values that are not finite")
    above = ("shapes_spread", "shapes_beside", "size", "reach", "insight_spread", "insight_beside")
    if wrong := [name for name in above if name in wanted and (arrays[name] <= 0).any()]:
        raise ValueError(f"the gate's {wrong[0]} must be above 0")


def _shapes(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Return the shapes that a gate's arrays must have."""
    axes, films = len(arrays.get("shapes_spread", ())), len(arrays.get("held_out", ()))
    wanted: dict[str, tuple[int, ...]] = {
        "shapes_mean": (SIDE**2,),
        "shapes_axes": (axes, SIDE**2),
        "shapes_spread": (axes,),
        "shapes_beside": (SIDE**2,),
        "size": (),
        "centre": (len(MEASURES),),
        "reach": (len(LIMITS),),
        "held_out": (films,),
        "limit": (),
        "usual": (),
        "quantiles": (len(STATISTICS), len(QUANTILES)),
    }
    described = len(arrays.get("sampled", ()))
    if "sample" in arrays or "sampled" in arrays:
        wanted |= {"sample": (described, len(DESCRIBED)), "sampled": (described,)}
    if any(name.startswith("insight_") for name in arrays):
        wanted |= _of_insight(arrays)
    return wanted


def _of_insight(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Return the shapes that the arrays of an ``Insight`` must have."""
    width, axes = np.size(arrays.get("insight_mean", ())), len(arrays.get("insight_spread", ()))
    shapes = {"mean": (width,), "axes": (axes, width), "spread": (axes,), "beside": (width,), "limit": ()}
    shapes["held_out"] = (np.size(arrays.get("insight_held_out", ())),)
    return {f"insight_{name}": shape for name, shape in shapes.items()}


def fit_gate(
    pixels: Rows,
    films: np.ndarray,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
    classes: np.ndarray | None = None,
) -> Gate:
    """Return the gate of the training films at positions ``films`` (N,) among ``pixels``; 5,000 of them at most.

    ``groups`` (N,) names each film's patient, so that no patient is on both sides when films are held out; ``classes``
    (N,) are their indices of classes, which ``sampled`` keeps.
    ValueError for fewer than two films.
    """
    if len(films) < 2:
        raise ValueError(f"a gate can't be learnt from {len(films)} films")
    groups = np.arange(len(films)) if groups is None or len(np.unique(groups)) < 2 else np.asarray(groups)
    chosen = np.sort(rng.permutation(len(films))[:MOST_FILMS])
    small, own = _describe(pixels, films[chosen])
    folds = _folds(groups[chosen], rng)
    shapes = np.empty((len(chosen), 1 + len(UNDO)))
    for fold in np.unique(folds):
        shapes[folds == fold] = Shapes.fit(small[folds != fold]).measures(small[folds == fold])
    measures = np.concatenate([shapes, own], 1)
    centre = np.median(measures, 0)
    reach = _reach(measures, centre)
    held_out = np.sort(_excess(measures, centre, reach).max(1))
    limit = held_out[_rank(len(held_out)) - 1] if _rank(len(held_out)) <= len(held_out) else WIDER * held_out[-1]
    usual = np.quantile(measures[:, 0], USUAL)
    quantiles = np.quantile(own, QUANTILES, axis=0).T
    whole = Shapes.fit(small)
    kept = np.sort(rng.permutation(len(chosen))[:KEPT])
    sample = np.concatenate([measures[:, :1], own, whole.components(small)], 1)[kept].astype(np.float32)
    sampled = np.zeros(len(kept), np.int64) if classes is None else np.asarray(classes, np.int64)[chosen][kept]
    size = pixels.data.shape[1]
    limits = (held_out, np.asarray(limit), np.asarray(usual), quantiles)
    return Gate(whole, size, centre, reach, *limits, sample, sampled)


def _rank(films: int, alarm: float = ALARM) -> int:
    """Which held-out film is the limit, counted from the least unusual: ⌈(N + 1)(1 - alarm)⌉, beyond N if too few."""
    return math.ceil((films + 1) * (1 - alarm))


def _folds(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    names, which = np.unique(groups, return_inverse=True)
    return np.asarray((rng.permutation(len(names)) % FOLDS)[which])


def _describe(pixels: Rows, films: np.ndarray) -> tuple[np.ndarray, Floats]:
    blocks = [pixels[films[i : i + BLOCK]] for i in range(0, len(films), BLOCK)]
    parts = [(small, statistics(block, small)) for block in blocks for small in [thumbnails(block)]]
    return np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts])


def _reach(measures: Floats, centre: Floats) -> Floats:
    """Return (len(LIMITS),) how far the films go from the centre towards each limit, with the limit's tolerance."""
    beyond = _SIGN * (measures - centre)[:, _COLUMN]
    tolerance = np.array([limit.tolerance for limit in LIMITS])
    return np.asarray(np.quantile(beyond, 1 - ALARM / 4, axis=0).clip(min=0) + tolerance)


def _excess(measures: Floats, centre: Floats, reach: Floats) -> Floats:
    """Return (B, len(LIMITS)): 1 where a film goes as far towards a limit as the training films do."""
    return np.asarray(_SIGN * (measures - centre)[:, _COLUMN] / reach)


def thumbnails(pixels: np.ndarray) -> np.ndarray:
    """Return (B, SIDE, SIDE) float32 thumbnails of (B, S, S) uint8: ranks of the grey levels within the film, -½..½.

    Equal greys share their mean rank, so any monotone change of the greys changes nothing but roundings.
    """
    levels = np.rint(4 * _averaged(pixels, SIDE)).astype(np.int64).reshape(len(pixels), -1)  # quarters of a grey level
    span = 4 * 255 + 1
    offset = span * np.arange(len(pixels))[:, None]
    counts = np.bincount((levels + offset).ravel(), minlength=span * len(pixels)).reshape(len(pixels), span)
    ranks = np.cumsum(counts, 1) - counts / 2
    even = np.take_along_axis(ranks, levels, 1) / SIDE**2 - 0.5
    return even.astype(np.float32).reshape(-1, SIDE, SIDE)


def _averaged(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return (B, side, side) float32 means over equal squares of (B, S, S) uint8, each pixel counted by its share."""
    average = _shares(pixels.shape[1], side)
    return np.asarray(average @ pixels.astype(np.float32) @ average.T)


@cache
def _shares(size: int, side: int) -> np.ndarray:
    """(side, size) float32: the share of each of ``size`` pixels in each of ``side`` equal parts of them."""
    edges = np.linspace(0, size, side + 1)
    at = np.arange(size)
    overlap = np.minimum(edges[1:, None], at + 1) - np.maximum(edges[:-1, None], at)
    return np.asarray(overlap.clip(min=0) * side / size, dtype=np.float32)


def statistics(pixels: np.ndarray, small: np.ndarray | None = None) -> Floats:
    """Return (B, len(STATISTICS)) physical statistics of (B, S, S) uint8 films, in the order of STATISTICS.

    ``small``: their ``thumbnails``, where they are at hand.

    Films larger than 64×64 are averaged down to that first: noise and blur finer than that differ between detectors.
    brightness, contrast: mean and standard deviation / 255; black, white: share of pixels within 4 of 0 and of 255;
    greys: bits of entropy of the histogram in 64 levels; sharpness: logarithm of the mean absolute second difference
    over the standard deviation; symmetry: correlation of the thumbnail with its mirror image; border: mean rank of
    the thumbnail's outermost two pixels, -½..½.
    """
    small = thumbnails(pixels) if small is None else small
    if pixels.shape[1] > DETAIL:
        pixels = np.rint(_averaged(pixels, DETAIL)).astype(np.uint8)
    grey = pixels.astype(np.float32) / 255
    contrast = grey.std((1, 2))
    bends = [np.abs(np.diff(grey, 2, axis)).mean((1, 2)) for axis in (1, 2)]
    frame = np.ones((SIDE, SIDE), bool)
    frame[2:-2, 2:-2] = False
    columns = (
        grey.mean((1, 2)),
        contrast,
        (pixels <= 4).mean((1, 2)),
        (pixels >= 251).mean((1, 2)),
        _entropy(pixels),
        np.log((bends[0] + bends[1]) / (contrast + 0.01) + 1e-3),
        (small * small[:, :, ::-1]).sum((1, 2)) / ((small**2).sum((1, 2)) + 1e-6),
        small[:, frame].mean(1),
    )
    return np.stack(columns, 1).astype(np.float64)


def _entropy(pixels: np.ndarray) -> Floats:
    offset = 64 * np.arange(len(pixels))[:, None, None]
    counts = np.bincount((pixels // 4 + offset).ravel(), minlength=64 * len(pixels)).reshape(len(pixels), 64)
    shares = counts / counts.sum(1, keepdims=True)
    return np.asarray(-(shares * np.log2(np.where(shares > 0, shares, 1))).sum(1))
