"""What can go wrong, as the user will read it: one sentence, and the exit code that goes with it."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path


class PlainfilmError(Exception):
    """It failed: a bug, or the machine (full disk, no memory). Exit code 1."""

    exit_code = 1


class InputError(PlainfilmError):
    """The user's input is at fault; the message says what, where, and what to do. Exit code 2."""

    exit_code = 2


class CheckFailed(PlainfilmError):
    """Done, with ``result``, but a check that the user asked for did not hold. Exit code 3."""

    exit_code = 3

    def __init__(self, message: str, result: object = None) -> None:
        super().__init__(message)
        self.result = result


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the choice nearest to ``word``, or all choices when none is near."""
    names = list(choices)
    near = difflib.get_close_matches(word.lower(), [n.lower() for n in names], n=1, cutoff=0.5)
    for name in names:
        if near and name.lower() == near[0]:
            return f" Did you mean '{name}'?"
    return f" Choose from: {', '.join(names)}."


def command_line(*words: object) -> str:
    """Return a command of plainfilm as it can be pasted into a shell, whatever its paths are called.

    >>> command_line("evaluate", Path("my runs/bn"), "--probes")
    "plainfilm evaluate 'my runs/bn' --probes"
    """
    told = (f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word) for word in words)
    return shlex.join(["plainfilm", *told])


def refuse(what: str, given: Mapping[str, object]) -> None:
    """InputError naming those flags of ``given`` that were given although they mean nothing for ``what``.

    A flag counts as given unless it is None, False, an empty text or an empty list: its default must be one of these.
    """
    names = [name for name, value in given.items() if value not in (None, "", []) and value is not False]
    if names:
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in names)
        raise InputError(f"{flags} {'does' if len(names) == 1 else 'do'} nothing for {what}; leave it out.")


def require_share(flag: str, value: float, ends: bool = True) -> None:
    """InputError unless ``value`` is between 0 and 1, with or without the ``ends``."""
    if not (0 <= value <= 1 if ends else 0 < value < 1):
        raise InputError(f"{flag} {value:g}: expected a share between 0 and 1.")
