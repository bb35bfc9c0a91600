"""Commands that train: demo, paper, train, search."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from plainfilm.cli.base import (
    DATA,
    Command,
    given_settings,
    model_names,
    models_flag,
    out_flag,
    settings_flags,
    show_metrics,
    show_runs,
)
from plainfilm.config import DEMO_FILMS, begun_settings
from plainfilm.errors import InputError
from plainfilm.machine import ranks


def _demo_flags(parser: argparse.ArgumentParser) -> None:
    out_flag(parser, "folder for films, models and report", "demo")
    text = "how many synthetic films (default %(default)s)"
    parser.add_argument("--films", type=int, default=DEMO_FILMS, metavar="N", help=text)
    models_flag(parser)
    settings_flags(parser, ("model", "split"))


def _run_demo(options: argparse.Namespace) -> Any:
    from plainfilm.commands.demo import demo

    settings = given_settings(options)
    rows = demo(options.out, options.films, settings, model_names(options), settings.get("seed", 0))
    return {"out": str(options.out), "report": str(options.out / "report.html"), "table": rows}


def _paper_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help=DATA)
    out_flag(parser, "folder for models, tables and report")
    models_flag(parser)
    parser.add_argument("--resume", action="store_true", help="go on with what was begun in --out")
    settings_flags(parser, ("model", "split"))


def _run_paper(options: argparse.Namespace) -> Any:
    from plainfilm.commands.paper import paper

    rows = paper(options.data, options.out, given_settings(options), model_names(options), options.resume)
    return {"out": str(options.out), "report": str(options.out / "report.html"), "table": rows}


def _show_paper(result: Any) -> str:
    out = Path(result["out"])
    return f"{(out / 'table.md').read_text(encoding='utf-8')}\nReport: {result['report']}"


def _train_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help=DATA)
    out_flag(parser, "the run's folder")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out; its settings hold")
    often = parser.add_mutually_exclusive_group()
    often.add_argument("--folds", type=int, metavar="K", help="test on each K-th of the films in turn; pooled scores")
    often.add_argument("--seeds", type=int, metavar="N", help="repeat with N seeds; mean, SD and every run")
    settings_flags(parser)


def _run_train(options: argparse.Namespace) -> Any:
    settings = given_settings(options)
    if (options.folds or options.seeds) and ranks.started() > 1:
        raise InputError("--folds and --seeds are done by one process; under torchrun train one model at a time.")
    if options.folds is not None or options.seeds is not None:
        return _repeat(options, settings)
    from plainfilm.commands.training import train

    if options.resume and (options.out / "config.json").exists():
        settings = {**begun_settings(options.out), **settings}
    metrics = train(options.data, options.out, settings, options.resume)
    return {"run": str(options.out), "report": str(options.out / "report.html"), "metrics": metrics}


def _repeat(options: argparse.Namespace, settings: dict[str, Any]) -> Any:
    from plainfilm.commands.repeating import train_folds, train_seeds

    if options.resume and (begun := [begun_settings(path.parent) for path in options.out.glob("*-*/config.json")]):
        settings = {**min(begun, key=lambda each: int(each["seed"])), **settings}
    train, count = (train_folds, options.folds) if options.folds is not None else (train_seeds, options.seeds)
    found = train(options.data, options.out, settings, count, options.resume)
    return {"run": str(options.out), "report": str(options.out / "report.html"), **found}


def _show_run(result: Any) -> str:
    if "runs" in result:
        return f"{show_runs(result)}\nReport: {result['report']}"
    return f"{show_metrics(result['metrics'])}\nReport: {result['report']}"


def _search_flags(parser: argparse.ArgumentParser) -> None:
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


def _run_search(options: argparse.Namespace) -> Any:
    from plainfilm.commands.searching import Wanted, search_settings

    asked = (options.algorithm, options.budget, options.objective, tuple(options.vary), options.population)
    wanted = Wanted(*asked, not options.no_prune)
    settings = given_settings(options)
    found = search_settings(options.data, options.out, settings, wanted, options.resume, options.workers)
    return {"out": str(options.out), "report": str(options.out / "report.html"), **found}


def _show_search(result: Any) -> str:
    values = [f"  {name:24}{value}" for name, value in result["best"]["values"].items()]
    lines = [result["sentence"], *values, f"Train it: {result['train']}", f"Report: {result['report']}"]
    return "\n".join(lines)


COMMANDS = (
    Command(
        "demo",
        "synthetic films and the whole comparison on them",
        ("plainfilm demo", "plainfilm demo --out demo-small --films 120 --models vgg,vgg-bn --epochs 10"),
        _demo_flags,
        _run_demo,
        _show_paper,
    ),
    Command(
        "paper",
        "the paper: three models, Table I beside the paper's figures, Figures 1-4, one report",
        ("plainfilm paper chest_xray/ --out out/", "plainfilm paper films.zip --out out/ --models vgg-bn,vgg16-lr"),
        _paper_flags,
        _run_paper,
        _show_paper,
    ),
    Command(
        "train",
        "one model",
        (
            "plainfilm train chest_xray/ --out runs/bn --model vgg-bn",
            "plainfilm train films.csv --out runs/small --split paper --set epochs=5 --set augment=rotation=5",
        ),
        _train_flags,
        _run_train,
        _show_run,
    ),
    Command(
        "search",
        "settings chosen by random search, TPE or metaheuristics, on validation films alone",
        (
            "plainfilm search chest_xray/ --out search --model vgg-bn --epochs 10 --budget 400",
            "plainfilm search chest_xray/ --out heads --model vgg16-lr --algorithm cmaes --objective specificity_at_95",
        ),
        _search_flags,
        _run_search,
        _show_search,
    ),
)
