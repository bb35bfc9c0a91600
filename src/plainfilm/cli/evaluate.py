"""The flags of ``plainfilm evaluate``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plainfilm.cli.base import (
    CLASSES,
    DATA,
    Command,
    given_reading,
    max_bad,
    max_bad_flag,
    number,
    out_flag,
    precision_flag,
    reading_flags,
    refuse_flags,
    show_metrics,
    show_runs,
)
from plainfilm.config import READING
from plainfilm.errors import CheckFailed, InputError
from plainfilm.progress import say
from plainfilm.storage import folders
from plainfilm.storage.files import sealed


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN|FILE.csv", type=Path, help="a run folder, or any model's predictions.csv")
    parser.add_argument("data", metavar="DATA", nargs="?", help="other films to judge the run's model on: " + DATA)
    out_flag(parser, "where to write; for DATA", "RUN/on-NAME")
    parser.set_defaults(out=None)
    parser.add_argument(
        "--positive", default="", help="positive class of a FILE.csv (default: the one not called normal)"
    )
    parser.add_argument("--threshold", type=float, metavar="X", help="threshold for a FILE.csv (default 0.5)")
    reading_flags(parser)
    parser.add_argument("--force", action="store_true", help="replace scores that are in --out")
    text = "exit code 3 when it holds, such as auroc<0.9 or sensitivity.low<0.85; may be repeated"
    parser.add_argument("--fail-if", action="append", default=[], metavar="SCORE<X", help=text)
    parser.add_argument("--probes", action="store_true", help="of a run: subgroups, robustness and probes of shortcuts")
    text = "films to probe (default 1,000 for a small network, 100 for a large one)"
    parser.add_argument("--films", type=int, metavar="N", help=text)
    text = "PPV and NPV where this share (0..1) of the films is positive, by Bayes' rule from the rates found"
    parser.add_argument("--prevalence", type=float, metavar="P", help=text)
    text = "scores by columns of the films' table or header: site,age:40:65; numbers without edges by quarters"
    parser.add_argument("--by", default="", metavar="COLUMN,…", help=text)
    parser.add_argument("--classes", default="", metavar="NAME=NAME,…", help=CLASSES)
    max_bad_flag(parser)
    precision_flag(parser)
    text = "folder of an audit of the run's films, to stand beside the probes and in the report"
    parser.add_argument("--audit", type=Path, metavar="DIR", help=text)


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.evaluation.conditions import check, holding

    check(options.fail_if)  # before anything is scored
    if options.prevalence is not None and not 0 < options.prevalence < 1:
        raise InputError(f"--prevalence {options.prevalence}: expected a share between 0 and 1.")
    found = _evaluated(options)
    if "runs" in found:  # seeds are not pooled: their means are what can be asked for
        means = {name: {"value": s["mean"], "low": None, "high": None} for name, s in found["scores"].items()}
        found = {**found, "test": found["pooled"] or means}
    scores = found.get("test") or found.get("val") or found.get("train")
    if options.prevalence is not None:
        found = {**found, "at_prevalence": _at_prevalence(scores or {}, options.prevalence)}
    failed = holding(options.fail_if, scores or {})
    if failed:
        raise CheckFailed(f"Done, and a condition of --fail-if holds: {'; '.join(failed)}.", found)
    if options.fail_if:
        say(f"No condition of --fail-if holds: {'; '.join(options.fail_if)}.")
    return found


def _at_prevalence(scores: Mapping[str, Any], prevalence: float) -> dict[str, Any]:
    """Return PPV and NPV at ``prevalence``; low and high where sensitivity and specificity are at their lower or upper
    ends together, so that they hold the true value whenever both intervals do."""
    from plainfilm.evaluation.scores import ppv_npv_at
    from plainfilm.report.runs import interval

    rates = interval(scores["sensitivity"]), interval(scores["specificity"])
    ends = {
        end: ppv_npv_at(sensitivity, specificity, [prevalence])[0]
        for end, sensitivity, specificity in zip(("value", "low", "high"), *rates, strict=True)
    }
    return {
        "prevalence": prevalence,
        **{name: {end: row[name] for end, row in ends.items()} for name in ("ppv", "npv")},
    }


def _evaluated(options: argparse.Namespace) -> Any:
    """Score what was given, one of four; a flag of another one is refused."""
    from plainfilm.commands.evaluate import evaluate_elsewhere, evaluate_file
    from plainfilm.storage.tables import is_table

    of_file, of_run, written = ("positive", "threshold"), ("probes", "films", "audit"), ("out", "force")
    of_data = ("classes", "max_bad", *READING)
    if options.data:
        refuse_flags(options, "a run on other films (DATA)", *of_file, *of_run)
        where = (options.run, options.data, given_reading(options), options.seed, options.out, options.force)
        return evaluate_elsewhere(*where, options.classes, max_bad(options), options.by, options.precision or "auto")
    if is_table(options.run) or options.run.suffix.lower() == ".txt":
        refuse_flags(options, "a FILE.csv", *of_run, *of_data, "precision")
        how = (options.positive, options.threshold, options.seed, options.out, options.force, options.by)
        return evaluate_file(options.run, *how)
    if (options.run / folders.FOLDS).exists():
        refuse_flags(options, "folds or seeds", "by", *of_file, *of_run, *written, *of_data, "precision")
        from plainfilm.commands.evaluate import pool_again

        return pool_again(options.run)
    refuse_flags(options, "a run, whose folder is its place,", *of_file, *written, *of_data)
    if not options.probes:
        refuse_flags(options, "a run without --probes", "films", "audit", "precision")
    return _evaluate_run(options)


def _evaluate_run(options: argparse.Namespace) -> Any:
    from plainfilm.report.html import run_report
    from plainfilm.runs.scoring import evaluate_run

    if not (options.run / folders.PREDICTIONS).exists():
        raise InputError(f"{options.run} is no finished run; give a run folder or a FILE.csv with predictions.")
    with sealed(options.run):
        metrics = evaluate_run(options.run, again=True, by=options.by)
        if options.probes:
            from plainfilm.runs.probing import probe

            probe(options.run, options.films or 0, options.seed, None, options.audit, options.precision or "auto")
        run_report(options.run)
    say(f"Report: {options.run / 'report.html'}")
    return metrics


def _show(result: Any) -> str:
    shown = show_runs(result) if "runs" in result else show_metrics(result)
    if at := result.get("at_prevalence"):
        words = {key: [number(at[key][end]).strip() for end in ("value", "low", "high")] for key in ("ppv", "npv")}
        rates = [f"{key.upper()} {value} ({low} to {high})" for key, (value, low, high) in words.items()]
        shown += f"\n\nWhere {100 * at['prevalence']:g} % of the films are positive: {', '.join(rates)}."
    return shown


COMMAND = Command(
    "evaluate",
    "all scores of a run, of a run on other films, or of any model's predictions.csv",
    ("plainfilm evaluate runs/bn", "plainfilm evaluate runs/bn other_hospital/ --out on-other"),
    _flags,
    _run,
    _show,
)
