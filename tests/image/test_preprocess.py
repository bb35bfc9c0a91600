from __future__ import annotations

import numpy as np
import pytest
import torch

from plainfilm.errors import InputError
from plainfilm.image.preprocess import CAFFE_MEANS, Preprocess

WIDE = np.tile(np.linspace(0, 255, 300).astype(np.uint8), (200, 1))  # brightness runs from left to right


def test_crop_scales_the_shorter_side_and_keeps_the_middle_of_the_longer():
    pixels = Preprocess(size=64, resize="crop").pixels(WIDE)
    assert pixels.shape == (64, 64)
    assert abs(int(pixels[0, 0]) - WIDE[0, 51]) <= 2 and abs(int(pixels[0, -1]) - WIDE[0, 248]) <= 2
    assert (Preprocess().pixels(WIDE.T) == pixels.T).all()


def test_pad_keeps_the_whole_film_on_black_and_stretch_fills_the_square():
    padded = Preprocess(resize="pad").pixels(WIDE)
    rows = np.flatnonzero(padded.any(1))
    assert (rows[0], rows[-1], len(rows)) == (10, 52, 43)
    assert padded[32, -1] > 245
    stretched = Preprocess(resize="stretch").pixels(WIDE)
    assert stretched[0, 0] < 5 and stretched[0, -1] > 250


def test_resizing_is_antialiased():
    checker = (np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)
    assert np.abs(Preprocess().pixels(checker).astype(int) - 127).max() <= 3


def test_film_scaling_removes_exposure_and_does_not_depend_on_the_batch():
    rng = np.random.default_rng(0)
    film = rng.integers(40, 120, (1, 64, 64), dtype=np.uint8)
    others = rng.integers(0, 255, (7, 64, 64), dtype=np.uint8)
    p = Preprocess(scaling="film")
    x = p.tensor(film)
    assert x.shape == (1, 3, 64, 64) and x.dtype == torch.float32
    assert abs(float(x.mean())) < 1e-6 and abs(float(x.double().std(correction=0)) - 1) < 1e-6
    assert torch.equal(x[0], p.tensor(np.concatenate([others, film]))[-1])
    assert torch.allclose(x, p.tensor(film * 2), atol=1e-6)  # twice the exposure, same input


def test_film_scaling_does_not_blow_up_noise():
    flat = np.full((1, 64, 64), 100, np.uint8)
    flat[0, 0, 0] = 101
    assert float(Preprocess().tensor(flat).abs().max()) <= 0.5


@pytest.mark.parametrize(("scaling", "low", "high"), [("unit", 0, 1), ("centre", -2, 2)])
def test_fixed_scalings(scaling, low, high):
    ends = torch.tensor([[[0, 255]]], dtype=torch.uint8)
    x = Preprocess(scaling=scaling, channels=1).tensor(ends)
    assert x.shape == (1, 1, 1, 2) and x.flatten().tolist() == [low, high]


def test_caffe_scaling_is_vgg16s_own():
    x = Preprocess(size=224, scaling="caffe").tensor(np.full((2, 224, 224), 100, np.uint8))
    assert x.shape == (2, 3, 224, 224)
    assert np.allclose(x[0, :, 0, 0].numpy(), [100 - m for m in CAFFE_MEANS])


def test_bytes_in_equal_store_in(make_film):
    from plainfilm.image.decode import decode

    data, p = make_film(1, True), Preprocess()
    assert torch.equal(p(data), p.tensor(p.pixels(decode(data))[None])[0])


@pytest.mark.parametrize(
    "wrong", [{"size": 4}, {"resize": "zoom"}, {"channels": 2}, {"scaling": "z"}, {"channels": 1, "scaling": "caffe"}]
)
def test_wrong_settings(wrong):
    with pytest.raises(InputError, match="Preprocessing can't be done"):
        Preprocess(**wrong)
