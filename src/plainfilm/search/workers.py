"""Several processes that share the trials of one search: each does the same search, with the same journal."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from plainfilm.config import TrainConfig
from plainfilm.progress import bar, quiet
from plainfilm.search import objectives
from plainfilm.search.journal import Journal, Trial
from plainfilm.search.run import Plan, search
from plainfilm.search.trials import Bench
from plainfilm.search.wanted import Wanted


def trials_of(bench: Bench, wanted: Wanted, config: TrainConfig) -> list[Trial]:
    """Try what the algorithm asks for within the budget, and return every trial."""
    budget, price = wanted.paid(config)
    plan = Plan(wanted.space(config), bench.objectives, budget, price, wanted.prune)
    chosen = wanted.chosen(config, len(bench.objectives))
    with bar(f"Searching ({wanted.algorithm})", budget) as shown:
        return search(plan, chosen, Journal(bench.out), bench, shown)


@contextmanager
def helped(data: str, out: Path, settings: dict[str, Any], wanted: Wanted, workers: int) -> Iterator[None]:
    """Let ``workers`` - 1 other processes share the trials; they end with the context."""
    helpers = _started(data, out, settings, wanted, workers)
    try:
        yield
    finally:
        for helper in helpers:
            helper.terminate()
            helper.join()


def _started(data: str, out: Path, settings: dict[str, Any], wanted: Wanted, workers: int) -> Sequence[BaseProcess]:
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    arguments = (data, out, settings, wanted)
    helpers = [context.Process(target=_help, args=arguments, daemon=True) for _ in range(workers - 1)]
    for helper in helpers:
        helper.start()
    return helpers


def _help(data: str, out: Path, settings: dict[str, Any], wanted: Wanted) -> None:
    """Do the same search as the process that started this one, with its journal; end when it ends."""
    quiet.set(True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    config = TrainConfig(**settings)
    trials_of(Bench.open(data, out, config, objectives.parse(wanted.objective)), wanted, config)


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
    os._exit(1)
