"""What a finished run's scores hide: its films once more, whole, spoilt and covered; subgroups; the lines crossed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from plainfilm.data.films import Film, FilmError, Films, read_films
from plainfilm.errors import InputError
from plainfilm.evaluation.findings import of_classes
from plainfilm.evaluation.intervals import Floats
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.probes import COVERS, baseline_rows, cover, other_resize, probe_rows, red_lines, source_rows
from plainfilm.evaluation.robustness import (
    CORRUPTIONS,
    WORKING_SIDE,
    Grey,
    reduced,
    robustness,
    worst_corruption,
    worst_in_one_class,
)
from plainfilm.evaluation.scores import scores
from plainfilm.evaluation.subgroups import groupings, series, source_folders, subgroups, worst_subgroup
from plainfilm.image.decode import decode
from plainfilm.image.preprocess import Preprocess
from plainfilm.machine import ranks
from plainfilm.machine.threads import prefetched
from plainfilm.models.answer import alone, blas_alone
from plainfilm.models.averaging import Ensemble
from plainfilm.models.model import Model
from plainfilm.models.summary import LIGHT
from plainfilm.progress import bar
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders
from plainfilm.storage.documents import ProbesDocument, Scores
from plainfilm.storage.files import read_json, require_intact

MOST_FILMS = 1_000  # probed with a light network
FEW_FILMS = 100  # probed with any other
UNTOUCHED = "untouched"
VERSIONS = 1 + len(CORRUPTIONS) + len(COVERS) + 1  # of each film that is probed
AT_ONCE = 10  # changes of a film a pass: each thread holds the maps of so many
SHARE = 5  # probes after a training cost at most one part in so many of it, counted in passes; a step is three
_caught: ContextVar[list[np.ndarray] | None] = ContextVar("caught", default=None)


@dataclass(frozen=True)
class _Looked:
    """Predictions on the probed films under each change, what reached the network's last layer, and mean greys."""

    tables: dict[str, Predictions]
    features: np.ndarray  # (N, D) float32, D = 0 for a network without such a layer
    brightness: Floats  # (N,)


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

    Keys: ``films`` (probed), ``scored`` (in the part), ``part``, ``seed``, ``positive``, ``untouched`` (scores on the
    probed films); ``subgroups`` (of all scored films) and ``worst_subgroup``; ``robustness``, ``worst_corruption`` and
    ``worst_in_one_class``; ``probes``; ``red_lines``, sentences. See ``evaluation.subgroups``, ``.robustness`` and
    ``.probes`` for the rows.
    InputError when the films are no longer what the run was scored on, or the audit is one of others.
    """
    if audit:
        run.write_audit(_audited(audit, run))
    facts = _scored_films(run, model)
    scored = replace(run.scored, decision=of_classes(model.decision, "evaluate --probes"))
    count = films or (MOST_FILMS if run.model["flops"] < LIGHT else FEW_FILMS)
    rows = stratified(scored.labels, count, seed)
    looked = _look(model, _films(run, [facts[i] for i in rows], source), scored.take(rows), seed)
    found: ProbesDocument = {
        **_about(run, model, len(rows), seed),
        **_about_subgroups(model, scored, facts, rows, looked.brightness, seed),
        **_about_changes(model, looked, run.audit.get("baselines", []), seed),
    }
    run.write_probes(found)
    return found


def probe_subgroups(run: RunFolder, model: Model, brightness: Mapping[str, float], seed: int) -> None:
    """Write probes.json with the subgroups of the scored part alone, which need no film again.

    brightness: {path: mean grey, 0..255} of the run's films.
    """
    facts, scored = (
        _scored_films(run, model),
        replace(run.scored, decision=of_classes(model.decision, "evaluate --probes")),
    )
    greys = np.array([brightness[path] for path in scored.paths])
    about = _about(run, model, len(scored), seed)
    run.write_probes({**about, **_about_subgroups(model, scored, facts, np.arange(len(scored)), greys, seed)})


def _about(run: RunFolder, model: Model, films: int, seed: int) -> ProbesDocument:
    return {
        "films": films,
        "scored": len(run.scored),
        "part": run.part,
        "seed": seed,
        "positive": model.decision.positive,
    }


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


def _scored_films(run: RunFolder, model: Model) -> list[dict[str, str]]:
    """Return the rows of films.csv of the scored films, in the order of their predictions."""
    if run.predictions.classes != model.classes:
        classes = f"{', '.join(run.predictions.classes)} against {', '.join(model.classes)}"
        raise InputError(
            f"{run.folder}: predictions.csv and model.h5 don't belong together, their classes differ ({classes})."
        )
    known = {row["path"]: row for row in run.films}
    unknown = next((path for path in run.scored.paths if path not in known), None)
    if unknown is not None:
        raise InputError(
            f"{run.folder}: films.csv lacks {unknown}, which predictions.csv holds; restore the run's files."
        )
    return [known[path] for path in run.scored.paths]


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


def _look(model: Model, films: Sequence[Film], clean: Predictions, seed: int) -> _Looked:
    """Decode each film once and label it as it is and under every change: a film a core, changes and passes in one
    thread, so that no thread waits for another's share of a film."""
    names = (UNTOUCHED, *(c.name for c in CORRUPTIONS), *_probes(model.preprocess))
    answered = partial(_answered, model=model, names=names, seed=seed)
    cores = ranks.cores()
    found = []
    with blas_alone(), _last_layer(model.network), bar("Probing films", len(films) * len(names)) as progress:
        for each in prefetched(answered, films, cores, 2 * cores, alone):
            found.append(each)
            progress.step(len(names))
    brightness, probabilities, features = zip(*found, strict=True)
    tables = dict(zip(names, np.stack(probabilities, 1), strict=True))
    return _Looked(
        {name: replace(clean, probabilities=table) for name, table in tables.items()},
        np.stack(features),
        np.array(brightness),
    )


