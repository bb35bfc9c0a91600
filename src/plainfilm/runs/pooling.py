"""Runs repeated with other folds or seeds, put together: pooled predictions, every run's scores, their mean and SD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from plainfilm.evaluation.findings import pooled_findings, write_findings
from plainfilm.evaluation.predictions import Predictions, write_predictions
from plainfilm.evaluation.scores import scores
from plainfilm.evaluation.scores_findings import doubtful, means
from plainfilm.evaluation.subgroups import groupings, subgroups, worst_subgroup
from plainfilm.evaluation.tables import named
from plainfilm.runs.findings import in_all, measure_findings, scored_part
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.scoring import columns_of, measure
from plainfilm.runs.sites import gap
from plainfilm.storage import folders
from plainfilm.storage.documents import MetricsDocument
from plainfilm.storage.files import require_intact, write_json
from plainfilm.storage.tables import write_csv

SUSPECTS = 50  # label-noise candidates that are listed; nothing is relabelled
KEPT = tuple(named("runs"))


@dataclass(frozen=True)
class Repetition:
    """Runs of one folder that belong together.

    ``kind``: "folds" (test parts that don't overlap are pooled, each film decided by its own fold's threshold) or
    "seeds" (the same films again: scores are listed and not pooled). ``left_out``: {"column", "sites", "random"} of
    folds that leave a site out each, see ``runs.sites.gap``. ``audit``: "red_lines" and "light" of the audit of the
    set, which is one for all runs; None where there was none.
    """

    kind: str
    runs: list[str]
    protocol: str
    seed: int
    left_out: dict[str, Any] | None = None
    audit: dict[str, Any] | None = None


def pool(out: Path, what: Repetition, by: str = "") -> dict[str, Any]:
    """Write folds.json, runs.csv, metrics.json and predictions.csv into ``out`` from its finished runs; return what
    folds.json holds. ``by``: columns of the pooled films to look at."""
    runs, left_out = what.runs, what.left_out
    for name in runs:
        require_intact(out / name, folders.PREDICTIONS, folders.FILMS, folders.DESCRIPTION, folders.METRICS)
    opened = [RunFolder(out / name) for name in runs]
    found: dict[str, Any] = {
        "kind": what.kind,
        "protocol": what.protocol,
        "seed": what.seed,
        "runs": runs,
        "pooled": None,
        "label_noise": [],
        "worst_subgroup": None,
        "left_out": gap(out, runs, left_out) if left_out else None,
        "audit": what.audit,
    }
    found |= (_of_findings if opened[0].of_findings else _of_classes)(out, opened, found, by)
    names = [*found["scores"]]
    rows = zip(runs, *(found["scores"][name]["values"] for name in names), strict=True)
    write_csv(out / folders.RUNS, ("run", *names), rows)
    write_json(out / folders.FOLDS, found)
    return found


def _of_classes(out: Path, opened: list[RunFolder], about: Mapping[str, Any], by: str) -> dict[str, Any]:
    """Return scores of runs whose films have classes; of folds also those of all films together, which it writes."""
    part = opened[0].part
    scores = {name: _spread([run.scores(part)[name]["value"] for run in opened]) for name in KEPT}
    if about["kind"] != "folds":
        return {"part": part, "scores": scores}
    together = _together(opened)
    films = _all_films(opened)
    pooled = measure(together, about["protocol"], about["seed"], columns_of(together, films), by)
    write_predictions(out / folders.PREDICTIONS, together)
    worst = _worst_subgroup(together, films, about["seed"])
    return {"part": part, "scores": scores, **_pooled(out, pooled, _suspects(together)), "worst_subgroup": worst}


def _pooled(out: Path, metrics: MetricsDocument, suspects: tuple[list[dict[str, Any]], int]) -> dict[str, Any]:
    """Write the scores of all films together; return what folds.json holds of them, and of doubtful labels."""
    write_json(out / folders.METRICS, metrics)
    noise, count = suspects
    return {
        "by": metrics.get("by"),
        "pooled": metrics["test"],
        "label_noise": noise,
        "label_noise_count": count,
    }


def _of_findings(out: Path, opened: list[RunFolder], about: Mapping[str, Any], by: str) -> dict[str, Any]:
    """Return the same of runs whose films have findings: means over those that are scored in every run, and each
    finding's AUROC as ``auroc_NAME``."""
    part = scored_part(opened[0])
    each = [cast(dict[str, Any], run.metrics)[part]["findings"] for run in opened]
    common = in_all(each)
    overall = [means({name: run[name] for name in common}) for run in each]
    scores = {name: _spread([run[name]["value"] for run in overall]) for name in overall[0]}
    scores |= {f"auroc_{name}": _spread([_auroc(run[name]) for run in each]) for name in each[0]}
    if about["kind"] != "folds":
        return {"part": part, "scores": scores}
    together = pooled_findings([run.findings.part("test") for run in opened], about["runs"])
    columns = columns_of(together, _all_films(opened))
    pooled = measure_findings(together, about["protocol"], about["seed"], columns, by)
    write_findings(out / folders.PREDICTIONS, together)
    return {"part": part, "scores": scores, **_pooled(out, pooled, doubtful(together, SUSPECTS))}


