"""Commands that judge data and models: audit, evaluate, compare, adapt."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plainfilm.cli.base import DATA, Command, number, out_flag, refuse_flags, show_metrics, show_runs
from plainfilm.config import MAX_BAD
from plainfilm.errors import CheckFailed, InputError
from plainfilm.progress import say
from plainfilm.storage.files import sealed

CLASSES = "what DATA calls the model's classes, where the names differ: healthy=NORMAL,sick=PNEUMONIA"


def _max_bad_flag(parser: argparse.ArgumentParser) -> None:
    text = f"share of unreadable films of DATA above which it stops (default {MAX_BAD:g})"
    parser.add_argument("--max-bad", type=float, metavar="X", help=text)


def _max_bad(options: argparse.Namespace) -> float:
    wanted = MAX_BAD if options.max_bad is None else float(options.max_bad)
    if not 0 <= wanted <= 1:
        raise InputError(f"--max-bad {wanted:g}: expected a share between 0 and 1.")
    return wanted


def _audit_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help=DATA)
    parser.add_argument("--against", default="", metavar="OTHER", help="another set, with labels or without: alike?")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for report.html, tables (default: print only)")
    parser.add_argument("--strict", action="store_true", help="exit code 3 for a red line or an unreadable film")
    parser.add_argument("--positive", default="", help="class to tell from the others (default: the one not normal)")
    parser.add_argument("--patient-regex", default="", help="patient in the paths: an expression with a group")
    text = "a model's predictions.csv, out of fold: names doubtful labels in a weak probe's place"
    parser.add_argument("--predictions", type=Path, metavar="FILE", help=text)


def _run_audit(options: argparse.Namespace) -> Any:
    from plainfilm.commands import auditing

    where = (options.against, options.out, options.positive, options.patient_regex, options.predictions)
    found = auditing.audit(options.data, *where, options.seed)
    if options.out and found:
        say(f"Report: {options.out / 'report.html'}")
    if options.strict and found:  # only the first of several processes has it
        auditing.check(found)
    return found


def _show_audit(result: Any) -> str:
    films, people = result["films"], result["patients"]
    classes = ", ".join(f"{name} {n:,}" for name, n in films["classes"].items())
    lines = [f"{films['readable']:,} films ({classes}), {people['patients']:,} patients known."]
    lines += [f"RED LINE: {line}" for line in result["red_lines"]] or ["No red line."]
    lines += [f"Note: {line}" for line in result["notes"]]
    tests = result["shift"]["tests"] if result["shift"] else []
    whose = f"{result['positive']}: " if result["by_class"] else ""
    rows = [(whose + (row["name"] if whose else row["title"]), row["auc"]) for row in result["baselines"]]
    rows += [(f"{row['class']}: {row['name']}", row["auc"]) for row in result["by_class"]]
    rows += [
        (f"told from ours: {'predicted ' * t['predicted']}{t['class'] or 'all films'}, {t['kind']}", t["auc"])
        for t in tests
        if t["auc"]
    ]
    lines += [f"{'':46}AUC      95 % interval"] * bool(rows)
    lines += [f"  {name:40}{number(a['value'])}   {number(a['low'])} to{number(a['high'])}" for name, a in rows]
    return "\n".join(lines)


def _evaluate_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN|FILE.csv", type=Path, help="a run folder, or any model's predictions.csv")
    parser.add_argument("data", metavar="DATA", nargs="?", help="other films to judge the run's model on: " + DATA)
    out_flag(parser, "where to write; for DATA", "RUN/on-NAME")
    parser.set_defaults(out=None)
    parser.add_argument(
        "--positive", default="", help="positive class of a FILE.csv (default: the one not called normal)"
    )
    parser.add_argument("--threshold", type=float, metavar="X", help="threshold for a FILE.csv (default 0.5)")
    parser.add_argument(
        "--patient-regex", default="", help="patient in DATA's paths: a regular expression with a group"
    )
    parser.add_argument("--force", action="store_true", help="replace scores that are in --out")
    text = "exit code 3 when it holds, such as auroc<0.9 or sensitivity.low<0.85; may be repeated"
    parser.add_argument("--fail-if", action="append", default=[], metavar="SCORE<X", help=text)
    parser.add_argument("--probes", action="store_true", help="of a run: subgroups, robustness and probes of shortcuts")
    text = "films to probe (default 1,000 for a small network, 100 for a large one)"
    parser.add_argument("--films", type=int, metavar="N", help=text)
    text = "PPV and NPV where this share (0..1) of the films is positive, by Bayes' rule from the rates found"
    parser.add_argument("--prevalence", type=float, metavar="P", help=text)
    parser.add_argument("--classes", default="", metavar="NAME=NAME,…", help=CLASSES)
    _max_bad_flag(parser)
    text = "folder of an audit of the run's films, to stand beside the probes and in the report"
    parser.add_argument("--audit", type=Path, metavar="DIR", help=text)


def _run_evaluate(options: argparse.Namespace) -> Any:
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
    from plainfilm.commands import evaluation

    of_file, of_run, written = ("positive", "threshold"), ("probes", "films", "audit"), ("out", "force")
    of_data = ("patient_regex", "classes", "max_bad")
    if options.data:
        refuse_flags(options, "a run on other films (DATA)", *of_file, *of_run)
        where = (options.run, options.data, options.patient_regex, options.seed, options.out, options.force)
        return evaluation.evaluate_elsewhere(*where, options.classes, _max_bad(options))
    if options.run.suffix.lower() == ".csv":
        refuse_flags(options, "a FILE.csv", *of_run, *of_data)
        how = (options.positive, options.threshold, options.seed, options.out, options.force)
        return evaluation.evaluate_file(options.run, *how)
    if (options.run / "folds.json").exists():
        refuse_flags(options, "folds or seeds", *of_file, *of_run, *written, *of_data)
        from plainfilm.commands.pooling import pool_again

        return pool_again(options.run)
    refuse_flags(options, "a run, whose folder is its place,", *of_file, *written, *of_data)
    if not options.probes:
        refuse_flags(options, "a run without --probes", "films", "audit")
    return _evaluate_run(options)


def _evaluate_run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.evaluation import evaluate_run
    from plainfilm.report.html import run_report

    if not (options.run / "predictions.csv").exists():
        raise InputError(f"{options.run} is no finished run; give a run folder or a FILE.csv with predictions.")
    with sealed(options.run):
        metrics = evaluate_run(options.run, again=True)
        if options.probes:
            from plainfilm.commands.probing import probe

            probe(options.run, options.films or 0, options.seed, audit=options.audit)
        run_report(options.run)
    say(f"Report: {options.run / 'report.html'}")
    return metrics


def _show_evaluate(result: Any) -> str:
    shown = show_runs(result) if "runs" in result else show_metrics(result)
    if at := result.get("at_prevalence"):
        words = {key: [number(at[key][end]).strip() for end in ("value", "low", "high")] for key in ("ppv", "npv")}
        rates = [f"{key.upper()} {value} ({low} to {high})" for key, (value, low, high) in words.items()]
        shown += f"\n\nWhere {100 * at['prevalence']:g} % of the films are positive: {', '.join(rates)}."
    return shown


def _compare_flags(parser: argparse.ArgumentParser) -> None:
    text = "run folders or predictions files with the same films; the test part is compared, else val"
    parser.add_argument("runs", metavar="RUN|FILE.csv", type=Path, nargs="+", help=text)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for comparison.json (default: print only)")
    parser.add_argument("--positive", default="", help="positive class (default: the one not called normal)")
    parser.add_argument("--force", action="store_true", help="replace a comparison that is in --out")


def _run_compare(options: argparse.Namespace) -> Any:
    from plainfilm.commands.comparison import compare_all

    if options.out is None:
        refuse_flags(options, "a comparison that is only printed", "force")
    return compare_all(options.runs, options.positive, options.seed, options.out, options.force)


def _show_compare(result: Any) -> str:
    people = f" of {result['patients']} patients" if result["patients"] < result["films"] else ""  # else often unknown
    lines = [f"{result['films']} films{people}; positive: {result['positive']}."]
    lines += [f"{model['name']} decides by {model['decided_by']}; {model['protocol']}." for model in result["models"]]
    for pair in result["pairs"]:
        lines += [pair["accuracy"]["sentence"], pair["auroc"]["sentence"]]
    return "\n".join(lines)


def _adapt_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder or a model.h5")
    parser.add_argument("data", metavar="DATA", help="films of the new site, with labels: " + DATA)
    out_flag(parser, "folder for the adapted model")
    text = "auto, balanced, youden, sensitivity=0.95 or a number (default auto); without labels a number (default 0.5)"
    parser.add_argument("--threshold", metavar="RULE", help=text)
    text = "films for a reader: share=0.05, error=0.01 or none (default share=0.05)"
    parser.add_argument("--refer", metavar="RULE", help=text)
    parser.add_argument("--patient-regex", default="", help="patient in DATA's paths: an expression with a group")
    parser.add_argument("--classes", default="", metavar="NAME=NAME,…", help=CLASSES)
    _max_bad_flag(parser)
    parser.add_argument("--unlabelled", action="store_true", help="DATA has no labels: estimate the prevalence there")
    parser.add_argument("--prevalence", type=float, metavar="P", help="DATA has no labels: the prevalence is known")


def _run_adapt(options: argparse.Namespace) -> Any:
    from plainfilm.commands.adapting import adapt_run, adapt_without_labels

    if options.unlabelled or options.prevalence is not None:
        refuse_flags(options, "films without labels", "refer", "patient_regex", "classes")
        moved = (options.prevalence, options.threshold, _max_bad(options))
        found = adapt_without_labels(options.run, options.data, options.out, *moved)
    else:
        rules = (options.threshold or "auto", options.refer or "share=0.05", options.patient_regex)
        found = adapt_run(
            options.run, options.data, options.out, *rules, options.seed, options.classes, _max_bad(options)
        )
    return {"out": str(options.out), **found}


def _show_adapt(result: Any) -> str:
    old, new = result["from"], result["to"]
    lines = [
        f"{result['films']} films; weights untouched. Threshold {old['threshold']:.3f} -> {new['threshold']:.3f} "
        f"({new['threshold_rule']}), temperature {old['temperature']:.2f} -> {new['temperature']:.2f}."
    ]
    if "after" not in result:
        share = f"prevalence {result['prevalence_used']:.3f} (trained for {result['prevalence_trained']:.3f})"
        called = f"{result['called_positive_before']:.3f} -> {result['called_positive_after']:.3f} called positive"
        lines.append(f"{share}; {called}. Without labels none of this can be checked.")
        if expected := result["expected"]:
            rates = [f"{r['sensitivity']:.3f} and {r['specificity']:.3f}" for r in expected.values()]
            lines.append(
                f"Sensitivity and specificity on the run's own films: {rates[0]}, at the new threshold {rates[1]}. "
                "A threshold that balances the classes or holds a sensitivity does so at any prevalence: keep it then."
            )
        return "\n".join([*lines, result["out"]])
    lines.append(f"{'':20}before   after   difference (95 % interval; after is cross-fitted by patient)")
    for name, d in result["difference"].items():
        before, after = (number(result[when][name]["value"]) for when in ("before", "after"))
        lines.append(f"  {name:18}{before}{after}{number(d['value'])} ({number(d['low'])} to {number(d['high'])} )")
    if refer := result["refer"]:
        share, error = (f"{r['value']:.3f} ({r['low']:.3f} to {r['high']:.3f})" for r in refer.values())
        lines.append(f"To a reader: {share} of the films; errors among the others {error}; cross-fitted.")
    enough = result["enough"]
    lines.append(
        f"About {enough} local films are enough here: more change the balanced accuracy by less than one point."
        if enough
        else "How many are enough is not known: larger numbers were not tried, or still gained."
    )
    return "\n".join([*lines, result["out"]])


COMMANDS = (
    Command(
        "audit",
        "what is wrong with a data set before training, and whether another set is like it",
        ("plainfilm audit chest_xray/ --out audit", "plainfilm audit chest_xray/ --against other_hospital/ --strict"),
        _audit_flags,
        _run_audit,
        _show_audit,
    ),
    Command(
        "evaluate",
        "all scores of a run, of a run on other films, or of any model's predictions.csv",
        ("plainfilm evaluate runs/bn", "plainfilm evaluate runs/bn other_hospital/ --out on-other"),
        _evaluate_flags,
        _run_evaluate,
        _show_evaluate,
    ),
    Command(
        "compare",
        "paired comparison of models on the same films",
        ("plainfilm compare out/vgg out/vgg-bn", "plainfilm compare runs/bn theirs.csv --out comparison"),
        _compare_flags,
        _run_compare,
        _show_compare,
    ),
    Command(
        "adapt",
        "a model taken to a new site: threshold and temperature from local films, weights untouched",
        (
            "plainfilm adapt runs/bn local_films/ --out runs/bn-here",
            "plainfilm adapt runs/bn unlabelled_films/ --prevalence 0.1 --out runs/bn-ward",
        ),
        _adapt_flags,
        _run_adapt,
        _show_adapt,
    ),
)
