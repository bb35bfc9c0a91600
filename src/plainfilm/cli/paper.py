"""The flags of ``plainfilm paper``."""

from __future__ import annotations

import argparse
from typing import Any

from plainfilm.cli.base import (
    Command,
    given_settings,
    model_names,
    models_flag,
    out_flag,
    settings_flags,
    show_table,
)
from plainfilm.cli.pages import DATA
from plainfilm.storage import folders


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help=DATA)
    out_flag(parser, "folder for models, tables and report")
    models_flag(parser)
    parser.add_argument("--resume", action="store_true", help="go on with what was begun in --out")
    settings_flags(parser, ("model", "split"))


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.paper import paper

    rows = paper(options.data, options.out, given_settings(options), models=model_names(options), resume=options.resume)
    return {"out": str(options.out), "report": str(options.out / folders.REPORT), "table": rows}


COMMAND = Command(
    "paper",
    ("plainfilm paper chest_xray/ --out out/", "plainfilm paper films.zip --out out/ --models vgg-bn,vgg16-lr"),
    _flags,
    _run,
    show_table,
)
