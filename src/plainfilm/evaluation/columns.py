"""Scores by any column of the films' table: site, scanner, sex, age. Each group beside all other films, and how many
groups were looked at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from plainfilm.data import words
from plainfilm.errors import InputError, did_you_mean
from plainfilm.evaluation.areas import auc_interval
from plainfilm.evaluation.intervals import Bools, Floats, Interval, rate, student_quantile
from plainfilm.evaluation.predictions import Predictions

Groups = NDArray[np.object_]  # (N,) the group of each film

ENOUGH_FILMS, ENOUGH_A_SIDE = 20, 5  # fewer films, or patients with positive or negative ones: counted, not scored
FEW_VALUES = 8  # different numbers up to which they are groups by themselves
MOST_GROUPS = 30  # of a column that are scored, the largest; the others are counted together
NUMBERS = 0.95  # share of a column's known cells that are numbers, from which on it is one of numbers
SCORES = ("auroc", "sensitivity", "specificity")
NOT_KNOWN, OTHERS = "not known", "all other groups"
USUAL = re.compile(  # columns that a run is looked at by without being asked, by their names' letters
    r"(?i)(patient)?(site|hospital|institution(name)?|centre|center|scanner|manufacturer|model(name)?|view(position)?"
    r"|projection|sex|gender|age)(_?dicom)?"
)
RULE = (
    f"Groups with fewer than {ENOUGH_FILMS} films, or with positive or negative films of fewer than {ENOUGH_A_SIDE}"
    " patients, are counted and not scored. Intervals let films of a patient err together. Differences are to all other"
    " films, with intervals from those of both (Newcombe 1998); p is by Student's for the rarer side's patients,"
    " adjusted for all differences that were looked at (Holm 1979)."
)


def asked(by: str, columns: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """Return {column: edges} of ``site,age:40:65``, names in whatever capitals; InputError for what is no column."""
    found: dict[str, tuple[float, ...]] = {}
    known = list(columns)
    for part in filter(None, (part.strip() for part in by.split(","))):
        name, *edges = part.split(":") if part not in known else [part]
        like = [column for column in known if column == name] or [c for c in known if c.lower() == name.lower()]
        if not like:
            held = f"; there are {', '.join(known)}" if known else "; the films have no further columns"
            raise InputError(f"--by: there is no column '{name}'{held}.{did_you_mean(name, known)}")
        cuts = tuple(words.number(edge) for edge in edges)
        if any(cut != cut for cut in cuts) or list(cuts) != sorted(set(cuts)):
            raise InputError(f"--by {part}: expected rising numbers behind the name, such as {name}:40:65.")
        found[like[0]] = cuts
    return found


def usual(columns: Iterable[str]) -> str:
    """Return those of ``columns`` that subgroups are usually asked for by, as ``--by`` takes them."""
    return ",".join(name for name in columns if USUAL.fullmatch(name.replace(" ", "")) and "," not in name)


def grouped(values: NDArray[np.object_], edges: Sequence[float] = ()) -> tuple[Groups, list[str]]:
    """Return (N,) the group of each cell and the groups' names in their order.

    Numbers are cut at ``edges``, or into quarters of the films where they are many different ones; all else is as it
    stands. An empty cell is "not known".
    """
    groups: Groups = np.full(len(values), NOT_KNOWN, object)
    names: list[str] = []
    known = np.array([bool(cell) for cell in values], bool)
    numbers = np.array([words.number(cell) for cell in values], np.float64)
    finite = np.isfinite(numbers)
    are_numbers = known.any() and finite[known].mean() >= NUMBERS and len(set(numbers[finite])) > FEW_VALUES
    if edges or are_numbers:
        groups, names = _cut(numbers, finite, edges)
        known &= finite
    else:
        groups[known] = [cell.strip() for cell in values[known]]
        counts = {name: int((groups == name).sum()) for name in dict.fromkeys(groups[known])}
        names = sorted(sorted(counts, key=counts.__getitem__, reverse=True)[:MOST_GROUPS])
        rest = known & ~np.isin(groups, names)
        groups[rest] = OTHERS
        names += [OTHERS] * bool(rest.any())
    return groups, names + [NOT_KNOWN] * bool((~known).any())


def _cut(numbers: Floats, known: Bools, edges: Sequence[float]) -> tuple[Groups, list[str]]:
    groups = np.full(len(numbers), NOT_KNOWN, object)
    if edges:
        between = [f"{a:g} to below {b:g}" for a, b in pairwise(edges)]
        names = [f"below {edges[0]:g}", *between, f"{edges[-1]:g} and more"]
        which = np.searchsorted(edges, numbers[known], side="right")
        groups[known] = np.array(names, object)[which]
        return groups, names
    which = np.searchsorted(np.quantile(numbers[known], [0.25, 0.5, 0.75]), numbers, side="left")
    names = []
    for quarter in range(4):
        members = known & (which == quarter)
        if members.any():
            names.append(f"{numbers[members].min():g} to {numbers[members].max():g}")
            groups[members] = names[-1]
    return groups, names


def by_columns(p: Predictions, columns: Mapping[str, Groups], by: str) -> dict[str, Any]:
    """Return {"rows", "compared", "worst", "sentence", "rule"} of ``p`` by the ``columns`` that ``by`` names, for JSON.

    columns: by name (N,) the cells of each film. A row has ``column``, ``group``, ``films``, ``patients``,
    ``positives``, ``negatives``, ``scored``; where that is true, SCORES with 95 % intervals and ``difference``: of each
    score {"value", "low", "high", "p", "p_adjusted"} to all other films. ``compared``: how many differences.
    """
    return _together(*_rows(p, columns, by))


def by_columns_of_findings(findings: Mapping[str, tuple[Predictions, Mapping[str, Groups]]], by: str) -> dict[str, Any]:
    """Return what ``by_columns`` does of several findings, each with its known films and their cells; rows have
    ``finding`` too, and all their differences are looked at together."""
    rows, tested = list[dict[str, Any]](), list[dict[str, Any]]()
    for name, (p, columns) in findings.items():
        found, looked_at = _rows(p, columns, by)
        rows += [{"finding": name, **row} for row in found]
        tested += looked_at
    return _together(rows, tested)


def _rows(p: Predictions, columns: Mapping[str, Groups], by: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of every group, and the differences among them that are looked at."""
    rows: list[dict[str, Any]] = []
    tested: list[dict[str, Any]] = []
    for name, edges in asked(by, columns).items():
        groups, names = grouped(columns[name], edges)
        mirrored: list[dict[str, Any]] = []
        for group in names:
            row = {"column": name, "group": group, **_scored(p, np.asarray(groups == group))}
            rows.append(row)
            if len(names) == 2 and mirrored and row["scored"]:  # the other group's difference, from the other side
                continue
            mirrored.append(row)
            tested += [row["difference"][score] for score in SCORES if score in row["difference"]]
    return rows, tested


