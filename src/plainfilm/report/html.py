"""Reports: one self-contained page from the files of a run folder, or of several beside each other."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from plainfilm.config import TrainConfig
from plainfilm.errors import InputError
from plainfilm.evaluation.calibration import reliability
from plainfilm.evaluation.intervals import Interval
from plainfilm.evaluation.scores import confusion, pr_points, roc_points
from plainfilm.files import write_text
from plainfilm.report import figures
from plainfilm.report.reference import PAPER_FILMS, PUBLISHED, SCORES, TABLE_I, why_not_comparable
from plainfilm.report.table import (
    NOT_DONE,
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
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
PIXELS_AN_INCH = 120  # of a figure on the page
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


class Table(NamedTuple):
    """A table on the page; the first cell of a row heads it."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Chart:
    """A figure on the page: its file as a data URI, its message in words, and the numbers behind it."""

    name: str
    source: str
    alt: str
    caption: str
    width: int  # pixels
    table: Table | None = None

    @property
    def wide(self) -> bool:
        """Whether it needs a box of its own to scroll in on a narrow screen."""
        return self.width > 600


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
    searches = [_search(run, folder, runs) for run in runs if run.model["search"]]
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
        "forest": _forest(runs, folder),
        "networks": [_network(run, folder, runs) for run in runs if run.model["layers"]],
        "curves": _curves(runs, folder),
        "no_curves": [_no_curve(run) for run in runs if not run.history],
        "montages": [_montage(run) for run in runs if (run.folder / "figures/montage.png").exists()][:1],
        "decisions": _decisions(runs),
        "confusions": [_confusion(run, folder, runs) for run in runs],
        "probabilities": _probabilities(runs, folder),
        "searches": searches,
        "cost": _cost(runs),
        "limit_lines": _limits(runs),
    }


# -- words ------------------------------------------------------------------------------------------------------------


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _data(run: Run) -> str:
    """Return the data as it was named, without the folders above; a folder named train or test needs its own."""
    parts = Path(run.config["data"]).parts
    return "/".join(parts[-2:] if parts[-1].lower() in ("train", "val", "test") else parts[-1:])


def _lead(run: Run) -> str:
    classes = ", ".join(f"{name} {count:,}" for name, count in run.config["classes"].items())
    parts = ", ".join(f"{part_in_words(part)} {n:,}" for part, n in run.config["films"].items() if n)
    return f"{_count(sum(run.config['classes'].values()), 'film')} ({classes}); {parts}"


def _scored(run: Run) -> str:
    positive = run.predictions.classes[run.positive]
    decided = f"positive: {positive}, from a probability of {run.threshold:g} on"
    if len(run.predictions.classes) > 2:
        decided = f"the likeliest class decides; sensitivity, specificity and AUROC are those of {positive} against the rest"
    return f"Scored on the {part_in_words(run.part)} part: {_count(len(run.scored), 'film')}; {decided}. 95 % intervals."


def _summary(runs: list[Run]) -> str:
    why = why_not_comparable(runs[0].config)
    if why:
        return f"No verdict against the paper's Table I: {why}."
    said = []
    for run in runs:
        words = [word for word in (judged(run, score) for score in SCORES) if word]
        counted = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
        said += [f"{run.title}: did not learn" if run.one_class else f"{run.title}: {counted}"] if words else []
    return f"The paper's Table I, {len(SCORES)} figures a model. {'; '.join(said)}." if said else (
        "The paper has no such model, so there is no verdict against its Table I."
    )


def _red_lines(runs: list[Run]) -> list[str]:
    """Return what must be read before any score, each line once."""
    lines = [f"{run.title} {run.note}. Its scores are those of a constant." for run in runs if run.note]
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
        f"{_count(patients, 'patient')} with films in more than one part: "
        "a model can know the patient instead of the disease, and the scores may flatter it.": patients,
        f"{_count(contents, 'film')} with an exact copy in another part: seen in training, and scored.": contents,
        f"{_count(bad, 'film')} could not be read and {'was' if bad == 1 else 'were'} left out (quarantine.csv).": bad,
        f"Only {_count(scored, 'film')} scored: the intervals are wide, read them before the values.": scored < FEW_FILMS,
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
    figures_ = f"accuracy {with_interval(better)} and {with_interval(worse)}"
    if better.low > worse.high:
        return f"{high.title} is better than {low.title} on these films: {figures_}, the intervals don't overlap."
    return f"{high.title} is not shown to be better than {low.title}: {figures_}, the intervals overlap."


