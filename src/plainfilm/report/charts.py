"""Each figure as it stands on a page: its file, its message in words, and the numbers behind it as a table."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from plainfilm.errors import InputError
from plainfilm.evaluation import scores, tables
from plainfilm.evaluation.digits import edge
from plainfilm.evaluation.intervals import Bools, Interval
from plainfilm.evaluation.reliability import reliability
from plainfilm.report import figures, plots
from plainfilm.report.forest import intervals
from plainfilm.report.network import NAMES
from plainfilm.report.network import network as network_figure
from plainfilm.report.reference import SCORES, TABLE_I
from plainfilm.report.words import (
    AS_GIVEN,
    NOT_DONE,
    UNDEFINED,
    Table,
    before_in_words,
    count,
    fitted_in_words,
    judged,
    note_on,
    number,
    part_in_words,
    score_in_words,
    title_of,
    with_interval,
)
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders
from plainfilm.storage.tables import write_csv

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
PIXELS_AN_INCH = 120  # of a figure on the page
ON_PAGE = round(PIXELS_AN_INCH * figures.WIDE)
DECISIVE = {
    name: words
    for name, words in tables.named(about=tables.DECISIONS).items()
    if name not in ("accuracy", "precision_macro", "recall_macro")  # accuracy is a tile; Table I has the others
}
CALIBRATED = tables.named(about=tables.CALIBRATION)
BEFORE_DRAWS = 500  # resamples of patients for scores that stand beside the final ones

Rate = Callable[[Bools, Bools], float]  # (called positive, truly positive) of (N,) films -> a share


class Points(NamedTuple):
    """What a figure draws, for whoever draws it anew."""

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


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


def drawn(  # noqa: PLR0913 - the parts of a figure on a page
    folder: Path,
    file: str,
    figure: Figure,
    name: str,
    alt: str,
    caption: str,
    table: Table | None,
    points: Points | None = None,
) -> Chart:
    """Save ``figure``, and its ``points`` as CSV, into ``folder``/figures; return it ready for the page."""
    figures.save(figure, folder / folders.FIGURES, file)
    if points:
        write_csv(folder / folders.FIGURES / f"{file}.csv", *points)
    source = "data:image/svg+xml;base64," + base64.b64encode(figures.outlined(figure)).decode()
    return Chart(name, source, alt, caption, round(PIXELS_AN_INCH * figure.get_size_inches()[0]), table)


def _file(name: str, run: RunFolder, runs: list[RunFolder]) -> str:
    """Return the file name of a figure of one run: with the folder's name where there are several."""
    return f"{name}-{run.folder.name}" if len(runs) > 1 else name


def forest(runs: list[RunFolder], folder: Path) -> Chart:
    """Return our scores with their intervals beside the paper's values."""
    rows: list[dict[str, Any]] = [
        {
            "model": run.title,
            "score": title,
            **run.score(score).as_dict(),
            "paper": TABLE_I.get(run.name, {}).get(score),
            "note": note_on(run),
        }
        for run in runs
        for score, title in SCORES.items()
    ]
    words = [judged(run, score) for run in runs for score in SCORES]
    shown = [score_in_words(run, score) for run in runs for score in SCORES]
    lines = [
        [row["model"], row["score"], ours, _paper(row), word or "none"]
        for row, ours, word in zip(rows, shown, words, strict=True)
    ]
    table = Table("Ours and the paper's", ["Model", "Score", "Ours (95 % interval)", "Paper", "Verdict"], lines)
    counted = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words) if word) or "no verdict is given"
    alt = f"Our scores with intervals beside the paper's values, {len(rows)} figures: {counted}."
    caption = "Macro averages and accuracy with 95 % intervals; diamonds: the paper's values, rounded to ±\u00a00.005."
    return drawn(folder, "intervals", intervals(rows), "Ours beside the paper's", alt, caption, table)


def _paper(row: dict[str, Any]) -> str:
    return f"{row['paper']:.2f}" if row["paper"] else "none"


def network(run: RunFolder, folder: Path, runs: list[RunFolder]) -> Chart:
    """Return the network of one of ``runs`` (Fig. 1)."""
    layers, film = run.model["layers"], run.model["input"]
    rows = [
        [f"{i + 1}", NAMES.get(x["kind"], x["kind"]), x["detail"], _sizes(x["shape"]), f"{x['parameters']:,}"]
        for i, x in enumerate(layers)
    ]
    table = Table("Layers in the order in which a film passes", ["", "Layer", "", "Output", "Parameters"], rows)
    total = f"{run.model['parameters']:,} parameters"
    alt = f"{run.title}: {len(layers)} layers from {_sizes(film)} to {len(run.predictions.classes)} classes, {total}."
    caption = (
        "Heights follow the side of a feature map, breadths its channels (square roots). SOFTMAX ends every model."
    )
    figure = network_figure(layers, run.title, film)
    return drawn(folder, _file("network", run, runs), figure, f"{run.title}: {total}", alt, caption, table)


