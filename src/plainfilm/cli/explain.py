"""The flags of ``plainfilm explain``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from plainfilm.cli.base import Command, columns_flag, given, out_flag, precision_flag, preprocess_flag


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder, a model.h5 or another program's .onnx")
    parser.add_argument("paths", metavar="PATH", nargs="+", help="films, folders or zips")
    out_flag(parser, "folder for pictures, table, checks and page")
    text = "class or findings to explain, or all (default: what is decided for, film by film)"
    parser.add_argument("--class", "--finding", dest="explained", default="", metavar="NAME,…", help=text)
    text = "hires-cam (default), grad-cam, or occlusion, the only one for an .onnx file"
    parser.add_argument("--method", default="", metavar="NAME", help=text)
    text = "how many films the slow checks look at, 0 for none (default %(default)s)"
    parser.add_argument("--checks", type=int, default=24, metavar="N", help=text)
    precision_flag(parser)
    preprocess_flag(parser)
    columns_flag(parser)
    parser.add_argument("--force", action="store_true", help="replace heat maps that are in --out")


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.export.opened import require_layers

    if not options.preprocess:
        require_layers(options.run)  # before torch, which would not help
    from plainfilm.commands.explain import explain

    how = given(options, "explained", "method", "force", "precision", "preprocess", "classes")
    found = explain(options.run, options.paths, options.out, checks=options.checks, seed=options.seed, **how)
    return {**found, "out": str(options.out)}


def _show(result: Any) -> str:
    head = f"{result['mapped']} of {result['films']} films have a heat map; {result['films_checked']} were checked."
    red = [f"Red line: {line}" for line in result["red_lines"]]
    return "\n".join(
        [head, *red, *result["findings"], *result["notes"], result["warning"], f"Page: {result['out']}/index.html"]
    )


COMMAND = Command(
    "explain",
    (
        "plainfilm explain runs/bn new_films/ --out maps",
        "plainfilm explain runs/bn a.jpeg b.png --out maps --class PNEUMONIA --checks 0",
    ),
    _flags,
    _run,
    _show,
)
