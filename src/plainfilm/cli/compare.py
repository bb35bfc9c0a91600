"""The flags of ``plainfilm compare``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from plainfilm.cli.base import Command, given, table_flags, written
from plainfilm.storage.folders import COMPARISON


def _flags(parser: argparse.ArgumentParser) -> None:
    text = "run folders or predictions files with the same films; the test part is compared, else val"
    parser.add_argument("runs", metavar="RUN|FILE.csv", type=Path, nargs="+", help=text)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for comparison.json (default: print only)")
    parser.add_argument("--positive", default="", help="positive class (default: the one not called normal)")
    table_flags(parser)
    text = "what files call the classes of the others: healthy=NORMAL,sick=PNEUMONIA; several may become one"
    parser.add_argument("--classes", default="", metavar="NAME=NAME,…", help=text)
    parser.add_argument("--force", action="store_true", help="replace a comparison that is in --out")


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.compare import compare_all

    how = {
        **given(options, "positive", "columns", "scores", "classes"),
        "out": options.out,
        "force": options.force,
        "seed": options.seed,
    }
    found = compare_all(options.runs, **how)
    return {**found, "out": str(options.out)} if options.out else found


def _show(result: Any) -> str:
    people = f" of {result['patients']} patients" if result["patients"] < result["films"] else ""  # else often unknown
    if "findings" in result:
        head = f"{result['films']} films{people}; {len(result['findings'])} findings."
        return "\n".join([head, *_by_finding(result), *written(result, COMPARISON)])
    lines = [f"{result['films']} films{people}; positive: {result['positive']}."]
    lines += [f"{model['name']} decides by {model['decided_by']}; {model['protocol']}." for model in result["models"]]
    for pair in result["pairs"]:
        lines += [pair["accuracy"]["sentence"], pair["auroc"]["sentence"]]
    return "\n".join([*lines, *written(result, COMPARISON)])


def _by_finding(result: Any) -> list[str]:
    lines = [f"{model['name']}: {model['protocol']}." for model in result["models"]]
    lines += [pair["mean_auroc"]["sentence"] for pair in result["pairs"]]
    for name, found in result["findings"].items():
        known = f"{name} ({found['positives']:,} positive of {found['known']:,} known films)"
        lines += [f"{known} is not compared: {found['not_scored']}."] if "not_scored" in found else [f"{known}:"]
        lines += [f"  {pair[score]['sentence']}" for pair in found.get("pairs", ()) for score in ("auroc", "accuracy")]
    return lines


COMMAND = Command(
    "compare",
    ("plainfilm compare out/vgg out/vgg-bn", "plainfilm compare runs/bn theirs.csv --out comparison"),
    _flags,
    _run,
    _show,
)