def _all_films(opened: list[RunFolder]) -> list[dict[str, str]]:
    return list({row["path"]: row for run in opened for row in run.films}.values())  # a site's folds lack some


def _auroc(found: Mapping[str, Any]) -> float | None:
    value = found["scores"]["auroc"]["value"] if "scores" in found else None
    return None if value is None else float(value)


def _spread(values: list[float | None]) -> dict[str, Any]:
    known = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    sd = float(known.std(ddof=1)) if len(known) > 1 else None
    return {
        "values": values,
        "mean": float(np.mean(known)),
        "sd": sd,
        "low": float(known.min()),
        "high": float(known.max()),
    }


def _together(runs: list[RunFolder]) -> Predictions:
    """Return the out-of-fold predictions of all films in the order of their paths, each with its fold's threshold."""
    tables = [run.predictions.part("test") for run in runs]
    cuts = np.concatenate([np.full(len(table), table.decision.threshold) for table in tables])
    all_films = replace(
        tables[0],
        paths=[path for table in tables for path in table.paths],
        parts=np.concatenate([table.parts for table in tables]),
        labels=np.concatenate([table.labels for table in tables]),
        probabilities=np.concatenate([table.probabilities for table in tables]),
        patients=np.concatenate([table.patients for table in tables]),
        folds=np.concatenate([np.full(len(t), run.folder.name) for run, t in zip(runs, tables, strict=True)]),
    ).by(threshold=cuts, threshold_of=tables[0].decision.positive)
    order = np.array(sorted(range(len(all_films)), key=all_films.paths.__getitem__), dtype=np.int64)
    return all_films.take(order)


def _worst_subgroup(p: Predictions, films: list[dict[str, str]], seed: int) -> dict[str, Any] | None:
    facts = {row["path"]: row for row in films}
    found = groupings(p.paths, [p.classes[k] for k in p.labels], [facts[path] for path in p.paths])
    whole = scores(p, np.random.default_rng(seed))["balanced_accuracy"]
    return worst_subgroup(subgroups(p, found), whole.value)


def _suspects(p: Predictions) -> tuple[list[dict[str, Any]], int]:
    """Return the films whose own label the model that never saw them finds least likely, SUSPECTS at most, and how many
    there are whose label it finds less likely than not."""
    own = p.probabilities[np.arange(len(p)), p.labels]
    lowest = np.argsort(own, kind="stable")[:SUSPECTS]
    listed = [
        {"path": p.paths[i], "label": p.classes[p.labels[i]], "p_own_label": float(own[i])}
        for i in lowest
        if own[i] < 0.5
    ]
    return listed, int((own < 0.5).sum())
