"""The flags of ``plainfilm serve``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from plainfilm.cli.base import Command, given, precision_flag


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder or a model.h5")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="port, 0 for any (default %(default)s)")
    precision_flag(parser)
    parser.add_argument("--token", default="", metavar="TEXT", help="what requests must carry; a must beyond 127.0.0.1")


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.serve import serve

    def announce(service: dict[str, str]) -> None:
        line = json.dumps(service) if options.json else _show(service)
        print(line, flush=True)

    # The answer was given when the service began, so there is nothing left to print at its end.
    how = given(options, "host", "port", "token", "precision")
    raise SystemExit(serve(options.run, announce, **how))


def _show(service: Any) -> str:
    model, url, disclaimer = service["model"], service["url"], service["disclaimer"]
    said = f"{disclaimer[:1].lower()}{disclaimer[1:].rstrip('.')}"
    return f"plainfilm serves {model} at {url} (model {service['hash'][:12]}…); {said}"


COMMAND = Command(
    "serve",
    ("plainfilm serve runs/bn", "plainfilm serve runs/bn --host 0.0.0.0 --token TEXT"),
    _flags,
    _run,
    _show,
)
