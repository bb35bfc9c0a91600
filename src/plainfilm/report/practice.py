"""What the scores mean in use: other thresholds, other shares of sick patients, films that go to a reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logit

from plainfilm.evaluation import scores
from plainfilm.evaluation.digits import edge
from plainfilm.evaluation.intervals import Interval, rate
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.referral import RiskCoverage, risk_coverage, useless
from plainfilm.report import plots
from plainfilm.report.charts import Chart, Points, drawn
from plainfilm.report.words import (
    NOT_DONE,
    SCORED_THEMSELVES,
    UNDEFINED,
    Table,
    chosen_on,
    count,
    fitted_in_words,
    number,
    part_in_words,
    percent,
    score_in_words,
    title_of,
    with_interval,
)
from plainfilm.runs.folder import RunFolder, interval

POINTS = {
    "0.5": "the middle",
    "youden": "largest sensitivity + specificity (Youden)",
    "sensitivity_95": "sensitivity at least 95 %",
}
SHOWN_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SHIFTED = 0.25  # a difference of log-odds of the prevalence that is named as one: 50 and 56 %, or 2 and 2.6 %


# -- thresholds -------------------------------------------------------------------------------------------------------


def thresholds(run: RunFolder) -> Table | None:
    """Return the operating points chosen on validation with what each realised on the scored part.

    None for more than two classes, and without validation films other than the scored ones.
    """
    if not run.two or run.validation is None:
        return None
    points = scores.operating_points(run.validation, run.scored)
    rows = [
        _point(f"{edge(found['threshold'])}: {POINTS[name]}{_in_use(run, found['threshold'])}", found)
        for name, found in points.items()
    ]
    if not any(_in_use(run, found["threshold"]) for found in points.values()):
        own = {"validation": run.metrics.get("val", {}), "test": run.metrics.get(run.part, {})}
        rows.append(_point(f"{edge(run.threshold)}: {rule(run)}{_in_use(run, run.threshold)}", own))
    caption = (
        f"Thresholds, and what each means on both sides (95 % interval). In use: {edge(run.threshold)}, {rule(run)}."
    )
    header = ["Threshold", *(f"{rate}, {part}" for part in ("validation", "test") for rate in ("Sens.", "Spec."))]
    return Table(caption, header, rows)


def rule(run: RunFolder) -> str:
    """Return in words how the threshold in use was chosen."""
    return str(run.model.get("threshold_rule") or "set beforehand, not chosen on these films")


def chosen(run: RunFolder) -> str:
    """Return in a sentence where threshold, calibration and refer band come from."""
    band = "no refer band"
    if run.decision.refer:
        band = f"refer band {run.decision.refer.words}, chosen on {chosen_on(run)}"
    return f"In use: threshold {edge(run.threshold)} ({rule(run)}); {fitted_in_words(run)}; {band}."


def _in_use(run: RunFolder, threshold: float) -> str:
    return " ← in use" if abs(threshold - run.threshold) < 1e-9 * min(threshold, 1 - threshold) else ""


def _point(name: str, found: dict[str, Any]) -> list[str]:
    rates = [found[part].get(rate) for part in ("validation", "test") for rate in ("sensitivity", "specificity")]
    return [name, *(NOT_DONE if rate is None else with_interval(interval(rate)) for rate in rates)]


# -- prevalence -------------------------------------------------------------------------------------------------------


def prevalence(run: RunFolder) -> Table:
    """Return PPV and NPV where other shares of patients are sick, by Bayes' rule from the scored part's rates."""
    found, other = run.score("sensitivity"), run.score("specificity")
    values, lows, highs = (scores.ppv_npv_at(*pair) for pair in zip(found, other, strict=True))
    rows = [
        [
            percent(value["prevalence"]),
            *(with_interval(Interval(value[key], low[key], high[key])) for key in ("ppv", "npv")),
            _wrong_alarms(value["ppv"]),
        ]
        for value, low, high in zip(values, lows, highs, strict=True)
    ]
    caption = (
        f"At sensitivity {score_in_words(run, 'sensitivity')} and specificity {score_in_words(run, 'specificity')}; "
        "in brackets: with both at the lower and both at the upper end of their intervals."
    )
    header = [f"Share that has {run.positive}", "PPV", "NPV", "Of 10 positive decisions, wrong"]
    return Table(caption, header, rows)


def _wrong_alarms(ppv: float) -> str:
    return UNDEFINED if np.isnan(ppv) else f"{10 * (1 - ppv):.1f}"


def shift(run: RunFolder) -> str:
    """Return the share of the positive class in training and among the scored films, and whether they differ."""
    trained = run.predictions.truth[run.predictions.parts == "train"]
    scored = float(run.scored.truth.mean())
    if not trained.size or run.part == "train":
        return f"{percent(scored)} of the scored films are {run.positive}."
    said = f"{percent(float(trained.mean()))} of the training and {percent(scored)} of the scored films"
    before = float(np.clip(trained.mean(), 1e-6, 1 - 1e-6))
    if abs(logit(before) - logit(np.clip(scored, 1e-6, 1 - 1e-6))) < SHIFTED:
        return f"{said} are {run.positive}: no shift of prevalence to speak of."
    return (
        f"{said} are {run.positive}: the prevalence differs, and the probabilities were learned under the first. "
        "PPV, NPV and accuracy belong to the second."
    )


def decision(run: RunFolder, folder: Path) -> Chart | None:
    """Return the decision curve of the scored part; None without films of both classes."""
    if len(np.unique(run.scored.truth)) < 2:
        return None
    curve = scores.decision_curve(run.scored)
    shown = np.isin(np.round(curve["threshold"], 2), SHOWN_THRESHOLDS)
    lines = zip(*(curve[key][shown] for key in ("threshold", "model", "treat_all")), strict=True)
    rows = [[f"{threshold:g}", f"{model:+.3f}", f"{all_films:+.3f}"] for threshold, model, all_films in lines]
    where = _stretches(curve["threshold"], curve["model"] > np.maximum(curve["treat_all"], 0) + 1e-12)
    alt = f"{title_of(run)}: the model has the largest net benefit of the three {where} (threshold probability)."
    caption = (
        "Decision curve (Vickers & Elkin 2006). Net benefit counts found patients and takes off false alarms, each at "
        "the odds of the threshold: who accepts 9 false alarms for one patient found reads at 0.1. It holds at "
        f"this part's prevalence. The model's curve is the highest {where}."
    )
    table = Table("Net benefit a film; calling none positive has 0", ["Threshold", "Model", "Call all positive"], rows)
    figure = plots.decision(curve, run.threshold if run.two and not run.cross_fitted else None)
    points = Points(tuple(curve), [list(map(float, row)) for row in zip(*curve.values(), strict=True)])
    return drawn(folder, "decision_curve", figure, f"{run.title}: decision curve", alt, caption, table, points)


def _stretches(thresholds: np.ndarray, true: np.ndarray) -> str:
    """Return in words from where to where something is true: "from 0.10 to 0.83 and from 0.97 to 0.99"."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]]).astype(int)))
    runs = [thresholds[start:end] for start, end in edges.reshape(-1, 2)]
    said = [f"from {run[0]:.2f} to {run[-1]:.2f}" if len(run) > 1 else f"at {run[0]:.2f}" for run in runs]
    return " and ".join(filter(None, [", ".join(said[:-1]), *said[-1:]])) or "nowhere"


