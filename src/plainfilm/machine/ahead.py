"""Work that threads do ahead of the caller, in order: decoding beside a network, batches beside a GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def ahead(
    make: Callable[[Item], Made],
    items: Iterable[Item],
    threads: int,
    count: int,
    begin: Callable[[], None] | None = None,
) -> Iterator[Made]:
    """Yield ``make(item)`` of each item in turn, made by ``threads`` threads, at most ``count`` ahead of the caller.

    Each thread calls ``begin`` first.
    What ``make`` raises is raised where its item is due. Items are taken as they are needed; what has not begun when
    the caller leaves never does.
    """
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads, "ahead", begin) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(copy_context().run, make, item))  # whoever was told to be quiet is so here
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
