"""Findings in another program's table: which column holds the truth of a finding, and which its score."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from plainfilm.data import words
from plainfilm.data.roles import plain

SCORE = "p|prob|proba|probability|score|pred|prediction|predicted|logit|output"
TRUTH = ("", "y", "true", "truth", "label", "gt", "groundtruth", "target", "actual", "reference")
OF_SCORE = re.compile(rf"(?:y[\s_.:-]+)?(?:{SCORE})[\s_.:-]+(.+)|(.+?)[\s_.:-]+(?:{SCORE})", re.IGNORECASE)
CELLS = {"1", "0", "-1", ""}  # yes, no, uncertain, unknown


def pairs(header: Sequence[str], rows: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, str]]:
    """Return {finding: (column of its truth, column of its score)} of ``Edema,Edema_pred``, ``true_Edema,prob_Edema``
    and the like, as they stand in the table; a truth is 1, 0, -1 or not known in every row."""
    found: dict[str, tuple[str, str]] = {}
    for score in header:
        match = OF_SCORE.fullmatch(score.strip())
        name = (match[1] or match[2]).strip() if match else ""
        named = {word + plain(name) for word in TRUTH} | {plain(name) + word for word in TRUTH}
        like = [column for column in header if column != score and plain(column) in named] if plain(name) else []
        truths = [column for column in like if all(words.label(row.get(column, "")) in CELLS for row in rows)]
        if len(truths) == 1 and name not in found:
            found[name] = (truths[0], score)
    return found