def _sizes(shape: Sequence[int]) -> str:
    return "×".join(str(n) for n in (*shape[1:], shape[0]))


def curves(runs: list[RunFolder], folder: Path) -> list[Chart]:
    """Return the training curves of all runs that have epochs in one chart (Figs. 2 and 4); none without any."""
    histories = {title_of(run): run.history for run in runs if run.history}
    if not histories:
        return []
    header = ["Model", "Epoch", "Training loss", "Validation loss", "Training accuracy", "Validation accuracy", "Rate"]
    keys = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate")
    rows = [
        [title, f"{row['epoch']:.0f}", *(f"{row[key]:.4f}" for key in keys)]
        for title, history in histories.items()
        for row in history
    ]
    ends = "; ".join(_end(title, history[-1]) for title, history in histories.items())
    caption = (
        "Training figures are means over an epoch, dropout on and weights moving; validation is measured after it, "
        "dropout off. So training may look the worse of the two; the gaps under “Time and cost” are free of that."
    )
    figure = plots.curves(histories)
    table = Table("Loss (cross-entropy, unweighted) and accuracy by epoch", header, rows)
    return [drawn(folder, "curves", figure, "Training curves", f"{ends}.", caption, table)]


def _end(title: str, last: dict[str, float]) -> str:
    return (
        f"{title} after {count(round(last['epoch']), 'epoch')}: loss {last['train_loss']:.3f} in training and "
        f"{last['val_loss']:.3f} in validation, accuracy {last['train_accuracy']:.3f} and {last['val_accuracy']:.3f}"
    )


def no_curve(run: RunFolder) -> str:
    """Return why a run has no training curves."""
    if run.model["search"]:
        return f"{run.title}: no epochs; a logistic regression on frozen features was fitted to its optimum."
    return f"{run.title}: {NOT_DONE} (there is no history.csv)."


def montage(run: RunFolder) -> Chart | None:
    """Return figures/montage.png, as JPEG because thirty films as PNG would be most of the page; None where it was not
    drawn."""
    path = run.folder / folders.FIGURES / "montage.png"
    if not path.exists():
        return None
    packed = io.BytesIO()
    try:
        with Image.open(path) as image:
            grey = image.convert("RGB")
        grey.thumbnail((2 * ON_PAGE, 50 * ON_PAGE))
        grey.save(packed, "JPEG", quality=85, subsampling=0)
    except OSError as error:
        raise InputError(f"{path} can't be read ({error}); delete it or write it again.") from None
    source = "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode()
    alt = f"Films as {run.title} labels them, each with probability, decision, truth and file, marked right or WRONG."
    caption = f"Random films of the {part_in_words(run.part)} part. Wrong ones: a thick broken frame, ✗ and the word."
    return Chart(f"{run.title}: films", source, alt, caption, ON_PAGE)


def confusion(run: RunFolder, folder: Path, runs: list[RunFolder]) -> Chart:
    """Return the table of decisions of one of ``runs``."""
    p = run.scored
    counts = tables.confusion(p)
    rows = [[name, *(f"{n:,}" for n in line)] for name, line in zip(p.classes, counts, strict=True)]
    table = Table("Counts; rows: the truth, columns: the decision", ["True", *p.classes], rows)
    told = [f"{counts[k, k]:,} of {counts[k].sum():,} {name} right" for k, name in enumerate(p.classes)]
    alt = f"{title_of(run)}: {', '.join(told)}."
    caption = f"{title_of(run)}: counts, and shares of each row."
    figure = plots.confusion(counts, p.classes)
    return drawn(folder, _file("confusion", run, runs), figure, f"{run.title}: confusion", alt, caption, table)


def probabilities(runs: list[RunFolder], folder: Path, marked: bool = True) -> list[list[Chart]]:
    """Return ROC and precision-recall curves of all runs, and the reliability of each; none without both classes.

    marked: whether the threshold in use is marked; the films of several folds have no common one.
    """
    if any(len(np.unique(run.scored.truth)) < 2 for run in runs):
        return []
    ranking = [_roc(runs, folder, marked), _precision_recall(runs, folder, marked)]
    return [ranking, [_reliability(run, folder, runs) for run in runs]]


