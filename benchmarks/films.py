"""Films as large as a detector gives them, drawn by our own generator, so that anybody can run this."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from plainfilm.data.sources import load
from plainfilm.image.decode import decode

SIZE = (1400, 1100)  # about the mean of the Kermany originals


def large_films(folder: Path, count: int) -> Path:
    """Write ``count`` films in class folders below ``folder``; return it."""
    rng = np.random.default_rng(0)
    for i, film in enumerate(load(f"demo:{min(count, 90)}")):
        image = Image.fromarray(decode(film.read())).resize(SIZE, Image.Resampling.BICUBIC)
        for copy in range(i, count, 90):
            noisy = np.asarray(image, np.float32) + rng.normal(0, 4, SIZE[::-1]).astype(np.float32)
            place = folder / film.label / f"{copy:05d}.jpeg"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(place, quality=86)
    return folder


def as_in_the_set(originals: Path, folder: Path) -> Path:
    """Link every third NORMAL film of ``originals`` and all PNEUMONIA films into ``folder``; return it.

    So are the classes of the whole Kermany set (1,341 to 3,875), and normal films are seven times as large.
    """
    for film in [*sorted(originals.glob("NORMAL/*"))[::3], *sorted(originals.glob("PNEUMONIA/*"))]:
        place = folder / film.parent.name / film.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(film)
    return folder


def small_films(folder: Path, count: int) -> Path:
    """Write ``count`` films of 128×128 in class folders, no two alike: each adds up three of 80 drawn ones, shifted."""
    rng = np.random.default_rng(0)
    drawn = [
        np.asarray(Image.fromarray(decode(film.read())).resize((128, 128)), np.float32) for film in load("demo:80")
    ]
    for i in range(count):
        shares = rng.dirichlet((1, 1, 1))
        parts = [np.roll(drawn[k], tuple(rng.integers(0, 128, 2)), (0, 1)) for k in rng.integers(0, 80, 3)]
        picture = sum(share * part for share, part in zip(shares, parts, strict=True))
        place = folder / ("NORMAL", "PNEUMONIA")[i % 4 > 0] / f"synthetic-p{i // 2:06d}-{i % 2}.jpeg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.astype(np.uint8)).save(place)
    return folder
