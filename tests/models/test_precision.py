"""Which precision is chosen and why; what stays in 32 bits; that answers hardly change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit
from tests.training.test_loop import P, network
from torch import nn

from plainfilm.config import TrainConfig
from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Band, Decision
from plainfilm.image.preprocess import Preprocess
from plainfilm.machine import processor
from plainfilm.models.batchnorm import BatchNorm2d, mean_and_variance
from plainfilm.models.dropout import dropout
from plainfilm.models.mixed import Mixed, half
from plainfilm.models.model import Model
from plainfilm.models.precision import Precision, decide, of_model
from plainfilm.models.zoo import recipe

CPU, SHAPE = torch.device("cpu"), (3, 16, 16)


def build():
    return network("vgg")


@pytest.fixture
def machine(monkeypatch):
    """Say what the processor has and how long each way takes on it; count the trials."""
    monkeypatch.delenv("PLAINFILM_PRECISION")
    trials = []

    def is_(has: str, **shares: float) -> list[str]:
        monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: has)
        steps = {"32": 1.0, "16": shares.get("steps", 9.0)}
        passes = {"torch 32": 2.0, "ncnn 32": 1.0, "torch 16": 9.0, "openvino 16": shares.get("passes", 9.0)}

        def seconds(work, prepare):
            trials.append(work)
            return steps if work.startswith("steps") else passes

        monkeypatch.setattr(processor, "seconds", seconds)
        return trials

    return is_


def test_without_bfloat16_all_is_as_it_was_and_nothing_is_tried(machine):
    trials = machine("")
    found = decide("auto", CPU, build, SHAPE, True)
    assert (found.training, found.passes) == (32, 32) and "does not multiply bfloat16" in found.why and trials == []


@pytest.mark.parametrize(
    ("passes", "steps", "bits"), [(0.5, 0.5, (16, 16)), (0.5, 0.95, (32, 16)), (0.95, 2, (32, 32))]
)
def test_auto_takes_what_a_trial_finds_faster(machine, passes, steps, bits):
    machine("AMX", passes=passes, steps=steps)
    found = decide("auto", CPU, build, SHAPE, True)
    assert (found.training, found.passes) == bits
    share = f"{100 * passes:.0f} % of the time that 32 bits take"
    assert f"the processor has AMX; passes by openvino take {share}" in found.why
    assert decide("auto", CPU, build, SHAPE, False).training == 32  # a head on frozen features


def test_what_is_asked_for_is_done_anywhere(machine):
    trials = machine("")
    found = decide("16", CPU, build, SHAPE, True)
    assert (found.training, found.passes) == (16, 16) and "emulates" in found.why
    assert decide("32", CPU, build, SHAPE, True).passes == 32 and decide("16", CPU, None, SHAPE, True).passes == 32
    assert trials == []


def test_a_real_trial_names_real_engines(monkeypatch, tmp_path):
    monkeypatch.delenv("PLAINFILM_PRECISION")
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path))
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: "AMX")
    state = torch.get_rng_state()
    found = decide("auto", CPU, build, SHAPE, True)
    assert {found.training, found.passes} <= {16, 32} and "steps take" in found.why and "passes by" in found.why
    assert torch.equal(state, torch.get_rng_state()) and decide("auto", CPU, build, SHAPE, True) == found


@pytest.mark.parametrize(("has", "own", "bits"), [("AMX", 16, 16), ("AMX", 32, 32), ("", 16, 32)])
def test_a_model_computes_as_its_own_predictions_did_where_it_can(machine, has, own, bits):
    machine(has)
    told = {"precision": Precision(32, own, "").as_dict()}
    assert of_model("auto", told) == bits and of_model("32", told) == 32 and of_model("16", told) == 16
    assert of_model("auto", {}) == 32  # models from before


def test_head_and_log_odds_have_32_bits():
    made, seen = network("vgg-bn").eval(), []
    made.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    made.features[0].register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    x = torch.rand(4, 3, 16, 16)
    logits = Mixed(made)(x)
    assert seen == [torch.bfloat16, torch.float32] and logits.dtype == torch.float32
    assert not torch.equal(logits, made(x)) and torch.allclose(logits, made(x), atol=0.05)
    assert {p.dtype for p in made.parameters()} == {torch.float32}


def test_statistics_of_16_bit_maps_have_32_bits():
    x = (torch.randn(8, 4, 32, 32) * 3 + 20).contiguous(memory_format=torch.channels_last).bfloat16()
    mean, variance = mean_and_variance(x)
    assert mean.dtype == variance.dtype == torch.float32
    wide = x.double()
    assert torch.allclose(mean.double(), wide.mean((0, 2, 3)), rtol=1e-6)
    assert torch.allclose(variance.double(), wide.var((0, 2, 3), correction=0), rtol=1e-5)
    layer = BatchNorm2d(4, momentum=0.5)
    y = layer(x.requires_grad_())
    y.float().square().sum().backward()
    assert y.dtype == torch.bfloat16 and layer.running_mean.dtype == torch.float32
    assert torch.allclose(layer.running_mean, mean / 2) and layer.weight.grad.dtype == torch.float32


def test_dropout_keeps_the_mean_of_16_bit_maps():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = dropout(torch.ones(1_000_000, dtype=torch.bfloat16), 0.25)
    assert dropped.max() == pytest.approx(4 / 3, rel=1e-6)  # the nearest bfloat16 is 1.3359


def model_of(name: str, size: int, std: float = 0.5) -> Model:
    p = Preprocess(size=size)
    made = recipe(name).build(2, p).eval()
    generator = torch.Generator().manual_seed(0)
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, generator=generator)
    nn.init.normal_(made.head[-1].weight, std=std, generator=generator)
    return Model(made, name, Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA"), p)


@pytest.mark.parametrize(("name", "size"), [("vgg", 64), ("vgg-bn", 64), ("best", 64)])
def test_emulated_bfloat16_answers_alike(monkeypatch, tmp_path, name, size):
    """On any processor: torch emulates what it has not."""
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: "")
    model_of(name, size).save(tmp_path / "model.h5")
    single, double = (Model.load(tmp_path / "model.h5", bits) for bits in ("32", "16"))
    pixels = np.random.default_rng(0).integers(0, 256, (12, size, size), np.uint8)
    ours, theirs = single.probabilities(pixels), double.probabilities(pixels)
    assert double.features.name == "torch" and not np.array_equal(ours, theirs)
    assert np.median(np.abs(ours - theirs)) <= 0.01
    assert single.engine == "torch" and double.engine == "torch16"


def one_by_one(model: Model, pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([model.probabilities(film[None]) for film in pixels])


@pytest.mark.parametrize(("name", "size", "std"), [("vgg", 32, 0.5), ("vgg-bn", 32, 0.5), ("best", 64, 0.02)])
def test_films_that_16_bits_may_decide_otherwise_are_answered_in_32(monkeypatch, tmp_path, name, size, std):
    """The threshold is put where 16 bits would decide otherwise about the film that they move farthest."""
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: "")
    model_of(name, size, std).save(tmp_path / "model.h5")
    single, double = (Model.load(tmp_path / "model.h5", bits) for bits in ("32", "16"))
    pixels = np.random.default_rng(0).integers(0, 256, (40, size, size), np.uint8)
    ours, theirs = (np.diff(model.passed(pixels)[0].numpy(), axis=1)[:, 0] for model in (single, double))
    film = int(np.abs(ours - theirs).argmax())
    cut = float(expit((ours + theirs) / 2)[film])
    decision = Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA", cut, refer=Band(float(np.median(expit(ours))), 1.0))
    single.decision = double.decision = decision
    double.margin = float(double.moved(pixels).max())
    rounded = double.from_logits(double.passed(pixels)[0])
    assert decision.decide(rounded)[film] != decision.decide(single.probabilities(pixels))[film]

    near = double.unsure(double.passed(pixels)[0])
    wanted, found = one_by_one(single, pixels), double.probabilities(pixels)
    assert film in near and len(near) < len(pixels)
    assert np.array_equal(found[near], wanted[near])  # to the last bit, whatever films they come with
    assert np.array_equal(found[near], one_by_one(double, pixels)[near])
    assert np.array_equal(np.delete(found, near, axis=0), np.delete(rounded, near, axis=0))
    assert np.array_equal(decision.decide(found), decision.decide(wanted))
    assert np.array_equal(decision.refers(found), decision.refers(wanted))
    assert single.unsure(single.passed(pixels)[0]) == []


def test_a_model_file_holds_the_margin_and_one_that_does_not_has_a_wide_one(tmp_path):
    made = model_of("vgg", 32)
    made.save(tmp_path / "old.h5")
    old = Model.load(tmp_path / "old.h5", "16")
    assert old.margin is None
    logits = torch.tensor([[0.0, 0.7], [0.0, 0.9], [0.0, -0.7]])
    assert old.unsure(logits) == [0, 2]
    made.margin = 0.5
    made.save(tmp_path / "new.h5")
    assert Model.load(tmp_path / "new.h5", "16").unsure(logits) == []
    for wrong in (-1.0, "wide"):
        made.margin = wrong
        made.save(tmp_path / "wrong.h5")
        with pytest.raises(InputError, match="does not fit together"):
            Model.load(tmp_path / "wrong.h5")


def test_the_setting_is_checked():
    assert TrainConfig().precision == "auto" and P.size == 16
    with pytest.raises(InputError, match="precision='8' is not known"):
        TrainConfig(precision="8")
    with half(CPU, False):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