def _limits(runs: list[Run]) -> list[str]:
    """Return in plain words what nobody should read out of the scores."""
    config = runs[0].config
    shared, positives = config["crossing"]["patients"], runs[0].scored.labels == runs[0].positive
    name = runs[0].predictions.classes[runs[0].positive]
    said = {
        "Synthetic films show that the program works, not that it works on patients.": config["synthetic"],
        "These are validation scores, not test scores: choices (epochs, learning rate, which model to believe) were and "
        "are made by looking at these very films. Films that took no part in any choice usually score lower.": (
            runs[0].part != "test"
        ),
        f"{_count(shared, 'patient')} with films on both sides of the split: how a model does on new patients is not "
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
    return Cell(title, number(found.value), bounds, f"{published:.2f}" if published else "", judged(run, score))


def _table_row(run: Run, folder: Path) -> dict[str, Any]:
    cells = [_cell(run, score, title) for score, title in SCORES.items()]
    link = "" if run.folder == folder else f"{run.folder.relative_to(folder).as_posix()}/report.html"
    return {"title": run.title, "note": run.note, "link": link, "cells": cells}


def _table_caption(run: Run) -> str:
    films = sum(run.config["classes"].values())
    why = why_not_comparable(run.config)
    ours = f"Macro averages on {_count(len(run.scored), 'film')}, {run.config['protocol']}; 95 % intervals. "
    theirs = f"No verdict: {why}. " if why else "Reproduced: the paper's value, rounded to two digits, overlaps our interval. "
    return f"{ours}{theirs}The paper had {PAPER_FILMS:,} films, this set has {films:,}."


def _published() -> Table:
    caption = "Published figures with their protocols; figures of different protocols are not ranked."
    rows = [[p.who, p.figures, p.protocol, p.source] for p in PUBLISHED]
    return Table(caption, ["Whose", "Figures", "Protocol", "Source"], rows)


def _headline(runs: list[Run]) -> Table:
    rows = [
        [run.title + (f": {run.note}" if run.note else ""), *(with_interval(run.score(score)) for score in HEADLINE)]
        for run in runs
    ]
    return Table("Headline scores (95 % interval)", ["Model", *HEADLINE.values()], rows)


def _decisions(runs: list[Run]) -> Table:
    caption = f"At a probability of {runs[0].threshold:g} (95 % interval)"
    rows = [[name, *(with_interval(run.score(key)) for run in runs)] for key, name in DECISIONS.items()]
    return Table(caption, ["Score", *(run.title for run in runs)], rows)


def _all_scores(run: Run) -> Table | None:
    parts = [part for part in ("train", "val", "test") if run.metrics.get(part)]
    if not parts:
        return None
    names = dict.fromkeys(name for part in parts for name in run.metrics[part])
    rows = [[name, *(with_interval(run.score(name, part)) for part in parts)] for name in names]
    return Table("Every score (95 % interval)", ["Score", *map(part_in_words, parts)], rows)


def _cost(runs: list[Run]) -> Table:
    header = ["Model", "Training", "Features", "Parameters", "of them trained", "Operations a film", "Gap in accuracy", "Gap in loss"]
    rows = []
    for run in runs:
        row, seconds = table_row(run), run.model["seconds"]
        rows.append(
            [
                run.title,
                duration(seconds["training"]),
                duration(seconds["features"]) if seconds["features"] else "none",
                f"{run.model['parameters']:,}",
                f"{run.model['trained_parameters']:,}",
                operations(run.model["flops"]),
                number(row["gap_accuracy"]),
                number(row["gap_loss"]),
            ]
        )
    where = f"{runs[0].config['device']}, {_count(runs[0].config['threads'], 'thread')}"
    gaps = "Gaps: training minus validation accuracy, validation minus training cross-entropy, dropout off in both parts."
    return Table(f"Measured in this run ({where}). {gaps}", header, rows)


def _wrong(run: Run) -> tuple[np.ndarray, np.ndarray]:
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


def _kind_of_error(run: Run, title: str, rows: np.ndarray, decided: np.ndarray) -> dict[str, Any]:
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
        rows.append([run.title, f"{len(p):,}", f"{len(wrong):,}", f"{missed:,}", f"{alarms:,}"])
    return Table("Wrong films", ["Model", "Scored", "Wrong", "False negatives", "False positives"], rows)


def _all_wrong(runs: list[Run]) -> Table | None:
    """Return the films that every model that learned gets wrong, where there are at least two such models."""
    learned = [run for run in runs if not run.one_class]
    if len(learned) < 2:
        return None
    truth = {path: run.scored.classes[c] for run in learned for path, c in zip(run.scored.paths, run.scored.labels, strict=True)}
    wrong = [{run.scored.paths[i] for i in _wrong(run)[1]} for run in learned]
    paths = sorted(set.intersection(*wrong))[:LISTED]
    caption = f"Wrong by all {len(learned)} models: {_count(len(paths), 'film')} (hard, or labelled wrongly)"
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
        "Class weights": _pairs(config["class_weights"]) if run.history else "none used",
        "Preprocessing": _pairs(config["preprocess"]),
        "Pretrained weights": model["weights"] or "none",
        "Threshold, temperature": f"{run.threshold:g}, {model['temperature']:g}",
        "Seed": str(config["seed"]),
        "Device": f"{config['device']}, {_count(config['threads'], 'thread')}",
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
        same = len(set(values)) == 1
        rows.append([name, values[0] if same else "; ".join(f"{r.title}: {v}" for r, v in zip(runs, values, strict=True))])
    return Table("The runs", ["What", "Value"], rows)


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items())


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
    return Table(_count(len(run.quarantine), "film") + " left out", ["Film", "Reason"], rows) if rows else None


