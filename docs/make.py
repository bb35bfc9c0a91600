"""Write docs/cli.md and docs/config.md from the code; --check fails when they are not what the code says."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

os.environ["COLUMNS"] = "100"  # argparse wraps its help to the terminal; these files must not depend on one

from plainfilm.cli import COMMANDS
from plainfilm.cli.base import parser_of
from plainfilm.config import TrainConfig

HERE = Path(__file__).parent
NOTE = "<!-- made by docs/make.py from the code: change it there, then run `make docs` -->\n\n"


def cli() -> str:
    """Every command's help, in the order of the overview."""
    parts = ["# Commands\n"]
    for command in COMMANDS.values():
        parts.append(f"## plainfilm {command.name}\n\n```text\n{parser_of(command).format_help()}```\n")
    parts.append(
        "## Exit codes\n\n0 done · 1 it failed (a bug or the machine) · 2 the input is at fault: one line says what,"
        " where and what to do · 3 done, but a check that was asked for did not hold · 130 interrupted, resumable\n"
    )
    return NOTE + "\n".join(parts)


def config() -> str:
    """Every setting with its default."""
    lines = ["# Settings\n", "| setting | default | what it is |", "|---|---|---|"]
    for field in dataclasses.fields(TrainConfig):
        default = f"`{field.default}`" if field.default != "" else "empty"
        text = field.metadata["help"]
        choices = [choice for choice in field.metadata["choices"] if choice]
        lines.append(f"| `{field.name}` | {default} | {text}{': ' + ', '.join(choices) if choices else ''} |")
    lines.append(
        "\nEach is a flag (`--learning-rate 0.01`), a `--set learning_rate=0.01`, and a keyword of `pf.train`.\n"
    )
    return NOTE + "\n".join(lines)


def pages() -> dict[Path, str]:
    """Return what each generated page must hold."""
    return {HERE / "cli.md": cli(), HERE / "config.md": config()}


if __name__ == "__main__":
    old = [path.name for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        sys.exit(f"docs are not what the code says: {', '.join(old)}; run make docs" if old else 0)
    for path, text in pages().items():
        path.write_text(text)
