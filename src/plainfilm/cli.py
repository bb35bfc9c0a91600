"""The command line: flags, help and exit codes. What a command does is in ``commands``, loaded when it runs."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from plainfilm.config import DEMO_FILMS, PAPER_MODELS, TrainConfig, from_text
from plainfilm.errors import InputError, PlainfilmError, did_you_mean
from plainfilm.files import read_json, to_json

DISCLAIMER = "Research and teaching software, not a medical device."
METAVARS = {str: "TEXT", int: "N", float: "X"}
DATA = "class folders, {train,val,test}/CLASS folders, a CSV or Parquet, a zip, a MedMNIST npz, or demo:N"


class _Parser(argparse.ArgumentParser):
    """argparse, but its complaints are ours: one sentence, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[:1].upper()}{message[1:]}; see '{self.prog} --help'.")


@dataclasses.dataclass(frozen=True)
class Command:
    """One command: what it does in a line, two examples, its flags, and what runs it."""

    name: str
    does: str
    examples: tuple[str, str]
    flags: Callable[[_Parser], None]
    run: Callable[[argparse.Namespace], Any]  # returns what --json prints
    show: Callable[[Any], str]  # the same for a person


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 failed, 2 input at fault, 3 check failed, 130 interrupted."""
    from plainfilm.progress import quiet

    told = quiet.set(False)
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        options = _parse(words)
        if options is None:
            return 0
        command = COMMANDS[options.command]
        quiet.set(options.quiet)
        result = command.run(options)
        print(to_json(result) if options.json else command.show(result))
        return 0
    except PlainfilmError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain("Interrupted; what was finished is kept. Go on with the same command and --resume.", 130)
    except MemoryError:
        return _complain("There is not enough memory; use fewer films, a smaller --batch or a machine with more.", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left, as `head` does
        return 0
    except OSError as error:
        return _complain(_system_sentence(error), 2 if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM) else 1)
    except Exception as error:
        if os.environ.get("PLAINFILM_DEBUG"):
            traceback.print_exc()
        hint = "set PLAINFILM_DEBUG=1 for the details and report it"
        return _complain(f"This is a bug in plainfilm ({type(error).__name__}: {_line(error)}); {hint}.", 1)
    finally:
        quiet.reset(told)


def _complain(sentence: str, code: int) -> int:
    print(f"plainfilm: {sentence}", file=sys.stderr)
    return code


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _system_sentence(error: OSError) -> str:
    what = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{what}the disk is full; free some space and go on with --resume (the last good state is kept)."
    return f"{what}{error.strerror or _line(error)}."


def _parse(words: list[str]) -> argparse.Namespace | None:
    """Return the options of one command, or None when help or the version was shown."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return None
    if words[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"plainfilm {version('plainfilm')}")
        return None
    if words[0] not in COMMANDS:
        raise InputError(f"There is no command '{words[0]}'.{did_you_mean(words[0], COMMANDS)}")
    try:
        options = parser_of(COMMANDS[words[0]]).parse_args(words[1:])
    except SystemExit:  # --help was shown
        return None
    options.command = words[0]
    return options


def _overview() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {command.name:<{width}}  {command.does}" for command in COMMANDS.values()]
    return "\n".join(
        [
            "plainfilm turns a folder of chest X-rays into a classifier whose figures can be believed.",
            "",
            "usage: plainfilm COMMAND …        plainfilm COMMAND --help shows its flags",
            "",
            *lines,
            "",
            "examples:",
            "  plainfilm demo --out demo",
            "  plainfilm paper chest_xray/ --out out/",
            "",
            f"A film's source (DATA): {DATA}.",
            DISCLAIMER,
        ]
    )


