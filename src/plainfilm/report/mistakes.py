"""The films that were decided wrongly: by name, by kind, the surest first."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.report.words import Table, count, title_of
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.inside import did_not_learn
from plainfilm.storage import folders

PICTURED = 12  # errors of a kind shown as pictures, where there are some
SHOWN = 20  # errors of a kind in sight; the others are folded away
LISTED = 5000  # errors of a kind on the page at all, so that it still opens from a mail


def wrong_films(run: RunFolder) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (decided class of each scored film, rows of the wrong ones, the surest first)."""
    p = run.scored
    rows = np.flatnonzero(p.decided != p.labels)
    sure = p.probabilities[rows, p.decided[rows]]
    return p.decided, rows[np.argsort(-sure, kind="stable")]


def errors(run: RunFolder) -> list[dict[str, Any]]:
    """Return the wrong films by kind: false negatives, false positives, and for more than two classes the others."""
    p, k, name = run.scored, run.decision.column, run.positive
    decided, wrong = wrong_films(run)
    kinds = {
        f"False negatives: {name}, decided as another class": wrong[p.labels[wrong] == k],
        f"False positives: decided as {name}, and another class": wrong[decided[wrong] == k],
    }
    if len(p.classes) > 2:
        kinds["Other confusions"] = wrong[(p.labels[wrong] != k) & (decided[wrong] != k)]
    return [_kind_of_error(run, f"{title} ({len(rows):,})", rows, decided) for title, rows in kinds.items()]


def _kind_of_error(run: RunFolder, title: str, rows: NDArray[np.int64], decided: NDArray[np.int64]) -> dict[str, Any]:
    p = run.scored
    rows_shown = rows[:LISTED]
    to_reader = p.decision.refers(p.probabilities[rows_shown])
    told = [
        p.decision.weighed(p.probabilities[i], int(decided[i])) + ", for a reader" * bool(refers)
        for i, refers in zip(rows_shown, to_reader, strict=True)
    ]
    named = [(p.paths[i], p.classes[p.labels[i]], p.classes[decided[i]]) for i in rows_shown]
    beside = f"Probability of {p.decision.decided_by}, threshold" if run.two and not p.decision.own_thresholds else ""
    header = ["Film", beside or "Probability"] if run.two else ["Film", "True", "Decided", "Probability"]
    lines = [[*(names[:1] if run.two else names), sure] for names, sure in zip(named, told, strict=True)]
    rest = lines[SHOWN:]
    left_out = f" (of {len(rows) - SHOWN:,}; all are in predictions.csv)" if len(rows) > LISTED else ""
    return {
        "title": title,
        "pictures": _pictures(run, [(p.paths[i], said) for i, said in zip(rows[:PICTURED], told, strict=False)]),
        "first": Table("With the probability that decided; the surest first", header, lines[:SHOWN]) if lines else None,
        "rest": Table("The less sure ones", header, rest) if rest else None,
        "more": f"The other {len(rest):,}{left_out}",
    }


def picture_of(run: Path, film: str) -> Path:
    """Return where the picture of a wrong film stands in a run folder, if there is one; ``film``: its path there."""
    name = hashlib.sha256(film.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return run / folders.FIGURES / "errors" / f"{name}.png"


def _pictures(run: RunFolder, films: list[tuple[str, str]]) -> list[dict[str, str]]:
    """Return path, probability and data URI of those of ``films`` that have a picture."""
    places = [(path, told, picture_of(run.folder, path)) for path, told in films]
    return [
        {"path": path, "told": told, "source": "data:image/png;base64," + base64.b64encode(at.read_bytes()).decode()}
        for path, told, at in places
        if at.is_file()
    ]


def error_counts(runs: list[RunFolder]) -> Table:
    """Return how many films each model gets wrong, and of which kind."""
    rows = []
    for run in runs:
        p, (_, wrong) = run.scored, wrong_films(run)
        missed, alarms = p.truth[wrong].sum(), p.called[wrong].sum()
        rows.append([title_of(run), f"{len(p):,}", f"{len(wrong):,}", f"{missed:,}", f"{alarms:,}"])
    return Table(
        "Wrong films", ["Model", "Scored", "Wrong", "False negatives", "False positives"], rows, did_not_learn(runs)
    )


def all_wrong(runs: list[RunFolder]) -> Table | None:
    """Return the films that every model that learned gets wrong, where there are at least two such models."""
    learned = [run for run in runs if not run.one_class]
    if len(learned) < 2:
        return None
    first = learned[0].scored
    truth = {path: first.classes[label] for path, label in zip(first.paths, first.labels, strict=True)}
    wrong = [{run.scored.paths[i] for i in wrong_films(run)[1]} for run in learned]
    paths = sorted(set.intersection(*wrong))[:LISTED]
    caption = f"Wrong by all {len(learned)} models: {count(len(paths), 'film')} (hard, or labelled wrongly)"
    return Table(caption, ["Film", "Label"], [[path, truth[path]] for path in paths]) if paths else None
