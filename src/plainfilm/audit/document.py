"""The whole audit as one document: what audit.json holds, and which of it must be read first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from plainfilm.audit import baselines, facts
from plainfilm.audit import columns as of_table
from plainfilm.audit.advice import COVER_THEM
from plainfilm.audit.duplicates import duplicates, inseparable
from plainfilm.audit.measure import Measured
from plainfilm.audit.shift import ALL, shift
from plainfilm.audit.telling import EACH, RULE, learnt_from, too_few
from plainfilm.data.findings import as_question
from plainfilm.evaluation.decision import positive_class
from plainfilm.evaluation.predictions import Predictions

LITTLE_KNOWN = 0.95  # share of films with a patient below which that is said


def examine(
    measured: Measured,
    other: Measured | None = None,
    seed: int = 0,
    positive: str = "",
    predictions: Predictions | None = None,
) -> dict[str, Any]:
    """Return the audit of ``measured`` films as a document, with ``other`` also whether that set is like them.

    positive: the class that baselines tell from the others; empty = the one not called normal. predictions: of a model,
    out of fold; they take the weak probe's place in naming doubtful labels. InputError when no film can be read.
    """
    rng = np.random.default_rng(seed)
    twins = duplicates(measured)
    found = {
        "data": measured.films.name,
        "synthetic": measured.films.synthetic,
        "seed": seed,
        "films": facts.counts(measured),
        "patients": facts.patients(measured),
        "unreadable": [{"path": path, "reason": reason} for path, reason in sorted(measured.films.quarantine)],
        "odd": facts.odd_films(measured),
        "duplicates": facts.twin_rows(measured, twins),
        "rule": RULE,
        **_asked(measured, positive, predictions, inseparable(measured, twins), rng),
        "shift": shift(measured, other, rng) if other else None,
    }
    return {"red_lines": red_lines(found), "notes": notes(found)} | found


def _asked(
    measured: Measured, positive: str, predictions: Predictions | None, groups: np.ndarray, rng: np.random.Generator
) -> dict[str, Any]:
    """Return what simple models make of the films: of their classes, or of each finding on the films that know it."""
    classes = measured.films.classes
    if not measured.films.findings:
        name = classes[positive_class(classes, positive or None)]
        return _told(measured, name, predictions, groups, rng)
    each = {}
    for name in measured.films.findings:
        films, known = as_question(measured.films, name)
        question = replace(measured.at(known), films=films)
        each[name] = _told(question, name, None, groups[known], rng, baselines.SHORTCUTS)
    return _together(each)


def _together(each: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the audits of several findings as one: each whole under "findings", and their rows by finding."""
    doubts = [film for told in each.values() for film in told["doubtful_labels"]["films"]]
    source = next((told["doubtful_labels"]["source"] for told in each.values() if told["leak"]), "")
    of_columns = {name: told["columns"] for name, told in each.items() if told["columns"]}
    return {
        "positive": ", ".join(each),
        "findings": each,
        "majority": None,
        "learnt_from": max(told["learnt_from"] for told in each.values()),
        "baselines": [],
        "by_class": [{"class": name, **row} for name, told in each.items() for row in told["baselines"]],
        "columns": {
            "rows": [{"class": name, **row} for name, found in of_columns.items() for row in found["rows"]],
            "tables": [{"class": name, **row} for name, found in of_columns.items() for row in found["tables"]],
            "left_out": sorted({name for found in of_columns.values() for name in found["left_out"]}),
        }
        if of_columns
        else None,
        "leak": None,
        "doubtful_labels": {
            "source": source,
            "films": sorted(doubts, key=lambda film: film["probability"])[: baselines.CANDIDATES],
        },
    }


