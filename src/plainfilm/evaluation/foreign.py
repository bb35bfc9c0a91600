"""Predictions that another program made, whatever its columns are called and whatever its scores are.

Columns are recognised by the words that pandas, R, Keras, scikit-learn and torchxrayvision users write, or named by the
user. Where two columns may be meant, nobody guesses. Scores that are no probabilities keep their order, which is all
that AUROC needs; what they say of a single film is calibrated only where somebody asks for it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import rankdata

from plainfilm.data import words
from plainfilm.errors import InputError, did_you_mean
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.intervals import Floats
from plainfilm.evaluation.predictions import Predictions
from plainfilm.storage.tables import read_csv

# Names of columns in small letters without signs between them, the surest first.
ROLES: dict[str, tuple[str, ...]] = {
    "label": (
        *("label", "target", "truth", "groundtruth", "ytrue", "true", "truelabel", "gt", "reference", "class"),
        *("diagnosis", "outcome", "y", "labels", "actual", "observed"),
    ),
    "score": (
        *("score", "prob", "probability", "p", "yscore", "yprob", "ypred", "pred", "prediction", "predicted", "output"),
        *("logit", "logits", "proba", "predprob", "predictedprobability", "likelihood", "confidence", "risk", "p1"),
        *("prob1", "proba1", "probability1", "score1"),
    ),
    "path": (
        *("path", "file", "filename", "filepath", "image", "imagepath", "imageid", "imageindex", "dicomid", "imgid"),
        *("sopinstanceuid", "name", "id", "uid", "studyid", "film"),
    ),
    "patient": ("patient", "patientid", "subject", "subjectid", "pid", "ptid", "mrn", "person", "personid"),
    "part": ("part", "split", "set", "fold", "subset"),
}
ASKED = ("label", "score", "patient")  # of which two possible columns are asked about
FOR_CLASS = re.compile(r"(p|prob|proba|probability|score|pred|logit|y_pred|output)[\s_.:-]+(.+)", re.IGNORECASE)
KINDS = ("probability", "percent", "logit", "rank")
YES = {"1", "true", "yes", "y", "t", "pos", "positive", "+", "present", "ja", "oui", "si", "sí", "abnormal"}


class Foreign(NamedTuple):
    """What was read: predictions, the column of each role, the kind of the scores, and what a user should know."""

    predictions: Predictions
    columns: dict[str, str]
    kind: str
    remarks: tuple[str, ...]


def read_foreign(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    positive: str = "",
    kind: str = "",
    table: tuple[list[str], list[dict[str, str]]] | None = None,
) -> Foreign:
    """Return the predictions in a table of any dialect: see ``storage.tables.read_csv`` for what may be in it.

    ``columns``: {role: column} for roles of ``ROLES``, where they are not to be recognised; ``positive``: the class
    that the scores are for; ``kind``: one of ``KINDS`` where the scores are not to be recognised; ``table``: header and
    rows, where they are at hand already. InputError where a column is missing, may be one of several, or holds what it
    can't mean.
    """
    header, rows = read_csv(path) if table is None else table
    if not rows:
        raise InputError(f"{path} has no rows; there is nothing to score.")
    found = _roles(path, header, columns or {})
    labels = [words.label(row[found["label"]]) for row in rows]
    kept = [i for i, label in enumerate(labels) if label]
    remarks = [f"{len(rows) - len(kept)} rows without a label are left out"] if len(kept) < len(rows) else []
    rows, labels = [rows[i] for i in kept], [labels[i] for i in kept]
    names = sorted(set(labels))
    if not 2 <= len(names) <= 20:
        shown = f"only '{names[0]}'" if len(names) == 1 else f"{len(names)} different values"
        raise InputError(
            f"{path}: the column {found['label']} holds {shown}; name the truth with --columns label=NAME."
        )
    by_class = _by_class(header, names, found)
    if by_class and "score" not in (columns or {}):
        probabilities, kind, said = _several(path, rows, by_class, names)
        decision = Decision.of(names, positive or None)
    else:
        decision = Decision.of(names, positive or _affirmed(names))
        probabilities, kind, said = _one(path, rows, found, decision, kind)
    paths = _paths(path, rows, found)
    patients = [words.patient(row[found["patient"]]) if "patient" in found else "" for row in rows]
    parts = [words.part(row.get(found.get("part", ""), "")) or "test" for row in rows]
    table_of = Predictions(
        paths,
        np.array(parts, dtype=np.str_),
        np.array([names.index(label) for label in labels], dtype=np.int64),
        probabilities,
        decision,
        np.array([who or film for who, film in zip(patients, paths, strict=True)], dtype=np.str_),
    )
    return Foreign(table_of, found, kind, (*remarks, *said))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.strip().lower())


def _roles(path: str | Path, header: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return {role: column}; InputError where one is missing, unknown, or may be one of several."""
    _check_given(path, header, given)
    found = dict(given)
    taken = set(given.values())
    for role, known in ROLES.items():
        if role in given:
            continue
        like = [name for name in header if name not in taken and _plain(name) in known]
        if len(like) > 1 and role in ASKED:
            raise InputError(f"{path}: {' or '.join(like)} may be the {role}; say which: --columns {role}={like[0]}.")
        if like:
            found[role] = min(like, key=lambda name: known.index(_plain(name)))
            taken.add(found[role])
    if "label" not in found:
        raise InputError(
            f"{path}: no column is known to hold the truth (it has {_listed(header)}); name it: --columns label=NAME."
        )
    return found


