"""What trials found, one line of JSON each, and who is at work on which: all that a search needs to go on.

Any number of processes may share a journal. A trial is claimed by a lock, which the system takes back when the process
ends, however it ends; a line counts once its newline is there.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from plainfilm.errors import InputError
from plainfilm.storage import locks
from plainfilm.storage.files import to_json

STATES = ("done", "pruned", "failed")


@dataclass(frozen=True)
class Trial:
    """One set of values that was tried. Trial 0 is the settings as they were given."""

    number: int
    point: list[float]  # in -1..1; empty for trial 0
    values: dict[str, Any]
    scores: dict[str, float]  # every objective by name; empty when it failed
    seconds: float
    spent: int  # epochs or fits
    state: str  # one of STATES
    curve: list[float] = field(default_factory=list)  # first objective after each epoch
    interval: tuple[float, float] | None = None  # 95 %, of the first objective
    reason: str = ""  # why it failed


class Journal:
    """The trials in ``folder``/journal.jsonl, and who is at work on which in ``folder``/.claimed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "journal.jsonl"
        self.trials: dict[int, Trial] = {}
        self._read = 0  # bytes
        self._claimed = folder / ".claimed"
        self._claimed.mkdir(parents=True, exist_ok=True)

    def refresh(self) -> dict[int, Trial]:
        """Read what was added since, by this process or another; return all trials by number.

        InputError when a line is damaged.
        """
        with suppress(FileNotFoundError), open(self.path, "rb") as handle:
            handle.seek(self._read)
            for line in handle.read().splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break  # a kill came in the middle of it
                trial = self._trial(line)
                self.trials.setdefault(trial.number, trial)
                self._read += len(line)
        return self.trials

    def _trial(self, line: bytes) -> Trial:
        try:
            values = json.loads(line)
            if values.pop("crc32") != _sum(values):
                raise ValueError("a line does not match its check sum")
            found = Trial(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{self.path} is damaged ({error}); choose another --out, or cut it there.") from None
        return found

    def append(self, trial: Trial) -> None:
        """Add one line, on the disk when this returns."""
        values = json.loads(to_json(asdict(trial)))
        text = json.dumps({**values, "crc32": _sum(values)}) + "\n"
        with locks.held(self._claimed / "journal", wait=True), open(self.path, "a+b") as handle:
            handle.seek(0)
            handle.truncate(handle.read().rfind(b"\n") + 1)  # what a kill left of a line
            handle.write(text.encode())
            handle.flush()
            os.fsync(handle.fileno())

    @contextmanager
    def claim(self, number: int) -> Iterator[bool]:
        """Hold trial ``number`` for the block; yield False when another process has it."""
        place = self._claimed / f"trial-{number}"
        with locks.held(place) as mine:
            try:
                yield mine
            finally:
                if mine:
                    locks.remove(place)


def _sum(values: dict[str, Any]) -> int:
    """The check sum of a line's values: a digit that changes on the disk would still be valid JSON."""
    return zlib.crc32(json.dumps(values).encode())
