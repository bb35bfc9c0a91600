"""The flags of ``plainfilm label``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from plainfilm.cli.base import Command, columns_flag, precision_flag, preprocess_flag
from plainfilm.machine import ranks


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder, a model.h5 or an .onnx file")
    parser.add_argument("paths", metavar="PATH", nargs="+", help="films, folders or zips")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.csv", help="the table of labels")
    parser.add_argument(
        "--montage", type=Path, metavar="FILE.png", help="a picture of 30 random films with their labels"
    )
    parser.add_argument("--force", action="store_true", help="replace --out and --montage when they exist")
    parser.add_argument("--resume", action="store_true", help="go on with what was interrupted")
    text = "a folder for a report and a picture of each DICOM film, as DICOM objects of the film's own study"
    parser.add_argument("--dicom", type=Path, metavar="DIR", help=text)
    text = "what runs the network: torch or onnx (default torch; an .onnx file is always run by onnx)"
    parser.add_argument("--engine", metavar="NAME", help=text)
    precision_flag(parser)
    preprocess_flag(parser)
    columns_flag(parser)


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.label import label
    from plainfilm.export.opened import Foreign, opened

    with ranks.joined():
        with ranks.together():
            foreign = Foreign(options.preprocess, options.classes)
            model = opened(options.run, options.precision or "auto", options.engine, options.seed, foreign)
        how = {"picture": options.montage, "answers": options.dicom, "seed": options.seed}
        kept = {"force": options.force, "resume": options.resume}
        return {**label(model, options.paths, options.out, **how, **kept), "out": str(options.out)}


def _show(result: Any) -> str:
    labels = ", ".join(f"{count} {name}" for name, count in sorted(result["labels"].items()))
    reader = f"; {result['referred']} for a reader" if result["referred"] else ""
    refused = f"; {result['refused']} could not be read (see their reasons)" if result["refused"] else ""
    return f"{result['labelled']} of {result['films']} films labelled: {labels}{reader}{refused}. {result['out']}"


COMMAND = Command(
    "label",
    (
        "plainfilm label runs/bn new_films/ --out labels.csv",
        "plainfilm label theirs.onnx new_films/ --preprocess imagenet224 --classes NORMAL,PNEUMONIA --out labels.csv",
    ),
    _flags,
    _run,
    _show,
)