# -- figures ----------------------------------------------------------------------------------------------------------


def _chart(folder: Path, file: str, figure: Figure, name: str, alt: str, caption: str, table: Table | None) -> Chart:
    """Save ``figure`` into ``folder``/figures and return it ready for the page."""
    figures.save(figure, folder / "figures", file)
    svg = (folder / "figures" / f"{file}.svg").read_bytes()
    source = "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
    return Chart(name, source, alt, caption, round(PIXELS_AN_INCH * figure.get_size_inches()[0]), table)


def _file(name: str, run: Run, runs: list[Run]) -> str:
    """Return the file name of a figure of one run: with the folder's name where there are several."""
    return f"{name}-{run.folder.name}" if len(runs) > 1 else name


def _forest(runs: list[Run], folder: Path) -> Chart:
    rows = [
        {
            "model": run.title,
            "score": title,
            **run.score(score).as_dict(),
            "paper": TABLE_I.get(run.name, {}).get(score),
            "note": run.note,
        }
        for run in runs
        for score, title in SCORES.items()
    ]
    words = [judged(run, score) for run in runs for score in SCORES]
    lines = [
        [row["model"], row["score"], with_interval(Interval(row["value"], row["low"], row["high"])), _paper(row), word or "none"]
        for row, word in zip(rows, words, strict=True)
    ]
    table = Table("Ours and the paper's", ["Model", "Score", "Ours (95 % interval)", "Paper", "Verdict"], lines)
    counted = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words) if word) or "no verdict is given"
    alt = f"Our scores with intervals beside the paper's values, {len(rows)} figures: {counted}."
    caption = "Macro averages and accuracy with 95 % intervals; diamonds: the paper's values, rounded to ±\u00a00.005."
    return _chart(folder, "intervals", figures.intervals(rows), "Ours beside the paper's", alt, caption, table)


def _paper(row: dict[str, Any]) -> str:
    return f"{row['paper']:.2f}" if row["paper"] else "none"


def _network(run: Run, folder: Path, runs: list[Run]) -> Chart:
    layers, film = run.model["layers"], run.model["input"]
    rows = [
        [f"{i + 1}", figures.NAMES.get(x["kind"], x["kind"]), x["detail"], _sizes(x["shape"]), f"{x['parameters']:,}"]
        for i, x in enumerate(layers)
    ]
    table = Table("Layers in the order in which a film passes", ["", "Layer", "", "Output", "Parameters"], rows)
    total = f"{run.model['parameters']:,} parameters"
    alt = f"{run.title}: {len(layers)} layers from {_sizes(film)} to {len(run.predictions.classes)} classes, {total}."
    caption = "Heights follow the side of the feature map, breadths its channels (square roots); SOFTMAX follows the last layer."
    figure = figures.network(layers, run.title, film)
    return _chart(folder, _file("network", run, runs), figure, f"{run.title}: {total}", alt, caption, table)


