"""What speaks for and against heat maps: do they depend on the weights, do they point at what the model uses, and
how much of them lies where no disease of the lungs can be.

A map is a picture of a model, drawn by a method that can fail. Each figure here is the mean over films, with an
interval over resampled patients, beside the same figure for a map that knows nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata
from torch import nn

from plainfilm.evaluation.intervals import Floats, mean_interval, ratio
from plainfilm.explain.heatmaps import Map, heat_map, on_film, on_input
from plainfilm.export.foreign import ForeignModel
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.averaging import Ensemble
from plainfilm.models.model import Model
from plainfilm.models.reads import BATCH, Reads, batches

STEPS = 10  # of a deletion or insertion curve
REDRAWS = 3  # randomised networks whose maps are compared with the trained one's
TELLING = 0.1  # how far the class's probability must fall from the whole film to the painted or blurred one
BLUR = 8  # a blurred film's standard deviation is its side over this: lungs and heart are one grey then
THORAX = (0.5, 0.5, 0.46, 0.47)  # centre x, centre y, half width, half height, in shares of the film
ROUNDNESS = 4  # exponent of the superellipse: a box with round corners
GRID = 64  # a film is looked at on a grid of so many cells each way
SAME = 0.5  # a rank correlation from here on says that the map hardly depends on the weights


@dataclass(frozen=True)
class FilmChecks:
    """One film's figures; NaN where nothing can be measured: a map of 0, a curve that can't tell."""

    randomised_all: float  # Spearman's correlation with the maps of networks with shuffled weights
    randomised_head: float  # the same, only the last layer shuffled
    deletion: float  # area under the curve of the class's probability, 0..1; lower is better
    deletion_shuffled: float
    insertion: float  # higher is better
    insertion_shuffled: float
    blank: float  # 1 when the film painted over with its mean grey is still given the class, else 0


def outside_thorax(heat: Map, preprocess: Preprocess, width: int, height: int) -> tuple[float, float]:
    """Return the share (0..1) of a map's mass outside the thorax, and the share an even map would have there.

    The thorax is taken to be a box with round corners in the middle of the film: 92 % of its width, 94 % of its
    height. It knows nothing of the patient: what it calls outside are corners and edges, where markers, arms and
    collimators are; what it calls inside still holds neck, arms and belly on many films. So the share is a lower bound
    of evidence that can't be disease. NaN for a map that is 0 throughout.
    """
    shape = (GRID, GRID)
    outside = ~thorax(*shape)
    mass = on_film(heat, preprocess, width, height, shape)
    looked_at = on_film(np.ones_like(heat), preprocess, width, height, shape)
    share, even = (ratio(m[outside].sum(dtype=np.float64), m.sum(dtype=np.float64)) for m in (mass, looked_at))
    return float(share), float(even)


def thorax(width: int, height: int) -> NDArray[np.bool_]:
    """Return the (height, width) mask of what ``outside_thorax`` takes for the thorax."""
    x, y, half_width, half_height = THORAX
    across = np.abs((np.arange(width) + 0.5) / width - x) / half_width
    down = np.abs((np.arange(height) + 0.5) / height - y) / half_height
    return np.asarray(across[None] ** ROUNDNESS + down[:, None] ** ROUNDNESS <= 1)


def check_films(
    model: Reads,
    pixels: np.ndarray,
    targets: np.ndarray,
    method: str,
    rng: np.random.Generator,
    step: Callable[[], None],
) -> list[FilmChecks]:
    """Return the figures of the maps of (N, S, S) uint8 films for the classes ``targets`` (N,).

    ``method`` as in heat_map; ``rng`` shuffles weights and maps; ``step`` is called N times, once a film.
    """
    maps = heat_map(model, pixels, targets, method)
    randomised = [randomisation(model, pixels, targets, maps, method, share, rng) for share in (1.0, 0.0)]
    found = []
    for number, (film, heat, target) in enumerate(zip(pixels, maps, targets, strict=True)):
        curves = deletion_insertion(model, film, heat, int(target), rng)
        found.append(FilmChecks(float(randomised[0][number]), float(randomised[1][number]), *curves))
        step()
    return found


def randomisation(  # noqa: PLR0913 - what the maps depend on
    model: Reads,
    pixels: np.ndarray,
    targets: np.ndarray,
    maps: Map,
    method: str,
    share: float,
    rng: np.random.Generator,
) -> Floats:
    """Return (N,) Spearman correlations of ``maps`` with those of networks whose weights were shuffled.

    The last ``share`` of the layers that have weights is shuffled, at least the last one; the mean of REDRAWS
    networks is returned. A map that survives shows the film's edges, not what was learned (Adebayo et al. 2018,
    arXiv:1810.03292, who draw new weights; shuffling within a layer draws them from the trained ones, so that signals
    keep their size). 0 where the shuffled network's map is even, NaN where the trained one's is.
    """
    correlations = []
    for _ in range(REDRAWS):
        again = heat_map(_with_shuffled_weights(model, share, rng), pixels, targets, method)
        correlations.append([spearman(a, b) for a, b in zip(maps, again, strict=True)])
    return np.asarray(np.mean(correlations, 0))


def _with_shuffled_weights(model: Reads, share: float, rng: np.random.Generator) -> Reads:
    if isinstance(model, Model):
        return replace(model, network=shuffled(model.network, share, rng))
    assert isinstance(model, ForeignModel)  # of the others none is explained
    return model.shuffled(share, rng)


def shuffled(network: nn.Module, share: float, rng: np.random.Generator) -> nn.Module:
    """Return a copy with every array's values shuffled in the last ``share`` of layers with weights, at least one; of
    an ensemble in each of its members."""
    other = copy.deepcopy(network)
    for alone in other.networks if isinstance(other, Ensemble) else [other]:
        layers = [m for m in alone.modules() if next(m.parameters(recurse=False), None) is not None]
        count = max(1, round(share * len(layers)))
        with torch.no_grad():
            for layer in layers[-count:]:
                for values in layer.parameters(recurse=False):
                    order = torch.from_numpy(rng.permutation(values.numel())).to(values.device)
                    values.copy_(values.flatten()[order].view_as(values))
    return other


def spearman(a: Map, b: Map) -> float:
    """Return Spearman's rank correlation of two maps of one shape; NaN when ``a`` is even, 0 when only ``b`` is."""
    x, y = (rankdata(m.ravel()) - (m.size + 1) / 2 for m in (a, b))
    if not x.any():
        return float("nan")
    return float(x @ y / np.sqrt((x @ x) * (y @ y))) if y.any() else 0.0


