"""The trail: a JSON line per answer, which is also the one place that says that a film is done.

A line is on the disk before the film is deleted, and only a film that has a line is never answered again. So whatever
is killed when, a film is answered, and its line is written once. Lines name nobody: UIDs are hashes.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plainfilm.errors import InputError
from plainfilm.storage.files import to_json

NAME = "trail.jsonl"
FILE_BYTES = 10 * 2**20  # of one file, some 25,000 answers
FILES = 20
DONE = "answered"  # the outcome after which a film is never answered again


class Trail:
    """The files trail.jsonl (the newest), trail.1.jsonl, … in ``folder``; the oldest goes when there are FILES."""

    def __init__(self, folder: Path, file_bytes: int = FILE_BYTES) -> None:
        self.path, self.file_bytes = folder / NAME, file_bytes
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._mend()
        self._done = {_key(line) for line in self.lines() if line.get("outcome") == DONE}

    def add(self, *lines: dict[str, Any]) -> None:
        """Append ``lines``, on the disk when this returns. OSError when the disk is full: then none is there."""
        text = "".join(json.dumps(json.loads(to_json(line)), ensure_ascii=False) + "\n" for line in lines)
        with self._lock:
            if self.path.exists() and self.path.stat().st_size + len(text) > self.file_bytes:
                self._rotate()
            with open(self.path, "ab") as file:
                size = file.tell()
                try:
                    file.write(text.encode())
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    os.truncate(self.path, size)
                    raise
            self._done.update(_key(line) for line in lines if line.get("outcome") == DONE)

    def knows(self, film: str, model: str) -> bool:
        """Whether the film (its hashed UID) has been answered by the model (its hash)."""
        return (film, model[:16]) in self._done

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield all lines, the oldest first. InputError for a line that is none of ours."""
        for path in reversed([self._numbered(n) for n in range(FILES)]):
            if not path.exists():
                continue
            with open(path, "rb") as file:
                for number, text in enumerate(file, 1):
                    try:
                        line = json.loads(text)
                        _key(line)
                    except (ValueError, KeyError, TypeError):
                        raise InputError(f"{path}, line {number}, is damaged; move the file away.") from None
                    yield line

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"trail.{number}.jsonl") if number else self.path

    def _rotate(self) -> None:
        for number in reversed(range(FILES - 1)):
            if self._numbered(number).exists():
                os.replace(self._numbered(number), self._numbered(number + 1))

    def _mend(self) -> None:
        """Cut off the line that a killed process was writing: its film is still there, and is answered again."""
        if not self.path.exists():
            return
        with open(self.path, "rb+") as file:
            end = file.seek(0, os.SEEK_END)
            start = max(0, end - 2**20)
            file.seek(start)
            kept = file.read().rfind(b"\n")
            file.truncate(start + kept + 1 if kept >= 0 else start)


def _key(line: dict[str, Any]) -> tuple[str, str]:
    return line["film"], line["model"][:16]
