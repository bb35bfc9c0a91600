"""The model file: HDF5 arrays and JSON behind one line of text that says what the file is and what it must hash to.

The line sits in HDF5's user block (`head -1 model.h5` shows it), so a changed bit anywhere is found before HDF5
parses a byte, and a file of a newer version or of another program is refused by name. Nothing in it can run code.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from plainfilm.errors import InputError
from plainfilm.storage.files import replacing, to_json

VERSION = 1
USER_BLOCK = 512  # bytes; the smallest that HDF5 allows
MAX_FILE = 4 * 2**30
_LINE = re.compile(rb"plainfilm (model|checkpoint) ([1-9][0-9]{0,5}) sha256:([0-9a-f]{64})\n\0*")
_FOREIGN = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file of another program (Keras models can carry code and are not read)"),
    (b"PK\x03\x04", "a zip or torch file, which can carry code"),
    (b"\x80", "a pickle, which can carry code"),
)


@dataclass(frozen=True)
class Bundle:
    """What a file holds: ``arrays`` by path ("weights/…", "optimizer/…") and ``about`` (JSON values)."""

    arrays: dict[str, np.ndarray]
    about: dict[str, Any]

    def group(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays below ``name/``, by the rest of their path."""
        return {k.removeprefix(name + "/"): v for k, v in self.arrays.items() if k.startswith(name + "/")}


def write_bundle(path: str | Path, kind: str, arrays: Mapping[str, np.ndarray], about: dict[str, Any]) -> None:
    """Write a ``model`` or ``checkpoint`` file; equal contents give equal bytes (no times are stored)."""
    buffer = io.BytesIO()  # HDF5 that meets a full disk can end the process; bytes that do raise an OSError
    with h5py.File(buffer, "w", userblock_size=USER_BLOCK, libver=("v110", "v110")) as file:
        for name in sorted(arrays):
            file.create_dataset(name, data=np.asarray(arrays[name], order="C"), track_times=False)
        text = np.frombuffer(to_json(about).encode(), dtype=np.uint8)
        file.create_dataset("about.json", data=text, track_times=False)
    content = buffer.getbuffer()[USER_BLOCK:]
    line = f"plainfilm {kind} {VERSION} sha256:{hashlib.sha256(content).hexdigest()}\n".encode()
    with replacing(path) as temporary, open(temporary, "wb") as handle:
        handle.write(line.ljust(USER_BLOCK, b"\0"))
        handle.write(content)


def read_bundle(path: str | Path, kind: str = "model") -> Bundle:
    """Return the contents of a file that ``write_bundle`` wrote; InputError, in one sentence, for anything else."""
    data = _read(Path(path))
    match = _LINE.fullmatch(data[:USER_BLOCK])
    if not match or match[1].decode() != kind:
        raise InputError(f"{path} is not a plainfilm {kind}: it is {_what(data, match)}.")
    if int(match[2]) > VERSION:
        raise InputError(f"{path} was made by a newer plainfilm (format {int(match[2])}); update plainfilm to read it.")
    if hashlib.sha256(memoryview(data)[USER_BLOCK:]).hexdigest().encode() != match[3]:
        raise InputError(f"{path} is damaged: its content does not match its check sum; restore it from a copy.")
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            arrays = {name: _dataset(file, name) for name in _names(file)}
        about = json.loads(arrays.pop("about.json").tobytes())
    except (OSError, KeyError, ValueError, RuntimeError, RecursionError) as error:
        raise InputError(f"{path} is not a valid plainfilm {kind} ({error}).") from None
    return Bundle(arrays, about)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE:
            raise InputError(f"{path} is larger than {MAX_FILE // 2**30} GB and can't be a model by plainfilm.")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror or error}).") from None


def _what(data: bytes, match: re.Match[bytes] | None) -> str:
    if match:
        return f"a {match[1].decode()}"
    if not data:
        return "empty"
    if data.startswith(b"plainfilm "):
        return "damaged in its first line"
    return next((text for start, text in _FOREIGN if data.startswith(start)), "something else")


def _names(file: h5py.File) -> list[str]:
    """Return every data set's path, refusing links that lead out of the file."""
    names: list[str] = []

    def walk(group: h5py.Group, prefix: str) -> None:
        for key in sorted(group):
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise ValueError(f"{prefix}{key} is a link")
            item = group[key]
            if isinstance(item, h5py.Group):
                walk(item, f"{prefix}{key}/")
            else:
                names.append(f"{prefix}{key}")

    walk(file, "")
    return names


def _dataset(file: h5py.File, name: str) -> np.ndarray:
    data = file[name]
    if data.external or data.is_virtual or data.dtype.kind not in "fiu":
        raise ValueError(f"{name} is not a plain array of numbers")
    if data.size * data.dtype.itemsize > MAX_FILE:
        raise ValueError(f"{name} is too large")
    return np.asarray(data[()])
