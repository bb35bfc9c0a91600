"""A step of two processes is the step of one: torchrun, for real, on films of noise."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from plainfilm.machine import ranks
from plainfilm.models.dropout import Dropout
from plainfilm.training import distributed

WORKER = Path(__file__).parent / "of_ranks.py"
CASES: dict[str, dict[str, object]] = {
    "uneven last batch": {"epochs": 2, "batch": 8},  # 43 films: the last batch has 3
    "last batch of one film": {"epochs": 2, "batch": 42, "average": 0.9, "optimizer": "adam", "learning_rate": 1e-4},
    "other films of the batch matter": {
        "epochs": 2,
        "batch": 13,
        "augment": "rotation=10,style=.5,noise=4",
        "mixup": 0.4,
    },
    "changed at random": {"epochs": 2, "batch": 13, "augment": "rotation=10,style=.5,gamma=.5,noise=4,erase=.3"},
    "batch norm": {"model": "vgg-bn", "epochs": 1, "batch": 43},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders with the results of one process and of two."""
    one, two = (tmp_path_factory.mktemp(name) for name in ("one", "two"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = ("--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", port)
    for out, start in ((one, ()), (two, ("-m", "torch.distributed.run", *place))):
        subprocess.run([sys.executable, *start, str(WORKER), str(out), json.dumps(CASES)], check=True)
    return one, two


@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_what_one_gives(results, case):
    one, two = (np.load(folder / f"{case}.npz") for folder in results)
    for name in one:
        assert np.abs(one[name].astype(np.float64) - two[name]).max() <= 1e-6, name


def test_shares_are_all_films_once(monkeypatch):
    for films in (0, 1, 7, 8):
        found: list[int] = []
        for rank in range(3):
            monkeypatch.setattr(ranks, "rank", lambda rank=rank: rank)
            monkeypatch.setattr(ranks, "world", lambda: 3)
            found += range(films)[distributed.share(films)]
        assert found == list(range(films))


@pytest.mark.parametrize("shape", [(43, 8, 12, 12), (43, 64)])
def test_the_batch_norm_of_all_films_is_torchs_in_double_precision(shape):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).relu()
    x = x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
    made = nn.BatchNorm2d if x.dim() == 4 else nn.BatchNorm1d
    ours, exact = made(shape[1], momentum=0.01, eps=1e-3), made(shape[1], momentum=0.01, eps=1e-3).double()
    a, b = x.clone().requires_grad_(), x.double().requires_grad_()
    toward = torch.randn(shape, generator=generator)
    with distributed._WholeBatch(len(x)):
        said = ours(a)
    (said * toward).sum().backward()
    (exact(b) * toward.double()).sum().backward()
    assert torch.allclose(said.double(), exact(x.double()), atol=2e-6)
    assert torch.allclose(a.grad.double(), b.grad, atol=2e-6)
    exact = made(shape[1], momentum=0.01, eps=1e-3).double()
    exact(x.double())
    assert torch.allclose(ours.running_var.double(), exact.running_var, atol=1e-6)
    assert torch.allclose(ours.running_mean.double(), exact.running_mean, atol=1e-6)
    assert torch.equal(ours.eval()(x), made.forward(ours, x))  # not in training: torch's own


@pytest.mark.parametrize("made", [nn.Dropout, Dropout])
def test_the_dropout_of_a_share_is_its_share_of_the_dropout(made, monkeypatch):
    x, layer = torch.rand(5, 4, 6, 6).contiguous(memory_format=torch.channels_last), made(0.25)
    torch.manual_seed(3)
    whole = layer(x)
    monkeypatch.setattr(distributed, "share", lambda films: slice(2, 4))
    torch.manual_seed(3)
    with distributed._WholeBatch(5):
        part = layer(x[2:4])
    assert torch.equal(part, whole[2:4])
