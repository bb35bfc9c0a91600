"""Runs commands in forks of a process that has everything imported: a fault costs no start of Python and torch.

Run as a program it reads one JSON order a line and answers with one JSON line. An order: "words" (of the command),
"env", and one fault of: "kill_after" seconds; "save": [n, "half"|"written"|"moved"], the n-th file that is moved into
place, killed with half of it written, before or after the move; "memory" bytes of address space beyond those in use;
"file_bytes", the largest file that can be written; "user", whose rights are left.
"""

from __future__ import annotations

import codecs
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

COMMANDS = ("adapt", "audit", "compare", "evaluate", "explain", "export", "label", "search", "train")
SLOW = ("draw_montage", "draw_mistakes", "look_closer")  # pictures and probes come after everything that must be equal


class Done(NamedTuple):
    """How a command ended: its exit code (-9 when it was killed), what it said, and how many files it moved."""

    code: int
    said: str
    seconds: float
    saves: int


class Nursery:
    """The other side of the pipe, for tests."""

    def __init__(self, folder: Path) -> None:
        self.log, self.count = folder / "said.txt", folder / "saves.txt"
        command = [sys.executable, __file__, str(self.log), str(self.count)]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def run(self, *words: object, cache: Path, **fault: Any) -> Done:
        """Run one command with its own cache folder, and the fault."""
        order = {"words": [*map(str, words)], "env": {"PLAINFILM_CACHE": str(cache)}, **fault}
        assert self.process.stdin and self.process.stdout
        print(json.dumps(order), file=self.process.stdin, flush=True)
        code, seconds = json.loads(self.process.stdout.readline())
        saves = int(self.count.read_text()) if self.count.exists() else 0
        return Done(code, self.log.read_text(errors="replace"), seconds, saves)

    def close(self) -> None:
        """End it."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def light() -> None:
    """Leave out what is drawn of a finished run; the report's file is still the last one written."""
    from plainfilm.commands import train as training
    from plainfilm.storage.files import write_text

    for name in SLOW:
        setattr(training, name, lambda *_, **__: None)
    training.run_report = lambda run: write_text(run.folder / "report.html", "report")  # type: ignore[attr-defined]


def _die_at(save: int, where: str, count: Path) -> None:
    """Count the files that are moved into place; at number ``save`` die as a power cut would have it."""
    move, seen = os.replace, [0]

    def replace(source: Any, target: Any) -> None:
        seen[0] += 1
        count.write_text(str(seen[0]))
        if seen[0] == save and where == "half":
            os.truncate(source, os.path.getsize(source) // 2)
        if seen[0] == save and where != "moved":
            os.kill(os.getpid(), signal.SIGKILL)
        move(source, target)
        if seen[0] == save:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = replace


def _weaken(order: dict[str, Any], count: Path) -> None:
    if "save" in order:
        _die_at(*order["save"], count)
    if "memory" in order:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + order["memory"],) * 2)
    if "file_bytes" in order:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_bytes"],) * 2)
    if "user" in order:
        os.setgid(order["user"])
        os.setuid(order["user"])


def _child(order: dict[str, Any], log: Path, count: Path) -> None:
    from plainfilm.cli import main

    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.environ.update(order["env"])
    _weaken(order, count)
    code = main(order["words"])
    sys.stdout.flush()
    os._exit(code)


def _serve(log: Path, count: Path) -> None:
    for name in COMMANDS:
        importlib.import_module(f"plainfilm.commands.{name}")

    codecs.lookup("ascii")  # found here: another user may not be allowed to read Python's own files
    light()
    for line in sys.stdin:
        order = json.loads(line)
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _child(order, log, count)
        until = began + order.get("kill_after", 1e9)
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() >= until:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.001)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps([code, time.monotonic() - began]), flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]))
