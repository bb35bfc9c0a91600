"""Pictures of maps: the film's shape, grey where there is no evidence, an even scale of colours."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from torch import nn

from plainfilm.evaluation.decision import Decision
from plainfilm.explain.overlay import LONGEST, OPACITY, blended, coloured, heat_png, overlay_png, palette, reduced
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.model import Model


def model() -> Model:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 30 * 30, 2))
    return Model(network, "vgg", Decision(("a", "b"), "b"), Preprocess(size=32, channels=1))


def test_both_pictures_have_the_films_shape(make_film):
    data = make_film(1, True, (120, 80))
    over, heat = (Image.open(io.BytesIO(png(model(), data))) for png in (overlay_png, heat_png))
    assert (over.size, over.mode) == ((120, 80), "RGB") and (heat.size, heat.mode) == ((120, 80), "RGBA")
    outside = np.asarray(over)[:, :19]  # cut away before the model saw it
    assert (outside == outside[..., :1]).all() and (np.asarray(heat)[:, :19, 3] == 0).all()


def test_no_evidence_leaves_the_film_alone():
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert (blended(grey, np.zeros((8, 8), np.float32)) == grey[..., None]).all()
    assert coloured(np.ones((1, 1), np.float32))[0, 0, 3] > coloured(np.full((1, 1), 0.5, np.float32))[0, 0, 3] > 0


def test_colours_are_the_films_and_the_maps_by_how_strong_the_evidence_is():
    """The tables against what they are of, for all strengths and all grey values."""
    grey, heat = np.meshgrid(np.arange(256, dtype=np.uint8), np.linspace(0, 1, 1021, dtype=np.float32))
    alpha = OPACITY * heat[..., None]
    wanted = grey[..., None] * (1 - alpha) + palette()[(heat * 255).round().astype(np.uint8)] * alpha
    assert np.abs(blended(grey, heat) - wanted).max() <= 1.5  # half a step of strength, of opacity, and of colour
    assert np.abs(coloured(heat)[..., 3] - 255 * alpha[..., 0]).max() <= 1


def test_the_scale_rises_evenly_in_lightness():
    lightness = palette().astype(float) @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness[::8]) > 0).all()


def test_large_films_are_reduced_and_small_ones_are_not():
    assert reduced(np.zeros((3000, 1500), np.uint8)).shape == (LONGEST, LONGEST // 2)
    assert reduced(np.zeros((30, 50), np.uint8)).shape == (30, 50)
