"""What audit, ingest, extraction and label cost as films become more: seconds, and memory at its highest.

Each measurement is a process of its own: python benchmarks/growth.py STAGE FOLDER. The films are small (128×128) and
the network of the extraction is a small one, so that 50,000 take minutes; what is measured is how both grow.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from plainfilm.machine.startup import tune_process

STAGES = ("audit", "ingest", "extraction", "label")
COUNTS = (1_000, 5_000, 20_000, 50_000)
TABLE = "8 P 8 P 8 P 8 P |"  # 128 features of a film at 64×64


def growth(folder: Path, figure: Path, counts: tuple[int, ...] = COUNTS) -> list[str]:
    """Measure every stage at every count, draw ``figure``, and return a table."""
    from films import small_films

    found: dict[str, list[dict[str, float]]] = {stage: [] for stage in STAGES}
    for count in counts:
        films = small_films(folder / str(count), count)
        for stage in STAGES:
            found[stage].append(_alone(stage, films))
            print(stage, count, found[stage][-1], flush=True)
    _draw(found, counts, figure)
    lines = ["", f"Growing work (small films, small network): seconds, and memory at its highest; {figure.name}.", ""]
    lines += ["| stage | " + " | ".join(f"{n:,} films" for n in counts) + " |", "|---" * (len(counts) + 1) + "|"]
    for stage, cells in found.items():
        lines.append(f"| {stage} | " + " | ".join(f"{c['seconds']:.1f} s, {c['mb']:.0f} MB" for c in cells) + " |")
    return lines


def _alone(stage: str, films: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"PLAINFILM_CACHE": cache}
        command = [sys.executable, __file__, stage, str(films)]
        answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    measured: dict[str, float] = json.loads(answer.splitlines()[-1])
    return measured


def _draw(found: dict[str, list[dict[str, float]]], counts: tuple[int, ...], figure: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drawing, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for stage, cells in found.items():
        left.plot(counts, [c["seconds"] for c in cells], marker="o", label=stage)
        right.plot(counts, [c["mb"] for c in cells], marker="o", label=stage)
    left.set(title="Seconds", xlabel="films", xlim=0, ylim=0)
    right.set(title="Memory at its highest, MB", xlabel="films", xlim=0, ylim=0)
    left.legend(frameon=False)
    drawing.savefig(figure, metadata={"Date": None})


# --- one measurement --------------------------------------------------------------------------------------------------


def prepared(stage: str, folder: str) -> Callable[[], object]:
    """Return what does the work of ``stage``, all that comes before it done."""
    tune_process()
    import numpy as np
    import torch

    from plainfilm.audit.document import examine
    from plainfilm.audit.measure import measure
    from plainfilm.commands.label import label
    from plainfilm.data.sources import load
    from plainfilm.evaluation.decision import Decision
    from plainfilm.image.preprocess import Preprocess
    from plainfilm.image.store import ingest
    from plainfilm.models.features import extract
    from plainfilm.models.gate import fit_gate
    from plainfilm.models.model import Model
    from plainfilm.models.vgg import VGG, initialise
    from plainfilm.models.zoo import recipe
    from plainfilm.progress import quiet

    quiet.set(True)
    p = Preprocess()
    if stage == "audit":
        return lambda: examine(measure(load(folder)))
    if stage == "ingest":
        return lambda: ingest(load(folder), [p])
    if stage == "extraction":
        films, (rows,) = ingest(load(folder), [p])
        small = VGG(TABLE, 2, 64)
        return lambda: extract(films, rows, small, p, "small", (small.feature_count,))
    some = load(folder)
    films, (rows,) = ingest(some.with_films(list(some)[:100] + list(some)[-100:]), [p])
    network = recipe("vgg").build(2, p)
    initialise(network, torch.Generator().manual_seed(0))
    gate = fit_gate(rows, np.arange(len(films)), np.random.default_rng(0))
    model = Model(network, "vgg", Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA"), p, gate=gate)
    model.save(f"{os.environ['PLAINFILM_CACHE']}/model.h5")
    model = Model.load(f"{os.environ['PLAINFILM_CACHE']}/model.h5")
    return lambda: label(model, [folder], Path(os.environ["PLAINFILM_CACHE"]) / "labels.csv")


if __name__ == "__main__":
    work = prepared(*sys.argv[1:])
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    print(json.dumps({"seconds": seconds, "mb": highest}))
