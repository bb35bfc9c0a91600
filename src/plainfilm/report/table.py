"""Run folders as read from disk, and the table of all models: Table I beside the paper's, and what each cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.errors import InputError
from plainfilm.evaluation.calibration import FLOOR
from plainfilm.evaluation.intervals import UNKNOWN, Interval
from plainfilm.evaluation.predictions import Predictions, positive_class, read_predictions
from plainfilm.evaluation.scores import one_class_predicted
from plainfilm.files import read_csv, read_json, write_csv, write_text
from plainfilm.report.reference import PAPER_PROTOCOL, TABLE_I, verdict, why_not_comparable
from plainfilm.report.reference import SCORES as PAPER_SCORES

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
ORDER = tuple(TABLE_I)
NOT_DONE, UNDEFINED = "not done", "undefined"


@dataclass(frozen=True)
class Run:
    """One finished run folder. ``history`` is empty where nothing was trained by epochs."""

    folder: Path
    config: dict[str, Any]
    model: dict[str, Any]
    metrics: dict[str, Any]
    history: list[dict[str, float]]
    quarantine: list[dict[str, str]]
    predictions: Predictions

    @property
    def name(self) -> str:
        """The model's name on the command line."""
        return str(self.model["model"])

    @property
    def title(self) -> str:
        """The model's name as a reader of the paper knows it."""
        return str(self.model["title"])

    @property
    def part(self) -> str:
        """The part whose scores count: test where there is one, else val."""
        parts = set(self.predictions.parts.tolist())
        return next((part for part in ("test", "val") if part in parts), min(parts))

    @cached_property
    def scored(self) -> Predictions:
        """The films of that part."""
        return self.predictions.part(self.part)

    @property
    def positive(self) -> int:
        """Index of the positive class."""
        return positive_class(self.predictions.classes, self.model["positive"])

    @property
    def threshold(self) -> float:
        """A film is positive when its probability of the positive class is at least this."""
        return float(self.model["threshold"])

    @cached_property
    def one_class(self) -> str | None:
        """The class that every scored film gets although there are several to tell apart, or None."""
        scored = self.scored
        several = len(np.unique(scored.labels)) > 1
        return one_class_predicted(scored, self.positive, self.threshold) if several else None

    @property
    def note(self) -> str:
        """What must be read before any figure of this run; empty when there is nothing."""
        return f"did not learn: one class predicted ({self.one_class})" if self.one_class else ""

    @property
    def label(self) -> str:
        """The title, and behind it that the model did not learn, where that is so: for whatever shows its figures."""
        return f"{self.title} (did not learn)" if self.one_class else self.title

    def score(self, name: str, part: str | None = None) -> Interval:
        """Return a score from metrics.json, of the scored part unless named; unknown (NaN) where it was not done."""
        found = self.metrics.get(part or self.part, {}).get(name)
        if found is None:
            return UNKNOWN
        return Interval(*(float("nan") if found[key] is None else float(found[key]) for key in Interval._fields))

    def words(self, name: str, part: str | None = None) -> str:
        """Return a score as it is to read: ``0.952 (0.940–0.962)``, "undefined" on these films, or "not done"."""
        done = name in self.metrics.get(part or self.part, {})
        return with_interval(self.score(name, part)) if done else NOT_DONE

    def cross_entropy(self, part: str) -> float:
        """Return the mean of -log(probability of the true class) over the films of ``part``; NaN without films."""
        p = self.predictions
        told = p.probabilities[np.arange(len(p)), p.labels][p.parts == part]
        return float(-np.log(np.maximum(told, FLOOR)).mean()) if told.size else float("nan")

    @property
    def seconds(self) -> float:
        """Seconds of training and feature extraction together."""
        return float(sum(self.model["seconds"].values()))