def _told(
    measured: Measured,
    name: str,
    predictions: Predictions | None,
    groups: np.ndarray,
    rng: np.random.Generator,
    wanted: Sequence[str] = tuple(baselines.BASELINES),
) -> dict[str, Any]:
    """Return what simple models tell about the class ``name``; nothing of that where there are too few films."""
    everyone, truth = measured, measured.labels == name
    majority = baselines.majority(truth)
    rows = learnt_from(truth, groups, rng)
    if len(rows) < len(measured):
        measured, truth, groups = measured.at(rows), truth[rows], groups[rows]
    few = too_few(truth, groups)
    leak, probe = (None, None) if few else baselines.leak(measured, truth, groups, rng)
    if predictions:
        trained = int((predictions.parts == "train").sum())
        source = f"the predictions given{f', without {trained:,} films that trained' * (trained > 0)}"
        doubtful = baselines.doubtful_by_model(everyone, predictions)
    else:
        among = f" (among the {len(measured):,} films that it knows)" if len(measured) < len(everyone) else ""
        source = f"a weak probe, {leak['probe']}{among}" if leak else ""
        doubtful = baselines.doubtful_by_probe(measured, truth, probe) if probe else []
    return {
        "positive": name,
        "majority": majority,
        "learnt_from": len(measured),
        "baselines": [] if few else baselines.baselines(measured, truth, groups, rng, wanted),
        "by_class": _by_class(measured, name, groups, rng),
        "columns": None if few or not measured.films.columns else of_table.columns(measured.films, truth, groups, rng),
        "leak": leak,
        "doubtful_labels": {"source": source, "films": doubtful},
    }


