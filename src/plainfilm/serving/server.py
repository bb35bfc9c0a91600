"""The socket and the server on it: patience with slow clients has an end, and so has the service when it is told."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from plainfilm.errors import InputError
from plainfilm.machine.addresses import addresses

BACKLOG = 512  # connections that wait to be accepted


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port`` (0: any free one). InputError when it can't."""
    if not 0 <= port <= 65_535:
        raise InputError(f"--port {port} is no port; give one from 1 to 65535, or 0 for any that is free.")
    address = addresses(host)[0]
    try:
        listener = socket.create_server(
            (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=BACKLOG
        )
    except OSError as error:
        raise InputError(f"Port {port} of {host} can't be used ({error.strerror}); choose another --port.") from None
    # Connections inherit it. asyncio sets it only where `proto` is named, which create_server does not; without it an
    # answer's second packet waits 40 ms for the client's delayed acknowledgement of the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class Impatient(H11Protocol):
    """uvicorn's HTTP/1.1, but a connection without a complete request head for ``patience`` seconds is closed.

    uvicorn itself waits for ever for the first request of a connection, and for a head that comes by drops.
    """

    patience = 30.0  # seconds; clients keep idle connections for 5 or 15, and must be the first to let go
    _alarm: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request's head."""
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request's head."""
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        super().connection_lost(exc)
        if self._alarm:
            self._alarm.cancel()

    def _wait(self) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm = self.loop.call_later(self.patience, self._give_up)

    def _give_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def server_of(app: ASGIApp, grace: float) -> uvicorn.Server:
    """Return the server for ``app``; at its end it waits ``grace`` seconds at most for what is under way."""
    config = uvicorn.Config(
        app,
        http=Impatient,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(Impatient.patience) + 1,
        timeout_graceful_shutdown=int(grace),
    )
    return uvicorn.Server(config)


def run(app: ASGIApp, listener: socket.socket, grace: float) -> int:
    """Serve ``app`` until SIGTERM or SIGINT, finish what is under way, return 0 or (SIGINT) 130."""
    told: list[int] = []

    def remember(number: int, _: Any) -> None:
        told.append(number)

    # uvicorn ends by raising the signal again for whoever handled it before: then that is us, and we know the reason.
    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server_of(app, grace).run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        listener.close()
    return 130 if signal.SIGINT in told else 0
