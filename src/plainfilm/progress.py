"""Progress bars with time left, on standard error: silent without a terminal or when told to be quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def say(text: str) -> None:
    """Print one line for a person on standard error, unless quiet."""
    if not quiet.get():
        print(text, file=sys.stderr, flush=True)


class Bar:
    """One running bar; ``step`` moves it, ``note`` changes the text at its end."""

    def __init__(self, progress: Progress, task: int) -> None:
        self._progress, self._task = progress, task

    def step(self, count: int = 1) -> None:
        """Count ``count`` more as done."""
        self._progress.advance(self._task, count)  # type: ignore[arg-type]

    def note(self, text: str) -> None:
        """Show ``text`` behind the bar (loss and accuracy so far, say)."""
        self._progress.update(self._task, note=text)  # type: ignore[arg-type]

    def line(self, text: str) -> None:
        """Print a line above the bar, where there is one to be seen."""
        if not self._progress.disable:
            self._progress.console.print(text, highlight=False)


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
