"""The flags of ``plainfilm watch``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from plainfilm.cli.base import Command, out_flag
from plainfilm.cli.receive import announcer, patience_flags, patience_of, show_service


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder, a model.h5 or an exported .onnx")
    parser.add_argument("folder", metavar="IN", type=Path, help="the folder that DICOM films are put into")
    out_flag(parser, "the folder for answers and their trail")
    patience_flags(parser)


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.watch import watch

    how = {"announce": announcer(options), "metrics_port": options.metrics_port}
    raise SystemExit(watch(options.run, options.folder, options.out, patience_of(options), **how))


COMMAND = Command(
    "watch",
    ("plainfilm watch runs/bn incoming/ --out answers/", "plainfilm watch runs/bn incoming/ --out answers/ --wait 2"),
    _flags,
    _run,
    show_service,
)
