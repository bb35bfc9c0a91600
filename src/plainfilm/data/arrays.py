"""Films in the arrays of a MedMNIST file."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.data.films import PARTS, Cells, Film, Films, Source, Table
from plainfilm.errors import InputError
from plainfilm.storage.files import cache_dir, replacing

MAX_ARRAY_BYTES = 32 * 2**30  # one array, unpacked
IN_MEMORY = 8 * 2**20  # a larger one stays on disk
MEDMNIST_CLASSES = {"pneumoniamnist": ("normal", "pneumonia")}
MEDMNIST_FINDINGS = {  # medmnist/info.py of MedMNIST 3.0.2
    "chestmnist": (
        *("atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia", "pneumothorax"),
        *("consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia"),
    )
}


def from_npz(path: Path) -> Films:
    """Return the films of a MedMNIST file (``train_images`` (N, H, W[, 3]) uint8, ``train_labels``, …), as PNG when
    they are read. Labels (N,) are classes, (N, F) of 0 and 1 findings. InputError when it is none."""
    films = Table()
    parts: dict[str, np.ndarray] = {}
    source = partial(_as_png, parts)
    try:
        with zipfile.ZipFile(path) as archive:
            large = [m.filename for m in archive.infolist() if m.file_size > MAX_ARRAY_BYTES]
        if large:
            raise InputError(f"{path}: {large[0]} unpacks to more than {MAX_ARRAY_BYTES // 2**30} GB.")
        with np.load(path, allow_pickle=False) as arrays:
            for part in PARTS:
                if f"{part}_images" in arrays:
                    parts[part] = _array(path, arrays, f"{part}_images")
                    _add(films, path, part, parts[part], arrays[f"{part}_labels"], source)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a hostile file can fail in zlib, struct, a header's syntax or a codec
        raise InputError(f"{path} is not a MedMNIST file that can be read ({error}).") from None
    return Films(films, path.name)


def _add(films: Table, path: Path, part: str, images: np.ndarray, labels: np.ndarray, source: Source) -> None:
    several = labels.ndim == 2 and labels.shape[1] > 1
    labels = labels if several else labels.reshape(-1)
    labels = labels.astype(np.int64) if labels.dtype.kind in "bUS" else labels
    _check_arrays(path, part, images, labels)
    names = _known(path, MEDMNIST_CLASSES)
    if not several:
        for i, c in enumerate(labels.tolist()):  # whole numbers from 0
            label = names[int(c)] if int(c) < len(names) else str(int(c))
            films.append(Film(f"{part}/{i:06d}", label, source, part=part))
        return
    if (labels > 1).any():
        raise InputError(f"{path}: {part}_labels of several findings must be 0 or 1.")
    names = _known(path, MEDMNIST_FINDINGS)
    names = names if len(names) == labels.shape[1] else tuple(f"finding {k + 1}" for k in range(labels.shape[1]))
    films.findings = films.findings if films.findings.names else Cells.of(names, np.empty((0, len(names)), np.int8))
    paths = [f"{part}/{i:06d}" for i in range(len(labels))]
    films.extend(source, paths, [""] * len(paths), [part] * len(paths), labels.astype(np.int8), {})


def _known(path: Path, names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return next((v for k, v in names.items() if path.name.lower().startswith(k)), ())


def _array(path: Path, arrays: Any, name: str) -> np.ndarray:
    """Return one array of an npz; a large one is unpacked into the cache once and read from there, film by film."""
    member = arrays.zip.getinfo(f"{name}.npy")
    if member.file_size <= IN_MEMORY:
        return np.asarray(arrays[name])
    key = f"{path.resolve()} {path.stat().st_mtime_ns} {member.CRC} {member.file_size} {name}"
    unpacked = (
        cache_dir() / "unpacked" / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.npy"
    )
    if not unpacked.exists():
        with arrays.zip.open(member) as packed, replacing(unpacked) as temporary, open(temporary, "wb") as file:
            shutil.copyfileobj(packed, file, 2**20)
    return np.asarray(np.load(unpacked, mmap_mode="r", allow_pickle=False))


def _check_arrays(path: Path, part: str, images: np.ndarray, labels: np.ndarray) -> None:
    grey_or_colour = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3)
    if images.dtype != np.uint8 or not grey_or_colour or len(labels) != len(images):
        raise InputError(f"{path}: {part}_images must be 8-bit (N, H, W) or (N, H, W, 3) with one label each.")
    if not np.issubdtype(labels.dtype, np.number) or (labels < 0).any() or (labels % 1 != 0).any():
        raise InputError(f"{path}: {part}_labels must be whole numbers from 0 on.")


def _as_png(images: Mapping[str, np.ndarray], name: str, first: int = 0) -> bytes:
    """One image of an array as a file, so that it passes through the same decoder as every other film."""
    from PIL import Image

    part, number = name.split("/")
    buffer = io.BytesIO()
    Image.fromarray(images[part][int(number)]).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()[: first or None]