def _check_given(path: str | Path, header: Sequence[str], given: Mapping[str, str]) -> None:
    for role, column in given.items():
        if role not in ROLES:
            raise InputError(f"--columns {role}={column}: the roles are {', '.join(ROLES)}.{did_you_mean(role, ROLES)}")
        if column not in header:
            raise InputError(f"{path} has no column '{column}'.{did_you_mean(column, header)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")


def _by_class(header: Sequence[str], classes: Sequence[str], found: Mapping[str, str]) -> dict[str, str]:
    """Return {class: column} where every class has a column of its own, named after it; else nothing."""
    columns: dict[str, str] = {}
    for name in header:
        if name in (found["label"], found.get("path"), found.get("patient"), found.get("part")):
            continue
        match = FOR_CLASS.fullmatch(name)
        for text in (name, match[2] if match else ""):
            same = words.same_class(text, classes) if text else None
            if same and same not in columns:
                columns[same] = name
    return columns if len(columns) == len(classes) else {}


def _affirmed(names: Sequence[str]) -> str | None:
    """Return the class that says yes, where one of two does."""
    says = [name for name in names if name.lower() in YES]
    return says[0] if len(says) == 1 and len(names) == 2 else None


def _numbers(path: str | Path, rows: Iterable[Mapping[str, str]], column: str) -> Floats:
    values = np.array([words.number(row[column]) for row in rows])
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise InputError(f"{path}: {wrong.size} rows have no number in {column} (first: row {wrong[0] + 2}).")
    return values


def _one(
    path: str | Path, rows: Sequence[Mapping[str, str]], found: Mapping[str, str], decision: Decision, kind: str
) -> tuple[Floats, str, list[str]]:
    """Return (N, 2) probabilities of one column of scores, its kind, and what is to be said of it."""
    if not decision.two:
        raise InputError(f"{path}: one score can't tell {len(decision.classes)} classes; a column per class is needed.")
    if "score" not in found:
        raise InputError(f"{path}: no column is known to hold the score; name it: --columns score=NAME.")
    chance, kind, said = as_probabilities(_numbers(path, rows, found["score"]), kind)
    both = np.empty((len(chance), 2))
    both[:, decision.column], both[:, 1 - decision.column] = chance, 1 - chance
    return both, kind, [f"{found['score']} is taken for the score of {decision.positive}", *said]


def _several(
    path: str | Path, rows: Sequence[Mapping[str, str]], columns: Mapping[str, str], classes: Sequence[str]
) -> tuple[Floats, str, list[str]]:
    """Return (N, K) probabilities of one column per class: as they are, or by softmax where they are no shares."""
    values = np.column_stack([_numbers(path, rows, columns[name]) for name in classes])
    if values.min() >= 0 and values.max() <= 100 and values.max() > 1 and np.allclose(values.sum(1), 100, atol=0.5):
        return values / values.sum(1, keepdims=True), "percent", ["the scores are taken for per cent"]
    if values.min() >= 0 and values.max() <= 1 and np.allclose(values.sum(1), 1, atol=0.02):
        return values / values.sum(1, keepdims=True), "probability", []
    powers = np.exp(values - values.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True), "logit", ["the scores are no shares of 1; they are taken for logits"]


