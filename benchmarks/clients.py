"""Clients of the service for its benchmarks, without plainfilm: they start at once and leave the cores to the server.

python benchmarks/clients.py URL SECONDS        asks /health ten times a second; prints how long each answer took
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

Answer = tuple[int, dict[str, str], bytes]


def request(films: list[bytes], url: str) -> bytes:
    """Return the bytes of a POST /predict."""
    part = b'--B\r\nContent-Disposition: form-data; name="films"; filename="a"\r\n\r\n'
    body = b"".join(part + film + b"\r\n" for film in films) + b"--B--\r\n"
    head = (
        f"POST /predict HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
        f"Content-Type: multipart/form-data; boundary=B\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> Answer:
    """Send a request and return status, headers and body of its answer."""
    writer.write(data)
    await writer.drain()
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


class Tally:
    """What the clients saw."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.films = self.wrong = self.without_retry = 0


async def watch(url: str, seconds: float) -> list[float]:
    """Ask /health ten times a second; return how long each answer took."""
    place, taken, until = urlsplit(url), [], time.monotonic() + seconds
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    while time.monotonic() < until:
        begun = time.monotonic()
        status, _, _ = await ask(reader, writer, f"GET /health HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
        assert status == 200
        taken.append(time.monotonic() - begun)
        await asyncio.sleep(0.1)
    writer.close()
    return taken


@contextmanager
def watched(url: str, seconds: float) -> Iterator[list[float]]:
    """Ask /health from a process of its own while the block runs; after it the list holds each answer's seconds."""
    taken: list[float] = []
    words = [sys.executable, __file__, url, str(seconds)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as watcher:
        yield taken
        taken += json.loads(watcher.communicate(timeout=90)[0])


if __name__ == "__main__":
    print(json.dumps(asyncio.run(watch(sys.argv[1], float(sys.argv[2])))))