def _by_class(measured: Measured, positive: str, groups: np.ndarray, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return what shows no disease for each other class against the rest, where there are more than two."""
    classes, labels = measured.films.classes, measured.labels
    rows = []
    for name in classes if len(classes) > 2 else ():
        if name != positive and not too_few(labels == name, groups):
            found = baselines.baselines(measured, labels == name, groups, rng, baselines.SHORTCUTS)
            rows += [{"class": name, **row} for row in found]
    return rows


# --- what must be read first ------------------------------------------------------------------------------------------


def red_lines(found: dict[str, Any]) -> list[str]:
    """Return what makes scores on these films unbelievable, one sentence each."""
    return [
        *shortcut_lines(found),
        *_leaks(found),
        *_conflicts(found),
        *shift_lines(found["data"], found["shift"]),
    ]


def shortcut_lines(found: dict[str, Any]) -> list[str]:
    """Return what tells the classes, or each finding, without a look at the lungs: files, borders, columns of the
    table."""
    if found.get("findings"):
        columns = [
            line
            for name, told in found["findings"].items()
            for line in (of_table.red_lines(told["columns"], name) if told["columns"] else [])
        ]
        return [*_shortcuts(found), *columns]
    columns = of_table.red_lines(found["columns"], found["positive"]) if found.get("columns") else []
    return [*_shortcuts(found), *columns]


def _shortcuts(found: dict[str, Any]) -> list[str]:
    rows = [({"class": found["positive"]} | row) for row in found["baselines"]] + found["by_class"]
    said = {
        "metadata": "The files alone predict {class}, without a look at the picture: AUC {auc}, most by {strongest}. A "
        "model fed the films as they are can learn that instead of the disease.",
        "borders": "The borders of the films alone predict {class}: AUC {auc}. " + COVER_THEM,
    }
    red = [row for row in rows if row["red"]]
    if not found.get("findings"):
        return [said[row["name"]].format_map(row | {"auc": _auc(row)}) for row in red]
    lines = []
    for name, sentence in said.items():  # one for all findings
        of = [row for row in red if row["name"] == name]
        each = ", ".join(f"{row['class']} {_auc(row)}" for row in of)
        strongest = " and ".join(dict.fromkeys(row["strongest"] for row in of if row["strongest"]))
        told = {"class": _few_or_count([row["class"] for row in of]), "auc": each, "strongest": strongest}
        lines += [sentence.format_map(told)] if of else []
    return lines


def _few_or_count(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} findings"


def _leaks(found: dict[str, Any]) -> list[str]:
    people = len(found["patients"]["in_several_parts"])
    copies = sum(row["crossing"] for row in found["duplicates"])
    said = {
        f"{people:,} patient{_s(people)} with films in more than one part: a model can know the patient again.": people,
        f"{copies:,} picture{_s(copies)} in more than one part: seen in training, and scored.": copies,
    }
    return [line for line, applies in said.items() if applies]


def _conflicts(found: dict[str, Any]) -> list[str]:
    n = sum(row["conflicting"] for row in found["duplicates"])
    return [f"{n:,} picture{_s(n)} there twice under different labels (duplicates.csv)."] if n else []


def shift_lines(data: str, found: dict[str, Any] | None, first: str = "") -> list[str]:
    """Return the red lines of ``shift.shift``'s result for films of ``data``, one per class; ``first``: what those
    films are called as the ones that the others differ from (default: those of ``data``).

    Where classes can be compared, all films together say nothing, as their mix may differ.
    """
    tests = found["tests"] if found else []
    by_class = [test for test in tests if test["class"] != ALL] or tests
    lines = []
    for label in dict.fromkeys(test["class"] for test in by_class):
        red = [test for test in by_class if test["class"] == label and test["red"]]
        if red and found:
            told = "; ".join(f"{test['kind']}: AUC {_auc(test)}, most by {test['strongest']}" for test in red)
            lines.append(
                f"Scores measured on {data} need not hold on {found['other']}: "
                f"{_whose(red[0])} differ from {first or f'those of {data}'} ({told})."
            )
    return lines


def _whose(test: dict[str, Any]) -> str:
    if not test["class"]:
        return "its films"
    return f"its films predicted to be {test['class']}" if test["predicted"] else f"its {test['class']} films"


def notes(found: dict[str, Any]) -> list[str]:
    """Return what else should be known before training, one sentence each."""
    people, films, twins = found["patients"], found["films"], found["duplicates"]
    shift = found["shift"] or {"learnt_from": films["readable"], "films": {"readable": 0}}
    several, odd = len(people["in_several_classes"]), len(found["odd"])
    patients_of_twins = sum(row["several_patients"] for row in twins)
    kinds = {kind: sum(row["kind"] == kind for row in twins) for kind in ("bytes", "pixels", "near")}
    kinds_said = ", ".join(f"{n:,} by {name}" if name != "near" else f"{n:,} nearly" for name, n in kinds.items() if n)
    said = {
        f"{films['unreadable']:,} film{_s(films['unreadable'])} can't be read (quarantine.csv).": films["unreadable"],
        f"{len(twins):,} picture{_s(len(twins))} there more than once ({kinds_said}).": twins,
        f"{patients_of_twins:,} of them under several patients: a split by patient alone would not keep them "
        "together.": patients_of_twins,
        f"{several:,} patient{_s(several)} with films in more than one class.": several,
        f"{odd:,} odd film{_s(odd)} (see the list).": odd,
        "No film names its patient: a split by patient can't be made, and scores may flatter.": not people["known"],
        f"{100 * people['known']:.0f} % of the films name their patient; the others count as one patient each.": 0
        < people["known"]
        < LITTLE_KNOWN,
        f"Baselines and the weak probe know {found['learnt_from']:,} of the {films['readable']:,} films: at most "
        f"{EACH:,} of each side, drawn by patient.": found["learnt_from"] < films["readable"],
        f"Whether the sets are alike was learnt from {shift['learnt_from']:,} of their films, at most {EACH:,} of each "
        "in a test.": shift["learnt_from"] < films["readable"] + shift["films"]["readable"],
        "Too few films or patients of a class for baselines.": not found["baselines"] and not found.get("findings"),
        **_few_known(found.get("findings", {})),
        "Too few films or patients to compare the sets.": found["shift"]
        and all(test["auc"] is None for test in found["shift"]["tests"]),
    }
    return [line for line, applies in said.items() if applies]


def _few_known(findings: dict[str, Any]) -> dict[str, int]:
    few = [name for name, told in findings.items() if not told["baselines"]]
    return {f"Too few films or patients that know {', '.join(few)}, with either answer, for baselines.": len(few)}


def _auc(row: dict[str, Any]) -> str:
    auc = row["auc"]
    return f"{auc['value']:.2f} ({auc['low']:.2f}–{auc['high']:.2f})"


def _s(n: int) -> str:
    return "" if n == 1 else "s"
