"""The verdict on a run for the terminal: what its report says first, in some twenty lines."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from plainfilm.evaluation.digits import edge
from plainfilm.report import external, verdict
from plainfilm.report.words import count, note_on, part_in_words, unbroken
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders

WIDTH = 100  # letters of a line
MARGIN = 12  # before the text, for what it is about


def box(run: RunFolder) -> str:
    """Return protocol, films, headline scores with their intervals, red lines and the report's place of a finished run.

    Whoever reads no more has read what must not be missed.
    """
    return _box(run, f"{part_in_words(run.part)} part: ", verdict.red_lines([run]), verdict.standing(run))


def box_elsewhere(seen: RunFolder) -> str:
    """Return the same of films that are not the run's own; ``seen``: see ``elsewhere.as_evaluated``."""
    return _box(seen, "", external.lines(seen.metrics), [])


def _box(run: RunFolder, which: str, red: Sequence[str], standing: Sequence[str]) -> str:
    lines = [heading(f"{run.title} on {verdict.data_name(run)}")]
    lines += entry("Protocol", run.config["protocol"])
    lines += entry("Scored", which + _scored(run))
    for name, title in verdict.HEADLINE.items():
        found = verdict.cell(run, name, title)
        lines += entry("", f"{found.name:20}{found.value:>10}   {found.bounds and f'({found.bounds})'}".rstrip())
    lines += entry("", verdict.in_plain_words(run))
    for line in red:
        lines += entry("RED LINE", line)
    lines += entry("Red lines", "none") if not red else []
    for line in standing:
        lines += entry("", line)
    lines += entry("Report", f"{run.folder / folders.REPORT}; every score: {folders.METRICS} beside it")
    return "\n".join([*lines, "─" * WIDTH])


def _scored(run: RunFolder) -> str:
    films = f"{count(len(run.scored), 'film')}{verdict.of_patients(run.scored)}"
    note = f"; {note_on(run)}" if note_on(run) else ""
    at = f"; {run.positive} from a probability of {edge(run.threshold)} on" if run.two else ""
    return f"{films}{at}{note}; 95 % intervals"


def heading(text: str) -> str:
    """Return ``text`` as the line that a box begins with."""
    return f"── {text} ".ljust(WIDTH, "─")


def entry(about: str, text: str) -> list[str]:
    """Return ``text`` in lines behind what it is about; the margin stays free below it."""
    if not text:
        return []
    first, rest = f"{about:{MARGIN}}", " " * MARGIN
    text = unbroken(text)
    if len(first) + len(text) <= WIDTH:
        return [first + text]
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
