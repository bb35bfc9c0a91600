"""The flags of ``plainfilm models``."""

from __future__ import annotations

import argparse
from typing import Any

from plainfilm.cli.base import Command, no_flags


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.models import models

    return models()


def _show(result: Any) -> str:
    width = max(len(m["name"]) for m in result)
    head = f"{'name':{width}}{'parameters':>13}{'GFLOP/film':>12}{'input':>13}  weights; licence"
    return "\n".join([head, *(_line(m, width) for m in result)])


def _line(m: dict[str, Any], width: int) -> str:
    known = m["parameters"] is not None
    counts = f"{m['parameters']:>13,}{m['flops'] / 1e9:>12.2f}" if known else f"{'?':>13}{'?':>12}"
    return f"{m['name']:{width}}{counts}{'×'.join(map(str, m['input'])):>13}  {m['weights']}; {m['licence']}"


COMMAND = Command(
    "models",
    ("plainfilm models", "plainfilm models --json"),
    no_flags,
    _run,
    _show,
)
