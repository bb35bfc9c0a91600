"""Films -> answers, off the event loop: a few threads decode, one runs the network, and a bounded queue is between.

Each film is a pass of its own (see models.answer), so nobody waits for a batch to fill.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from plainfilm.data.films import FilmError
from plainfilm.models.answer import Answer, Film, answer, look, score
from plainfilm.models.gate import STATISTICS, statistics
from plainfilm.models.model import Model
from plainfilm.serving.limits import Limits, Refusal

T = TypeVar("T")
DECODERS = 2  # each may hold a film of 25 megapixels
RECENT = 1_000  # films whose measures are kept for the drift watch
MEASURES = ("score", *STATISTICS)
SMOOTHING = 0.1  # weight of the newest film in the running seconds a film


class Predictor:
    """Answers films in the order they came, and refuses those it can't answer in time."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self.model, self.limits = model, limits
        self.waiting = 0  # films admitted and not yet answered
        self.recent: deque[np.ndarray] = deque(maxlen=RECENT)  # (len(MEASURES),) a film; no film is kept
        self._decoders = ThreadPoolExecutor(DECODERS, "decode")
        # OpenMP counts its threads by the thread that asks, and the last bits of a sum depend on their number.
        self._network = ThreadPoolExecutor(1, "network", torch.set_num_threads, (torch.get_num_threads(),))
        self._last = 0.0  # when the last film was answered
        self.seconds = self._warm()  # a film, at present

    async def label(self, films: Sequence[bytes | bytearray]) -> list[Answer | FilmError]:
        """Return an answer or a reason for each film, in order. Refusal (503) when they can't be answered in time."""
        async with self._place(len(films)):
            return list(await asyncio.gather(*(self._label(film) for film in films)))

    async def on_network(self, work: Callable[[], T]) -> T:
        """Return ``work()``, done by the network's thread in its turn. Refusal as for ``label``."""
        async with self._place(1):
            return await self._soon(self._network, work)

    async def on_decoder(self, work: Callable[[], T]) -> T:
        """Return ``work()``, done by a decoding thread in its turn. Refusal as for ``label``."""
        async with self._place(1):
            return await self._soon(self._decoders, work)

    def require_room(self, count: int = 1) -> None:
        """Refusal (503) when ``count`` films more can't be answered in time."""
        ahead = self.waiting + count
        late = ahead * self.seconds > self.limits.answer_seconds / 2  # half: the estimate may be wrong by that much
        if self.waiting and (ahead > self.limits.queue or late):
            raise Refusal(503, f"Busy: {self.waiting} films are waiting; try again later.", self._retry_after())

    def close(self) -> None:
        """Let the threads end once they have finished what they do."""
        self._decoders.shutdown()
        self._network.shutdown()

    async def _label(self, film: bytes | bytearray) -> Answer | FilmError:
        begun = time.monotonic()
        try:
            seen = await self._soon(self._decoders, partial(self._look, film))
        except FilmError as error:
            return error
        found, measures = await self._soon(self._network, partial(self._answer, seen))
        self.recent.append(measures)
        now = time.monotonic()
        self.seconds += SMOOTHING * (now - max(begun, self._last) - self.seconds)
        self._last = now
        return found

    def _look(self, data: bytes | bytearray) -> Film:
        return look(self.model, bytes(data))

    def _answer(self, film: Film) -> tuple[Answer, np.ndarray]:
        found = answer(self.model, film)
        own = found.gate.statistics if found.gate else statistics(film.pixels[None])[0]
        return found, np.array([score(self.model, found.probabilities), *own])

    @staticmethod
    async def _soon(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work)

    @asynccontextmanager
    async def _place(self, count: int) -> AsyncIterator[None]:
        """Count ``count`` films as waiting for the block. Refusal when they can't be, or were not, done in time.

        Work that has not begun when the time is over never does.
        """
        self.require_room(count)
        self.waiting += count
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                yield
        except TimeoutError:
            sentence = f"No answer within {self.limits.answer_seconds:g} seconds; send fewer films or try later."
            raise Refusal(503, sentence, self._retry_after()) from None
        finally:
            self.waiting -= count

    def _retry_after(self) -> int:
        return max(1, math.ceil(self.waiting * self.seconds))

    def _warm(self) -> float:
        """Return the seconds of a pass, after the first, which also allocates."""
        side = self.model.preprocess.size
        pixels = np.arange(side * side, dtype=np.uint32).reshape(side, side).astype(np.uint8)
        film = Film(pixels, ())
        self._answer(film)
        begun = time.monotonic()
        self._answer(film)
        return time.monotonic() - begun
