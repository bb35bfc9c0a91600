"""The question that is put to films with findings: one finding is a question of two classes, several are a task of
findings. A cell that nobody knows is never negative."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace

import numpy as np

from plainfilm.data import words
from plainfilm.data.films import CELLS, FINDING, NEGATIVE, POSITIVE, UNCERTAIN, UNKNOWN, Cells, Films, Table
from plainfilm.errors import InputError, did_you_mean
from plainfilm.storage.columns import Kinds, Words

ALL = "all"
MEANS = {  # what a cell of a finding may be, in small letters
    **dict.fromkeys(("1", "yes", "y", "true", "positive", "pos", "present"), POSITIVE),
    **dict.fromkeys(("0", "no", "n", "false", "negative", "neg", "absent"), NEGATIVE),
    **dict.fromkeys(("-1", "uncertain", "equivocal"), UNCERTAIN),
    "": UNKNOWN,
}
NO_FINDINGS = {"sex", "gender", "age", "site", "scanner", "view", "fold", "label", "patient", "split"}  # though 0 and 1
KEPT = 32  # findings of a set that are kept as columns when they are not in question
SAID = 20  # findings whose counts are said


def no(finding: str) -> str:
    """Return the name of the class of films without ``finding``."""
    return f"no {finding}"


def question_of(classes: Sequence[str]) -> str:
    """Return the finding whose question of yes or no the two ``classes`` answer; "" where they are others."""
    return next((name for name in classes if len(classes) == 2 and no(name) in classes), "")


def in_question(
    films: Films, findings: str, uncertain: str = "ignore", default: str = "", beside: Sequence[str] = ()
) -> Films:
    """Return ``films`` as ``findings`` asks about them: "all", "NAME" or "NAME,NAME"; as they are where none is asked
    about and the table holds none.

    One name makes two classes, NAME and no NAME, of the films whose cell is known; the others are left out. Several
    stay findings, unknown cells and all. Findings that are not in question become further columns, up to KEPT.
    ``default``: the finding that is meant where none is named and the films have no class. ``beside``: those that "all"
    does not mean.
    """
    own = films.films.findings.names
    labelled = bool(set(films.films.labels.different) - {""})
    wanted = findings or ("" if labelled else default)
    if not wanted and own:
        raise InputError(_choose(films))
    if not wanted:
        return films
    possible = own or _like_findings(films.films)
    if wanted.strip().lower() == ALL:
        names = tuple(name for name in possible if name not in beside)
        if not names:
            raise InputError(f"{films.name} has no column with the cells of a finding (1, 0, -1 or empty).")
    else:
        names = tuple(dict.fromkeys(_named(films, part, own or tuple(films.films.columns)) for part in _split(wanted)))
    table, also, notes = _asked(films, names)
    asked = replace(films, films=table, also=also, uncertain=uncertain, notes=(*films.notes, *notes))
    return _two_classes(asked, names[0]) if len(names) == 1 else asked


def _split(wanted: str) -> list[str]:
    return [part.strip() for part in wanted.split(",") if part.strip()]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.removeprefix(FINDING).lower())


def _named(films: Films, part: str, possible: Iterable[str]) -> str:
    """Return the finding that ``part`` names, in whatever capitals and separators."""
    like = [name for name in possible if _plain(name) == _plain(part)]
    exact = [name for name in like if name == part]
    if not like:
        few = [*possible][:SAID]
        held = f"it has {', '.join(few)}{' …' * (len(few) == SAID)}" if few else "its films have classes"
        raise InputError(f"{films.name} has no finding '{part}'; {held}.{did_you_mean(part, possible)}")
    return (exact or like)[0]


def _choose(films: Films) -> str:
    table = films.films.findings
    counts = (table.array == POSITIVE).sum(axis=0)
    order = np.argsort(-counts, kind="stable")[:SAID]
    shown = ", ".join(f"{table.names[k]} ({counts[k]:,})" for k in order)
    more = f" and {len(counts) - SAID} more" if len(counts) > SAID else ""
    return (
        f"{films.name} holds {len(counts)} findings, with positive films: {shown}{more}. Say which are in question: "
        f"--findings NAME (a question of yes or no), --findings NAME,NAME or --findings all."
    )


def _like_findings(table: Table) -> tuple[str, ...]:
    """Return the columns all of whose cells are those of a finding, some of them known."""
    return tuple(
        name
        for name, column in table.columns.items()
        if name.lower() not in NO_FINDINGS and {*map(_meant, column.different)} - {None, *range(-2, 0)}
        if None not in map(_meant, column.different)
    )


def _meant(cell: str) -> int | None:
    return MEANS.get(words.label(cell).lower())


def _asked(films: Films, names: tuple[str, ...]) -> tuple[Table, tuple[str, ...], list[str]]:
    """Return the table with the cells of ``names`` alone, which other findings became columns, and what to say."""
    table = copy(films.films)
    own, columns, notes = table.findings, dict(table.columns), []
    if own.names:
        cells = own.array[:, [own.names.index(name) for name in names]]
        also = tuple(name for name in own.names if name not in names)
        if len(also) > KEPT:
            notes.append(f"{len(also)} findings of {films.name} that were not asked for are not kept")
            also = ()
        columns |= {name: _as_column(own.array[:, own.names.index(name)]) for name in also}
    else:
        cells = np.stack([_from_column(films, name) for name in names], axis=1)
        also = tuple(name for name in _like_findings(table) if name not in names)
        columns = {name: column for name, column in columns.items() if name not in names}
    table.findings = Cells.of(tuple(name.removeprefix(FINDING) for name in names), cells)
    table.columns = columns
    return table, also, notes + _counts(table.findings)


def _as_column(cells: np.ndarray) -> Words:
    order = (POSITIVE, NEGATIVE, UNCERTAIN, UNKNOWN)
    return Words.coded([CELLS[value] for value in order], np.select([cells == v for v in order[:3]], [0, 1, 2], 3))


def _from_column(films: Films, name: str) -> np.ndarray:
    column = films.films.columns[name]
    if wrong := next((cell for cell in column.different if _meant(cell) is None), None):
        place = films.films.paths[list(column).index(wrong)]
        raise InputError(
            f"{films.name}: the column {name} has '{wrong}' ({place}), which is none of 1, 0, -1 (uncertain) or empty"
            " (unknown)."
        )
    return column.mapped(_meant, np.int8)


def _counts(cells: Cells) -> list[str]:
    said = []
    for k, name in enumerate(cells.names[:SAID]):
        of = {value: int((cells.array[:, k] == value).sum()) for value in (POSITIVE, NEGATIVE, UNCERTAIN, UNKNOWN)}
        rest = f", {of[UNCERTAIN]:,} uncertain" * bool(of[UNCERTAIN]) + f", {of[UNKNOWN]:,} unknown" * bool(of[UNKNOWN])
        said.append(f"{name} {of[POSITIVE]:,} positive, {of[NEGATIVE]:,} negative{rest}")
    return [f"Films by finding: {'; '.join(said)}{' …' * (len(cells.names) > SAID)}"]


def as_question(films: Films, finding: str) -> tuple[Films, np.ndarray]:
    """Return the films of which ``finding`` is known, with the classes NAME and no NAME, and their places; the other
    findings are no part of it."""
    truth = films.truth[:, films.findings.index(finding)]
    known = np.flatnonzero(truth >= 0)
    table = films.films.take(known)
    table.labels = Kinds(finding if value else no(finding) for value in truth[known].tolist())
    table.findings = Cells()
    return replace(films, films=table), known


def _two_classes(films: Films, name: str) -> Films:
    """Return the films whose cell is known, with the classes NAME and no NAME, and say how many are left out."""
    finding = name.removeprefix(FINDING)
    asked, known = as_question(films, finding)
    left = len(films) - len(known)
    note = f"{left:,} films of which {finding} is not known are left out: unknown is not negative"
    return replace(asked, notes=(*films.notes, *[note] * bool(left)))


def answerable(films: Films, findings: str) -> Films:
    """Return ``films`` as they are trained on if ``findings`` is "all": without the findings no film is known to
    have, or none to lack (No Finding of CheXpert is never 0). They become columns, and a note names them."""
    if findings.strip().lower() != ALL or not films.findings:
        return films
    truth = films.truth
    both = (truth == 1).any(axis=0) & (truth == 0).any(axis=0)
    names = tuple(name for name, kept in zip(films.findings, both, strict=True) if kept)
    away = [name for name in films.findings if name not in names]
    if not away or len(names) < 2:
        return films
    table, also, _ = _asked(films, names)
    note = f"Not trained on, since only one answer is known of any film: {', '.join(away)}"
    return replace(films, films=table, also=(*films.also, *also), notes=(*films.notes, note))


def known_cells(films: Films) -> dict[str, dict[str, int]]:
    """Return {finding: {"positive", "negative", "unknown"}} over all films."""
    counts = {"positive": films.truth == 1, "negative": films.truth == 0, "unknown": films.truth < 0}
    return {
        name: {kind: int(cells[:, k].sum()) for kind, cells in counts.items()} for k, name in enumerate(films.findings)
    }
