"""``predictions.csv``: one row a film with its part, label and one probability a class; any model can hand one in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.data.films import PARTS, Film
from plainfilm.data.frames import to_frame
from plainfilm.data.words import number
from plainfilm.errors import InputError, did_you_mean
from plainfilm.evaluation.decision import Bools, Decision, positive_class
from plainfilm.evaluation.handed_in import Table, Told, named, patients_of, read_handed_in, with_label
from plainfilm.progress import say
from plainfilm.storage.tables import read_csv, write_csv

if TYPE_CHECKING:
    import pandas

Found = Callable[..., list[str]]  # which rows are wrong, what they have, and all rows' cells -> what to say

SUM_TOLERANCE = 1e-3  # probabilities printed with four decimals still pass


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said about N films, what is true of them, and how the one becomes a label.

    paths: N names; parts: (N,) text such as "test"; labels: (N,) indices into ``classes``;
    probabilities: (N, K) in 0..1, rows sum to one; patients: (N,) text, the film's own path where unknown.
    """

    paths: list[str]
    parts: NDArray[np.str_]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    decision: Decision
    patients: NDArray[np.str_]
    folds: NDArray[np.str_] | None = None  # (N,) which model's scores these are, where several scored the films

    def __len__(self) -> int:
        return len(self.paths)

    @staticmethod
    def of(films: Sequence[Film], probabilities: NDArray[np.float64], decision: Decision) -> Predictions:
        """Return the table of ``films`` with their (N, K) probabilities; a film without a label counts as the first
        class, one without a part as test."""
        return Predictions(
            [film.path for film in films],
            np.array([film.part or "test" for film in films], dtype=np.str_),
            np.array([decision.classes.index(film.label) if film.label else 0 for film in films], dtype=np.int64),
            probabilities,
            decision,
            np.array([film.group for film in films], dtype=np.str_),
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The K classes, in the order of the probabilities' columns."""
        return self.decision.classes

    @cached_property
    def truth(self) -> Bools:
        """(N,) whether each film is of the positive class."""
        return np.asarray(self.labels == self.decision.column)

    @property
    def score(self) -> NDArray[np.float64]:
        """(N,) probability of the positive class."""
        return self.probabilities[:, self.decision.column]

    @cached_property
    def decided(self) -> NDArray[np.int64]:
        """(N,) the class each film gets."""
        return self.decision.decide(self.probabilities)

    @property
    def called(self) -> Bools:
        """(N,) whether each film gets the positive class."""
        return np.asarray(self.decided == self.decision.column)

    def to_pandas(self) -> Any:
        """Return a DataFrame like predictions.csv, with the class that each film gets. InputError without pandas."""
        shares = {f"p_{name}": self.probabilities[:, k] for k, name in enumerate(self.classes)}
        given = [self.classes[k] for k in self.decided]
        own: dict[str, Any] = {"path": self.paths, "part": self.parts, "label": [self.classes[k] for k in self.labels]}
        return to_frame({**own, **shares, "decided": given, "patient": self.patients})

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Predictions:
        """Return the films at ``rows``: indices in the wanted order, or a mask of N truth values."""
        rows = np.arange(len(self))[rows]
        return Predictions(
            [self.paths[i] for i in rows],
            self.parts[rows],
            self.labels[rows],
            self.probabilities[rows],
            self.decision.take(rows),
            self.patients[rows],
            None if self.folds is None else self.folds[rows],
        )

    def by(self, **changes: Any) -> Predictions:
        """Return the table with some of the decision's fields changed: ``by(threshold=0.3)``."""
        return replace(self, decision=replace(self.decision, **changes))

    def under(self, decision: Decision) -> Predictions:
        """Return the table, whose probabilities are at temperature 1, by ``decision``: temperature and threshold."""
        return replace(self, probabilities=decision.tempered(self.probabilities), decision=decision)

    def deciding(self) -> Predictions:
        """Return the table with the threshold, and the class it is for, as a column of its own, for whoever reads it
        without the model; itself where films have their own, or the likeliest class decides."""
        if self.decision.own_thresholds or not self.decision.two:
            return self
        thresholds = np.full(len(self), self.decision.threshold)
        return self.by(threshold=thresholds, threshold_of=self.decision.positive)

    def settled(self) -> Predictions:
        """Return the table with one threshold for all films where each has the same, as a file of one model has."""
        thresholds = np.unique(self.decision.threshold)
        return self.by(threshold=float(thresholds[0])) if len(thresholds) == 1 else self

    def called_as(self, names: Mapping[str, str]) -> Predictions:
        """Return the table with other ``names`` of classes, {own: new}; the probabilities of several with one new name
        are added up. InputError where fewer than two classes would be left, or films' own thresholds lose their class.
        """
        new = [names.get(name, name) for name in self.classes]
        kept, of = list(dict.fromkeys(new)), self.decision.threshold_of
        same = len(kept) == len(new)
        if len(kept) < 2 or (self.decision.own_thresholds and not same):
            raise InputError(f"--classes: {', '.join(self.classes)} can't become {', '.join(kept)}; two must be left.")
        place = np.array([kept.index(name) for name in new])
        decision = replace(
            self.decision,
            classes=tuple(kept),
            positive=names.get(self.decision.positive, self.decision.positive),
            threshold_of=names.get(of, of),
            threshold=self.decision.threshold if same else 0.5,
        )
        shares = np.stack([self.probabilities[:, place == k].sum(1) for k in range(len(kept))], 1)
        return replace(self, labels=place[self.labels], probabilities=shares, decision=decision)

    @property
    def scored_part(self) -> Literal["test", "val"]:
        """The part whose scores count: test where there is one, else val."""
        return "test" if (self.parts == "test").any() else "val"

    def part(self, name: str) -> Predictions:
        """Return the films of one part; InputError when there are none."""
        chosen = self.parts == name
        if not chosen.any():
            raise InputError(f"No film belongs to the part '{name}'.{did_you_mean(name, sorted(set(self.parts)))}")
        return self.take(chosen)


def write_predictions(path: str | Path, p: Predictions) -> None:
    """Write ``path,part,label,p_<class>…``, then ``patient`` where any is known, ``threshold`` and the class it is for
    (``threshold_of``) where films have their own, ``scored_by`` where several models scored them; numbers read back
    exactly."""
    last: dict[str, list[Any]] = {"patient": p.patients.tolist()} if p.patients.tolist() != p.paths else {}
    last |= {} if p.folds is None else {"scored_by": p.folds.tolist()}
    if p.decision.own_thresholds:
        last["threshold"] = np.asarray(p.decision.threshold).tolist()
        last |= {"threshold_of": [p.decision.threshold_of] * len(p)} if p.decision.threshold_of else {}
    header = ["path", "part", "label", *(f"p_{name}" for name in p.classes), *last]
    names = [p.classes[i] for i in p.labels]
    rows = zip(p.paths, p.parts.tolist(), names, p.probabilities.tolist(), *last.values(), strict=True)
    write_csv(path, header, ([film, part, label, *shares, *rest] for film, part, label, shares, *rest in rows))


class HandedIn(NamedTuple):
    """Predictions as they were handed in, with the table they stood in; rows are those of the films."""

    predictions: Predictions
    table: Table


def read_predictions(
    path: str | Path, films_csv: str | Path | None = None, about: Mapping[str, Any] | None = None
) -> Predictions:
    """Return the predictions in a table, from this product or from any other model: see ``read_table_of``."""
    return read_table_of(path, films_csv, about).predictions


def read_table_of(
    path: str | Path | pandas.DataFrame,
    films_csv: str | Path | None = None,
    about: Mapping[str, Any] | None = None,
    told: Told | None = None,
) -> HandedIn:
    """Return the predictions in a table, a file or a DataFrame: ours, ``path,label,p_<class>…``, or another program's,
    see ``handed_in``.

    Of ours the classes are what stands after ``p_``, in the order of the columns. ``part`` may be missing (then
    "test"). A column ``threshold`` (of pooled folds) is each film's own, for the probability of the class in
    ``threshold_of``, one for all films, and goes before that of ``about``, the model.json of whoever made them. A
    column ``scored_by`` names the model that scored a film, where there are several: AUROC and AUPRC are then taken
    within each. A film's patient is taken from a ``patient`` column, else from ``films_csv`` (by path), else it is its
    own path. What was taken for what is said; all mistakes are collected into one InputError. Classes that
    ``told.names`` names are called so; InputError where it names none of the table's, nor are these called so already.
    """
    told, known = told or Told(), _patients_of(films_csv) if films_csv is not None else {}
    table, path = read_handed_in(path, told), named(path)
    for remark in table.remarks:
        say(f"{path}: {remark}")
    if mistakes := _mistakes(table, partial(_found, table.numbers), told.labelled):
        raise InputError(f"{path} can't be scored: {'; '.join(mistakes)}; correct the file, or write it again.")
    if told.labelled:
        places = with_label(path, table.rows)
        table = table._replace(rows=[table.rows[i] for i in places], probabilities=table.probabilities[places])
    rows, classes, about = table.rows, table.classes, about or {}
    meant = rows[0].get("threshold_of", "") if rows else ""
    positive = positive_class(classes, about.get("positive") or table.positive or meant or None)
    decision = Decision.read(classes, {"threshold": 0.5, "temperature": 1, **about, "positive": classes[positive]})
    own = _thresholds(table)
    found = Predictions(
        paths=[row["path"] for row in rows],
        parts=np.array([row.get("part") or "test" for row in rows], dtype=np.str_),
        labels=np.array([classes.index(row["label"]) if row["label"] else 0 for row in rows], dtype=np.int64),
        probabilities=table.probabilities,
        decision=decision if own is None else replace(decision, threshold=own, threshold_of=meant),
        patients=patients_of(rows, known),
        folds=np.array([row["scored_by"] for row in rows], dtype=np.str_) if "scored_by" in table.header else None,
    )
    return HandedIn(_renamed(found, told.names, path), table)


def _renamed(p: Predictions, names: Mapping[str, str], path: str) -> Predictions:
    if not set(names) & set(p.classes):
        if set(p.classes) <= {*names.values()} or not names:
            return p
        raise InputError(f"--classes: '{next(iter(names))}' is no class of {path} ({', '.join(p.classes)}).")
    return p.called_as(names)


def _mistakes(table: Table, found: Found, labelled: bool) -> list[str]:
    """Return all that is wrong with a table of predictions."""
    header, rows, classes = table.header, table.rows, table.classes
    labels = [row["label"] for row in rows] if "label" in header and classes else []
    parts = [row.get("part") or "test" for row in rows]
    of = [row.get("threshold_of", "") for row in rows]
    none_of = f"a label that is none of {', '.join(classes)}"
    return [
        *_header_mistakes(header, classes),
        *([] if rows else ["it has no rows"]),
        *(_path_mistakes([row["path"] for row in rows], found) if "path" in header else []),
        *found([label not in ("", *classes) for label in labels], none_of, labels),
        *(["no film has a label"] if labelled and labels and not any(labels) else []),
        *_probability_mistakes(table.probabilities, found),
        *found([part not in PARTS for part in parts], "a part that is not train, val or test", parts),
        *_threshold_mistakes(_thresholds(table), found),
        *found([name not in ("", *classes) or name != of[0] for name in of], "another class in threshold_of", of),
    ]


def _thresholds(table: Table) -> NDArray[np.float64] | None:
    return np.array([number(row["threshold"]) for row in table.rows]) if "threshold" in table.header else None


def _threshold_mistakes(values: NDArray[np.float64] | None, found: Found) -> list[str]:
    wrong: ArrayLike = [] if values is None else ~((values >= 0) & (values <= 1))  # true where NaN
    return found(wrong, "a threshold that is not a number between 0 and 1")


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


def _path_mistakes(paths: list[str], found: Found) -> list[str]:
    seen = Counter(paths)
    return [
        *found([not path for path in paths], "no path"),
        *found([seen[path] > 1 and path != "" for path in paths], "a path that is there more than once", paths),
    ]


def _probability_mistakes(values: NDArray[np.float64], found: Found) -> list[str]:
    missing = np.any(np.isnan(values), axis=1)
    outside = np.any((values < 0) | (values > 1), axis=1)  # false where NaN
    off = np.asarray(np.abs(np.clip(values, 0, 1).sum(axis=1) - 1) > SUM_TOLERANCE) & ~missing & ~outside
    return [
        *found(missing, "a probability that is not a number"),
        *found(outside, "a probability outside 0..1"),
        *found(off if values.shape[1] > 1 else [], "probabilities that don't sum to one"),
    ]


def _found(numbers: Sequence[int], wrong: ArrayLike, what: str, shown: list[str] | None = None) -> list[str]:
    """Say how many rows are wrong and which is the first, counting lines as an editor does (the header is 1)."""
    hits = np.flatnonzero(np.asarray(wrong, dtype=bool))
    if not hits.size:
        return []
    first = f"row {numbers[hits[0]]}" + (f", '{shown[hits[0]]}'" if shown else "")
    return [f"{hits.size} row{'s have' if hits.size > 1 else ' has'} {what} (first: {first})"]
