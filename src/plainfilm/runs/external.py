"""Films from elsewhere: their classes by the model's names, what it saw of them before, its predictions, the shift."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.config import MAX_BAD, name_pairs, quoted
from plainfilm.data import identity
from plainfilm.data.films import FILMS_HEADER, Film, FilmError, Films, read_films
from plainfilm.data.sources import load
from plainfilm.data.words import same_class
from plainfilm.errors import InputError
from plainfilm.evaluation.findings import of_classes
from plainfilm.evaluation.predictions import Predictions
from plainfilm.image.store import check_bad
from plainfilm.machine import ranks
from plainfilm.machine.threads import prefetched
from plainfilm.models.drift import Seen
from plainfilm.progress import bar
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders
from plainfilm.storage.tables import write_csv

if TYPE_CHECKING:
    from plainfilm.models.reads import Reads

AHEAD = 8  # films decoded beside the network
COMPARED = 1_000  # films of each set that are looked at for a shift


def shift_from_training(run: RunFolder, films: Films, seed: int) -> dict[str, Any]:
    """Return {"tests", "red_lines", "note"} of ``films`` against a sample of the run's training films, if at hand."""
    if run.folder.is_file():
        return {"tests": [], "red_lines": [], "note": "The training films are not available (a model without its run)"}
    try:
        trained_on = {row["path"]: row["sha256"] for row in run.films if row["part"] == "train"}
        ours = run.load_films()
    except (InputError, OSError) as error:
        return {"tests": [], "red_lines": [], "note": f"The training films are not available ({error})"}
    from plainfilm.audit.document import shift_lines  # with scikit-learn, which whoever has an exported file needs not
    from plainfilm.audit.measure import measure as look
    from plainfilm.audit.shift import shift

    rng = np.random.default_rng(seed)
    samples = []
    trained = [i for i, path in enumerate(ours.films.paths) if path in trained_on]
    for name, every, places in (("training films", ours, trained), (films.name, films, range(len(films)))):
        chosen = (every.films[places[i]] for i in rng.permutation(len(places))[:COMPARED])
        samples.append(look(films.with_films(chosen, name=name, quarantine=())))
    if any(trained_on[film.path] != film.sha256 for film in samples[0].films):
        return {"tests": [], "red_lines": [], "note": "The training films are not available (others have their names)"}
    found = shift(samples[0], samples[1], rng)
    return {**found, "red_lines": shift_lines("the training films", found, "this run's training films"), "note": ""}


def as_the_model_says(films: Films, classes: tuple[str, ...], names: str, columns: str = "") -> Films:
    """Return ``films`` with the model's names of their classes: by ``names`` ("healthy=NORMAL,sick=PNEUMONIA"), else
    the same number, or the one that differs in capitals only. InputError when a class is none of the model's.

    ``columns``: what else --classes says, for the advice.
    """
    given = dict(name_pairs("--classes", names))
    if wrong := [name for name in given if name not in films.classes or given[name] not in classes]:
        raise InputError(
            f"--classes: '{wrong[0]}={given[wrong[0]]}' does not name a class of {films.name} "
            f"({', '.join(films.classes)}) and one of the model's ({', '.join(classes)})."
        )
    said = {name: given.get(name) or same_class(name, classes) for name in films.classes}
    strange = [name for name in films.classes if said[name] is None]
    if strange:
        pairs = [*given.items(), *((name, classes[0]) for name in strange)]
        advice = ",".join([*[columns] * bool(columns), *(f"{quoted(theirs)}={quoted(ours)}" for theirs, ours in pairs)])
        advice = shlex.quote(advice) if "'" in advice else f"'{advice}'"
        raise InputError(
            f"{films.name} has the class {strange[0]}; the model knows {', '.join(classes)}. Say which is which, such "
            f"as: --classes {advice}."
        )
    return films.with_films(replace(film, label=str(said[film.label])) for film in films)


def with_the_findings(findings: tuple[str, ...], data: str, reading: Mapping[str, Any]) -> Films:
    """Return the films of ``data`` with the model's ``findings``, in its order; ``reading``: see ``data.sources.load``.
    InputError where the films have others."""
    films = load(data, fewest=1, **{**reading, "findings": reading.get("findings") or ",".join(findings)})
    if films.findings != findings:
        raise InputError(f"{data} has the findings {', '.join(films.findings)}; the model's are {', '.join(findings)}.")
    return films