def _roc(runs: list[RunFolder], folder: Path, marked: bool) -> Chart:
    lines = [
        plots.Curve(
            title_of(r),
            *scores.roc_points(r.scored),
            r.score("auroc"),
            r.threshold if marked and r.two else None,
            _under_the_curve(r, "auroc"),
        )
        for r in runs
    ]
    alt = "; ".join(f"{title_of(run)}: area under the ROC curve {_area_in_words(run, 'auroc')}" for run in runs) + "."
    table = _at_thresholds(runs, "ROC", {"sensitivity": _sensitivity, "specificity": _specificity})
    caption = "ROC curve; the marker is the threshold in use." if marked and runs[0].two else "ROC curve."
    caption += _two_areas(runs, "auroc")
    points = _points(lines, ("1 - specificity", "sensitivity"))
    return drawn(folder, "roc", plots.roc(lines), "ROC", alt, caption, table, points)


def _precision_recall(runs: list[RunFolder], folder: Path, marked: bool) -> Chart:
    lines = [
        plots.Curve(
            title_of(r),
            *scores.pr_points(r.scored),
            r.score("auprc"),
            r.threshold if marked and r.two else None,
            _under_the_curve(r, "auprc"),
        )
        for r in runs
    ]
    share = float(runs[0].scored.truth.mean())
    area = "area under the precision–recall curve"
    areas = "; ".join(f"{title_of(run)}: {area} {_area_in_words(run, 'auprc')}" for run in runs)
    alt = f"{areas}; chance gives {share:.2f}."
    table = _at_thresholds(runs, "Precision and recall", {"precision": _precision, "recall": _sensitivity})
    caption = f"Precision–recall curve; dotted: {share:.2f}, the share of positives, which chance would give."
    caption += _two_areas(runs, "auprc")
    figure = plots.precision_recall(lines, share)
    points = _points(lines, ("recall", "precision"))
    return drawn(folder, "precision_recall", figure, "Precision–recall", alt, caption, table, points)


def _under_the_curve(run: RunFolder, name: str) -> Interval | None:
    """Return the area under the curve of all films, where the score ``name`` is the mean of several models' areas."""
    return run.score(f"{name}_pooled") if f"{name}_pooled" in run.scores() else None


def _area_in_words(run: RunFolder, name: str) -> str:
    pooled = _under_the_curve(run, name)
    own = score_in_words(run, name)
    return own if pooled is None else f"{with_interval(pooled)}, mean of the folds' own curves {own}"


def _two_areas(runs: list[RunFolder], name: str) -> str:
    """Return what a caption says of two areas that are not the same number; empty where there is one."""
    two = [run for run in runs if _under_the_curve(run, name) is not None]
    told = "; ".join(_area_in_words(run, name) for run in two)
    return (
        f" All folds' films in one curve, whose area is {told}. One curve compares probabilities of different models, "
        "so the mean of the folds is the score."
    ) * bool(two)


def _points(lines: Sequence[plots.Curve], axes: tuple[str, str]) -> Points:
    each = (
        (line.title, *point)
        for line in lines
        for point in zip(line.thresholds.tolist(), line.x.tolist(), line.y.tolist(), strict=True)
    )
    return Points(("model", "threshold", *axes), list(each))


def _at_thresholds(runs: list[RunFolder], title: str, rates: dict[str, Rate]) -> Table:
    header = ["Threshold", *(f"{run.title}: {rate}" if len(runs) > 1 else rate for run in runs for rate in rates)]
    rows = []
    for threshold in THRESHOLDS:
        cells = []
        for run in runs:
            called, true = run.scored.score >= threshold, run.scored.truth
            cells += [number(rate(called, true), UNDEFINED) for rate in rates.values()]
        rows.append([f"{threshold:g}", *cells])
    return Table(f"{title} at some thresholds", header, rows)


def _share(hits: Bools, of: Bools) -> float:
    return float(hits[of].mean()) if of.any() else float("nan")


def _sensitivity(called: Bools, true: Bools) -> float:
    return _share(called, true)


def _specificity(called: Bools, true: Bools) -> float:
    return _share(~called, ~true)


def _precision(called: Bools, true: Bools) -> float:
    return _share(true, called)


