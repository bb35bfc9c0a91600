"""What a report says of a run and of numbers, in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from plainfilm.evaluation.intervals import Interval
from plainfilm.report.reference import TABLE_I, verdict, why_not_comparable
from plainfilm.runs.folder import RunFolder
from plainfilm.storage.documents import Part

NOT_DONE, UNDEFINED = "not done", "undefined"
SENTENCE = 40  # letters: a longer cell is no number with its interval
SCORED_THEMSELVES = "the very films that are scored"
AS_GIVEN = "probabilities as given; whether anything was fitted to make them true is not known"


class Table(NamedTuple):
    """A table on the page; the first cell of a row heads it."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    void: Sequence[int] = ()  # rows of models that did not learn

    def wordy(self, column: int) -> bool:
        """Whether a column holds sentences, which are broken into lines; numbers are not."""
        return any(len(cell) > SENTENCE for row in self.rows for cell in row[column : column + 1])


def before_in_words(run: RunFolder) -> str:
    """Return what the probabilities were before any calibration; a run of an earlier version does not say what was
    moved."""
    return "as trained" if "offsets" in run.model else "before the temperature"


def chosen_on(run: RunFolder) -> str:
    """Return which films threshold, calibration and refer band were chosen on; of films from elsewhere the model
    brings them with it."""
    if brought := run.model.get("chosen_on"):
        return str(brought)
    return "validation films" if run.validation is not None else SCORED_THEMSELVES


def fitted_in_words(run: RunFolder) -> str:
    """Return what was fitted to make the probabilities true."""
    if run.cross_fitted:
        return "each film by temperature and threshold fitted to other patients' films"
    if not run.calibrated:
        if "chosen_on" in run.model and "offsets" not in run.model:
            return AS_GIVEN
        if run.validation is None or "offsets" not in run.model:
            return "probabilities as trained"
        films = count(len(run.validation), "validation film")
        return f"probabilities as trained ({films}: too few, or too near, to show that calibrating helps)"
    moved = log_odds_moved(run)
    offset = f", log-odds of {run.positive} moved by {moved:+.2f}" if moved else ""
    where = run.model.get("chosen_on", "validation films")
    return f"temperature {run.decision.temperature:.2f}{offset}, fitted on {where}"


def log_odds_moved(run: RunFolder) -> float:
    """Return how far calibration moved the positive class's log-odds; 0 for nothing."""
    offsets, k = run.decision.offsets, run.decision.column
    return float(offsets[k] - np.delete(offsets, k).mean()) if offsets else 0.0


def note_on(run: RunFolder) -> str:
    """Return what must be read before any figure of this run; empty when there is nothing."""
    return f"did not learn: one class predicted ({run.one_class})" if run.one_class else ""


def title_of(run: RunFolder) -> str:
    """Return the title, and behind it that the model did not learn, where that is so."""
    return f"{run.title} (did not learn)" if run.one_class else run.title


def score_in_words(run: RunFolder, name: str, part: Part | None = None) -> str:
    """Return a score as it is to read: ``0.952 (0.940–0.962)``, "undefined" on these films, or "not done"."""
    return with_interval(run.score(name, part)) if name in run.scores(part) else NOT_DONE


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


def judged(run: RunFolder, score: str) -> str:
    """Return the verdict on one cell of Table I in a word or three; empty when the run gets none."""
    if score not in TABLE_I.get(run.name, {}) or why_not_comparable(run.config):
        return ""
    if run.one_class:
        return "did not learn"
    found = run.score(score)
    return NOT_DONE if np.isnan(found.low) else verdict(TABLE_I[run.name][score], found.as_dict())


def unbroken(text: str) -> str:
    """Return ``text`` with each number kept on the line of its per cent sign."""
    return re.sub(r"(?<=\d) %", "\u00a0%", text)


def part_in_words(part: str) -> str:
    """Return the name of a part as a reader knows it."""
    return {"train": "training", "val": "validation", "test": "test"}.get(part, part)


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
