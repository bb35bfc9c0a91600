"""The flags of ``plainfilm train``."""

from __future__ import annotations

import argparse
from typing import Any

from plainfilm.cli.base import DATA, Command, given_settings, out_flag, settings_flags, show_metrics, show_runs
from plainfilm.config import begun_settings
from plainfilm.errors import InputError
from plainfilm.machine import ranks
from plainfilm.storage import folders


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help=DATA)
    out_flag(parser, "the run's folder")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out; its settings hold")
    often = parser.add_mutually_exclusive_group()
    text = "test on each K-th of the films in turn, pooled; or on each value of a column of DATA's table, such as site"
    often.add_argument("--folds", metavar="K|COLUMN", help=text)
    often.add_argument("--seeds", type=int, metavar="N", help="repeat with N seeds; mean, SD and every run")
    settings_flags(parser)


def _run(options: argparse.Namespace) -> Any:
    settings = given_settings(options)
    if (options.folds or options.seeds) and ranks.started() > 1:
        raise InputError("--folds and --seeds are done by one process; under torchrun train one model at a time.")
    if options.folds is not None or options.seeds is not None:
        return _repeat(options, settings)
    from plainfilm.commands.train import train

    if options.resume and (options.out / folders.CONFIG).exists():
        settings = {**begun_settings(options.out), **settings}
    metrics = train(options.data, options.out, settings, options.resume)
    return {"run": str(options.out), "report": str(options.out / folders.REPORT), "metrics": metrics}


def _repeat(options: argparse.Namespace, settings: dict[str, Any]) -> Any:
    from plainfilm.commands.train import train_folds, train_seeds, train_sites

    if options.resume and (begun := [begun_settings(path.parent) for path in options.out.glob("*-*/config.json")]):
        settings = {**min(begun, key=lambda each: int(each["seed"])), **settings}
    if options.folds is None:
        found = train_seeds(options.data, options.out, settings, options.seeds, options.resume)
    elif options.folds.lstrip("-").isdigit():
        found = train_folds(options.data, options.out, settings, int(options.folds), options.resume)
    else:
        found = train_sites(options.data, options.out, settings, options.folds, options.resume)
    return {"run": str(options.out), "report": str(options.out / folders.REPORT), **found}


def _show(result: Any) -> str:
    if "runs" in result:
        return f"{show_runs(result)}\nReport: {result['report']}"
    return f"{show_metrics(result['metrics'])}\nReport: {result['report']}"


COMMAND = Command(
    "train",
    "one model",
    (
        "plainfilm train chest_xray/ --out runs/bn --model vgg-bn",
        "plainfilm train films.csv --out runs/small --split paper --set epochs=5 --set augment=rotation=5",
    ),
    _flags,
    _run,
    _show,
)
