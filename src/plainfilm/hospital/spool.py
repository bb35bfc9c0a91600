"""Films that wait for an answer and answers that wait to be taken, on the disk: store and forward.

    films/STUDY/FILM.dcm   received and acknowledged; gone once its answer has been taken
    answers/FILM.zip       what is to be sent, and the line for the trail; the same bytes each time they are sent
    failed/FILM.zip        given up, with FILM.dcm and FILM.txt, which says why: for a person to look at
    trail.jsonl            what has been answered (see ``trail``)

STUDY and FILM are hashes of UIDs. Every step is one rename of a file that is whole and on the disk: a kill between two
steps repeats the last one, and a repeated answer has the UIDs of the first.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import threading
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from plainfilm.hospital.answering import Answered
from plainfilm.storage.files import to_json, write_bytes, write_text

LINE = "trail.json"  # within an answer
STEP = 2**20  # bytes of a film that are sent on to the disk while more come


class Waiting(NamedTuple):
    """A film in the spool: its hashed UIDs, its file."""

    film: str
    study: str
    path: Path


class Full(Exception):
    """The disk has no room for another film; those that are here can still be answered."""


class Draft:
    """A film that is still coming: a file in ``spool`` without a name. OSError when it can't be opened."""

    def __init__(self, spool: Spool) -> None:
        self._spool, self._size, self._on_its_way = spool, 0, 0
        self.path = spool.films / f".{secrets.token_hex(8)}.tmp"
        self._file = self.path.open("xb", buffering=0)

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``. Full (or OSError) when there is no room for it."""
        if not self._size or self._size - self._on_its_way + len(data) >= STEP:
            self._check_room(len(data))
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        self._size += len(data)
        if self._size - self._on_its_way >= STEP:
            self._send_on()

    def _check_room(self, count: int) -> None:
        if shutil.disk_usage(self._spool.root).free < self._spool.reserve + count:
            raise Full

    def whole(self) -> bytes:
        """Return all that has been written."""
        return self.path.read_bytes()

    def keep(self, path: Path) -> None:
        """Give it its name, once all of it is on the disk. It is no draft any more."""
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self.path, path)

    def drop(self) -> None:
        """Forget it, unless it is kept."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _send_on(self) -> None:
        """Have the system begin to write what is here, so that little is left to wait for at the end. By this call
        Linux drops what is on the disk already, of which there is nothing yet."""
        if hasattr(os, "posix_fadvise"):
            about = self._on_its_way, self._size - self._on_its_way, os.POSIX_FADV_DONTNEED
            with suppress(OSError):  # a disk that takes no advice
                os.posix_fadvise(self._file.fileno(), *about)
        self._on_its_way = self._size


class Spool:
    """The folder ``root``; ``reserve``: bytes of the disk that films leave free for answers."""

    def __init__(self, root: Path, reserve: int) -> None:
        self.root, self.reserve = root, reserve
        self.films, self.answers, self.failed = (root / name for name in ("films", "answers", "failed"))
        self._lock = threading.Lock()
        self._studies: dict[str, dict[str, Path]] = {}
        self._latest: dict[str, float] = {}  # when a study's latest film came, by time.monotonic
        for folder in (self.films, self.answers, self.failed):
            folder.mkdir(parents=True, exist_ok=True)
        for left in root.rglob(".*.tmp"):
            left.unlink(missing_ok=True)
        for path in self.films.glob("*/*.dcm"):
            self._enter(path.parent.name, path.stem, path)

    def draft(self, data: bytes = b"") -> Draft:
        """Return a film that begins with ``data``. Full (or OSError) when there is no room for it."""
        made = Draft(self)
        try:
            made.write(data)
        except BaseException:
            made.drop()
            raise
        return made

    def put(self, film: str, study: str, draft: Draft) -> None:
        """Keep a film: on the disk when this returns. OSError when it can't be, and then it is not here."""
        path = self.films / study / f"{film}.dcm"
        with self._lock:  # a study's folder is not taken away meanwhile
            path.parent.mkdir(exist_ok=True)
            self._enter(study, film, path)
        try:
            draft.keep(path)
            _to_disk(path.parent)
        except BaseException:
            draft.drop()
            self._leave(film, study)
            raise

    def quiet(self, seconds: float) -> list[Waiting]:
        """Return the films without an answer of all studies into which none has come for ``seconds``."""
        now = time.monotonic()
        with self._lock:
            due = [study for study, latest in self._latest.items() if now - latest >= seconds]
            films = [Waiting(film, study, path) for study in due for film, path in self._studies[study].items()]
        return [each for each in films if each.path.exists() and not self.answer_of(each.film).exists()]

    def has(self, film: str, study: str) -> bool:
        """Whether the film waits here already."""
        with self._lock:
            return film in self._studies.get(study, {})

    def waiting(self) -> int:
        """Return how many films are here."""
        with self._lock:
            return sum(len(films) for films in self._studies.values())

    def answer_of(self, film: str) -> Path:
        """Return where a film's answer lies, or will."""
        return self.answers / f"{film}.zip"

    def keep(self, film: str, made: Answered) -> Path:
        """Keep an answer until it has been taken."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for kind, data in made.files.items():
                archive.writestr(f"{kind}.dcm", data)
            archive.writestr(LINE, to_json(made.line))
        path = self.answer_of(film)
        write_bytes(path, buffer.getvalue())
        return path

    def drop(self, film: str, study: str) -> None:
        """Delete a film and its answer: it is done, the trail says so."""
        self.answer_of(film).unlink(missing_ok=True)
        (self.films / study / f"{film}.dcm").unlink(missing_ok=True)
        self._leave(film, study)

    def give_up(self, film: str, study: str, why: str) -> None:
        """Move a film and its answer, if there is one, to ``failed``, with a text that says why."""
        write_text(self.failed / f"{film}.txt", why + "\n")
        for path in (self.answer_of(film), self.films / study / f"{film}.dcm"):
            with suppress(FileNotFoundError):
                os.replace(path, self.failed / path.name)
        self._leave(film, study)

    def _enter(self, study: str, film: str, path: Path) -> None:
        self._studies.setdefault(study, {})[film] = path
        self._latest[study] = time.monotonic()

    def _leave(self, film: str, study: str) -> None:
        with self._lock:
            films = self._studies.get(study, {})
            films.pop(film, None)
            if not films:
                self._studies.pop(study, None)
                self._latest.pop(study, None)
                with suppress(OSError):
                    (self.films / study).rmdir()


def files_of(answer: Path) -> dict[str, bytes]:
    """Return the files of a kept answer by kind, in the order to be sent."""
    with zipfile.ZipFile(answer) as archive:
        return {name.removesuffix(".dcm"): archive.read(name) for name in archive.namelist() if name != LINE}


def line_of(answer: Path) -> dict[str, Any]:
    """Return the trail's line of a kept answer."""
    with zipfile.ZipFile(answer) as archive:
        line: dict[str, Any] = json.loads(archive.read(LINE))
        return line


def _to_disk(folder: Path) -> None:
    """Have the folder's entries survive a power cut, as the file itself does; Windows opens no folder for that."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
