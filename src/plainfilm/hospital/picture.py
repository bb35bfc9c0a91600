"""The picture that goes back with an answer: the film, the heat map over it, and in plain sight what it is not."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from plainfilm.errors import PlainfilmError
from plainfilm.explain.overlay import WARNING, blended_rgbx, colours_of, map_over, rgbx
from plainfilm.models.reads import Reads

LONGEST = 640  # pixels of a film's longer side: the original lies beside it in the study
MARGIN = 8
LETTERS = 18  # pixels
LINE = LETTERS + 4
PER_LINE = 100  # letters over the two films side by side
STAMP = "RESEARCH ONLY - NOT FOR DIAGNOSIS"
BURNT = "RESEARCH ONLY"


def picture(
    model: Reads, grey: NDArray[np.uint8], pixels: NDArray[np.uint8], lines: Sequence[str], target: int
) -> NDArray[np.uint32]:
    """Return (H, W) ``rgbx``: the film as decoded beside its heat map, ``lines`` above, the stamp across both.

    ``pixels`` are the (S, S) that the network saw, ``target`` the class or finding that the map is of. Without a map
    (some networks have none) the film stands alone.
    """
    film = _sized(grey)
    tiles, below = [_greys().take(film)], []
    try:
        tiles.append(blended_rgbx(film, map_over(model, pixels, grey.shape, film.shape, target)))
        below.append(f"Heat map of {model.classes[target]}. {WARNING}")
    except PlainfilmError as error:
        below.append(f"No heat map: {error}")
    return _with_words(tiles, _wrapped([STAMP, *lines]), _wrapped(below))


def _sized(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = LONGEST / max(grey.shape)
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0))


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, PER_LINE)]


@cache
def _greys() -> NDArray[np.uint32]:
    return rgbx(np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1))


def _with_words(tiles: Sequence[NDArray[np.uint32]], above: Sequence[str], below: Sequence[str]) -> NDArray[np.uint32]:
    top, bottom = (2 * MARGIN + LINE * len(lines) for lines in (above, below))
    height, width = tiles[0].shape
    sheet = np.zeros((top + height + bottom, max(width * len(tiles), 2 * LONGEST)), np.uint32)
    for number, tile in enumerate(tiles):  # burnt into each film too: a viewer may crop what is beside it
        left = number * width
        sheet[top : top + height, left : left + width] = tile
        _burn(sheet[top + MARGIN :, left + MARGIN :])
    for start, lines in ((MARGIN, above), (top + height + MARGIN, below)):
        for number, line in enumerate(lines):
            at = start + number * LINE
            sheet[at : at + LINE, MARGIN:] = _line(line, sheet.shape[1] - MARGIN)
    return sheet


def _burn(place: NDArray[np.uint32]) -> None:
    patch = _burnt()
    corner = colours_of(place[: patch.height, : patch.width])
    image = Image.fromarray(corner)
    image.paste(patch, (0, 0), patch)
    corner[:] = np.asarray(image)


@lru_cache(256)  # most lines are the same for all films, or nearly all
def _line(text: str, width: int) -> NDArray[np.uint32]:
    strip = Image.new("RGB", (width, LINE))
    ImageDraw.Draw(strip).text((0, 0), text, "yellow" if text == STAMP else "white", _font())
    return rgbx(np.asarray(strip))


@cache
def _burnt() -> Image.Image:
    font, edge = _font(), 2
    width, height = map(round, font.getbbox(BURNT)[2:])
    patch = Image.new("RGBA", (width + 2 * edge, height + 2 * edge))
    ImageDraw.Draw(patch).text((edge, edge), BURNT, "yellow", font, stroke_width=edge, stroke_fill="black")
    return patch


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(LETTERS)
