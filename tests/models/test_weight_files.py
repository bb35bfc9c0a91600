"""Whatever file `--weights` names, and whatever it holds: one sentence, exit code 2, nothing run."""

from __future__ import annotations

import io
import os
import zipfile

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import save as safetensors

from plainfilm.cli import main
from plainfilm.models import backbones

try:
    backbones.side("test_resnet")
except Exception as missing:
    pytest.skip(str(missing), allow_module_level=True)

MODELS = ("vgg16-lr", "best", "timm:test_resnet-lr", "cxr:xrv-densenet121-lr", "cxr:rad-dino-mlp", "cxr:eva-x-ti-ft")


class Code:
    def __reduce__(self) -> object:
        return os.system, ("touch proof",)


def packed(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def pickled(what: object, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(what, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def arrays(**values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **values)
    return file.getvalue()


def hdf5() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as root:
        root.create_dataset("block1_conv1/block1_conv1_W_1:0", data=np.zeros((3, 3, 3, 64), np.float32))
    return file.getvalue()


CONTENTS = {
    "empty": b"",
    "one byte": b"\x80",
    "text": b"no weights at all, but a text of some length\n" * 20,
    "html": b"<!DOCTYPE html><html><title>Sign in</title></html>",
    "lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:56524913\nsize 28382008\n",
    "hdf5": hdf5(),
    "cut hdf5": hdf5()[:700],
    "other arrays": safetensors({"x": np.zeros(3, np.float32)}),
    "wrong shape": safetensors({"features.conv0.weight": np.zeros((2, 2), np.float32)}),
    "nan": safetensors({"x": np.array([np.nan], np.float32)}),
    "cut safetensors": safetensors({"x": np.zeros(300, np.float32)})[:200],
    "long header": (2**62).to_bytes(8, "little") + b"{" * 40,
    "zip of a text": packed(note=b"hello"),
    "cut zip": packed(note=b"hello" * 100)[:300],
    "npz": arrays(x=np.zeros(3)),
    "npz of objects": arrays(x=np.array([{}], dtype=object)),
    "code": pickled(Code()),
    "old code": pickled(Code(), zipped=False),
    "other module": pickled(torch.nn.Linear(2, 2)),
    "zeros": bytes(4096),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("content", CONTENTS)
def test_any_file_is_one_sentence(model, content, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "weights.bin"
    file.write_bytes(CONTENTS[content])
    asked = ["train", "demo:24", "--out", str(tmp_path / "run"), "--model", model, "--weights", str(file)]
    assert main([*asked, "--quiet", "--size", "224" if "ft" in model or "lr" in model else "56"]) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1 and "bug" not in said and "Traceback" not in said, said
    assert "weights" in said and len(said) < 600
    assert not (tmp_path / "proof").exists() and not (tmp_path / "run" / "model.h5").exists()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("place", ["absent", "folder"])
def test_a_place_without_a_file_is_one_sentence(model, place, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    asked = ["train", "demo:24", "--out", str(tmp_path / "run"), "--model", model, "--weights", str(tmp_path / place)]
    assert main([*asked, "--quiet"]) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1 and str(tmp_path / place) in said and "bug" not in said
