"""Maps point at what decides, whatever the network, and leave nothing behind; a pixel stays at its place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from plainfilm.errors import InputError, PlainfilmError
from plainfilm.evaluation.decision import Decision
from plainfilm.explain import heatmaps
from plainfilm.explain.heatmaps import heat_map, on_film, on_input, seen, watched
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.engines import Features
from plainfilm.models.model import Model
from plainfilm.models.zoo import recipe

SIZE = 32


def model_of(network: nn.Module, **preprocess) -> Model:
    chosen = Preprocess(**{"size": SIZE, "channels": 1, "scaling": "unit", **preprocess})
    return Model(network, "vgg", Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA"), chosen)


class Bright(nn.Module):
    """Calls PNEUMONIA by the brightness of one quarter of the film, after a flattening as in the paper's networks."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.MaxPool2d(4), nn.Dropout(0.5), nn.Flatten())
        self.head = nn.Linear((SIZE // 4) ** 2, 2)
        with torch.no_grad():
            self.features[0].weight.fill_(1.0)
            self.features[0].bias.zero_()
            quarter = torch.zeros(SIZE // 4, SIZE // 4)
            quarter[:4, 4:] = 1
            self.head.weight.copy_(torch.stack([torch.zeros(64), quarter.flatten()]))
            self.head.bias.copy_(torch.tensor([0.0, -0.1]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


class Tokens(nn.Module):
    """A transformer in small: 4 × 4 patches behind a class token, which alone is read."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm = nn.Conv2d(1, 2, 8, 8), nn.LayerNorm(2)
        self.mix, self.head = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.patch(x).flatten(2).transpose(1, 2)
        tokens = self.norm(torch.cat([patches[:, :1] * 0, patches], 1))
        return self.head(self.mix(tokens).tanh().sum(1))


def films(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(50, 200, (count, SIZE, SIZE), dtype=np.uint8)


def test_the_map_lies_where_the_network_looks_and_nowhere_else():
    maps = heat_map(model_of(Bright()), films(), 1)
    assert maps.shape == (3, SIZE, SIZE) and maps.dtype == np.float32  # before the pool, not behind it
    assert maps.max((1, 2)) == pytest.approx(1) and maps.min() == 0
    assert maps[:, :16, 16:].sum() == maps.sum() > 0


def test_the_mean_gradient_forgets_where_a_flattened_head_looks():
    maps = heat_map(model_of(Bright()), films(), 1, "grad-cam")
    assert maps[:, :16, 16:].sum() < 0.5 * maps.sum()


def test_the_other_class_has_no_evidence_and_so_an_empty_map():
    assert not heat_map(model_of(Bright()), films(), 0).any()


def test_without_a_target_the_class_decided_for_is_explained():
    model = model_of(Bright())
    assert model.decision.decide(model.probabilities(films())).tolist() == [1, 1, 1]
    assert np.array_equal(heat_map(model, films()), heat_map(model, films(), np.array([1, 1, 1])))


def test_averaged_maps_are_the_same_by_both_methods():
    torch_rng = torch.Generator().manual_seed(3)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    for values in network.parameters():
        nn.init.normal_(values, generator=torch_rng)
    a, b = (heat_map(model_of(network), films(), 1, method) for method in ("hires-cam", "grad-cam"))
    assert a == pytest.approx(b, abs=1e-5) and a.any()


def test_a_film_has_the_same_map_alone_and_among_others():
    model = model_of(Bright())
    together = heat_map(model, films(11), 1)
    assert heat_map(model, films(11)[9:10], 1)[0] == pytest.approx(together[9], abs=1e-6)


def test_the_model_is_left_as_it_was():
    network = Bright().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    heat_map(model_of(network), films(), 1)
    assert network.training and not any(m._forward_hooks for m in network.modules())
    assert all(p.grad is None for p in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["vgg", "vgg-bn", "best"])
def test_a_watched_models_answer_and_map_take_one_pass_and_are_the_models_own(name, monkeypatch):
    model = model_of(recipe(name).build(2, Preprocess(size=SIZE)).eval(), channels=3)
    kept, passes, plain = watched(model), [], heatmaps._passed
    assert kept and kept.network is not model.network
    few = films(3)
    wanted = [(model.answered(film[None]), heat_map(model, film[None], 1)) for film in few]
    monkeypatch.setattr(heatmaps, "_passed", lambda *a: (passes.append(1), plain(*a))[1])
    for film, (answer, heat) in zip(few, wanted, strict=True):
        assert all(map(np.array_equal, kept.answered(film[None]), answer))
        assert np.array_equal(heat_map(kept, film[None], 1), heat) and kept.last is None
    assert len(passes) == 3
    kept.answered(few[:1])
    assert np.array_equal(heat_map(kept, few[1:2], 1), wanted[1][1])  # another film than was answered last
    assert len(passes) == 5


def test_no_answer_changes_for_being_watched():
    class Moody(Bright):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * (1 + torch.is_grad_enabled())

    assert watched(model_of(Moody())) is None
    other_engine = model_of(recipe("vgg").build(2, Preprocess(size=SIZE)).eval(), channels=3)
    other_engine.features = Features(other_engine.network, 16)
    assert watched(other_engine) is None


def test_frozen_networks_have_maps_too():
    network = Bright().requires_grad_(False)
    assert heat_map(model_of(network), films(), 1).any()


def test_tokens_become_a_grid_without_the_class_token():
    assert heat_map(model_of(Tokens()), films(), 1).shape == (3, 4, 4)


def test_a_network_may_name_its_layer():
    network = Bright()
    network.cam_layer = lambda: network.features[2]  # type: ignore[assignment]
    network.features[2] = nn.Conv2d(1, 1, 4, 4)
    assert heat_map(model_of(network), films(), 1).shape == (3, 8, 8)


def test_occlusion_needs_no_layers_and_marks_what_decides():
    """Of a linear network the log-odds that each square costs are known."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 2))
    weight = np.zeros((SIZE, SIZE), np.float32)
    weight[:16, 16:] = 0.02
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor(np.stack([0 * weight, weight]).reshape(2, -1)))
        network[1].bias.zero_()
    bright = films() // 3
    bright[:, :16, 16:] += 120
    maps = heat_map(model_of(network), bright, 1, "occlusion")
    assert maps.shape == (3, 8, 8) and maps[:, :4, 4:].sum() > 0.85 * maps.sum()
    covered = np.zeros((3, 8, 8))
    for row, column in np.ndindex(8, 8):
        there = (slice(max(0, 4 * row - 2), 4 * row + 6), slice(max(0, 4 * column - 2), 4 * column + 6))
        grey = np.round(bright.mean((1, 2), keepdims=True))
        covered[:, row, column] = ((bright[:, *there] - grey) * weight[there]).sum((1, 2)).clip(0) / 255
    assert maps == pytest.approx(covered / covered.max((1, 2), keepdims=True), abs=1e-3)
    assert not heat_map(model_of(network), bright, 0, "occlusion").any()  # all of it speaks for the other class


def test_what_has_no_map_is_said():
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 2))
    with pytest.raises(PlainfilmError, match="no layer with a map"):
        heat_map(model_of(network), films(), 1)
    with pytest.raises(InputError, match=r"no method 'gradcam'.*Did you mean 'grad-cam'"):
        heat_map(model_of(Bright()), films(), 1, "gradcam")


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize(("width", "height"), [(160, 96), (90, 150), (64, 64)])
def test_a_spot_on_the_film_comes_back_to_its_place(resize, width, height):
    preprocess = Preprocess(size=SIZE, resize=resize, channels=1, scaling="unit")
    y, x = int(height * 0.45), int(width * 0.55)
    film = np.zeros((height, width), np.uint8)
    film[y - 4 : y + 5, x - 4 : x + 5] = 255
    heat = preprocess.pixels(film).astype(np.float32) / 255
    back = on_film(heat, preprocess, width, height)
    assert back.shape == film.shape
    rows, columns = np.mgrid[0:height, 0:width]
    centre = (rows * back).sum() / back.sum(), (columns * back).sum() / back.sum()
    assert centre == pytest.approx((y, x), abs=1.0)


def test_what_was_cut_away_has_no_evidence():
    whole = on_film(np.ones((4, 4), np.float32), Preprocess(size=SIZE), 160, 96)
    part = seen(Preprocess(size=SIZE), 160, 96)
    assert part == (32, 0, 96, 96)
    assert (whole[:, :32] == 0).all() and (whole[:, 128:] == 0).all() and (whole[:, 33:127] == 1).all()


def test_a_map_is_interpolated_to_the_input():
    assert on_input(np.eye(4, dtype=np.float32)[None], SIZE).shape == (1, SIZE, SIZE)


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_a_map_over_the_film_is_the_one_that_pillow_draws(resize):
    rng = np.random.default_rng(0)
    for _ in range(20):
        width, height, cells = (int(n) for n in rng.integers((100, 100, 2), (900, 900, 15)))
        heat, p = rng.random((cells, cells), np.float32), Preprocess(size=SIZE, resize=resize)
        part = seen(p, width, height)
        x, y = cells / part.width, cells / part.height
        shown = (width // 2, height // 2)
        step = (width / shown[0] * x, height / shown[1] * y)
        matrix = (step[0], 0, -part.left * x, 0, step[1], -part.top * y)
        drawn = Image.fromarray(heat).transform(shown, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        away = np.abs(on_film(heat, p, width, height, shown) - np.asarray(drawn)) > 1e-5
        assert away.mean() <= 2 / min(shown)  # two lines, where pixels' middles lie on the edge of what was seen
