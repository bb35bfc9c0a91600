"""Reports: one self-contained page from the files of a run folder, or of several beside each other."""

from __future__ import annotations

from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from plainfilm.config import TrainConfig
from plainfilm.files import write_text
from plainfilm.report import charts
from plainfilm.report.charts import Table, count
from plainfilm.report.reference import PAPER_FILMS, PUBLISHED, SCORES, TABLE_I, why_not_comparable
from plainfilm.report.table import (
    NOT_DONE,
    UNDEFINED,
    Run,
    duration,
    judged,
    number,
    operations,
    part_in_words,
    read_run,
    read_runs,
    table_row,
    unfinished,
    with_interval,
)

FEW_FILMS = 100  # below this many scored films a red line says that the intervals are wide
SHOWN = 20  # errors of a kind in sight; the others are folded away
LISTED = 5000  # errors of a kind on the page at all, so that it still opens from a mail
HEADLINE = {
    "accuracy": "Accuracy",
    "f1_macro": "F1 (macro)",
    "auroc": "AUROC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}
DECISIONS = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "balanced_accuracy": "Balanced accuracy",
    "mcc": "Matthews' coefficient",
}
SECTIONS = {
    "table": "Table I",
    "network": "Network",
    "curves": "Curves",
    "montage": "Films",
    "decisions": "Decisions",
    "probabilities": "Probabilities",
    "search": "Grid search",
    "cost": "Time and cost",
    "errors": "Errors",
    "how": "How it was computed",
    "limits": "What this does not show",
}


class Cell(NamedTuple):
    """A score as it is to read, and what the paper has in its place."""

    name: str
    value: str
    bounds: str
    paper: str = ""
    word: str = ""


def run_report(run: str | Path) -> Path:
    """Write ``run``/report.html and ``run``/figures from the files of a finished run folder; return the page's path.

    What is not on disk (history.csv, parts of metrics.json, figures/montage.png) is shown as not done. InputError when
    a file is missing that every finished run has.
    """
    folder = Path(run)
    found = read_run(folder)
    page = {
        "title": f"{found.title} on {_data(found)}",
        "note": found.note,
        "tiles": [_cell(found, name, title) for name, title in HEADLINE.items()],
        "all_scores": _all_scores(found),
        "errors": _errors(found),
        "how": Table("The run", ["What", "Value"], _how(found)),
        "settings": _settings(found),
        "quarantine": _quarantine(found),
    }
    return _write(folder, "run.html", _shared([found], folder) | page)


def paper_report(out: str | Path) -> Path:
    """Write ``out``/report.html and ``out``/figures: all finished runs in the folders of ``out`` beside each other.

    Returns the page's path. InputError when there is no finished run.
    """
    folder = Path(out)
    runs = read_runs(folder)
    shared = _shared(runs, folder)
    begun = [f"{name} was begun and is not finished; it is not on this page." for name in unfinished(folder)]
    page = {
        "title": f"The paper's comparison on {_data(runs[0])}",
        "headline": _headline(runs),
        "comparisons": _comparisons(runs),
        "lines": shared["lines"] + begun,
        "error_counts": _error_counts(runs),
        "all_wrong": _all_wrong(runs),
        "how": _how_beside(runs),
    }
    return _write(folder, "paper.html", shared | page)


