"""Ours beside Keras on TensorFlow, plain PyTorch and scikit-learn: the same work, films and threads, in turn.

`make bench` prints the table and writes benchmarks/results.md. Every side is a process of its own (turns.py); what
each does is written plainly in ours.py, keras_tf.py, plain_torch.py and scikit.py. Films: those of --data, else the
originals beside the repository, else synthetic ones as large. A part alone: python benchmarks/run.py --only decode
Ours beside an earlier checkout of ours, both in 32 bits: python benchmarks/run.py --before ../before --out TABLE.md
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from films import as_in_the_set, large_films
from growth import growth
from plainfilm.machine import processor
from turns import Side, in_turn, ratio

HERE = Path(__file__).resolve().parent
PAPER = HERE.parents[1] / "shared" / "data" / "chest_xray_224" / "train"
ORIGINALS = HERE.parents[1] / "shared" / "data" / "chest_xray_full_sample" / "train"
WEIGHTS = HERE.parents[1] / "shared" / "weights"
KERAS = HERE.parent / ".venv-bench" / "bin" / "python"
OURS, TORCH, KERAS_TF, SCIKIT = "ours.py", "plain_torch.py", "keras_tf.py", "scikit.py"
EARLIER = "earlier.py"
PRODUCT = 5 * 2 * 1536**3  # operations of a unit of ours.product
STEP_FLOPS, VGG16_FLOPS = 3 * 0.317e9, 30.7e9  # operations a film: forward and two gradients; forward


@dataclass(frozen=True)
class Row:
    """One line of the table: our work, and the others it is compared with as (script, work, what it is)."""

    stage: str
    title: str
    work: str
    films: int  # a unit; 1 where the unit's own seconds count
    others: tuple[tuple[str, str, str], ...] = ()
    target: str = ""
    rounds: int = 9  # 0: the first unit counts, with nothing warm
    cores: int = 0  # 0 = all
    settings: dict[str, Any] = field(default_factory=dict)  # of all sides
    only_others: dict[str, Any] = field(default_factory=dict)
    flops: float = 0.0  # a film
    product: str = "product"  # the machine's limit for them


LOADERS = (
    (KERAS_TF, "decode", "OpenCV loader"),
    (KERAS_TF, "dataset", "image_dataset_from_directory"),
    (TORCH, "decode", "Pillow loader"),
    (OURS, "entropy", "entropy decoding alone, which no decoder goes below"),
)
FITS = ((KERAS_TF, "training", "Keras fit"), (TORCH, "training", "plain PyTorch"))
FITS_16 = (*FITS, (KERAS_TF, "training_16", "Keras mixed_bfloat16"), (TORCH, "training_16", "PyTorch autocast"))
NETWORKS = ((KERAS_TF, "features", "applications.VGG16.predict"), (TORCH, "features", "plain PyTorch"))
NETWORKS_16 = (
    *NETWORKS,
    (KERAS_TF, "features_16", "the same, mixed_bfloat16"),
    (TORCH, "features_16", "PyTorch autocast"),
)
SINGLES = ((KERAS_TF, "label", "Keras predict"), (TORCH, "label", "plain PyTorch"))
STEP, LABEL = ((OURS, "training", "our training step"),), ((OURS, "offline", "label, the same films"),)
SEARCH = ((SCIKIT, "logistic", "GridSearchCV"),)


def rows(folder: str) -> list[Row]:
    """Return every row of the table but the long ones."""
    count, here = len(list(Path(folder).glob("*/*"))), {"folder": folder}
    plain, bn = {"films": 240, "batch_norm": False}, {"films": 240, "batch_norm": True}
    epoch, search = {"films": 240}, "logistic regression, 6 values of C × 3 folds, 300 films × 25,088"
    return [
        Row("decode", "full-size films to 64×64, one core", "decode", count, LOADERS, "OpenCV ≥ 4", 5, 1, here),
        Row("decode", "the same, all cores", "decode", count, LOADERS, "≥ 1.8 times one core", 5, 0, here),
        Row("again", "a second run on the same films", "again", count, LOADERS[:1], "no decoding", 5, 0, here),
        Row("again", "a later epoch's rows, beside its steps", "loading", 240, STEP, "≥ 100", 5, 0, epoch, plain),
        Row(
            "training",
            "`vgg`, batch 24",
            "training",
            240,
            FITS,
            "Keras ≥ 1.5, torch ≥ 1.25",
            9,
            0,
            plain,
            {},
            STEP_FLOPS,
        ),
        Row("training", "`vgg-bn`, batch 24", "training", 240, FITS, "", 9, 0, bn, {}, STEP_FLOPS),
        Row(
            "features",
            "VGG16 features",
            "features",
            96,  # an extraction first makes its net and compares the engines, which takes as long as some ten films
            NETWORKS,
            "Keras ≥ 3; share ≥ 1.8",
            3,
            0,
            {"films": 96},
            {},
            VGG16_FLOPS,
        ),
        *(_in_16_bits(plain, bn) if processor.multiplies_bfloat16() else []),
        Row("logistic", search, "logistic", 300, SEARCH, "≥ 5", 3, 0, {"films": 300}, {"tolerance": 1e-8}),
        Row("label", "one film, `vgg` loaded, p50", "label", 1, SINGLES, "≤ 5 ms", 5, 0, here | {"films": count}),
        Row("serving", "films through the service", "served", count, LABEL, "≥ 0.8", 5, 0, here),
        Row("start", "`plainfilm --help`", "helped", 1, (), "< 300 ms", 5),
        Row("start", "`plainfilm label` of one film, cold", "cold", 1, (), "< 2,000 ms", 3, 0, here),
    ]


def _in_16_bits(plain: dict[str, Any], bn: dict[str, Any]) -> list[Row]:
    """The rows of steps and features in bfloat16, beside the others in both precisions."""
    target, last = "Keras ≥ 1.8, mixed ≥ .95", (STEP_FLOPS, "product_16")
    few = {"films": 96}
    wanted = "Keras ≥ 5; share ≥ .6"
    return [
        Row("training", "`vgg`, 16 bits", "training_16", 240, FITS_16, target, 9, 0, plain, {}, *last),
        Row("training", "`vgg-bn`, 16 bits", "training_16", 240, FITS_16, "Keras ≥ 1.8", 9, 0, bn, {}, *last),
        Row(
            "features",
            "VGG16, 16 bits",
            "features_16",
            96,
            NETWORKS_16,
            wanted,
            3,
            0,
            few,
            {},
            VGG16_FLOPS,
            "product_16",
        ),
    ]


def before(row: Row) -> Row:
    """Return the row with the same work of an earlier checkout in place of the others."""
    return replace(row, others=((EARLIER, row.work, "the same, before"),), target="≥ 1", only_others={}, flops=0)


def measured(row: Row, most: int) -> Iterator[str]:
    """Run one row; yield a line of the table for each of the others (or one for ours alone)."""
    cores = row.cores or os.cpu_count() or 1
    sides = [Side(OURS, sys.executable, row.work, cores, **row.settings)]
    for script, work, _ in row.others:
        python = KERAS if script == KERAS_TF else sys.executable
        sides.append(Side(script, python, work, cores, **{**row.settings, **row.only_others}))
    if row.flops:
        sides.append(Side(OURS, sys.executable, row.product, cores))
    ours, *others = in_turn(sides, min(row.rounds, most)) if row.rounds else [[side.first] for side in sides]
    for side in sides:
        side.close()
    pace = _pace(row, ours)
    if row.flops:
        limit = PRODUCT / statistics.median(others.pop())
        reached = row.flops * row.films / statistics.median(ours)
        pace += f"; {reached / 1e9:.0f} of {limit / 1e9:.0f} GFLOP/s ({reached / limit:.2f})"
    for (_, _, name), seconds in zip(row.others, others, strict=True):
        middle, low, high = ratio(ours, seconds)
        other = f"{name}: {_pace(row, seconds)}"
        yield f"| {row.title} | {pace} | {other} | {middle:.2f} ({low:.2f}–{high:.2f}) | {row.target} |"
    if not row.others:
        yield f"| {row.title} | {pace} | | | {row.target} |"


def _pace(row: Row, seconds: list[float]) -> str:
    middle = statistics.median(seconds)
    return f"{middle * 1e3:.3g} ms" if row.films == 1 else f"{row.films / middle:,.3g} films/s"


def paper_row(epochs: int, folder: Path, out: Path) -> Row:
    """`plainfilm paper` and Keras' version of the same work, on the films in class folders of ``folder``."""
    weights = next(iter(WEIGHTS.glob("vgg16*notop.h5")), "") or os.environ.get("PLAINFILM_WEIGHTS", "")
    other = ((KERAS_TF, "paper", "the same in Keras and scikit-learn"),)
    settings = {"folder": str(folder), "epochs": epochs, "out": str(out)}
    films = len(list(folder.glob("*/*")))
    title = f"`plainfilm paper`, {films:,} films, {epochs} epochs"
    return Row("paper", title, "paper", films, other, "≥ 1.8", 0, 0, settings, {"weights": str(weights)})


