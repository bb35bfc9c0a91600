"""The service under a load that does not wait for it: shares of the rate of one client who asks film after film.

    python benchmarks/load.py RUN FILMS [SHARE:MINUTES[:random] ...]        (default 70:30 100:5 300:2 70:5:random)

Requests of one film arrive at SHARE percent of that rate, evenly or (`random`) as a Poisson process, whether earlier
ones were answered or not, so that a slow service meets a growing queue as it would outside. Server and clients are
processes of their own on the same cores; every probability is compared with the one that `label` gives, to the last
bit. See docs/serving.md.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from clients import Tally, ask, request, watched
from plainfilm.data.sources import loose
from serving import DISTINCT, Films, offline, server

SINGLE_SECONDS = 20.0
USUAL = ("70:30", "100:5", "300:2", "70:5:random")

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Callers:
    """Requests in flight, each over a connection that no other uses; what came back is in ``told``."""

    def __init__(self, url: str, films: Films) -> None:
        self.url, self.films, self.told = url, films, Tally()
        self.free: list[Connection] = []
        self.rng = np.random.default_rng(0)

    async def call(self) -> None:
        """Send a film drawn at random and judge the answer."""
        place = urlsplit(self.url)
        film, expected = self.films[self.rng.integers(len(self.films))]
        begun = time.monotonic()
        while self.free and self.free[-1][0].at_eof():  # the server closes what is idle for long
            self.free.pop()
        connection = self.free.pop() if self.free else await asyncio.open_connection(place.hostname, place.port)
        status, headers, body = await ask(*connection, request([film], self.url))
        self.free.append(connection)
        self.told.statuses[status] += 1
        if status == 200:
            self.told.seconds.append(time.monotonic() - begun)
            self.told.wrong += list(json.loads(body)["films"][0]["probabilities"].values()) != expected
        else:
            self.told.without_retry += "retry-after" not in headers

    async def one_by_one(self, seconds: float) -> float:
        """Ask film after film; return the answers a second."""
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            await self.call()
        return len(self.told.seconds) / (time.monotonic() - begun)

    async def at(self, rate: float, seconds: float, random: bool) -> None:
        """Ask ``rate`` times a second, evenly or at random moments, whether earlier ones were answered or not."""
        tasks, when, until = set(), time.monotonic(), time.monotonic() + seconds
        while (when := when + (self.rng.exponential(1 / rate) if random else 1 / rate)) < until:
            await asyncio.sleep(max(0.0, when - time.monotonic()))
            tasks.add(task := asyncio.create_task(self.call()))
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)


def resident(pid: int) -> int:
    """Return the memory (MB) that a process holds now."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) // 1024


def spread(values: list[float], share: float) -> str:
    """Return the median of ``values`` (s), that below which ``share`` of them lie, and the largest, in ms."""
    low, high = statistics.median(values) * 1e3, sorted(values)[int(len(values) * share)] * 1e3
    return f"{low:.1f}, {high:.1f}, {max(values) * 1e3:.0f} ms"


async def phase(url: str, pid: int, films: Films, rate: float, seconds: float, random: bool) -> str:
    """Hold a load; return its row."""
    callers, before = Callers(url, films), resident(pid)
    with watched(url, seconds) as health:
        await callers.at(rate, seconds, random)
    told = callers.told
    answered = told.statuses.pop(200)
    return (
        f"{rate:.0f} a second for {seconds / 60:g} min | {answered:,} | {dict(told.statuses) or 0} "
        f"| {told.without_retry} | {told.wrong} | {spread(told.seconds, 0.95)} | {spread(health, 0.99)} "
        f"| {before}, {resident(pid)} MB"
    )


def main(run: Path, source: str, loads: list[str]) -> None:
    """Print a row for one client alone and one a load."""
    every = loose(source)
    films = [every[i] for i in np.random.default_rng(0).permutation(len(every))[:DISTINCT]]
    _, expected = offline(run, films, 0)
    pairs = [(read(), expected[path]) for path, read in films]
    with server(run) as (url, pid):
        alone = Callers(url, pairs)
        asyncio.run(alone.one_by_one(3))  # warms up
        alone = Callers(url, pairs)
        rate = asyncio.run(alone.one_by_one(SINGLE_SECONDS))
        print(f"one client: {rate:.0f} films a second; median, 95 %, longest", end=" ")
        print(f"{spread(alone.told.seconds, 0.95)}; {resident(pid)} MB", flush=True)
        print("load | answered | refused | without Retry-After | wrong | answer: median, 95 %, longest", end=" | ")
        print("/health: median, 99 %, longest | memory before, after", flush=True)
        for load in loads:
            share, minutes, *random = load.split(":")
            row = asyncio.run(phase(url, pid, pairs, rate * float(share) / 100, float(minutes) * 60, bool(random)))
            print(f"{share} %{', random' * bool(random)}: {row}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:] or list(USUAL))
