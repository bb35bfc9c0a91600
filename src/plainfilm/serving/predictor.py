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
from contextvars import copy_context
from typing import TypeVar

import numpy as np

from plainfilm.data.films import FilmError
from plainfilm.machine import ranks
from plainfilm.models.answer import Answer, Film, alone, answer, blas_alone, look
from plainfilm.models.drift import Watch, group_of
from plainfilm.models.looks import STATISTICS, statistics
from plainfilm.models.reads import Reads
from plainfilm.serving.limits import Limits, Refusal

T = TypeVar("T")
MOST_WORKERS = 8  # each may hold a film of 25 megapixels
RECENT = 1_000  # films whose measures are kept for the drift watch
MEASURES = ("score", *STATISTICS)
SMOOTHING = 0.1  # weight of the newest film in the running seconds a film


class Line:
    """Films that wait for ``threads``, in the order they came; refused are those that can't be done in time."""

    def __init__(self, name: str, threads: int, limits: Limits) -> None:
        self.limits = limits
        self.waiting = 0  # films admitted and not yet done
        self.seconds = 0.0  # a film, at present
        self.threads = ThreadPoolExecutor(threads, name, alone)
        self._last = 0.0  # when the last film was done

    async def do(self, work: Callable[[], T]) -> T:
        """Return ``work()`` for one film that was given a ``place``, done by one of the threads."""
        begun = time.monotonic()
        done = await asyncio.get_running_loop().run_in_executor(self.threads, work)
        now = time.monotonic()
        self.seconds += SMOOTHING * (now - max(begun, self._last) - self.seconds)
        self._last = now
        return done

    def require_room(self, count: int = 1) -> None:
        """Refusal (503) when ``count`` films more can't be answered in time."""
        ahead = self.waiting + count
        late = ahead * self.seconds > self.limits.answer_seconds / 2  # half: the estimate may be wrong by that much
        if self.waiting and (ahead > self.limits.queue or late):
            raise Refusal(503, f"Busy: {self.waiting} films are waiting; try again later.", self._retry_after())

    @asynccontextmanager
    async def place(self, count: int = 1) -> AsyncIterator[None]:
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
        except MemoryError:
            raise Refusal(503, "This machine is short of memory; try again later.", self._retry_after()) from None
        finally:
            self.waiting -= count

    def _retry_after(self) -> int:
        return max(1, math.ceil(self.waiting * self.seconds))


class Predictor:
    """Answers films, and draws their heat maps, for one model."""

    def __init__(self, model: Reads, limits: Limits) -> None:
        self.model = model
        self.recent: deque[np.ndarray] = deque(maxlen=RECENT)  # (len(MEASURES),) a film; no film is kept
        known = model.gate is not None and len(model.gate.sample) > 0
        self.watch = Watch(model.gate) if model.gate and known else None  # of a stream; the loop's thread alone sees it
        self._open = ExitStack()
        self._open.enter_context(blas_alone())
        self.films = Line("film", min(ranks.cores(), MOST_WORKERS), limits)
        self.maps = Line("map", 1, limits)
        self._explained = model.twin()
        self.films.seconds = self.films.threads.submit(copy_context().run, self._warm).result()
        self.maps.seconds = 3 * self.films.seconds  # as a gradient is three passes, until there are some

    @property
    def waiting(self) -> int:
        """How many films wait for an answer or a heat map."""
        return self.films.waiting + self.maps.waiting

    async def label(self, films: Sequence[bytes | bytearray]) -> list[Answer | FilmError]:
        """Return an answer or a reason for each film, in order. Refusal (503) when they can't be answered in time."""
        async with self.films.place(len(films)):
            return list(await asyncio.gather(*(self._label(film) for film in films)))

    async def do(self, work: Callable[[], T]) -> T:
        """Return ``work()``, done in its turn among the films. Refusal as for ``label``."""
        async with self.films.place():
            return await self.films.do(work)

    async def explain(self, work: Callable[[Reads], T]) -> T:
        """Return ``work(model)``, one after the other. Refusal as for ``label``."""
        async with self.maps.place():
            return await self.maps.do(lambda: work(self._explained))

    def close(self) -> None:
        """Let the threads end once they have finished what they do."""
        self.films.threads.shutdown()
        self.maps.threads.shutdown()
        self._open.close()

    async def _label(self, film: bytes | bytearray) -> Answer | FilmError:
        try:
            found, measures = await self.films.do(lambda: self._answer(look(self.model, bytes(film))))
        except FilmError as error:
            return error
        self.recent.append(measures)
        if self.watch and found.gate:
            self.watch.see(found.gate.described, group_of(found.label, self.model.classes))
        return found

    def _answer(self, film: Film) -> tuple[Answer, np.ndarray]:
        found = answer(self.model, film)
        own = found.gate.described[1 : 1 + len(STATISTICS)] if found.gate else statistics(film.pixels[None])[0]
        return found, np.array([self.model.decision.score(found.probabilities[None])[0], *own])

    def _warm(self) -> float:
        """Return the seconds of a pass, after the first, which also allocates."""
        side = self.model.preprocess.size
        pixels = np.arange(side * side, dtype=np.uint32).reshape(side, side).astype(np.uint8)
        film = Film(pixels, ())
        self._answer(film)
        begun = time.monotonic()
        self._answer(film)
        return time.monotonic() - begun