def head(films: str) -> list[str]:
    """What stands above the table: machine, date, versions, threads, command."""
    installed = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "pillow", "scikit-learn"))
    theirs = ", ".join((HERE / "requirements.txt").read_text().split("\n")[1:4]).replace("==", " ")
    return [
        f"# Benchmarks, {datetime.date.today()}",
        "",
        f"{_processor()}, {os.cpu_count()} cores and threads for all sides, {platform.system()}; Python"
        f" {platform.python_version()}, {installed}; the others: {theirs}.",
        f"Command: `make bench` (`python benchmarks/run.py {' '.join(sys.argv[1:])}`). Full-size films: {films}.",
        "Ratio: the other's seconds over ours, median of rounds in turn (quartiles); above 1, ours is faster. GFLOP/s:"
        " of the work, beside a matrix product of as many bits (1,536², torch) in the same rounds, and its share.",
        "",
        "| work | plainfilm | beside it | ratio | to reach |",
        "|---|---|---|---|---|",
    ]


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="stages, with commas: decode, again, training, features, …")
    parser.add_argument("--rounds", type=int, default=99, help="rounds at most, to try it out")
    parser.add_argument("--data", default="", help="full-size films in class folders")
    parser.add_argument(
        "--long", action="store_true", help="memory and cost from 1,000 to 50,000 films, in scaling.svg"
    )
    text = "the whole paper, such as 600,10; with --data on all its films; --only paper: all real ones, 30 epochs"
    parser.add_argument("--paper", metavar="FILMS,EPOCHS", default="", help=text)
    parser.add_argument("--before", type=Path, help="an earlier checkout, whose own work stands in for the others")
    parser.add_argument("--out", type=Path, default=HERE / "results.md", help="(default %(default)s)")
    return parser.parse_args()


