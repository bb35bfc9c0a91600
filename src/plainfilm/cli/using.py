"""Commands that take a trained model to films: label, serve, explain, export."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from plainfilm.cli.base import Command, out_flag, refuse_flags
from plainfilm.machine import ranks


def _label_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder, a model.h5 or an exported .onnx")
    parser.add_argument("paths", metavar="PATH", nargs="+", help="films, folders or zips")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.csv", help="the table of labels")
    parser.add_argument(
        "--montage", type=Path, metavar="FILE.png", help="a picture of 30 random films with their labels"
    )
    parser.add_argument("--force", action="store_true", help="replace --out and --montage when they exist")
    parser.add_argument("--resume", action="store_true", help="go on with what was interrupted")
    text = "what runs the network: torch or onnx (default torch; an .onnx file is always run by onnx)"
    parser.add_argument("--engine", metavar="NAME", help=text)


def _run_label(options: argparse.Namespace) -> Any:
    from plainfilm.commands.label import label, load_model

    with ranks.joined():
        with ranks.together():
            model = load_model(options.run, options.engine, options.seed)
        how = (options.montage, options.seed, options.force, options.resume)
        return {**label(model, options.paths, options.out, *how), "out": str(options.out)}


def _show_label(result: Any) -> str:
    labels = ", ".join(f"{count} {name}" for name, count in sorted(result["labels"].items()))
    reader = f"; {result['referred']} for a reader" if result["referred"] else ""
    refused = f"; {result['refused']} could not be read (see their reasons)" if result["refused"] else ""
    return f"{result['labelled']} of {result['films']} films labelled: {labels}{reader}{refused}. {result['out']}"


def _serve_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder or a model.h5")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="port, 0 for any (default %(default)s)")
    parser.add_argument("--token", default="", metavar="TEXT", help="what requests must carry; a must beyond 127.0.0.1")


def _run_serve(options: argparse.Namespace) -> Any:
    from plainfilm.commands.serving import serve

    def announce(service: dict[str, str]) -> None:
        line = json.dumps(service) if options.json else _show_serve(service)
        print(line, flush=True)

    # The answer was given when the service began, so there is nothing left to print at its end.
    raise SystemExit(serve(options.run, options.host, options.port, options.token, announce))


def _show_serve(service: Any) -> str:
    model, url, disclaimer = service["model"], service["url"], service["disclaimer"]
    said = f"{disclaimer[:1].lower()}{disclaimer[1:].rstrip('.')}"
    return f"plainfilm serves {model} at {url} (model {service['hash'][:12]}…); {said}"


def _explain_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder or a model.h5")
    parser.add_argument("paths", metavar="PATH", nargs="+", help="films, folders or zips")
    out_flag(parser, "folder for pictures, table, checks and page")
    parser.add_argument(
        "--class", dest="explained", default="", help="class to explain (default: the one decided for, film by film)"
    )
    parser.add_argument("--method", default="hires-cam", help="hires-cam or grad-cam (default %(default)s)")
    text = "how many films the slow checks look at, 0 for none (default %(default)s)"
    parser.add_argument("--checks", type=int, default=24, metavar="N", help=text)
    parser.add_argument("--force", action="store_true", help="replace heat maps that are in --out")


def _run_explain(options: argparse.Namespace) -> Any:
    from plainfilm.commands.explaining import explain

    o = options
    return {**explain(o.run, o.paths, o.out, o.explained, o.method, o.checks, o.seed, o.force), "out": str(o.out)}


def _show_explain(result: Any) -> str:
    head = f"{result['mapped']} of {result['films']} films have a heat map; {result['films_checked']} were checked."
    red = [f"Red line: {line}" for line in result["red_lines"]]
    return "\n".join([head, *red, *result["findings"], result["warning"], f"Page: {result['out']}/index.html"])


def _export_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder or a model.h5")
    parser.add_argument("--format", required=True, help="onnx (pixels in, probabilities out) or safetensors (weights)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write")
    text = "films to check an ONNX file on (default: the run's validation films and synthetic ones)"
    parser.add_argument("--films", metavar="PATH", nargs="+", default=[], help=text)
    parser.add_argument("--force", action="store_true", help="replace --out when it exists")


def _run_export(options: argparse.Namespace) -> Any:
    from plainfilm.commands.exporting import export

    if options.format == "safetensors":
        refuse_flags(options, "safetensors, which are read back bit for bit", "films")
    return export(options.run, options.format, options.out, options.films, options.force, options.seed)


def _show_export(result: Any) -> str:
    if result["format"] == "safetensors":
        checked = f"{result['values']:,} values, read back bit for bit"
    else:
        films = f"{result['real_films']} real and {result['synthetic_films']} synthetic films"
        checked = f"largest difference of a probability {result['largest_difference']:.1g} on {films}"
    return f"{result['out']}: {result['bytes'] / 1e6:.1f} MB; {checked}."


COMMANDS = (
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
        "serve",
        "a model behind an HTTP API and a page",
        ("plainfilm serve runs/bn", "plainfilm serve runs/bn --host 0.0.0.0 --token TEXT"),
        _serve_flags,
        _run_serve,
        _show_serve,
    ),
    Command(
        "explain",
        "heat maps with their sanity figures",
        (
            "plainfilm explain runs/bn new_films/ --out maps",
            "plainfilm explain runs/bn a.jpeg b.png --out maps --class PNEUMONIA --checks 0",
        ),
        _explain_flags,
        _run_explain,
        _show_explain,
    ),
    Command(
        "export",
        "a deployment file, checked against the original",
        (
            "plainfilm export runs/bn --format onnx --out bn.onnx",
            "plainfilm export runs/bn --format safetensors --out bn.safetensors --force",
        ),
        _export_flags,
        _run_export,
        _show_export,
    ),
)
