"""What the columns of the films' table give away: site, scanner, age, sex, alone and in pairs.

A network sees a site's marks and a scanner's grey values; where these tell the class, it need not see the disease.
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np

from plainfilm.audit.telling import STRENGTH_ALONE, name_columns, number_columns, tell
from plainfilm.data import words
from plainfilm.data.films import Films
from plainfilm.data.groups import Groups
from plainfilm.evaluation.columns import NUMBERS, grouped
from plainfilm.evaluation.columns import Groups as Cells
from plainfilm.evaluation.intervals import Bools, Floats

IDENTIFIER = 0.5  # share of films with a text of their own from which on a column names films, not kinds of them
PAIRED = 8  # columns, the strongest, whose pairs are tested
GAIN = 0.03  # AUC by which a pair must tell more than the stronger of its two to be listed
SHOWN = 12  # values of a column in a table, the commonest


def columns(films: Films, positive: Bools, groups: Groups, rng: np.random.Generator) -> dict[str, Any]:
    """Return how well the further columns tell the ``positive`` (N,) films from the others.

    "rows": {"name", "columns", "auc", "bound", "red"} of each column, and of pairs that tell more than theirs, the
    strongest first; "tables": of each column how many films of each class a value has; "left_out": the columns that
    name films, such as identifiers. Cross-validated over patients, see ``telling.tell``. Findings of the same films are
    not tested: that they go together is no shortcut.
    """
    cells = {name: values for name, values in films.columns.items() if name not in films.also}
    cells = {name: values for name, values in cells.items() if len(set(values)) > 1}
    left_out = [name for name, values in cells.items() if _names_films(values)]
    tested = {name: values for name, values in cells.items() if name not in left_out}
    rows = [_row([name], _features(values), positive, groups, rng) for name, values in tested.items()]
    rows.sort(key=_strength)
    alone = {row["name"]: row["auc"]["value"] for row in rows}
    cut = {row["name"]: grouped(tested[row["name"]])[0] for row in rows[:PAIRED]}
    for one, other in combinations(cut, 2):
        both = np.array([f"{a} | {b}" for a, b in zip(cut[one], cut[other], strict=True)], object)
        row = _row([one, other], name_columns(both), positive, groups, rng)
        rows += [row] * (row["auc"]["value"] >= max(alone[one], alone[other]) + GAIN)
    rows.sort(key=_strength)
    return {"rows": rows, "tables": [_table(films, name) for name in tested], "left_out": left_out}


def red_lines(found: dict[str, Any], positive: str) -> list[str]:
    """Return a sentence for each column that tells the class too well to be chance; of a pair only where neither of its
    columns does so alone."""
    red = [row for row in found["rows"] if row["red"]]
    alone = {row["name"] for row in red}
    said = [row for row in red if len(row["columns"]) == 1 or not alone & set(row["columns"])]
    return [
        f"The column {row['name']} alone predicts {positive}: AUC {row['auc']['value']:.2f} ({row['auc']['low']:.2f}–"
        f"{row['auc']['high']:.2f}). What of it can be seen in a film can be learnt instead of the disease; try"
        f" evaluate --by {','.join(row['columns'])} and train --folds {row['columns'][0]}."
        for row in said
    ]


def _strength(row: dict[str, Any]) -> float:
    return -float(row["auc"]["value"])


def _row(
    names: list[str], features: Floats, positive: Bools, groups: Groups, rng: np.random.Generator
) -> dict[str, Any]:
    return {
        "name": " with ".join(names),
        "columns": names,
        **tell(features, positive, groups, rng, STRENGTH_ALONE).as_dict(),
    }


def _numbers(values: Cells) -> Floats | None:
    """Return (N,) the numbers of a column, NaN where there is none; None for a column of words."""
    known = np.array([bool(cell) for cell in values], bool)
    numbers = np.array([words.number(cell) for cell in values], np.float64)
    return numbers if np.isfinite(numbers[known]).mean() >= NUMBERS else None


def _names_films(values: Cells) -> bool:
    return len(set(values)) > IDENTIFIER * len(values) and _numbers(values) is None


def _features(values: Cells) -> Floats:
    """Return (N, M) columns of a logistic regression; an unknown cell is a value too."""
    numbers = _numbers(values)
    return name_columns(values) if numbers is None or len(set(values)) <= SHOWN else number_columns(numbers)


def _table(films: Films, name: str) -> dict[str, Any]:
    """Return {"column", "values": {value: {class: films}}} of the commonest values, numbers by quarters."""
    groups, names = grouped(films.columns[name])
    counts = Counter(zip(groups.tolist(), films.films.labels, strict=True))
    return {
        "column": name,
        "values": {value: {label: counts[value, label] for label in films.classes} for value in names[:SHOWN]},
    }
