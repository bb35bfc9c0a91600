"""What a finished run's scores hide: its films once more, whole, spoilt and covered; subgroups; the lines crossed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.data.films import Film, Films, read_films
from plainfilm.errors import InputError
from plainfilm.evaluation.exchange import Lenders, any_other, lenders
from plainfilm.evaluation.findings import FindingsPredictions, of_classes, rarest
from plainfilm.evaluation.intervals import Floats
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.scores import scores
from plainfilm.evaluation.subgroups import groupings, subgroups, worst_subgroup
from plainfilm.models.model import Model
from plainfilm.models.reads import Reads
from plainfilm.models.summary import LIGHT
from plainfilm.runs.changes import changes, changes_of_findings
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.looking import VERSIONS, Looked, look
from plainfilm.storage import folders
from plainfilm.storage.documents import ProbesDocument
from plainfilm.storage.files import read_json, require_intact

MOST_FILMS = 1_000  # probed with a light network
FEW_FILMS = 100  # probed with any other
SHARE = 5  # probes after a training cost at most one part in so many of it, counted in passes; a step is three
DOING = "evaluate --probes"


def probe(
    run: RunFolder,
    model: Model,
    *,
    films: int = 0,
    seed: int = 0,
    source: Films | None = None,
    audit: Path | None = None,
) -> ProbesDocument:
    """Probe the model of a run on its scored part (test, else val), write probes.json and return what it holds.

    films: how many films, drawn evenly from the classes by ``seed``; 0 = up to 1,000 for a network under 1 GFLOP a
    film, else 100. source: the run's films, where they are at hand; else they are read from where the run found them.
    audit: folder of an audit of the run's films, whose document is kept as RUN/audit.json; what borders or metadata
    alone tell, there or in the audit that the run has already, stands beside the model's probes.

    Keys: ``films`` (probed), ``scored`` (in the part), ``part``, ``seed``, ``positive``; what ``runs.changes`` has; of
    classes also ``subgroups`` (of all scored films) and ``worst_subgroup``, see ``evaluation.subgroups``.
    InputError when the films are no longer what the run was scored on, or the audit is one of others.
    """
    if audit:
        run.write_audit(_audited(audit, run))
    said = _said(run, model)
    facts = _scored_films(run, said)
    rows = _drawn(said, films or count_for(run), seed)
    looked = look(model, _films(run, [facts[i] for i in rows], source), seed, _lenders(said, rows, seed))
    found: ProbesDocument = {
        **_about(run.part, said, len(rows), seed),
        **_changes(model, said, rows, looked, run.audit, seed),
    }
    if isinstance(said, Predictions):
        found |= _about_subgroups(said, facts, rows, looked.brightness, seed)
    run.write_probes(found)
    return found


def probe_films(
    model: Reads, said: Predictions | FindingsPredictions, films: Sequence[Film], count: int, seed: int
) -> ProbesDocument:
    """Return what ``probe`` finds, without subgroups, of up to ``count`` of ``films`` that belong to no run; ``said``
    of them, in their order. InputError as there."""
    rows = _drawn(said, count, seed)
    looked = look(model, [films[i] for i in rows], seed, _lenders(said, rows, seed))
    found: ProbesDocument = {
        **_about("test", said, len(rows), seed),
        **_changes(model, said, rows, looked, {}, seed),
    }
    return found


def count_for(run: RunFolder) -> int:
    """Return how many films of a run are probed unless that is said: fewer with a large network, or an unknown one."""
    light = run.has(folders.DESCRIPTION) and run.model["flops"] < LIGHT
    return MOST_FILMS if light else FEW_FILMS


def _said(run: RunFolder, model: Reads) -> Predictions | FindingsPredictions:
    """Return the scored predictions of a run, decided as its model decides now. InputError where the two don't belong
    together."""
    said = run.findings.part(run.part) if run.of_findings else run.scored
    if said.decision.classes != model.classes:
        classes = f"{', '.join(said.decision.classes)} against {', '.join(model.classes)}"
        raise InputError(
            f"{run.folder}: predictions.csv and model.h5 don't belong together, their classes differ ({classes})."
        )
    if isinstance(said, FindingsPredictions):
        return said
    return replace(said, decision=of_classes(model.decision, DOING))


def _drawn(said: Predictions | FindingsPredictions, count: int, seed: int) -> np.ndarray:
    """Return the rows of the films to probe, drawn evenly from the classes, or from those with each rare finding."""
    return stratified(rarest(said.truth) if isinstance(said, FindingsPredictions) else said.labels, count, seed)


def _lenders(said: Predictions | FindingsPredictions, rows: np.ndarray, seed: int) -> Lenders | None:
    """Return who lends the films in ``rows`` their look; for those of findings there is no film of another class."""
    if isinstance(said, Predictions):
        return lenders(said.labels[rows], seed)
    return any_other(len(rows), np.random.default_rng(seed))[None]


def _changes(
    model: Reads,
    said: Predictions | FindingsPredictions,
    rows: np.ndarray,
    looked: Looked,
    audit: Mapping[str, Any],
    seed: int,
) -> ProbesDocument:
    if isinstance(said, FindingsPredictions):
        return changes_of_findings(looked, said.take(rows), model.preprocess)
    return changes(looked, said.take(rows), model.preprocess, audit.get("baselines", []), seed)


def probe_subgroups(run: RunFolder, model: Model, brightness: Mapping[str, float], seed: int) -> None:
    """Write probes.json with the subgroups of the scored part alone, which need no film again.

    brightness: {path: mean grey, 0..255} of the run's films.
    """
    said = _said(run, model)
    assert isinstance(said, Predictions)
    greys = np.array([brightness[path] for path in said.paths])
    about = _about(run.part, said, len(said), seed)
    groups = _about_subgroups(said, _scored_films(run, said), np.arange(len(said)), greys, seed)
    run.write_probes({**about, **groups})


def _about(part: str, said: Predictions | FindingsPredictions, films: int, seed: int) -> ProbesDocument:
    positive = said.decision.positive
    return {"films": films, "scored": len(said), "part": part, "seed": seed, "positive": positive}


def _audited(audit: Path, run: RunFolder) -> dict[str, Any]:
    """Return the document of an audit that has seen every film of the run."""
    if not (audit / folders.AUDIT).is_file():
        raise InputError(f"{audit} is no audit; make one of the run's films: plainfilm audit DATA --out DIR.")
    require_intact(audit, folders.AUDIT, folders.FILMS)
    seen = {row["sha256"] for row in read_films(audit / folders.FILMS)}
    if unseen := sum(row["sha256"] not in seen for row in run.films):
        ours = f"{unseen} of the films of {run.folder}"
        raise InputError(f"{audit} has not seen {ours}; audit the set that it was trained on.")
    found: dict[str, Any] = read_json(audit / folders.AUDIT)
    return found


def affordable(epochs: int, films: int) -> int:
    """Return how many films may be probed after ``epochs`` with so many training ``films``, a hundred at least."""
    return min(MOST_FILMS, max(FEW_FILMS, 3 * epochs * films // (SHARE * VERSIONS)))


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return about ``count`` of N positions, rising, as many of each class (at least one) as its share; all if N is
    no more."""
    if len(labels) <= count:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    return np.sort(
        np.concatenate([rng.choice(m, max(1, round(count * len(m) / len(labels))), replace=False) for m in members])
    )


