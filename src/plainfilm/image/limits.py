"""The size of a picture that can be a film, checked on the header before a pixel is decoded."""

from __future__ import annotations

from plainfilm.data.films import FilmError

MAX_PIXELS = 25_000_000
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
