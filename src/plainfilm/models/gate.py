"""The input gate: does a film look like those that the model was trained on? Learnt from them, stored with the model.

It sees no label. Of each film it takes

- the *shapes*: a 32×32 thumbnail whose greys are replaced by their ranks, so that exposure, contrast and display
  window do not matter, and how far it lies from the training films along their principal components and beside them;
- whether it would be nearer when inverted or turned, which then is the reason;
- a few physical *statistics* (brightness, contrast, sharpness, …), each of which may be too low or too high;
- its *edges*: how much of each direction there is in each ninth of the film (histograms of gradients: Dalal & Triggs
  2005, doi 10.1109/CVPR.2005.177), beside a coarse thumbnail of ranks, and how far both lie from the training films
  along the axes on which those differ most; they find another framing, size or posture of the body, whatever the
  exposure;
- what the *network* sees of it in a middle layer, on a coarse grid, and how far that lies from what it saw of the
  training films (Lee et al. 2018, arXiv 1807.03888, with principal axes in place of the whole covariance).

Every measure of the picture is divided by how far training films go in it; the largest quotient is how unusual the
film is. The limit is the conformal quantile of the same figure over training films that were held out, a fifth of the
patients at a time (cross-conformal prediction: Vovk 2015, doi 10.1007/s10472-013-9368-4). The network has learnt from
all training films, so its limit comes from validation films, and it has a fifth of the false alarms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from plainfilm.image.store import Rows
from plainfilm.models.looks import (
    COARSE,
    DIRECTIONS,
    PARTS,
    SIDE,
    STATISTICS,
    detail,
    outlines,
    statistics,
    thumbnails,
)
from plainfilm.models.novelty import Cloud, Insight, Leading, conformal_rank

Floats = NDArray[np.float64]
AnyCloud = TypeVar("AnyCloud", bound=Cloud)

MOST_FILMS = 5_000  # learnt from; more would change the limits by less than their own error
FOLDS = 5
ALARM = 0.01  # share of films like the training films that may be flagged
OF_NETWORK = 0.2  # of these, where the network is looked at; the picture has the rest
OF_EDGES = 0.9  # share of ALARM beyond the reach of a film's edges, which find other kinds of film
OF_OTHERS = 0.05  # beyond the reach of any other measure, which find gross mistakes
BLOCK = 128  # films read at a time
MOST_EDGES = 12  # axes of a film's edges; more would find finer faults of pose but fewer films of another kind
USUAL = 0.9  # share of training films within the distance that a mended film must keep
WIDER = 1.5  # limits of a gate with too few films for the conformal quantile

# How to undo what was done to a film: the sign of its greys, and quarter turns against the clock.
UNDO = {"inverted": (-1, 0), "upside_down": (1, 2), "turned_right": (1, 1), "turned_left": (1, 3)}
# A thumbnail as it is and with each of it undone: where its pixels come from, and the sign of its greys.
_TURNS = (0, *(turns for _, turns in UNDO.values()))
_WAYS = np.stack([np.rot90(np.arange(SIDE**2).reshape(SIDE, SIDE), turns).ravel() for turns in _TURNS])
_GREYS = np.array([1, *(sign for sign, _ in UNDO.values())], np.float32)[:, None, None]
UNDONE = {
    "inverted": "inverted: what is light in the training films is dark here",
    "upside_down": "upside down",
    "turned_right": "turned on its side, a quarter turn clockwise",
    "turned_left": "turned on its side, a quarter turn anticlockwise",
}


UNSEEN = "the network sees other structures in it than in the training films; perhaps another age, device or projection"
STRANGE = "its shapes are not those of the training films; perhaps not a film of the same kind"
FRAMED = "its outlines run otherwise than in the training films; perhaps another framing, projection or size of patient"
SHAPES, EDGES = "shapes", "edges"
SHAPES_TOLERANCE = 0.1  # of the logarithm of the distance
EDGES_TOLERANCE = 0.02  # likewise
MEASURES = (SHAPES, *UNDO, *STATISTICS, EDGES)
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
    Limit(EDGES, 1, EDGES_TOLERANCE, FRAMED),  # the last one: gates of old have no edges
)
_COLUMN = np.array([MEASURES.index(limit.measure) for limit in LIMITS])
_SIGN = np.array([limit.sign for limit in LIMITS], np.float64)


class Shapes(Cloud):
    """The cloud of the training films' thumbnails."""

    def measures(self, thumbnails: np.ndarray) -> Floats:
        """Return (B, 1 + len(UNDO)): the distance, and how much nearer the film would be with each thing undone."""
        ways = thumbnails.reshape(len(thumbnails), -1)[:, _WAYS].swapaxes(0, 1)
        own, *others = self.far(np.multiply(ways, _GREYS, order="C"))
        return np.stack([own, *(own - other for other in others)], 1)

    def components(self, thumbnails: np.ndarray) -> Floats:
        """Return (B, COMPONENTS): how far films lie along the first axes; 0 where few films gave fewer."""
        along = (thumbnails.reshape(len(thumbnails), -1) - self.mean) @ self.axes[:COMPONENTS].T
        found = np.zeros((len(thumbnails), COMPONENTS))
        found[:, : along.shape[1]] = along
        return found


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
    edges: Leading | None = None  # models of old have none
    insight: Insight | None = None  # models of old have none, nor has an ensemble

    @property
    def about(self) -> str:
        """Say what the gate rests on, and how often it is wrong about films like the training films."""
        films = len(self.held_out)
        if conformal_rank(films, ALARM) > films:
            return f"learnt from only {films} films, so its limits are wide: it sees gross mistakes only"
        return f"learnt from {films:,} films; flags about {ALARM:.0%} of films like them"

    @property
    def looked_at(self) -> int:
        """How many numbers of the network's the gate looks at; 0 where it looks at the picture alone."""
        return len(self.insight.cloud.mean) if self.insight else 0

    def with_insight(self, seen: np.ndarray, others: np.ndarray) -> Gate:
        """Return the gate that also looks at the network, by what that saw of (N, D) training films and of (M, D)
        validation films; false alarms are shared between picture and network.

        ValueError for fewer than two films of either.
        """
        rank = conformal_rank(len(self.held_out), (1 - OF_NETWORK) * ALARM)
        limit = self.held_out[rank - 1] if rank <= len(self.held_out) else self.limit
        insight = Insight.fit(seen, others, OF_NETWORK * ALARM)
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
        small, fine = thumbnails(pixels), detail(pixels)
        shapes, own = self.shapes.measures(small), statistics(pixels, small, fine)
        measures = np.concatenate([shapes, own, *self._framed(fine, small)], 1)
        excess = _excess(measures, self.centre, self.reach)
        described = np.concatenate([shapes[:, :1], own, self.shapes.components(small)], 1)
        worst = excess.max(1)
        scores = (1 + len(self.held_out) - np.searchsorted(self.held_out, worst)) / (1 + len(self.held_out))
        return [
            Verdict(float(score), self._reason(row, own) if top > self.limit else None, tuple(of_film))
            for score, row, own, top, of_film in zip(scores, excess, measures, worst, described, strict=True)
        ]

    def _framed(self, fine: np.ndarray, small: np.ndarray) -> list[Floats]:
        """Return the (B, 1) distance of films' outlines, of which a gate of old looks at the first, the edges."""
        if self.edges is None:
            return []
        return [self.edges.distance(outlines(fine, small)[:, : len(self.edges.mean)])[:, None]]

    def _reason(self, excess: Floats, measures: Floats) -> str:
        """Name what was done to the film if, undone, it looks like the training films; else what is most unusual."""
        gain = measures[1 : 1 + len(UNDO)]
        if excess[1 : 1 + len(UNDO)].max() > self.limit and measures[0] - gain.max() <= self.usual:
            return list(UNDONE.values())[gain.argmax()]
        others = [i for i, limit in enumerate(LIMITS[: len(excess)]) if limit.measure not in UNDO]
        return LIMITS[max(others, key=lambda i: excess[i])].reason

    def reference(self) -> dict[str, dict[str, float]]:
        """Return {statistic: {quantile: value}} over the training films; ``statistics`` gives a film's own."""
        return {
            name: {f"{q:g}": float(v) for q, v in zip(QUANTILES, row, strict=True)}
            for name, row in zip(STATISTICS, self.quantiles, strict=True)
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays, for the group ``gate`` of model.h5."""
        clouds = {"shapes": self.shapes, "edges": self.edges, "insight": self.insight and self.insight.cloud}
        own = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self) if f.name not in clouds}
        for part, cloud in clouds.items():
            own |= {f"{part}_{f.name}": getattr(cloud, f.name) for f in fields(Cloud)} if cloud else {}
        if self.insight:
            own |= {"insight_held_out": self.insight.held_out, "insight_limit": self.insight.limit}
        return own

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Gate:
        """Return the gate that ``arrays`` came from; ValueError when one is missing, misshapen or not finite."""
        _check(arrays)
        rest: dict[str, Any] = {f.name: arrays[f.name] for f in fields(cls) if f.name in arrays and f.name != "size"}
        if "edges_mean" in arrays:
            rest["edges"] = _cloud(Leading, arrays, "edges")
        if "insight_mean" in arrays:
            cloud = _cloud(Cloud, arrays, "insight")
            rest["insight"] = Insight(cloud, arrays["insight_held_out"], arrays["insight_limit"])
        return cls(_cloud(Shapes, arrays, "shapes"), int(arrays["size"]), **rest)


def _cloud(kind: type[AnyCloud], arrays: Mapping[str, np.ndarray], part: str) -> AnyCloud:
    return kind(*(arrays[f"{part}_{f.name}"] for f in fields(Cloud)))


QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


PARTED = ("shapes", "edges", "insight")  # clouds
WIDTHS = {  # of how many numbers each is; of the network's any
    "shapes": (SIDE**2,),
    "edges": (PARTS**2 * DIRECTIONS + COARSE**2, PARTS**2 * DIRECTIONS),  # of old without the thumbnail
}


def _check(arrays: Mapping[str, np.ndarray]) -> None:
    wanted = _shapes(arrays)
    if set(arrays) != set(wanted):
        raise ValueError(f"the gate's arrays are {', '.join(sorted(arrays))}, not {', '.join(sorted(wanted))}")
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise ValueError(f"the gate's {name} has the shape {arrays[name].shape} instead of {shape}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"the gate's {name} holds values that are not finite")
    above = ("size", "reach", *(f"{part}_{name}" for part in PARTED for name in ("spread", "beside")))
    if wrong := [name for name in above if name in wanted and (arrays[name] <= 0).any()]:
        raise ValueError(f"the gate's {wrong[0]} must be above 0")


def _shapes(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Return the shapes that a gate's arrays must have; parts that models of old lack may be left out whole."""
    there = [part for part in PARTED if part == "shapes" or any(name.startswith(f"{part}_") for name in arrays)]
    lacking = 0 if "edges" in there else 1
    wanted: dict[str, tuple[int, ...]] = {
        "size": (),
        "centre": (len(MEASURES) - lacking,),
        "reach": (len(LIMITS) - lacking,),
        "held_out": (len(arrays.get("held_out", ())),),
        "limit": (),
        "usual": (),
        "quantiles": (len(STATISTICS), len(QUANTILES)),
    }
    described = len(arrays.get("sampled", ()))
    if "sample" in arrays or "sampled" in arrays:
        wanted |= {"sample": (described, len(DESCRIBED)), "sampled": (described,)}
    for part in there:
        wanted |= _of_cloud(arrays, part)
    if "insight" in there:
        wanted |= {"insight_held_out": (np.size(arrays.get("insight_held_out", ())),), "insight_limit": ()}
    return wanted


def _of_cloud(arrays: Mapping[str, np.ndarray], part: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes that the arrays of a ``Cloud`` must have; what is learnt from a network has its width."""
    given = np.size(arrays.get(f"{part}_mean", ()))
    widths = WIDTHS.get(part, (given,))
    width = given if given in widths else widths[0]
    axes = len(arrays.get(f"{part}_spread", ()))
    shapes = {"mean": (width,), "axes": (axes, width), "spread": (axes,), "beside": (width,)}
    return {f"{part}_{name}": shape for name, shape in shapes.items()}


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
    small, own, drawn = _describe(pixels, films[chosen])
    folds = _folds(groups[chosen], rng)
    shapes, framed = np.empty((len(chosen), 1 + len(UNDO))), np.empty((len(chosen), 1))
    for fold in np.unique(folds):
        out, rest = folds == fold, folds != fold
        shapes[out] = Shapes.fit(small[rest]).measures(small[out])
        framed[out, 0] = Leading.fit(drawn[rest], MOST_EDGES).distance(drawn[out])
    measures = np.concatenate([shapes, own, framed], 1)
    centre = np.median(measures, 0)
    reach = _reach(measures, centre)
    held_out = np.sort(_excess(measures, centre, reach).max(1))
    rank = conformal_rank(len(held_out), ALARM)
    limit = held_out[rank - 1] if rank <= len(held_out) else WIDER * held_out[-1]
    usual = np.quantile(measures[:, 0], USUAL)
    quantiles = np.quantile(own, QUANTILES, axis=0).T
    whole = Shapes.fit(small)
    kept = np.sort(rng.permutation(len(chosen))[:KEPT])
    sample = np.concatenate([shapes[:, :1], own, whole.components(small)], 1)[kept].astype(np.float32)
    sampled = np.zeros(len(kept), np.int64) if classes is None else np.asarray(classes, np.int64)[chosen][kept]
    size = pixels.data.shape[1]
    limits = (held_out, np.asarray(limit), np.asarray(usual), quantiles)
    return Gate(whole, size, centre, reach, *limits, sample, sampled, Leading.fit(drawn, MOST_EDGES))


def _folds(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    names, which = np.unique(groups, return_inverse=True)
    return np.asarray((rng.permutation(len(names)) % FOLDS)[which])


def _describe(pixels: Rows, films: np.ndarray) -> tuple[np.ndarray, Floats, np.ndarray]:
    """Return thumbnails, statistics and outlines of some of ``pixels``."""
    parts = []
    for first in range(0, len(films), BLOCK):
        block = pixels[films[first : first + BLOCK]]
        small, fine = thumbnails(block), detail(block)
        parts.append((small, statistics(block, small, fine), outlines(fine, small)))
    small, own, drawn = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return small, own, drawn


def _reach(measures: Floats, centre: Floats) -> Floats:
    """Return (len(LIMITS),) how far the films go from the centre towards each limit, with the limit's tolerance."""
    beyond = _SIGN * (measures - centre)[:, _COLUMN]
    tolerance = np.array([limit.tolerance for limit in LIMITS])
    beyond_reach = [ALARM * (OF_EDGES if limit.measure == EDGES else OF_OTHERS) for limit in LIMITS]
    far = [np.quantile(column, 1 - share) for column, share in zip(beyond.T, beyond_reach, strict=True)]
    return np.asarray(np.clip(far, 0, None) + tolerance)


def _excess(measures: Floats, centre: Floats, reach: Floats) -> Floats:
    """Return (B, len(reach)): 1 where a film goes as far towards a limit as the training films do."""
    limits = len(reach)
    return np.asarray(_SIGN[:limits] * (measures - centre)[:, _COLUMN[:limits]] / reach)
