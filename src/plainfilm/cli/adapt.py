"""The flags of ``plainfilm adapt``."""

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
    reading_flags,
    show_red_lines,
    table_flags,
)
from plainfilm.cli.pages import DATA
from plainfilm.config import READING
from plainfilm.errors import InputError, refuse
from plainfilm.evaluation.digits import edge
from plainfilm.storage.tables import is_table


def _flags(parser: argparse.ArgumentParser) -> None:
    text = "a run folder, model.h5 or .onnx file; or another program's predictions of labelled films"
    parser.add_argument("run", metavar="RUN|FILE.csv", type=Path, help=text)
    parser.add_argument("data", metavar="DATA", nargs="?", help="of a RUN: films of the new site, with labels: " + DATA)
    out_flag(parser, "folder for the adapted model; of a FILE.csv the operating point, operating.json")
    table_flags(parser)
    parser.add_argument("--positive", default="", help="of a FILE.csv: the class that its scores are for")
    text = (
        "auto, balanced, youden, sensitivity=0.95 or a number (default auto); without labels: balanced, the valley "
        "between the two hills of the scores (default), or a number, the probability at the prevalence there (default "
        "0.5 with --prevalence)"
    )
    parser.add_argument("--threshold", metavar="RULE", help=text)
    text = "films for a reader: share=0.05, error=0.01 or none (default share=0.05)"
    parser.add_argument("--refer", metavar="RULE", help=text)
    text = "a promise that films outside the band for a reader keep, with 95 % confidence: npv=0.98,ppv=0.9"
    parser.add_argument("--guarantee", metavar="SCORE=X,…", help=text.replace("%", "%%"))
    reading_flags(parser)
    parser.add_argument("--classes", default="", metavar="NAME=NAME,…", help=CLASSES)
    max_bad_flag(parser)
    text = "take the new operating point even where it is not shown to be better than the old one"
    parser.add_argument("--force", action="store_true", help=text)
    text = "DATA has no labels: the threshold comes from the scores of its films"
    parser.add_argument("--unlabelled", action="store_true", help=text)
    parser.add_argument("--prevalence", type=float, metavar="P", help="DATA has no labels: the prevalence is known")


def _run(options: argparse.Namespace) -> Any:
    fitting, of_file = ("threshold", "refer", "guarantee", "force"), ("columns", "scores", "positive")
    of_films = ("unlabelled", "prevalence", "classes", "max_bad", *READING)
    if options.data is None:
        if not is_table(options.run):
            raise InputError(f"adapt {options.run}: name the films of the new site behind it (DATA).")
        from plainfilm.commands.adapt_predictions import adapt_predictions

        refuse("a FILE.csv", given(options, *of_films))
        found = adapt_predictions(options.run, options.out, seed=options.seed, **given(options, *fitting, *of_file))
        return {"out": str(options.out), **found}
    from plainfilm.commands.adapt import adapt

    refuse("a run", given(options, *of_file))
    found = adapt(options.run, options.data, options.out, seed=options.seed, **given(options, *fitting, *of_films))
    return {"out": str(options.out), **found}


def _show(result: Any) -> str:
    if "findings" not in result:
        return _as_one(result)
    return _by_finding(result) if "kept" in result else _by_hills(result)


def _as_one(result: Any) -> str:
    """Return what became of one question: threshold, scores before and after, films for a reader."""
    from plainfilm.evaluation.adapting import enough_in_words  # with numpy, which --help needs not

    if "found" in result:
        old, new, what = result["from"] | {"temperature": 1.0}, result, "only their scores are known"
        result = {"out": result["out"], **result["found"]}
    else:
        old, new, what = result["from"], result["to"], "weights untouched"
    lines = [
        *show_red_lines(result),
        f"{result['films']} films; {what}. Threshold {edge(old['threshold'])} -> {edge(new['threshold'])} "
        f"({new['threshold_rule']}), temperature {old['temperature']:.2f} -> {new['temperature']:.2f}.",
    ]
    if "hills" in result:
        return "\n".join([*lines, *_hills(result), result["out"]])
    if "after" not in result:
        return "\n".join([*lines, *_prevalence(result), result["out"]])
    if result["kept"]:
        lines.append("The old threshold is kept; below, what a new one would do.")
    lines.append(f"{'':20}before   after   difference (95 % interval; after is cross-fitted by patient)")
    for name, d in result["difference"].items():
        before, after = (number(result[when][name]["value"]) for when in ("before", "after"))
        lines.append(f"  {name:18}{before}{after}{number(d['value'])} ({number(d['low'])} to {number(d['high'])} )")
    area = [number(result["before"]["auroc"][end]).strip() for end in ("value", "low", "high")]
    lines.append(f"AUROC {area[0]} ({area[1]} to {area[2]}): no threshold changes it.")
    if refer := result["refer"]:
        share, error = (f"{r['value']:.3f} ({r['low']:.3f} to {r['high']:.3f})" for r in refer.values())
        lines.append(f"To a reader: {share} of the films; errors among the others {error}; cross-fitted.")
    lines += [f"{p['sentence']} {p['elsewhere']}".rstrip() for p in result.get("promises", ())]
    rates = [f"{name} {result['deployed'][name]['value']:.3f}" for name in ("sensitivity", "specificity")]
    lines.append(f"As it now decides these films: {', '.join(rates)}{' (fitted to them)' * (not result['kept'])}.")
    return "\n".join([*lines, enough_in_words(result), result.get("report") or result["out"]])


