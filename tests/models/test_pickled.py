"""Torch's files read without carrying them out, in both of its layouts; hostile ones give a fault and nothing else."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from plainfilm.models.pickled import UNREADABLE, read_pickled


def network() -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 5)))
    made[2][1].weight = nn.Parameter(made[2][1].weight.data.t().contiguous().t())  # lies by columns
    return made


def saved(what: object, zipped: bool) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(what, file, _use_new_zipfile_serialization=zipped)
    file.seek(0)
    return file


CHECKPOINT = {"args": argparse.Namespace(lr=0.1), "epoch": 3, "optimizer": {"state": {0: {"m": torch.ones(9)}}}}
SHAPES = {
    "state dict": lambda n: n.state_dict(),
    "module": lambda n: n,
    "checkpoint": lambda n: {**CHECKPOINT, "model": n.state_dict()},
    "checkpoint of a module": lambda n: {**CHECKPOINT, "state_dict": {"module": n}},
    "parameters": lambda n: {k: nn.Parameter(v) if v.is_floating_point() else v for k, v in n.state_dict().items()},
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_array_is_as_torch_has_it(shape, zipped):
    source = network()
    found = read_pickled(saved(SHAPES[shape](source), zipped))
    assert set(found) == set(source.state_dict())
    for name, value in source.state_dict().items():
        assert np.array_equal(found[name], value.detach().numpy()), name


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_other_widths_become_32_bits(kind):
    values = torch.linspace(-3, 3, 31)
    found = read_pickled(saved({"x": values.to(kind)}, True))["x"]
    assert found.dtype == np.float32 and np.array_equal(found, values.to(kind).float().numpy())


class Code:
    """What a loader would run: it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(tmp_path, zipped):
    proof = tmp_path / "proof"
    source = network()
    file = saved({"model": source.state_dict(), "code": Code(proof)}, zipped)
    assert set(read_pickled(file)) == set(source.state_dict())
    with pytest.raises(UNREADABLE, match="names no arrays"):
        read_pickled(saved(Code(proof), zipped))
    assert not proof.exists()
    torch.load(saved(Code(proof), zipped), weights_only=False)  # so a loader does run it
    assert proof.exists()


def test_an_array_reaches_no_further_than_its_numbers():
    state = {"x": torch.zeros(4)}
    good = saved(state, True)
    with zipfile.ZipFile(good) as archive:
        members = {i.filename: archive.read(i) for i in archive.infolist()}
    described = next(name for name in members if name.endswith("data.pkl"))
    # the array's size, 4, becomes 5; its count of numbers stays
    small, large = pickle.dumps((4,), 2)[2:-1], pickle.dumps((5,), 2)[2:-1]
    tampered = members[described].replace(small[:3], large[:3], 2)
    assert tampered != members[described]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, tampered if name == described else data)
    file.seek(0)
    with pytest.raises(ValueError, match=r"beyond its numbers|other numbers"):
        read_pickled(file)


def test_packed_members_are_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(1000))
    file.seek(0)
    with pytest.raises(ValueError, match="packed"):
        read_pickled(file)


@pytest.mark.filterwarnings("ignore:invalid escape:DeprecationWarning")  # of pickletools, in a damaged name
@pytest.mark.parametrize("zipped", [True, False])
def test_any_damage_is_one_of_the_known_faults_or_leaves_the_layout_whole(zipped):
    whole = saved(network().state_dict(), zipped).getvalue()
    generator = np.random.default_rng(0)
    for cut in generator.integers(0, len(whole), 100):
        damaged = bytearray(whole[:cut] if cut % 2 else whole)
        for place in generator.integers(0, max(len(damaged), 1), 4):
            if damaged:
                damaged[place] = generator.integers(256)
        try:
            read_pickled(io.BytesIO(bytes(damaged)))
        except (OSError, *UNREADABLE):
            pass


def test_a_claimed_length_beyond_the_file_takes_no_memory():
    whole = saved({"x": torch.zeros(4)}, False).getvalue()
    at = whole.rindex(struct.pack("<q", 4))
    with pytest.raises(ValueError, match="claims more than it holds"):
        read_pickled(io.BytesIO(whole[:at] + struct.pack("<q", 2**60) + whole[at + 8 :]))
