"""``plainfilm evaluate``: a run, a run on other films, repeated runs, or any model's predictions.csv.

The scores themselves need no torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from plainfilm.commands.evaluate_elsewhere import evaluate_elsewhere, report
from plainfilm.config import READING
from plainfilm.errors import CheckFailed, InputError, command_line, refuse, require_share
from plainfilm.evaluation.chance import chance_lines
from plainfilm.evaluation.conditions import check, holding
from plainfilm.evaluation.findings import holds_findings, read_findings
from plainfilm.evaluation.handed_in import Told
from plainfilm.evaluation.predictions import read_table_of
from plainfilm.evaluation.scores import ppv_npv_at
from plainfilm.progress import say
from plainfilm.runs.findings import measure_findings, score_findings
from plainfilm.runs.folder import RunFolder, interval
from plainfilm.runs.pooling import Repetition, pool
from plainfilm.runs.scoring import columns_of, measure, score_again
from plainfilm.storage import folders
from plainfilm.storage.documents import IntervalDocument, MetricsDocument
from plainfilm.storage.files import read_json, sealed, write_json
from plainfilm.storage.tables import is_table, read_csv

AS_GIVEN = "predictions as given; how the films were divided is not known"


def evaluate(
    run: Path,
    data: str = "",
    *,
    fail_if: Sequence[str] = (),
    prevalence: float | None = None,
    seed: int = 0,
    **how: Any,
) -> dict[str, Any]:
    """Score one of four by what it is, and hold the scores against what was asked for.

    ``how`` goes to ``evaluate_elsewhere`` where ``data`` names other films, to ``evaluate_file``, to
    ``evaluate_repetition`` or to ``evaluate_run``; InputError names what means nothing there. ``prevalence``: PPV and
    NPV are added for it. CheckFailed, with the scores, when a condition of ``fail_if`` holds.
    """
    check(fail_if)  # before anything is scored
    if prevalence is not None:
        require_share("--prevalence", prevalence, ends=False)
    one, what = _one_of_four(run, data)
    known = {*inspect.signature(one).parameters}
    known |= set(READING) if "reading" in known else set()
    refuse(what, {name: value for name, value in how.items() if name not in known})
    found: dict[str, Any] = one(*filter(None, (run, data)), **how, **({"seed": seed} if "seed" in known else {}))
    scores = found.get("test") or found.get("val") or found.get("train") or _means(found)
    if "runs" in found:
        found = {**found, "test": scores}
    if prevalence is not None:
        found = {**found, "at_prevalence": _at_prevalence(scores, prevalence)}
    if failed := holding(fail_if, scores):
        raise CheckFailed(f"Done, and a condition of --fail-if holds: {'; '.join(failed)}.", found)
    if fail_if:
        say(f"No condition of --fail-if holds: {'; '.join(fail_if)}.")
    return found


def _one_of_four(run: Path, data: str) -> tuple[Callable[..., Any], str]:
    if data:
        return evaluate_elsewhere, "a run on other films (DATA)"
    if is_table(run) or run.suffix.lower() == ".txt":
        return evaluate_file, "a FILE.csv"
    if run.suffix.lower() == ".onnx":
        again = command_line("evaluate", run, "DATA")
        raise InputError(f"{run} has no films of its own; name some with their labels: {again}")
    if (run / folders.FOLDS).exists():
        return evaluate_repetition, "folds or seeds"
    return evaluate_run, "a run, whose folder is its place,"


def _means(found: Mapping[str, Any]) -> dict[str, IntervalDocument]:
    """Return the pooled scores of repeated runs; of seeds, which are not pooled, their means."""
    if pooled := found.get("pooled"):
        return cast(dict[str, IntervalDocument], pooled)
    return {name: {"value": s["mean"], "low": None, "high": None} for name, s in found.get("scores", {}).items()}


def _at_prevalence(scores: Mapping[str, IntervalDocument], prevalence: float) -> dict[str, Any]:
    """Return PPV and NPV at ``prevalence``; low and high where sensitivity and specificity are at their lower or upper
    ends together, so that they hold the true value whenever both intervals do."""
    rates = interval(scores["sensitivity"]), interval(scores["specificity"])
    ends = {
        end: ppv_npv_at(sensitivity, specificity, [prevalence])[0]
        for end, sensitivity, specificity in zip(("value", "low", "high"), *rates, strict=True)
    }
    return {
        "prevalence": prevalence,
        **{name: {end: row[name] for end, row in ends.items()} for name in ("ppv", "npv")},
    }


def evaluate_run(
    run: Path,
    *,
    by: str = "",
    probes: bool = False,
    films: int = 0,
    audit: Path | None = None,
    precision: str = "",
    seed: int = 0,
) -> MetricsDocument:
    """Score a run's own films again, probe it if asked for (see ``runs.probing.probe``), and write its report anew.

    ``by``: columns of its films to look at, see ``runs.scoring.measure``.
    """
    if not probes:
        refuse("a run without --probes", {"films": films or None, "audit": audit, "precision": precision})
    opened = RunFolder(run)
    opened.require_finished()
    with sealed(run):
        metrics = score_findings(opened, by=by) if opened.of_findings else score_again(opened, by)
        if probes:
            from plainfilm.models.model import Model
            from plainfilm.runs.probing import probe

            probe(opened, Model.load(run, precision or "auto"), films=films, seed=seed, audit=audit)
        if opened.of_findings:
            from plainfilm.report.findings_page import findings_report  # which draws

            say(f"Report: {findings_report(opened)}")
        else:
            from plainfilm.report.html import run_report

            run_report(opened)
    return metrics


def evaluate_file(
    file: Path,
    *,
    positive: str = "",
    threshold: float | None = None,
    out: Path | None = None,
    force: bool = False,
    by: str = "",
    columns: str = "",
    scores: str = "",
    classes: str = "",
    seed: int = 0,
) -> MetricsDocument:
    """Score any model's predictions; with ``out`` write metrics.json there.

    ``threshold``: of two classes, 0.5 when None; InputError where the file's own thresholds or more classes leave it
    nothing to do. ``by``: further columns of the file to look at, see ``runs.scoring.measure``. ``columns``,
    ``scores``, ``positive``: what another program's table holds, ``classes``: other names for its classes, see
    ``handed_in.Told``.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"--threshold {threshold}: expected a number between 0 and 1.")
    if out:
        folders.require_free(out, folders.EVALUATION, force=force)
    if holds_findings(file):
        refuse("a file of several findings", {"positive": positive, "threshold": threshold, "classes": classes})
        said = read_findings(file)
        metrics = measure_findings(said, AS_GIVEN, seed, columns_of(said, read_csv(file)[1]), by)
        if out:
            with sealed(out, shared=True):
                write_json(out / folders.METRICS, metrics)
        return metrics
    predictions, table = read_table_of(file, told=Told.of(columns, scores, positive, classes))
    decision = predictions.decision
    if threshold is not None and (decision.own_thresholds or not decision.two):
        why = "it has a threshold for each film" if decision.two else "it has more than two classes"
        raise InputError(f"--threshold does nothing for {file}: {why}; leave it out.")
    decided = predictions if threshold is None else predictions.by(threshold=threshold)
    metrics = measure(decided, AS_GIVEN, seed, columns_of(predictions, table.rows), by)
    if table.columns:
        metrics["read"] = {"columns": table.columns, "scores": table.scale.kind, "remarks": table.remarks}
    metrics["red_lines"] = chance_lines(metrics)
    if out:
        about = {"data": file.name, "model": "Predictions", "synthetic": False, "whose": ", as given"}
        with sealed(out, shared=True):
            write_json(out / folders.METRICS, metrics)
            scored = decided.part(next(part for part in ("test", "val", "train") if part in metrics))
            report(out, RunFolder(out), scored.settled(), metrics, about)
    return metrics


def evaluate_runs(out: Path, what: Repetition, by: str = "") -> dict[str, Any]:
    """Put repeated runs together in ``out``, see ``runs.pooling.pool``, with their report; return what folds.json
    holds."""
    with sealed(out):
        found = pool(out, what, by)
        from plainfilm.report.folds import folds_report  # which draws; scores alone need no Matplotlib

        folds_report(out)
    return found


def evaluate_repetition(out: Path, *, by: str = "") -> dict[str, Any]:
    """Score a folder of repeated runs once more from their predictions; return what folds.json holds. ``by``: columns
    of the pooled films to look at, see ``runs.scoring.measure``; InputError for seeds, whose films are not pooled."""
    was = read_json(out / folders.FOLDS)
    if was["kind"] != "folds":
        refuse("seeds, whose films are not pooled", {"by": by})
    told = was.get("left_out"), was.get("audit")
    return evaluate_runs(out, Repetition(was["kind"], was["runs"], was["protocol"], was["seed"], *told), by)
