"""Two sides that take turns: each is a process of its own that is told over a pipe what to prepare, and then to do a
unit of work again and again, and answers with the seconds. Only the standard library: both environments run it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

# What prepares a piece of work, with its settings, and gives what does one unit of it. A unit may return the seconds
# that count, when they aren't those that it took.
Prepare = Callable[..., Callable[[], object]]


def answer(works: Mapping[str, Prepare]) -> None:
    """Be a worker: prepare and do what the lines on standard input say until they end."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what libraries print must not get among the answers
        unit: Callable[[], object] = lambda: None  # noqa: E731
        for line in sys.stdin:
            request = json.loads(line)
            if "work" in request:
                _use(request["cores"])
                unit = works[request["work"]](**request["settings"])
            began = time.perf_counter()
            own = unit()
            seconds = own if isinstance(own, float) else time.perf_counter() - began
            print(json.dumps({"seconds": seconds}), file=answers, flush=True)


def _use(cores: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


class Side:
    """A worker, as the one who gives the turns sees it."""

    def __init__(self, script: str, python: Path | str, work: str, cores: int, **settings: Any) -> None:
        self.name = Path(script).stem
        threads = {f"{library}_NUM_THREADS": str(cores) for library in ("OMP", "MKL", "OPENBLAS", "TF")}
        self.process = subprocess.Popen(
            [str(python), str(HERE / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("PLAINFILM_DEBUG") else subprocess.DEVNULL,
            text=True,
            env={**os.environ, **threads, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        )
        # The first unit warms up; it counts only where a unit is long enough that nothing else would be worth its time.
        self.first = self._ask({"work": work, "cores": cores, "settings": {"threads": cores, **settings}})

    def turn(self) -> float:
        """Do one unit; return its seconds."""
        return self._ask({})

    def close(self) -> None:
        """Let the process end."""
        self.process.communicate()

    def _ask(self, request: dict[str, Any]) -> float:
        assert self.process.stdin and self.process.stdout
        with suppress(BrokenPipeError):
            print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            self.close()
            raise SystemExit(f"{self.name} died; PLAINFILM_DEBUG=1 shows what it said.")
        return float(json.loads(line)["seconds"])


def in_turn(sides: list[Side], rounds: int) -> list[list[float]]:
    """Return the seconds of every round a side; the sides change places from round to round."""
    seconds: list[list[float]] = [[] for _ in sides]
    for round_ in range(rounds):
        order = range(len(sides)) if round_ % 2 == 0 else range(len(sides) - 1, -1, -1)
        for i in order:
            seconds[i].append(sides[i].turn())
    return seconds


def ratio(ours: list[float], others: list[float]) -> tuple[float, float, float]:
    """Return how many times as long the others took: median of the paired rounds, and quartiles."""
    ratios = [b / a for a, b in zip(ours, others, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return statistics.median(ratios), low, high
