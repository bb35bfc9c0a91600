"""The flags of ``plainfilm fetch``."""

from __future__ import annotations

import argparse
from typing import Any

from plainfilm.cli.base import Command
from plainfilm.errors import InputError


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="kermany, pneumoniamnist[-64|-128|-224], vgg16")
    text = "every set that is known, with size or way to get it, and licence; nothing is fetched"
    parser.add_argument("--list", action="store_true", help=text)


def _run(options: argparse.Namespace) -> Any:
    if options.list == bool(options.names):
        raise InputError("Give names to fetch, or --list alone; see 'plainfilm fetch --list'.")
    from plainfilm.commands.fetch import fetch_names, known_sets

    if options.list:
        return {"sets": known_sets()}
    return fetch_names(options.names)


def _show(result: Any) -> str:
    if "sets" in result:
        return "\n\n".join(
            f"{item['name']:20}{item['title']}\n  get it   {item['get']}\n  licence  {item['licence']}"
            for item in result["sets"]
        )
    return "\n".join(f"{item['name']}: {item['path']} ({item['checksum']})" for item in result)


COMMAND = Command(
    "fetch",
    ("plainfilm fetch --list", "plainfilm fetch kermany pneumoniamnist-224"),
    _flags,
    _run,
    _show,
)
