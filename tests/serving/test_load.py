"""More clients than the service can serve: every answer is right or a refusal, /health answers, memory stays."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from plainfilm.serving.limits import Limits


@dataclass
class Tally:
    """What many clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)  # of answers
    health: list[float] = field(default_factory=list)
    wrong: int = 0
    without_retry: int = 0


async def client_of(client: httpx.AsyncClient, film: bytes, expected: dict, until: float, tally: Tally) -> None:
    """Ask again and again until the time is over."""
    while time.monotonic() < until:
        begun = time.monotonic()
        answer = await client.post("/predict", files={"film": film})
        tally.statuses[answer.status_code] += 1
        if answer.status_code == 200:
            tally.seconds.append(time.monotonic() - begun)
            tally.wrong += answer.json()["films"][0]["probabilities"] != expected
        else:
            tally.without_retry += "retry-after" not in answer.headers
            await asyncio.sleep(0.2)


async def watch(url: str, until: float, tally: Tally) -> None:
    """Ask /health ten times a second."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        while time.monotonic() < until:
            begun = time.monotonic()
            assert (await client.get("/health")).status_code == 200
            tally.health.append(time.monotonic() - begun)
            await asyncio.sleep(0.1)


async def crowd(url: str, clients: int, seconds: float, film: bytes, expected: dict) -> Tally:
    """Let ``clients`` clients ask for ``seconds``."""
    tally, until = Tally(), time.monotonic() + seconds
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        many = (client_of(client, film, expected, until, tally) for _ in range(clients))
        await asyncio.gather(watch(url, until, tally), *many)
    return tally


def kilobytes() -> int:
    """Return this process's resident memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def report(tally: Tally, seconds: float, before: int) -> None:
    """Print the figures; they depend on the machine and are no test."""
    health = sorted(tally.health)
    print(f"\nstatuses {dict(tally.statuses)} in {seconds:g} s, films a second {len(tally.seconds) / seconds:.0f}")
    print(f"answers: median {statistics.median(tally.seconds) * 1e3:.0f} ms, longest {max(tally.seconds) * 1e3:.0f} ms")
    print(
        f"health: median {statistics.median(health) * 1e3:.1f} ms, longest {health[-1] * 1e3:.1f} ms of {len(health)}"
    )
    print(f"memory: {before / 1024:.0f} MB before, {kilobytes() / 1024:.0f} MB after")


def overload(running, clients: int, seconds: float, film: bytes) -> Tally:
    """Run the crowd, print its figures, and check what must hold on any machine."""
    expected = running.predict(film).json()["films"][0]["probabilities"]
    before = kilobytes()
    tally = asyncio.run(crowd(running.url, clients, seconds, film, expected))
    report(tally, seconds, before)
    assert set(tally.statuses) <= {200, 429, 503} and tally.statuses[200] > 0
    assert tally.wrong == 0 and tally.without_retry == 0
    assert running.predict(film).status_code == 200
    return tally


def test_more_clients_than_places_get_right_answers_or_refusals(model, slowed, serve, make_film):
    with serve(slowed(model, 0.02), limits=Limits(queue=8)) as running:
        tally = overload(running, 32, 2, make_film(1, True))
    assert tally.statuses[503] > 0


def test_a_full_queue_refuses_before_it_looks_at_the_body(model, slowed, serve, make_film):
    async def ask(running):
        async with httpx.AsyncClient(base_url=running.url, timeout=30) as client:
            first = asyncio.create_task(client.post("/predict", files={"film": make_film(1, True)}))
            while (await client.get("/health")).json()["queue"] == 0 and not first.done():
                await asyncio.sleep(0.01)
            kind = {"Content-Type": "multipart/form-data; boundary=B"}
            answers = [await client.post("/predict", content=b"no form", headers=kind)]
            await first
            return *answers, await client.post("/predict", content=b"no form", headers=kind)

    with serve(slowed(model, 0.5), limits=Limits(queue=1)) as running:
        busy, idle = asyncio.run(ask(running))
    assert (busy.status_code, idle.status_code) == (503, 422) and busy.headers["retry-after"]


@pytest.mark.slow
def test_256_clients_for_a_minute(model, slowed, serve, make_film):
    with serve(slowed(model, 0.01), limits=Limits(queue=64)) as running:
        tally = overload(running, 256, 60, make_film(1, True))
    assert tally.statuses[503] > 0


def test_ending_finishes_what_is_queued(model, slowed, serve, make_film):
    async def ask(url, film):
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            files = [("films", (str(i), film)) for i in range(20)]
            return await client.post("/predict", files=files)

    async def until_busy(client, task):
        while (await client.get("/health")).json()["queue"] == 0 and not task.done():
            await asyncio.sleep(0.01)

    async def both(running):
        task = asyncio.create_task(ask(running.url, make_film(1, True)))
        async with httpx.AsyncClient(base_url=running.url) as client:
            await until_busy(client, task)
        running.stop()
        return await task

    with serve(slowed(model, 0.03)) as running:
        answer = asyncio.run(both(running))
    assert answer.status_code == 200 and len(answer.json()["films"]) == 20
