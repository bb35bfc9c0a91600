from __future__ import annotations

import io
import pickle
import zipfile

import h5py
import numpy as np
import pytest

from plainfilm.errors import InputError
from plainfilm.models.bundle import USER_BLOCK, read_bundle, write_bundle

ARRAYS = {"weights/a": np.arange(6, dtype=np.float32).reshape(2, 3), "optimizer/group/lr": np.float64(0.05)}
ABOUT = {"classes": ["A", "B"], "n": 1}


@pytest.fixture
def file(tmp_path):
    write_bundle(tmp_path / "model.h5", "model", ARRAYS, ABOUT)
    return tmp_path / "model.h5"


def test_what_goes_in_comes_out_and_equal_contents_give_equal_bytes(file, tmp_path):
    bundle = read_bundle(file)
    assert bundle.about == ABOUT and set(bundle.arrays) == set(ARRAYS)
    assert np.array_equal(bundle.group("weights")["a"], ARRAYS["weights/a"])
    write_bundle(tmp_path / "again.h5", "model", dict(reversed(ARRAYS.items())), ABOUT)
    assert (tmp_path / "again.h5").read_bytes() == file.read_bytes()


def test_other_programs_can_read_it_as_hdf5(file):
    assert file.read_bytes().startswith(b"plainfilm model 1 sha256:")
    with h5py.File(file) as h5:
        assert h5["weights/a"].shape == (2, 3)


def test_every_truncation_is_found(file):
    data = file.read_bytes()
    for size in (0, 1, 100, USER_BLOCK, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:size])
        with pytest.raises(InputError, match=r"damaged|empty|not a plainfilm"):
            read_bundle(file)


def test_every_flipped_bit_is_found(file):
    data = bytearray(file.read_bytes())
    rng = np.random.default_rng(0)
    for at in [*rng.integers(0, len(data), 900), *range(100)]:
        data[at] ^= 1 << (at % 8)
        file.write_bytes(data)
        with pytest.raises(InputError):
            read_bundle(file)
        data[at] ^= 1 << (at % 8)
    file.write_bytes(data)
    read_bundle(file)


class Evil:
    def __reduce__(self):
        return (print, ("ran",))


def zip_bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        z.writestr("data.pkl", b"x")
    return buffer.getvalue()


def keras_bytes() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as h5:
        h5.attrs["model_config"] = '{"class_name": "Lambda"}'
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (pickle.dumps(Evil()), "a pickle"),
        (zip_bytes(), "a zip or torch file"),
        (keras_bytes(), "HDF5 file of another program"),
        (b"hello", "something else"),
    ],
)
def test_foreign_files_are_named_and_nothing_runs(tmp_path, capsys, data, said):
    (tmp_path / "x.h5").write_bytes(data)
    with pytest.raises(InputError, match=said):
        read_bundle(tmp_path / "x.h5")
    assert "ran" not in capsys.readouterr().out


def resigned(data: bytes, kind: str = "model", number: int = 1) -> bytes:
    import hashlib

    line = f"plainfilm {kind} {number} sha256:{hashlib.sha256(data[USER_BLOCK:]).hexdigest()}\n".encode()
    return line.ljust(USER_BLOCK, b"\0") + data[USER_BLOCK:]


def test_a_newer_version_and_another_kind(file):
    data = file.read_bytes()
    file.write_bytes(resigned(data, number=2))
    with pytest.raises(InputError, match="newer plainfilm"):
        read_bundle(file)
    file.write_bytes(resigned(data, kind="checkpoint"))
    with pytest.raises(InputError, match="it is a checkpoint"):
        read_bundle(file)


@pytest.mark.parametrize("kind", ["external", "soft", "virtual", "text", "bad json"])
def test_a_well_signed_file_with_traps_is_refused(tmp_path, kind):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=USER_BLOCK) as h5:
        h5["about.json"] = np.frombuffer(b"{" if kind == "bad json" else b"{}", np.uint8)
        if kind == "external":
            h5["weights/a"] = h5py.ExternalLink("/etc/passwd", "x")
        if kind == "soft":
            h5["weights/a"] = h5py.SoftLink("/about.json")
        if kind == "virtual":
            h5.create_virtual_dataset("a", h5py.VirtualLayout((2,), "f4"))
        if kind == "text":
            h5["a"] = "words"
    (tmp_path / "x.h5").write_bytes(resigned(buffer.getvalue()))
    with pytest.raises(InputError, match="not a valid plainfilm model"):
        read_bundle(tmp_path / "x.h5")


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="can't be read"):
        read_bundle(tmp_path / "none.h5")