def _sizes(shape: Sequence[int]) -> str:
    return "×".join(str(n) for n in (*shape[1:], shape[0]))


def _curves(runs: list[Run], folder: Path) -> list[Chart]:
    histories = {run.title: run.history for run in runs if run.history}
    if not histories:
        return []
    header = ["Model", "Epoch", "Training loss", "Validation loss", "Training accuracy", "Validation accuracy", "Rate"]
    keys = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate")
    rows = [
        [title, f"{row['epoch']:.0f}", *(f"{row[key]:.4f}" for key in keys)] for title, h in histories.items() for row in h
    ]
    ends = "; ".join(
        f"{title} after {_count(len(h), 'epoch')}: loss {h[-1]['train_loss']:.3f} in training and {h[-1]['val_loss']:.3f} "
        f"in validation, accuracy {h[-1]['train_accuracy']:.3f} and {h[-1]['val_accuracy']:.3f}"
        for title, h in histories.items()
    )
    caption = (
        "Training figures are means over an epoch, dropout on and weights moving; validation is measured after it, "
        "dropout off. So training may look the worse of the two; the gaps under “Time and cost” are free of that."
    )
    figure = figures.curves(histories)
    table = Table("Loss (cross-entropy, unweighted) and accuracy by epoch", header, rows)
    return [_chart(folder, "curves", figure, "Training curves", f"{ends}.", caption, table)]


def _no_curve(run: Run) -> str:
    if run.model["search"]:
        return f"{run.title}: no epochs; a logistic regression on frozen features was fitted to its optimum."
    return f"{run.title}: {NOT_DONE} (there is no history.csv)."


def _montage(run: Run) -> Chart:
    """Return figures/montage.png, as JPEG because thirty films as PNG would be most of the page."""
    path = run.folder / "figures" / "montage.png"
    packed = io.BytesIO()
    try:
        with Image.open(path) as image:
            image.convert("RGB").save(packed, "JPEG", quality=85, subsampling=0)
    except OSError as error:
        raise InputError(f"{path} can't be read ({error}); delete it or write it anew.") from None
    source = "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode()
    alt = f"Films as {run.title} labels them, each with probability, decision, truth and file, marked right or WRONG."
    caption = f"Random films of the {part_in_words(run.part)} part. Wrong ones have a thick broken frame, ✗ and the word."
    return Chart(f"{run.title}: films", source, alt, caption, round(PIXELS_AN_INCH * figures.WIDE))


def _confusion(run: Run, folder: Path, runs: list[Run]) -> Chart:
    p = run.scored
    counts = confusion(p, run.positive, run.threshold)
    rows = [[name, *(f"{n:,}" for n in line)] for name, line in zip(p.classes, counts, strict=True)]
    table = Table("Counts; rows: the truth, columns: the decision", ["True", *p.classes], rows)
    told = [f"{counts[k, k]:,} of {counts[k].sum():,} {name} right" for k, name in enumerate(p.classes)]
    alt = f"{run.title}: {', '.join(told)}." + (f" It {run.note}." if run.note else "")
    caption = f"{run.title}: counts and shares of each row." + (f" It {run.note}." if run.note else "")
    figure = figures.confusion(counts, p.classes)
    return _chart(folder, _file("confusion", run, runs), figure, f"{run.title}: confusion", alt, caption, table)


def _probabilities(runs: list[Run], folder: Path) -> list[Chart]:
    """Return ROC and precision-recall curves of all runs and the reliability of each; none without both classes."""
    if any(len(np.unique(run.scored.labels == run.positive)) < 2 for run in runs):
        return []
    return [_roc(runs, folder), _precision_recall(runs, folder), *(_reliability(run, folder, runs) for run in runs)]