def main() -> None:
    """Run the rows asked for, print the table and write it."""
    options = _options()
    only = {name for name in options.only.split(",") if name}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["PLAINFILM_CACHE"] = f"{scratch}/cache"
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # commands start from compiled files, as installed ones do
        os.environ.setdefault("PLAINFILM_WEIGHTS", str(WEIGHTS) if WEIGHTS.is_dir() else "")
        made, there = Path(scratch) / "films", ORIGINALS.is_dir()
        folder = options.data or str(as_in_the_set(ORIGINALS, made) if there else large_films(made, 48))
        table = [row for row in rows(folder) if not only or row.stage in only]
        if options.before:
            os.environ |= {"PLAINFILM_BEFORE": str(options.before.resolve()), "PLAINFILM_PRECISION": "32"}
            table = [before(row) for row in table if not row.work.endswith("_16")]
        if "paper" in only and not options.paper and PAPER.is_dir():
            options.paper, options.data = "0,30", options.data or str(PAPER)
        if options.paper:
            films, epochs = (int(number) for number in options.paper.split(","))
            of_paper = Path(options.data) if options.data else large_films(Path(scratch) / "paper", films)
            table.append(paper_row(epochs, of_paper, Path(scratch) / "runs"))
            Path(scratch, "runs").mkdir()
        lines = head(options.data or ("originals of the Kermany set, 8 NORMAL and 24 PNEUMONIA" if there else "drawn"))
        print("\n".join(lines), flush=True)
        for row in table:
            for line in measured(row, options.rounds):
                lines.append(line)
                print(line, flush=True)
        if not processor.multiplies_bfloat16():
            lines.append("| 16 bits | this processor does not multiply bfloat16 | | | |")
        lines.append("| CUDA: mixed precision, channels last | no GPU measured yet | | | |")
        if options.long:
            lines += growth(Path(scratch) / "growth", HERE / "scaling.svg")
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