def _by_finding(result: Any) -> str:
    """Return a line per finding: thresholds, balanced accuracy before and after, and which is taken."""
    lines = [*show_red_lines(result), f"{result['films']} films of {result['patients']} patients; weights untouched."]
    lines.append(f"{'':24}threshold          balanced accuracy, before and after cross-fitting (difference)")
    for name, found in result["findings"].items():
        if "not_adapted" in found:
            lines.append(f"  {name[:21]:22}kept: {found['not_adapted']}.")
            continue
        old, new = (result[when]["findings"][name]["threshold"] for when in ("from", "to"))
        before, after = (number(found[when]["balanced_accuracy"]["value"]) for when in ("before", "after"))
        d = found["difference"]["balanced_accuracy"]
        gain = f"{number(d['value'])} ({number(d['low'])} to {number(d['high'])} )"
        kept = "  the old rule is kept" if found["kept"] else ""
        lines.append(f"  {name[:21]:22}{old:.3f} -> {new:.3f}  {before}{after}  {gain}{kept}")
    lines.append(f"As it now decides these films, each finding by its own rule: {result['out']}")
    return "\n".join(lines)


def _by_hills(result: Any) -> str:
    """Return a line per finding that was adapted without labels: its threshold, and the share in its upper hill."""
    lines = [
        *show_red_lines(result),
        f"{result['films']} films without labels; weights untouched. None of this can be checked.",
    ]
    for name, found in result["findings"].items():
        if "not_adapted" in found:
            lines.append(f"  {name[:21]:22}kept: {found['not_adapted']}.")
            continue
        old, new = (result[when]["findings"][name]["threshold"] for when in ("from", "to"))
        (_, low, high), share = found["threshold_interval"].values(), found["prevalence_estimated"]
        lines.append(f"  {name[:21]:22}{old:.3f} -> {new:.3f} ({low:.3f} to {high:.3f}); {share:.3f} in the upper hill")
    return "\n".join([*lines, result["out"]])


def _prevalence(result: Any) -> list[str]:
    """Return what a threshold moved to another prevalence rests on."""
    share = f"prevalence {result['prevalence_used']:.3f} (trained for {result['prevalence_trained']:.3f})"
    estimate = result["prevalence_interval"]
    share += f"; estimated {estimate['value']:.3f}, 95 % interval {estimate['low']:.3f} to {estimate['high']:.3f}"
    called = f"{result['called_positive_before']:.3f} -> {result['called_positive_after']:.3f} called positive"
    lines = [f"{share}; {called}. Without labels none of this can be checked."]
    if expected := result["expected"]:
        rates = [f"{r['sensitivity']:.3f} and {r['specificity']:.3f}" for r in expected.values()]
        lines.append(
            f"Sensitivity and specificity on the run's own films: {rates[0]}, at the new threshold {rates[1]}. "
            "A threshold that balances the classes or holds a sensitivity does so at any prevalence: keep it then."
        )
    return lines


def _hills(result: Any) -> list[str]:
    """Return what a threshold between two hills of scores rests on."""
    low, high = (result["threshold_interval"][end] for end in ("low", "high"))
    share = result["prevalence_interval"]
    expected = result["accuracy_expected"]
    moved = ", ".join(f"{name} {by:+.1f}" for name, by in result["hills"]["log_odds_moved"].items())
    return [
        f"95 % interval of the threshold {low:.3f} to {high:.3f}; {share['value']:.3f} of the films in the upper hill "
        f"({share['low']:.3f} to {share['high']:.3f}); "
        f"{result['called_positive_before']:.3f} -> {result['called_positive_after']:.3f} called positive.",
        f"Log-odds moved against the run's own films: {moved}.",
        "Expected accuracy at the old threshold: "
        f"{expected['value']:.3f} ({expected['own']:.3f} on the run's own films). In simulated changes of look "
        f"this was off by up to {expected['within']:g}, and by more where log-odds moved far.",
        f"Assumed: {result['assumption']}. Without labels none of this can be checked.",
    ]


COMMAND = Command(
    "adapt",
    (
        "plainfilm adapt runs/bn local_films/ --out runs/bn-here",
        "plainfilm adapt theirs.csv --columns label=Target,score=prob --guarantee npv=0.98 --out operating.json",
    ),
    _flags,
    _run,
    _show,
)
