"""A table of predictions in whatever dialect and words, as our own: any model and any spreadsheet may have made it.

Tables with columns ``p_<class>`` are ours. Of others, columns are recognised by the words that pandas, R, Keras,
scikit-learn and torchxrayvision users write, or named by the user. Where two columns may be meant, nobody guesses.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from plainfilm.config import name_pairs
from plainfilm.data import words
from plainfilm.data.frames import frame_rows, is_frame
from plainfilm.data.identity import one_spelling
from plainfilm.data.roles import ROLES, candidates, only
from plainfilm.errors import InputError, did_you_mean
from plainfilm.evaluation.decision import Decision, Floats
from plainfilm.evaluation.pairs import pairs
from plainfilm.evaluation.scales import KINDS, Scale, as_probabilities
from plainfilm.progress import bar, say
from plainfilm.storage.columns import Texts
from plainfilm.storage.dialects import COLUMNS
from plainfilm.storage.tables import FIRST_ROW, read_table

if TYPE_CHECKING:
    import pandas

Rows = list[dict[str, str]]
T = TypeVar("T")
LONG, SHOWN = 2_000_000, 1_000  # bytes of a table, from which on a bar is shown; rows between two of its steps

OF_OURS = ("threshold", "threshold_of", "scored_by", "refer", "reason")  # which mean nothing in others' tables
KNOWN = (*COLUMNS, *OF_OURS)
ASKED = ("label", "score", "patient")  # of which two possible columns are asked about
ASK = "say which: --columns {role}={column}"
FOR_CLASS = re.compile(r"(p|prob|proba|probability|score|pred|logit|y_pred|output)[\s_.:-]+(.+)", re.IGNORECASE)
YES = {"1", "true", "yes", "y", "t", "pos", "positive", "+", "present", "ja", "oui", "si", "sí", "abnormal"}


class Told(NamedTuple):
    """What the user says of a table that another program made; what is empty is recognised.

    ``columns``: {role: column} for roles of ``ROLES``; ``scores``: one of ``scales.KINDS``; ``scale``: of the scores,
    where it is known from films before; ``positive``: the class that they are for; ``classes``: all classes;
    ``labelled``: whether the truth is asked for; ``names``: {class as it stands there: what it is to be called}.
    """

    columns: Mapping[str, str] = {}
    scores: str = ""
    scale: Scale | None = None
    positive: str = ""
    classes: tuple[str, ...] = ()
    labelled: bool = True
    names: Mapping[str, str] = {}

    @classmethod
    def of(cls, columns: str = "", scores: str = "", positive: str = "", names: str = "") -> Told:
        """Return what flags say: ``columns`` is ``label=Target,score=prob``, ``names`` is ``healthy=NORMAL``.
        InputError for another form."""
        if scores and scores not in KINDS:
            raise InputError(f"--scores {scores}: choose from {', '.join(KINDS)}.{did_you_mean(scores, KINDS)}")
        renamed = dict(name_pairs("--classes", names))
        roles = dict(name_pairs("--columns", columns, "ROLE=COLUMN"))
        return cls(roles, scores, positive=positive, names=renamed)

    def positive_of(self, classes: Sequence[str]) -> str:
        """Return what a table with these ``classes`` calls the positive one."""
        own = (name for name, new in self.names.items() if new == self.positive and name in classes)
        return self.positive if self.positive in classes else next(own, self.positive)


class Table(NamedTuple):
    """A table in our words: rows with ``path``, ``label`` ("" where unknown), ``part``, ``patient`` and the further
    columns; their numbers in the file; (N, K) probabilities in the order of ``classes``; ``positive``, where it says
    so; the column of each role, where these were recognised; the scale of its scores; what a user should know."""

    header: list[str]
    rows: Rows
    numbers: list[int]
    classes: tuple[str, ...]
    probabilities: Floats
    positive: str = ""
    columns: Mapping[str, str] = {}
    scale: Scale = Scale()
    remarks: tuple[str, ...] = ()


def read_handed_in(path: str | Path | pandas.DataFrame, told: Told | None = None) -> Table:
    """Return a table of predictions, a file's or a DataFrame, by our names; what is wrong with one of ours stays, for
    whoever checks it.

    InputError where a column of another program's table is missing, may be one of several, or holds what it can't mean.
    """
    told = told or Told()
    header, numbered = frame_rows(path) if is_frame(path) else _read(cast("str | Path", path))
    path = named(path)
    of_ours = not told.columns and any(name[:2].lower() == "p_" for name in header) and {"path", "label"} & {*header}
    both = list(numbered)
    numbers, rows = [number for number, _ in both], [row for _, row in both]
    table = _ours(header, rows, numbers) if of_ours else _theirs(path, header, rows, numbers, told)
    return table._replace(positive=told.positive_of(table.classes) or table.positive)


def named(path: str | Path | pandas.DataFrame) -> str:
    """Return what messages call a table."""
    return "The DataFrame" if is_frame(path) else str(path)


def _read(path: str | Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    header, numbered = read_table(path, known=KNOWN)
    return header, _counted(path, numbered)


def _counted(path: str | Path, numbered: Iterator[T]) -> Iterator[T]:
    """Yield what is read, with a bar where a table is long enough to be waited for; a packed one has none."""
    size = os.path.getsize(path)
    if size < LONG or not str(path).lower().endswith((".csv", ".tsv", ".tab")):
        yield from numbered
        return
    with open(path, "rb") as file:
        lines = sum(piece.count(b"\n") for piece in iter(partial(file.read, 1 << 20), b""))
    with bar("Reading rows", lines) as progress:
        while some := list(islice(numbered, SHOWN)):
            progress.step(len(some))
            yield from some


# -- our own ----------------------------------------------------------------------------------------------------------


def _ours(header: list[str], rows: Rows, numbers: list[int]) -> Table:
    ours = {name: _our_name(name, header) for name in header}
    classes = tuple(name[2:] for name in ours.values() if name.startswith("p_"))
    rows = [_our_row({ours[name]: cell for name, cell in row.items()}, classes) for row in rows]
    shares = [[words.number(row[f"p_{name}"]) for name in classes] for row in rows]
    probabilities = np.array(shares, dtype=np.float64).reshape(len(rows), len(classes))
    return Table(list(ours.values()), rows, numbers, classes, probabilities)


def _our_name(name: str, header: list[str]) -> str:
    if name[:2].lower() == "p_":
        return f"p_{name[2:]}"
    return "part" if name == "split" and "part" not in header else name


def _our_row(row: dict[str, str], classes: Sequence[str]) -> dict[str, str]:
    if "label" in row:
        row["label"] = words.same_class(row["label"], classes) or words.known(row["label"])
    if part := words.known(row.get("part", "")):
        row["part"] = words.part(part) or part
    if "patient" in row:
        row["patient"] = words.patient(row["patient"])
    if of := words.known(row.get("threshold_of", "")):
        row["threshold_of"] = words.same_class(of, classes) or of
    return row


# -- another program's ------------------------------------------------------------------------------------------------


def _theirs(path: str | Path, header: list[str], rows: Rows, numbers: list[int], told: Told) -> Table:
    if not rows:
        raise InputError(f"{path} has no rows; there is nothing to score.")
    found = _roles(path, header, rows, told)
    classes = told.classes or _classes(path, rows, found)
    told = told._replace(positive=told.positive_of(classes))
    by_class = {} if "score" in told.columns else _by_class(header, classes, found)
    if by_class:
        probabilities, scale, said = _several(path, rows, by_class, classes)
        positive = told.positive
    else:
        decision = Decision.of(classes, told.positive or affirmed(classes))
        probabilities, scale, said = _one(path, rows, found, decision, told)
        positive = decision.positive
    used = {*found.values(), *by_class.values(), *OF_OURS}
    paths = _paths(path, rows, found)
    ours = [
        {
            **{name: cell for name, cell in row.items() if name and name not in used},
            "path": film,
            "label": words.same_class(row.get(found.get("label", ""), ""), classes) or "",
            "part": words.part(row.get(found.get("part", ""), "")) or "test",
            "patient": words.patient(row.get(found.get("patient", ""), "")),
        }
        for row, film in zip(rows, paths, strict=True)
    ]
    names = ["path", "label", "part", "patient", *(f"p_{name}" for name in classes)]
    names += [name for name in header if name not in used and name not in names]
    return Table(names, ours, numbers, classes, probabilities, positive, found, scale, tuple(said))


def _classes(path: str | Path, rows: Rows, found: Mapping[str, str]) -> tuple[str, ...]:
    """Return the classes in the column of labels, sorted."""
    names = sorted({words.label(row[found["label"]]) for row in rows} - {""})
    if not 2 <= len(names) <= 20:
        shown = f"only '{names[0]}'" if len(names) == 1 else f"{len(names) or 'no'} different values"
        raise InputError(
            f"{path}: the column {found['label']} holds {shown}; name the truth with --columns label=NAME."
        )
    return tuple(names)


def _roles(path: str | Path, header: Sequence[str], rows: Rows, told: Told) -> dict[str, str]:
    """Return {role: column}; InputError where one is missing, unknown, or may be one of several.

    Without a column known to hold the truth, those of a finding (``Edema,Edema_pred``) do, where there is one finding.
    """
    _check_given(path, header, told.columns)
    found = dict(told.columns)
    for role in ROLES:
        if role in told.columns or (role == "label" and not told.labelled):
            continue
        free = [name for name in header if name not in found.values()]
        column = only(role, free, path, ASK) if role in ASKED else next(iter(candidates(role, free)), "")
        if column:
            found[role] = column
    if "label" not in found and told.labelled:
        found |= _of_a_finding(path, header, rows)
    return found


def _of_a_finding(path: str | Path, header: Sequence[str], rows: Rows) -> dict[str, str]:
    questions = list(pairs(header, rows).items())
    if len(questions) == 1:
        truth, score = questions[0][1]
        return {"label": truth, "score": score}
    if questions:
        (name, (truth, score)), others = questions[0], len(questions) - 1
        raise InputError(
            f"{path} holds the truth and the score of {name} and {others} more findings, and one is asked for here: "
            f"--columns label={truth},score={score}."
        )
    raise InputError(
        f"{path}: no column is known to hold the truth (it has {listed(header)}); name it: --columns label=NAME."
    )


def _check_given(path: str | Path, header: Sequence[str], given: Mapping[str, str]) -> None:
    for role, column in given.items():
        if role not in ROLES:
            raise InputError(f"--columns {role}={column}: the roles are {', '.join(ROLES)}.{did_you_mean(role, ROLES)}")
        if column not in header:
            raise InputError(f"{path} has no column '{column}'.{did_you_mean(column, header)}")


def listed(names: Sequence[str]) -> str:
    """Return the first of ``names``, for a sentence."""
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")


def _by_class(header: Sequence[str], classes: Sequence[str], found: Mapping[str, str]) -> dict[str, str]:
    """Return {class: column} where every class has a column of its own, named after it; else nothing."""
    columns: dict[str, str] = {}
    for name in header:
        if name in (found.get("label"), found.get("path"), found.get("patient"), found.get("part")):
            continue
        match = FOR_CLASS.fullmatch(name)
        for text in (name, match[2] if match else ""):
            same = words.same_class(text, classes) if text else None
            if same and same not in columns:
                columns[same] = name
    return columns if len(columns) == len(classes) else {}


def affirmed(names: Sequence[str]) -> str | None:
    """Return the class that says yes, where one of two does."""
    says = [name for name in names if name.lower() in YES]
    return says[0] if len(says) == 1 and len(names) == 2 else None


def _numbers(path: str | Path, rows: Iterable[Mapping[str, str]], column: str) -> Floats:
    values = np.array([words.number(row[column]) for row in rows])
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise InputError(
            f"{path}: {wrong.size} rows have no number in {column} (first: row {wrong[0] + FIRST_ROW}); correct or "
            "leave them out."
        )
    return values


def _one(
    path: str | Path, rows: Sequence[Mapping[str, str]], found: Mapping[str, str], decision: Decision, told: Told
) -> tuple[Floats, Scale, list[str]]:
    """Return (N, 2) probabilities of one column of scores, its scale, and what is to be said of it."""
    if not decision.two:
        raise InputError(f"{path}: one score can't tell {len(decision.classes)} classes; a column per class is needed.")
    if "score" not in found:
        raise InputError(f"{path}: no column is known to hold the score; name it: --columns score=NAME.")
    values = _numbers(path, rows, found["score"])
    if told.scale:
        chance, scale = told.scale.probabilities(values), told.scale
        said = list[str]()
    else:
        chance, scale, said = as_probabilities(values, told.scores)
    both = np.empty((len(chance), 2))
    both[:, decision.column], both[:, 1 - decision.column] = chance, 1 - chance
    return both, scale, [f"{found['score']} is taken for the score of {decision.positive}", *said]


def _several(
    path: str | Path, rows: Sequence[Mapping[str, str]], columns: Mapping[str, str], classes: Sequence[str]
) -> tuple[Floats, Scale, list[str]]:
    """Return (N, K) probabilities of one column per class: as they are, or by softmax where they are no shares."""
    values = np.column_stack([_numbers(path, rows, columns[name]) for name in classes])
    if values.min() >= 0 and values.max() <= 100 and values.max() > 1 and np.allclose(values.sum(1), 100, atol=0.5):
        return values / values.sum(1, keepdims=True), Scale("percent"), ["the scores are taken for per cent"]
    if values.min() >= 0 and values.max() <= 1 and np.allclose(values.sum(1), 1, atol=0.02):
        return values / values.sum(1, keepdims=True), Scale(), []
    powers = np.exp(values - values.max(1, keepdims=True))
    said = ["the scores are no shares of 1; they are taken for logits"]
    return powers / powers.sum(1, keepdims=True), Scale("logit"), said


def _paths(path: str | Path, rows: Sequence[Mapping[str, str]], found: Mapping[str, str]) -> list[str]:
    """Return a name per film; InputError where one stands twice."""
    if "path" not in found:
        return [f"row {number}" for number in range(FIRST_ROW, len(rows) + FIRST_ROW)]
    names = [row[found["path"]] for row in rows]
    (name, times), *_ = Counter(names).most_common(1)
    if times > 1:
        raise InputError(
            f"{path}: {name or 'an empty name'} stands {times} times in {found['path']}; each film may be there once "
            "(if these are patients: --columns patient=" + found["path"] + ")."
        )
    return names


# -- both -------------------------------------------------------------------------------------------------------------


def patients_of(rows: Rows, known: Mapping[str, str]) -> NDArray[np.str_]:
    """Return (N,) each film's patient, all spellings of one as the commonest (which is said); its own path where
    unknown. ``known``: patients by path, for films whose row names none."""
    paths = [row["path"] for row in rows]
    named = [row.get("patient") or known.get(row["path"]) or "" for row in rows]
    found, said = one_spelling(Texts("" if who == film else who for who, film in zip(named, paths, strict=True)))
    if said:
        say(said)
    return np.array([patient or path for patient, path in zip(found, paths, strict=True)], dtype=np.str_)


def with_label(path: str | Path, rows: Rows) -> list[int]:
    """Return the places of the rows that have a label, and say how many have none."""
    places = [place for place, row in enumerate(rows) if row["label"]]
    if unknown := len(rows) - len(places):
        say(f"{unknown:,} of {len(rows):,} films have no label in {path} and are left out: unknown is not negative")
    return places
