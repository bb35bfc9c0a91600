"""The anatomy of synthetic films: the shadows of soft tissue, air, bones, vessels and organs on a plate."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy.ndimage import gaussian_filter1d

from plainfilm.data.demo_plate import Array, Plate, Tubes, line, ramp

# Half-widths of the shadow between the lungs at fractions of the lungs' height, to the patient's right and left.
_RIGHT = np.array([(-0.3, 0.3), (-0.05, 0.29), (0.08, 0.22), (0.2, 0.18), (0.4, 0.18), (0.55, 0.22), (0.68, 0.29),
                   (0.82, 0.33), (0.95, 0.3), (1.1, 0.22)]).T  # fmt: skip
_LEFT = np.array([(-0.3, 0.3), (-0.05, 0.29), (0.08, 0.22), (0.18, 0.18), (0.34, 0.2), (0.44, 0.26), (0.52, 0.29),
                  (0.65, 0.38), (0.78, 0.48), (0.9, 0.57), (0.98, 0.58), (1.06, 0.52), (1.15, 0.3)]).T  # fmt: skip


def _cage(plate: Plate, y: Array) -> Array:
    """Half-width of the rib cage at heights ``y``."""
    t = y / (plate.lungs * 1.02)
    return (1 - np.clip(1 - t, 0, 1) ** 2.4) ** plate.body.bell * (1 + 0.02 * np.clip(t - 1, 0, 1))


def _mediastinum(plate: Plate) -> Array:
    """Depth (0-1) of heart and great vessels, full depth in the middle."""
    t = plate.y[:, 0] / plate.lungs
    wide = 1 + (plate.body.heart * (1.2 - 0.2 * plate.pose.breath) - 1) * ramp(t - 0.45, 0.2)
    aorta = plate.body.knob * np.exp(-(((t - 0.25) / 0.075) ** 2))
    right = gaussian_filter1d(np.interp(t, *_RIGHT) * wide - plate.pose.turn * 0.3, 0.03 * plate.scale)
    left = gaussian_filter1d(np.interp(t, *_LEFT) * wide + plate.pose.turn * 0.3, 0.03 * plate.scale) + aorta
    centre, half = (left - right)[:, None] / 2, (left + right)[:, None] / 2
    inside: Array = half.astype(np.float32) - np.abs(plate.x - centre.astype(np.float32))
    thin = np.clip(1 - inside * 3.6, 0, 1)
    return ramp(inside, 0.014) * (1 - 0.5 * thin * thin)


def above_diaphragm(plate: Plate) -> Array:
    """Height of each pixel above the dome of its side."""
    bend = (np.abs(plate.x) - 0.42) / 0.58
    curve = plate.body.angle * np.where(bend > 0, np.abs(bend) ** 2.3, 0.3 * bend**2)
    dome = plate.lungs + plate.body.dome * ramp(plate.x, 0.1) + curve
    return dome.astype(np.float32) - plate.y


def air(plate: Plate, above: Array) -> Array:
    """Depth (0-1) of air in healthy lungs; a little of it reaches down behind the diaphragm."""
    cage = np.maximum(_cage(plate, plate.y) - 0.02, 0.01)
    across = np.minimum(np.abs(plate.x) / cage, 1) ** 2
    chord = 1 - across * across * across
    apex = 0.75 + 0.25 * np.clip(plate.y / (0.35 * plate.lungs), 0, 1)
    depth = ramp(above, 0.01) * 0.93 + np.clip(above + 0.6, 0, 0.6) * 0.116
    air: Array = chord * apex * depth * (1 - _mediastinum(plate))
    return air


def soft_tissue(plate: Plate) -> Array:
    """Depth of trunk, neck and arms as if they held no air."""
    t, x = plate.y / plate.lungs, np.abs(plate.x)
    flank = _cage(plate, np.maximum(plate.y, 0.4)) + plate.body.wall * (1 + 0.25 * np.clip(t - 0.8, 0, 2))
    half = gaussian_filter1d(np.where(t < 0.42, 1 + plate.body.wall, flank), 0.08 * plate.scale, axis=0)
    deep = 0.65 + 0.4 * ramp(t - 0.2, 0.45) + plate.body.belly * ramp(t - 1, 0.3)
    trunk = np.sqrt(np.clip(1 - (plate.x / half.astype(np.float32)) ** 2, 0, 1)) * deep
    shoulders = 0.42 * np.clip((x - 0.33) / 0.8, 0, 2) ** 1.3 - 0.42
    neck = np.sqrt(np.clip(1 - (x / 0.36) ** 2, 0, 1)) * (0.75 * ramp(-0.2 - plate.y, 0.2))
    body: Array = np.maximum(trunk * ramp(plate.y - shoulders, 0.06), neck)
    return np.maximum(body, _arms(plate))


def _joint(plate: Plate) -> tuple[float, float]:
    """Where the shoulder joints are."""
    return 1.02 + plate.body.wall / 2, 0.12


def _arms(plate: Plate) -> Array:
    joint = _joint(plate)
    x, y = np.abs(plate.x) - joint[0], plate.y - joint[1]
    angle = plate.body.arm + plate.pose.arms * np.sign(plate.x)
    c, s = np.sin(angle), np.cos(angle)
    along = np.clip(x * c + y * s, 0, 1.3)
    off = (x - along * c) ** 2 + (y - along * s) ** 2
    return np.sqrt(np.clip((0.19 + plate.body.wall / 2) ** 2 - off, 0, None)) * 1.1


def ribs(plate: Plate) -> Tubes:
    """Twelve pairs of hoops that fall from the spine to the side and on to the front."""
    k = np.arange(12)[:, None]
    theta = np.linspace(0, np.pi, 190) * np.interp(k, (0, 1, 8, 9, 10, 11), (0.72, 0.76, 0.72, 0.62, 0.5, 0.4))
    top, grow = plate.lungs * (0.02 + k / 9), np.interp(k, (0, 3, 8, 11), (0.35, 0.8, 1.15, 1.7))
    back, front = plate.body.back * grow, plate.body.front * grow
    half = _cage(plate, top + back * 0.9 + 0.015)
    x, depth = 0.05 + (half - 0.065) * np.sin(theta), 0.65 * half * np.cos(theta)
    y = top + np.where(theta < np.pi / 2, back, front) * -np.cos(theta) + back
    y = y - 0.05 * grow * np.sin(np.clip(2 * theta, 0, np.pi))  # they rise a little before they fall
    flat = np.hypot(np.gradient(x, axis=1), np.gradient(y, axis=1))
    oblique = np.sqrt(np.clip(np.hypot(flat, np.gradient(depth, axis=1)) / flat, 1, 2.5))
    ends = ramp(theta[:, -1:] - theta, 0.15) * (0.55 + 0.45 * ramp(theta - 0.35, 0.3))
    weight = plate.body.bone * 0.5 * oblique * ends * np.where(theta < np.pi / 2, 1, 0.75)
    radius = np.interp(theta, (0, 0.4, 1.5, 2.2), (0.85, 1, 1, 1.15))
    radius *= np.interp(k, (0, 2, 9, 11), (0.027, 0.034, 0.034, 0.024))
    turned = [sign * x + plate.pose.turn * depth for sign in (-1, 1)]
    return Tubes(np.vstack(turned), np.vstack([y, y]), np.vstack([radius] * 2), np.vstack([weight] * 2), 0.75)


def shoulder_girdle(plate: Plate) -> list[Tubes]:
    """Clavicles, shoulder blades and humeri."""
    (x, y), bone, turn = _joint(plate), plate.body.bone, plate.pose.turn * 0.3
    tubes = []
    for side in (-1, 1):
        angle = plate.body.arm + side * plate.pose.arms
        c, s, lift = np.sin(angle), np.cos(angle), 0.12 * np.sin(angle - 1)
        clavicle = [(0.11, 0.2), (0.25, 0.19), (0.4, 0.12), (0.55, 0.03 - lift), (0.75, -lift), (x, y - 0.12 - lift)]
        blade = [(x - 0.02, y - 0.04), (x - 0.12, y + 0.25), (x - 0.16, y + 0.7)]
        humerus = [(x + 0.07 + c * d, y + s * d) for d in np.linspace(0, 1.2, 6)]
        bones = [
            (clavicle, [0.01, 0.055, 0.042, 0.034, 0.033, 0.036, 0.042, 0.045, 0.01], 0.7),
            (blade, [0.02, 0.1, 0.16, 0.16, 0.13, 0.08, 0.04, 0.01], 0.4),
            (humerus, [0.01, 0.1, 0.1, 0.075] + [0.06] * 12, 0.6),
        ]
        for points, radii, weight in bones:
            tubes.append(line([(side * px - turn, py) for px, py in points], radii, weight * bone, 0.85))
    return tubes


def airways(plate: Plate) -> list[Tubes]:
    """Trachea and main bronchi, with the weight of missing tissue."""
    fork, turn = 0.36 * plate.lungs, -0.1 * plate.pose.turn
    trachea = [(turn, -0.9), (turn, -0.4), (turn, 0.1), (turn - 0.015, fork - 0.1), (turn, fork + 0.03)]
    right = [(turn, fork - 0.03), (turn - 0.07, fork + 0.09), (turn - 0.14, fork + 0.19)]
    left = [(turn, fork - 0.03), (turn + 0.1, fork + 0.08), (turn + 0.2, fork + 0.15)]
    radii = [0.045, 0.038, 0.03]
    return [line(trachea, [0.06, 0.055, 0.05], -0.4), line(right, radii, -0.2), line(left, radii, -0.2)]


def spine(plate: Plate) -> tuple[tuple[slice, slice], Array]:
    """Vertebral bodies with discs, pedicles and spinous processes: where, and how dense."""
    box = plate.box(-0.3, 0.3, -9, 9)
    t = plate.y / plate.lungs
    x = np.abs(plate.x[:, box[1]] - plate.pose.turn * 0.5 - plate.body.curve * np.sin(np.pi * t).astype(np.float32))
    half = np.clip(0.088 + 0.03 * t, 0.08, 0.15)
    level = (t * 9 - 0.25) % 1
    off = np.abs(level - 0.5)
    bodies, plates = ramp(0.38 - off, 0.07), np.exp(-(((off - 0.36) / 0.05) ** 2))
    column = ramp(half - x, 0.02) * (0.12 + 0.14 * bodies + 0.08 * plates)
    rims = 0.1 * np.exp(-(((x - half + 0.012) / 0.014) ** 2)) * bodies
    pedicles = 0.1 * np.exp(-(((x - half * 0.62) / 0.02) ** 2)) * np.exp(-(((level - 0.35) / 0.12) ** 2))
    processes = 0.1 * np.exp(-((x / 0.018) ** 2)) * np.exp(-(((level - 0.75) / 0.16) ** 2))
    return box, (column + rims + pedicles + processes) * plate.body.bone


def vessels(plate: Plate, rng: Generator) -> list[Tubes]:
    """Vessels that fork four times on their way out from the hila."""
    side = np.repeat([-1.0, 1.0], 9)
    angle = np.tile(np.linspace(-1.35, 1.4, 9), 2) + rng.normal(0, 0.15, 18)  # from outwards, downwards positive
    x, y = side * rng.uniform(0.17, 0.2, 18), np.where(side < 0, 0.47, 0.43) * plate.lungs + 0.08 * np.sin(angle)
    radius = 0.03 * (1 + 0.25 * np.sin(angle)) * rng.uniform(0.6, 1.2, 18)  # wider below, as in a standing patient
    length = rng.uniform(0.11, 0.21, 18) * plate.lungs / 1.3
    layers = []
    for count in (20, 17, 15, 13, 11):
        t = np.linspace(0, 1, count)
        bend, wave = rng.normal(0, 0.35, x.size), rng.normal(0, 0.2, x.size)
        heading = angle[:, None] + bend[:, None] * t + wave[:, None] * np.sin(2 * np.pi * t)
        px = x[:, None] + np.cumsum(np.cos(heading), 1) * (side * length / count)[:, None]
        py = y[:, None] + np.cumsum(np.sin(heading), 1) * (length / count)[:, None]
        r = radius[:, None] * (1 - 0.25 * t)
        layers.append(Tubes(px, py, r, r * 7.5 * plate.body.vessels))
        fork = rng.uniform(0.1, 0.6, x.size)
        x, y, side = np.repeat(px[:, -1], 2), np.repeat(py[:, -1], 2), np.repeat(side, 2)
        angle = np.repeat(angle + bend, 2) + np.stack([fork, -fork], 1).ravel() + rng.normal(0, 0.1, x.size)
        radius = np.repeat(radius, 2) * rng.uniform(0.55, 0.9, x.size)
        length = np.repeat(length, 2) * rng.uniform(0.6, 1.15, x.size)
    return layers


def breasts(plate: Plate) -> Array:
    """Soft above, a clear edge below."""
    x, y = (np.abs(plate.x) - 0.6) / 0.5, (plate.y - 0.75 * plate.lungs) / 0.38
    y2 = np.where(y > 0, y**2, (y * 0.6) ** 2)
    return np.sqrt(np.clip(1 - x**2 - y2, 0, 1)) * (plate.body.breasts * ramp(y + 0.6, 0.6))


def stomach(plate: Plate, rng: Generator) -> tuple[tuple[slice, slice], Array]:
    """The air bubble under the left dome: where, and what is missing there."""
    wide, high = 0.12 + 0.16 * plate.body.gas, 0.06 + 0.1 * plate.body.gas
    cx, cy = 0.42, plate.lungs + plate.body.dome + 0.05 + high
    box = plate.box(cx - 1.3 * wide, cx + 1.3 * wide, cy - 1.3 * high, cy + 1.3 * high)
    x, y = (plate.x[:, box[1]] - cx) / wide, (plate.y[box[0]] - cy) / high
    bumps = sum(rng.uniform(-0.12, 0.12) * np.cos(n * np.arctan2(y, x) + rng.uniform(0, 6.3)) for n in (2, 3, 5))
    return box, -0.5 * np.sqrt(np.clip(1 + bumps - x**2 - y**2, 0, 1))
