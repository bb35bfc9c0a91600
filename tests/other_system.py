"""Runs Python without what only Unix has: `python other_system.py CODE WORD…`. As near to Windows as Linux gets.

Modules and calls that Windows lacks are taken away before anything is imported. File locks are then those that filelock
keeps where a system has none; slashes and processes stay Linux's.
"""

from __future__ import annotations

import os
import signal
import sys

MODULES = ("fcntl", "resource", "termios", "pwd", "grp", "syslog")
CALLS = (
    *("fork", "forkpty", "pread", "pwrite", "sched_getaffinity", "sched_setaffinity", "posix_fallocate"),
    *("posix_fadvise", "statvfs", "mkfifo", "nice", "killpg", "fchmod", "fdatasync", "sync", "getloadavg"),
)
SIGNALS = ("SIGHUP", "SIGKILL", "SIGQUIT", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGCHLD")


def hide() -> None:
    """Take it away from this process."""
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for name in CALLS:
        if hasattr(os, name):
            delattr(os, name)
    for name in SIGNALS:
        delattr(signal, name)


if __name__ == "__main__":
    hide()
    code = sys.argv.pop(1)
    exec(code)