def seen_by_model(run: RunFolder) -> list[dict[str, str]]:
    """Return the rows of the films that trained or chose anything of the run's model: of an adapted one those that it
    was adapted to, and those of the model that it was."""
    if not run.has(folders.ADAPTED):
        return [row for row in run.films if row["part"] in ("train", "val")]
    return run.films + (read_films(run.folder / folders.SEEN_BEFORE) if run.has(folders.SEEN_BEFORE) else [])


def keep_seen(run: RunFolder, out: Path) -> None:
    """Write the films that the run's model had seen into the folder of one adapted from it, where they are known."""
    if run.has(folders.FILMS):
        rows = seen_by_model(run)
        write_csv(out / folders.SEEN_BEFORE, FILMS_HEADER, ([row[name] for name in FILMS_HEADER] for row in rows))


def shared_with(run: RunFolder, films: Sequence[Film]) -> dict[str, Any]:
    """Return {"films", "patients", "red_lines"}: how many of ``films`` (with their sha256), and of their patients by
    name, are among those that trained or validated the run's model; None for a model file without its run."""
    if not run.has(folders.FILMS):
        return {"films": None, "patients": None, "red_lines": []}
    known = seen_by_model(run)
    contents = {row["sha256"] for row in known} - {""}
    same = sum(f.sha256 in contents for f in films)
    patients, spelt = identity.shared((row["patient"] for row in known), (f.patient for f in films))
    shared = [f"{same} of these {len(films)} films"] * bool(same)
    shared += [f"{patients} of their patients, by name{spelt}"] * bool(patients)
    lines = [f"The model was trained on, or chosen by, {' and '.join(shared)}: their scores flatter it."] * bool(shared)
    return {"films": same, "patients": patients, "red_lines": lines}


def predict_films(
    model: Reads, films: Films, max_bad: float = MAX_BAD, watched: Seen | None = None
) -> tuple[Predictions, list[Film], list[tuple[str, str]]]:
    """Return the predictions of all readable films, as a test part; these films with their hashes; and (path, reason)
    of the others. ``watched`` takes what the model's gate sees of each film.

    A film whose label is empty counts as the first class. InputError as in ``label_films``.
    """
    decision = of_classes(model.decision, "This command")
    asked, found, good, bad = label_films(model, films, max_bad, watched)
    return Predictions.of(asked, found, decision), good, bad


def label_films(
    model: Reads, films: Films, max_bad: float = MAX_BAD, watched: Seen | None = None
) -> tuple[list[Film], NDArray[np.float64], list[Film], list[tuple[str, str]]]:
    """Return the readable films as a test part with their (N, K) probabilities; the same films with their hashes and
    parts; and (path, reason) of the others.

    InputError when none can be read, or the share of those that can't is above ``max_bad``.
    """
    good: list[Film] = []
    bad = list(films.quarantine)
    found = []

    def seen(film: Film) -> tuple[str, np.ndarray] | str:
        try:
            data = film.read()
            return hashlib.sha256(data).hexdigest(), model.preprocess.read(data)
        except FilmError as error:
            return str(error)

    with bar("Labelling films", len(films)) as progress:
        for film, read in zip(films, prefetched(seen, films, ranks.cores(), AHEAD), strict=True):
            if isinstance(read, str):
                bad.append((film.path, read))
            else:
                pixels = np.stack([read[1]])
                found.append(model.probabilities(pixels))
                if watched and model.gate:
                    described = model.gate.judge(pixels)[0].described
                    watched.add(film.path, described, int(found[-1][0].argmax()))
                good.append(replace(film, sha256=read[0]))
            progress.step()
    if not good:
        raise InputError(f"None of the {len(films)} films can be read ({bad[0][0]}: {bad[0][1]}).")
    check_bad(films.name, len(good), bad, max_bad)
    asked = [replace(film, part="") for film in good]  # whatever its folder was called
    return asked, np.concatenate(found), good, bad