def deletion_insertion(
    model: Reads, film: np.ndarray, heat: Map, target: int, rng: np.random.Generator
) -> tuple[float, float, float, float, float]:
    """Return areas under the deletion curve of the map and of the shuffled map, under their insertion curves, and
    whether (1 or 0) the model still decides for the class when all of the film is painted over.

    Deletion paints the film (S, S) with its mean grey, the strongest evidence first; insertion brings the film back
    into its blurred self in the same order; the curve is the class's probability over the share of the film (Petsiuk,
    Das & Saenko 2018, arXiv:1806.07421). The control is the same map with its cells in random order: patches of the
    same size and smoothness, at places that mean nothing. NaN for a map that is 0 throughout, and for a curve whose
    ends are less than TELLING apart: where a blank film has the class as well, no order of painting can show anything.
    """
    if not heat.any():
        return (float("nan"),) * 5
    control = rng.permutation(heat.ravel()).reshape(heat.shape)
    ranks = [_order(m) for m in on_input(np.stack([heat, control]), len(film))]
    empty = np.full(film.shape, film.mean())
    blurred = gaussian_filter(film.astype(np.float64), len(film) / BLUR, mode="nearest")
    shares = np.linspace(0, 1, STEPS + 1)
    series = [np.where(r < share, empty, film) for r in ranks for share in shares]
    series += [np.where(r < share, film, blurred) for r in ranks for share in shares]
    rows = np.stack(series).round().astype(np.uint8)
    p = np.concatenate([model.probabilities(np.stack(b)) for b in batches(rows, BATCH)])
    curves = p[:, target].reshape(4, STEPS + 1)
    blank = model.decision.gives(p[STEPS], target)
    telling = (curves[:, 0] - curves[:, -1]) * (1, 1, -1, -1) >= TELLING
    areas = np.where(telling, np.trapezoid(curves, shares, axis=1), np.nan)
    return float(areas[0]), float(areas[1]), float(areas[2]), float(areas[3]), float(blank)


def _order(heat: Map) -> Floats:
    """Return each pixel's place (S, S) in the order of falling evidence, as a share 0..1 of all."""
    places = np.empty(heat.size)
    places[np.argsort(-heat.ravel(), kind="stable")] = np.arange(heat.size) / heat.size
    return places.reshape(heat.shape)


