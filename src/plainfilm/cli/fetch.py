"""The flags of ``plainfilm fetch``."""

from __future__ import annotations

import argparse
from typing import Any

from plainfilm.cli.base import Command


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="+", help="kermany, pneumoniamnist[-64|-128|-224], vgg16")


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.fetch import fetch_names

    return fetch_names(options.names)


def _show(result: Any) -> str:
    return "\n".join(f"{item['name']}: {item['path']} ({item['checksum']})" for item in result)


COMMAND = Command(
    "fetch",
    "public sets and weights into the cache, checked and resumable",
    ("plainfilm fetch vgg16", "plainfilm fetch kermany pneumoniamnist-224"),
    _flags,
    _run,
    _show,
)
