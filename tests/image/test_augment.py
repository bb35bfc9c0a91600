from __future__ import annotations

import pytest
import torch

from plainfilm.errors import InputError
from plainfilm.image.augment import Augment

PIXELS = torch.zeros(6, 33, 33, dtype=torch.uint8)
PIXELS[:, 10, 22] = 200  # a point right of the middle and above it


def draw(text: str) -> torch.Tensor:
    return Augment.parse(text)(PIXELS, torch.Generator().manual_seed(0))


def test_nothing_asked_nothing_done():
    assert draw("") is PIXELS


def test_flip_mirrors_about_half_of_the_films_and_nothing_else():
    flipped = draw("flip=1")
    places = {tuple(torch.nonzero(film > 100)[0].tolist()) for film in flipped}
    assert places == {(10, 22), (10, 10)}


@pytest.mark.parametrize("text", ["rotation=20", "translation=.2", "zoom=.5", "shear=30"])
def test_each_kind_moves_the_point_and_films_differ(text):
    moved = draw(text)
    assert moved.shape == PIXELS.shape and moved.dtype == torch.float32
    assert not torch.allclose(moved[0], PIXELS[0].float(), atol=1)
    assert not torch.allclose(moved[0], moved[1], atol=1)
    assert torch.equal(moved, draw(text))


@pytest.mark.parametrize(
    ("text", "said"), [("rotate=5", "Did you mean 'rotation'"), ("flip=2", "outside 0 to 1"), ("zoom", "NAME=NUMBER")]
)
def test_wrong_words(text, said):
    with pytest.raises(InputError, match=said):
        Augment.parse(text)
