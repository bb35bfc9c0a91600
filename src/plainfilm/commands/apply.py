"""Labels for the scores of a model that plainfilm did not make, by an operating point that ``adapt`` found."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from plainfilm.config import name_pairs
from plainfilm.errors import InputError
from plainfilm.evaluation.point import columns_there, floored, read_point
from plainfilm.evaluation.predictions import read_table_of
from plainfilm.storage.tables import read_table, write_csv


def apply(point: Path, file: Path, out: Path, *, columns: str = "", force: bool = False) -> dict[str, Any]:
    """Label the films of ``file`` as ``point`` (operating.json) says, into the CSV ``out``.

    One row per film: path, label, calibrated probability per class, refer, reason: the columns of ``plainfilm label``.
    Columns and scale of the scores are those of the films that the point was found on; ``columns`` renames some.
    Returns counts: films, referred, and labels by class. InputError where a score is missing or out of its scale.
    """
    found = read_point(point)
    if out.exists() and not force:
        raise InputError(f"{out} exists; choose another name, or add --force to replace it.")
    if out.exists() and out.samefile(file):
        raise InputError(f"--out {out} is the table of scores itself; choose another name.")
    told = columns_there(found.told, dict(name_pairs("--columns", columns, "ROLE=COLUMN")), read_table(file)[0])
    films = floored(read_table_of(file, told=told).predictions).under(found.decision)
    referred = films.decision.refers(films.probabilities).tolist()
    labels = [films.classes[k] for k in films.decided]
    rows = (
        [film, label, *shares.tolist(), "yes" if refer else "no", films.decision.reason(shares) or ""]
        for film, label, shares, refer in zip(films.paths, labels, films.probabilities, referred, strict=True)
    )
    write_csv(out, ("path", "label", *(f"p_{name}" for name in films.classes), "refer", "reason"), rows)
    return {"films": len(films), "referred": sum(referred), "labels": Counter(labels), "out": str(out)}
