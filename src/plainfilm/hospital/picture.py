"""The picture that goes back with an answer: the film, the heat map over it, and in plain sight what it is not."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from plainfilm.errors import PlainfilmError
from plainfilm.explain.overlay import WARNING, blended, map_over
from plainfilm.models.reads import Reads

LONGEST = 640  # pixels of a film's longer side: the original lies beside it in the study
MARGIN = 8
LETTERS = 18  # pixels
PER_LINE = 100  # letters over the two films side by side
STAMP = "RESEARCH ONLY - NOT FOR DIAGNOSIS"
BURNT = "RESEARCH ONLY"


def picture(
    model: Reads, grey: NDArray[np.uint8], pixels: NDArray[np.uint8], lines: Sequence[str]
) -> NDArray[np.uint8]:
    """Return (H, W, 3): the film as decoded beside its heat map, ``lines`` above, the stamp across both.

    ``pixels`` are the (S, S) that the network saw. Without a map (some networks have none) the film stands alone.
    """
    film = _sized(grey)
    tiles, below = [np.repeat(film[..., None], 3, 2)], []
    try:
        tiles.append(blended(film, map_over(model, pixels, grey.shape, film.shape)))
        below.append(WARNING)
    except PlainfilmError as error:
        below.append(f"No heat map: {error}")
    return _with_words(tiles, [STAMP, *lines], below)


def _sized(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = LONGEST / max(grey.shape)
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))


def _with_words(tiles: Sequence[NDArray[np.uint8]], above: Sequence[str], below: Sequence[str]) -> NDArray[np.uint8]:
    font = ImageFont.load_default(LETTERS)
    above, below = ([part for line in lines for part in textwrap.wrap(line, PER_LINE)] for lines in (above, below))
    top, bottom = (2 * MARGIN + (LETTERS + 4) * len(lines) for lines in (above, below))
    height, width = tiles[0].shape[:2]
    sheet = Image.new("RGB", (max(width * len(tiles), 2 * LONGEST), top + height + bottom))
    draw = ImageDraw.Draw(sheet)
    for number, tile in enumerate(tiles):  # burnt into each film too: a viewer may crop what is beside it
        sheet.paste(Image.fromarray(tile), (number * width, top))
        corner = (number * width + MARGIN, top + MARGIN)
        draw.text(corner, BURNT, "yellow", font, stroke_width=2, stroke_fill="black")
    for start, lines in ((MARGIN, above), (top + height + MARGIN, below)):
        for number, line in enumerate(lines):
            colour = "yellow" if line == STAMP else "white"
            draw.text((MARGIN, start + number * (LETTERS + 4)), line, colour, font)
    return np.asarray(sheet)
