from __future__ import annotations

import pytest
import torch

from plainfilm.errors import InputError
from plainfilm.image.augment import Augment, Lent

PIXELS = torch.zeros(6, 33, 33, dtype=torch.uint8)
PIXELS[:, 10, 22] = 200  # a point right of the middle and above it


def draw(text: str) -> torch.Tensor:
    return Augment.parse(text)(PIXELS, torch.Generator().manual_seed(0))


def test_nothing_asked_nothing_done():
    assert torch.equal(draw(""), PIXELS) and draw("").dtype == torch.uint8


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


def film(count: int = 8, side: int = 64) -> torch.Tensor:
    """Smooth films with a fine pattern on top."""
    y, x = torch.meshgrid(torch.linspace(0, 6, side), torch.linspace(0, 6, side), indexing="ij")
    phase = torch.arange(count).view(-1, 1, 1)
    fine = 15 * (-1.0) ** torch.arange(side)
    return (110 + 60 * torch.sin(x + phase) * torch.cos(y) + fine).to(torch.uint8)


TONES = [
    "gamma=1",
    "contrast=.5",
    "brightness=40",
    "equalise=1",
    "sharpness=1",
    "noise=20",
    "erase=.5",
    "style=1",
    "shading=.4",
]


@pytest.mark.parametrize("text", [*TONES, "stretch=.5"])
def test_each_kind_changes_each_film_in_its_own_way_within_the_range_of_films(text):
    pixels = film()
    change = Augment.parse(text)
    out = change(pixels, torch.Generator().manual_seed(1))
    assert out.shape == pixels.shape and out.dtype == torch.float32 and out.min() >= 0 and out.max() <= 255
    differences = (out - pixels).abs().mean((1, 2))
    assert (differences > 0).float().mean() >= 0.75 and differences.unique().numel() == differences.numel()
    assert torch.equal(out, change(pixels, torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("text", ["rotation=9,style=1,noise=5,erase=.4", "style=.6", "zoom=.2,gamma=1,equalise=1"])
@pytest.mark.parametrize("wanted", [[0, 1, 2], [3, 4, 5, 6, 7], [7, 1], []])
def test_some_of_the_films_are_changed_as_they_are_among_all(text, wanted):
    pixels, change = film(), Augment.parse(text)
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    some = torch.tensor(wanted, dtype=torch.long)
    assert torch.equal(change(pixels, generators[0], some), change(pixels, generators[1])[some])
    assert torch.equal(generators[0].get_state(), generators[1].get_state())


def test_stretch_lengthens_one_side_against_the_other():
    squares = torch.zeros(20, 65, 65)
    squares[:, 22:43, 22:43] = 200
    out = Augment(stretch=0.5)(squares, torch.Generator().manual_seed(0)) > 100
    height, width = out.any(2).sum(1).float(), out.any(1).sum(1).float()
    ratio = width / height
    assert ratio.min() < 0.8 and ratio.max() > 1.25 and ratio.min() >= 1 / 1.65 and ratio.max() <= 1.65
    assert ((height * width).sqrt() - 21).abs().max() < 1.5  # the area stays


def test_grey_values_keep_their_order_under_tone():
    ramp = torch.arange(256).float().view(1, 16, 16)
    for text in TONES[:4]:
        out = Augment.parse(text)(ramp, torch.Generator().manual_seed(3)).flatten()
        assert (out.diff() >= -1e-3).all(), text


def test_equalisation_moves_grey_values_towards_their_rank():
    """Ranks of a film whose greys are all equally frequent are the greys themselves; a dark film gets brighter."""
    even = torch.arange(256).float().repeat(4).view(1, 32, 32)
    assert (Augment(equalise=1)(even, torch.Generator().manual_seed(0)) - even).abs().max() <= 1
    dark = (even / 255) ** 3 * 255
    out = Augment(equalise=1)(dark.repeat(200, 1, 1), torch.Generator().manual_seed(0))
    brightest = out[out.mean((1, 2)).argmax()]  # of 200 draws one goes nearly all the way
    assert (torch.histc(brightest, 4, 0, 255) / 1024 - 0.25).abs().max() < 0.1


def test_style_keeps_the_film_whose_partner_it_is_and_the_phase():
    pixels = film(1)
    alone = Augment(style=1)(pixels, torch.Generator().manual_seed(0))
    assert torch.allclose(alone, pixels.float(), atol=0.05)  # a batch of one has only itself
    several = film(6).float()
    out = Augment(style=0.5)(several, torch.Generator().manual_seed(0))
    pairs = zip(several.flatten(1), out.flatten(1), strict=True)
    assert all(torch.corrcoef(torch.stack(pair))[0, 1] > 0.8 for pair in pairs)


def test_across_classes_each_film_takes_the_style_of_the_other_class():
    pixels = film(6)
    pixels[3:] = (pixels[3:].float() * 0.2).to(torch.uint8)  # the second class is darker, and of less contrast
    labels = torch.tensor([0, 0, 0, 1, 1, 1])

    def means(text, classes=labels):
        change = Augment.parse(text)
        return torch.stack(
            [change(pixels, torch.Generator().manual_seed(k), labels=classes).mean((1, 2)) for k in range(40)]
        )

    crossed, plain = means("style=1,cross=1"), means("style=1")
    own = pixels.float().mean((1, 2))
    assert (crossed[:, :3] < own[:3]).all() and (crossed[:, 3:] > own[3:]).all()
    assert abs(crossed[:, :3].mean() - crossed[:, 3:].mean()) < 0.15 * (own[:3].mean() - own[3:].mean())
    assert not (plain[:, :3] < own[:3] - 1).all()
    assert torch.equal(means("style=1,cross=1", None), plain)


def test_films_of_elsewhere_lend_their_style_to_those_that_take_it():
    pixels, dark = film(4), (film(2).float() * 0.2).to(torch.uint8)
    lent = Lent(dark, torch.tensor([0, -1, 1, -1]))
    change = Augment.parse("style=1")
    means = [change(pixels, torch.Generator().manual_seed(k), lent=lent).mean((1, 2)) for k in range(30)]
    moved = torch.stack(means).mean(0) / pixels.float().mean((1, 2))
    assert (moved[[0, 2]] < 0.75).all() and (moved[[1, 3]] > 0.95).all()
    generators = (torch.Generator().manual_seed(5) for _ in range(2))
    some = change(pixels, next(generators), torch.tensor([2, 3]), lent=lent)
    assert torch.allclose(some, change(pixels, next(generators), lent=lent)[2:], atol=1e-3)


def test_a_batch_of_one_class_takes_styles_from_itself():
    change, pixels = Augment.parse("style=1,cross=1"), film(4)
    mixed = change(pixels, torch.Generator().manual_seed(0), labels=torch.zeros(4, dtype=torch.long))
    assert mixed.shape == pixels.shape and not torch.equal(mixed, pixels.float())


def test_sharpness_goes_from_a_blur_to_its_opposite():
    pixels = film(40)
    out = Augment(sharpness=1)(pixels, torch.Generator().manual_seed(0))
    fine = (out[:, :, 1:] - out[:, :, :-1]).abs().mean((1, 2))
    own = (pixels[:, :, 1:].float() - pixels[:, :, :-1].float()).abs().mean()
    assert fine.min() < 0.6 * own and fine.max() > 1.2 * own


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rotate=5", "Did you mean 'rotation'"),
        ("flip=2", "outside 0 to 1"),
        ("zoom", "NAME=NUMBER"),
        ("noise=65", "0 to 64"),
    ],
)
def test_wrong_words(text, said):
    with pytest.raises(InputError, match=said):
        Augment.parse(text)


def test_shading_is_a_plane_of_any_direction_that_leaves_the_middle():
    out = Augment(shading=0.3)(torch.full((50, 33, 33), 100.0), torch.Generator().manual_seed(0))
    assert torch.allclose(out[:, 16, 16], torch.tensor(100.0)) and out.max() <= 100 * (1 + 0.3 * 2**0.5)
    assert out.diff(n=2, dim=1).abs().max() < 1e-3 and out.diff(n=2, dim=2).abs().max() < 1e-3
    assert (out[:, 16, 32] > 100).any() and (out[:, 16, 32] < 100).any() and (out[:, 32, 16] > 101).any()
