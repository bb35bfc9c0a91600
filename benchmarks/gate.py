"""What does the input gate flag? The figures of docs/evidence/input-gate.md that need no network.

    python benchmarks/gate.py chest_xray_224/train shenzhen

Gates of the picture alone, fitted as training fits them, at 224×224. Of five folds by patient each judges the films
that it has not learnt from, and all of the second set, whole and cropped. Then the first fold's gate judges 400 of its
held-out films under one change at a time, and pictures that are no films.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageFilter
from sklearn.datasets import load_sample_image

from plainfilm.data.films import Films
from plainfilm.data.sources import load, unlabelled
from plainfilm.data.split import folds
from plainfilm.evaluation.intervals import wilson
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.gate import Gate, fit_gate

SIDE, FILMS, FOLDS, PHOTOGRAPHS = 224, 400, 5, 200
PREPROCESS = Preprocess(SIDE, "stretch")


class InMemory:
    """Pixels that are read as the store's are."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = data

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        return np.asarray(self.data[positions])


def pixels_of(films: Films) -> np.ndarray:
    """Return (N, SIDE, SIDE) uint8."""
    return np.stack([PREPROCESS.read(film.read()) for film in films])


def gamma(power: float) -> Callable[[Image.Image], Image.Image]:
    """Return the change of (grey / 255) to its ``power``."""
    return lambda film: film.point([round(255 * (grey / 255) ** power) for grey in range(256)])


def jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    """Return the change of saving and opening again."""

    def saved(film: Image.Image) -> Image.Image:
        held = io.BytesIO()
        film.save(held, "JPEG", quality=quality)
        return Image.open(held)

    return saved


def noise(deviation: float) -> Callable[[Image.Image], Image.Image]:
    """Return the change of adding noise of so many grey levels."""
    rng = np.random.default_rng(0)

    def noisy(film: Image.Image) -> Image.Image:
        grey = np.asarray(film) + rng.normal(0, deviation, (SIDE, SIDE))
        return Image.fromarray(grey.clip(0, 255).astype(np.uint8))

    return noisy


def crop(share: float, off: float = 0.0) -> Callable[[Image.Image], Image.Image]:
    """Return the change of cutting ``share`` off each side, the middle moved by ``off`` of it to the lower right."""
    low, high = round(SIDE * share * (1 + off)), SIDE - round(SIDE * share * (1 - off))
    return lambda film: film.crop((low, low, high, high)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def blur(deviation: float) -> Callable[[Image.Image], Image.Image]:
    """Return the change of blurring by so many pixels."""
    return lambda film: film.filter(ImageFilter.GaussianBlur(deviation))


def together(film: Image.Image) -> Image.Image:
    """Return the film at another exposure, cropped, blurred and saved."""
    for change in (gamma(0.8), crop(0.03), blur(1), jpeg(50)):
        film = change(film)
    return film


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    **{f"gamma {power}": gamma(power) for power in (0.8, 1.25, 0.6, 1.6)},
    **{f"blur, sd {deviation} pixels": blur(deviation) for deviation in (1, 2)},
    **{f"JPEG quality {quality}": jpeg(quality) for quality in (50, 20)},
    **{f"noise, sd {deviation} grey levels": noise(deviation) for deviation in (5, 15)},
    **{f"cropped by {share:.0%} a side, off centre": crop(share, 0.5) for share in (0.05, 0.1)},
    "gamma .8, crop of 3 %, blur and JPEG together": together,
    **{
        f"turned by {degrees}°": lambda film, d=degrees: film.rotate(d, Image.Resampling.BILINEAR)
        for degrees in (5, 15, 30)
    },
    "mirrored": lambda film: film.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "inverted": lambda film: film.point([255 - grey for grey in range(256)]),
    **{f"turned by {turn * 90}°": lambda film, t=turn: film.rotate(90 * t) for turn in (1, 2, 3)},
    "a quarter of a film": lambda film: film.crop((0, 0, SIDE // 2, SIDE // 2)).resize((SIDE, SIDE)),
}


def photographs() -> Iterator[np.ndarray]:
    """Yield random crops of two photographs, in grey."""
    rng = np.random.default_rng(0)
    for i in range(PHOTOGRAPHS):
        picture = Image.fromarray(load_sample_image(("china.jpg", "flower.jpg")[i % 2])).convert("L")
        side = int(rng.integers(200, 420))
        left, top = (int(rng.integers(0, length - side + 1)) for length in picture.size)
        yield np.asarray(picture.crop((left, top, left + side, top + side)).resize((SIDE, SIDE)))


def changed(films: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """Return uint8 films, each changed."""
    return np.stack([np.asarray(change(Image.fromarray(film)), np.uint8) for film in films])


def flagged(gate: Gate, films: np.ndarray) -> np.ndarray:
    """Return (N,) whether a film is flagged."""
    return np.array([verdict.reason is not None for verdict in gate.judge(films)])


def main(data: str, other: str) -> None:
    """Print what is flagged."""
    rounds = folds(load(data), FOLDS)
    pixels, foreign = pixels_of(rounds[0]), pixels_of(unlabelled(other))
    far = {"whole": foreign} | {f"cropped by {s:.0%} a side": changed(foreign, crop(s)) for s in (0.06, 0.1)}
    paths, own = rounds[0].films.paths, []
    gates, held_out = [], []
    for fold in rounds:
        assert list(fold.films.paths) == list(paths)
        tested = np.array([film.part == "test" for film in fold])
        groups = np.array([film.group for film in fold])
        gates.append(fit_gate(InMemory(pixels), np.flatnonzero(~tested), np.random.default_rng(0), groups[~tested]))
        held_out.append(np.flatnonzero(tested))
        own.append(flagged(gates[-1], pixels[tested]))
        shares = ", ".join(f"{name} {flagged(gates[-1], some).mean():.3f}" for name, some in far.items())
        print(f"fold {len(gates)}: own {own[-1].mean():.4f}; {other}: {shares}", flush=True)
    labels = np.array([film.label for film in rounds[0]])[np.concatenate(held_out)]
    every = np.concatenate(own)
    for name in ("", *sorted(set(labels))):
        some = every[labels == name] if name else every
        print(f"{name or 'all'}: {some.sum()} of {len(some)}, {wilson(some.sum(), len(some))}")
    drawn = pixels[np.random.default_rng(0).permutation(held_out[0])[:FILMS]]
    for name, change in CHANGES.items():
        print(f"{name}: {flagged(gates[0], changed(drawn, change)).mean():.3f}", flush=True)
    print(f"photographs: {flagged(gates[0], np.stack(list(photographs()))).mean():.3f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
