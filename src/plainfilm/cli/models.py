"""The flags of ``plainfilm models``."""

from __future__ import annotations

import argparse
from typing import Any

from plainfilm.cli.base import Command, no_flags


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.models import models

    return models()


def _show(result: Any) -> str:
    head = f"{'name':10}{'parameters':>12}{'GFLOP/film':>12}{'input':>13}  weights; licence"
    rows = [
        f"{m['name']:10}{m['parameters']:>12,}{m['flops'] / 1e9:>12.2f}{'×'.join(map(str, m['input'])):>13}"
        f"  {m['weights']}; {m['licence']}"
        for m in result
    ]
    return "\n".join([head, *rows])


COMMAND = Command(
    "models",
    "every model that can be named",
    ("plainfilm models", "plainfilm models --json"),
    no_flags,
    _run,
    _show,
)
