"""Synthetic frontal chest films for the demo: drawn from a small model of the body, not from any patient.

A film adds up what the rays meet, as a real one does: soft tissue, less the air in lungs, airways and stomach, plus
bones and vessels as tubes; then scatter, quantum noise, a display window and JPEG. Lengths are in half-widths of the
rib cage; x grows to the right of the picture (the patient's left), y downwards from the apex of the lungs.
Pneumonia takes air out of the lungs, which by itself hides the border of heart or diaphragm beside it. Everything
else (size, exposure, pose, markers, JPEG) is drawn without looking at the label.

A set of several findings per film (``phantom_findings``) has the signs of ``demo_signs``, some of them not told. Sets
of 100 films and more with one class per film carry three planted faults that an audit must find; ``planted_faults``
names them:

- ``duplicate``: one film is there twice, byte for byte, under two patients of the same class;
- ``unreadable``: one JPEG is cut off in the middle;
- ``patient_in_two_classes``: one patient has a normal film and a later one with pneumonia.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from plainfilm.data import demo_signs
from plainfilm.data.films import UNKNOWN
from plainfilm.errors import InputError

Array = NDArray[Any]
Drawn = TypeVar("Drawn")

NORMAL, PNEUMONIA = "NORMAL", "PNEUMONIA"
NORMAL_SHARE = 0.4
FAULTS_FROM = 100  # films; a smaller set can't spare any
MARKER = "SYNTHETIC"
MOST = 1_000_000  # films of a set: each is known from the start


@dataclass(frozen=True)
class PhantomFilm:
    """One film of the set, not drawn yet; ``seed``, ``body``, ``number`` and ``label`` fix every pixel of it."""

    path: str
    label: str
    patient: str
    seed: int
    body: int
    number: int
    cut: bool = False
    signs: tuple[str, ...] = ()  # of a film with several findings, which has no label

    @property
    def cells(self) -> dict[str, int]:
        """What is told of each sign: 1, 0, or -2 where nobody filled it in, at random."""
        unknown = _rng(self, self.number, "hidden").uniform(size=len(demo_signs.SHARES)) < demo_signs.HIDDEN
        names = zip(demo_signs.SHARES, unknown, strict=True)
        return {name: UNKNOWN if hidden else int(name in self.signs) for name, hidden in names}


def phantom_set(count: int, seed: int = 0) -> list[PhantomFilm]:
    """Return ``count`` films sorted by path, 40 % of them normal, 1-4 films a patient; nothing is drawn.

    InputError when ``count`` is below 4 or above MOST. The same ``count`` and ``seed`` give the same set.
    """
    _require_count(count)
    rng = Generator(PCG64(SeedSequence(seed, spawn_key=(0,))))
    normal, faulty = round(NORMAL_SHARE * count), count >= FAULTS_FROM
    patients = [[NORMAL, PNEUMONIA]] if faulty else []
    patients += [[NORMAL] * size for size in _patients(normal - faulty, rng)]
    patients += [[PNEUMONIA] * size for size in _patients(count - normal - faulty, rng)]
    films = [
        _film(label, seed, int(body), number)
        for body, labels in zip(rng.permutation(len(patients)) + 1, patients, strict=True)
        for number, label in enumerate(labels, 1)
    ]
    return sorted(_with_faults(films, rng) if faulty else films, key=lambda film: film.path)


def phantom_findings(count: int, seed: int = 0) -> list[PhantomFilm]:
    """Return ``count`` films of ``demo_signs``' findings sorted by path, 1-4 films a patient, who keeps the signs.

    InputError as in ``phantom_set``.
    """
    _require_count(count)
    rng = Generator(PCG64(SeedSequence(seed, spawn_key=(2,))))
    films = []
    for body, size in enumerate(_patients(count, rng), 1):
        signs = demo_signs.drawn_signs(rng)
        films += [replace(_film("films", seed, body, n), label="", signs=signs) for n in range(1, size + 1)]
    return sorted(films, key=lambda film: film.path)


def _require_count(count: int) -> None:
    if count < 4:
        raise InputError(f"A demo set of {count} films is too small to train and test on; ask for 4 or more.")
    if count > MOST:
        raise InputError(f"A demo set of {count} films is too large; ask for {MOST:,} at most.")


def _patients(films: int, rng: Generator) -> list[int]:
    """Cut ``films`` films into two or more patients of 1-4."""
    sizes, left = [], films
    while left:
        sizes.append(min(int(rng.choice(4, p=(0.45, 0.3, 0.15, 0.1))) + 1, left, films // 2))
        left -= sizes[-1]
    return sizes


def _film(label: str, seed: int, body: int, number: int) -> PhantomFilm:
    patient = f"synthetic-p{body:04d}"
    return PhantomFilm(f"{label}/{patient}-{number}.jpeg", label, patient, seed, body, number)


def _with_faults(films: list[PhantomFilm], rng: Generator) -> list[PhantomFilm]:
    """Put one film in the place of another (same class, other patient) and cut a third."""
    of_patient = defaultdict(list)
    for film in films:
        of_patient[film.patient].append(film)
    singles = [group[0] for group in of_patient.values() if len(group) == 1]
    copy, cut, *others = (singles[i] for i in rng.permutation(len(singles)))
    original = next(film for film in others if film.label == copy.label)
    faulty = {copy: replace(copy, body=original.body, number=original.number), cut: replace(cut, cut=True)}
    return [faulty.get(film, film) for film in films]


def planted_faults(count: int, seed: int = 0) -> dict[str, list[str]]:
    """Return the sorted paths of the faults in ``phantom_set(count, seed)`` by kind; empty lists below 100 films."""
    films = phantom_set(count, seed)
    twins, labels = defaultdict(list), defaultdict(set)
    for film in films:
        twins[film.body, film.number, film.label].append(film.path)
        labels[film.patient].add(film.label)
    return {
        "duplicate": [path for paths in twins.values() if len(paths) > 1 for path in paths],
        "unreadable": [film.path for film in films if film.cut],
        "patient_in_two_classes": [film.path for film in films if len(labels[film.patient]) > 1],
    }


def draw(film: PhantomFilm) -> bytes:
    """Return the JPEG file of ``film`` (8-bit grey, shorter side 300-420 px), the same bytes each time."""
    body = _drawn(_Body, _rng(film, 0, "body"))
    if demo_signs.CARDIOMEGALY in film.signs:
        body = replace(body, heart=body.heart * demo_signs.HEART)
    plate = _Plate(body, _drawn(_Pose, _rng(film, film.number, "pose")))
    sick = np.zeros(plate.shape, np.float32)
    if film.label == PNEUMONIA or demo_signs.CONSOLIDATION in film.signs:
        sick = _opacity(film, plate)
    if film.signs:
        sick = _with_signs(film, plate, sick)
    shadow = _shadow(plate, sick, _rng(film, 0, "vessels"))
    if demo_signs.DEVICE in film.signs:
        shadow += demo_signs.device(plate.x, plate.y, plate.lungs, _rng(film, 0, "device")).astype(np.float32)
    grey = _developed(plate.turned(shadow), plate.pose, _rng(film, film.number, "noise"))
    image, file = Image.fromarray(grey), io.BytesIO()
    _mark(image, _rng(film, 0, "marks"))
    image.save(file, "JPEG", quality=int(plate.body.quality), comment=b"plainfilm: synthetic, not a patient")
    data = file.getvalue()
    return data[: len(data) // 2] if film.cut else data


def _with_signs(film: PhantomFilm, plate: _Plate, sick: Array) -> Array:
    """Return the share of air that is gone (0..1) with effusion and nodule, where the film has them."""
    if demo_signs.EFFUSION in film.signs:
        fluid = demo_signs.effusion(plate.x, _above_diaphragm(plate), _rng(film, 0, "effusion"))
        sick = np.maximum(sick, fluid)
    if demo_signs.NODULE in film.signs:
        lump = demo_signs.nodule(plate.x, plate.y, plate.lungs, _rng(film, 0, "nodule"))
        sick = np.maximum(sick, lump)
    return np.asarray(sick, np.float32)


def _rng(film: PhantomFilm, number: int, use: str) -> Generator:
    """A stream of its own for each patient, film (0: all films of the patient) and use, so that order can't matter."""
    return Generator(PCG64(SeedSequence(film.seed, spawn_key=(1, film.body, number, *use.encode()))))