def _write(folder: Path, template: str, page: dict[str, Any]) -> Path:
    environment = Environment(
        loader=PackageLoader("plainfilm.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_text(folder / "report.html", environment.get_template(template).render(page))
    return folder / "report.html"


def _shared(runs: list[Run], folder: Path) -> dict[str, Any]:
    """Return what both kinds of page show, for one run or several; write the figures into ``folder``/figures."""
    searches = [charts.search(run, folder, runs) for run in runs if run.model["search"]]
    return {
        "lead": _lead(runs[0]),
        "synthetic": any(run.config["synthetic"] for run in runs),
        "version": runs[0].config["plainfilm"],
        "sections": [(key, name) for key, name in SECTIONS.items() if key != "search" or searches],
        "protocol": "; ".join(sorted({run.config["protocol"] for run in runs})),
        "scored": _scored(runs[0]),
        "summary": _summary(runs),
        "lines": _red_lines(runs),
        "table_rows": [_table_row(run, folder) for run in runs],
        "table_caption": _table_caption(runs[0]),
        "published": _published(),
        "forest": charts.forest(runs, folder),
        "networks": [charts.network(run, folder, runs) for run in runs if run.model["layers"]],
        "curves": charts.curves(runs, folder),
        "no_curves": [charts.no_curve(run) for run in runs if not run.history],
        "montages": [charts.montage(run) for run in runs if (run.folder / "figures/montage.png").exists()][:1],
        "decisions": _decisions(runs),
        "confusions": [charts.confusion(run, folder, runs) for run in runs],
        "probabilities": charts.probabilities(runs, folder),
        "searches": searches,
        "cost": _cost(runs),
        "limit_lines": _limits(runs),
    }


# -- words ------------------------------------------------------------------------------------------------------------


def _data(run: Run) -> str:
    """Return the data as it was named, without the folders above; a folder named train or test needs its own."""
    parts = Path(run.config["data"]).parts
    return "/".join(parts[-2:] if parts[-1].lower() in ("train", "val", "test") else parts[-1:])


def _lead(run: Run) -> str:
    classes = ", ".join(f"{name} {n:,}" for name, n in run.config["classes"].items())
    parts = ", ".join(f"{part_in_words(part)} {n:,}" for part, n in run.config["films"].items() if n)
    return f"{count(sum(run.config['classes'].values()), 'film')} ({classes}); {parts}"


def _scored(run: Run) -> str:
    positive = run.predictions.classes[run.positive]
    decided = f"positive: {positive}, from a probability of {run.threshold:g} on"
    if len(run.predictions.classes) > 2:
        decided = f"the likeliest class decides; sensitivity, specificity, AUROC: {positive} against the rest"
    return f"Scored on the {part_in_words(run.part)} part: {count(len(run.scored), 'film')}; {decided}. 95 % intervals."


def _summary(runs: list[Run]) -> str:
    why = why_not_comparable(runs[0].config)
    if why:
        return f"No verdict against the paper's Table I: {why}."
    said = []
    for run in runs:
        words = [word for word in (judged(run, score) for score in SCORES) if word]
        counted = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
        said += [f"{run.title}: did not learn" if run.one_class else f"{run.title}: {counted}"] if words else []
    return (
        f"The paper's Table I, {len(SCORES)} figures a model. {'; '.join(said)}."
        if said
        else ("The paper has no such model, so there is no verdict against its Table I.")
    )


def _red_lines(runs: list[Run]) -> list[str]:
    """Return what must be read before any score, each line once."""
    lines = [f"{run.title} {run.note}. Its decisions are those of a constant." for run in runs if run.note]
    lines += [
        f"{run.title}: the scores of the {part_in_words(run.part)} part are {NOT_DONE} (metrics.json lacks them)."
        for run in runs
        if not run.metrics.get(run.part)
    ]
    if len({run.config["data_hash"] for run in runs}) > 1:
        lines.append("The models were not trained and scored on the same films; their scores can't be compared.")
    for run in runs:
        lines += _lines_of_data(run)
    return list(dict.fromkeys(lines))


def _lines_of_data(run: Run) -> list[str]:
    patients, contents = run.config["crossing"]["patients"], run.config["crossing"]["contents"]
    bad, scored = len(run.quarantine), len(run.scored)
    said = {
        f"{count(patients, 'patient')} with films in more than one part: "
        "a model can know the patient instead of the disease, and the scores may flatter it.": patients,
        f"{count(contents, 'film')} with an exact copy in another part: seen in training, and scored.": contents,
        f"{count(bad, 'film')} could not be read and {'was' if bad == 1 else 'were'} left out (quarantine.csv).": bad,
        f"Only {count(scored, 'film')} scored: the intervals are wide, so read them first.": scored < FEW_FILMS,
        "Synthetic films: drawn by a program, so no score here says anything about patients.": run.config["synthetic"],
    }
    return [line for line, applies in said.items() if applies]


def _comparisons(runs: list[Run]) -> list[str]:
    """Return for every two models that learned what their accuracies allow to say."""
    learned = [run for run in runs if not run.one_class and not np.isnan(run.score("accuracy").low)]
    if len({run.config["data_hash"] for run in learned}) > 1:
        return []
    return [_comparison(a, b) for a, b in combinations(learned, 2)]


def _comparison(a: Run, b: Run) -> str:
    low, high = sorted((a, b), key=lambda run: run.score("accuracy").value)
    worse, better = low.score("accuracy"), high.score("accuracy")
    shown = f"accuracy {with_interval(better)} and {with_interval(worse)}"
    if better.low > worse.high:
        return f"{high.title} is better than {low.title} on these films: {shown}, the intervals don't overlap."
    return f"{high.title} is not shown to be better than {low.title}: {shown}, the intervals overlap."


def _limits(runs: list[Run]) -> list[str]:
    """Return in plain words what nobody should read out of the scores."""
    config = runs[0].config
    shared, positives = config["crossing"]["patients"], runs[0].scored.labels == runs[0].positive
    name = runs[0].predictions.classes[runs[0].positive]
    said = {
        "Synthetic films show that the program works, not that it works on patients.": config["synthetic"],
        "These are validation scores, not test scores: choices (epochs, learning rate, which model to use) are made "
        "by looking at these very films. Films without a part in any choice usually score lower.": runs[0].part
        != "test",
        f"{count(shared, 'patient')} with films on both sides of the split: how a model does on new patients is not "
        "shown. The split “grouped” keeps patients apart.": shared,
        "One split and one seed: the intervals say how much chance there is in the choice of films, not in the "
        "training; another seed moves the scores as well.": True,
        "Other hospitals, devices and ages: a published model of this kind fell to an AUROC of 0.54 on children of "
        "another hospital (Xin et al. 2022, doi 10.1007/s10140-021-01954-x).": True,
        "“97 % against Kermany's 92.8 %” compares a random quarter of all films, patients shared, with a separate test "
        "set of 624 films. Different protocols: neither figure ranks the other, and ours ranks with neither.": True,
        f"{100 * positives.mean():.0f} % of the scored films are {name}. Where it is rarer, fewer of the positive "
        "decisions are right.": True,
    }
    return [line for line, applies in said.items() if applies]


# -- tables -----------------------------------------------------------------------------------------------------------


def _cell(run: Run, score: str, title: str) -> Cell:
    found, published = run.score(score), TABLE_I.get(run.name, {}).get(score)
    bounds = "" if np.isnan(found.low) else f"{found.low:.3f}–{found.high:.3f}"
    value = number(found.value, UNDEFINED if score in run.metrics.get(run.part, {}) else NOT_DONE)
    return Cell(title, value, bounds, f"{published:.2f}" if published else "", judged(run, score))


def _table_row(run: Run, folder: Path) -> dict[str, Any]:
    cells = [_cell(run, score, title) for score, title in SCORES.items()]
    link = "" if run.folder == folder else f"{run.folder.relative_to(folder).as_posix()}/report.html"
    return {"title": run.title, "note": run.note, "link": link, "cells": cells}


def _table_caption(run: Run) -> str:
    films = sum(run.config["classes"].values())
    why = why_not_comparable(run.config)
    ours = f"Macro averages on {count(len(run.scored), 'film')}, {run.config['protocol']}; 95 % intervals."
    theirs = (
        f"No verdict: {why}." if why else "Reproduced: the paper's value, which has two digits, overlaps our interval."
    )
    return f"{ours} {theirs} The paper had {PAPER_FILMS:,} films, this set has {films:,}."


def _published() -> Table:
    caption = "Published figures with their protocols; figures of different protocols are not ranked."
    rows = [[p.who, p.figures, p.protocol, p.source] for p in PUBLISHED]
    return Table(caption, ["Whose", "Figures", "Protocol", "Source"], rows)


def _headline(runs: list[Run]) -> Table:
    rows = [[run.label, *(run.words(score) for score in HEADLINE)] for run in runs]
    return Table("Headline scores (95 % interval)", ["Model", *HEADLINE.values()], rows, _void(runs))


def _void(runs: list[Run]) -> list[int]:
    return [number for number, run in enumerate(runs) if run.one_class]


def _decisions(runs: list[Run]) -> Table:
    classes = runs[0].predictions.classes
    several = f"The likeliest class decides; {classes[runs[0].positive]} against the rest (95 % interval)"
    caption = several if len(classes) > 2 else f"At a probability of {runs[0].threshold:g} (95 % interval)"
    rows = [[name, *(run.words(key) for run in runs)] for key, name in DECISIONS.items()]
    return Table(caption, ["Score", *(run.label for run in runs)], rows)


def _all_scores(run: Run) -> Table | None:
    parts = [part for part in ("train", "val", "test") if run.metrics.get(part)]
    if not parts:
        return None
    names = dict.fromkeys(name for part in parts for name in run.metrics[part])
    rows = [[name, *(run.words(name, part) for part in parts)] for name in names]
    return Table("Every score (95 % interval)", ["Score", *map(part_in_words, parts)], rows)


def _cost(runs: list[Run]) -> Table:
    header = ["Model", "Training", "Features", "Parameters", "of them trained", "Operations a film"]
    header += ["Gap in accuracy", "Gap in loss"]
    rows = []
    for run in runs:
        row, seconds = table_row(run), run.model["seconds"]
        rows.append(
            [
                run.label,
                duration(seconds["training"]),
                duration(seconds["features"]) if seconds["features"] else "none",
                f"{run.model['parameters']:,}",
                f"{run.model['trained_parameters']:,}",
                operations(run.model["flops"]),
                number(row["gap_accuracy"]),
                number(row["gap_loss"]),
            ]
        )
    where = f"{runs[0].config['device']}, {count(runs[0].config['threads'], 'thread')}"
    gaps = "Gaps: training minus validation accuracy, validation minus training cross-entropy; dropout off in both."
    return Table(f"Measured in this run ({where}). {gaps}", header, rows, _void(runs))


def _wrong(run: Run) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (decided class of each scored film, rows of the wrong ones, the surest first)."""
    p = run.scored
    decided = p.decided(run.positive, run.threshold)
    rows = np.flatnonzero(decided != p.labels)
    sure = p.probabilities[rows, decided[rows]]
    return decided, rows[np.argsort(-sure, kind="stable")]


def _errors(run: Run) -> list[dict[str, Any]]:
    """Return the wrong films by kind: false negatives, false positives, and for more than two classes the others."""
    p, k, name = run.scored, run.positive, run.predictions.classes[run.positive]
    decided, wrong = _wrong(run)
    kinds = {
        f"False negatives: {name}, decided as another class": wrong[p.labels[wrong] == k],
        f"False positives: decided as {name}, and another class": wrong[decided[wrong] == k],
    }
    if len(p.classes) > 2:
        kinds["Other confusions"] = wrong[(p.labels[wrong] != k) & (decided[wrong] != k)]
    return [_kind_of_error(run, f"{title} ({len(rows):,})", rows, decided) for title, rows in kinds.items()]


def _kind_of_error(run: Run, title: str, rows: NDArray[np.int64], decided: NDArray[np.int64]) -> dict[str, Any]:
    p = run.scored
    lines = [
        [p.paths[i], p.classes[p.labels[i]], p.classes[decided[i]], f"{p.probabilities[i, decided[i]]:.3f}"]
        for i in rows[:LISTED]
    ]
    header = ["Film", "True", "Decided", "Its probability"]
    rest = lines[SHOWN:]
    left_out = f" (of {len(rows) - SHOWN:,}; all are in predictions.csv)" if len(rows) > LISTED else ""
    return {
        "title": title,
        "first": Table("By confidence, the surest first", header, lines[:SHOWN]) if lines else None,
        "rest": Table("The less sure ones", header, rest) if rest else None,
        "more": f"The other {len(rest):,}{left_out}",
    }


def _error_counts(runs: list[Run]) -> Table:
    rows = []
    for run in runs:
        p, (decided, wrong) = run.scored, _wrong(run)
        missed, alarms = (p.labels[wrong] == run.positive).sum(), (decided[wrong] == run.positive).sum()
        rows.append([run.label, f"{len(p):,}", f"{len(wrong):,}", f"{missed:,}", f"{alarms:,}"])
    return Table("Wrong films", ["Model", "Scored", "Wrong", "False negatives", "False positives"], rows, _void(runs))


def _all_wrong(runs: list[Run]) -> Table | None:
    """Return the films that every model that learned gets wrong, where there are at least two such models."""
    learned = [run for run in runs if not run.one_class]
    if len(learned) < 2:
        return None
    first = learned[0].scored
    truth = {path: first.classes[label] for path, label in zip(first.paths, first.labels, strict=True)}
    wrong = [{run.scored.paths[i] for i in _wrong(run)[1]} for run in learned]
    paths = sorted(set.intersection(*wrong))[:LISTED]
    caption = f"Wrong by all {len(learned)} models: {count(len(paths), 'film')} (hard, or labelled wrongly)"
    return Table(caption, ["Film", "Label"], [[path, truth[path]] for path in paths]) if paths else None


def _how(run: Run) -> list[list[str]]:
    config, model = run.config, run.model
    said = {
        "Command": f"plainfilm {config['command']}",
        "Data": config["data"],
        "Data hash": config["data_hash"],
        "Split": config["protocol"],
        "Films": _pairs(config["films"]),
        "Classes": _pairs(config["classes"]),
        "Class weights": _pairs(config["class_weights"]) if not model["search"] else "none used",
        "Preprocessing": _pairs(config["preprocess"]),
        "Pretrained weights": model["weights"] or "none",
        "Threshold, temperature": f"{run.threshold:g}, {model['temperature']:g}",
        "Seed": str(config["seed"]),
        "Device": f"{config['device']}, {count(config['threads'], 'thread')}",
        "Versions": f"plainfilm {config['plainfilm']}, {_pairs(config['versions'])}, Python {config['python']}",
        "Platform": config["platform"],
    }
    return [[name, str(value)] for name, value in said.items()]


def _how_beside(runs: list[Run]) -> Table:
    """Return the rows of ``_how`` with a column a model; what all share stands once."""
    columns = [dict(_how(run)) for run in runs]
    rows = []
    for name in columns[0]:
        values = [column[name] for column in columns]
        each = "; ".join(f"{run.title}: {value}" for run, value in zip(runs, values, strict=True))
        rows.append([name, values[0] if len(set(values)) == 1 else each])
    return Table("The runs", ["What", "Value"], rows)


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
    )


def _settings(run: Run) -> Table:
    used, known = run.config["settings"], {field.name: field for field in fields(TrainConfig)}
    rows = []
    for name, value in used.items():
        default = known[name].default if name in known else None
        meaning = known[name].metadata["help"] if name in known else ""
        rows.append([name, _setting(value), "" if value == default else _setting(default), meaning])
    return Table("Every setting", ["Setting", "Value", "Default, where another", "What it is"], rows)


def _setting(value: Any) -> str:
    return "(empty)" if value == "" else str(value)


def _quarantine(run: Run) -> Table | None:
    rows = [[row["path"], row["reason"]] for row in run.quarantine[:LISTED]]
    return Table(count(len(run.quarantine), "film") + " left out", ["Film", "Reason"], rows) if rows else None