def _together(rows: list[dict[str, Any]], tested: list[dict[str, Any]]) -> dict[str, Any]:
    _adjust(tested)
    for row in rows:
        same = (row.get("finding"), row["column"])
        twins = (r for r in rows if r is not row and (r.get("finding"), r["column"]) == same and r["difference"])
        twin = next(twins, None)
        for score, found in row["difference"].items():
            found.setdefault("p_adjusted", twin["difference"][score].get("p_adjusted", found["p"]) if twin else 1.0)
    worst = _worst(rows, len(tested))
    none = "No group lies below the rest." if tested else "No group has enough films to be compared with the rest."
    sentence = worst["sentence"] if worst else none
    return {"rows": rows, "compared": len(tested), "worst": worst, "sentence": sentence, "rule": RULE}


def _scored(p: Predictions, own: Bools) -> dict[str, Any]:
    truth, called, score = p.truth, p.called, p.score
    about: dict[str, Any] = {
        "films": int(own.sum()),
        "patients": len(np.unique(p.patients[own])),
        "positives": int(truth[own].sum()),
        "negatives": int((~truth[own]).sum()),
    }
    enough = _enough(p, own, truth)
    about["scored"] = enough > 0
    if not about["scored"]:
        return about | {"difference": {}}
    of: dict[str, Callable[[Bools], Interval]] = {
        "auroc": lambda films: auc_interval(truth[films], score[films], patients=p.patients[films]),
        "sensitivity": lambda films: rate(called[films & truth], p.patients[films & truth]),
        "specificity": lambda films: rate(~called[films & ~truth], p.patients[films & ~truth]),
    }
    beside = _enough(p, ~own, truth)
    found = {name: interval(own) for name, interval in of.items()}
    few = min(enough, beside)
    differences = {name: _difference(found[name], of[name](~own), few - 1) for name in SCORES} if few else {}
    return about | {name: found[name].as_dict() for name in SCORES} | {"difference": differences}


