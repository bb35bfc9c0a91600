"""The flags of ``plainfilm doctor``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from plainfilm.cli.base import Command
from plainfilm.errors import CheckFailed


def _flags(parser: argparse.ArgumentParser) -> None:
    text = "a folder that plainfilm wrote (run, paper, folds, audit, …) to look at: whole, unchanged, to be resumed?"
    parser.add_argument("run", metavar="RUN", nargs="?", type=Path, help=text)
    parser.add_argument(
        "--bench",
        action="store_true",
        help="also how fast it trains, extracts, labels and decodes here, in 32 and 16 bits (20 s)",
    )


def _run(options: argparse.Namespace) -> Any:
    if options.run is not None:
        return _run_checkup(options.run)
    from plainfilm.commands.doctor import doctor

    return doctor(options.bench)


def _show_speed(speed: Any) -> list[str]:
    if not speed:
        return []
    has = speed["bfloat16"]
    precision = f"16 bits by {has}: train decides by a trial" if has else "32 bits: no bfloat16 in this processor"
    lines = [
        f"precision   {precision}",
        f"a second    {speed['decoded_films']:.0f} full-size films decoded (one thread)",
    ]
    for bits, found in ((32, speed), (16, speed["in_16_bits"])):
        if found:
            steps = f"{24 * found['vgg_steps']:.0f} films in training of vgg"
            passes = (
                f"{found['vgg16_films']:.1f} through VGG16 ({found['engine']}), {found['best_films']:.0f} through best"
            )
            lines.append(f"  {bits} bits   {steps}, {passes}")
    return lines


def _run_checkup(run: Path) -> Any:
    from plainfilm.runs.checkup import checkup

    found = checkup(run)
    if not found["ok"]:
        raise CheckFailed(f"{run} is {found['state']}.", found)
    return found


def _show_checkup(result: Any) -> str:
    """A table: what was looked at, what was found, and below each that is not well what to do."""
    width = max(len(f["what"]) for f in result["findings"])
    lines = [f"{result['folder']}: {result['kind']}, {result['state']}"]
    for f in result["findings"]:
        lines.append(f"  {'ok' if f['ok'] else 'NO'}  {f['what']:<{width}}  {f['found']}")
        lines += [f"      {'':<{width}}  to do: {f['advice']}"] * (not f["ok"])
    return "\n".join(lines)


def _show(result: Any) -> str:
    if "findings" in result:
        return _show_checkup(result)
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    weights = result["vgg16_weights"] or "not here; fetched on first use, or: plainfilm fetch vgg16"
    return "\n".join(
        [
            f"plainfilm   {result['plainfilm']} on Python {result['python']}, {result['platform']}",
            f"packages    {versions}",
            f"devices     {', '.join(result['devices'])}; {result['cores']} cores, {result['threads']} threads",
            f"speed       {result['gflops']:.0f} GFLOP/s (float32 matrix product, 2 s)",
            *_show_speed(result.get("speed")),
            f"cache       {result['cache']}; {result['free_gb']} GB free",
            f"VGG16       {weights}",
        ]
    )


COMMAND = Command(
    "doctor",
    ("plainfilm doctor --bench", "plainfilm doctor runs/bn"),
    _flags,
    _run,
    _show,
)
