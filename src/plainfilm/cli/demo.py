"""The flags of ``plainfilm demo``."""

from __future__ import annotations

import argparse
from typing import Any

from plainfilm.cli.base import Command, given_settings, model_names, models_flag, out_flag, settings_flags, show_table
from plainfilm.config import DEMO_FILMS
from plainfilm.storage import folders


def _flags(parser: argparse.ArgumentParser) -> None:
    out_flag(parser, "folder for films, models and report", "demo")
    text = "how many synthetic films (default %(default)s)"
    parser.add_argument("--films", type=int, default=DEMO_FILMS, metavar="N", help=text)
    models_flag(parser)
    settings_flags(parser, ("model", "split"))


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.demo import demo

    rows = demo(options.out, options.films, given_settings(options), models=model_names(options))
    return {"out": str(options.out), "report": str(options.out / folders.REPORT), "table": rows}


COMMAND = Command(
    "demo",
    ("plainfilm demo", "plainfilm demo --out demo-small --films 120 --models vgg,vgg-bn --epochs 10"),
    _flags,
    _run,
    show_table,
)
