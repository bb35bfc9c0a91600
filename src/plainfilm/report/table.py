"""The table of all models of a folder: Table I beside the paper's, and what each cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.config import DISCLAIMER
from plainfilm.report.reference import PAPER_PROTOCOL, TABLE_I, why_not_comparable
from plainfilm.report.reference import SCORES as PAPER_SCORES
from plainfilm.report.words import (
    duration,
    judged,
    markdown_table,
    note_on,
    number,
    operations,
    part_in_words,
    score_in_words,
)
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.inside import read_runs
from plainfilm.storage import folders
from plainfilm.storage.files import write_text
from plainfilm.storage.tables import write_csv

SCORES = (
    "accuracy",
    "precision_macro",
    "recall_macro",
    "f1_macro",
    "auroc",
    "sensitivity",
    "specificity",
    "balanced_accuracy",
)
COLUMNS = (
    "model",
    *SCORES,
    *(f"{score}_{bound}" for score in SCORES for bound in ("low", "high")),
    *("films", "gap_accuracy", "gap_loss", "seconds", "parameters", "flops_per_film", "note", "protocol"),
)


def collect(out: str | Path) -> list[dict[str, Any]]:
    """Return one row a finished run in ``out`` with the keys COLUMNS; numbers are NaN where they were not done.

    Rates and areas are 0..1. gap_accuracy: training minus validation accuracy, both in evaluation mode; gap_loss:
    validation minus training cross-entropy, before calibration, which is fitted on validation; both are above 0 where
    the model does better on the films it was fitted to.
    """
    return [table_row(run) for run in read_runs(out)]


def table_row(run: RunFolder) -> dict[str, Any]:
    """Return the row of one run (see ``collect``)."""
    found = {name: run.score(name) for name in SCORES}
    row: dict[str, Any] = {"model": run.name, **{name: interval.value for name, interval in found.items()}}
    for name, interval in found.items():
        row |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return {
        **row,
        "films": len(run.scored),
        "gap_accuracy": run.score("accuracy", "train").value - run.score("accuracy", "val").value,
        "gap_loss": run.cross_entropy("val") - run.cross_entropy("train"),
        "seconds": run.seconds,
        "parameters": run.model["parameters"],
        "flops_per_film": run.model["flops"],
        "note": note_on(run),
        "protocol": run.config["protocol"],
    }


def write_table(out: str | Path) -> None:
    """Write table.csv (COLUMNS; an empty cell was not done) and table.md into ``out`` from its run folders."""
    runs = read_runs(out)
    rows = [table_row(run) for run in runs]
    cells = ([_csv_cell(row[name]) for name in COLUMNS] for row in rows)
    write_csv(Path(out) / folders.TABLE, COLUMNS, cells)
    write_text(Path(out) / folders.TABLE_TEXT, _markdown(runs, rows))


def _csv_cell(value: Any) -> Any:
    return "" if isinstance(value, float) and np.isnan(value) else value


def _markdown(runs: list[RunFolder], rows: list[dict[str, Any]]) -> str:
    first = runs[0]
    stamps = "; ".join(sorted({run.config["protocol"] for run in runs}))
    synthetic = ["**synthetic films**: drawn by a program, no patient was ever in front of a detector", ""]
    scored = f"{part_in_words(first.part).capitalize()} part, {rows[0]['films']:,} films; value (95 % interval)."
    why = why_not_comparable(first.config)
    reading = (
        f"No verdict against the paper: {why}." if why else "The paper's figures are rounded to two digits (± 0.005)."
    )
    return "\n".join(
        [
            "# Table I",
            "",
            f"Protocol: **{stamps}**",
            "",
            *(synthetic if first.config["synthetic"] else []),
            f"{scored} {reading}",
            "",
            *markdown_table(["Model", *PAPER_SCORES.values()], [_scores_line(run) for run in runs]),
            "",
            *markdown_table(
                ["Model", "Gap in accuracy", "Gap in loss", "Time", "Parameters", "Operations a film", "Note"],
                [_cost_line(run, row) for run, row in zip(runs, rows, strict=True)],
            ),
            "",
            "Gap in accuracy: training minus validation. Gap in loss: validation minus training cross-entropy, "
            "before calibration.",
            f"The paper's protocol: {PAPER_PROTOCOL}.",
            "",
            DISCLAIMER,
            "",
        ]
    )


def _scores_line(run: RunFolder) -> list[str]:
    def cell(score: str) -> str:
        published, word = TABLE_I.get(run.name, {}).get(score), judged(run, score)
        against = f"; paper {published:.2f}{': **' + word + '**' if word else ''}" if published else ""
        return score_in_words(run, score) + against

    return [run.full_title + (f" (**{note_on(run)}**)" if note_on(run) else ""), *map(cell, PAPER_SCORES)]


def _cost_line(run: RunFolder, row: dict[str, Any]) -> list[str]:
    return [
        run.title,
        number(row["gap_accuracy"]),
        number(row["gap_loss"]),
        duration(row["seconds"]),
        f"{row['parameters']:,}",
        operations(row["flops_per_film"]),
        row["note"],
    ]
