"""Work that threads do before it is asked for, in order: decoding beside a network, batches beside a GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def prefetched(
    make: Callable[[Item], Made],
    items: Iterable[Item],
    threads: int,
    count: int,
    begin: Callable[[], None] | None = None,
) -> Iterator[Made]:
    """Yield ``make(item)`` of each item in turn, made by ``threads`` threads, at most ``count`` before it is asked for.

    Each thread calls ``begin`` first. What ``make`` raises is raised where its item is due. Items are taken as they are
    needed; what has not begun when the caller leaves never does.
    """
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads, "prefetch", begin) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(copy_context().run, make, item))  # the thread inherits quiet mode
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
