"""Leave one kind of film out of training and test on it: does a model that never saw it know it?

Kermany's names tell the kinds: pneumonia by bacteria or virus, and two series of normal films.

    python benchmarks/left_out.py chest_xray_224/train OUT vgg16-lr best

For each kind a table of films (OUT/KIND.csv) goes through `plainfilm train OUT/KIND.csv --split official`. Its test
part is the kind that was left out and the other class's test films of the grouped split (seed 0). Films of patients
who have films of the kind are in no other part (a number may name two patients, so this drops more than it need).
Prints one row a kind and model, with 95 % intervals; what is done already is not done again.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

from plainfilm.data.films import Film, Films
from plainfilm.data.sources import load
from plainfilm.data.split import split
from plainfilm.storage.files import read_json

KINDS = {"bacteria": "_bacteria_", "virus": "_virus_", "IM": "/IM-", "NORMAL2": "/NORMAL2-"}
SHOWN = ("auroc", "balanced_accuracy", "sensitivity", "specificity")


def part_of(film: Film, mark: str, label: str, tested: set[str]) -> str:
    """The film's part when the kind with ``mark``, of the class ``label``, is left out; "" for films that must not be
    used: those of patients who have films of the kind as well."""
    if mark in film.path:
        return "test"
    if film.group in tested:
        return ""
    if film.part == "test":
        return "" if film.label == label else "test"
    return "train"


def write_table(films: Films, data: Path, mark: str, out: Path) -> None:
    """Write path, label, patient and split of every film that is used."""
    left_out = [film for film in films if mark in film.path]
    tested = {film.group for film in left_out}
    with open(out, "w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(("path", "label", "patient", "split"))
        for film in films:
            if part := part_of(film, mark, left_out[0].label, tested):
                table.writerow((data.resolve() / film.path, film.label, film.group, part))


def main(data: Path, out: Path, models: list[str]) -> None:
    """Run what is not there yet and print the table."""
    films = split(load(str(data)), "grouped", 0)
    out.mkdir(parents=True, exist_ok=True)
    print(f"| left out | model | films | {' | '.join(SHOWN)} |\n|{'---|' * (3 + len(SHOWN))}")
    for kind, mark in KINDS.items():
        table = out / f"{kind}.csv"
        write_table(films, data, mark, table)
        for model in models:
            run = out / f"{kind}-{model}"
            if not (run / "report.html").exists():
                command = [sys.executable, "-m", "plainfilm", "train", str(table), "--out", str(run), "--model", model]
                resume = ["--resume"] if run.exists() else []
                subprocess.run([*command, "--split", "official", "--quiet", *resume], check=True, stdout=sys.stderr)
            scores = read_json(run / "metrics.json")["test"]
            cells = [f"{s['value']:.3f} ({s['low']:.3f}–{s['high']:.3f})" for s in (scores[name] for name in SHOWN)]
            count = read_json(run / "config.json")["films"]["test"]
            print(f"| {kind} | `{model}` | {count} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
