"""Progress bars with time left, on standard error; without a terminal a line a minute; silent when told to be quiet."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

LOG_SECONDS = 60  # between two lines of a log
quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def say(text: str) -> None:
    """Print one line for a person on standard error, unless quiet."""
    if not quiet.get():
        print(text, file=sys.stderr, flush=True)


class Bar:
    """One running bar; ``step`` moves it, ``note`` changes the text at its end. ``drawn``: None where nobody sees it,
    whoever reads a log has a line a minute then."""

    def __init__(self, title: str, total: int, drawn: Progress | None = None) -> None:
        self._title, self._total, self._done, self._note = title, total, 0, ""
        self._began = self._logged = time.monotonic()
        self._drawn = drawn
        self._task = drawn.add_task(title, total=total, note="") if drawn else None

    def step(self, count: int = 1) -> None:
        """Count ``count`` more as done."""
        self._done += count
        if self._drawn:
            self._drawn.advance(self._task, count)  # type: ignore[arg-type]
        elif time.monotonic() - self._logged >= LOG_SECONDS:
            self._logged = time.monotonic()
            self._log()

    def _log(self) -> None:
        """Say how far it is."""
        spent = time.monotonic() - self._began
        left = f", about {minutes(spent * (self._total - self._done) / self._done)} left" if self._done else ""
        note = f"; {self._note}" if self._note else ""
        say(f"{self._title}: {self._done:,} of {self._total:,} after {minutes(spent)}{left}{note}")

    def note(self, text: str) -> None:
        """Show ``text`` behind the bar (loss and accuracy so far, say)."""
        self._note = text
        if self._drawn:
            self._drawn.update(self._task, note=text)  # type: ignore[arg-type]

    def line(self, text: str) -> None:
        """Print a line above the bar, where there is one to be seen."""
        if self._drawn:
            self._drawn.console.print(text, highlight=False)


def minutes(seconds: float) -> str:
    """Return ``40 s`` or ``3 min``."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"


@contextmanager
def bar(title: str, total: int) -> Iterator[Bar]:
    """Show a bar named ``title`` that counts to ``total`` while the block runs."""
    if quiet.get() or not _may_be_seen():
        yield Bar(title, total)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Bar(title, total)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        yield Bar(title, total, progress)


def _may_be_seen() -> bool:
    """Whether standard error may be a terminal; rich, which takes a while to load, then decides."""
    told = os.environ.get("FORCE_COLOR") or os.environ.get("TTY_COMPATIBLE") == "1"
    return bool(told or (sys.stderr and not sys.stderr.closed and sys.stderr.isatty()))
