"""Films of their own for the audit: smooth random pictures, all unlike, whose files and looks a test may change."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plainfilm.data.films import Film, Films, Table


def picture(seed: int, size: tuple[int, int] = (120, 96)) -> Image.Image:
    """Clouds of several sizes: detail at every scale, as a chest has."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(rng.normal(0, 30 / np.sqrt(n), (n, n)).astype(np.float32)).resize(
                size, Image.Resampling.BICUBIC
            )
        )
        for n in (3, 6, 12, 24, 48)
    ]
    return Image.fromarray((120 + sum(layers)).clip(0, 255).astype(np.uint8))


def packed(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **({"quality": 90} if form == "JPEG" else {}) | options)
    return buffer.getvalue()


def film(path: str, data: bytes, label: str | None = None, **known: str) -> Film:
    return Film(
        path, path.split("/")[0] if label is None else label, lambda path, first=0: data[: first or None], **known
    )


def films(items: Iterable[Film], name: str = "set") -> Films:
    return Films(Table(items).by_path(), name)


@pytest.fixture
def plain_set() -> Callable[..., Films]:
    """A clean set of two classes; ``save`` may treat the classes differently."""

    def make(count: int = 60, start: int = 0, save: Callable[[str, Image.Image], bytes] | None = None) -> Films:
        items = []
        for i in range(count):
            label = ("NORMAL", "SICK")[i % 2]
            image = picture(start + i)
            data = save(label, image) if save else packed(image)
            items.append(film(f"{label}/{start + i:04d}.jpeg", data, patient=f"p{start + i}"))
        return films(items)

    return make
