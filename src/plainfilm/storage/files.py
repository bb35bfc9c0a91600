"""Every file the product writes goes through here: beside its place first, then moved into it.

A reader therefore sees the old file or the new one, never half of one, whatever is killed when.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from plainfilm.errors import InputError, command_line
from plainfilm.storage import locks

SUMS = "SHA256SUMS"  # of an output folder, as `sha256sum --check SHA256SUMS` reads it
WRITTEN = ".SHA256SUMS.written"  # the sums of what was moved into place since, until SUMS has them
_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{8})-[0-9a-f]{8}\.tmp", re.DOTALL)  # as ``replacing`` names them
_held: list[tuple[Path, bool]] = []  # folders that this process has sealed off, innermost last; are sums noted there?


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it into place when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid():08x}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as handle:  # Windows flushes only what may be written to
            os.fsync(handle.fileno())
        _note_sum(temporary, path)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8 (file names that are not UTF-8 survive unchanged)."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data``."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON; NaN becomes null, so that every parser can read it."""
    write_text(path, to_json(value) + "\n")


def to_json(value: Any) -> str:
    """Return strict JSON: numpy numbers become numbers, NaN and infinities null, paths text."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Return ``value`` as JSON reads it back: numpy's numbers as Python's, NaN and infinity as None, paths as text."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def read_json(path: str | Path) -> Any:
    """Return the JSON in ``path``; InputError when it is absent or is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror or error}).") from None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}); it may be damaged.") from None


def _runs(process: int) -> bool:
    """Whether there is another process of this number here. Our own number on a file is that of one before us: in a
    container all are the first."""
    return process != os.getpid() and locks.runs(process)


def _being_written(left: Path, folder: Path) -> bool:
    """Whether a folder between ``left`` and ``folder`` is held by another process, whose temporary file it may be."""
    return any(
        _held_by_another(inner / ".lock") for inner in left.parents if folder in inner.parents and inner != folder
    )


