"""Films per second from C-STORE to an answer that the archive has acknowledged, beside `label` on the same films.

    PYTHONPATH=. python benchmarks/hospital.py RUN [FILMS [SIDE [TURNS]]]

Both sides in turn, medians of TURNS: `label`; `label --dicom`; `receive` with pictures and without, its films sent by
DCMTK's storescu, its answers taken by an Orthanc, all on this machine. Films are synthetic, uncompressed, 12-bit.
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

from tests.hospital.films import film, written
from tests.hospital.orthanc import Orthanc

from plainfilm.commands.label import label
from plainfilm.export.opened import opened

STORESCU = "/usr/bin/storescu"


def labelled(run: Path, films: list[Path], folder: Path, answers: Path | None = None) -> float:
    """Seconds of `label`, the model being loaded."""
    model = opened(run)
    begun = time.perf_counter()
    label(model, [str(path) for path in films], folder / "labels.csv", force=True, answers=answers)
    return time.perf_counter() - begun


def received(run: Path, films: list[Path], folder: Path, *more: str) -> float:
    """Seconds from the first C-STORE until the archive has acknowledged the last answer, the receiver being up."""
    archive = Orthanc(folder / f"orthanc-{time.time_ns()}").start()
    spool = folder / f"spool-{time.time_ns()}"
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
        begun = time.perf_counter()
        sender = subprocess.Popen([STORESCU, "-aec", "PLAINFILM", "127.0.0.1", port, *map(str, films)])
        trail = spool / "trail.jsonl"
        while not trail.exists() or trail.read_bytes().count(b"\n") < len(films):
            time.sleep(0.02)
        seconds = time.perf_counter() - begun
        sender.wait()
        return seconds
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
        ways: dict[str, Callable[[], float]] = {
            "label": lambda: labelled(run, films, folder),
            "label --dicom": lambda: labelled(run, films, folder, folder / "answers"),
            "receive": lambda: received(run, films, folder),
            "receive --no-pictures": lambda: received(run, films, folder, "--no-pictures"),
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(turns):
            for name, way in ways.items():
                taken[name].append(way())
    first = statistics.median(taken["label"])
    print(f"{count} films of {side}x{side}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        print(f"{name:24}{count / median:8.1f} films/s   {first / median:5.2f} of label")


if __name__ == "__main__":
    main()
