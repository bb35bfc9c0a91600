"""One process of one thread against two that torchrun starts: the same training and extraction, in turn.

`python benchmarks/ranks.py` prints the films a second of each and their ratio. The films are noise: what is measured
is time. The fastest epoch counts, as other work on the machine only ever slows it down.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from plainfilm.machine.startup import tune_process

FILMS, EPOCHS, ROUNDS = 256, 3, 2
CASES = (("vgg", 32), ("vgg", 128), ("vgg-bn", 32), ("vgg-bn", 128))
EXTRACTED = 64


def work(folder: Path) -> None:
    """What every process does: print films a second of each case, on rank 0."""
    tune_process()
    import torch

    from plainfilm.config import TrainConfig
    from plainfilm.data.films import Film, Films, Table
    from plainfilm.image.preprocess import Preprocess
    from plainfilm.image.store import Rows
    from plainfilm.machine import ranks
    from plainfilm.models.features import extract
    from plainfilm.models.vgg import initialise
    from plainfilm.models.zoo import recipe
    from plainfilm.training.feed import Material
    from plainfilm.training.loop import train_network

    torch.set_num_threads(1)
    rng, found = np.random.default_rng(0), {}
    with ranks.joined():
        pixels = Rows(rng.integers(0, 256, (FILMS, 64, 64), dtype=np.uint8), np.arange(FILMS), {})
        material = Material(pixels, np.arange(FILMS) % 2, np.arange(FILMS), np.arange(128), np.ones(2, np.float32))
        for model, batch in CASES:
            config = TrainConfig(model=model, batch=batch, epochs=EPOCHS, learning_rate=1e-3)
            network = recipe(model).build(2, Preprocess())
            initialise(network, torch.Generator().manual_seed(0))
            progress, _ = train_network(network, Preprocess(), material, config, folder / f"{model}{batch}", False)
            found[f"{model}, batch {batch}"] = FILMS / min(row[-1] for row in progress.history)
        large = Rows(rng.integers(0, 256, (EXTRACTED, 224, 224), dtype=np.uint8), np.arange(EXTRACTED), {})
        films = Films(Table(Film(str(i), "", bytes, sha256=f"{i:064x}") for i in range(EXTRACTED)), "noise")
        vgg16 = recipe("vgg16-lr")
        network = vgg16.build(2, vgg16.preprocess)
        began = time.perf_counter()
        extract(films, large, network, vgg16.preprocess, "random", (network.feature_count,))
        found["VGG16 features"] = EXTRACTED / (time.perf_counter() - began)
        if not ranks.rank():
            print(json.dumps(found))


def measured(start: tuple[str, ...]) -> dict[str, float]:
    """Run ``work`` in processes of their own; return films a second by case."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PLAINFILM_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
        words = [sys.executable, *start, __file__, folder]
        done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Take turns; print the best of each and the ratio."""
    if len(sys.argv) > 1:
        work(Path(sys.argv[1]))
        sys.stdout.flush()
        os._exit(0)  # as ranks.end
    best: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        place = ("--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", port)
        for number, start in enumerate(((), ("-m", "torch.distributed.run", *place))):
            for case, speed in measured(start).items():
                both = best.setdefault(case, [0.0, 0.0])
                both[number] = max(both[number], speed)
    for case, (one, two) in best.items():
        print(f"{case:20} {one:8.1f} {two:8.1f} films/s  x {two / one:.2f}")


if __name__ == "__main__":
    main()