def read_run(folder: str | Path) -> Run:
    """Read a finished run folder; InputError when a file is missing that every finished run has.

    history.csv, metrics.json and quarantine.csv may be missing: then what they hold was not done.
    """
    folder = Path(folder)
    films = folder / "films.csv"
    return Run(
        folder=folder,
        config=read_json(folder / "config.json"),
        model=read_json(folder / "model.json"),
        metrics=read_json(folder / "metrics.json") if (folder / "metrics.json").exists() else {},
        history=[{key: float(cell) for key, cell in row.items()} for row in _rows(folder / "history.csv")],
        quarantine=_rows(folder / "quarantine.csv"),
        predictions=read_predictions(folder / "predictions.csv", films if films.exists() else None),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    return read_csv(path)[1] if path.exists() else []


def read_runs(out: str | Path) -> list[Run]:
    """Return the finished runs in the folders of ``out``: the paper's models in its order, then the others by name.

    InputError when there is none.
    """
    folders = [folder for folder in sorted(Path(out).glob("*/")) if not _lacking(folder)]
    if not folders:
        raise InputError(f"{out} holds no finished run (a folder with model.json, predictions.csv); train one first.")
    return sorted(map(read_run, folders), key=lambda run: _rank(run.name))


def unfinished(out: str | Path) -> list[str]:
    """Return the names of the folders of ``out`` in which a run was begun and is not finished."""
    return [f.name for f in sorted(Path(out).glob("*/")) if (f / "config.json").exists() and _lacking(f)]


def _lacking(folder: Path) -> bool:
    return not all((folder / name).is_file() for name in ("config.json", "model.json", "predictions.csv"))


def _rank(model: str) -> tuple[int, str]:
    return ORDER.index(model) if model in ORDER else len(ORDER), model


def collect(out: str | Path) -> list[dict[str, Any]]:
    """Return one row a finished run in ``out`` with the keys COLUMNS; numbers are NaN where they were not done.

    Rates and areas are 0..1. gap_accuracy: training minus validation accuracy, both in evaluation mode; gap_loss:
    validation minus training cross-entropy; both are above 0 where the model does better on the films it was fitted to.
    """
    return [table_row(run) for run in read_runs(out)]


def table_row(run: Run) -> dict[str, Any]:
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
        "note": run.note,
        "protocol": run.config["protocol"],
    }


def write_table(out: str | Path) -> None:
    """Write table.csv (COLUMNS; an empty cell was not done) and table.md into ``out`` from its run folders."""
    runs = read_runs(out)
    rows = [table_row(run) for run in runs]
    cells = ([_csv_cell(row[name]) for name in COLUMNS] for row in rows)
    write_csv(Path(out) / "table.csv", COLUMNS, cells)
    write_text(Path(out) / "table.md", _markdown(runs, rows))


def _csv_cell(value: Any) -> Any:
    return "" if isinstance(value, float) and np.isnan(value) else value


# -- in words ---------------------------------------------------------------------------------------------------------


def number(value: float, absent: str = NOT_DONE) -> str:
    """Return ``0.952``, or ``absent`` for NaN."""
    return absent if np.isnan(value) else f"{value:.3f}"


def with_interval(found: Interval) -> str:
    """Return ``0.952 (0.940–0.962)``; the value alone where the bounds are unknown; "undefined" for NaN."""
    return (
        number(found.value, UNDEFINED)
        if np.isnan(found.low)
        else f"{found.value:.3f} ({found.low:.3f}–{found.high:.3f})"
    )


def duration(seconds: float) -> str:
    """Return ``1 h 02 min``, ``16 min 40 s`` or ``3.2 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def operations(flops: float) -> str:
    """Return ``0.32 GFLOP``: floating-point operations in thousands of millions."""
    return f"{flops / 1e9:,.3g} GFLOP"


def judged(run: Run, score: str) -> str:
    """Return the verdict on one cell of Table I in a word or three; empty when the run gets none."""
    if score not in TABLE_I.get(run.name, {}) or why_not_comparable(run.config):
        return ""
    if run.one_class:
        return "did not learn"
    found = run.score(score)
    return NOT_DONE if np.isnan(found.low) else verdict(TABLE_I[run.name][score], found.as_dict())


def part_in_words(part: str) -> str:
    """Return the name of a part as a reader knows it."""
    return {"train": "training", "val": "validation", "test": "test"}.get(part, part)


def _markdown(runs: list[Run], rows: list[dict[str, Any]]) -> str:
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
            *_grid(["Model", *PAPER_SCORES.values()], [_scores_line(run) for run in runs]),
            "",
            *_grid(
                ["Model", "Gap in accuracy", "Gap in loss", "Time", "Parameters", "Operations a film", "Note"],
                [_cost_line(run, row) for run, row in zip(runs, rows, strict=True)],
            ),
            "",
            "Gap in accuracy: training minus validation. Gap in loss: validation minus training cross-entropy.",
            f"The paper's protocol: {PAPER_PROTOCOL}.",
            "",
            "Research and teaching software, not a medical device.",
            "",
        ]
    )


def _scores_line(run: Run) -> list[str]:
    def cell(score: str) -> str:
        published, word = TABLE_I.get(run.name, {}).get(score), judged(run, score)
        against = f"; paper {published:.2f}{': **' + word + '**' if word else ''}" if published else ""
        return run.words(score) + against

    return [run.title + (f" (**{run.note}**)" if run.note else ""), *map(cell, PAPER_SCORES)]


def _cost_line(run: Run, row: dict[str, Any]) -> list[str]:
    return [
        run.title,
        number(row["gap_accuracy"]),
        number(row["gap_loss"]),
        duration(row["seconds"]),
        f"{row['parameters']:,}",
        operations(row["flops_per_film"]),
        row["note"],
    ]


def _grid(header: list[str], lines: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table; a | inside a cell is escaped."""
    body = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in [header, *lines]]
    text = ["| " + " | ".join(line) + " |" for line in body]
    return [text[0], "|" + "---|" * len(header), *text[1:]]
