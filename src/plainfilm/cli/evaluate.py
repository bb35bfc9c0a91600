"""The flags of ``plainfilm evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from plainfilm.cli.base import (
    CLASSES,
    Command,
    given,
    max_bad_flag,
    number,
    out_flag,
    precision_flag,
    preprocess_flag,
    reading_flags,
    show_by,
    show_metrics,
    show_run,
    show_runs,
    table_flags,
)
from plainfilm.cli.pages import DATA
from plainfilm.config import READING
from plainfilm.errors import CheckFailed
from plainfilm.storage import folders

COLUMNS = "; of a FILE.csv, other names of its classes; with --preprocess, NAME,… in the order of the model's columns"


def _flags(parser: argparse.ArgumentParser) -> None:
    text = "a run folder, an .onnx file, or any model's predictions.csv"
    parser.add_argument("run", metavar="RUN|FILE.csv", type=Path, help=text)
    parser.add_argument("data", metavar="DATA", nargs="?", help="other films to judge the run's model on: " + DATA)
    out_flag(parser, "where to write; for DATA", "RUN/on-NAME")
    parser.set_defaults(out=None)
    parser.add_argument(
        "--positive", default="", help="positive class of a FILE.csv (default: the one not called normal)"
    )
    parser.add_argument("--threshold", type=float, metavar="X", help="threshold for a FILE.csv (default 0.5)")
    table_flags(parser)
    reading_flags(parser)
    parser.add_argument("--force", action="store_true", help="replace scores that are in --out")
    text = "exit code 3 when it holds, such as auroc<0.9 or sensitivity.low<0.85; may be repeated"
    parser.add_argument("--fail-if", action="append", default=[], metavar="SCORE<X", help=text)
    text = "spoil and cover films: robustness and probes of shortcuts; of a run's own films also subgroups"
    parser.add_argument("--probes", action="store_true", help=text)
    text = "films to probe (default 1,000 for a small network, 100 for a large one)"
    parser.add_argument("--films", type=int, metavar="N", help=text)
    text = "PPV and NPV where this share (0..1) of the films is positive, by Bayes' rule from the rates found"
    parser.add_argument("--prevalence", type=float, metavar="P", help=text)
    text = "scores by columns of the films' table or header: site,age:40:65; numbers without edges by quarters"
    parser.add_argument("--by", default="", metavar="COLUMN,…", help=text)
    parser.add_argument("--classes", default="", metavar="NAME=NAME,…", help=CLASSES + COLUMNS)
    max_bad_flag(parser)
    precision_flag(parser)
    preprocess_flag(parser)
    text = "folder of an audit of the run's films, to stand beside the probes and in the report"
    parser.add_argument("--audit", type=Path, metavar="DIR", help=text)


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.evaluate import evaluate

    of_file, of_data = ("positive", "threshold", "columns", "scores"), ("classes", "max_bad", "preprocess", *READING)
    how = given(options, "by", "out", "force", *of_file, *of_data, "probes", "films", "audit", "precision")
    checks = {"fail_if": options.fail_if, "prevalence": options.prevalence}
    try:
        return _placed(options, evaluate(options.run, options.data or "", seed=options.seed, **checks, **how))
    except CheckFailed as failed:
        raise CheckFailed(str(failed), _placed(options, failed.result)) from None


def _placed(options: argparse.Namespace, found: Any) -> Any:
    """Return the scores of a run with its name and the place of its report, as ``train`` has it."""
    if not (options.run / folders.DESCRIPTION).is_file() or "runs" in found:
        return found
    report = Path(found["out"] if options.data else options.run) / folders.REPORT
    return {"run": str(options.run), "report": str(report), **found}


def _show(result: Any) -> str:
    shown = show_runs(result) if "runs" in result else _shown(result)
    if at := result.get("at_prevalence"):
        words = {key: [number(at[key][end]).strip() for end in ("value", "low", "high")] for key in ("ppv", "npv")}
        rates = [f"{key.upper()} {value} ({low} to {high})" for key, (value, low, high) in words.items()]
        shown += f"\n\nWhere {100 * at['prevalence']:g} % of the films are positive: {', '.join(rates)}."
    return shown


def _shown(result: Any) -> str:
    """Return every score of a file or a model without its run; of a run what its report says first."""
    if "run" not in result:
        return show_metrics(result)
    columns = [*show_by(result["by"])[1:], ""] if "by" in result else []
    return "\n".join([*columns, show_run(result["run"], result, result.get("out", ""))])


COMMAND = Command(
    "evaluate",
    ("plainfilm evaluate runs/bn", "plainfilm evaluate runs/bn other_hospital/ --out on-other"),
    _flags,
    _run,
    _show,
)
