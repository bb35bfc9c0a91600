"""The size of a picture that can be a film, checked on the header before a pixel is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from plainfilm.data.films import FilmError

MAX_PIXELS = 25_000_000
LARGE = 12_000_000  # pixels
_ROOM = BoundedSemaphore(4)  # large films decoded at a time: in colour, one of 25 megapixels takes some 400 MB
MIN_SIDE = 16  # pixels; MedMNIST's 28 is the smallest that is meant
MAX_ASPECT = 6.0


def check_size(width: int, height: int) -> None:
    """FilmError unless (width, height) in pixels can be a film's."""
    if width * height > MAX_PIXELS:
        raise FilmError(f"{width}×{height} pixels; the limit is {MAX_PIXELS // 10**6} megapixels")
    if min(width, height) < MIN_SIDE:
        raise FilmError(f"{width}×{height} pixels; the shorter side must have at least {MIN_SIDE}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise FilmError(f"{width}×{height} pixels: too long and narrow for a film")


@contextmanager
def room_for(width: int, height: int) -> Iterator[None]:
    """Wait, for a large film of (width, height) in pixels, until few enough are decoded at the same time."""
    if width * height <= LARGE:
        yield
        return
    with _ROOM:
        yield
