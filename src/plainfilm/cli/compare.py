"""The flags of ``plainfilm compare``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from plainfilm.cli.base import Command, given, table_flags


def _flags(parser: argparse.ArgumentParser) -> None:
    text = "run folders or predictions files with the same films; the test part is compared, else val"
    parser.add_argument("runs", metavar="RUN|FILE.csv", type=Path, nargs="+", help=text)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for comparison.json (default: print only)")
    parser.add_argument("--positive", default="", help="positive class (default: the one not called normal)")
    table_flags(parser)
    parser.add_argument("--force", action="store_true", help="replace a comparison that is in --out")


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.compare import compare_all

    how = {
        **given(options, "positive", "columns", "scores"),
        "out": options.out,
        "force": options.force,
        "seed": options.seed,
    }
    return compare_all(options.runs, **how)


def _show(result: Any) -> str:
    people = f" of {result['patients']} patients" if result["patients"] < result["films"] else ""  # else often unknown
    lines = [f"{result['films']} films{people}; positive: {result['positive']}."]
    lines += [f"{model['name']} decides by {model['decided_by']}; {model['protocol']}." for model in result["models"]]
    for pair in result["pairs"]:
        lines += [pair["accuracy"]["sentence"], pair["auroc"]["sentence"]]
    return "\n".join(lines)


COMMAND = Command(
    "compare",
    "paired comparison of models on the same films",
    ("plainfilm compare out/vgg out/vgg-bn", "plainfilm compare runs/bn theirs.csv --out comparison"),
    _flags,
    _run,
    _show,
)
