"""A checklist as a page: what an item asks, what the run says to it, and first the critical items that are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plainfilm.config import DISCLAIMER
from plainfilm.report import verdict
from plainfilm.report.card import AUTHORS
from plainfilm.report.words import NOT_DONE, markdown_table
from plainfilm.runs.folder import RunFolder
from plainfilm.storage.files import write_text


@dataclass(frozen=True)
class Checklist:
    """A published checklist: ``items`` by section and number in our own words, ``source`` in a sentence's middle."""

    name: str
    source: str
    items: Mapping[str, Mapping[str, str]]
    critical: Sequence[str]  # items without which a reader can't judge
    file: str

    def write(self, run: RunFolder, known: Mapping[str, str]) -> Path:
        """Write the page into the folder of ``run``, with the answers ``known`` by number; return its path."""
        missing = [n for n in self.critical if NOT_DONE in known.get(n, NOT_DONE) or AUTHORS in known.get(n, AUTHORS)]
        words = {number: text for items in self.items.values() for number, text in items.items()}
        gaps = sum(NOT_DONE in text for text in known.values())
        lines = [
            f"# {self.name}: {run.title} on {verdict.data_name(run)}",
            "",
            f"The items of {self.source} in our own words, filled from the run's files. {len(known) - gaps} items are "
            f"answered, {gaps} are not done, {len(words) - len(known)} are {AUTHORS}. This is a draft, and no claim "
            "that a manuscript follows it.",
            "",
            "## Critical items that are missing or incomplete",
            "",
            *([f"- **{n}** {words[n]}: {known.get(n, AUTHORS)}" for n in missing] or ["None."]),
            "",
        ]
        for section, items in self.items.items():
            rows = [[number, text, known.get(number, f"*{AUTHORS}*")] for number, text in items.items()]
            lines += [f"## {section}", "", *markdown_table(["Item", "What is asked", "This run"], rows), ""]
        write_text(run.folder / self.file, "\n".join([*lines, DISCLAIMER, ""]))
        return run.folder / self.file
