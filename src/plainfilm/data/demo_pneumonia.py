"""Pneumonia on synthetic films: lobar, patchy or interstitial, the share of air that it has taken."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from plainfilm.data.demo_plate import Array, Plate, Tubes, cast, cloud, ramp

# Where a lobe shows from the front: centre and radii (x in units, y in heights of the lungs), and the straight
# fissure that bounds it, if the rays graze one: its height and the side on which the lobe lies (1 is below).
_LOBES = (
    ((-0.52, 0.26), (0.45, 0.3), (0.46, -1)),  # right upper
    ((-0.4, 0.68), (0.36, 0.26), (0.5, 1)),  # middle
    ((-0.55, 0.84), (0.45, 0.3), None),  # right lower
    ((0.5, 0.3), (0.4, 0.32), None),  # left upper
    ((0.55, 0.66), (0.34, 0.22), None),  # lingula
    ((0.55, 0.86), (0.42, 0.3), None),  # left lower
)


def opacity(plate: Plate, number: int, rng: Generator) -> Array:
    """Return the share (0-1) of air that pneumonia has taken; it grows or clears from film to film, by ``number``."""
    kind = (_lobar, _patchy, _interstitial)[rng.choice(3, p=(0.45, 0.35, 0.2))]
    severity = 0.04 if rng.uniform() < 0.05 else 0.45 + 0.55 * rng.beta(1.6, 1.4)
    severity *= 1 + rng.uniform(-0.25, 0.25) * (number - 1)
    return np.clip(kind(plate, rng, severity), 0, 0.95)


def _lobar(plate: Plate, rng: Generator, severity: float) -> Array:
    """One lobe, or a part of it, evenly filled."""
    centre, radii, fissure = _LOBES[rng.choice(len(_LOBES), p=(0.15, 0.2, 0.27, 0.08, 0.1, 0.2))]
    extent = rng.uniform(0.8, 1.3)
    x = (plate.x - centre[0] - rng.normal(0, 0.05)) / (radii[0] * extent)
    y = (plate.y / plate.lungs - centre[1] - rng.normal(0, 0.03)) / (radii[1] * extent)
    away = x**2 + y**2 + 0.25 * cloud(plate, rng, 0.5)
    filled = np.exp(-away * np.abs(away)) * severity
    if fissure:
        line = fissure[0] + 0.06 * (np.abs(plate.x) - 0.5) + rng.normal(0, 0.015)
        filled *= ramp((plate.y / plate.lungs - line) * fissure[1], 0.012)
    return filled


def _patchy(plate: Plate, rng: Generator, severity: float) -> Array:
    """Several ill-defined patches, more of them low and near the hila; one lung or both."""
    count, side = int(rng.integers(5, 15)), rng.choice([-1.0, 0.0, 1.0], p=(0.2, 0.6, 0.2))
    sides = rng.choice([-1.0, 1.0], (1, count)) if side == 0 else side
    cx, cy = sides * (0.28 + np.abs(rng.normal(0, 0.25, (1, count)))), rng.normal(0.62, 0.2, (1, count)) * plate.lungs
    radius, dense = rng.uniform(0.1, 0.3, (1, count)), rng.uniform(0.6, 1.1, (1, count))
    across, down = np.exp(-(((plate.x.T - cx) / radius) ** 2)), np.exp(-(((plate.y - cy) / radius) ** 2)) * dense
    patches = down.astype(np.float32) @ across.T.astype(np.float32)
    return np.tanh(patches) * np.clip(0.65 + 0.35 * cloud(plate, rng, 0.2), 0, 1.3) * severity


def _interstitial(plate: Plate, rng: Generator, severity: float) -> Array:
    """Haze and many fine lines, densest around the hila."""
    count = 700
    side, out, turn = rng.choice([-1.0, 1.0], count), np.abs(rng.normal(0, 0.3, count)), rng.uniform(-1.6, 1.6, count)
    t = np.linspace(-0.5, 0.5, 9)
    heading = (turn + rng.normal(0, 0.9, count))[:, None] + rng.normal(0, 0.8, count)[:, None] * t
    length = rng.uniform(0.05, 0.16, count)[:, None] / t.size
    x = (side * (0.22 + out * np.cos(turn)))[:, None] + np.cumsum(np.cos(heading) * length, 1) * side[:, None]
    y = (plate.lungs * 0.5 + 1.2 * out * np.sin(turn))[:, None] + np.cumsum(np.sin(heading) * length, 1)
    lines = cast(plate, [Tubes(x, y, np.full_like(x, 0.011), np.full_like(x, 0.22))])
    fade = np.exp(-(((np.abs(plate.x) - 0.3) / 0.4) ** 2)) * np.exp(-(((plate.y / plate.lungs - 0.55) / 0.34) ** 2))
    return (0.55 * np.tanh(lines) + fade * (0.45 + 0.2 * cloud(plate, rng, 0.2))) * severity