def _held_by_another(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        with locks.held(lock) as mine:
            return not mine
    except OSError:
        return True


@contextmanager
def sealed(folder: str | Path, wait: bool = False, shared: bool = False, resumes: bool = False) -> Iterator[None]:
    """Hold an output folder as ``locked`` does, without what a killed writer left; at the end write its SHA256SUMS,
    after an error too: each file is whole, since it was moved into place, whatever came after it.

    A file that the block did not write keeps the sum it had: one that was damaged before still shows it. What a killed
    block wrote counts as written, see ``_note_sum``. Folders inside that have sums of their own are left to them.
    ``shared``: others' files may lie there too, and get no sum. ``resumes``: the command can go on where it was
    stopped, so that nothing is noted before the folder was finished once.
    """
    folder = Path(folder)
    with locked(folder, wait):
        _remove_left_over(folder)
        finished = (folder / SUMS).exists()
        if finished:
            _take_over_sums(folder)
        before = {name: _state(folder / name) for name in _contents(folder)}
        try:
            with _holding(folder, finished or not resumes):
                yield
        except BaseException:
            if (folder / SUMS).exists():  # one that was never finished has none, and shall not look so
                with suppress(OSError):  # a full disk, say, is what the error is about already
                    _seal(folder, before, shared)
            raise
        _seal(folder, before, shared)


def _remove_left_over(folder: Path) -> None:
    """Remove the temporary files of writers that were killed."""
    for left in folder.rglob(".*.tmp"):
        named = _TEMPORARY.fullmatch(left.name)
        if named and not _runs(int(named[1], 16)) and not _being_written(left, folder):
            left.unlink(missing_ok=True)


def remove_left_over(path: Path) -> None:
    """Remove the temporary files that killed writers of ``path`` left beside it."""
    for left in path.parent.glob(f".{glob.escape(path.name[:200])}.*.tmp"):
        named = _TEMPORARY.fullmatch(left.name)
        if named and not _runs(int(named[1], 16)):
            left.unlink(missing_ok=True)


@contextmanager
def _holding(folder: Path, noted: bool) -> Iterator[None]:
    """Let ``replacing`` know that ``folder`` is sealed off while the block runs, and whether sums are noted there."""
    _held.append((folder.absolute(), noted))
    try:
        yield
    finally:
        _held.pop()


def _note_sum(temporary: Path, path: Path) -> None:
    """Note the sum of a file before it is moved into a folder that is sealed off.

    A command that is killed between the move and the new SHA256SUMS leaves a file that differs from its old sum; by
    this note it is known as ours, and the same command can run again.
    """
    place = path.absolute()
    folder, noted = next((held for held in reversed(_held) if held[0] in place.parents), (place, False))
    if not noted or path.name == SUMS:
        return
    line = f"{sha256_file(temporary)}  {place.relative_to(folder).as_posix()}\n"
    with open(folder / WRITTEN, "ab") as notes:  # one write: a kill leaves the whole line or none
        notes.write(line.encode("utf-8", "surrogateescape"))
        notes.flush()
        os.fsync(notes.fileno())


def as_written(folder: Path) -> dict[str, str]:
    """Return {file: SHA-256} of the files that a killed command left in ``folder``, each as it was written there."""
    try:
        text = (folder / WRITTEN).read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return {}
    noted: dict[str, set[str]] = {}
    for line in text.split("\n")[:-1]:
        value, _, name = line.partition("  ")
        noted.setdefault(name, set()).add(value)
    there = {name: sha256_file(folder / name) for name in noted if name and (folder / name).is_file()}
    return {name: value for name, value in there.items() if value in noted[name]}


def _take_over_sums(folder: Path) -> None:
    """Let SHA256SUMS have the sums of what a killed command wrote."""
    known = read_sums(folder)  # one that can't be read shows before the work, not after it
    if written := as_written(folder):
        _write_sums(folder, known | written)
    (folder / WRITTEN).unlink(missing_ok=True)


def only_unfinished(folder: Path) -> bool:
    """Return whether all that ``folder`` holds was left by a command that was stopped before its end."""
    contents = _contents(folder)
    return bool(contents) and not (folder / SUMS).exists() and as_written(folder).keys() >= set(contents)


def _write_sums(folder: Path, sums: dict[str, str]) -> None:
    write_text(folder / SUMS, "".join(f"{value}  {name}\n" for name, value in sorted(sums.items())))


def _seal(folder: Path, before: dict[str, Any], shared: bool) -> None:
    known = read_sums(folder) if (folder / SUMS).exists() else {}
    names = _contents(folder)
    kept = {name for name in names if before.get(name) == _state(folder / name)}
    ours = [name for name in names if name in known or name not in kept or not shared]
    sums = {name: known[name] if name in known.keys() & kept else sha256_file(folder / name) for name in ours}
    if shared:  # others' sums stay, whatever became of their files
        sums = known | sums
    _write_sums(folder, sums)
    (folder / WRITTEN).unlink(missing_ok=True)


def _contents(folder: Path) -> list[str]:
    """Return the files in ``folder`` and below that are its own, sorted, with slashes; none that is hidden."""
    names: list[str] = []
    for place, inner, files in os.walk(folder):
        inner[:] = sorted(n for n in inner if not n.startswith(".") and not Path(place, n, SUMS).exists())
        names += [Path(place, n).relative_to(folder).as_posix() for n in files if not n.startswith(".") and n != SUMS]
    return sorted(name for name in names if "\n" not in name and "\\" not in name)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def read_sums(folder: Path) -> dict[str, str]:
    """Return {file: SHA-256} of a folder's SHA256SUMS; InputError when it can't be read."""
    try:
        lines = (folder / SUMS).read_bytes().decode("utf-8", "surrogateescape").split("\n")
    except OSError as error:
        raise InputError(f"{folder / SUMS} can't be read ({error.strerror or error}).") from None
    pairs = [re.fullmatch(r"([0-9a-f]{64})(?:  | \*)(.+)", line) for line in lines[:-1]]  # as sha256sum writes them
    if lines[-1] or None in pairs:
        raise InputError(f"{folder / SUMS} is damaged; restore it from a copy.")
    return {found[2]: found[1] for found in pairs if found}


def damaged(folder: Path, names: Iterable[str] | None = None) -> list[str]:
    """Return which of ``names`` (default: all) are missing or don't match the folder's SHA256SUMS; those that have no
    sum, as in a run that was not finished, are not judged."""
    if not (folder / SUMS).exists():
        return []
    sums = read_sums(folder)
    asked = sums if names is None else [name for name in names if name in sums]
    wrong = [name for name in asked if not (folder / name).is_file() or sha256_file(folder / name) != sums[name]]
    ours = as_written(folder) if wrong else {}
    return [name for name in wrong if name not in ours]


def require_intact(folder: Path, *names: str) -> None:
    """InputError when one of ``names`` in ``folder`` is missing or is not what was written there."""
    if wrong := damaged(folder, names):
        raise InputError(
            f"{folder / wrong[0]} is not what plainfilm wrote (its sum differs from {SUMS}); restore it from a copy,"
            f" or see: {command_line('doctor', folder)}"
        )


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits, read in pieces."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def within(path: Path, folder: Path) -> bool:
    """Return whether ``path``, which need not exist, is ``folder`` or would lie in it.

    Whatever names lead there: links, and other capitals where the system takes them for the same.
    """
    here = path.resolve()
    if not folder.exists():
        return here.is_relative_to(folder.resolve())
    return any(place.exists() and place.samefile(folder) for place in (here, *here.parents))


def cache_dir() -> Path:
    """Return the cache folder: ``PLAINFILM_CACHE``, else the system's place for caches.

    On Linux that is ``$XDG_CACHE_HOME/plainfilm`` or ``~/.cache/plainfilm``, on macOS ``~/Library/Caches/plainfilm``,
    on Windows ``%LOCALAPPDATA%\\plainfilm\\Cache``.
    """
    from platformdirs import user_cache_path  # here: most of what imports this file asks for no cache

    named = os.environ.get("PLAINFILM_CACHE")
    return Path(named) if named else user_cache_path("plainfilm", appauthor=False)


@contextmanager
def locked(folder: str | Path, wait: bool = False) -> Iterator[None]:
    """Hold ``folder/.lock`` for the block. InputError when another process has it (or wait for it).

    A block that fails before it wrote anything leaves nothing: neither the lock nor the folders that were made for it.
    """
    folder = Path(folder)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    try:
        with locks.held(path, wait=wait) as mine:
            if not mine:
                raise InputError(f"{folder} is in use by {locks.holder(path)}; wait for it or choose another --out.")
            try:
                yield
            except BaseException:
                if os.listdir(folder) == [path.name]:
                    locks.remove(path)
                raise
    except BaseException:
        with suppress(OSError):  # the first that holds something ends it
            for place in made:
                place.rmdir()
        raise
