from __future__ import annotations

import shutil

import pytest
import torch
from tests.training.test_loop import P, material, network

from plainfilm.config import TrainConfig
from plainfilm.errors import PlainfilmError
from plainfilm.training import compiled
from plainfilm.training.loop import train_network

X = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1)).contiguous(memory_format=torch.channels_last)


def trained(folder, how: str) -> tuple[list[list[float]], dict[str, torch.Tensor]]:
    """History without its seconds, and weights, of two epochs; the last batch has a size of its own."""
    folder.mkdir()
    built = network()
    config = TrainConfig(epochs=2, batch=8, size=16, compile=how)
    progress, _ = train_network(built, P, material(58), config, folder, resume=False)
    return [row[:-1] for row in progress.history], built.state_dict()


@pytest.fixture
def traced(monkeypatch):
    """torch.compile without its code generator: the network is traced and differentiated ahead."""
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network, options: compile_(network, backend="aot_eager"))


def same(one, other) -> None:
    assert torch.tensor(one[0]).allclose(torch.tensor(other[0]), rtol=1e-4, atol=1e-5)
    for name, value in one[1].items():
        assert value.double().allclose(other[1][name].double(), rtol=1e-4, atol=1e-5), name


@pytest.mark.usefixtures("traced")
def test_a_compiled_training_is_the_plain_one(tmp_path, capsys):
    plain, fast = trained(tmp_path / "plain", "off"), trained(tmp_path / "fast", "on")
    same(plain, fast)
    assert "it is used" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
def test_so_is_one_of_compiled_code(tmp_path):
    same(trained(tmp_path / "plain", "off"), trained(tmp_path / "fast", "on"))


@pytest.mark.parametrize("how", ["off", "auto"])
def test_a_cpu_by_itself_leaves_the_network_as_it_is(how):
    made = network()
    assert compiled.chosen(made, how, X) is made


@pytest.mark.usefixtures("traced")
def test_choosing_leaves_weights_means_and_gradients_as_they_were():
    made = network("vgg-bn")
    before = {name: value.clone() for name, value in made.state_dict().items()}
    compiled.chosen(made, "on", X)
    assert all((value == before[name]).all() for name, value in made.state_dict().items())
    assert all(p.grad is None for p in made.parameters())


def test_what_can_t_be_compiled_is_one_sentence(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no compiler\nand a page of reasons")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    with pytest.raises(PlainfilmError, match=r"can't compile this network here \(no compiler\)"):
        compiled.chosen(network(), "on", X)