# -- films for a reader -----------------------------------------------------------------------------------------------


def referral(run: RunFolder, folder: Path) -> dict[str, Any]:
    """Return the risk-coverage curve with the refer band, the table of what the band does, and it in a sentence."""
    parts = {"validation": run.validation, part_in_words(run.part): run.scored}
    tables = {name: p for name, p in parts.items() if p is not None}
    curves = {name: risk_coverage(p) for name, p in tables.items()}
    kept = {name: _kept(p) for name, p in tables.items()}
    lines = [plots.Kept(name, curves[name], _point_of(*kept[name]) if run.decision.refer else None) for name in tables]
    areas = "; ".join(f"{name}: area {curve.area:.3f}" for name, curve in curves.items())
    caption = (
        "Risk–coverage curve: films are kept from the surest down; the lower it runs on the left, the better the "
        f"model knows what it doesn't know. {areas[0].upper()}{areas[1:]} (mean risk)."
    )
    chart = drawn(
        folder,
        "risk_coverage",
        plots.risk_coverage(lines),
        f"{run.title}: risk and coverage",
        f"{title_of(run)}, share wrong among the films kept, surest first. {areas}.",
        caption,
        _coverages(curves),
        Points(
            ("films", "share_kept", "share_wrong"),
            [
                (name, *map(float, point))
                for name, curve in curves.items()
                for point in zip(curve.coverage, curve.risk, strict=True)
            ],
        ),
    )
    return {"chart": chart, "table": _band(run, kept) if run.decision.refer else None, "line": _in_words(run, kept)}


def _kept(p: Predictions) -> tuple[Interval, Interval, Interval]:
    """Return (share decided by the model, share wrong among those, share wrong without a band)."""
    referred, wrong = p.decision.refers(p.probabilities), p.decided != p.labels
    kept = p.patients[~referred]
    shares = (~referred, p.patients), (wrong[~referred], kept), (wrong, p.patients)
    decided, wrong_then, wrong_all = (rate(hits, patients) for hits, patients in shares)
    return decided, wrong_then, wrong_all


def _point_of(coverage: Interval, error: Interval, _: Interval) -> tuple[float, float]:
    return coverage.value, error.value


def _band(run: RunFolder, kept: dict[str, tuple[Interval, Interval, Interval]]) -> Table:
    rows = [[name, *(with_interval(share) for share in shares)] for name, shares in kept.items()]
    header = ["Films", "Decided by the model", "Wrong among them", "Wrong without a reader"]
    where = chosen_on(run)
    worse = ": others will err more" if where == SCORED_THEMSELVES else ""
    return Table(f"The refer band, chosen on {where}{worse} (95 % interval)", header, rows)


def _in_words(run: RunFolder, kept: dict[str, tuple[Interval, Interval, Interval]]) -> str:
    band = run.decision.refer
    if band is None:
        return "No refer band: the model decides every film."
    coverage, error, all_films = next(reversed(kept.values()))
    what = f"a probability of {run.positive}" if run.two else "a largest probability"
    said = (
        f"A film with {what} from {band.words} goes to a reader: "
        f"{percent(1 - coverage.value)} of the {count(len(run.scored), 'scored film')}. Of the others "
        f"{percent(error.value)} are decided wrongly, against {percent(all_films.value)} of all films without a reader."
    )
    return f"{said} {useless(1 - coverage.value)}".rstrip()


def _coverages(curves: dict[str, RiskCoverage]) -> Table:
    shares = np.arange(1, 11) / 10
    columns = [
        [number(float(curve.risk[np.searchsorted(curve.coverage, share - 1e-9)])) for share in shares]
        for curve in curves.values()
    ]
    rows = [[percent(float(share)), *cells] for share, cells in zip(shares, zip(*columns, strict=True), strict=True)]
    return Table("Share wrong among the films kept", ["Films kept, at least", *curves], rows)