# ------------------------------------------------------------------------------ what varies, each evenly in its range


def _between(low: float, high: float) -> Any:
    return field(metadata={"range": (low, high)})


def _drawn(kind: type[Drawn], rng: Generator) -> Drawn:
    return kind(**{f.name: rng.uniform(*f.metadata["range"]) for f in fields(kind)})  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Body:
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
class _Pose:
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


# ------------------------------------------------------------------------------------------------------- geometry


class _Plate:
    """The grid that shadows are cast on, upright to the body: x (1, columns), y (rows, 1), ``scale`` pixels a unit."""

    def __init__(self, body: _Body, pose: _Pose) -> None:
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


def _ramp(distance: Array, softness: float) -> Array:
    """0 outside (negative distance), 1 inside, linear within ``softness`` of the border."""
    return np.clip(distance * (0.5 / softness) + 0.5, 0, 1)


@dataclass(frozen=True)
class _Tubes:
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


def _cast(plate: _Plate, tubes: Sequence[_Tubes]) -> Array:
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


def _line(points: Sequence[tuple[float, float]], radii: Sequence[float], weight: float, marrow: float = 0.0) -> _Tubes:
    """A smooth tube along ``points``."""
    x, y = np.array(points).T
    along = np.append(0, np.cumsum(np.hypot(np.diff(x), np.diff(y))))
    at = np.linspace(0, along[-1], int(along[-1] * 120))  # a point a pixel
    radius = np.interp(at, np.linspace(0, along[-1], len(radii)), radii)
    curves = np.stack([np.interp(at, along, x), np.interp(at, along, y), radius])[:, None]
    x, y, radius = gaussian_filter1d(curves, at.size * 0.07, mode="nearest")
    return _Tubes(x, y, radius, np.full_like(x, weight), marrow)


