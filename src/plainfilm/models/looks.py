"""What is measured of a film's picture, so that films compare without a network: thumbnail, statistics, edges."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SIDE = 32  # of the thumbnail
DETAIL = 64  # side of the picture that edges are taken of, and at most that of statistics
PARTS = 3  # that each side of a film is cut into for its edges
DIRECTIONS = 12  # of edges, over half a circle
COARSE = 16  # side of the thumbnail that stands beside the edges
WEIGHT = np.float32(0.28)  # of its pixels: over films of children its variance is then two fifths that of the edges
FLAT = 1e-3  # added to a squared length, so that a part without any edge has none
HALF = np.float32(np.pi)
# What does not depend on the films: pixels of a thumbnail's outermost two rows and columns; where the histogram of the
# part of a pixel that has neighbours begins, among those of its film.
BORDER = np.flatnonzero(np.pad(np.zeros((SIDE - 4, SIDE - 4), bool), 2, constant_values=True))
_PART = np.arange(DETAIL - 2) * PARTS // (DETAIL - 2)
HISTOGRAM = DIRECTIONS * (PARTS * _PART[:, None] + _PART)


class Statistic(NamedTuple):
    """A physical statistic: how much another site's equipment may add, and the reason when it is too low or high."""

    tolerance: float
    low: str
    high: str


STATISTICS = {
    "brightness": Statistic(0.12, "darker than the training films", "brighter than the training films"),
    "contrast": Statistic(0.06, "less contrast than the training films", "more contrast than the training films"),
    "black": Statistic(0.15, "", "more of it is black than in the training films"),
    "white": Statistic(0.10, "", "more of it is white than in the training films"),
    "greys": Statistic(0.6, "fewer shades of grey than the training films", ""),
    "sharpness": Statistic(
        0.7, "blurred: less detail than the training films", "grainier or sharper edges than the training films"
    ),
    "symmetry": Statistic(0.25, "left and right differ more than in the training films", ""),
    "border": Statistic(0.1, "", "its border is lighter than in the training films"),
}


def thumbnails(pixels: np.ndarray) -> np.ndarray:
    """Return (B, SIDE, SIDE) float32 thumbnails of (B, S, S) uint8: ranks of the grey levels within the film, -½..½.

    Equal greys share their mean rank, so any monotone change of the greys changes nothing but roundings.
    """
    levels = np.rint(4 * _averaged(pixels, SIDE)).astype(np.int64).reshape(len(pixels), -1)  # quarters of a grey level
    span = 4 * 255 + 1
    offset = span * np.arange(len(pixels))[:, None]
    counts = np.bincount((levels + offset).ravel(), minlength=span * len(pixels)).reshape(len(pixels), span)
    ranks = np.cumsum(counts, 1) - counts / 2
    even = np.take_along_axis(ranks, levels, 1) / SIDE**2 - 0.5
    return even.astype(np.float32).reshape(-1, SIDE, SIDE)


