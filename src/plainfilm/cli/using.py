"""Commands that take a trained model to films: label."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from plainfilm.cli.base import Command


def _label_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder or a model.h5")
    parser.add_argument("paths", metavar="PATH", nargs="+", help="films, folders or zips")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.csv", help="the table of labels")
    parser.add_argument(
        "--montage", type=Path, metavar="FILE.png", help="a picture of 30 random films with their labels"
    )
    parser.add_argument("--force", action="store_true", help="replace --out and --montage when they exist")


def _run_label(options: argparse.Namespace) -> Any:
    from plainfilm.commands.label import label

    result = label(options.run, options.paths, options.out, options.montage, options.seed, options.force)
    return {**result, "out": str(options.out)}


def _show_label(result: Any) -> str:
    labels = ", ".join(f"{count} {name}" for name, count in sorted(result["labels"].items()))
    refused = f"; {result['refused']} could not be read (see their reasons)" if result["refused"] else ""
    return f"{result['labelled']} of {result['films']} films labelled: {labels}{refused}. {result['out']}"


COMMANDS = (
    Command(
        "label",
        "labels for films, folders and zips",
        (
            "plainfilm label runs/bn new_films/ --out labels.csv",
            "plainfilm label runs/bn/model.h5 a.jpeg b.png --out labels.csv --montage labels.png",
        ),
        _label_flags,
        _run_label,
        _show_label,
    ),
)
