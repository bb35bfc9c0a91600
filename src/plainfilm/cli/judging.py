"""Commands that judge data and models: evaluate, compare."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from plainfilm.cli.base import DATA, Command, out_flag, show_metrics


def _evaluate_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN|FILE.csv", type=Path, help="a run folder, or any model's predictions.csv")
    parser.add_argument("data", metavar="DATA", nargs="?", help="other films to judge the run's model on: " + DATA)
    out_flag(parser, "where to write; for DATA", "RUN/on-NAME")
    parser.set_defaults(out=None)
    parser.add_argument(
        "--positive", default="", help="positive class of a FILE.csv (default: the one not called normal)"
    )
    parser.add_argument("--threshold", type=float, default=0.5, help="threshold for a FILE.csv (default 0.5)")
    parser.add_argument(
        "--patient-regex", default="", help="patient in DATA's paths: a regular expression with a group"
    )


def _run_evaluate(options: argparse.Namespace) -> Any:
    from plainfilm.commands import evaluation

    if options.data:
        return evaluation.evaluate_elsewhere(
            options.run, options.data, options.patient_regex, options.seed, options.out
        )
    if options.run.suffix.lower() == ".csv":
        return evaluation.evaluate_file(options.run, options.positive, options.threshold, options.seed, options.out)
    return evaluation.evaluate_run(options.run, again=True)


def _compare_flags(parser: argparse.ArgumentParser) -> None:
    text = "run folders or predictions files with the same films; the test part is compared, else val"
    parser.add_argument("runs", metavar="RUN|FILE.csv", type=Path, nargs="+", help=text)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for comparison.json (default: print only)")
    parser.add_argument("--positive", default="", help="positive class (default: the one not called normal)")


def _run_compare(options: argparse.Namespace) -> Any:
    from plainfilm.commands.comparison import compare_all

    return compare_all(options.runs, options.positive, options.seed, options.out)


def _show_compare(result: Any) -> str:
    lines = [f"{result['films']} films of {result['patients']} patients; positive: {result['positive']}."]
    for pair in result["pairs"]:
        lines += [pair["accuracy"]["sentence"], pair["auroc"]["sentence"]]
    return "\n".join(lines)


COMMANDS = (
    Command(
        "evaluate",
        "all scores of a run, of a run on other films, or of any model's predictions.csv",
        ("plainfilm evaluate runs/bn", "plainfilm evaluate runs/bn other_hospital/ --out on-other"),
        _evaluate_flags,
        _run_evaluate,
        show_metrics,
    ),
    Command(
        "compare",
        "paired comparison of models on the same films",
        ("plainfilm compare out/vgg out/vgg-bn", "plainfilm compare runs/bn theirs.csv --out comparison"),
        _compare_flags,
        _run_compare,
        _show_compare,
    ),
)
