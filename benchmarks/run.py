"""Ours beside plain PyTorch, the same work in turn in one process: ratio of medians, its spread, and the machine.

`make bench` prints the table and writes benchmarks/results.md. The films are synthetic: anybody can run it.
"""

from __future__ import annotations

import copy
import datetime
import io
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from plainfilm.config import TrainConfig
from plainfilm.data.sources import load
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import ingest
from plainfilm.models.vgg import initialise
from plainfilm.models.zoo import recipe
from plainfilm.training.loop import Material, Training

ROUNDS = 15
FILMS = 96
BATCH = 24


def in_turn(ours: Callable[[], object], plain: Callable[[], object]) -> tuple[float, float, float]:
    """Return the median ratio plain/ours of paired rounds, and its quartiles, after one round that is not counted."""
    ratios = []
    for round_ in range(ROUNDS + 1):
        seconds = []
        for work in (ours, plain):
            began = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - began)
        if round_:
            ratios.append(seconds[1] / seconds[0])
    low, _, high = statistics.quantiles(ratios, n=4)
    return statistics.median(ratios), low, high


def training_step() -> tuple[float, float, float]:
    """One step of `vgg`, batch 24: the package's against the same written plainly, channels first."""
    p = Preprocess()
    network = recipe("vgg").build(2, p)
    initialise(network, torch.Generator().manual_seed(0))
    theirs = copy.deepcopy(network)
    pixels = np.random.default_rng(0).integers(0, 255, (BATCH, 64, 64), dtype=np.uint8)
    labels = np.arange(BATCH) % 2
    films = np.arange(BATCH)
    network.to(memory_format=torch.channels_last)
    material = Material(pixels, labels, films, films, np.ones(2, np.float32))  # type: ignore[arg-type]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    run = Training(network, p, material, TrainConfig(), optimizer, torch.amp.GradScaler(enabled=False))
    plain_optimizer = torch.optim.SGD(theirs.parameters(), lr=0.05)
    x, y = p.tensor(pixels).contiguous(), torch.from_numpy(labels)

    def plain() -> None:
        theirs.train()
        plain_optimizer.zero_grad()
        F.cross_entropy(theirs(x), y).backward()
        plain_optimizer.step()

    return in_turn(lambda: run.step(films, 0.05, torch.Generator()), plain)


def second_pass() -> tuple[float, float, float]:
    """96 films to 64×64 a second time: read from the store, against decoding them again with Pillow."""
    films, (rows,) = ingest(load(f"demo:{FILMS}"), [Preprocess()])
    files = [film.read() for film in films]
    order = np.arange(len(films))

    def plain() -> np.ndarray:
        images = [Image.open(io.BytesIO(data)).convert("L").resize((64, 64)) for data in files]
        return np.stack([np.asarray(image) for image in images])

    return in_turn(lambda: rows[order], plain)


def main() -> None:
    """Run every row, print the table and write results.md."""
    torch.set_num_threads(os.cpu_count() or 1)
    lines = [
        f"# Benchmarks, {datetime.date.today()}",
        "",
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}; `make bench`.",
        f"Ratio plain PyTorch / ours, median of {ROUNDS} paired rounds (quartiles); above 1, ours is faster.",
        "",
        "| work | ratio |",
        "|---|---|",
    ]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["PLAINFILM_CACHE"] = cache
        for work in (training_step, second_pass):
            ratio, low, high = work()
            lines.append(f"| {(work.__doc__ or '').splitlines()[0]} | {ratio:.2f} ({low:.2f}–{high:.2f}) |")
            print(lines[-1], flush=True)
    Path(__file__).with_name("results.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
