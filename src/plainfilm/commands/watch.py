"""A folder whose DICOM films are answered into another one as they come; nothing in it is changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plainfilm.commands.receive import Patience, needed, serving, until_told
from plainfilm.config import DISCLAIMER
from plainfilm.data.dicom import is_dicom
from plainfilm.data.films import FilmError
from plainfilm.data.reading import read_file
from plainfilm.errors import InputError
from plainfilm.export.opened import opened
from plainfilm.progress import say
from plainfilm.storage.files import within

if TYPE_CHECKING:
    from plainfilm.hospital.receiver import Door

LOOK = 0.5  # seconds between two looks at the folder
State = tuple[int, int]  # size and time of a file's last change


def watch(
    run: Path,
    folder: Path,
    out: Path,
    patience: Patience,
    *,
    announce: Callable[[Any], None],
    metrics_port: int | None = None,
) -> int:
    """Answer the DICOM films in ``folder`` and below into ``out`` until SIGTERM or SIGINT; return 0, or 130 for SIGINT.

    InputError when the folder is not there, or ``out`` lies within it.
    """
    with needed():
        from plainfilm.hospital.archive import Folder
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; name the one that films are put into.")
    if within(out, folder):
        raise InputError(f"--out {out} lies within {folder}, where answers would be taken for films; name another.")
    model = opened(run)
    with serving(model, out / "spool", Folder(out), patience, metrics_port) as (service, door):
        about = {"films": str(folder), "answers": str(out), "model": model.name, "hash": model.hash}
        looking = threading.Thread(target=_look, args=(folder, door, service.stop), name="look")
        looking.start()
        announce({**about, "disclaimer": DISCLAIMER})
        try:
            return until_told(service)
        finally:
            service.stop.set()
            looking.join()


def _look(folder: Path, door: Door, stop: threading.Event) -> None:
    """Bring each file to ``door`` once it has not changed between two looks; one that changes later comes again."""
    before: dict[Path, State] = {}
    done: dict[Path, State] = {}
    while not stop.is_set():
        now = dict(_files(folder))
        for path, state in now.items():
            settled = done.get(path) != state and before.get(path) == state
            if settled and not stop.is_set() and _brought(path, door):
                done[path] = state
        before = now
        done = {path: state for path, state in done.items() if path in now}
        stop.wait(LOOK)


def _files(folder: Path) -> Iterator[tuple[Path, State]]:
    for path in folder.rglob("*"):
        try:
            found = path.stat()
        except OSError:
            continue
        if path.is_file() and not path.name.startswith("."):
            yield path, (found.st_size, found.st_mtime_ns)


def _brought(path: Path, door: Door) -> bool:
    """Whether the file needs no further look: taken, or nothing that could be."""
    from plainfilm.hospital.receiver import NO_ROOM
    from plainfilm.hospital.source import identity

    try:
        data = read_file(path)
        if not is_dicom(data):
            raise FilmError("no DICOM file")
        return door.take(data, str(identity(data).SOPClassUID)) != NO_ROOM
    except FilmError as error:
        say(f"{path.name} is passed over: {error}.")
        return True
