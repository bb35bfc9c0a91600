"""Backbones of timm, with random weights that a test writes: no network is asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plainfilm.catalogue import Trained
from plainfilm.config import TrainConfig
from plainfilm.errors import InputError
from plainfilm.image.preprocess import Preprocess
from plainfilm.models import backbones
from plainfilm.models.backbones import put_timm, timm_here, timm_weights
from plainfilm.models.zoo import recipe

try:
    backbones.side("test_resnet")
except InputError as missing:
    pytest.skip(str(missing), allow_module_level=True)

NAME = "test_resnet"  # timm's own, a third of a million weights


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    network = recipe(f"timm:{NAME}-ft").build(2, Preprocess(size=64, scaling="unit"))
    generator = torch.Generator().manual_seed(0)
    return {
        name: (value + torch.rand(value.shape, generator=generator) / 10).to(value.dtype).numpy()
        for name, value in network.features.state_dict().items()
    }


@pytest.fixture(params=[".safetensors", ".npz"])
def file(request, arrays, tmp_path):
    path = tmp_path / f"{NAME}{request.param}"
    if request.param == ".npz":
        np.savez(path, **arrays)
    else:
        pytest.importorskip("safetensors.numpy").save_file(arrays, path)
    return path


def test_the_recipe_takes_side_and_licence_from_the_weights_own_settings():
    found = recipe(f"timm:{NAME}-lr")
    assert (found.preprocess.size, found.preprocess.channels, found.trained) == (160, 3, Trained.HEAD)
    assert found.pretrained == f"timm:{NAME}" and found.row.licence.endswith("apache-2.0")
    assert recipe(f"timm:{NAME}-ft").trained is Trained.WHOLE
    assert TrainConfig(model=f"timm:{NAME}-lr").features == "standardised"
    assert TrainConfig(model=f"timm:{NAME}-ft").optimizer == "adamw"


def test_the_network_scales_its_input_as_the_weights_want_it():
    network = recipe(f"timm:{NAME}-ft").build(3, Preprocess(size=64, scaling="unit")).eval()
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        direct = network.features((x - 0.5) / 0.5)
        assert torch.allclose(network.forward_features(x), direct, atol=1e-6)
        assert network(x).shape == (2, 3) and direct.shape == (2, network.feature_count)
    assert {"mean", "std"} <= set(network.state_dict())  # so they are in model.h5 and in every export


def test_weights_are_read_from_a_file_and_put_into_the_backbone(file, arrays, monkeypatch):
    monkeypatch.setenv("PLAINFILM_WEIGHTS", str(file.parent))
    assert str(file) in str(timm_here(NAME))
    found = timm_weights(NAME)
    assert found.sha256 == timm_weights(NAME, file).sha256 and found.source.endswith(str(file))
    network = recipe(f"timm:{NAME}-ft").build(2, Preprocess(size=64, scaling="unit"))
    put_timm(network, found.arrays)
    for name, value in network.features.state_dict().items():
        assert np.array_equal(value.numpy(), arrays[name]), name


def test_weights_of_another_backbone_are_refused(arrays):
    network = recipe("timm:test_efficientnet-ft").build(2, Preprocess(size=64, scaling="unit"))
    with pytest.raises(InputError, match=r"not this backbone's: .* more of \d+ arrays don't fit"):
        put_timm(network, arrays)


@pytest.mark.parametrize("ending", [".safetensors", ".npz", ".pth"])
def test_a_damaged_file_is_one_sentence(ending, tmp_path):
    path = tmp_path / f"x{ending}"
    path.write_bytes(b"\x80\x02 no weights")
    with pytest.raises(InputError, match="can't be read"):
        timm_weights(NAME, path)


def test_without_a_file_and_offline_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setenv("PLAINFILM_OFFLINE", "1")
    monkeypatch.delenv("PLAINFILM_WEIGHTS", raising=False)
    assert timm_here(NAME) is None
    with pytest.raises(InputError, match=r"PLAINFILM_OFFLINE is set.* name one by --weights"):
        timm_weights(NAME)


def test_a_hub_that_does_not_answer_is_one_line(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("nobody there\nand a long trace")

    monkeypatch.delenv("PLAINFILM_OFFLINE", raising=False)
    monkeypatch.delenv("PLAINFILM_WEIGHTS", raising=False)
    monkeypatch.setattr(backbones._timm(), "create_model", refuse)
    with pytest.raises(InputError, match=r"could not be fetched \(nobody there\); bring its safetensors"):
        timm_weights(NAME)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm:resnet1-lr", "timm has no backbone 'resnet1'.* Did you mean"),
        ("timm:resnet18", "Did you mean|Choose from"),
        ("timm:resnet18.nonsense-lr", "timm: "),
    ],
)
def test_wrong_names(name, said):
    with pytest.raises(InputError, match=said):
        recipe(name)


def test_a_vision_transformer_takes_another_side():
    name = "timm:test_vit-ft"
    network = recipe(name).build(2, Preprocess(size=96, scaling="unit")).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 96, 96)).shape == (1, 2)


def test_without_timm_one_line_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install 'plainfilm\[backbones\]'"):
        recipe("timm:resnet18-lr")