def _enough(p: Predictions, films: Bools, truth: Bools) -> int:
    """Return how many patients the rarer side of ``films`` has; 0 where films or patients are too few to be scored."""
    rarer = min(len(np.unique(p.patients[films & side])) for side in (truth, ~truth))
    return rarer if films.sum() >= ENOUGH_FILMS and rarer >= ENOUGH_A_SIDE else 0


def _difference(own: Interval, rest: Interval, freedom: int) -> dict[str, float]:
    """Return own - rest with its interval from those of both, and the p of no difference.

    The bounds of both know already that the variance of few patients is known badly; nothing is widened once more. The
    arm towards 0 gives p: it is Student's quantile with ``freedom`` degrees times the standard error.
    """
    value = own.value - rest.value
    down = float(np.hypot(own.value - own.low, rest.high - rest.value))
    up = float(np.hypot(own.high - own.value, rest.value - rest.low))
    arm = up if value < 0 else down
    errors = abs(value) / arm * student_quantile(0.95, freedom) if arm > 0 else np.inf if value else 0.0
    return {
        "value": value,
        "low": max(value - down, -1.0),
        "high": min(value + up, 1.0),
        "p": float(2 * student.sf(errors, freedom)),
    }


def _adjust(tested: Sequence[dict[str, Any]]) -> None:
    """Give each difference its ``p_adjusted`` (Holm 1979)."""
    largest = 0.0
    for rank, found in enumerate(sorted(tested, key=lambda found: float(found["p"]))):
        largest = max(largest, min(1.0, (len(tested) - rank) * found["p"]))
        found["p_adjusted"] = largest


def _worst(rows: Sequence[Mapping[str, Any]], compared: int) -> dict[str, Any] | None:
    """Return the group and score that lie farthest below the rest: those shown to, else the largest difference."""
    below: list[tuple[Mapping[str, Any], str]] = [
        (row, score) for row in rows for score, found in row["difference"].items() if found["value"] < 0
    ]
    if not below:
        return None
    row, score = min(below, key=lambda pair: [pair[0]["difference"][pair[1]][of] for of in ("p_adjusted", "value")])
    found = row["difference"][score]
    shown = found["p_adjusted"] < 0.05
    whose = f"{row['finding']}, " if "finding" in row else ""
    own, apart = Interval(**row[score]), Interval(found["value"], found["low"], found["high"])
    sentence = (
        f"Worst of {compared} comparisons: {whose}{row['column']} {row['group']} ({row['films']} films,"
        f" {row['patients']} patients), {score if score != 'auroc' else 'AUROC'} {own}; difference to all other films"
        f" {apart},"
        f" p = {found['p_adjusted']:.3f} after Holm:"
        f" {'worse than the rest' if shown else 'not shown to be worse than the rest'}."
    )
    return {
        **({"finding": row["finding"]} if "finding" in row else {}),
        "column": row["column"],
        "group": row["group"],
        "score": score,
        "worse": bool(shown),
        "compared": compared,
        "sentence": sentence,
    }
