"""The flags of ``plainfilm plan``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from plainfilm.cli.base import Command, table_flags, written

ASSUMED = (  # flag, default without a pilot, what it is
    ("prevalence", 0.5, "share of positive films"),
    ("sensitivity", 0.9, "expected sensitivity"),
    ("specificity", 0.9, "expected specificity"),
    ("auroc", 0.95, "expected area under the ROC curve"),
    ("films-per-patient", 1.0, "mean number of films per patient"),
    ("icc", 0.5, "intra-patient correlation of right and wrong decisions"),
)
WORDS = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "auroc": "AUROC",
    "accuracy": "accuracy",
    "observed/expected": "observed / expected positives, width 0.2",
    "calibration_slope": "calibration slope, width 0.2",
    "net_benefit": "standardised net benefit, width 0.2",
}


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pilot", type=Path, metavar="RUN|FILE.csv", help="take what is not given below from these predictions"
    )
    table_flags(parser)
    for name, default, words in ASSUMED:
        parser.add_argument(f"--{name}", type=float, metavar="X", help=f"{words} (default {default:g}, or the pilot's)")
    parser.add_argument("--width", type=float, default=0.1, metavar="X", help="width of 95 %% intervals (default 0.1)")
    parser.add_argument("--difference", type=float, metavar="X", help="difference between two models to be shown")
    parser.add_argument(
        "--disagree", type=float, default=0.1, metavar="X", help="share of films they decide differently (default 0.1)"
    )
    parser.add_argument(
        "--correlation", type=float, default=0.5, metavar="X", help="correlation of their AUROCs (default 0.5)"
    )
    parser.add_argument("--drop", type=float, metavar="X", help="fall of each score at a new site to be found")
    parser.add_argument("--power", type=float, default=0.8, metavar="X", help="power of both (default 0.8)")
    parser.add_argument("--threshold", type=float, metavar="X", help="risk at which net benefit is wanted")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for plan.json and its figure (default: none)")
    parser.add_argument("--force", action="store_true", help="replace a plan that is in --out")


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.plan import plan

    names = [name.replace("-", "_") for name, _, _ in ASSUMED]
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    told = {"columns": options.columns, "scores": options.scores}
    asked = ("pilot", "width", "difference", "disagree", "correlation", "drop", "power", "threshold", "out", "force")
    found = plan(**{name: getattr(options, name) for name in asked}, **told, **given)
    return {**found, "out": str(options.out)} if options.out else found


def _show(result: Any) -> str:
    told = result["assumed"]
    lines = [
        "Assumed"
        + (f", by {result['pilot']} where not given" if result["pilot"] else "")
        + f": prevalence {told['prevalence']:.3g}, sensitivity {told['sensitivity']:.3f}, "
        f"specificity {told['specificity']:.3f}, AUROC {told['auroc']:.3f}; {_films(told['films_per_patient'])} per "
        f"patient, correlation {told['icc']:.2f} (design effect {result['design_effect']:.2f})."
    ]
    lines += _table(f"A 95 % interval {result['width']:g} wide", result["precision"])
    lines += ["", "  Width of the 95 % interval       sensitivity  specificity    AUROC"]
    lines += [
        f"    {row['films']:>9,} films              {row['sensitivity']:>9.3f}    {row['specificity']:>9.3f} "
        f"{row['auroc']:>8.3f}"
        for row in result["widths"]
    ]
    lines += _table("An external validation (Riley et al. 2021)", result["validation"])
    if "compare" in result:
        title = f"A difference of {result['difference']:g} between two models, power {result['power']:g}"
        lines += _table(title, result["compare"])
    if "new_site" in result:
        lines += _table(f"A fall of {result['drop']:g} at a new site, power {result['power']:g}", result["new_site"])
    return "\n".join([*lines, *written(result, "plan.json")])


def _films(mean: float) -> str:
    return "1 film" if mean == 1 else f"{mean:.3g} films"


def _table(title: str, rows: dict[str, dict[str, int]]) -> list[str]:
    lines = ["", f"  {title:<46}    films  patients  positive"]
    for name, need in rows.items():
        lines.append(f"    {WORDS[name]:<44} {need['films']:>8,} {need['patients']:>9,} {need['positives']:>9,}")
    return lines


COMMAND = Command(
    "plan",
    (
        "plainfilm plan --prevalence 0.3 --sensitivity 0.9 --specificity 0.9 --auroc 0.95 --width 0.1",
        "plainfilm plan --pilot runs/bn --difference 0.03 --drop 0.05 --out plan",
    ),
    _flags,
    _run,
    _show,
)
