"""Scores of parts of the films: kind of pneumonia, series, size, shape, brightness, folder; and the worst of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.evaluation.areas import auc_interval
from plainfilm.evaluation.intervals import Bools, Floats, Interval, numbered
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.tables import decision_intervals

Groups = NDArray[np.str_]  # (N,) the group of each film, empty where it has none

RATES = ("accuracy", "sensitivity", "specificity")
KIND = re.compile(r"person\d+_(bacteria|virus)_\d+")  # Kermany: pneumonia
SERIES = re.compile(r"(?:^|/)((?:NORMAL2-)?IM)-\d+-\d+")  # Kermany: normal
THIRDS = ("lowest", "middle", "highest")
ENOUGH = 20  # patients, for a subgroup to be called the worst
ENOUGH_A_CLASS = 10  # patients too
RULE = (
    f"The subgroup of the lowest balanced accuracy among those of at least {ENOUGH} patients, compared on films of at"
    f" least {ENOUGH_A_CLASS} positive and {ENOUGH_A_CLASS} negative ones. It is worse than the whole when its"
    " interval, at the level that the number of subgroups asks (Bonferroni), excludes the whole's value; else it is"
    " only the lowest. Where patients are not known, each film counts as one."
)


def groupings(
    paths: Sequence[str],
    labels: Sequence[str],
    facts: Sequence[Mapping[str, str]],
    brightness: Floats | None = None,
) -> dict[str, Groups]:
    """Return every grouping of N films that has two groups or more, by name.

    paths, labels: (N,) path and class name of each film; facts: rows of films.csv in the same order, with ``width``
    and ``height`` in pixels; brightness: (N,) mean grey 0..255, NaN where it isn't known. Size, aspect and brightness
    are cut into thirds of the films.
    """
    width, height = (np.array([float(row.get(name) or 0) for row in facts]) for name in ("width", "height"))
    known = (width > 0) & (height > 0)
    megapixels = np.where(known, width * height / 1e6, np.nan)
    aspect = np.divide(width, height, out=np.full(len(width), np.nan), where=known)
    found = {
        "kind of pneumonia": _matched(KIND, paths),
        "film series": _matched(SERIES, paths),
        "film size": thirds(megapixels, " megapixels"),
        "width to height": thirds(aspect),
        "brightness": thirds(brightness if brightness is not None else np.full(len(paths), np.nan)),
        "source folder": source_folders(paths, labels),
    }
    return {name: groups for name, groups in found.items() if len(set(groups) - {""}) > 1}


def source_folders(paths: Sequence[str], labels: Sequence[str]) -> Groups:
    """Return (N,) the folder that each film came from, without the folder that is named after its class."""
    parents = (PurePosixPath(path).parent.parts for path in paths)
    return np.array(
        ["/".join(part for part in parts if part != label) for parts, label in zip(parents, labels, strict=True)],
        dtype=np.str_,
    )


def series(paths: Sequence[str]) -> Groups:
    """Return (N,) the series of films that each name tells (Kermany's normal films), empty where it tells none."""
    return _matched(SERIES, paths)


def thirds(values: Floats, unit: str = "") -> Groups:
    """Return (N,) the third of the films that each of ``values`` falls into, with its range; empty where NaN.

    Equal values stay together, so that the thirds may differ in size, and one may be missing.
    """
    groups = np.full(len(values), "", dtype=object)
    known = ~np.isnan(values)
    if known.any():
        which = np.searchsorted(np.quantile(values[known], [1 / 3, 2 / 3]), values, side="left")
        for i, name in enumerate(THIRDS):
            members = known & (which == i)
            if members.any():
                low, high = values[members].min(), values[members].max()
                groups[members] = f"{name} third ({low:.3g} to {high:.3g}{unit})"
    return groups.astype(np.str_)


def _place(group: str) -> tuple[int, str]:
    """Thirds from the lowest to the highest, all else by name."""
    third = group.split(" third (")[0]
    return THIRDS.index(third) if third in THIRDS else 0, group


def subgroups(p: Predictions, found: Mapping[str, Groups]) -> list[dict[str, Any]]:
    """Return one row a subgroup of ``groupings``, ready for JSON, each score with its 95 % interval by patient.

    ``accuracy``, ``sensitivity`` and ``specificity`` are those of the subgroup's own films. ``balanced_accuracy`` and
    ``auroc`` need every class: a subgroup of positive films only (bacterial, say) is held against all negative films,
    one that lacks some of several classes against all films of these, and ``against`` says so. ``films`` and
    ``patients`` count the subgroup; ``positives``, ``negatives``, ``positive_patients`` and ``negative_patients`` what
    these two scores rest on. ``highest`` is the upper bound of balanced_accuracy at the level that the number of
    subgroups with enough patients asks (None for the others). NaN where films can't tell.
    """
    members = {
        (grouping, group): found[grouping] == group
        for grouping in found
        for group in sorted(set(found[grouping].tolist()) - {""}, key=_place)
    }
    rows = [{"grouping": grouping, "group": group, **_scored(p, own)} for (grouping, group), own in members.items()]
    level = 1 - 0.05 / max(sum(map(_enough, rows)), 1)
    for row, own in zip(rows, members.values(), strict=True):
        some = p.take(_compared(p, own))
        found_there = decision_intervals(some, numbered(some.patients), level)
        row["highest"] = found_there["balanced_accuracy"].high if _enough(row) else None
    return rows


def _enough(row: Mapping[str, Any]) -> bool:
    """Whether a subgroup has enough patients to be called the worst."""
    a_class = min(row["positive_patients"], row["negative_patients"])
    known = not np.isnan(row["balanced_accuracy"]["value"])
    return bool(row["patients"] >= ENOUGH and a_class >= ENOUGH_A_CLASS and known)


def _compared(p: Predictions, own: Bools) -> Bools:
    """Return the subgroup's films and those of the classes that it lacks."""
    return np.asarray(own | ~np.isin(p.labels, np.unique(p.labels[own])))


def _scored(p: Predictions, own: Bools) -> dict[str, Any]:
    truth, compared = p.truth, _compared(p, own)
    sides, lacking = set(truth[own].tolist()), bool((compared & ~own).any())
    contrasted, alone = p.take(compared), p.take(own)
    whose = f"all {'negative' if True in sides else 'positive'} films" if len(p.classes) == 2 else "all other classes"
    rates = decision_intervals(alone, numbered(alone.patients))
    both = decision_intervals(contrasted, numbered(contrasted.patients))
    ranked = contrasted.truth, contrasted.score
    return {
        "films": int(own.sum()),
        "patients": len(np.unique(p.patients[own])),
        "positives": int(truth[compared].sum()),
        "negatives": int((~truth[compared]).sum()),
        "positive_patients": len(np.unique(p.patients[compared & truth])),
        "negative_patients": len(np.unique(p.patients[compared & ~truth])),
        "against": whose if lacking else "",
        **{name: rates[name].as_dict() for name in RATES},
        "balanced_accuracy": both["balanced_accuracy"].as_dict(),
        "auroc": auc_interval(*ranked, patients=contrasted.patients).as_dict(),
    }


def worst_subgroup(rows: Sequence[Mapping[str, Any]], whole: float) -> dict[str, Any] | None:
    """Return the worst row of ``subgroups`` by RULE, with ``worse``, ``compared`` (how many were looked at), ``whole``
    and a ``sentence``; None when no subgroup has enough patients.

    whole: the balanced accuracy (0..1) of all films.
    """
    enough = [row for row in rows if _enough(row)]
    if not enough:
        return None
    worst = min(enough, key=lambda row: float(row["balanced_accuracy"]["value"]))
    value = Interval(**worst["balanced_accuracy"])
    worse = worst["highest"] < whole
    with_enough = " with enough films" if len(enough) < len(rows) else ""
    sentence = (
        f"Worst of {len(enough)} subgroup{'s' * (len(enough) > 1)}{with_enough}: {worst['grouping']}, {worst['group']}"
        f" ({worst['films']} films{', against ' + worst['against'] if worst['against'] else ''}): balanced accuracy"
        f" {value} against {whole:.3f} for all films;"
        f" {'worse than the whole' if worse else f'the lowest{with_enough}, but not shown to be worse than the whole'}."
    )
    return {**worst, "whole": whole, "worse": bool(worse), "compared": len(enough), "sentence": sentence, "rule": RULE}


def _matched(pattern: re.Pattern[str], paths: Sequence[str]) -> Groups:
    matches = (pattern.search(path) for path in paths)
    return np.array([match[1] if match else "" for match in matches], dtype=np.str_)
