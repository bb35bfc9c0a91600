"""The flags of ``plainfilm audit``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from plainfilm.cli.base import Command, given, number, reading_flags
from plainfilm.cli.pages import DATA
from plainfilm.config import READING


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help=DATA)
    parser.add_argument("--against", default="", metavar="OTHER", help="another set, with labels or without: alike?")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for report.html, tables (default: print only)")
    parser.add_argument("--strict", action="store_true", help="exit code 3 for a red line or an unreadable film")
    parser.add_argument("--positive", default="", help="class to tell from the others (default: the one not normal)")
    reading_flags(parser)
    text = "a model's predictions.csv, out of fold: names doubtful labels in a weak probe's place"
    parser.add_argument("--predictions", type=Path, metavar="FILE", help=text)


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.audit import audit

    flags = ("against", "out", "positive", "predictions", "strict")
    return audit(options.data, seed=options.seed, **given(options, *flags, *READING))


def _show(result: Any) -> str:
    films, people = result["films"], result["patients"]
    classes = ", ".join(f"{name} {n:,}" for name, n in films["classes"].items())
    lines = [f"{films['readable']:,} films ({classes}), {people['patients']:,} patients known."]
    lines += [f"RED LINE: {line}" for line in result["red_lines"]] or ["No red line."]
    lines += [f"Note: {line}" for line in result["notes"]]
    tests = result["shift"]["tests"] if result["shift"] else []
    whose = f"{result['positive']}: " if result["by_class"] and result["baselines"] else ""
    rows = [(whose + (row["name"] if whose else row["title"]), row["auc"]) for row in result["baselines"]]
    rows += [(f"{row['class']}: {row['name']}", row["auc"]) for row in result["by_class"]]
    of_table = (result.get("columns") or {"rows": []})["rows"]
    rows += [
        (f"{row['class']}: {row['name']}" if "class" in row else f"column {row['name']}", row["auc"])
        for row in of_table
    ]
    rows += [
        (f"differs from ours: {'predicted ' * t['predicted']}{t['class'] or 'all films'}, {t['kind']}", t["auc"])
        for t in tests
        if t["auc"]
    ]
    lines += [f"{'':46}AUC      95 % interval"] * bool(rows)
    lines += [f"  {name:40}{number(a['value'])}   {number(a['low'])} to{number(a['high'])}" for name, a in rows]
    return "\n".join(lines)


COMMAND = Command(
    "audit",
    ("plainfilm audit chest_xray/ --out audit", "plainfilm audit chest_xray/ --against other_hospital/ --strict"),
    _flags,
    _run,
    _show,
)
