"""A large answer, which counts as memory until it is sent: a client that reads slowly must not hold it for ever."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from plainfilm.serving.limits import Limits, Memory

PIECE = 2**18  # bytes that are handed over at once; the next ones wait until the network has taken them


class Counted(Response):
    """Bytes that ``memory`` counts while they are sent. Where all uploads and answers together are too much, a Refusal
    (503) takes their place; after ``limits.answer_seconds`` the connection is closed, whatever the client has read."""

    def __init__(self, content: bytes, memory: Memory, limits: Limits, headers: dict[str, str]) -> None:
        super().__init__(content, headers=headers, media_type="application/octet-stream")
        self.memory, self.seconds = memory, limits.answer_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        self.memory.take(len(self.body))
        try:
            async with asyncio.timeout(self.seconds):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                for at in range(0, len(self.body), PIECE):
                    piece = bytes(self.body[at : at + PIECE])
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            return  # an answer without its end: the server closes the connection
        finally:
            self.memory.give_back(len(self.body))
