"""Locks between processes, on Linux, macOS and Windows: a file that one of them holds.

The system takes a lock back when its process ends, however it ends. Where a system has no such locks, filelock keeps a
file with the process's number instead, and takes over one whose process is no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def held(path: Path, *, wait: bool = False, look: float = 0.05) -> Iterator[bool]:
    """Hold the lock file ``path`` for the block; yield False when another process or thread has it.

    With ``wait`` it is looked for every ``look`` seconds until it is free. OSError where the folder can't be written
    to. Whoever removes the file does so inside the block: one that waits then finds that it is gone, and begins anew.
    """
    from filelock import FileLock, Timeout, UnixFileLock  # here: commands that lock nothing start without it

    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=-1 if wait else 0, poll_interval=look)
    except Timeout:
        yield False
        return
    try:
        if isinstance(lock, UnixFileLock):  # elsewhere nobody else may write to it, or it has our number already
            path.write_text(str(os.getpid()), encoding="ascii")
        yield True
    finally:
        lock.release()


def remove(path: Path) -> None:
    """Remove a lock file that this process holds; it stays where files in use can't be removed."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def holder(path: Path) -> str:
    """Return which process holds the lock file ``path``: ``process 123``, or "another process" where it can't be
    read."""
    try:
        number = path.read_text(encoding="utf-8", errors="replace").split()[:1]
    except OSError:
        number = []
    return f"process {number[0]}" if number and number[0].isdigit() else "another process"


def runs(process: int) -> bool:
    """Return whether a process of this number runs on this machine."""
    if os.name == "nt":  # there, os.kill would end it
        return _runs_on_windows(process)
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _runs_on_windows(process: int) -> bool:
    import ctypes

    still_active, may_ask = 259, 0x1000  # STILL_ACTIVE, PROCESS_QUERY_LIMITED_INFORMATION
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    handle = kernel.OpenProcess(may_ask, False, process)
    if not handle:
        return False
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return code.value == still_active
