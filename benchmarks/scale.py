"""Time and memory against the number of films: made-up tiny films through load, store, split, steps, label, audit.

`python benchmarks/scale.py` (an hour) makes the data in a temporary folder, one process a size, and writes
benchmarks/scale.json and docs/evidence/scale.svg. Memory is what the process itself holds (RssAnon): pages of the files
it maps belong to the system, which takes them back whenever it needs them.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from plainfilm.machine.startup import tune_process

SIZES = (10_000, 100_000, 1_000_000)
SIDE = 28
STEPS = 100  # of training
ROOT = Path(__file__).resolve().parents[1]


def make(folder: Path, count: int) -> Path:
    """Write ``count`` films of noise, a square in every second one, as a MedMNIST file: train, val and test parts."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        films = int(share * count)
        images = rng.integers(0, 200, (films, SIDE, SIDE), dtype=np.uint8)
        images[::2, 4:8, 4:8] += 50
        arrays |= {f"{part}_images": images, f"{part}_labels": np.arange(films)[:, None] % 2}
    np.savez(folder / "films.npz", **arrays)
    return folder / "films.npz"


def held() -> float:
    """MB of memory that are the process's own."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


@contextmanager
def watched(stages: list[dict[str, object]], name: str, films: int) -> Iterator[None]:
    """Add to ``stages`` what the block took: seconds, CPU seconds, the most memory, memory at its end."""
    most, over = [held()], threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            most[0] = max(most[0], held())

    thread = threading.Thread(target=look)
    thread.start()
    began, cpu = time.perf_counter(), time.process_time()
    yield
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    over.set()
    thread.join()
    stages.append(
        {
            "stage": name,
            "films": films,
            "seconds": round(took, 2),
            "cpu_seconds": round(cpu, 2),
            "most_mb": round(max(most[0], held())),
            "mb": round(held()),
        }
    )


def one(count: int, folder: Path) -> list[dict[str, object]]:
    """Take ``count`` films through every stage in this process."""
    tune_process()
    import torch

    from plainfilm.commands.audit import audit
    from plainfilm.config import TrainConfig
    from plainfilm.data.films import write_films
    from plainfilm.data.sources import load
    from plainfilm.data.split import split
    from plainfilm.evaluation.decision import Decision
    from plainfilm.image.preprocess import Preprocess
    from plainfilm.image.store import ingest
    from plainfilm.labels.rows import labelled, row_maker
    from plainfilm.models.drift import Seen
    from plainfilm.models.model import Model
    from plainfilm.models.zoo import recipe
    from plainfilm.training.feed import Material
    from plainfilm.training.loop import Training
    from plainfilm.training.optimizers import optimizer_for

    torch.set_num_threads(1)
    source = subprocess.run([sys.executable, __file__, "make", str(count), str(folder)], check=True) and folder
    stages: list[dict[str, object]] = []
    p, config = Preprocess(size=SIDE), TrainConfig()
    network = recipe("vgg").build(2, p)
    with watched(stages, "start", 0):
        pass
    with watched(stages, "load", count):
        films = load(source / "films.npz")
    with watched(stages, "store", count):
        films, [rows] = ingest(films, [p])
    with watched(stages, "split", count):
        films = split(films)
    with watched(stages, "films.csv", count):
        write_films(films, folder)
    with watched(stages, "train", STEPS * config.batch):
        weights = np.ones(2, np.float32)
        material = Material(rows, films.labels, films.where("train"), films.where("val"), weights)
        optimizer, scaler = optimizer_for(network, config), torch.amp.GradScaler(enabled=False)
        run = Training(network, network, p, material, config, optimizer, scaler)
        draws = torch.Generator().manual_seed(0)
        order = material.train[torch.randperm(len(material.train), generator=draws).numpy()]
        for batch in np.array_split(order[: STEPS * config.batch], STEPS):
            run.step(run.feed.batch(batch, draws), 0.01)
    with watched(stages, "label", count):
        model = Model(network, "vgg", Decision(films.classes, films.classes[1]), p)
        for _ in labelled(row_maker(model, Seen(None)), ((film.path, film.read) for film in films)):
            pass
    with watched(stages, "audit", count):
        audit(str(source / "films.npz"), out=folder / "audit")
    return stages


def audited(count: int) -> list[dict[str, object]]:
    """Audit ``count`` films in a process that has done nothing else."""
    tune_process()
    from plainfilm.commands.audit import audit

    stages: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, __file__, "make", str(count), folder], check=True)
        os.environ["PLAINFILM_CACHE"] = f"{folder}/cache"
        with watched(stages, "start", 0):
            pass
        with watched(stages, "audit", count):
            audit(f"{folder}/films.npz", out=Path(folder) / "audit")
    return stages


def draw(found: dict[str, list[dict[str, object]]]) -> None:
    """Draw memory and time against the number of films into docs/evidence/scale.svg."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "plainfilm"
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    sizes = [int(size) for size in found]
    columns: tuple[tuple[object, str, Callable[[str], bool]], ...] = (
        (left, "most_mb", lambda name: name != "films.csv"),
        (right, "cpu_seconds", lambda name: name not in ("start", "train")),
    )
    for axes, key, shown in columns:
        for k, stage in enumerate(next(iter(found.values()))):
            if shown(str(stage["stage"])):
                axes.plot(sizes, [stages[k][key] for stages in found.values()], "o-", label=stage["stage"], ms=4)
        axes.set(xscale="log", xlabel="films in the set")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    left.set(ylabel="memory of the process, MB", ylim=(0, None))
    right.set(ylabel="CPU seconds", yscale="log")
    figure.savefig(ROOT / "docs" / "evidence" / "scale.svg", metadata={"Date": None})


def main() -> None:
    """Run all sizes; or one, in a process of its own; or `audit COUNT`, that alone."""
    if sys.argv[1:2] == ["audit"]:
        print(*audited(int(sys.argv[2])), sep="\n")
        return
    if len(sys.argv) > 1:
        count, folder = int(sys.argv[2]), Path(sys.argv[3])
        print(json.dumps(one(count, folder)) if sys.argv[1] == "one" else make(folder, count))
        return
    found = {}
    for count in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "PLAINFILM_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
            words = [sys.executable, __file__, "one", str(count), folder]
            done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found[str(count)] = json.loads(done.stdout.splitlines()[-1])
        print(count, *found[str(count)], sep="\n  ", flush=True)
    document = {"date": str(datetime.date.today()), "cores": os.cpu_count(), "side": SIDE, "sizes": found}
    (ROOT / "benchmarks" / "scale.json").write_text(json.dumps(document, indent=1) + "\n")
    draw(found)


if __name__ == "__main__":
    main()
