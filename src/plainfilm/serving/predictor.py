"""Films -> answers, off the event loop: each film is one thread's from its bytes to its answer, one film a core.

Each film is a pass of its own (see models.answer), so nobody waits for a batch to fill.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from copy import deepcopy
from dataclasses import replace
from itertools import chain
from typing import TypeVar

import numpy as np
from torch import nn

from plainfilm import ranks
from plainfilm.data.films import FilmError
from plainfilm.models.answer import Answer, Film, alone, answer, blas_alone, look, score
from plainfilm.models.gate import STATISTICS, statistics
from plainfilm.models.model import Model
from plainfilm.serving.limits import Limits, Refusal

T = TypeVar("T")
MOST_WORKERS = 8  # each may hold a film of 25 megapixels
RECENT = 1_000  # films whose measures are kept for the drift watch
MEASURES = ("score", *STATISTICS)
SMOOTHING = 0.1  # weight of the newest film in the running seconds a film


class Predictor:
    """Answers films in the order they came, and refuses those it can't answer in time."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self.model, self.limits = model, limits
        self.waiting = 0  # films admitted and not yet answered
        self.recent: deque[np.ndarray] = deque(maxlen=RECENT)  # (len(MEASURES),) a film; no film is kept
        self._open = ExitStack()
        self._open.enter_context(blas_alone())
        self._workers = ThreadPoolExecutor(min(ranks.cores(), MOST_WORKERS), "film", alone)
        self._explainer = ThreadPoolExecutor(1, "explain", alone)
        self._explained = replace(model, network=_twin(model.network))
        self._last = 0.0  # when the last film was answered
        self.seconds = self._workers.submit(self._warm).result()  # a film, at present

    async def label(self, films: Sequence[bytes | bytearray]) -> list[Answer | FilmError]:
        """Return an answer or a reason for each film, in order. Refusal (503) when they can't be answered in time."""
        async with self._place(len(films)):
            return list(await asyncio.gather(*(self._label(film) for film in films)))

    async def do(self, work: Callable[[], T]) -> T:
        """Return ``work()``, done in its turn among the films. Refusal as for ``label``."""
        async with self._place(1):
            return await self._soon(work)

    async def explain(self, work: Callable[[Model], T]) -> T:
        """Return ``work(model)``, one after the other. Refusal as for ``label``."""
        async with self._place(1):
            return await asyncio.get_running_loop().run_in_executor(self._explainer, work, self._explained)

    def require_room(self, count: int = 1) -> None:
        """Refusal (503) when ``count`` films more can't be answered in time."""
        ahead = self.waiting + count
        late = ahead * self.seconds > self.limits.answer_seconds / 2  # half: the estimate may be wrong by that much
        if self.waiting and (ahead > self.limits.queue or late):
            raise Refusal(503, f"Busy: {self.waiting} films are waiting; try again later.", self._retry_after())

    def close(self) -> None:
        """Let the threads end once they have finished what they do."""
        self._workers.shutdown()
        self._explainer.shutdown()
        self._open.close()

    async def _label(self, film: bytes | bytearray) -> Answer | FilmError:
        begun = time.monotonic()
        try:
            found, measures = await self._soon(lambda: self._answer(look(self.model, bytes(film))))
        except FilmError as error:
            return error
        self.recent.append(measures)
        now = time.monotonic()
        self.seconds += SMOOTHING * (now - max(begun, self._last) - self.seconds)
        self._last = now
        return found

    def _answer(self, film: Film) -> tuple[Answer, np.ndarray]:
        found = answer(self.model, film)
        own = found.gate.statistics if found.gate else statistics(film.pixels[None])[0]
        return found, np.array([score(self.model, found.probabilities), *own])

    async def _soon(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, work)

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


def _twin(network: nn.Module) -> nn.Module:
    """Return a network with the same weights (no second copy of them) and layers of its own: heat maps hang hooks on
    theirs, and films pass through the others meanwhile."""
    weights = chain(network.parameters(), network.buffers())
    return deepcopy(network, {id(tensor): tensor for tensor in weights})
