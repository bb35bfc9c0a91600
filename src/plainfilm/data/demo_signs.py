"""Further signs for synthetic films with several findings, and which film has which: see ``demo_films`` for the body.

A sign is a share of the air that is gone from each place of the lungs, or a shadow of its own. Lengths are in
half-widths of the rib cage, as there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[Any]

CARDIOMEGALY, CONSOLIDATION, DEVICE = "Cardiomegaly", "Consolidation", "Device"
EFFUSION, NODULE = "Effusion", "Nodule"
SHARES = {CARDIOMEGALY: 0.3, CONSOLIDATION: 0.35, DEVICE: 0.25, EFFUSION: 0.25, NODULE: 0.2}  # of patients
TOGETHER = 0.25  # by which an effusion is likelier where the heart is large
HIDDEN = 0.3  # share of cells that nobody filled in
HEART = 1.45  # times as wide where it is large


def drawn_signs(rng: Generator) -> tuple[str, ...]:
    """Return the signs of one patient, drawn by ``rng``."""
    found = {name: rng.uniform() < share for name, share in SHARES.items()}
    found[EFFUSION] |= found[CARDIOMEGALY] and rng.uniform() < TOGETHER
    return tuple(name for name, there in found.items() if there)


def effusion(x: Array, above: Array, rng: Generator) -> Array:
    """Return the share of air (0..1) that fluid above one dome has taken: a level that climbs towards the side.

    x: (1, columns) from the midline; above: (rows, columns) height above the dome.
    """
    side, level = rng.choice([-1.0, 1.0]), rng.uniform(0.12, 0.45)
    climb = level + 0.35 * np.clip(x * side, 0, 1) ** 3
    return np.asarray(np.clip((climb - above) / 0.06 + 0.5, 0, 1) * (x * side > 0) * 0.95)


def nodule(x: Array, y: Array, lungs: float, rng: Generator) -> Array:
    """Return the share of air (0..1) that one round lump has taken; ``lungs``: their height."""
    side, radius = rng.choice([-1.0, 1.0]), rng.uniform(0.06, 0.1)
    at = side * rng.uniform(0.35, 0.7), rng.uniform(0.2, 0.8) * lungs
    away = ((x - at[0]) ** 2 + (y - at[1]) ** 2) / radius**2
    return np.asarray(rng.uniform(0.45, 0.8) * np.sqrt(np.clip(1 - away, 0, 1)))


def device(x: Array, y: Array, lungs: float, rng: Generator) -> Array:
    """Return the shadow of a pacemaker: a box below one clavicle with its lead to the heart."""
    side, top = rng.choice([-1.0, 1.0], p=(0.2, 0.8)), rng.uniform(0.16, 0.26) * lungs
    centre = side * rng.uniform(0.6, 0.75)
    box = np.maximum(np.abs(x - centre) / 0.13, np.abs(y - top) / 0.1)
    along = np.clip((y - top) / (0.75 * lungs - top), 0, 1)
    lead = np.abs(x - (centre * (1 - along) ** 2 + side * 0.12 * along)) < 0.012
    return np.asarray(1.1 * np.clip((1 - box) / 0.1 + 0.5, 0, 1) + 0.9 * (lead & (along > 0) & (along < 1)))