def _cloud(plate: _Plate, rng: Generator, size: float) -> Array:
    """Return smooth noise on the plate, mean 0, sd 1, fixed to the body, in lumps of about ``size`` and finer."""
    cells = 128  # 32 a unit, from (-2, -1.2)
    frequency = np.hypot(np.fft.fftfreq(cells, 1 / 32)[:, None], np.fft.rfftfreq(cells, 1 / 32))
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((cells, cells))) / (1 + (frequency * size * 2) ** 2))
    image = Image.fromarray((noise / noise.std()).astype(np.float32))
    left, right, top, bottom = plate.x[0, 0], plate.x[0, -1], plate.y[0, 0], plate.y[-1, 0]
    box = (left + 2) * 32, (top + 1.2) * 32, (right + 2) * 32, (bottom + 1.2) * 32
    return np.asarray(image.resize(plate.shape[::-1], Image.Resampling.BICUBIC, box))


# -------------------------------------------------------------------------------------------------------- anatomy

# Half-widths of the shadow between the lungs at fractions of the lungs' height, to the patient's right and left.
_RIGHT = np.array([(-0.3, 0.3), (-0.05, 0.29), (0.08, 0.22), (0.2, 0.18), (0.4, 0.18), (0.55, 0.22), (0.68, 0.29),
                   (0.82, 0.33), (0.95, 0.3), (1.1, 0.22)]).T  # fmt: skip
_LEFT = np.array([(-0.3, 0.3), (-0.05, 0.29), (0.08, 0.22), (0.18, 0.18), (0.34, 0.2), (0.44, 0.26), (0.52, 0.29),
                  (0.65, 0.38), (0.78, 0.48), (0.9, 0.57), (0.98, 0.58), (1.06, 0.52), (1.15, 0.3)]).T  # fmt: skip


def _cage(plate: _Plate, y: Array) -> Array:
    """Half-width of the rib cage at heights ``y``."""
    t = y / (plate.lungs * 1.02)
    return (1 - np.clip(1 - t, 0, 1) ** 2.4) ** plate.body.bell * (1 + 0.02 * np.clip(t - 1, 0, 1))


