"""The flags of ``plainfilm search``."""

from __future__ import annotations

import argparse
from typing import Any

from plainfilm.cli.base import Command, given_settings, out_flag, settings_flags
from plainfilm.cli.pages import DATA
from plainfilm.storage import folders


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help=DATA)
    out_flag(parser, "folder for the trials, their table and the report")
    names = "random, grid, tpe, cmaes, ga, de, pso, gwo or woa"
    parser.add_argument("--algorithm", default="tpe", metavar="NAME", help=f"{names} (default %(default)s)")
    text = "epochs (or fits, for a head) of all trials together (default 20 trials)"
    parser.add_argument("--budget", type=int, metavar="N", help=text)
    text = "score of validation to make better; several with commas, with seconds or flops: a Pareto front"
    parser.add_argument("--objective", default="auroc", metavar="NAME", help=f"{text} (default %(default)s)")
    text = "a range: NAME=LOW:HIGH[:log|:whole] or NAME=a|b|c, added to the model's own; NAME=fixed takes one away"
    parser.add_argument("--vary", action="append", default=[], metavar="RANGE", help=text)
    text = "points that are chosen at a time (default: the algorithm's own)"
    parser.add_argument("--population", type=int, default=0, metavar="N", help=text)
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that share the trials")
    parser.add_argument("--no-prune", action="store_true", help="let every trial come to its end")
    parser.add_argument("--resume", action="store_true", help="go on with the search in --out, or help it")
    settings_flags(parser)


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.search import search_settings
    from plainfilm.search.wanted import Wanted

    wanted = Wanted(
        algorithm=options.algorithm,
        budget=options.budget,
        objective=options.objective,
        vary=tuple(options.vary),
        population=options.population,
        prune=not options.no_prune,
    )
    how = {"resume": options.resume, "workers": options.workers}
    found = search_settings(options.data, options.out, given_settings(options), wanted, **how)
    return {"out": str(options.out), "report": str(options.out / folders.REPORT), **found}


def _show(result: Any) -> str:
    values = [f"  {name:24}{value}" for name, value in result["best"]["values"].items()]
    lines = [result["sentence"], *values, f"Train it: {result['train']}", f"Report: {result['report']}"]
    return "\n".join(lines)


COMMAND = Command(
    "search",
    (
        "plainfilm search chest_xray/ --out search --model vgg-bn --epochs 10 --budget 400",
        "plainfilm search chest_xray/ --out heads --model vgg16-lr --algorithm cmaes --objective specificity_at_95",
    ),
    _flags,
    _run,
    _show,
)
