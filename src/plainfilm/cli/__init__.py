"""The command line: exit codes and help. What a command does is in ``commands``, loaded when it runs."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from plainfilm.cli.pages import DATA, DOES
from plainfilm.config import DISCLAIMER
from plainfilm.errors import CheckFailed, InputError, PlainfilmError, did_you_mean
from plainfilm.machine import ranks
from plainfilm.machine.startup import tune_process

if TYPE_CHECKING:
    import argparse

    from plainfilm.cli.base import Command

NO_MEMORY = "There is not enough memory; use fewer films, a smaller --batch or a machine with more."
# how torch, its libraries, threads and the loader say so: none of them as a MemoryError
OUT_OF_MEMORY = re.compile(
    "can't allocate memory|not enough memory|out of memory|bad_alloc|start new thread|map segment|create a primitive"
)
ADVICE = {  # what to do where the system refuses a file or folder
    errno.EACCES: "you may not read or write there; ask for the rights (ls -ld says whose), or name another place",
    errno.EPERM: "the system forbids this there, as on a locked file or some network drives; name another place",
    errno.EROFS: "that disk is read-only; name another place",
    errno.ENAMETOOLONG: "that name is too long for the disk; choose a shorter one",
    errno.EEXIST: "there is something of that name already; name another place",
    errno.EISDIR: "that is a folder, and a file is needed; name a file",
    errno.ENOTDIR: "a file stands where a folder is needed; name another place",
    errno.ELOOP: "its links go round in a circle; name the file itself",
    errno.ETXTBSY: "a program is using it; try again later",
    errno.EBUSY: "it is in use; close what uses it, or name another place",
    errno.EFBIG: "the file is too large for that disk; name a place on another",
    errno.EDQUOT: "your share of the disk is used up; free some space and give the command again",
}
# a path that can't be what it was given for: exit code 2; a full disk and the like: 1
THE_USERS = (
    errno.EACCES,
    errno.EROFS,
    errno.EPERM,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)

# what films are trained and audited with; reading them needs none of it
TRAINING = {
    "torch": "PyTorch",
    "sklearn": "scikit-learn",
    "matplotlib": "Matplotlib",
    "jinja2": "Jinja2",
    "h5py": "h5py",
}
SHARED = ("audit", "train", "label")  # what several processes of one torchrun can do together


class Commands(Mapping[str, "Command"]):
    """The commands by name; each is loaded when it is asked for, so that none waits for the others' files."""

    def __getitem__(self, name: str) -> Command:
        """Return the command ``name``; KeyError where there is none."""
        if name not in DOES:
            raise KeyError(name)
        command: Command = import_module(f"plainfilm.cli.{name}").COMMAND
        return command

    def __iter__(self) -> Iterator[str]:
        """Yield their names, in the order of help."""
        return iter(DOES)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(DOES)


COMMANDS = Commands()


def main(arguments: Sequence[str] | None = None) -> int:  # noqa: C901, PLR0911, PLR0912 - each way to end has its sentence and its exit code
    """Run one command; return its exit code: 0 done, 1 failed, 2 input at fault, 3 check failed, 130 interrupted."""
    from plainfilm.progress import quiet

    tune_process()
    told = quiet.set(False)
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()  # what can't be printed shows here, not when Python ends
        return code
    except PlainfilmError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain(_interrupted(sys.argv[1:] if arguments is None else arguments), 130)
    except MemoryError:
        return _complain(NO_MEMORY, 1)
    except BrokenPipeError:
        _let_go_of_output()  # the reader left, as `head` does
        return 0
    except OSError as error:
        _let_go_of_output()
        return _complain(_system_sentence(error), 2 if error.errno in THE_USERS else 1)
    except Exception as error:
        if isinstance(error, (RuntimeError, ImportError)) and OUT_OF_MEMORY.search(str(error)):
            return _complain(NO_MEMORY, 1)
        if isinstance(error, ModuleNotFoundError) and error.name in TRAINING:
            return _complain(f"This needs {TRAINING[error.name]}; run: pip install 'plainfilm[train]'.", 2)
        if os.environ.get("PLAINFILM_DEBUG"):
            import traceback

            traceback.print_exc()
        hint = "set PLAINFILM_DEBUG=1 for the details and report it"
        return _complain(f"This is a bug in plainfilm ({type(error).__name__}: {_line(error)}); {hint}.", 1)
    finally:
        quiet.reset(told)


def _run(words: list[str]) -> int:
    """Run the command in ``words``, print its result, and return 0, or 3 when a check did not hold."""
    from plainfilm.progress import quiet

    options = _parse(words)
    if options is None:
        return 0
    command = COMMANDS[options.command]
    quiet.set(options.quiet or ranks.rank() > 0)
    if ranks.started() > 1 and command.name not in SHARED:
        raise InputError(f"{command.name} is done by one process; torchrun goes with {', '.join(SHARED)}.")
    try:
        result, failed = command.run(options), None
    except CheckFailed as check:  # done all the same: what failed is to be read as well
        result, failed = check.result, check
    if not ranks.rank():
        from plainfilm.storage.files import to_json

        print(to_json(result) if options.json else command.show(result))
    return _complain(str(failed), failed.exit_code) if failed else 0


def _interrupted(words: Sequence[str]) -> str:
    from plainfilm.cli.base import parser_of

    command = COMMANDS.get(words[0]) if words else None
    if command and "--resume" in parser_of(command).format_usage():
        return "Interrupted; what was finished is kept. Go on with the same command and --resume."
    return "Interrupted; give the command again."


def _let_go_of_output() -> None:
    """Where nothing can be printed any more, keep Python from trying once more at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(sentence: str, code: int) -> int:
    """Print the sentence once: a rank that is not the first says only what befell it alone."""
    name = f"plainfilm, rank {ranks.rank()}" if ranks.rank() else "plainfilm"
    if sentence and (not ranks.rank() or ranks.world() > 1):
        print(f"{name}: {sentence}", file=sys.stderr)
    return code


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _system_sentence(error: OSError) -> str:
    what = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOMEM:
        return NO_MEMORY
    if error.errno == errno.ENOSPC:
        advice = "free some space and give the command again, with --resume where it has that"
        return f"{what}the disk is full; {advice} (the last good state is kept)."
    said = error.strerror or _line(error)
    return f"{what}{said}: {ADVICE[error.errno]}." if error.errno in ADVICE else f"{what}{said}."


def _parse(words: list[str]) -> argparse.Namespace | None:
    """Return the options of one command, or None when help or the version was shown."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return None
    if words[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"plainfilm {version('plainfilm')}")
        return None
    if words[0] not in DOES:
        raise InputError(f"There is no command '{words[0]}'.{did_you_mean(words[0], DOES)}")
    from plainfilm.cli.base import parser_of

    try:
        options = parser_of(COMMANDS[words[0]]).parse_args(words[1:])
    except SystemExit:  # --help was shown
        return None
    options.command = words[0]
    return options


def _overview() -> str:
    width = max(map(len, DOES))
    lines = [f"  {name:<{width}}  {does}" for name, does in DOES.items()]
    return "\n".join(
        [
            "plainfilm turns a folder of chest X-rays into a classifier whose figures can be believed.",
            "",
            "usage: plainfilm COMMAND …        plainfilm COMMAND --help shows its flags",
            "",
            *lines,
            "",
            "examples:",
            "  plainfilm demo --out demo",
            "  plainfilm paper chest_xray/ --out out/",
            "",
            f"A film's source (DATA): {DATA}.",
            DISCLAIMER,
        ]
    )
