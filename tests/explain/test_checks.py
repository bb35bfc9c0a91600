"""The checks tell a map that points at what decides from one that doesn't, and say so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from plainfilm.evaluation.decision import Decision
from plainfilm.explain.checks import (
    FilmChecks,
    deletion_insertion,
    outside_thorax,
    randomisation,
    shuffled,
    spearman,
    summary,
    thorax,
)
from plainfilm.explain.heatmaps import heat_map
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.model import Model

SIZE = 32
NAN = float("nan")


class Corner(nn.Module):
    """The more detail in the upper right quarter, the more probable is class 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(60.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        detail = x[:, 0, :16, 16:].std((1, 2))
        return torch.stack([torch.zeros_like(detail), self.weight * detail - 4], 1)


@pytest.fixture
def model() -> Model:
    preprocess = Preprocess(size=SIZE, channels=1, scaling="unit")
    return Model(Corner(), "vgg", Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA"), preprocess)


@pytest.fixture
def film() -> np.ndarray:
    return np.random.default_rng(0).integers(60, 190, (SIZE, SIZE), dtype=np.uint8)


def quarter(top: bool) -> np.ndarray:
    heat = np.zeros((8, 8), np.float32)
    heat[:4, 4:] = top
    heat[4:, :4] = not top
    return heat


def test_deletion_and_insertion_prefer_the_true_map(model, film):
    deletion, shuffled_deletion, insertion, shuffled_insertion, blank = deletion_insertion(
        model, film, quarter(True), 1, np.random.default_rng(0)
    )
    assert deletion < shuffled_deletion - 0.1 and insertion > shuffled_insertion + 0.1 and blank == 0


def test_a_map_of_the_wrong_place_gains_nothing(model, film):
    deletion, control, *_ = deletion_insertion(model, film, quarter(False), 1, np.random.default_rng(0))
    assert deletion > control


def test_a_class_that_a_blank_film_has_too_can_not_be_told(model, film):
    smooth = np.full_like(film, 120)
    smooth[0, 0] = 130
    *areas, blank = deletion_insertion(model, smooth, quarter(True), 0, np.random.default_rng(0))
    assert np.isnan(areas).all() and blank == 1
    *_, blank = deletion_insertion(
        replace(model, decision=replace(model.decision, threshold=0.0)),
        smooth,
        quarter(True),
        0,
        np.random.default_rng(0),
    )
    assert blank == 0  # of the class that the model decides for, whatever its probability


def test_an_empty_map_has_no_curves(model, film):
    assert np.isnan(deletion_insertion(model, film, np.zeros((8, 8), np.float32), 1, np.random.default_rng(0))).all()


def test_rank_correlation_as_scipy_has_it():
    from scipy.stats import spearmanr

    a, b = np.random.default_rng(0).integers(0, 4, (2, 6, 6)).astype(np.float32)
    assert spearman(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)
    assert spearman(a, 0 * a) == 0 and np.isnan(spearman(0 * a, b))


def test_shuffling_keeps_values_and_spares_the_first_layers():
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Linear(40, 3))
    head = shuffled(network, 0.0, np.random.default_rng(0))
    assert torch.equal(head[0].weight, network[0].weight) and not torch.equal(head[2].weight, network[2].weight)
    assert torch.equal(head[2].weight.flatten().sort()[0], network[2].weight.flatten().sort()[0])
    every = shuffled(network, 1.0, np.random.default_rng(0))
    assert not torch.equal(every[0].weight, network[0].weight)


class Edges(nn.Module):
    """Weights of one value, so that shuffling them changes nothing: what a method that only draws the film gives."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, bias=False)
        nn.init.ones_(self.layer.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = self.layer(x).mean((1, 2, 3))
        return torch.stack([-mean, mean], 1)


def test_a_map_that_survives_shuffled_weights_is_found_out(film):
    one = Model(Edges(), "vgg", Decision(("a", "b"), "b"), Preprocess(size=SIZE, channels=1, scaling="unit"))
    maps = heat_map(one, film[None], 1)
    found = randomisation(one, film[None], np.array([1]), maps, "hires-cam", 1.0, np.random.default_rng(0))
    assert found == pytest.approx([1.0])


def test_the_thorax_leaves_corners_and_edges_outside():
    mask = thorax(100, 200)
    assert mask.shape == (200, 100) and mask[100, 50] and not mask[0, 0] and not mask[100, 0]
    assert 0.75 < mask.mean() < 0.9


def test_mass_outside_the_thorax():
    preprocess = Preprocess(size=SIZE, resize="stretch", channels=1)
    corner = np.zeros((16, 16), np.float32)
    corner[0, 0] = 1
    middle = np.zeros((16, 16), np.float32)
    middle[8, 8] = 1
    assert outside_thorax(corner, preprocess, 90, 80)[0] > 0.6
    share, even = outside_thorax(middle, preprocess, 90, 80)
    assert share == 0 and even == pytest.approx(1 - thorax(64, 64).mean(), abs=1e-6)
    assert np.isnan(outside_thorax(0 * middle, preprocess, 90, 80)[0])


def checks(correlation: float, gain: float, blank: float = 0.0) -> list[FilmChecks]:
    return [FilmChecks(correlation, 0.1, 0.5, 0.5 + gain + i / 100, 0.5 + gain, 0.5, blank) for i in range(8)]


def test_good_maps_get_findings_and_bad_ones_red_lines():
    patients = [f"p{i}" for i in range(8)]
    good = summary(checks(0.05, 0.2), [(0.05, 0.08)] * 8, patients)
    assert good["red_lines"] == [] and len(good["findings"]) == 4
    bad = summary(checks(0.9, -0.2, blank=1.0), [(0.4, 0.08)] * 8, patients)
    assert bad["findings"] == [] and len(bad["red_lines"]) == 5
    assert "does not depend on the weights" in bad["red_lines"][0]
    assert bad["checks"]["randomised_all"] == pytest.approx({"value": 0.9, "low": 0.9, "high": 0.9, "films": 8})


def test_what_too_few_patients_cannot_show_is_a_note_and_no_red_line():
    told = summary(checks(0.05, 0.2)[:1], [(0.05, 0.08)], ["p"])
    assert told["red_lines"] == [] and told["findings"] == []
    assert len(told["notes"]) == 4 and all(line.startswith("Not shown with 1 film: whether ") for line in told["notes"])


def test_nothing_is_claimed_beyond_what_the_whole_interval_says():
    """Of two films, a rank correlation of -0.05 (-0.72 to 0.63) was said to show that the map depends on the weights;
    it is alike from 0.5 on."""
    spread = [replace(one, randomised_all=r) for one, r in zip(checks(0, 0.2), (-0.6, 0.9) * 4, strict=True)]
    patients = [f"p{i}" for i in range(8)]
    for films, said in ((spread[:2], "2 films"), (spread, "8 films")):
        told = summary(films, [(0.05, 0.08)] * len(films), patients[: len(films)])
        assert told["checks"]["randomised_all"]["low"] < 0.5 <= told["checks"]["randomised_all"]["high"]
        assert [line for line in told["notes"] if f"Not shown with {said}: whether the map depends" in line]
        assert not any("weights" in line for line in told["findings"] + told["red_lines"])


def test_shares_are_spaced_as_everywhere():
    [line] = [
        line for line in summary(checks(0, 0.2, 1.0), [(0, 0)] * 8, list("abcdefgh"))["red_lines"] if "grey" in line
    ]
    assert line.startswith("100 % of 8 films")


def test_nothing_is_said_of_what_was_not_measured():
    told = summary([], [(NAN, 0.1)], ["p"])
    assert told["red_lines"] == [] and told["findings"] == [] and told["checks"]["deletion"]["films"] == 0