def _mediastinum(plate: _Plate) -> Array:
    """Depth (0-1) of heart and great vessels, full depth in the middle."""
    t = plate.y[:, 0] / plate.lungs
    wide = 1 + (plate.body.heart * (1.2 - 0.2 * plate.pose.breath) - 1) * _ramp(t - 0.45, 0.2)
    aorta = plate.body.knob * np.exp(-(((t - 0.25) / 0.075) ** 2))
    right = gaussian_filter1d(np.interp(t, *_RIGHT) * wide - plate.pose.turn * 0.3, 0.03 * plate.scale)
    left = gaussian_filter1d(np.interp(t, *_LEFT) * wide + plate.pose.turn * 0.3, 0.03 * plate.scale) + aorta
    centre, half = (left - right)[:, None] / 2, (left + right)[:, None] / 2
    inside: Array = half.astype(np.float32) - np.abs(plate.x - centre.astype(np.float32))
    thin = np.clip(1 - inside * 3.6, 0, 1)
    return _ramp(inside, 0.014) * (1 - 0.5 * thin * thin)


def _above_diaphragm(plate: _Plate) -> Array:
    """Height of each pixel above the dome of its side."""
    bend = (np.abs(plate.x) - 0.42) / 0.58
    curve = plate.body.angle * np.where(bend > 0, np.abs(bend) ** 2.3, 0.3 * bend**2)
    dome = plate.lungs + plate.body.dome * _ramp(plate.x, 0.1) + curve
    return dome.astype(np.float32) - plate.y


def _air(plate: _Plate, above: Array) -> Array:
    """Depth (0-1) of air in healthy lungs; a little of it reaches down behind the diaphragm."""
    cage = np.maximum(_cage(plate, plate.y) - 0.02, 0.01)
    across = np.minimum(np.abs(plate.x) / cage, 1) ** 2
    chord = 1 - across * across * across
    apex = 0.75 + 0.25 * np.clip(plate.y / (0.35 * plate.lungs), 0, 1)
    depth = _ramp(above, 0.01) * 0.93 + np.clip(above + 0.6, 0, 0.6) * 0.116
    air: Array = chord * apex * depth * (1 - _mediastinum(plate))
    return air


def _soft_tissue(plate: _Plate) -> Array:
    """Depth of trunk, neck and arms as if they held no air."""
    t, x = plate.y / plate.lungs, np.abs(plate.x)
    flank = _cage(plate, np.maximum(plate.y, 0.4)) + plate.body.wall * (1 + 0.25 * np.clip(t - 0.8, 0, 2))
    half = gaussian_filter1d(np.where(t < 0.42, 1 + plate.body.wall, flank), 0.08 * plate.scale, axis=0)
    deep = 0.65 + 0.4 * _ramp(t - 0.2, 0.45) + plate.body.belly * _ramp(t - 1, 0.3)
    trunk = np.sqrt(np.clip(1 - (plate.x / half.astype(np.float32)) ** 2, 0, 1)) * deep
    shoulders = 0.42 * np.clip((x - 0.33) / 0.8, 0, 2) ** 1.3 - 0.42
    neck = np.sqrt(np.clip(1 - (x / 0.36) ** 2, 0, 1)) * (0.75 * _ramp(-0.2 - plate.y, 0.2))
    body: Array = np.maximum(trunk * _ramp(plate.y - shoulders, 0.06), neck)
    return np.maximum(body, _arms(plate))


def _joint(plate: _Plate) -> tuple[float, float]:
    """Where the shoulder joints are."""
    return 1.02 + plate.body.wall / 2, 0.12


def _arms(plate: _Plate) -> Array:
    joint = _joint(plate)
    x, y = np.abs(plate.x) - joint[0], plate.y - joint[1]
    angle = plate.body.arm + plate.pose.arms * np.sign(plate.x)
    c, s = np.sin(angle), np.cos(angle)
    along = np.clip(x * c + y * s, 0, 1.3)
    off = (x - along * c) ** 2 + (y - along * s) ** 2
    return np.sqrt(np.clip((0.19 + plate.body.wall / 2) ** 2 - off, 0, None)) * 1.1


