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
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from plainfilm.data import demo_anatomy as anatomy
from plainfilm.data import demo_signs
from plainfilm.data.demo_plate import Array, Body, Plate, Pose, cast, cloud, drawn
from plainfilm.data.demo_pneumonia import opacity
from plainfilm.data.films import UNKNOWN
from plainfilm.errors import InputError

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
    body = drawn(Body, _rng(film, 0, "body"))
    if demo_signs.CARDIOMEGALY in film.signs:
        body = replace(body, heart=body.heart * demo_signs.HEART)
    plate = Plate(body, drawn(Pose, _rng(film, film.number, "pose")))
    sick = np.zeros(plate.shape, np.float32)
    if film.label == PNEUMONIA or demo_signs.CONSOLIDATION in film.signs:
        sick = opacity(plate, film.number, _rng(film, 0, "pneumonia"))
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


def _with_signs(film: PhantomFilm, plate: Plate, sick: Array) -> Array:
    """Return the share of air that is gone (0..1) with effusion and nodule, where the film has them."""
    if demo_signs.EFFUSION in film.signs:
        fluid = demo_signs.effusion(plate.x, anatomy.above_diaphragm(plate), _rng(film, 0, "effusion"))
        sick = np.maximum(sick, fluid)
    if demo_signs.NODULE in film.signs:
        lump = demo_signs.nodule(plate.x, plate.y, plate.lungs, _rng(film, 0, "nodule"))
        sick = np.maximum(sick, lump)
    return np.asarray(sick, np.float32)


def _rng(film: PhantomFilm, number: int, use: str) -> Generator:
    """A stream of its own for each patient, film (0: all films of the patient) and use, so that order can't matter."""
    return Generator(PCG64(SeedSequence(film.seed, spawn_key=(1, film.body, number, *use.encode()))))


def _shadow(plate: Plate, sick: Array, rng: Generator) -> Array:
    """Add up what the rays meet: 0 is air, about 2 the middle of the trunk."""
    above = anatomy.above_diaphragm(plate)
    air = anatomy.air(plate, above)
    vessels = cast(plate, anatomy.vessels(plate, rng))
    bones = cast(plate, [anatomy.ribs(plate), *anatomy.shoulder_girdle(plate), *anatomy.airways(plate)])
    lost = air * sick
    shadow = anatomy.soft_tissue(plate) * (1.95 + 0.05 * cloud(plate, rng, 0.4)) + bones
    shadow -= (air - lost) * (plate.pose.lucency * (1 + 0.8 * lost.sum() / air.sum()) - vessels)
    shadow -= lost * np.roll(vessels, 4, 0) * 0.6  # bronchi run beside the vessels and stay open: air bronchogram
    for box, dense in (anatomy.spine(plate), anatomy.stomach(plate, rng)):
        shadow[box] += dense
    if plate.body.breasts > 0:
        shadow += anatomy.breasts(plate)
    return np.maximum(shadow, 0)


def _developed(shadow: Array, pose: Pose, rng: Generator) -> NDArray[np.uint8]:
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
