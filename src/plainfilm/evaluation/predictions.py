"""``predictions.csv``: one row a film with its part, label and one probability a class; any model can hand one in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.data.films import Film
from plainfilm.errors import InputError, did_you_mean
from plainfilm.storage.tables import read_csv, write_csv

Rows = list[dict[str, str]]

SUM_TOLERANCE = 1e-3  # probabilities printed with four decimals still pass
NEGATIVE_NAMES = {"none", "clear", "control", "controls", "unaffected", "absent", "benign", "gesund", "sain", "sano"}
NEGATIVE_BEGINNINGS = ("normal", "health", "negativ", "nofinding", "without")


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said about N films, and what is true of them.

    paths: N names; parts: (N,) text such as "test"; labels: (N,) indices into ``classes``;
    probabilities: (N, K) in 0..1, rows sum to one; patients: (N,) text, the film's own path where unknown.
    """

    paths: list[str]
    parts: NDArray[np.str_]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    classes: tuple[str, ...]
    patients: NDArray[np.str_]
    thresholds: NDArray[np.float64] | None = None  # (N,) the film's own, of its fold say; goes before any other
    threshold_of: str = ""  # class whose probability they are for; empty: whichever is asked for as the positive one

    def __len__(self) -> int:
        return len(self.paths)

    @staticmethod
    def of(films: Sequence[Film], probabilities: NDArray[np.float64], classes: tuple[str, ...]) -> Predictions:
        """Return the table of ``films`` with their (N, K) probabilities; a film without a label counts as the first
        class, one without a part as test."""
        return Predictions(
            [film.path for film in films],
            np.array([film.part or "test" for film in films], dtype=np.str_),
            np.array([classes.index(film.label) if film.label else 0 for film in films], dtype=np.int64),
            probabilities,
            classes,
            np.array([film.group for film in films], dtype=np.str_),
        )

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Predictions:
        """Return the films at ``rows``: indices in the wanted order, or a mask of N truth values."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Predictions(
            [self.paths[i] for i in rows],
            self.parts[rows],
            self.labels[rows],
            self.probabilities[rows],
            self.classes,
            self.patients[rows],
            None if self.thresholds is None else self.thresholds[rows],
            self.threshold_of,
        )

    def deciding(self, threshold: float, of: str) -> Predictions:
        """Return the table with one threshold for all films, for the probability of class ``of``; the table itself
        where films have their own, or the likeliest class decides."""
        if self.thresholds is not None or len(self.classes) > 2:
            return self
        return replace(self, thresholds=np.full(len(self), threshold), threshold_of=of)

    def part(self, name: str) -> Predictions:
        """Return the films of one part; InputError when there are none."""
        chosen = self.parts == name
        if not chosen.any():
            raise InputError(f"No film belongs to the part '{name}'.{did_you_mean(name, sorted(set(self.parts)))}")
        return self.take(chosen)

    def decided(self, positive: int, threshold: float | NDArray[np.float64]) -> NDArray[np.int64]:
        """Return (N,) the class each film gets.

        Two classes: ``positive`` where its probability >= ``threshold``, or the film's own (for the class it is of)
        where ``thresholds`` are known, so a tie counts as positive. More: the likeliest class, the first of equals; no
        threshold is used.
        """
        if len(self.classes) > 2:
            return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)
        cut = threshold if self.thresholds is None else self.thresholds
        own = self.classes.index(self.threshold_of) if self.thresholds is not None and self.threshold_of else positive
        return np.where(self.probabilities[:, own] >= cut, own, 1 - own)


def positive_class(classes: Sequence[str], named: str | None = None) -> int:
    """Return the index of the positive class: the ``named`` one, else the one not called normal, else the last.

    The negative class is known by such names as normal, healthy, negative, no finding, or non-X beside a class X. With
    more than two classes and no name there is no such rule: the last that is not negative is returned (see
    ``positive_is_a_guess``). InputError on an unknown name.
    """
    if named is not None:
        matches = [i for i, c in enumerate(classes) if c == named]
        matches += [i for i, c in enumerate(classes) if c.lower() == named.lower()]
        if not matches:
            raise InputError(f"There is no class '{named}' to be the positive one.{did_you_mean(named, classes)}")
        return matches[0]
    positives = [i for i, c in enumerate(classes) if not _is_negative(c, classes)]
    return positives[-1] if positives else len(classes) - 1


def positive_is_a_guess(classes: Sequence[str]) -> bool:
    """Return whether the names of the classes leave open which is the positive one."""
    return sum(not _is_negative(name, classes) for name in classes) != 1


def _is_negative(name: str, classes: Sequence[str]) -> bool:
    plain, others = _letters(name), {_letters(other) for other in classes} - {_letters(name)}
    denied = any(plain.startswith(no) and plain.removeprefix(no) in others for no in ("no", "non", "not"))
    return denied or plain in NEGATIVE_NAMES or plain.startswith(NEGATIVE_BEGINNINGS)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def write_predictions(path: str | Path, p: Predictions) -> None:
    """Write ``path,part,label,p_<class>…``, then ``patient`` where any is known, ``threshold`` and the class it is for
    (``threshold_of``) where films have their own; numbers read back exactly."""
    last: dict[str, list[Any]] = {"patient": p.patients.tolist()} if p.patients.tolist() != p.paths else {}
    last |= {} if p.thresholds is None else {"threshold": p.thresholds.tolist()}
    last |= {"threshold_of": [p.threshold_of] * len(p)} if p.thresholds is not None and p.threshold_of else {}
    header = ["path", "part", "label", *(f"p_{name}" for name in p.classes), *last]
    names = [p.classes[i] for i in p.labels]
    rows = zip(p.paths, p.parts.tolist(), names, p.probabilities.tolist(), *last.values(), strict=True)
    write_csv(path, header, ([film, part, label, *shares, *rest] for film, part, label, shares, *rest in rows))


def read_predictions(path: str | Path, films_csv: str | Path | None = None) -> Predictions:
    """Return the predictions in a CSV ``path,part,label,p_<class>…``, from this product or from any other model.

    The classes are what stands after ``p_``, in the order of the columns. ``part`` may be missing (then "test"). A
    column ``threshold`` (of pooled folds) is each film's own, for the probability of the class in ``threshold_of``,
    one for all films. A film's patient is taken from a ``patient`` column, else from ``films_csv`` (by path), else it
    is its own path.
    All mistakes are collected into one InputError.
    """
    header, rows = read_csv(path)
    classes = tuple(name[2:] for name in header if name.startswith("p_"))
    of = [row.get("threshold_of", "") for row in rows]
    named = of[0] if of else ""
    mistakes = [
        *_header_mistakes(header, classes),
        *([] if rows else ["it has no rows"]),
        *(_path_mistakes([row["path"] for row in rows]) if "path" in header else []),
        *(_label_mistakes([row["label"] for row in rows], classes) if "label" in header and classes else []),
        *_probability_mistakes(_probabilities(rows, classes)),
        *_part_mistakes([row.get("part") or "test" for row in rows]),
        *_threshold_mistakes(_thresholds(header, rows)),
        *_found([name not in ("", *classes) or name != named for name in of], "another class in threshold_of", of),
    ]
    if mistakes:
        raise InputError(f"{path} can't be scored: {'; '.join(mistakes)}; correct the file, or write it anew.")
    known = _patients_of(films_csv) if films_csv is not None else {}
    return Predictions(
        paths=[row["path"] for row in rows],
        parts=np.array([row.get("part") or "test" for row in rows], dtype=np.str_),
        labels=np.array([classes.index(row["label"]) for row in rows], dtype=np.int64),
        probabilities=_probabilities(rows, classes),
        classes=classes,
        patients=np.array([row.get("patient") or known.get(row["path"]) or row["path"] for row in rows], dtype=np.str_),
        thresholds=_thresholds(header, rows),
        threshold_of=named,
    )


def _part_mistakes(parts: list[str]) -> list[str]:
    return _found(
        [part not in ("train", "val", "test") for part in parts], "a part that is not train, val or test", parts
    )


def _thresholds(header: list[str], rows: Rows) -> NDArray[np.float64] | None:
    return np.array([_number(row["threshold"]) for row in rows]) if "threshold" in header else None


def _threshold_mistakes(values: NDArray[np.float64] | None) -> list[str]:
    wrong: ArrayLike = [] if values is None else ~((values >= 0) & (values <= 1))  # true where NaN
    return _found(wrong, "a threshold that is not a number between 0 and 1")


def _patients_of(films_csv: str | Path) -> dict[str, str]:
    header, rows = read_csv(films_csv)
    missing = [name for name in ("path", "patient") if name not in header]
    if missing:
        raise InputError(f"{films_csv} has no column {' and no column '.join(missing)}; it can't tell the patients.")
    return {row["path"]: row["patient"] for row in rows}


def _header_mistakes(header: list[str], classes: tuple[str, ...]) -> list[str]:
    mistakes = [f"the column {name} is missing" for name in ("path", "label") if name not in header]
    if {"refer", "reason"} <= set(header):
        mistakes.append("it is a table of `plainfilm label`, whose label is the model's own, not the truth")
    if len(classes) < 2:
        found = f"only p_{classes[0]} is there" if classes else "there is none"
        mistakes.append(f"a probability column p_<class> is needed for each of at least two classes, and {found}")
    return mistakes


def _path_mistakes(paths: list[str]) -> list[str]:
    seen = Counter(paths)
    return [
        *_found([not path for path in paths], "no path"),
        *_found([seen[path] > 1 and path != "" for path in paths], "a path that is there more than once", paths),
    ]


def _label_mistakes(labels: list[str], classes: tuple[str, ...]) -> list[str]:
    return _found([label not in classes for label in labels], f"a label that is none of {', '.join(classes)}", labels)


def _probability_mistakes(values: NDArray[np.float64]) -> list[str]:
    missing = np.any(np.isnan(values), axis=1)
    outside = np.any((values < 0) | (values > 1), axis=1)  # false where NaN
    off = np.asarray(np.abs(np.clip(values, 0, 1).sum(axis=1) - 1) > SUM_TOLERANCE) & ~missing & ~outside
    return [
        *_found(missing, "a probability that is not a number"),
        *_found(outside, "a probability outside 0..1"),
        *_found(off if values.shape[1] > 1 else [], "probabilities that don't sum to one"),
    ]


def _found(wrong: ArrayLike, what: str, shown: list[str] | None = None) -> list[str]:
    """Say how many rows are wrong and which is the first, counting lines as an editor does (the header is 1)."""
    hits = np.flatnonzero(np.asarray(wrong, dtype=bool))
    if not hits.size:
        return []
    first = f"row {hits[0] + 2}" + (f", '{shown[hits[0]]}'" if shown else "")
    return [f"{hits.size} row{'s have' if hits.size > 1 else ' has'} {what} (first: {first})"]


def _probabilities(rows: Rows, classes: tuple[str, ...]) -> NDArray[np.float64]:
    values = [[_number(row[f"p_{name}"]) for name in classes] for row in rows]
    return np.array(values, dtype=np.float64).reshape(len(rows), len(classes))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
