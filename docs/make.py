"""Write the pages of docs/ that are made from the code; --check fails when they are not what the code says."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

os.environ["COLUMNS"] = "100"  # argparse wraps its help to the terminal; these files must not depend on one
sys.path.append(str(Path(__file__).parent))  # where the tests load this file from elsewhere

import reference
from outputs import DOCUMENTS, OUTPUTS

from plainfilm.cli import COMMANDS
from plainfilm.cli.base import parser_of
from plainfilm.config import TrainConfig
from plainfilm.data.public import SETS
from schemas import schema_of

HERE = Path(__file__).parent
NOTE = "<!-- made by docs/make.py from the code: change it there, then run `make docs` -->\n\n"


CLI_HEAD = """\
# Which commands and flags are there?

For everybody who types plainfilm's commands. This is what `plainfilm COMMAND --help` prints, on one page.
"""
EXIT_CODES = """\
## Exit codes

| code | means |
|---|---|
| 0 | done |
| 1 | it failed: a bug, or the machine (full disk, no memory) |
| 2 | the input is at fault: one line says what, where and what to do |
| 3 | done, but a check that was asked for did not hold (`--fail-if`, `audit --strict`) |
| 130 | interrupted; `--resume` goes on |
"""


def cli() -> str:
    """Every command's help, in the order of the overview."""
    parts = [CLI_HEAD]
    for command in COMMANDS.values():
        parts.append(f"## plainfilm {command.name}\n\n```text\n{parser_of(command).format_help()}```\n")
    return NOTE + "\n".join([*parts, EXIT_CODES])


def config() -> str:
    """Every setting with its default."""
    lines = [
        "# Which settings does training have?\n",
        "For those who want to change how a model is trained, and to know the default.\n",
        "Each is a flag (`--learning-rate 0.01`), a `--set learning_rate=0.01`, and a keyword of `pf.train`. A run's",
        "`config.json` holds all of them.\n",
        "| setting | default | what it is |",
        "|---|---|---|",
    ]
    for field in dataclasses.fields(TrainConfig):
        default = f"`{field.default}`" if field.default != "" else "empty"
        text = field.metadata["help"]
        choices = [choice for choice in field.metadata["choices"] if choice]
        lines.append(f"| `{field.name}` | {default} | {text}{': ' + ', '.join(choices) if choices else ''} |")
    return NOTE + "\n".join([*lines, ""])


def datasets() -> str:
    """Public sets: what plainfilm knows of each, said once in ``data.public``."""
    lines = [
        "# How do I use a public set?",
        "",
        "For those who want to train or test on films that somebody has published.",
        "",
        "`plainfilm fetch --list` names all with their licences. It downloads `kermany` and `pneumoniamnist` for you.",
        "The others come from their owners, and most of those ask you to register. Give the folder as it is",
        "shipped: plainfilm knows the owner's table by its columns.",
        "It says which set it is, its licence, and how many films of the table are there.",
        "",
        "```sh",
        "plainfilm audit ChestX-ray14/ --findings Pneumonia",
        "plainfilm train ChestX-ray14/ --findings Pneumonia --model vgg-bn --out runs/nih",
        "```",
        "",
        "`--findings NAME` asks one question: the finding or not. Without it, plainfilm lists the findings with their",
        "counts. The table may be packed (`.csv.gz`); films may be moved together or converted to another format.",
        "",
    ]
    for known in SETS:
        files = ", ".join(f"`{name}`" for name, _ in known.tables.values())
        lines += [
            f"## {known.title}",
            "",
            f"- Get it: {known.get}.",
            f"- Licence: {known.licence}.",
            f"- Table: {files}. A film: `{known.example}`.",
            f"- Labels: {known.labels}.",
            f"- Cite: {known.citation}.",
            "",
        ]
    return NOTE + "\n".join([*lines, *LABELS]) + "\n"


LABELS = (
    "## What a label means",
    "",
    "- **Unknown is not negative.** Films whose cell is empty are left out of a question, and counted.",
    "- **Uncertain** (`-1`) is left out too. `--uncertain positive` or `negative` counts it (U-Ones and U-Zeros of",
    "  Irvin et al. 2019).",
    "- **Laterals** (taken from the side) are left out, and counted. `--projection all` keeps them.",
    "- **Readers** who disagree: `--readers majority`, `any` or `all`. The agreement of the readers is reported.",
    "- **Patients** decide what may stand on both sides of a split. RSNA and VinDr-CXR do not name them.",
    "- **Further columns** (age, sex, view, scanner) stay with the films, see [sites, age and sex](columns.md).",
    "",
    "## Any other table",
    "",
    "A CSV, TSV or Parquet file with `path` and `label`, and where known `patient` and `split`. Paths are relative to",
    "the table. A table of findings has a column for each, with 1, 0, -1 (uncertain) or nothing (unknown), and no",
    "`label`. Every further column is kept.",
    "The files of MedMNIST, a public collection of small pictures, are read as they are; `chestmnist` has 14 findings.",
    "Separators, encodings, words for parts and for unknown: [my own films](inputs.md#tables).",
)


def pages() -> dict[Path, str]:
    """Return what each generated page must hold."""
    made = {
        "cli.md": cli(),
        "config.md": config(),
        "datasets.md": datasets(),
        "files.md": NOTE + reference.files(),
        "python.md": NOTE + reference.python(),
        "http.md": NOTE + reference.http(),
    }
    known = {f"{name}.json": kinds for name, kinds in DOCUMENTS.items()}
    known |= {f"plainfilm {name} --json": kinds for name, kinds in OUTPUTS.items()}
    for title, kinds in known.items():
        place = f"schemas/{title.removesuffix(' --json').removesuffix('.json').replace(' ', '-')}.json"
        made[place] = json.dumps(schema_of(title, kinds), indent=1) + "\n"
    return {HERE / name: text for name, text in made.items()}


def strays() -> list[Path]:
    """Return the schemas of documents that are no more."""
    return [path for path in (HERE / "schemas").glob("*.json") if path not in pages()]


if __name__ == "__main__":
    old = [path.name for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    old += [path.name for path in strays()]
    if "--check" in sys.argv:
        sys.exit(f"docs are not what the code says: {', '.join(old)}; run make docs" if old else 0)
    for path in strays():
        path.unlink()
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
