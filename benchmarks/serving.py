"""The service over its capacity, beside `label` on the same films: the figures of docs/serving.md.

    python benchmarks/serving.py RUN FILMS [CLIENTS SECONDS FILMS_A_REQUEST PATIENCE]

The server is a process of its own, as `plainfilm serve` starts it; the clients are one more, and so is the one that
asks /health ten times a second. After a refusal clients wait as long as Retry-After says, or PATIENCE milliseconds
where it is given, and compare every probability with the one that `label` gives, to the last bit.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from clients import Tally, ask, request, watched
from plainfilm.data.sources import loose
from plainfilm.export.opened import opened
from plainfilm.labels.rows import labelled, row_maker
from plainfilm.models.drift import Seen

DISTINCT = 200  # films; the clients draw from them
OFFLINE_SECONDS = 12.0

Films = list[tuple[bytes, list[float]]]  # bytes, probabilities


def offline(run: Path, films: list[Any], seconds: float) -> tuple[float, dict[str, list[float]]]:
    """Return films a second of `label`, and {path: probabilities}."""
    make = row_maker(opened(run), Seen(None))
    found = {row[0]: row[2:-2] for row in labelled(make, films)}
    begun, count = time.monotonic(), 0
    while time.monotonic() < begun + seconds:
        count += sum(1 for _ in labelled(make, films))
    return count / (time.monotonic() - begun), found


@contextmanager
def server(run: Path) -> Iterator[tuple[str, int]]:
    """Run `plainfilm serve` for the block; yield its address and process."""
    words = [sys.executable, "-m", "plainfilm", "serve", str(run), "--port", "0", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield json.loads(process.stdout.readline())["url"], process.pid
    finally:
        process.terminate()
        print(f"SIGTERM: exit code {process.wait(90)}")


async def client(url: str, films: Films, many: int, until: float, patience: float, seed: int, told: Tally) -> None:
    """Ask again and again until the time is over."""
    rng = np.random.default_rng(seed)
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    while time.monotonic() < until:
        chosen = [films[i] for i in rng.integers(len(films), size=many)]
        begun = time.monotonic()
        status, headers, body = await ask(reader, writer, request([film for film, _ in chosen], url))
        told.statuses[status] += 1
        if status == 200:
            told.seconds.append(time.monotonic() - begun)
            told.films += many * (time.monotonic() < until)
            answers = [list(film["probabilities"].values()) for film in json.loads(body)["films"]]
            told.wrong += answers != [expected for _, expected in chosen]
        else:
            told.without_retry += "retry-after" not in headers
            await asyncio.sleep(patience or float(headers.get("retry-after", 0)))
    writer.close()


async def crowd(
    url: str, pid: int, films: Films, clients: int, seconds: float, many: int, patience: float
) -> tuple[Tally, Any]:
    """Let all clients ask; return what they saw and the server's memory (MB) second by second."""
    told, until, memory = Tally(), time.monotonic() + seconds, []
    tasks = [asyncio.create_task(client(url, films, many, until, patience, seed, told)) for seed in range(clients)]
    while time.monotonic() < until:
        status = Path(f"/proc/{pid}/status").read_text()
        memory.append(int(status.split("VmRSS:")[1].split()[0]) // 1024)
        await asyncio.sleep(1)
    await asyncio.gather(*tasks)
    return told, memory


def main(run: Path, source: str, clients: int = 256, seconds: int = 60, many: int = 4, patience: int = 0) -> None:
    """Print the figures."""
    every = loose(source)
    films = [every[i] for i in np.random.default_rng(0).permutation(len(every))[:DISTINCT]]
    before, expected = offline(run, films, OFFLINE_SECONDS)
    pairs = [(read(), expected[path]) for path, read in films]
    with server(run) as (url, pid), watched(url, seconds) as health:
        told, memory = asyncio.run(crowd(url, pid, pairs, clients, seconds, many, patience / 1000))
    after, _ = offline(run, films, OFFLINE_SECONDS)
    served = told.films / seconds
    print(f"{clients} clients, {many} films a request, {seconds} s: {dict(told.statuses)}")
    print(f"wrong answers {told.wrong}, refusals without Retry-After {told.without_retry}")
    print(f"answers: median {statistics.median(told.seconds):.2f} s, longest {max(told.seconds):.2f} s")
    health.sort()
    late = health[int(len(health) * 0.99)]
    print(f"/health: median {statistics.median(health) * 1e3:.1f} ms, 99 % within {late * 1e3:.1f} ms,")
    print(f"    longest {health[-1] * 1e3:.1f} ms of {len(health)}")
    print(f"memory: {memory[0]} MB at first, {memory[len(memory) // 2]} MB half-way, {memory[-1]} MB at the end")
    print(f"films a second: served {served:.0f}; label {before:.0f} before, {after:.0f} after", end="; ")
    print(f"ratio {served / ((before + after) / 2):.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
