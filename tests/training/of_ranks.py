"""What test_distributed.py starts, once alone and once by torchrun: trainings on made-up films, results in files.

Usage: of_ranks.py OUT '{"name": {setting: value}}'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from plainfilm.config import TrainConfig
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import Rows
from plainfilm.machine import ranks
from plainfilm.models.vgg import initialise
from plainfilm.models.zoo import recipe
from plainfilm.training.feed import Material
from plainfilm.training.loop import train_network


def material(count: int = 63) -> Material:
    """Noise, with a square in the third of the films that are of the second class."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3 // 2
    pixels = rng.integers(0, 120, (count, 16, 16), dtype=np.uint8)
    pixels[labels == 1, 4:10, 4:10] += 120
    films, weights = np.arange(count), np.array([1, 2], np.float32)
    return Material(Rows(pixels, films, {}), labels, films[: count - 20], films[count - 20 :], weights)


def main(out: Path, cases: dict[str, dict[str, object]]) -> None:
    """Train each case; rank 0 writes the weights and the history."""
    torch.set_num_threads(1)
    with ranks.joined():
        for name, settings in cases.items():
            config = TrainConfig(**settings)
            torch.manual_seed(0)
            network = recipe(config.model).build(2, Preprocess(size=16))
            initialise(network.head, torch.Generator().manual_seed(0))
            progress, _ = train_network(network, Preprocess(size=16), material(), config, out / name, resume=False)
            found = {key: value.numpy() for key, value in network.state_dict().items()}
            for other in ranks.gathered({key: value.tolist() for key, value in found.items()}):
                assert all(np.array_equal(found[key], np.float32(value)) for key, value in other.items())
            if not ranks.rank():
                np.savez(out / f"{name}.npz", history=np.array(progress.history)[:, :-1], **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
    ranks.end(0)
