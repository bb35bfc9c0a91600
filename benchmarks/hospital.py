"""Films per second, from C-STORE to an answer that the archive has acknowledged, beside `label` on the same films.

    PYTHONPATH=. python benchmarks/hospital.py RUN [FILMS [SIDE [TURNS]]]

All ways in turn, medians of TURNS: `label`; `label --dicom`; `receive` with pictures and without, its films sent by
DCMTK's storescu, its answers taken by an Orthanc, all on this machine. Films are synthetic, uncompressed, 12-bit.
Beside the rate stands the processor time per film of plainfilm's own process, which a busy machine changes little:
the rate of `receive` holds the sender's and the archive's work too. `label` reads, decodes and labels a film and writes
its row; `label --dicom` also makes the objects that `receive` makes and sends.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.hospital.films import film, written
from tests.hospital.orthanc import Orthanc

from plainfilm.commands.label import label
from plainfilm.export.opened import opened

STORESCU = "/usr/bin/storescu"


class Taken(NamedTuple):
    """Seconds for all films: by the clock, and of processors in plainfilm's process."""

    clock: float
    processor: float


def labelled(run: Path, films: list[Path], folder: Path, answers: Path | None = None) -> Taken:
    """Label the films, the model being loaded and warm."""
    model = opened(run)
    paths, out = [str(path) for path in films], folder / "labels.csv"
    label(model, paths[:2], out, force=True, answers=answers)
    begun = time.perf_counter(), time.process_time()
    label(model, paths, out, force=True, answers=answers)
    return Taken(time.perf_counter() - begun[0], time.process_time() - begun[1])


def processor(process: subprocess.Popen[str]) -> float:
    """Seconds of processors that a process has had."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def received(run: Path, films: list[Path], folder: Path, *more: str) -> Taken:
    """Send the films, the receiver being up and warm, until the archive has acknowledged the last answer."""
    archive = Orthanc(folder / f"orthanc-{time.time_ns()}").start()
    spool = folder / f"spool-{time.time_ns()}"
    trail = spool / "trail.jsonl"
    command = [
        sys.executable,
        "-m",
        "plainfilm",
        "receive",
        str(run),
        "--port",
        "0",
        "--answer",
        archive.peer,
        "--json",
    ]
    flags = ["--wait", "0", "--reserve", "1", "--spool", str(spool), *more]
    receiver = subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, text=True)
    try:
        assert receiver.stdout
        port = json.loads(receiver.stdout.readline())["films"].rsplit(":", 1)[1]
        begun = time.perf_counter(), 0.0
        for count in (2, len(films)):  # the first two warm it up
            begun = time.perf_counter(), processor(receiver)
            sent = [str(path) for path in films[2 * (count > 2) : count]]
            subprocess.run([STORESCU, "-aec", "PLAINFILM", "127.0.0.1", port, *sent], check=True)
            while not trail.exists() or trail.read_bytes().count(b"\n") < count:
                time.sleep(0.01)
        whole = len(films) / (len(films) - 2)  # the two are left out
        return Taken(whole * (time.perf_counter() - begun[0]), whole * (processor(receiver) - begun[1]))
    finally:
        receiver.terminate()
        receiver.wait()
        archive.stop()


def main() -> None:
    """Print films per second, and each relative to `label`."""
    run = Path(sys.argv[1]).resolve()
    given = [int(word) for word in sys.argv[2:]]
    count, side, turns = [*given, *(40, 2300, 3)[len(given) :]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "films").mkdir()
        for number in range(count):
            (folder / "films" / f"{number:04d}.dcm").write_bytes(written(film(number, side)))
        films = sorted((folder / "films").iterdir())
        ways: dict[str, Callable[[], Taken]] = {
            "label": lambda: labelled(run, films, folder),
            "label --dicom": lambda: labelled(run, films, folder, folder / "answers"),
            "receive": lambda: received(run, films, folder),
            "receive --no-pictures": lambda: received(run, films, folder, "--no-pictures"),
        }
        taken: dict[str, list[Taken]] = {name: [] for name in ways}
        for _ in range(turns):
            for name, way in ways.items():
                taken[name].append(way())
    medians = {name: Taken(*map(statistics.median, zip(*each, strict=True))) for name, each in taken.items()}
    first, same = medians["label"], medians["label --dicom"]
    print(f"{count} films of {side}x{side}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, (clock, own) in medians.items():
        ratios = f"{first.clock / clock:5.2f} of label {same.clock / clock:5.2f} of label --dicom"
        print(f"{name:24}{count / clock:8.1f} films/s {ratios}   {1000 * own / count:6.0f} ms of a processor per film")


if __name__ == "__main__":
    main()