def _scored_films(run: RunFolder, said: Predictions | FindingsPredictions) -> list[dict[str, str]]:
    """Return the rows of films.csv of the scored films, in the order of their predictions."""
    known = {row["path"]: row for row in run.films}
    unknown = next((path for path in said.paths if path not in known), None)
    if unknown is not None:
        raise InputError(
            f"{run.folder}: films.csv lacks {unknown}, which predictions.csv holds; restore the run's files."
        )
    return [known[path] for path in said.paths]


def _films(run: RunFolder, facts: Sequence[Mapping[str, str]], source: Films | None) -> list[Film]:
    """Return the films named in ``facts``, each with the hash that its bytes must have."""
    try:
        films = source or run.load_films()
    except InputError as error:
        raise InputError(f"{run.folder} can't be probed without the films it was scored on: {error}") from None
    there = {film.path: film for film in films}
    gone = next((row["path"] for row in facts if row["path"] not in there), None)
    if gone is not None:
        data = run.config["data"]
        raise InputError(f"{run.folder} was scored on {gone}, which {data} no longer holds; put it back to probe.")
    return [replace(there[row["path"]], sha256=row["sha256"]) for row in facts]


def _about_subgroups(
    scored: Predictions, facts: Sequence[Mapping[str, str]], rows: np.ndarray, brightness: Floats, seed: int
) -> ProbesDocument:
    greys = np.full(len(scored), np.nan)
    greys[rows] = brightness
    labels = [scored.classes[k] for k in scored.labels]
    found = groupings(scored.paths, labels, facts, greys)
    groups = subgroups(scored, found)
    whole = scores(scored, np.random.default_rng(seed))["balanced_accuracy"]
    return {"subgroups": groups, "worst_subgroup": worst_subgroup(groups, whole.value)}
