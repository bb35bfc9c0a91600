"""OpenVINO gives torch's features, for one film as for many, and tells nobody."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from tests.models.test_engines import narrow, off

from plainfilm.machine import processor
from plainfilm.models.backbone import cut
from plainfilm.models.engines import Features
from plainfilm.models.openvino import OpenVino
from plainfilm.models.zoo import recipe

pytest.importorskip("openvino_telemetry")
HAS = pytest.mark.skipif(not processor.multiplies_bfloat16(), reason="the processor does not multiply bfloat16")


def lite():
    made = recipe("best").build(2, recipe("best").preprocess).eval().requires_grad_(False)
    return made, torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("bits", [32, pytest.param(16, marks=HAS)])
def test_any_network_in_torchs_order(bits):
    vgg, x = narrow(75)
    best, y = lite()
    for network, films in ((vgg, x), (cut(vgg, 24)[0], x), (best, y)):
        fast = OpenVino(network, tuple(films.shape[1:]), bits, 2)
        assert off(fast(films), network.forward_wide(films)) < (1e-4 if bits == 32 else 5e-2)


def test_a_films_features_depend_on_nothing_else():
    network, x = narrow(64)
    for threads in (1, 2):
        fast = OpenVino(network, tuple(x.shape[1:]), 32, threads)
        together = fast(x)
        assert torch.equal(torch.cat([fast(film[None]) for film in x]), together)


def test_features_in_16_bits_by_openvino(monkeypatch, capsys):
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: "AMX")
    monkeypatch.setattr(processor, "seconds", lambda *_: {"torch 32": 3.0, "torch 16": 2.0, "openvino 16": 1.0})
    network, x = narrow(64)
    features = Features(network, 16)
    assert off(features(x), network.forward_features(x)) < 5e-2 and features.name == "openvino"
    assert "Features by openvino in 16 bits: its features differ" in capsys.readouterr().err


def test_torch_in_16_bits_where_it_is_faster_or_alone(monkeypatch, capsys):
    network, x = narrow(64)
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: "AMX")
    monkeypatch.setattr(processor, "seconds", lambda *_: {"torch 32": 3.0, "torch 16": 1.0, "openvino 16": 1.5})
    features = Features(network, 16)
    assert torch.equal(features(x), features._by_torch(x)) and features.name == "torch"
    assert "Features by torch in 16 bits: openvino takes 1.50 of its time." in capsys.readouterr().err
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: "")
    features = Features(network, 16)
    assert 0 < off(features(x), network.forward_features(x)) < 5e-2 and features.name == "torch"
    assert "this processor only emulates bfloat16" in capsys.readouterr().err
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: "AMX")
    monkeypatch.setitem(sys.modules, "openvino", None)
    features = Features(network, 16)
    assert features(x).dtype == torch.float32 and features.name == "torch"
    assert "is not installed (pip install 'plainfilm[fast]')" in capsys.readouterr().err


def test_nobody_is_told_and_nothing_is_written_at_home(tmp_path):
    code = (
        "import torch; from plainfilm.models.openvino import OpenVino; from plainfilm.models.vgg import VGG;"
        "import socket; socket.socket.connect = None;"
        "print(OpenVino(VGG('8 P |', 2, 16), (3, 16, 16), 32, 1)(torch.rand(2, 3, 16, 16)).shape)"
    )
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "HOME": str(home)}, capture_output=True, text=True
    )
    assert "torch.Size([2, 512])" in done.stdout, done.stderr
    assert list(home.iterdir()) == []
