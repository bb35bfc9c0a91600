"""The report of a run's model on films from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.predictions import Predictions, read_predictions
from plainfilm.report import charts, evidence, external, practice, verdict
from plainfilm.report.page import write_page
from plainfilm.report.words import Table, count
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders
from plainfilm.storage.documents import ConfigDocument, MetricsDocument, ModelDocument

SECTIONS = {
    "local": "How many local films",
    "decisions": "Decisions",
    "prevalence": "Prevalence",
    "referral": "Films for a reader",
    "probabilities": "Probabilities",
    "robustness": "Robustness",
    "shortcuts": "Shortcuts",
    "limits": "What this does not show",
}


class Adapted(NamedTuple):
    """What the page says of an adaptation: the rule of decision in use, scores before and after, how many films were
    enough, and the films for a reader in a sentence."""

    decision: Decision
    changes: Table
    enough: tuple[str, Table]
    referral: str


def elsewhere_report(
    folder: Path,
    run: RunFolder,
    predictions: Predictions,
    metrics: MetricsDocument,
    about: dict[str, Any],
    adapted: Adapted | None = None,
) -> Path:
    """Write report.html and figures/ of films that are not the run's own into ``folder``; return the page's path.

    predictions: of these films, decided; metrics: as metrics.json has them; about: "data" (its name), "model" (a name,
    for a model file without its run), "synthetic", "quarantine" ((path, reason) pairs, if any), "whose" (the
    films are), "probes" (probes.json, if they were probed). adapted: what an adaptation to these films adds.
    """
    in_use = adapted.decision if adapted else predictions.decision
    seen = _as_run(folder, run, predictions, metrics, {**about, "in_use": in_use})
    films = f"{count(len(predictions), 'film')}{verdict.of_patients(predictions)}"
    shown = {
        "local": adapted,
        "robustness": evidence.robustness(seen, folder),
        "shortcuts": evidence.shortcuts(seen, folder),
    }
    page = {
        **shown,
        "title": f"{seen.full_title} on {verdict.data_name(seen)}{', before and after adapting' if adapted else ''}",
        "lead": f"{films}{about['whose']}",
        "synthetic": about["synthetic"],
        "version": seen.config["plainfilm"],
        "protocol": metrics["protocol"],
        "lines": [*external.lines(metrics), *seen.probes.get("red_lines", []), *verdict.line_of_few(len(predictions))],
        "groups": [("", [(key, name) for key, name in SECTIONS.items() if shown.get(key, True)])],
        "scored": verdict.what_was_scored(seen).replace("Scored on the test part", "Scored"),
        "tiles": [verdict.cell(seen, name, title) for name, title in verdict.HEADLINE.items()],
        "note": seen.one_class,
        "plain": verdict.in_plain_words(seen),
        "adapted": adapted,
        "positive": seen.positive,
        "confusions": [charts.confusion(seen, folder, [seen])],
        "decisions": charts.decisions([seen]),
        "probabilities": charts.probabilities([seen], folder, marked=not predictions.decision.own_thresholds),
        "calibration": charts.calibration(seen),
        "prevalence": practice.prevalence(seen),
        "shift": practice.shift(seen),
        "decision_curve": practice.decision(seen, folder),
        "referral": practice.referral(seen, folder)
        | ({"line": adapted.referral} if adapted and adapted.referral else {}),
        "limit_lines": [
            "One set of films from one place: another hospital's films, or other years, may give other scores.",
            f"{100 * predictions.truth.mean():.0f} % of these films are {seen.positive}. Where it is rarer, fewer of "
            "the positive decisions are right.",
        ],
    }
    return write_page(folder, "elsewhere.html", page)


def as_evaluated(folder: Path, run: RunFolder, metrics: MetricsDocument) -> RunFolder:
    """Return ``run`` as it is on the films whose predictions.csv lies in ``folder``; it needs its model.json."""
    films = read_predictions(folder / folders.PREDICTIONS, None, dict(run.model)).settled()  # one threshold for all
    about = {"data": folder.name.removeprefix("on-"), "model": run.name, "synthetic": False, "in_use": films.decision}
    return _as_run(folder, run, films, metrics, about)


def _as_run(
    folder: Path, run: RunFolder, predictions: Predictions, metrics: MetricsDocument, about: dict[str, Any]
) -> RunFolder:
    """Return the films and their scores as the charts of a run take them."""
    known: dict[str, Any] = (
        dict(run.config) if run.has(folders.CONFIG) else {"plainfilm": "", "seed": 0, "settings": {}}
    )
    config = {
        **known,
        "settings": {**known["settings"], "split": "elsewhere"},  # so that nothing is held against the paper's table
        "data": about["data"],
        "synthetic": about["synthetic"],
        "protocol": metrics["protocol"],
        "films": {"train": 0, "val": 0, "test": len(predictions)},
        "classes": dict.fromkeys(predictions.classes, 0),
        "crossing": {"patients": 0, "contents": 0},
    }
    told: dict[str, Any] = dict(run.model) if run.has(folders.DESCRIPTION) else {}
    model = {"model": about["model"], "title": about["model"], "layers": [], "search": None, **told}
    model |= _of_decision(about["in_use"]) | _chosen(run, told)
    if told.get("offsets") and not predictions.decision.own_thresholds:  # the model's last layer holds them
        predictions = predictions.by(offsets=tuple(told["offsets"]))
    bad = [{"path": path, "reason": reason} for path, reason in about.get("quarantine", ())]
    return RunFolder(folder).replaced(
        config=cast(ConfigDocument, config),
        model=cast(ModelDocument, model),
        metrics=metrics,
        predictions=predictions,
        quarantine=bad,
        history=[],
        films=[],
        probes=about.get("probes", {}),
        audit={},
    )


def _of_decision(decision: Decision) -> dict[str, Any]:
    return {
        "positive": decision.positive,
        "threshold": decision.threshold,
        "threshold_rule": decision.rule,
        "temperature": decision.temperature,
        "refer": list(decision.refer) if decision.refer else None,
    }


def _chosen(run: RunFolder, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return which films the operating point was chosen on: never the ones that are now scored by it. A model file
    without its run does not say, nor what calibration added to the log-odds."""
    own = "the run's own validation films" if told and not run.has(folders.ADAPTED) else "other films, before these"
    return {"chosen_on": own}


def table(run: RunFolder) -> Table | None:
    """Return the scores on other films beside the run's own; None where there was no such evaluation."""
    found = external.beside_the_own(run)
    return found and Table(*found)