def _roc(runs: list[Run], folder: Path) -> Chart:
    curves = [figures.Curve(r.title, *roc_points(r.scored, r.positive), r.score("auroc"), r.threshold) for r in runs]
    alt = "; ".join(f"{c.title}: area under the ROC curve {with_interval(c.area)}" for c in curves) + "."
    table = _at_thresholds(runs, "ROC", {"sensitivity": _sensitivity, "specificity": _specificity})
    caption = "ROC curve; the marker is the threshold in use."
    return _chart(folder, "roc", figures.roc(curves), "ROC", alt, caption, table)


def _precision_recall(runs: list[Run], folder: Path) -> Chart:
    curves = [figures.Curve(r.title, *pr_points(r.scored, r.positive), r.score("auprc"), r.threshold) for r in runs]
    share = float((runs[0].scored.labels == runs[0].positive).mean())
    alt = "; ".join(f"{c.title}: area under the precision–recall curve {with_interval(c.area)}" for c in curves)
    table = _at_thresholds(runs, "Precision and recall", {"precision": _precision, "recall": _sensitivity})
    caption = f"Precision–recall curve; dotted: {share:.2f}, the share of positives, which chance would give."
    figure = figures.precision_recall(curves, share)
    return _chart(folder, "precision_recall", figure, "Precision–recall", f"{alt}; chance gives {share:.2f}.", caption, table)


def _at_thresholds(runs: list[Run], title: str, rates: dict[str, Any]) -> Table:
    header = ["Threshold", *(f"{run.title}: {rate}" if len(runs) > 1 else rate for run in runs for rate in rates)]
    rows = []
    for threshold in THRESHOLDS:
        cells = []
        for run in runs:
            p = run.scored
            called, true = p.probabilities[:, run.positive] >= threshold, p.labels == run.positive
            cells += [number(rate(called, true)) for rate in rates.values()]
        rows.append([f"{threshold:g}", *(cell if cell != NOT_DONE else "none" for cell in cells)])
    return Table(f"{title} at some thresholds", header, rows)


def _share(hits: np.ndarray, of: np.ndarray) -> float:
    return float(hits[of].mean()) if of.any() else float("nan")


def _sensitivity(called: np.ndarray, true: np.ndarray) -> float:
    return _share(called, true)


def _specificity(called: np.ndarray, true: np.ndarray) -> float:
    return _share(~called, ~true)


def _precision(called: np.ndarray, true: np.ndarray) -> float:
    return _share(true, called)


def _reliability(run: Run, folder: Path, runs: list[Run]) -> Chart:
    table, error = reliability(run.scored, run.positive), run.score("ece")
    rows = [
        [f"{row['n']:,}", number(row["mean_predicted"]), with_interval(Interval(row["observed"], row["low"], row["high"]))]
        for row in table
    ]
    alt = f"{run.title}: expected calibration error {with_interval(error)} over {_count(len(table), 'bin')} of films."
    caption = f"{run.title}: do the probabilities mean what they say? Points on the diagonal do."
    numbers = Table("Bins of about equal size", ["Films", "Mean predicted", "Share of positives (95 % interval)"], rows)
    figure = figures.reliability(table, error)
    return _chart(folder, _file("reliability", run, runs), figure, f"{run.title}: reliability", alt, caption, numbers)


def _search(run: Run, folder: Path, runs: list[Run]) -> Chart:
    search = run.model["search"]
    scores, chosen = {float(c): float(s) for c, s in search["scores"].items()}, float(search["C"])
    rows = [[f"{c:g}", f"{scores[c]:.4f}", "chosen" if c == chosen else ""] for c in sorted(scores)]
    edge = len(scores) > 1 and chosen in (min(scores), max(scores))
    warning = " It lies at the end of the grid: a better one may lie beyond." if edge else ""
    fit = f"{search['iterations']:,} iterations, off the optimum by {search['optimality']:.1e}"
    alt = f"{run.title}: mean accuracy {scores[chosen]:.3f} at the chosen C = {chosen:g}.{warning}"
    caption = f"{run.title}: cross-validated inside the training part; the ring is the C chosen. Final fit: {fit}.{warning}"
    table = Table("Mean accuracy of the folds", ["C", "Mean accuracy", ""], rows)
    figure = figures.grid_search(scores, chosen)
    return _chart(folder, _file("grid_search", run, runs), figure, f"{run.title}: grid search", alt, caption, table)
