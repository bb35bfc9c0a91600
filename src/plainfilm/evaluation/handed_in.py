"""A table of predictions in whatever dialect and words, as our own: any model and any spreadsheet may have made it."""

from __future__ import annotations

from pathlib import Path

from plainfilm.data import words
from plainfilm.data.identity import one_spelling
from plainfilm.progress import say
from plainfilm.storage.columns import Texts
from plainfilm.storage.dialects import COLUMNS
from plainfilm.storage.tables import read_table

Rows = list[dict[str, str]]

KNOWN = (*COLUMNS, "threshold", "threshold_of", "refer", "reason")


def rows_as_ours(path: str | Path) -> tuple[list[str], Rows, list[int]]:
    """Return (header, rows, the rows' numbers in the file): columns by our names, labels as the classes behind ``p_``
    are spelt ("" where unknown), parts as train, val and test, patients "" where unknown.

    What is none of these words stays as it is, for whoever checks the table.
    """
    header, numbered = read_table(path, known=KNOWN)
    ours = {name: _ours(name, header) for name in header}
    classes = [name[2:] for name in ours.values() if name.startswith("p_")]
    numbers, rows = [], []
    for number, row in numbered:
        numbers.append(number)
        rows.append(_row({ours[name]: cell for name, cell in row.items()}, classes))
    return list(ours.values()), rows, numbers


def _ours(name: str, header: list[str]) -> str:
    if name[:2].lower() == "p_":
        return f"p_{name[2:]}"
    return "part" if name == "split" and "part" not in header else name


def _row(row: dict[str, str], classes: list[str]) -> dict[str, str]:
    if "label" in row:
        row["label"] = words.same_class(row["label"], classes) or words.known(row["label"])
    if part := words.known(row.get("part", "")):
        row["part"] = words.part(part) or part
    if "patient" in row:
        row["patient"] = words.patient(row["patient"])
    if of := words.known(row.get("threshold_of", "")):
        row["threshold_of"] = words.same_class(of, classes) or of
    return row


def patients_in_one_spelling(patients: list[str], paths: list[str]) -> list[str]:
    """Return (N,) patients, all spellings of one as the commonest, and say so; "" where a film's patient is unknown,
    or only its own path."""
    named = ["" if patient == path else patient for patient, path in zip(patients, paths, strict=True)]
    found, said = one_spelling(Texts(named))
    if said:
        say(said)
    return list(found)


def labelled(path: str | Path, rows: Rows) -> list[int]:
    """Return the places of the rows that have a label, and say how many have none."""
    places = [place for place, row in enumerate(rows) if row["label"]]
    if unknown := len(rows) - len(places):
        say(f"{unknown:,} of {len(rows):,} films have no label in {path} and are left out: unknown is not negative")
    return places