def parser_of(command: Command) -> _Parser:
    """Return the argument parser of one command; docs/cli.md is made from it."""
    parser = _Parser(
        prog=f"plainfilm {command.name}",
        description=command.does,
        epilog="examples:\n" + "\n".join(f"  {example}" for example in command.examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.flags(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress bars and no remarks")
    if not any(action.dest == "seed" for action in parser._actions):
        parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    return parser


def _settings_flags(parser: argparse.ArgumentParser, leave_out: tuple[str, ...] = ()) -> None:
    """A flag for every field of TrainConfig, and --set for the same by name."""
    group = parser.add_argument_group("settings")
    for field in dataclasses.fields(TrainConfig):
        if field.name not in leave_out:
            shown = field.default if field.default != "" else "empty"
            choices = [choice for choice in field.metadata["choices"] if choice]
            text = field.metadata["help"] + (f": {', '.join(choices)}" if choices else "")
            flag = "--" + field.name.replace("_", "-")
            group.add_argument(
                flag, metavar=METAVARS[type(field.default)], help=f"{text} (default {shown})".replace("%", "%%")
            )
    group.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting by its name")


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings given on the command line, and only those, with their types."""
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    given = {name: str(getattr(options, name)) for name in names if getattr(options, name, None) is not None}
    for pair in options.set:
        key, found, value = pair.partition("=")
        if not found:
            raise InputError(f"--set {pair!r} is not of the form KEY=VALUE.")
        given[key.strip().replace("-", "_")] = value
    return {name: from_text(name, text) for name, text in given.items()}


# --- the commands: flags, what runs, what a person sees ---------------------------------------------------------------


def _out(parser: argparse.ArgumentParser, what: str, default: str | None = None) -> None:
    required = default is None
    shown = what + (f" (default {default})" if default else "")
    parser.add_argument(
        "--out", type=Path, required=required, default=default and Path(default), metavar="DIR", help=shown
    )


def _demo_flags(parser: argparse.ArgumentParser) -> None:
    _out(parser, "folder for films, models and report", "demo")
    text = "how many synthetic films (default %(default)s)"
    parser.add_argument("--films", type=int, default=DEMO_FILMS, metavar="N", help=text)
    _models_flag(parser)
    _settings_flags(parser, ("model", "split"))


def _models_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", default=",".join(PAPER_MODELS), help="models to compare (default %(default)s)")


def _names(options: argparse.Namespace) -> tuple[str, ...]:
    return tuple(name.strip() for name in options.models.split(",") if name.strip())


def _run_demo(options: argparse.Namespace) -> Any:
    from plainfilm.commands.demo import demo

    settings = _settings(options)
    rows = demo(options.out, options.films, settings, _names(options), settings.get("seed", 0))
    return {"out": str(options.out), "report": str(options.out / "report.html"), "table": rows}


def _paper_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help=DATA)
    _out(parser, "folder for models, tables and report")
    _models_flag(parser)
    parser.add_argument("--resume", action="store_true", help="go on with what was begun in --out")
    _settings_flags(parser, ("model", "split"))


def _run_paper(options: argparse.Namespace) -> Any:
    from plainfilm.commands.paper import paper

    rows = paper(options.data, options.out, _settings(options), _names(options), options.resume)
    return {"out": str(options.out), "report": str(options.out / "report.html"), "table": rows}


def _show_paper(result: Any) -> str:
    out = Path(result["out"])
    return f"{(out / 'table.md').read_text(encoding='utf-8')}\nReport: {result['report']}"


def _train_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help=DATA)
    _out(parser, "the run's folder")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out; its settings hold")
    _settings_flags(parser)


def _run_train(options: argparse.Namespace) -> Any:
    from plainfilm.commands.training import train

    settings = _settings(options)
    if options.resume and (options.out / "config.json").exists():
        settings = {**read_json(options.out / "config.json")["settings"], **settings}
    metrics = train(options.data, options.out, settings, options.resume)
    return {"run": str(options.out), "report": str(options.out / "report.html"), "metrics": metrics}


def _show_run(result: Any) -> str:
    return f"{_show_metrics(result['metrics'])}\nReport: {result['report']}"


def _evaluate_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN|FILE.csv", type=Path, help="a run folder, or any model's predictions.csv")
    parser.add_argument("data", metavar="DATA", nargs="?", help="other films to judge the run's model on: " + DATA)
    _out(parser, "where to write; for DATA", "RUN/on-NAME")
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
    return evaluation.evaluate_run(options.run)


def _show_metrics(metrics: Any) -> str:
    lines = [f"Protocol: {metrics['protocol']}."]
    for part, scores in metrics.items():
        if part != "protocol":
            lines += ["", f"{part:24}{'value':>8}   95 % interval"]
            lines += [
                f"  {name:22}{_number(s['value'])}   {_number(s['low'])} to{_number(s['high'])}"
                for name, s in scores.items()
            ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "     n/a" if value is None or value != value else f"{value:8.3f}"


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


def _label_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder or a model.h5")
    parser.add_argument("paths", metavar="PATH", nargs="+", help="films, folders or zips")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.csv", help="the table of labels")
    parser.add_argument(
        "--montage", type=Path, metavar="FILE.png", help="a picture of 30 random films with their labels"
    )
    parser.add_argument("--force", action="store_true", help="replace --out and --montage when they exist")


def _run_label(options: argparse.Namespace) -> Any:
    from plainfilm.commands.label import label

    result = label(options.run, options.paths, options.out, options.montage, options.seed, options.force)
    return {**result, "out": str(options.out)}


def _show_label(result: Any) -> str:
    labels = ", ".join(f"{count} {name}" for name, count in sorted(result["labels"].items()))
    refused = f"; {result['refused']} could not be read (see their reasons)" if result["refused"] else ""
    return f"{result['labelled']} of {result['films']} films labelled: {labels}{refused}. {result['out']}"


def _fetch_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="+", help="kermany, pneumoniamnist[-64|-128|-224], vgg16")


def _run_fetch(options: argparse.Namespace) -> Any:
    from plainfilm.commands.fetch import fetch_names

    return fetch_names(options.names)


def _show_fetch(result: Any) -> str:
    return "\n".join(f"{item['name']}: {item['path']} ({item['checksum']})" for item in result)


def _no_flags(parser: argparse.ArgumentParser) -> None:
    pass


def _run_models(options: argparse.Namespace) -> Any:
    from plainfilm.commands.inventory import models

    return models()


def _show_models(result: Any) -> str:
    head = f"{'name':10}{'parameters':>12}{'GFLOP/film':>12}{'input':>13}  weights; licence"
    rows = [
        f"{m['name']:10}{m['parameters']:>12,}{m['flops'] / 1e9:>12.2f}{'×'.join(map(str, m['input'])):>13}"
        f"  {m['weights']}; {m['licence']}"
        for m in result
    ]
    return "\n".join([head, *rows])


def _run_doctor(options: argparse.Namespace) -> Any:
    from plainfilm.commands.inventory import doctor

    return doctor()


def _show_doctor(result: Any) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    weights = result["vgg16_weights"] or "not here; fetched on first use, or: plainfilm fetch vgg16"
    return "\n".join(
        [
            f"plainfilm   {result['plainfilm']} on Python {result['python']}, {result['platform']}",
            f"packages    {versions}",
            f"devices     {', '.join(result['devices'])}; {result['cores']} cores, {result['threads']} threads",
            f"speed       {result['gflops']:.0f} GFLOP/s (float32 matrix product, 2 s)",
            f"cache       {result['cache']}; {result['free_gb']} GB free",
            f"VGG16       {weights}",
        ]
    )


COMMANDS = {
    command.name: command
    for command in (
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
            "evaluate",
            "all scores of a run, of a run on other films, or of any model's predictions.csv",
            ("plainfilm evaluate runs/bn", "plainfilm evaluate runs/bn other_hospital/ --out on-other"),
            _evaluate_flags,
            _run_evaluate,
            _show_metrics,
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
            "label",
            "labels for films, folders and zips",
            (
                "plainfilm label runs/bn new_films/ --out labels.csv",
                "plainfilm label runs/bn/model.h5 a.jpeg b.png --out labels.csv --montage labels.png",
            ),
            _label_flags,
            _run_label,
            _show_label,
        ),
        Command(
            "fetch",
            "public sets and weights into the cache, checked and resumable",
            ("plainfilm fetch vgg16", "plainfilm fetch kermany pneumoniamnist-224"),
            _fetch_flags,
            _run_fetch,
            _show_fetch,
        ),
        Command(
            "models",
            "every model that can be named",
            ("plainfilm models", "plainfilm models --json"),
            _no_flags,
            _run_models,
            _show_models,
        ),
        Command(
            "doctor",
            "versions, devices, free disk, weights, speed",
            ("plainfilm doctor", "plainfilm doctor --json"),
            _no_flags,
            _run_doctor,
            _show_doctor,
        ),
    )
}