def as_probabilities(scores: Floats, kind: str = "") -> tuple[Floats, str, list[str]]:
    """Return (N,) values 0..1 in the order of ``scores``, of which kind these are, and what is to be said of it.

    Without a ``kind``: within 0..1 they are probabilities; 0..100 and above 20, per cent; of either sign and within
    ±50, logits (their sigmoid); else only their order counts, as ranks. InputError for an unknown kind, or values that
    it can't have.
    """
    low, high = float(scores.min()), float(scores.max())
    if kind and kind not in KINDS:
        raise InputError(f"--scores {kind}: choose from {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}")
    kind = kind or _kind(low, high)
    least, most = {"probability": (0.0, 1.0), "percent": (0.0, 100.0)}.get(kind, (-np.inf, np.inf))
    if low < least or high > most:
        raise InputError(f"--scores {kind}: they reach from {low:g} to {high:g}; that is no {kind}.")
    ranged = f"the scores reach from {low:g} to {high:g} and are taken for"
    if kind == "percent":
        return scores / 100, kind, [f"{ranged} per cent"]
    if kind == "logit":
        return np.asarray(expit(scores)), kind, [f"{ranged} logits: probabilities are their sigmoid, not calibrated"]
    if kind == "rank":
        ranks = (rankdata(scores) - 0.5) / len(scores)
        return ranks, kind, [f"{ranged} ranks: only their order counts, so thresholds and calibration mean nothing"]
    decisions = [] if len(np.unique(scores)) > 2 else ["the scores have only two values: they are decisions, no scores"]
    return scores, kind, decisions


def _kind(low: float, high: float) -> str:
    """Return what scores from ``low`` to ``high`` may be."""
    if low >= 0 and high <= 1:
        return "probability"
    if low >= 0 and 20 < high <= 100:
        return "percent"
    return "logit" if low < 0 and max(-low, high) <= 50 else "rank"


def _paths(path: str | Path, rows: Sequence[Mapping[str, str]], found: Mapping[str, str]) -> list[str]:
    """Return a name per film; InputError where one stands twice."""
    if "path" not in found:
        return [f"row {number}" for number in range(2, len(rows) + 2)]
    names = [row[found["path"]] for row in rows]
    (name, times), *_ = Counter(names).most_common(1)
    if times > 1:
        raise InputError(
            f"{path}: {name or 'an empty name'} stands {times} times in {found['path']}; each film may be there once "
            "(if these are patients: --columns patient=" + found["path"] + ")."
        )
    return names


def from_arrays(
    labels: Any,
    scores: Any,
    patients: Any = None,
    classes: Sequence[str] | None = None,
    positive: str = "",
    threshold: float = 0.5,
) -> Predictions:
    """Return predictions of N films from arrays.

    labels: (N,) names of classes, booleans, or indices 0 … K - 1 where ``classes`` are given; scores: (N,) probability
    of the positive class 0..1, or (N, K) of each class in the order of ``classes`` (else sorted); patients: (N,), each
    film its own patient without. InputError where shapes differ or values can't be probabilities.
    """
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or values.ndim not in (1, 2) or len(values) != len(truth):
        raise InputError(
            f"labels of shape {truth.shape} and scores of shape {values.shape} don't fit: (N,) and (N,) or (N, K)."
        )
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise InputError(
            "scores must be probabilities within 0..1; plainfilm.evaluation.foreign.as_probabilities makes them."
        )
    names = list(classes) if classes is not None else sorted(set(_spelt(truth)))
    index = _indices(truth, names, classes is not None)
    decision = Decision.of(names, positive or _affirmed(names))
    decision = Decision(decision.classes, decision.positive, threshold)
    if values.ndim == 1:
        if not decision.two:
            raise InputError(f"one score can't tell {len(names)} classes; give (N, {len(names)}) probabilities.")
        both = np.empty((len(values), 2))
        both[:, decision.column], both[:, 1 - decision.column] = values, 1 - values
        values = both
    if values.shape[1] != len(names):
        raise InputError(f"{values.shape[1]} columns of scores for {len(names)} classes ({_listed(names)}).")
    films = [str(number) for number in range(len(truth))]
    whose = films if patients is None else [str(who) for who in np.asarray(patients).tolist()]
    if len(whose) != len(films):
        raise InputError(f"{len(whose)} patients for {len(films)} films.")
    parts = np.full(len(films), "test", dtype=np.str_)
    return Predictions(films, parts, index, values, decision, np.array(whose, dtype=np.str_))


def _spelt(labels: NDArray[Any]) -> list[str]:
    return [words.label(str(int(value) if isinstance(value, bool) else value)) for value in labels.tolist()]


def _indices(truth: NDArray[Any], names: Sequence[str], given: bool) -> NDArray[np.int64]:
    spelt = _spelt(truth)
    places = {name: place for place, name in enumerate(names)}
    if given and not set(spelt) <= set(names) and all(text.isdigit() and int(text) < len(names) for text in set(spelt)):
        return np.array([int(text) for text in spelt], dtype=np.int64)
    unknown = sorted(set(spelt) - set(names))
    if unknown:
        raise InputError(f"label '{unknown[0]}' is none of the classes {_listed(names)}.")
    return np.array([places[text] for text in spelt], dtype=np.int64)
