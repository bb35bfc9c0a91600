"""What the receiver counts, for Prometheus, and whether it is alive: numbers only, at /metrics and /health."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from plainfilm.errors import InputError

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
PATIENCE = 10  # seconds for a request
HEALTHY = b'{"status": "ok"}\n'


class Counters:
    """Counters of one receiver; nothing in them leads back to a film."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        counter = partial(Counter, namespace="plainfilm", registry=self._registry)
        self.associations = counter("associations", "Associations by outcome", ("outcome",))
        self.films = counter("received", "Films received, by what became of them at the door", ("outcome",))
        self.answers = counter("answers", "Answers by outcome", ("outcome",))
        self.referred = counter("referred", "Films referred to a reader")
        self.retries = counter("retries", "Times that an answer could not be handed over and waits")
        self.seconds = Histogram(
            "plainfilm_answer_seconds", "Seconds to make an answer", registry=self._registry, buckets=SECONDS
        )
        spooled = Gauge("plainfilm_spooled_films", "Films whose answer has not been taken", registry=self._registry)
        spooled.set_function(waiting)  # type: ignore[no-untyped-call]

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)


def watched(counters: Counters, host: str, port: int) -> ThreadingHTTPServer:
    """Serve ``counters`` on ``host`` and ``port`` in a thread; return the server. InputError when the port is taken."""

    class Page(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_GET(self) -> None:
            pages: dict[str, Callable[[], bytes]] = {"/metrics": counters.text, "/health": lambda: HEALTHY}
            found = pages.get(self.path)
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json" if self.path == "/health" else "text/plain")
            self.end_headers()
            self.wfile.write(found() if found else b"")

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    try:
        server = ThreadingHTTPServer((host, port), Page)
    except OSError as error:
        raise InputError(f"Port {port} of {host} can't be used ({error.strerror}); choose another.") from None
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
