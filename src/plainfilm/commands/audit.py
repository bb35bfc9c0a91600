"""What is wrong with a data set before anything is trained on it, and whether another set is like it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from plainfilm.audit.document import examine
from plainfilm.audit.measure import LOOKS, NAMES, NUMBERS, Measured, measure
from plainfilm.data.films import FILMS_HEADER, Films
from plainfilm.data.findings import question_of
from plainfilm.data.identity import find_patient
from plainfilm.data.sources import load, unlabelled
from plainfilm.errors import CheckFailed, InputError, refuse
from plainfilm.evaluation.decision import positive_class
from plainfilm.evaluation.predictions import Predictions, read_predictions
from plainfilm.machine import ranks
from plainfilm.progress import say
from plainfilm.storage import folders
from plainfilm.storage.files import sealed, write_json
from plainfilm.storage.tables import is_table, write_csv


def audit(
    data: str,
    *,
    against: str = "",
    out: Path | None = None,
    positive: str = "",
    predictions: Path | None = None,
    strict: bool = False,
    seed: int = 0,
    **reading: Any,
) -> dict[str, Any]:
    """Audit the films of ``data``, and with ``against`` whether that set is like them; return audit.json's document.

    With ``out``, which must be new or empty, everything found is written there; without, nothing is written.
    ``reading``: how ``data`` is read, see ``data.sources.load``; of ``against`` the same finding is asked.
    Processes that torchrun started measure films by turns; the first does the rest, the others return {}.
    ``strict``: CheckFailed, with the document, when there is a red line or a film that can't be read. InputError says
    which source can't be used, and why.
    """
    with ranks.joined():
        with ranks.together():
            if out:
                folders.require_free(out, folders.AUDITED)
            films = load(data, **reading)
            given = _given(films, positive, predictions)
            other = _other(against, reading, films) if against else None
            if other and other.name == films.name:  # both are called `train`, say
                other = replace(other, name=against)
            if out:
                out.mkdir(parents=True, exist_ok=True)  # what stands against it shows before hours of measuring
        for note in (*films.notes, *(other.notes if other else ())):
            say(note)
        measured = measure(films)
        foreign = measure(other) if other else None
    if ranks.rank():
        return {}
    found = examine(measured, foreign, seed, positive, given)
    if out:
        with sealed(out):
            _write(out, found, measured)
            _report(out, found, measured, foreign)
    if strict:
        _check(found)
    return found


def _given(films: Films, positive: str, predictions: Path | None) -> Predictions | None:
    """Return the predictions handed in, if any; InputError where they or ``positive`` are not for such films."""
    if films.findings:
        refuse("films with several findings", {"positive": positive, "predictions": predictions})
    else:
        positive_class(films.classes, positive or None)
    return read_predictions(predictions) if predictions else None


def _report(out: Path, found: dict[str, Any], measured: Measured, foreign: Measured | None) -> None:
    try:
        from plainfilm.report.audit import audit_report  # which draws; what was found needs no Matplotlib
    except ImportError:
        say("No report: it takes plainfilm[train].")
        return
    audit_report(out, found, measured, foreign)
    say(f"Report: {out / folders.REPORT}")


def _check(found: dict[str, Any]) -> None:
    """CheckFailed when the audit raised a red line or met a film that can't be read."""
    reasons = [f"{len(found['red_lines'])} red line{'s' * (len(found['red_lines']) > 1)}"] * bool(found["red_lines"])
    bad = len(found["unreadable"])
    reasons += [f"{bad} film{'s' * (bad > 1)} that can't be read"] * bool(bad)
    if reasons:
        raise CheckFailed(f"--strict: {found['data']} has {' and '.join(reasons)}.", found)


def _other(against: str, reading: Mapping[str, str], ours: Films) -> Films:
    """Return the films of the other set, with a label only where it is one of the classes of ``ours``.

    A set that is no classified one (loose films, one class) is taken as well: its folders may still name our classes.
    """
    alike = {name: value for name, value in reading.items() if name != "findings"}  # it may have classes instead
    alike |= {"findings": ",".join(ours.findings)} if ours.findings else {}
    try:
        films = load(against, fewest=1, question=question_of(ours.classes), **alike)
    except InputError:
        if is_table(against):
            raise
        films = unlabelled(against)
        films = films.with_films(
            replace(
                film,
                label=PurePosixPath(film.path).parent.name,
                patient=find_patient(film.path, *filter(None, [reading.get("patient_regex")])),
            )
            for film in films
        )
    known = {name.lower(): name for name in ours.classes}
    return films.with_films(replace(film, label=known.get(film.label.lower(), "")) for film in films)


def _write(out: Path, found: dict[str, Any], measured: Measured) -> None:
    write_json(out / folders.AUDIT, found)
    films = measured.films
    columns = [name.replace(" ", "_").lower() for name in (*NUMBERS, *NAMES, *LOOKS)]
    known = [name for name in columns if name not in FILMS_HEADER]
    names = (np.array(measured.different, object)[codes] for codes in measured.codes)
    rows = zip(films, measured.numbers, names, measured.looks, strict=True)
    write_csv(
        out / folders.FILMS,
        (*FILMS_HEADER, *known),
        (
            [
                *(getattr(film, name) for name in FILMS_HEADER),
                *(v for name, v in zip(columns, _cells(*values), strict=True) if name in known),
            ]
            for film, *values in rows
        ),
    )
    write_csv(out / folders.QUARANTINE, ("path", "reason"), sorted(films.quarantine))
    write_csv(out / folders.MANIFEST, ("sha256", "path"), ((film.sha256, film.path) for film in films))
    header = ("group", "kind", "correlation", "path", "label", "patient", "part")
    twins = (
        (number, row["kind"], row["correlation"], *film.values())
        for number, row in enumerate(found["duplicates"], 1)
        for film in row["films"]
    )
    write_csv(out / folders.DUPLICATES, header, twins)


def _cells(*values: np.ndarray) -> list[Any]:
    """Return numbers and names in one row; a number that a film does not have is an empty cell."""
    return ["" if value != value else value for columns in values for value in columns.tolist()]
