"""The flags of ``plainfilm train``."""

from __future__ import annotations

import argparse
from typing import Any

from plainfilm.cli.base import Command, given_settings, out_flag, settings_flags, show_run, show_runs
from plainfilm.cli.pages import DATA
from plainfilm.errors import InputError
from plainfilm.storage import folders


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help=DATA)
    out_flag(parser, "the run's folder")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out; its settings hold")
    text = "leave out the probes after the last epoch; later: plainfilm evaluate RUN --probes"
    parser.add_argument("--no-probes", action="store_true", help=text)
    often = parser.add_mutually_exclusive_group()
    text = "test on each K-th of the films in turn, pooled; or on each value of a column of DATA's table, such as site"
    often.add_argument("--folds", metavar="K|COLUMN", help=text)
    often.add_argument("--seeds", type=int, metavar="N", help="repeat with N seeds; mean, SD and every run")
    settings_flags(parser)


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.train import train, train_folds, train_seeds, train_sites

    data, out, settings, resume = options.data, options.out, given_settings(options), options.resume
    where = {"run": str(options.out), "report": str(options.out / folders.REPORT)}
    if options.no_probes and (options.seeds is not None or options.folds is not None):
        raise InputError("--no-probes: folds and seeds are not probed anyway; leave it out.")
    if options.seeds is not None:
        return {**where, **train_seeds(data, out, settings, options.seeds, resume=resume)}
    if options.folds is None:
        return {**where, "metrics": train(data, out, settings, resume=resume, probes=not options.no_probes)}
    if options.folds.lstrip("-").isdigit():
        return {**where, **train_folds(data, out, settings, int(options.folds), resume=resume)}
    return {**where, **train_sites(data, out, settings, options.folds, resume=resume)}


def _show(result: Any) -> str:
    if "runs" in result:
        return f"{show_runs(result)}\nReport: {result['report']}"
    return show_run(result["run"], result["metrics"])


COMMAND = Command(
    "train",
    (
        "plainfilm train chest_xray/ --out runs/bn --model vgg-bn",
        "plainfilm train films.csv --out runs/small --split paper --set epochs=5 --set augment=rotation=5",
    ),
    _flags,
    _run,
    _show,
)
