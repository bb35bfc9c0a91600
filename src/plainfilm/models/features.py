"""Frozen features: each film passes once through the pretrained network; the result is stored and never redone."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import nn

from plainfilm.data.films import Films
from plainfilm.image.augment import Augment
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import Rows, RowStore, rows_of
from plainfilm.machine import ranks
from plainfilm.models.backbone import Backbone, Front
from plainfilm.models.engines import Features
from plainfilm.models.vgg import VGG
from plainfilm.progress import bar, say
from plainfilm.storage.files import replacing, to_json

BATCH = 32  # films a pass, as in the paper


def put_vgg16(network: VGG, arrays: Mapping[str, np.ndarray]) -> None:
    """Copy VGG16's 26 ``arrays`` (weight (O, I, 3, 3) and bias (O,) by turns, in layer order) into ``network``."""
    convolutions = [layer for layer in network.features if isinstance(layer, nn.Conv2d)]
    values = iter(arrays.values())
    with torch.no_grad():
        for layer in convolutions:
            layer.weight.copy_(torch.from_numpy(next(values)))
            assert layer.bias is not None
            layer.bias.copy_(torch.from_numpy(next(values)))


class Stored:
    """Stored features as a network's input: in place of the preprocessing that films get."""

    @staticmethod
    def tensor(features: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Return (B, …) float32 of (B, …) stored features."""
        return torch.as_tensor(features).float()


@dataclass(frozen=True)
class Copy:
    """Stored pixels changed at random, in the place of ``Rows``: by draws of film, seed and number alone."""

    rows: Rows
    films: Films
    augment: Augment
    seed: int
    number: int

    @property
    def about(self) -> dict[str, Any]:
        """What the copy is, for the store that keeps what frozen layers make of it."""
        changed = {"augment": asdict(self.augment), "seed": self.seed, "copy": self.number}
        return {**self.rows.about, **changed}

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        """Return (B, S, S) uint8 for positions among the films."""
        return np.stack([self._changed(i) for i in positions])

    def release(self) -> None:
        """Give back the memory of the rows read so far."""
        self.rows.release()

    def _changed(self, position: int) -> np.ndarray:
        film = int(self.films.films[position].sha256[:12], 16)
        seed = int(np.random.SeedSequence((self.seed, self.number, film)).generate_state(1)[0])
        pixels = torch.from_numpy(self.rows[np.array([position])])
        changed = self.augment(pixels, torch.Generator().manual_seed(seed))[0]
        return np.asarray(changed.round().to(torch.uint8))


def shape_behind(front: Front, preprocess: Preprocess) -> tuple[int, ...]:
    """Return the shape of what ``front`` gives for one film."""
    one = torch.zeros(1, preprocess.channels, preprocess.size, preprocess.size)
    with torch.inference_mode():
        return tuple(front(one.to(next(front.parameters()).device)).shape[1:])


def extract(  # noqa: PLR0913 - what the features depend on
    films: Films,
    pixels: Rows | Copy,
    network: Backbone | Front,
    preprocess: Preprocess,
    weights_sha256: str,
    shape: tuple[int, ...],
    dtype: str = "float32",
    bits: int = 32,
) -> tuple[Rows, float]:
    """Return (N, *shape) features of ``films`` stored as ``dtype``, extracting only what no earlier run has stored, and
    the seconds that extracting them took, now or in earlier runs.

    Memory stays constant: a batch is computed, appended to the store, forgotten. A killed extraction goes on where
    it stopped, by whatever engine is there: those of the same ``bits`` agree to models.engines.TOLERANCE, and the store
    notes which made how many rows. Ranks take batches by turns.
    """
    about = {
        "kind": "features 2",
        "weights": weights_sha256,
        "preprocess": preprocess.as_dict(),
        "pixels": pixels.about,
        # who wants 32-bit features never finds others, nor the reverse
        **({"bits": bits} if bits != 32 else {}),
    }
    store = RowStore(about, shape, dtype)  # stores of the first kind may hold rows under other films' names
    device = next(network.parameters()).device
    forward_features = Features(network.eval().to(memory_format=torch.channels_last), bits)
    with store.writing():
        wanted: dict[str, int] = {}
        for i, sha256 in enumerate(films.films.hashes):
            if sha256 not in wanted and store.intact(sha256) is None:
                wanted[sha256] = i
        positions = np.array(sorted(wanted.values()), dtype=np.int64)
        with bar("Extracting features", len(positions)) as progress, torch.inference_mode():
            for number in ranks.turns(-(-len(positions) // BATCH)):
                began = time.perf_counter()
                batch = positions[number * BATCH : (number + 1) * BATCH]
                x = preprocess.tensor(torch.from_numpy(pixels[batch]).to(device))
                features = forward_features(x).cpu().numpy()
                chosen = [films.films[i] for i in batch]
                store.append([(f.sha256, f.width, f.height, row) for f, row in zip(chosen, features, strict=True)])
                store.note(len(batch), time.perf_counter() - began, forward_features.name)
                pixels.release()  # else the process would grow with the store
                progress.step(len(batch))
        if len(made := store.engines()) > 1:
            say(f"Stored features: {', '.join(f'{n} by {engine}' for engine, n in made.items())}.")
    return rows_of(store, films), store.seconds_a_row() * len(set(films.films.hashes))


def write_features(path: Path, films: Films, features: Rows) -> None:
    """Write features.h5: ``features`` (N, D) float32 chunked, ``labels`` (N,) text, ``paths`` (N,) text, streaming.

    The preprocessing and the hash of the weights are attributes of the file.
    """
    size = len(films) * features.data[0].nbytes
    if shutil.disk_usage(path.parent).free < 1.05 * size:  # HDF5 that meets a full disk can end the process
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    text = h5py.string_dtype("utf-8")
    with replacing(path) as temporary, h5py.File(temporary, "w", libver=("v110", "v110")) as file:
        shape = (len(films), *features.data.shape[1:])
        chunks = (min(BATCH, len(films)), *shape[1:])
        data = file.create_dataset("features", shape, "float32", chunks=chunks, track_times=False)
        for start in range(0, len(films), BATCH):
            data[start : start + BATCH] = features[slice(start, start + BATCH)]
        for name, values in (("labels", [f.label for f in films]), ("paths", [f.path for f in films])):
            safe = [value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for value in values]
            file.create_dataset(name, data=np.array(safe, dtype=object), dtype=text, track_times=False)
        file.attrs["weights_sha256"] = features.about["weights"]
        file.attrs["preprocess"] = to_json(features.about["preprocess"])