def _answered(film: Film, model: Model, names: Sequence[str], seed: int) -> tuple[float, Floats, np.ndarray]:
    """Return a film's mean grey, its probabilities (V, K) under each of the changes, and what reached the network's
    last layer when it was untouched, (D,) float32."""
    mean, pictures = _versions(film, model.preprocess, seed)
    pixels = np.stack([pictures[name] for name in names])
    caught: list[np.ndarray] = []
    _caught.set(caught)
    parts = [model.probabilities(pixels[i : i + AT_ONCE]) for i in range(0, len(pixels), AT_ONCE)]
    _caught.set(None)
    features = np.zeros(0, np.float32) if isinstance(model.network, Ensemble) or not caught else caught[0][0]
    return mean, np.concatenate(parts), features  # an ensemble has no last layer, but one for each member and view


def _versions(film: Film, preprocess: Preprocess, seed: int) -> tuple[float, dict[str, Grey]]:
    """Return a film's mean grey and the network's (S, S) uint8 pixels of it: untouched, spoilt, covered, by name."""
    grey = reduced(_decoded(film), max(WORKING_SIDE, preprocess.size))
    resize = preprocess.resize
    changed = {
        UNTOUCHED: grey,
        **{corruption.name: corruption(grey, seed, film.sha256) for corruption in CORRUPTIONS},
        **{name: cover(grey, area, resize) for name, area in COVERS.items()},
    }
    other, name = other_resize(resize)
    pixels = {key: preprocess.pixels(picture) for key, picture in changed.items()}
    return float(grey.mean()), {**pixels, name: replace(preprocess, resize=other).pixels(grey)}


def _probes(preprocess: Preprocess) -> tuple[str, ...]:
    return (*COVERS, other_resize(preprocess.resize)[1])


def _decoded(film: Film) -> Grey:
    try:
        data = film.read()
        if hashlib.sha256(data).hexdigest() == film.sha256:
            return decode(data)
    except FilmError as error:
        raise InputError(f"{film.path} {error}; put the film back to probe the run that was scored on it.") from None
    raise InputError(
        f"{film.path} is not the film that was scored: its SHA-256 differs; put the old one back to probe."
    )


@contextmanager
def _last_layer(network: nn.Module) -> Iterator[None]:
    """Add what reaches the last linear layer, (B, D) float32, to the list that the thread has set, while the block
    runs."""

    def keep(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if (caught := _caught.get()) is not None:
            caught.append(inputs[0].flatten(1).float().cpu().numpy())

    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    handles = [module.register_forward_pre_hook(keep) for module in linear[-1:]]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _about_subgroups(
    model: Model,
    scored: Predictions,
    facts: Sequence[Mapping[str, str]],
    rows: np.ndarray,
    brightness: Floats,
    seed: int,
) -> ProbesDocument:
    greys = np.full(len(scored), np.nan)
    greys[rows] = brightness
    labels = [scored.classes[k] for k in scored.labels]
    found = groupings(scored.paths, labels, facts, greys)
    groups = subgroups(scored, found)
    whole = scores(scored, np.random.default_rng(seed))["balanced_accuracy"]
    return {"subgroups": groups, "worst_subgroup": worst_subgroup(groups, whole.value)}


def _about_changes(model: Model, looked: _Looked, baselines: Sequence[Mapping[str, Any]], seed: int) -> ProbesDocument:
    clean = looked.tables[UNTOUCHED]
    rng = np.random.default_rng(seed)
    spoilt = {corruption: looked.tables[corruption.name] for corruption in CORRUPTIONS}
    sturdy = robustness(clean, spoilt)
    changed = {name: looked.tables[name] for name in _probes(model.preprocess)}
    probes = probe_rows(clean, changed)
    labels = [clean.classes[k] for k in clean.labels]
    sources = {"film series": series(clean.paths), "source folder": source_folders(clean.paths, labels)}
    untouched = scores(clean, rng)
    kept = {name: untouched[name].as_dict() for name in ("accuracy", "balanced_accuracy", "auroc")}
    return {
        "untouched": cast(Scores, kept),
        "robustness": sturdy,
        "worst_corruption": worst_corruption(sturdy),
        "worst_in_one_class": worst_in_one_class(sturdy),
        "probes": [*probes, *baseline_rows(baselines), *source_rows(looked.features, sources, clean, seed)],
        "red_lines": red_lines(probes),
    }
