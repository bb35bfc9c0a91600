"""A heat map in colours, alone or over its film, as PNG bytes; for the report's pictures and the web page."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainfilm.errors import PlainfilmError
from plainfilm.image.decode import decode
from plainfilm.models.reads import Reads

if TYPE_CHECKING:
    from plainfilm.models.model import Model

Map = NDArray[np.float32]
METHOD = "hires-cam"  # of heatmaps.METHODS, which is loaded when there is something to explain
WARNING = "Heat maps are evidence about the model, never an explanation of disease."
COLOURS = "inferno"  # even steps of lightness; from violet to yellow it stays apart from grey for all colour vision
DARKEST = 0.3  # where the scale begins: black would read as the film's own
OPACITY = 0.7  # of the strongest evidence: the anatomy stays visible below it
LONGEST = 1024  # pixels of a picture's longer side


@cache
def palette() -> NDArray[np.uint8]:
    """Return (256, 3) colours for evidence from 0 to 1."""
    from matplotlib import colormaps  # half a second; only what draws pays for it

    return np.asarray((colormaps[COLOURS](np.linspace(DARKEST, 1, 256))[:, :3] * 255).round(), np.uint8)


@cache
def _strengths() -> NDArray[np.uint8]:
    """(256, 4): the palette and how opaque it is; what has no evidence is transparent."""
    return np.column_stack([palette(), (np.arange(256) * OPACITY).round().astype(np.uint8)])


@cache
def _blends() -> NDArray[np.uint32]:
    """(256 · 256,) ``rgbx``: what each of 256 strengths of evidence makes of each of 256 greys, by strength."""
    colours = _strengths().astype(np.float32)
    alpha = colours[:, None, 3:] / 255
    mixed = np.arange(256, dtype=np.float32)[None, :, None] * (1 - alpha) + colours[:, None, :3] * alpha
    return rgbx(np.asarray(mixed.round(), np.uint8).reshape(-1, 3))


def rgbx(colours: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return (…,) pixels of (…, 3) colours: four bytes each, of which the last means nothing. One number is copied and
    looked up several times faster than three."""
    return np.insert(colours, 3, 0, axis=-1).view(np.uint32)[..., 0]


def colours_of(pixels: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return (…, 3) colours of (…,) ``rgbx`` pixels, which they share."""
    return pixels[..., None].view(np.uint8)[..., :3]


def _levels(heat: Map) -> NDArray[np.uint8]:
    return np.asarray((heat.clip(0, 1) * 255).round(), np.uint8)


def coloured(heat: Map) -> NDArray[np.uint8]:
    """Return (H, W, 4) colours of an (H, W) map; what has no evidence is transparent."""
    return np.asarray(_strengths()[_levels(heat)])


def blended(grey: NDArray[np.uint8], heat: Map) -> NDArray[np.uint8]:
    """Return (H, W, 3) colours: the map over the film of the same shape; where there is no evidence, the film alone."""
    return colours_of(blended_rgbx(grey, heat))


def blended_rgbx(grey: NDArray[np.uint8], heat: Map) -> NDArray[np.uint32]:
    """Return the same as (H, W) ``rgbx`` pixels."""
    return np.asarray(_blends().take(_levels(heat).astype(np.uint16) << 8 | grey))


def reduced(grey: NDArray[np.uint8], longest: int = LONGEST) -> NDArray[np.uint8]:
    """Return a film with its longer side at most ``longest`` pixels."""
    height, width = grey.shape
    scale = min(1.0, longest / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))


def heat_png(model: Reads, data: bytes, target: int | None = None, method: str = METHOD) -> bytes:
    """Return a transparent PNG of the map of a film's bytes, in the film's shape: to be laid over the film as shown.

    ``target`` and ``method`` as in heat_map. FilmError when the film can't be read.
    """
    grey = decode(data)
    return _png(coloured(_map_over(model, data, grey, reduced(grey), target, method)))


def overlay_png(model: Reads, data: bytes, target: int | None = None, method: str = METHOD) -> bytes:
    """Return a PNG of a film's bytes with its map over it. FilmError when the film can't be read."""
    grey = decode(data)
    small = reduced(grey)
    return _png(blended(small, _map_over(model, data, grey, small, target, method)))


def _map_over(
    model: Reads, data: bytes, grey: NDArray[np.uint8], shown: NDArray[np.uint8], target: int | None, method: str
) -> Map:
    return map_over(model, model.preprocess.read(data, grey), grey.shape, shown.shape, target, method)


def map_over(
    model: Reads,
    pixels: NDArray[np.uint8],
    film: tuple[int, ...],
    shown: tuple[int, ...],
    target: int | None = None,
    method: str = METHOD,
) -> Map:
    """Return the (H, W) float32 map of the (S, S) pixels that the network saw, for a film of the shape ``film`` drawn
    with the shape ``shown``. PlainfilmError where the model holds nothing to explain."""
    if not hasattr(model, "network"):
        raise PlainfilmError(f"A model run by {model.engine} holds no network to explain; use the run it came from.")
    from plainfilm.explain.heatmaps import heat_map, on_film  # and torch with it

    (heat,) = heat_map(cast("Model", model), pixels[None], target, method)
    return on_film(heat, model.preprocess, film[1], film[0], (shown[1], shown[0]))


def watched(model: Reads) -> Reads | None:
    """Return a twin of ``model``, for one thread, that needs no further pass for the map of the film that it has just
    answered; None where its answers would not be the model's to the last bit."""
    if not hasattr(model, "network"):
        return None
    from plainfilm.explain import heatmaps

    return heatmaps.watched(cast("Model", model))


def _png(colours: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(colours).save(file, "PNG", compress_level=1)  # speed: a film's noise hardly compresses
    return file.getvalue()
