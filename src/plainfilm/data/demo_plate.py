"""What synthetic films are drawn on: the body and the pose that vary, and the plate that tubes cast shadows on.

Lengths are in half-widths of the rib cage; x grows to the right of the picture (the patient's left), y downwards from
the apex of the lungs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter1d

Array = NDArray[Any]
Drawn = TypeVar("Drawn")


def _between(low: float, high: float) -> Any:
    return field(metadata={"range": (low, high)})


def drawn(kind: type[Drawn], rng: Generator) -> Drawn:
    """Return a ``Body`` or ``Pose`` with each number drawn evenly from its range."""
    return kind(**{f.name: rng.uniform(*f.metadata["range"]) for f in fields(kind)})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Body:
    """What all films of a patient share."""

    short: float = _between(300, 421)  # side of the film, pixels
    aspect: float = _between(1.0, 1.45)  # width / height
    quality: float = _between(84, 94)  # of the JPEG
    fill: float = _between(0.64, 0.78)  # width of the cage / width of the film
    height: float = _between(1.12, 1.52)  # of the lungs, apex to right dome
    bell: float = _between(0.36, 0.5)  # shape of the cage: barrel to bell
    wall: float = _between(0.09, 0.22)  # soft tissue outside the ribs
    belly: float = _between(-0.22, 0.12)  # thicker than the chest
    heart: float = _between(0.85, 1.2)
    knob: float = _between(0.0, 0.07)  # of the aorta
    dome: float = _between(0.03, 0.12)  # how much lower the left diaphragm stands
    angle: float = _between(0.22, 0.36)  # depth of the costophrenic angles
    back: float = _between(0.2, 0.36)  # fall of the ribs, spine to side
    front: float = _between(0.12, 0.3)  # and on, side to front
    bone: float = _between(0.75, 1.15)
    vessels: float = _between(0.6, 1.3)
    breasts: float = _between(-0.3, 0.35)  # below 0: none to be seen
    arm: float = _between(0.15, 2.5)  # radians from hanging down
    gas: float = _between(0.0, 1.0)
    curve: float = _between(-0.035, 0.035)  # of the spine


@dataclass(frozen=True)
class Pose:
    """What changes from film to film of a patient."""

    zoom: float = _between(0.95, 1.05)
    tilt: float = _between(-0.05, 0.05)  # radians, in the plane of the film
    turn: float = _between(-0.13, 0.13)  # about the long axis of the body
    right: float = _between(-0.05, 0.05)
    down: float = _between(-0.05, 0.05)
    breath: float = _between(0.88, 1.06)
    lucency: float = _between(1.0, 1.45)  # of the lungs: harder rays, deeper breath
    arms: float = _between(-0.12, 0.12)
    level: float = _between(-0.05, 0.15)
    window: float = _between(2.1, 2.75)
    gamma: float = _between(0.85, 1.2)
    noise: float = _between(0.004, 0.013)
    scatter: float = _between(0.06, 0.2)


class Plate:
    """The grid that shadows are cast on, upright to the body: x (1, columns), y (rows, 1), ``scale`` pixels a unit."""

    def __init__(self, body: Body, pose: Pose) -> None:
        self.body, self.pose = body, pose
        self.size = round(body.short * body.aspect), int(body.short)
        self.lungs = body.height * pose.breath
        wide, high = self.size[0] / 2, self.size[1] / self.lungs
        self.film_scale = min(max(wide * body.fill, high * 0.6), wide * 0.8, high * 0.75) * pose.zoom
        self.scale = min(self.film_scale, 108.0)  # finer than that nobody would see
        size, swapped = np.array(self.size), np.array(self.size[::-1])
        half = (size * np.cos(pose.tilt) + swapped * abs(np.sin(pose.tilt))) / 2 * self.scale / self.film_scale
        columns, rows = (int(n) for n in np.ceil(half) + 2)
        x = np.arange(-columns, columns + 1, dtype=np.float32) / self.scale + pose.right
        y = np.arange(-rows, rows + 1, dtype=np.float32) / self.scale + self.lungs * 0.55 + pose.down
        self.x: Array = x[None, :]
        self.y: Array = y[:, None]
        self.shape = self.y.size, self.x.size

    def box(self, x0: float, x1: float, y0: float, y1: float) -> tuple[slice, slice]:
        """The rows and columns between these body coordinates."""
        rows, columns = np.searchsorted(self.y[:, 0], (y0, y1)), np.searchsorted(self.x[0], (x0, x1))
        return slice(*rows.tolist()), slice(*columns.tolist())

    def turned(self, shadow: Array) -> Array:
        """Return the pixels of the film (height, width) from those of the plate."""
        step = self.scale / self.film_scale
        c, s = np.cos(self.pose.tilt) * step, np.sin(self.pose.tilt) * step
        (width, height), (rows, columns) = self.size, self.shape
        at = (columns - c * width - s * height) / 2, (rows + s * width - c * height) / 2
        image = Image.fromarray(shadow).transform(
            self.size, Image.Transform.AFFINE, (c, s, at[0], -s, c, at[1]), Image.Resampling.BILINEAR
        )
        return np.asarray(image)


def ramp(distance: Array, softness: float) -> Array:
    """0 outside (negative distance), 1 inside, linear within ``softness`` of the border."""
    return np.clip(distance * (0.5 / softness) + 0.5, 0, 1)


@dataclass(frozen=True)
class Tubes:
    """Centre lines x, y, with radius and weight at each point, all (tubes, points); ``marrow`` 0 is a solid tube."""

    x: Array
    y: Array
    radius: Array
    weight: Array
    marrow: float = 0.0

    def points(self, scale: float) -> tuple[Array, Array, Array]:
        """Return x, y and mass of points that fill the tubes, a pixel apart across them."""
        across = max(2, int(np.ceil(2 * self.radius.max() * scale)))
        s = (np.arange(across) + 0.5) / across * 2 - 1
        chord = np.sqrt(1 - s**2) - self.marrow * np.sqrt(np.clip(0.7 - s**2, 0, None))
        dx, dy = np.gradient(self.x, axis=1), np.gradient(self.y, axis=1)
        step = np.hypot(dx, dy) + 1e-9
        bend = (dx * np.gradient(dy, axis=1) - dy * np.gradient(dx, axis=1)) / step**2
        r = self.radius[..., None] * s
        area = np.clip(step[..., None] - r * bend[..., None], 0, None) * self.radius[..., None] * 2 / across
        x, y = self.x[..., None] - (dy / step)[..., None] * r, self.y[..., None] + (dx / step)[..., None] * r
        mass = self.weight[..., None] * area * chord
        return x.ravel().astype(np.float32), y.ravel().astype(np.float32), mass.ravel().astype(np.float32)


def cast(plate: Plate, tubes: Sequence[Tubes]) -> Array:
    """Return the shadow of tubes: their points, shared among the four pixels around each."""
    x, y, mass = (np.concatenate(part) for part in zip(*(t.points(plate.scale) for t in tubes), strict=True))
    rows, columns = plate.shape
    x, y = (x - plate.x[0, 0]) * plate.scale, (y - plate.y[0, 0]) * plate.scale
    here = (x >= 0) & (x < columns - 1) & (y >= 0) & (y < rows - 1)
    x, y, mass = x[here], y[here], mass[here] * plate.scale**2
    column, row = x.astype(np.intp), y.astype(np.intp)
    fx, fy, at = x - column, y - row, row * columns + column
    right, left = mass * fx, mass * (1 - fx)
    spots = np.concatenate([at, at + 1, at + columns, at + columns + 1])
    shares = np.concatenate([left * (1 - fy), right * (1 - fy), left * fy, right * fy])
    return np.bincount(spots, shares, rows * columns).reshape(plate.shape).astype(np.float32)


def line(points: Sequence[tuple[float, float]], radii: Sequence[float], weight: float, marrow: float = 0.0) -> Tubes:
    """A smooth tube along ``points``."""
    x, y = np.array(points).T
    along = np.append(0, np.cumsum(np.hypot(np.diff(x), np.diff(y))))
    at = np.linspace(0, along[-1], int(along[-1] * 120))  # a point a pixel
    radius = np.interp(at, np.linspace(0, along[-1], len(radii)), radii)
    curves = np.stack([np.interp(at, along, x), np.interp(at, along, y), radius])[:, None]
    x, y, radius = gaussian_filter1d(curves, at.size * 0.07, mode="nearest")
    return Tubes(x, y, radius, np.full_like(x, weight), marrow)


def cloud(plate: Plate, rng: Generator, size: float) -> Array:
    """Return smooth noise on the plate, mean 0, sd 1, fixed to the body, in lumps of about ``size`` and finer."""
    cells = 128  # 32 a unit, from (-2, -1.2)
    frequency = np.hypot(np.fft.fftfreq(cells, 1 / 32)[:, None], np.fft.rfftfreq(cells, 1 / 32))
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((cells, cells))) / (1 + (frequency * size * 2) ** 2))
    image = Image.fromarray((noise / noise.std()).astype(np.float32))
    left, right, top, bottom = plate.x[0, 0], plate.x[0, -1], plate.y[0, 0], plate.y[-1, 0]
    box = (left + 2) * 32, (top + 1.2) * 32, (right + 2) * 32, (bottom + 1.2) * 32
    return np.asarray(image.resize(plate.shape[::-1], Image.Resampling.BICUBIC, box))
