"""Run folders as read from disk, and their scores in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.errors import InputError
from plainfilm.evaluation.decision import FLOOR, Decision
from plainfilm.evaluation.intervals import UNKNOWN, Interval
from plainfilm.evaluation.predictions import Predictions, read_predictions
from plainfilm.evaluation.scores import by_patient, one_class_predicted
from plainfilm.report.reference import TABLE_I, verdict, why_not_comparable
from plainfilm.storage import folders
from plainfilm.storage.files import read_json
from plainfilm.storage.tables import read_csv

ORDER = tuple(TABLE_I)
NOT_DONE, UNDEFINED = "not done", "undefined"


@dataclass(frozen=True)
class Run:
    """One finished run folder. What was not done is empty: ``history`` (nothing was trained by epochs), ``metrics``,
    ``probes``, ``audit``."""

    folder: Path
    config: dict[str, Any]
    model: dict[str, Any]
    metrics: dict[str, Any]
    history: list[dict[str, float]]
    quarantine: list[dict[str, str]]
    predictions: Predictions
    probes: dict[str, Any]
    audit: dict[str, Any]

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

    @cached_property
    def validation(self) -> Predictions | None:
        """The validation films, where they are others than the scored ones: what was chosen, was chosen on them."""
        other = self.part != "val" and bool((self.predictions.parts == "val").any())
        return self.predictions.part("val") if other else None

    @property
    def decision(self) -> Decision:
        """How films are decided."""
        return self.predictions.decision

    @property
    def positive(self) -> str:
        """Name of the positive class."""
        return self.decision.positive

    @property
    def two(self) -> bool:
        """Whether there are two classes, so that the threshold decides."""
        return self.decision.two

    @property
    def threshold(self) -> float:
        """The threshold in model.json; the pooled films of several folds have their own beside it."""
        return float(self.model["threshold"])

    @property
    def before(self) -> str:
        """What the probabilities were before, in words; a run of an earlier version does not say what was moved."""
        return "as trained" if "offsets" in self.model else "before the temperature"

    @property
    def calibrated(self) -> bool:
        """Whether anything was fitted to make the probabilities true."""
        return self.decision.temperature != 1 or any(self.decision.offsets)

    @property
    def fitted(self) -> str:
        """What was fitted to make the probabilities true, in words."""
        if not self.calibrated:
            return "probabilities as trained"
        offsets, k = self.decision.offsets, self.decision.column
        moved = offsets[k] - np.delete(offsets, k).mean() if offsets else 0
        offset = f", log-odds of {self.positive} moved by {moved:+.2f}" if moved else ""
        return f"temperature {self.decision.temperature:.2f}{offset}, fitted on validation films"

    @cached_property
    def as_trained(self) -> Predictions:
        """The scored films with the probabilities that the network gave before anything was fitted on validation."""
        return replace(self.scored, probabilities=self.decision.as_trained(self.scored.probabilities))

    @cached_property
    def one_class(self) -> str | None:
        """The class that every scored film gets although there are several to tell apart, or None."""
        scored = self.scored
        several = len(np.unique(scored.labels)) > 1
        return one_class_predicted(scored) if several else None

    @property
    def note(self) -> str:
        """What must be read before any figure of this run; empty when there is nothing."""
        return f"did not learn: one class predicted ({self.one_class})" if self.one_class else ""

    @property
    def label(self) -> str:
        """The title, and behind it that the model did not learn, where that is so: for whatever shows its figures."""
        return f"{self.title} (did not learn)" if self.one_class else self.title

    def score(self, name: str, part: str | None = None) -> Interval:
        """Return a score from metrics.json, of the scored part unless named; unknown (NaN) where it was not done.

        Its interval is the one that lets films of a patient err together, where there is one.
        """
        found = self.metrics.get(part or self.part, {})
        return interval(by_patient(found, name))

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

    history.csv, metrics.json, quarantine.csv, probes.json and audit.json may be missing: then what they hold was not
    done.
    """
    folder = Path(folder)
    model = read_json(folder / folders.DESCRIPTION)
    return Run(
        folder=folder,
        config=read_json(folder / folders.CONFIG),
        model=model,
        metrics=_optional(folder / folders.METRICS),
        history=[{key: float(cell) for key, cell in row.items()} for row in _rows(folder / folders.HISTORY)],
        quarantine=_rows(folder / folders.QUARANTINE),
        predictions=read_predictions_of(folder, folder, model),
        probes=_optional(folder / folders.PROBES),
        audit=_optional(folder / folders.AUDIT),
    )


def read_predictions_of(folder: Path, films: Path, model: dict[str, Any]) -> Predictions:
    """Return predictions.csv of ``folder``, by ``model`` (model.json), with the patients in films.csv of the run folder
    ``films``, if any."""
    patients = films / folders.FILMS
    return read_predictions(folder / folders.PREDICTIONS, patients if patients.exists() else None, model)


def _optional(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(path) if path.exists() else {}
    return found


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
    return [f.name for f in sorted(Path(out).glob("*/")) if (f / folders.CONFIG).exists() and _lacking(f)]


def _lacking(folder: Path) -> bool:
    return not all((folder / name).is_file() for name in (folders.CONFIG, folders.DESCRIPTION, folders.PREDICTIONS))


def _rank(model: str) -> tuple[int, str]:
    return ORDER.index(model) if model in ORDER else len(ORDER), model


def did_not_learn(runs: list[Run]) -> list[int]:
    """Return the places of those of ``runs`` that did not learn."""
    return [number for number, run in enumerate(runs) if run.one_class]


# -- in words ---------------------------------------------------------------------------------------------------------


def number(value: float, absent: str = NOT_DONE) -> str:
    """Return ``0.952``, or ``absent`` for NaN."""
    return absent if np.isnan(value) else f"{value:.3f}"


def with_interval(found: Interval) -> str:
    """Return ``0.952 (0.940–0.962)``; the value alone where the bounds are unknown; "undefined" for NaN."""
    if np.isnan(found.low) or np.isnan(found.value):
        return number(found.value, UNDEFINED)
    between = "–" if found.low >= 0 else " to "  # a dash beside a minus can't be read
    return f"{found.value:.3f} ({found.low:.3f}{between}{found.high:.3f})"


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


def interval(found: dict[str, float | None] | None) -> Interval:
    """Return {"value", "low", "high"} as read from JSON, where null is unknown; all unknown for None."""
    if found is None:
        return UNKNOWN
    return Interval(*(float("nan") if (value := found[key]) is None else float(value) for key in Interval._fields))


def percent(share: float) -> str:
    """Return ``25 %``, below 10 % with a digit behind the point where there is one; "undefined" for NaN."""
    return UNDEFINED if np.isnan(share) else f"{round(100 * share, 0 if share >= 0.1 else 1):g} %"


def count(n: int, noun: str) -> str:
    """Return ``1 film`` or ``1,304 films``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def markdown_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; a | inside a cell is escaped."""
    body = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in [header, *lines]]
    text = ["| " + " | ".join(line) + " |" for line in body]
    return [text[0], "|" + "---|" * len(header), *text[1:]]
