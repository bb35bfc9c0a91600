"""What every command is made of: its place in the help, its flags, what runs it, what a person sees."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from plainfilm.cli.pages import DOES
from plainfilm.config import MAX_BAD, PAPER_MODELS, PRECISIONS, READING, TrainConfig, from_text
from plainfilm.errors import InputError

METAVARS = {str: "TEXT", int: "N", float: "X"}
CLASSES = "what DATA calls the model's classes, where the names differ: healthy=NORMAL,sick=PNEUMONIA"


class Parser(argparse.ArgumentParser):
    """argparse, but its complaints are ours: one sentence, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[:1].upper()}{message[1:]}; see '{self.prog} --help'.")


@dataclasses.dataclass(frozen=True)
class Command:
    """One command: its name, two examples, its flags, and what runs it."""

    name: str
    examples: tuple[str, str]
    flags: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Any]  # returns what --json prints
    show: Callable[[Any], str]  # the same for a person


def parser_of(command: Command) -> Parser:
    """Return the argument parser of one command; docs/cli.md is made from it."""
    parser = Parser(
        prog=f"plainfilm {command.name}",
        description=DOES[command.name],
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


def settings_flags(parser: argparse.ArgumentParser, leave_out: tuple[str, ...] = ()) -> None:
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


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings given on the command line, and only those, with their types."""
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    given = {name: str(getattr(options, name)) for name in names if getattr(options, name, None) is not None}
    for pair in options.set:
        key, found, value = pair.partition("=")
        if not found:
            raise InputError(f"--set {pair!r} is not of the form KEY=VALUE.")
        given[key.strip().replace("-", "_")] = value
    return {name: from_text(name, text) for name, text in given.items()}


def reading_flags(parser: argparse.ArgumentParser) -> None:
    """Add the settings of how DATA is read, for commands that take no others."""
    for field in dataclasses.fields(TrainConfig):
        if field.name in READING:
            choices = f": {', '.join(field.metadata['choices'])}" if field.metadata["choices"] else ""
            shown = f" (default {field.default})" if field.default else ""
            text = field.metadata["help"] + choices + shown
            parser.add_argument("--" + field.name.replace("_", "-"), metavar="TEXT", help=text)


def out_flag(parser: argparse.ArgumentParser, what: str, default: str | None = None) -> None:
    """Add --out DIR, required unless it has a default."""
    required = default is None
    shown = what + (f" (default {default})" if default else "")
    parser.add_argument(
        "--out", type=Path, required=required, default=default and Path(default), metavar="DIR", help=shown
    )


def precision_flag(parser: argparse.ArgumentParser) -> None:
    """Add --precision, the bits that a finished model computes with."""
    text = "bits that its layers multiply with, 32 or 16 (default auto: as its own predictions, where 16 are available)"
    parser.add_argument("--precision", choices=PRECISIONS, metavar="BITS", help=text)


def preprocess_flag(parser: argparse.ArgumentParser) -> None:
    """Add --preprocess, for an .onnx file that another program wrote."""
    text = "of another program's .onnx file, how its films are prepared: imagenet224, xrv224, or size=224,range=0..1,…"
    parser.add_argument("--preprocess", default="", metavar="LINE", help=text)


def columns_flag(parser: argparse.ArgumentParser) -> None:
    """Add --classes, of an .onnx file that another program wrote."""
    text = "with --preprocess, what the columns of the model's output mean, in their order (default: as the file says)"
    parser.add_argument("--classes", default="", metavar="NAME,…", help=text)


def models_flag(parser: argparse.ArgumentParser) -> None:
    """Add --models, the names of the models to compare."""
    parser.add_argument("--models", default=",".join(PAPER_MODELS), help="models to compare (default %(default)s)")


def model_names(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the model names given with --models."""
    return tuple(name.strip() for name in options.models.split(",") if name.strip())


def max_bad_flag(parser: argparse.ArgumentParser) -> None:
    """Add --max-bad."""
    text = f"share of unreadable films of DATA above which it stops (default {MAX_BAD:g})"
    parser.add_argument("--max-bad", type=float, metavar="X", help=text)


def table_flags(parser: argparse.ArgumentParser) -> None:
    """Add --columns and --scores, for predictions that another program made."""
    text = "what a FILE.csv calls them: label=Target,score=prob,path=Image,patient=PatientID (default: recognised)"
    parser.add_argument("--columns", default="", metavar="ROLE=NAME,…", help=text)
    text = "what its scores are: probability, percent, logit or rank (default: recognised)"
    parser.add_argument("--scores", default="", metavar="KIND", help=text)


def given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return those of the options ``names`` that were given: not None, False, an empty text or an empty list."""
    values = {name: getattr(options, name) for name in names}
    return {name: value for name, value in values.items() if value not in (None, "", []) and value is not False}


def no_flags(parser: argparse.ArgumentParser) -> None:
    """A command without flags of its own."""


def show_by(found: Any) -> list[str]:
    """Return the scores by columns as text: a line per group, then the worst in a sentence."""
    lines = ["", f"{'by column':30}{'films':>8}{'positive':>9}   AUROC (95 % interval)          difference to the rest"]
    for row in found["rows"]:
        whose = f"{row['finding']}, " if "finding" in row else ""
        about = f"  {whose}{row['column']} {row['group']}"[:29].ljust(30) + f"{row['films']:8,}{row['positives']:9,}   "
        if not row["scored"]:
            lines.append(about + "not scored: too few films, positives or negatives")
            continue
        apart = row["difference"].get("auroc")
        shown = f"{number(apart['value'])} ({number(apart['low'])} to{number(apart['high'])} )" if apart else ""
        own = row["auroc"]
        lines.append(f"{about}{number(own['value'])} ({number(own['low'])} to{number(own['high'])} ) {shown}")
    return [*lines, found["sentence"]]


def show_red_lines(found: Any) -> list[str]:
    """Return the red lines of metrics.json or adapt.json, which come first, and with --quiet too."""
    from plainfilm.evaluation.chance import chance_lines

    own = found["red_lines"] if "red_lines" in found else chance_lines(found)
    others = (line for what in ("shift", "shared") for line in found.get(what, {}).get("red_lines", ()))
    return [f"RED LINE: {line}" for line in dict.fromkeys([*own, *others])]


def show_metrics(metrics: Any) -> str:
    """Return metrics.json as text: a line a score."""
    from plainfilm.data.films import PARTS

    lines = [*show_red_lines(metrics), f"Protocol: {metrics['protocol']}."]
    for part, scores in metrics.items():
        if part in PARTS and "findings" in scores:
            lines += show_findings(part, scores)
        elif part in PARTS:
            lines += ["", f"{part:24}{'value':>8}   95 % interval"]
            lines += [
                f"  {name:22}{number(s['value'])}   {number(s['low'])} to{number(s['high'])}"
                for name, s in scores.items()
            ]
    lines += show_by(metrics["by"]) if "by" in metrics else []
    return "\n".join(lines)


def show_findings(part: str, found: Any) -> list[str]:
    """Return a part's findings as lines: how many films are known and positive, AUROC, the rates in use."""
    lines = ["", f"{part:24}{'known':>8}{'positive':>10}   AUROC (95 % interval)         sensitivity  specificity"]
    for name, about in found["findings"].items():
        head = f"  {name[:22]:22}{about['known']:8,}{about['positives']:10,}   "
        scores = about.get("scores")
        if scores is None:
            lines.append(f"{head}not scored: {about['not_scored']}")
            continue
        area = scores["auroc"]
        rates = f"{number(scores['sensitivity']['value'])}     {number(scores['specificity']['value'])}"
        lines.append(f"{head}{number(area['value'])} ({number(area['low'])} to{number(area['high'])})   {rates}")
    means = {kind: found.get(f"{kind}_auroc") for kind in ("macro", "weighted")}
    lines += [
        f"  {kind} mean of AUROC: {number(mean['value'])} ({number(mean['low'])} to{number(mean['high'])})"
        for kind, mean in means.items()
        if mean
    ]
    return lines


def show_run(folder: str, metrics: Any, other: str = "") -> str:
    """Return what the report of a finished run says first, on its own films or on those whose scores lie in ``other``;
    of several findings the scores of each."""
    if any(isinstance(found, dict) and "findings" in found for found in metrics.values()):
        return f"{show_metrics(metrics)}\nReport: {other or folder}/report.html"
    from plainfilm.report.box import box, box_elsewhere
    from plainfilm.report.elsewhere import as_evaluated
    from plainfilm.runs.folder import RunFolder

    run = RunFolder(folder)
    return box_elsewhere(as_evaluated(Path(other), run, metrics)) if other else box(run)


def show_runs(result: Any) -> str:
    """Return folds.json as text: mean, SD and range over the runs, and the pooled figure with its interval."""
    from plainfilm.evaluation.scores import by_patient

    lines = [f"Protocol: {result['protocol']}.", f"{len(result['runs'])} {result['kind']}{'':20}mean      SD   range"]
    together = result["pooled"] or {}
    each = {f"auroc_{name}": about for name, about in together.get("findings", {}).items()}
    for name, s in result["scores"].items():
        pooled = each.get(name, {}).get("scores", {}).get("auroc") or by_patient(together, name)
        shown = f"   pooled{number(pooled['value'])} ({_range(pooled)})" if pooled else ""
        lines.append(f"  {name:26}{number(s['mean'])}{number(s['sd'])}   {_range(s)}{shown}")
    if left_out := result.get("left_out"):
        lines = [("RED LINE: " if left_out["red"] else "") + left_out["sentence"], *lines]
    if result.get("by"):
        lines += show_by(result["by"])
    return "\n".join(lines)


def _range(score: dict[str, float | None]) -> str:
    return f"{number(score['low']).strip()} to {number(score['high']).strip()}"


def written(result: Any, name: str) -> list[str]:
    """Return where the file ``name`` was written, where the command was given --out."""
    return [f"Written: {Path(result['out']) / name}"] if "out" in result else []


def number(value: float | None) -> str:
    """Return a score in eight places, "n/a" where it is not defined."""
    return "     n/a" if value is None or value != value else f"{value:8.3f}"


def show_table(result: Any) -> str:
    """Return table.md and where the report is."""
    from plainfilm.storage.folders import TABLE_TEXT

    out = Path(result["out"])
    return f"{(out / TABLE_TEXT).read_text(encoding='utf-8')}\nReport: {result['report']}"