def _averaged(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return (B, side, side) float32 means over equal squares of (B, S, S) uint8, each pixel counted by its share."""
    if pixels.shape[1] == side:
        return pixels.astype(np.float32)
    average = _shares(pixels.shape[1], side)
    return np.asarray(average @ pixels.astype(np.float32) @ average.T)


@cache
def _shares(size: int, side: int) -> np.ndarray:
    """(side, size) float32: the share of each of ``size`` pixels in each of ``side`` equal parts of them."""
    edges = np.linspace(0, size, side + 1)
    at = np.arange(size)
    overlap = np.minimum(edges[1:, None], at + 1) - np.maximum(edges[:-1, None], at)
    return np.asarray(overlap.clip(min=0) * side / size, dtype=np.float32)


def detail(pixels: np.ndarray) -> np.ndarray:
    """Return (B, DETAIL, DETAIL) float32 means of the grey levels of (B, S, S) uint8, 0..255."""
    return _averaged(pixels, DETAIL)


def statistics(pixels: np.ndarray, small: np.ndarray | None = None, fine: np.ndarray | None = None) -> Floats:
    """Return (B, len(STATISTICS)) physical statistics of (B, S, S) uint8 films, in the order of STATISTICS.

    ``small``, ``fine``: their ``thumbnails`` and ``detail``, where they are at hand.

    Films larger than 64×64 are averaged down to that first: noise and blur finer than that differ between detectors.
    brightness, contrast: mean and standard deviation / 255; black, white: share of pixels within 4 of 0 and of 255;
    greys: bits of entropy of the histogram in 64 levels; sharpness: logarithm of the mean absolute second difference
    over the standard deviation; symmetry: correlation of the thumbnail with its mirror image; border: mean rank of
    the thumbnail's outermost two pixels, -½..½.
    """
    small = thumbnails(pixels) if small is None else small
    if pixels.shape[1] > DETAIL:
        pixels = np.rint(detail(pixels) if fine is None else fine).astype(np.uint8)
    grey = pixels.astype(np.float32) / 255
    contrast = grey.std((1, 2))
    steps = grey[:, 1:] - grey[:, :-1], grey[:, :, 1:] - grey[:, :, :-1]
    bends = steps[0][:, 1:] - steps[0][:, :-1], steps[1][:, :, 1:] - steps[1][:, :, :-1]
    down, across = (np.abs(bend).mean((1, 2)) for bend in bends)
    columns = (
        grey.mean((1, 2)),
        contrast,
        (pixels <= 4).mean((1, 2)),
        (pixels >= 251).mean((1, 2)),
        _entropy(pixels),
        np.log((down + across) / (contrast + 0.01) + 1e-3),
        (small * small[:, :, ::-1]).sum((1, 2)) / ((small**2).sum((1, 2)) + 1e-6),
        small.reshape(len(small), -1)[:, BORDER].mean(1),
    )
    return np.stack(columns, 1).astype(np.float64)


def _entropy(pixels: np.ndarray) -> Floats:
    offset = 64 * np.arange(len(pixels))[:, None, None]
    counts = np.bincount((pixels // 4 + offset).ravel(), minlength=64 * len(pixels)).reshape(len(pixels), 64)
    shares = counts / counts.sum(1, keepdims=True)
    return np.asarray(-(shares * np.log2(np.where(shares > 0, shares, 1))).sum(1))


def edges(fine: np.ndarray) -> np.ndarray:
    """Return (B, PARTS² · DIRECTIONS) float32, 0..1: how much edge of each direction is in each part of a film.

    ``fine``: (B, DETAIL, DETAIL) of films, as ``detail`` gives it. Histograms of gradients (Dalal & Triggs 2005,
    doi 10.1109/CVPR.2005.177): each pixel's gradient counts by its length for the two nearest of DIRECTIONS
    directions, light to dark as dark to light; each part's histogram has the length 1, so that exposure and contrast
    do not matter.
    """
    across, down = fine[:, 1:-1, 2:] - fine[:, 1:-1, :-2], fine[:, 2:, 1:-1] - fine[:, :-2, 1:-1]
    length = np.hypot(across, down)
    angle = np.arctan2(down, across)
    turn = np.where(angle < 0, angle + HALF, np.where(angle < HALF, angle, 0)) * np.float32(DIRECTIONS / np.pi)  # 0..π
    lower = np.floor(turn)
    nearer = turn - lower
    below = lower.astype(np.int64)
    below[below == DIRECTIONS] = 0
    above = below + 1
    above[above == DIRECTIONS] = 0
    first = HISTOGRAM + PARTS**2 * DIRECTIONS * np.arange(len(fine))[:, None, None]
    count = len(fine) * PARTS**2 * DIRECTIONS
    histograms = np.bincount((first + below).ravel(), ((1 - nearer) * length).ravel(), count)
    histograms += np.bincount((first + above).ravel(), (nearer * length).ravel(), count)
    parts = histograms.reshape(len(fine), PARTS**2, DIRECTIONS)
    parts = parts / np.sqrt((parts**2).sum(-1, keepdims=True) + FLAT)
    return np.asarray(parts.reshape(len(fine), -1), np.float32)


def outlines(fine: np.ndarray, small: np.ndarray) -> np.ndarray:
    """Return (B, PARTS² · DIRECTIONS + COARSE²) float32: the ``edges`` of films, and where they are light and dark.

    ``fine``, ``small``: their ``detail`` and ``thumbnails``.
    """
    coarse = small.reshape(len(small), COARSE, SIDE // COARSE, COARSE, SIDE // COARSE).mean((2, 4))
    return np.concatenate([edges(fine), WEIGHT * coarse.reshape(len(small), -1)], 1)
