"""Heat maps from probabilities alone, for a model whose layers can't be looked into: what does hiding a place cost?

A square is painted with the film's mean grey at each place of a grid, and the model is asked again (Zeiler & Fergus
2014, doi 10.1007/978-3-319-10590-1_53). The map is what each square costs of the class's log-odds, cut off below 0.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from plainfilm.machine import ranks
from plainfilm.machine.threads import prefetched
from plainfilm.models.answer import alone, blas_alone
from plainfilm.models.reads import BATCH, Reads, batches

CELLS = 8  # of the map each way: about as fine as the last layer of a ResNet
COVERED = 4  # a square's side is the film's over this: neighbours overlap by half
LEAST = 1e-3  # log-odds that a square costs; what is less is rounding, which would be drawn as evidence
SURE = 1e-6  # a probability nearer to 0 or 1 than this is taken for this


def occlusion_maps(model: Reads, pixels: NDArray[np.uint8], targets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (B, CELLS, CELLS) float32 maps of (B, S, S) uint8 pixels for the classes ``targets`` (B,): the log-odds
    that each place costs, 0 where it is under LEAST. A film a core, in CELLS² + 1 passes."""
    cores = ranks.cores()
    films = zip(pixels, targets.tolist(), strict=True)
    with blas_alone():
        return np.stack(list(prefetched(partial(_costs, model=model), films, cores, cores, alone)))


def _costs(film: tuple[NDArray[np.uint8], int], model: Reads) -> NDArray[np.float32]:
    pixels, target = film
    versions = np.stack([pixels, *(_covered(pixels, row, column) for row in range(CELLS) for column in range(CELLS))])
    chances = np.concatenate([model.probabilities(np.stack(batch)) for batch in batches(versions, BATCH)])[:, target]
    odds = logit(chances.clip(SURE, 1 - SURE))
    costs = odds[0] - odds[1:]
    return np.where(costs < LEAST, 0, costs).reshape(CELLS, CELLS).astype(np.float32)


def _covered(pixels: NDArray[np.uint8], row: int, column: int) -> NDArray[np.uint8]:
    """Return the (S, S) film with the square around a cell's middle painted over; at an edge there is less of it."""
    side, reach = len(pixels), len(pixels) / COVERED / 2
    (top, bottom), (left, right) = (
        (max(0, round(middle - reach)), round(middle + reach))
        for middle in ((place + 0.5) * side / CELLS for place in (row, column))
    )
    covered = pixels.copy()
    covered[top:bottom, left:right] = round(float(pixels.mean()))
    return covered
