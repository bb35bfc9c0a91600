"""The flags of ``plainfilm apply``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from plainfilm.cli.base import Command, given


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("point", metavar="operating.json", type=Path, help="an operating point, from adapt FILE.csv")
    parser.add_argument("file", metavar="FILE.csv", type=Path, help="the model's scores of new films, without labels")
    parser.add_argument("--out", type=Path, required=True, metavar="NEW.csv", help="the table of labels")
    text = "columns of FILE.csv, where they are not those of the films before: score=prob,path=Image"
    parser.add_argument("--columns", default="", metavar="ROLE=NAME,…", help=text)
    parser.add_argument("--force", action="store_true", help="replace --out when it exists")


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.apply import apply

    return apply(options.point, options.file, options.out, **given(options, "columns", "force"))


def _show(result: Any) -> str:
    labels = ", ".join(f"{count} {name}" for name, count in sorted(result["labels"].items()))
    return f"{result['films']} films labelled: {labels}; {result['referred']} for a reader. {result['out']}"


COMMAND = Command(
    "apply",
    (
        "plainfilm apply operating.json new_scores.csv --out labelled.csv",
        "plainfilm apply operating.json scores.csv --columns score=Pneumonia,path=Image --out labelled.csv",
    ),
    _flags,
    _run,
    _show,
)
