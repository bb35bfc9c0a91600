"""Progress bars with time left, on standard error; without a terminal a line a minute; silent when told to be quiet."""

from __future__ import annotations

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
    """One running bar; ``step`` moves it, ``note`` changes the text at its end."""

    def __init__(self, progress: Progress, task: int) -> None:
        self._progress, self._task = progress, task
        self._logged = time.monotonic()

    def step(self, count: int = 1) -> None:
        """Count ``count`` more as done."""
        self._progress.advance(self._task, count)  # type: ignore[arg-type]
        if self._progress.disable and time.monotonic() - self._logged >= LOG_SECONDS:
            self._logged = time.monotonic()
            self._log()

    def _log(self) -> None:
        """Say how far it is, for whoever reads a log; only the newest numbers of a bar that is not drawn."""
        task = self._progress.tasks[self._task]
        done, total, spent = task.completed, task.total or 0, task.elapsed or 0.0
        left = f", about {minutes(spent * (total - done) / done)} left" if done else ""
        note = f"; {task.fields['note']}" if task.fields["note"] else ""
        say(f"{task.description}: {done:,.0f} of {total:,.0f} after {minutes(spent)}{left}{note}")

    def note(self, text: str) -> None:
        """Show ``text`` behind the bar (loss and accuracy so far, say)."""
        self._progress.update(self._task, note=text)  # type: ignore[arg-type]

    def line(self, text: str) -> None:
        """Print a line above the bar, where there is one to be seen."""
        if not self._progress.disable:
            self._progress.console.print(text, highlight=False)


def minutes(seconds: float) -> str:
    """Return ``40 s`` or ``3 min``."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"


@contextmanager
def bar(title: str, total: int) -> Iterator[Bar]:
    """Show a bar named ``title`` that counts to ``total`` while the block runs."""
    # Loaded by what shows a bar, not by help.
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
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=quiet.get() or not console.is_terminal) as progress:
        yield Bar(progress, progress.add_task(title, total=total, note=""))