def _ribs(plate: _Plate) -> _Tubes:
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
    ends = _ramp(theta[:, -1:] - theta, 0.15) * (0.55 + 0.45 * _ramp(theta - 0.35, 0.3))
    weight = plate.body.bone * 0.5 * oblique * ends * np.where(theta < np.pi / 2, 1, 0.75)
    radius = np.interp(theta, (0, 0.4, 1.5, 2.2), (0.85, 1, 1, 1.15))
    radius *= np.interp(k, (0, 2, 9, 11), (0.027, 0.034, 0.034, 0.024))
    turned = [sign * x + plate.pose.turn * depth for sign in (-1, 1)]
    return _Tubes(np.vstack(turned), np.vstack([y, y]), np.vstack([radius] * 2), np.vstack([weight] * 2), 0.75)


def _shoulder_girdle(plate: _Plate) -> list[_Tubes]:
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
            tubes.append(_line([(side * px - turn, py) for px, py in points], radii, weight * bone, 0.85))
    return tubes


def _airways(plate: _Plate) -> list[_Tubes]:
    """Trachea and main bronchi, with the weight of missing tissue."""
    fork, turn = 0.36 * plate.lungs, -0.1 * plate.pose.turn
    trachea = [(turn, -0.9), (turn, -0.4), (turn, 0.1), (turn - 0.015, fork - 0.1), (turn, fork + 0.03)]
    right = [(turn, fork - 0.03), (turn - 0.07, fork + 0.09), (turn - 0.14, fork + 0.19)]
    left = [(turn, fork - 0.03), (turn + 0.1, fork + 0.08), (turn + 0.2, fork + 0.15)]
    radii = [0.045, 0.038, 0.03]
    return [_line(trachea, [0.06, 0.055, 0.05], -0.4), _line(right, radii, -0.2), _line(left, radii, -0.2)]


def _spine(plate: _Plate) -> tuple[tuple[slice, slice], Array]:
    """Vertebral bodies with discs, pedicles and spinous processes: where, and how dense."""
    box = plate.box(-0.3, 0.3, -9, 9)
    t = plate.y / plate.lungs
    x = np.abs(plate.x[:, box[1]] - plate.pose.turn * 0.5 - plate.body.curve * np.sin(np.pi * t).astype(np.float32))
    half = np.clip(0.088 + 0.03 * t, 0.08, 0.15)
    level = (t * 9 - 0.25) % 1
    off = np.abs(level - 0.5)
    bodies, plates = _ramp(0.38 - off, 0.07), np.exp(-(((off - 0.36) / 0.05) ** 2))
    column = _ramp(half - x, 0.02) * (0.12 + 0.14 * bodies + 0.08 * plates)
    rims = 0.1 * np.exp(-(((x - half + 0.012) / 0.014) ** 2)) * bodies
    pedicles = 0.1 * np.exp(-(((x - half * 0.62) / 0.02) ** 2)) * np.exp(-(((level - 0.35) / 0.12) ** 2))
    processes = 0.1 * np.exp(-((x / 0.018) ** 2)) * np.exp(-(((level - 0.75) / 0.16) ** 2))
    return box, (column + rims + pedicles + processes) * plate.body.bone


def _vessels(plate: _Plate, rng: Generator) -> list[_Tubes]:
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
        layers.append(_Tubes(px, py, r, r * 7.5 * plate.body.vessels))
        fork = rng.uniform(0.1, 0.6, x.size)
        x, y, side = np.repeat(px[:, -1], 2), np.repeat(py[:, -1], 2), np.repeat(side, 2)
        angle = np.repeat(angle + bend, 2) + np.stack([fork, -fork], 1).ravel() + rng.normal(0, 0.1, x.size)
        radius = np.repeat(radius, 2) * rng.uniform(0.55, 0.9, x.size)
        length = np.repeat(length, 2) * rng.uniform(0.6, 1.15, x.size)
    return layers


def _breasts(plate: _Plate) -> Array:
    """Soft above, a clear edge below."""
    x, y = (np.abs(plate.x) - 0.6) / 0.5, (plate.y - 0.75 * plate.lungs) / 0.38
    y2 = np.where(y > 0, y**2, (y * 0.6) ** 2)
    return np.sqrt(np.clip(1 - x**2 - y2, 0, 1)) * (plate.body.breasts * _ramp(y + 0.6, 0.6))


