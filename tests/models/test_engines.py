"""ncnn agrees with torch, and torch is used where it is not there or does not."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from plainfilm.evaluation.decision import Decision
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.backbone import cut
from plainfilm.models.engines import Features, Ncnn, told
from plainfilm.models.features import put_vgg16
from plainfilm.models.model import Model
from plainfilm.models.vgg import VGG
from plainfilm.models.weights import vgg16_weights
from plainfilm.models.zoo import recipe

NARROW = "8 8 P 16 16 P 24 24 24 P 32 32 32 P 32 32 32 P |"  # VGG16's layers, few filters


def narrow(size: int, table: str = NARROW, batch_norm: bool = False) -> tuple[VGG, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    network = VGG(table, 2, size, batch_norm=batch_norm).eval().requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, generator=generator)
            torch.nn.init.uniform_(layer.bias, -1, 1, generator=generator)
    return network.to(memory_format=torch.channels_last), torch.randn(3, 3, size, size, generator=generator) * 60


def off(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert found.shape == expected.shape and found.dtype == torch.float32
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("size", [224, 75, 33])
def test_ncnn_gives_torchs_features_in_torchs_order(size):
    pytest.importorskip("ncnn")
    network, x = narrow(size)
    features = Features(network)
    assert off(features(x), network.forward_features(x)) < 1e-5 and features.name == "ncnn"
    front, _ = cut(network, 24)
    features = Features(front)
    assert off(features(x), front.forward_features(x)) < 1e-5 and features.name == "ncnn"


def test_a_films_features_depend_on_nothing_else(monkeypatch):
    pytest.importorskip("ncnn")
    network, x = narrow(64)
    fast = Ncnn(network.features, x.shape[1:])
    together = fast(x)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert torch.equal(fast(x), together)  # films beside each other
    for one_by_one in (fast, Ncnn(network.features, x.shape[1:])):
        assert torch.equal(torch.cat([one_by_one(film[None]) for film in x]), together)


def test_every_value_has_32_bits():
    pytest.importorskip("ncnn")
    network, x = narrow(32)
    options = Ncnn(network.features, x.shape[1:]).net(1).opt
    short = [name for name in dir(options) if name.startswith("use_") and any(w in name for w in ("16", "int8"))]
    assert len(short) >= 8 and not any(getattr(options, name) for name in short)


def test_vgg16_in_a_model_from_its_file(vgg16_file, tmp_path, capsys):
    pytest.importorskip("ncnn")
    p = Preprocess(size=32, scaling="caffe")
    network = recipe("vgg16-lr").build(2, p)
    put_vgg16(network, vgg16_weights(vgg16_file).arrays)
    torch.nn.init.normal_(network.head[-1].weight, std=1e-4, generator=torch.Generator().manual_seed(0))
    Model(network, "vgg16-lr", Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA"), p).save(tmp_path / "model.h5")
    model = Model.load(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8)
    fast = model.probabilities(pixels)
    assert "Features by ncnn: its features differ" in capsys.readouterr().err
    model.features = None
    assert np.abs(model.probabilities(pixels) - fast).max() < 1e-6 and fast.std(0).min() > 1e-4


def test_torch_where_ncnn_is_not_installed(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ncnn", None)
    network, x = narrow(32)
    features = Features(network)
    assert torch.equal(features(x), features._by_torch(x)) and features.name == "torch"
    assert "not installed (pip install 'plainfilm[fast]')" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [3e-4, float("nan")])
def test_torch_where_ncnn_does_not_agree(monkeypatch, capsys, wrong):
    pytest.importorskip("ncnn")
    network, x = narrow(32)
    monkeypatch.setattr(Ncnn, "__call__", lambda self, x: network.forward_features(x) * (1 + wrong))
    features = Features(network)
    assert torch.equal(features(x), features._by_torch(x)) and features.name == "torch"
    assert "Features by torch: ncnn differs from it by" in capsys.readouterr().err
    features(x)
    assert capsys.readouterr().err == ""  # said once


def test_torch_for_layers_that_vgg16_does_not_have(capsys):
    pytest.importorskip("ncnn")
    network, x = narrow(32, batch_norm=True)
    features = Features(network)
    assert torch.equal(features(x), features._by_torch(x))
    assert "ncnn is used for VGG16 only, and this network has a BatchNorm2d." in capsys.readouterr().err


def test_the_net_as_ncnn_reads_it():
    network, _ = narrow(4, "8 P 16 |")
    text, values = told(network.features, (3, 4, 4))
    assert text.splitlines() == [
        "7767517",
        "5 5",
        "Input film 0 1 0 0=4 1=4 2=3",
        "Convolution 1 1 1 0 1 0=8 1=3 4=1 5=1 6=216 9=1",
        "Pooling 2 1 1 1 2 1=2 2=2 5=1",
        "Convolution 3 1 1 2 3 0=16 1=3 4=1 5=1 6=1152 9=1",
        "Flatten 4 1 1 3 4",
    ]
    weights = np.frombuffer(values, np.float32)
    assert len(weights) == 1 + 216 + 8 + 1 + 1152 + 16 and weights[0] == weights[225] == 0
    assert np.array_equal(weights[1:217], network.features[0].weight.numpy().ravel())