def _reliability(run: RunFolder, folder: Path, runs: list[RunFolder]) -> Chart:
    table, error = reliability(run.scored), run.score("ece")
    fitted = run.calibrated
    before = reliability(run.as_trained) if fitted else []
    was, shown = before_in_words(run), score_in_words(run, "ece")
    rows = [["in use", *row] if fitted else row for row in _bins(table)] + [[was, *row] for row in _bins(before)]
    alt = f"{title_of(run)}: expected calibration error {shown} over {count(len(table), 'bin')} of films."
    squares = f" Squares: {was}; in use: {fitted_in_words(run)}." if fitted else ""
    chance = score_in_words(run, "ece_by_chance")
    caption = (
        f"{title_of(run)}: do the probabilities mean what they say? Points on the diagonal do.{squares} Expected"
        f" calibration error {shown}; by chance alone a calibrated model has {chance} on such films."
    )
    header = ["Films", "Mean predicted", "Share of positives (95 % interval)"]
    numbers = Table("Bins of about equal size", ["Probabilities", *header] if fitted else header, rows)
    figure = plots.reliability(table, error, before, was)
    columns = ("n", "mean_predicted", "observed", "low", "high")
    bins = [("in use", row) for row in table] + [(was, row) for row in before]
    points = Points(("probabilities", *columns), [(of, *(row[name] for name in columns)) for of, row in bins])
    name = f"{run.title}: reliability"
    return drawn(folder, _file("reliability", run, runs), figure, name, alt, caption, numbers, points)


def _bins(table: Sequence[dict[str, float]]) -> list[list[str]]:
    observed = [with_interval(Interval(row["observed"], row["low"], row["high"])) for row in table]
    return [
        [f"{row['n']:,.0f}", number(row["mean_predicted"]), share] for row, share in zip(table, observed, strict=True)
    ]


def search(run: RunFolder, folder: Path, runs: list[RunFolder]) -> Chart:
    """Return the grid search of one of ``runs``; a choice at the end of the grid is said to be one."""
    tried = {float(c): float(score) for c, score in run.model["search"]["scores"].items()}
    chosen = float(run.model["search"]["C"])
    rows = [[f"{c:g}", f"{tried[c]:.4f}", "chosen" if c == chosen else ""] for c in sorted(tried)]
    edge = len(tried) > 1 and chosen in (min(tried), max(tried))
    warning = " It lies at the end of the grid: a better one may lie beyond." if edge else ""
    found = run.model["search"]
    fit = f"{found['iterations']:,} iterations, off the optimum by {found['optimality']:.1e}"
    score = found.get("score", "accuracy")  # older runs name none
    alt = f"{run.title}: mean {score} {tried[chosen]:.3f} at the chosen C = {chosen:g}.{warning}"
    by = run.settings["choose_by"] if score == "AUROC" else ""
    how = f"one {by} left out at a time" if by else "cross-validated"
    caption = f"{run.title}: {how} inside the training part; ring: the C chosen. Final fit: {fit}.{warning}"
    table = Table(f"Mean {score} of the folds", ["C", f"Mean {score}", ""], rows)
    figure = plots.grid_search(tried, chosen, score)
    return drawn(folder, _file("grid_search", run, runs), figure, f"{run.title}: grid search", alt, caption, table)


def calibration_before(run: RunFolder) -> dict[str, str]:
    """Return the calibration scores, as they are to read, of the probabilities as the network was trained to give."""
    found = scores.scores(run.as_trained, np.random.default_rng(run.config["seed"]), BEFORE_DRAWS)
    return {name: with_interval(found[name]) for name in tables.named(about=tables.CALIBRATION)}


def decisions(runs: list[RunFolder]) -> Table:
    """Return the scores that depend on the threshold."""
    first = runs[0]
    several = f"The likeliest class decides; {first.positive} against the rest (95 % interval)"
    at = f"a probability of {edge(first.threshold)}" if not first.cross_fitted else "each film's own threshold"
    caption = f"At {at} (95 % interval)" if first.two else several
    rows = [[name, *(score_in_words(run, key) for run in runs)] for key, name in DECISIVE.items()]
    return Table(caption, ["Score", *(title_of(run) for run in runs)], rows)


def calibration(run: RunFolder) -> Table:
    """Return the calibration scores, and beside them those before anything was fitted to make them better."""
    rows = [[name, score_in_words(run, key)] for key, name in CALIBRATED.items()]
    if not run.calibrated:
        fitted = fitted_in_words(run)
        nothing = "" if run.cross_fitted or fitted == AS_GIVEN else ". Nothing was fitted for it"
        return Table(f"Calibration (95 % interval){nothing}: {fitted}", ["", "Value"], rows)
    before = calibration_before(run)
    caption = f"Calibration (95 % interval) {before_in_words(run)}, and with the {fitted_in_words(run)}"
    both = [[name, before[key], after] for key, (name, after) in zip(CALIBRATED, rows, strict=True)]
    return Table(caption, ["", before_in_words(run).capitalize(), "In use"], both)