def _stomach(plate: _Plate, rng: Generator) -> tuple[tuple[slice, slice], Array]:
    """The air bubble under the left dome: where, and what is missing there."""
    wide, high = 0.12 + 0.16 * plate.body.gas, 0.06 + 0.1 * plate.body.gas
    cx, cy = 0.42, plate.lungs + plate.body.dome + 0.05 + high
    box = plate.box(cx - 1.3 * wide, cx + 1.3 * wide, cy - 1.3 * high, cy + 1.3 * high)
    x, y = (plate.x[:, box[1]] - cx) / wide, (plate.y[box[0]] - cy) / high
    bumps = sum(rng.uniform(-0.12, 0.12) * np.cos(n * np.arctan2(y, x) + rng.uniform(0, 6.3)) for n in (2, 3, 5))
    return box, -0.5 * np.sqrt(np.clip(1 + bumps - x**2 - y**2, 0, 1))


# ------------------------------------------------------------------------------------------------------ pneumonia

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


def _opacity(film: PhantomFilm, plate: _Plate) -> Array:
    """Return the share (0-1) of air that pneumonia has taken; it grows or clears from film to film."""
    rng = _rng(film, 0, "pneumonia")
    kind = (_lobar, _patchy, _interstitial)[rng.choice(3, p=(0.45, 0.35, 0.2))]
    severity = 0.04 if rng.uniform() < 0.05 else 0.45 + 0.55 * rng.beta(1.6, 1.4)
    severity *= 1 + rng.uniform(-0.25, 0.25) * (film.number - 1)
    return np.clip(kind(plate, rng, severity), 0, 0.95)


def _lobar(plate: _Plate, rng: Generator, severity: float) -> Array:
    """One lobe, or a part of it, evenly filled."""
    centre, radii, fissure = _LOBES[rng.choice(len(_LOBES), p=(0.15, 0.2, 0.27, 0.08, 0.1, 0.2))]
    extent = rng.uniform(0.8, 1.3)
    x = (plate.x - centre[0] - rng.normal(0, 0.05)) / (radii[0] * extent)
    y = (plate.y / plate.lungs - centre[1] - rng.normal(0, 0.03)) / (radii[1] * extent)
    away = x**2 + y**2 + 0.25 * _cloud(plate, rng, 0.5)
    filled = np.exp(-away * np.abs(away)) * severity
    if fissure:
        line = fissure[0] + 0.06 * (np.abs(plate.x) - 0.5) + rng.normal(0, 0.015)
        filled *= _ramp((plate.y / plate.lungs - line) * fissure[1], 0.012)
    return filled


def _patchy(plate: _Plate, rng: Generator, severity: float) -> Array:
    """Several ill-defined patches, more of them low and near the hila; one lung or both."""
    count, side = int(rng.integers(5, 15)), rng.choice([-1.0, 0.0, 1.0], p=(0.2, 0.6, 0.2))
    sides = rng.choice([-1.0, 1.0], (1, count)) if side == 0 else side
    cx, cy = sides * (0.28 + np.abs(rng.normal(0, 0.25, (1, count)))), rng.normal(0.62, 0.2, (1, count)) * plate.lungs
    radius, dense = rng.uniform(0.1, 0.3, (1, count)), rng.uniform(0.6, 1.1, (1, count))
    across, down = np.exp(-(((plate.x.T - cx) / radius) ** 2)), np.exp(-(((plate.y - cy) / radius) ** 2)) * dense
    patches = down.astype(np.float32) @ across.T.astype(np.float32)
    return np.tanh(patches) * np.clip(0.65 + 0.35 * _cloud(plate, rng, 0.2), 0, 1.3) * severity


