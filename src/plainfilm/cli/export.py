"""The flags of ``plainfilm export``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from plainfilm.cli.base import Command


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder or a model.h5")
    parser.add_argument("--format", required=True, help="onnx (pixels in, probabilities out) or safetensors (weights)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write")
    text = "films to check an ONNX file on (default: the run's validation films and synthetic ones)"
    parser.add_argument("--films", metavar="PATH", nargs="+", default=[], help=text)
    parser.add_argument("--force", action="store_true", help="replace --out when it exists")


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.export import export

    how = {"films": options.films, "force": options.force, "seed": options.seed}
    return export(options.run, options.format, options.out, **how)


def _show(result: Any) -> str:
    if result["format"] == "safetensors":
        checked = f"{result['values']:,} values, read back bit for bit"
    else:
        films = f"{result['real_films']} real and {result['synthetic_films']} synthetic films"
        checked = f"largest difference of a probability {result['largest_difference']:.1g} on {films}"
    return f"{result['out']}: {result['bytes'] / 1e6:.1f} MB; {checked}."


COMMAND = Command(
    "export",
    (
        "plainfilm export runs/bn --format onnx --out bn.onnx",
        "plainfilm export runs/bn --format safetensors --out bn.safetensors --force",
    ),
    _flags,
    _run,
    _show,
)