def summary(
    checks: Sequence[FilmChecks], outside: Sequence[tuple[float, float]], patients: Sequence[str]
) -> dict[str, Any]:
    """Return the means over films with 95 % intervals over patients, the films behind each, and what they say.

    checks: of the first len(checks) films; outside: (share, even share) of every film; patients: of every film.
    ``red_lines`` lists what makes the maps untrustworthy, ``findings`` what they withstood, ``notes`` what too few
    patients can't show either way.
    """
    groups = np.array(patients)

    def mean(values: Sequence[float]) -> dict[str, float]:
        return _mean(np.array(values, np.float64), groups[: len(values)])

    found = {
        "randomised_all": mean([c.randomised_all for c in checks]),
        "randomised_head": mean([c.randomised_head for c in checks]),
        "deletion": mean([c.deletion for c in checks]),
        "deletion_shuffled": mean([c.deletion_shuffled for c in checks]),
        "deletion_gain": mean([c.deletion_shuffled - c.deletion for c in checks]),
        "insertion": mean([c.insertion for c in checks]),
        "insertion_shuffled": mean([c.insertion_shuffled for c in checks]),
        "insertion_gain": mean([c.insertion - c.insertion_shuffled for c in checks]),
        "blank": mean([c.blank for c in checks]),
        "outside_thorax": mean([share for share, _ in outside]),
        "outside_thorax_even": mean([even for _, even in outside]),
        "outside_thorax_excess": mean([share - even for share, even in outside]),
    }
    red, good, notes = _verdict(found)
    return {"checks": found, "red_lines": red, "findings": good, "notes": notes}


def _mean(values: Floats, groups: NDArray[np.str_]) -> dict[str, float]:
    there = ~np.isnan(values)
    return {**mean_interval(values[there], groups[there]).as_dict(), "films": int(there.sum())}


def _verdict(found: dict[str, dict[str, float]]) -> tuple[list[str], list[str], list[str]]:
    """Return red lines, what held, and what can't be told; nothing is said of a check without films.

    What is claimed holds over the whole interval: a side is below 0 where that is bad, above where it is good, and 0
    where a limit lies within it.
    """
    red: list[str] = []
    good: list[str] = []
    notes: list[str] = []

    def judge(name: str, side: int, unknown: str, said: str, held: str) -> None:
        films = int(found[name]["films"])
        if films and (np.isnan(found[name]["low"]) or not side):
            notes.append(f"Not shown with {films} film{'s' * (films != 1)}: {unknown} ({_shown(found[name])}).")
        elif films:
            (red if side < 0 else good).append(f"{said if side < 0 else held} ({_shown(found[name])}).")

    same = found["randomised_all"]
    judge(
        "randomised_all",
        -1 if same["low"] >= SAME else int(same["high"] < SAME),
        f"whether the map depends on the weights; rank correlation with the map of shuffled weights, {SAME:g} and above"
        " being alike",
        "The map does not depend on the weights: it stays alike when all of them are shuffled; rank correlation",
        "Shuffling the weights destroys the map; rank correlation with the shuffled network's",
    )
    for name, doing in (("deletion", "Painting over"), ("insertion", "Bringing back")):
        judge(
            f"{name}_gain",
            1 if found[f"{name}_gain"]["low"] > 0 else -1,
            f"whether {doing.lower()} what the map marks moves the model more than the same at random places; gain in"
            " area",
            f"{doing} what the map marks is not shown to do more than the same at random places; gain in area",
            f"{doing} what the map marks moves the model more than the same at random places; gain in area",
        )
    if found["blank"]["value"] > 0:
        red.append(
            f"{100 * found['blank']['value']:.0f} % of {found['blank']['films']} films keep their class when all of the"
            " film is painted one grey: the model takes the absence of detail for that class, and on them no deletion"
            " can tell."
        )
    judge(
        "outside_thorax_excess",
        -1 if found["outside_thorax_excess"]["low"] > 0 else 1,
        "whether more of the map lies at the film's edges and corners than of an even map; excess share",
        "More of the map lies at the film's edges and corners than of an even map: evidence that can't be disease;"
        " excess share",
        "The map is not shown to prefer the film's edges and corners; share beyond an even map's",
    )
    return red, good, notes


def _shown(score: dict[str, float]) -> str:
    if np.isnan(score["low"]):
        return f"{score['value']:.2f}, too few patients for an interval"
    return f"{score['value']:.2f}, 95 % interval {score['low']:.2f} to {score['high']:.2f}, {score['films']} films"