def _interstitial(plate: _Plate, rng: Generator, severity: float) -> Array:
    """Haze and many fine lines, densest around the hila."""
    count = 700
    side, out, turn = rng.choice([-1.0, 1.0], count), np.abs(rng.normal(0, 0.3, count)), rng.uniform(-1.6, 1.6, count)
    t = np.linspace(-0.5, 0.5, 9)
    heading = (turn + rng.normal(0, 0.9, count))[:, None] + rng.normal(0, 0.8, count)[:, None] * t
    length = rng.uniform(0.05, 0.16, count)[:, None] / t.size
    x = (side * (0.22 + out * np.cos(turn)))[:, None] + np.cumsum(np.cos(heading) * length, 1) * side[:, None]
    y = (plate.lungs * 0.5 + 1.2 * out * np.sin(turn))[:, None] + np.cumsum(np.sin(heading) * length, 1)
    lines = _cast(plate, [_Tubes(x, y, np.full_like(x, 0.011), np.full_like(x, 0.22))])
    fade = np.exp(-(((np.abs(plate.x) - 0.3) / 0.4) ** 2)) * np.exp(-(((plate.y / plate.lungs - 0.55) / 0.34) ** 2))
    return (0.55 * np.tanh(lines) + fade * (0.45 + 0.2 * _cloud(plate, rng, 0.2))) * severity


# -------------------------------------------------------------------------------------------------------- the film


def _shadow(plate: _Plate, sick: Array, rng: Generator) -> Array:
    """Add up what the rays meet: 0 is air, about 2 the middle of the trunk."""
    above = _above_diaphragm(plate)
    air = _air(plate, above)
    vessels = _cast(plate, _vessels(plate, rng))
    bones = _cast(plate, [_ribs(plate), *_shoulder_girdle(plate), *_airways(plate)])
    lost = air * sick
    shadow = _soft_tissue(plate) * (1.95 + 0.05 * _cloud(plate, rng, 0.4)) + bones
    shadow -= (air - lost) * (plate.pose.lucency * (1 + 0.8 * lost.sum() / air.sum()) - vessels)
    shadow -= lost * np.roll(vessels, 4, 0) * 0.6  # bronchi run beside the vessels and stay open: air bronchogram
    for box, dense in (_spine(plate), _stomach(plate, rng)):
        shadow[box] += dense
    if plate.body.breasts > 0:
        shadow += _breasts(plate)
    return np.maximum(shadow, 0)


def _developed(shadow: Array, pose: _Pose, rng: Generator) -> NDArray[np.uint8]:
    """Return grey values: scattered light, quantum noise (more where little light arrives), display window."""
    light = np.exp(-shadow)
    blurred = gaussian_filter(np.asarray(Image.fromarray(light).reduce(8)), 3, mode="nearest")
    light += pose.scatter * np.asarray(Image.fromarray(blurred).resize(light.shape[::-1], Image.Resampling.BILINEAR))
    grain = rng.standard_normal((light.shape[0] + 1, light.shape[1] + 1), np.float32)
    grain = grain[1:] + grain[:-1]
    grain = grain[:, 1:] + grain[:, :-1]  # a detector blurs its noise a little
    seen = np.log1p(pose.scatter) - np.log(light) + pose.noise * grain / np.sqrt(light)
    steps = 1000
    value = np.clip(np.arange(5 * steps) / steps - pose.level, 0, None) / pose.window
    value = value**pose.gamma / (1 + value ** (6 * pose.gamma)) ** (1 / 6)  # a shoulder instead of burnt-out white
    tones = (value * 250).astype(np.uint8)
    grey: NDArray[np.uint8] = tones[np.clip(seen * steps, 0, 5 * steps - 1).astype(np.int16)]
    return grey


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _mark(image: Image.Image, rng: Generator) -> None:
    """Burn in the word that says what this is, and the letter of a side."""
    pen, (width, height) = ImageDraw.Draw(image), image.size
    at, anchor = ((6, height - 6), "ls") if rng.uniform() < 0.5 else ((width - 6, height - 6), "rs")
    pen.text(at, MARKER, 235, _font(height // 24), anchor, stroke_width=1, stroke_fill=20)
    letter, x = ("R", 0.05) if rng.uniform() < 0.75 else ("L", 0.95)
    pen.text((width * x, height * rng.uniform(0.08, 0.3)), letter, 240, _font(height // 13), "mm")
