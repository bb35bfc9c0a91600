"""The flags of ``plainfilm adapt``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from plainfilm.cli.base import CLASSES, DATA, Command, given, max_bad_flag, number, out_flag, reading_flags
from plainfilm.config import READING


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder or a model.h5")
    parser.add_argument("data", metavar="DATA", help="films of the new site, with labels: " + DATA)
    out_flag(parser, "folder for the adapted model")
    text = "auto, balanced, youden, sensitivity=0.95 or a number (default auto); without labels a number (default 0.5)"
    parser.add_argument("--threshold", metavar="RULE", help=text)
    text = "films for a reader: share=0.05, error=0.01 or none (default share=0.05)"
    parser.add_argument("--refer", metavar="RULE", help=text)
    reading_flags(parser)
    parser.add_argument("--classes", default="", metavar="NAME=NAME,…", help=CLASSES)
    max_bad_flag(parser)
    text = "take the new operating point even where it is not shown to be better than the old one"
    parser.add_argument("--force", action="store_true", help=text)
    parser.add_argument("--unlabelled", action="store_true", help="DATA has no labels: estimate the prevalence there")
    parser.add_argument("--prevalence", type=float, metavar="P", help="DATA has no labels: the prevalence is known")


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.adapt import adapt

    rules = ("unlabelled", "prevalence", "threshold", "refer", "classes", "max_bad", "force")
    found = adapt(options.run, options.data, options.out, seed=options.seed, **given(options, *rules, *READING))
    return {"out": str(options.out), **found}


def _show(result: Any) -> str:
    old, new = result["from"], result["to"]
    lines = [
        f"{result['films']} films; weights untouched. Threshold {old['threshold']:.3f} -> {new['threshold']:.3f} "
        f"({new['threshold_rule']}), temperature {old['temperature']:.2f} -> {new['temperature']:.2f}."
    ]
    if "after" not in result:
        share = f"prevalence {result['prevalence_used']:.3f} (trained for {result['prevalence_trained']:.3f})"
        estimate = result["prevalence_interval"]
        share += f"; estimated {estimate['value']:.3f}, 95 % interval {estimate['low']:.3f} to {estimate['high']:.3f}"
        called = f"{result['called_positive_before']:.3f} -> {result['called_positive_after']:.3f} called positive"
        lines.append(f"{share}; {called}. Without labels none of this can be checked.")
        if expected := result["expected"]:
            rates = [f"{r['sensitivity']:.3f} and {r['specificity']:.3f}" for r in expected.values()]
            lines.append(
                f"Sensitivity and specificity on the run's own films: {rates[0]}, at the new threshold {rates[1]}. "
                "A threshold that balances the classes or holds a sensitivity does so at any prevalence: keep it then."
            )
        return "\n".join([*lines, result["out"]])
    if result["kept"]:
        lines.append("The old operating point is kept; below, what a new one would do.")
    lines.append(f"{'':20}before   after   difference (95 % interval; after is cross-fitted by patient)")
    for name, d in result["difference"].items():
        before, after = (number(result[when][name]["value"]) for when in ("before", "after"))
        lines.append(f"  {name:18}{before}{after}{number(d['value'])} ({number(d['low'])} to {number(d['high'])} )")
    if refer := result["refer"]:
        share, error = (f"{r['value']:.3f} ({r['low']:.3f} to {r['high']:.3f})" for r in refer.values())
        lines.append(f"To a reader: {share} of the films; errors among the others {error}; cross-fitted.")
    rates = [f"{name} {result['deployed'][name]['value']:.3f}" for name in ("sensitivity", "specificity")]
    lines.append(f"As it now decides these films: {', '.join(rates)}{' (fitted to them)' * (not result['kept'])}.")
    enough = None if result["kept"] else result["enough"]
    lines.append(
        f"About {enough} local films are enough here: more change the balanced accuracy by less than one point."
        if enough
        else "How many are enough is not known: larger numbers were not tried, or still gained."
    )
    return "\n".join([*lines, result["out"]])


COMMAND = Command(
    "adapt",
    "a model taken to a new site: threshold and temperature from local films, weights untouched",
    (
        "plainfilm adapt runs/bn local_films/ --out runs/bn-here",
        "plainfilm adapt runs/bn unlabelled_films/ --prevalence 0.1 --out runs/bn-ward",
    ),
    _flags,
    _run,
    _show,
)
