"""Scores of a run, of a run on other films, or of any model's predictions.csv. The scores themselves need no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.config import MAX_BAD
from plainfilm.data.films import PARTS, Film, FilmError, Films, read_films
from plainfilm.data.sources import load, load_again
from plainfilm.errors import InputError
from plainfilm.evaluation.operating import operating_curve
from plainfilm.evaluation.predictions import Predictions, positive_class, read_predictions, write_predictions
from plainfilm.evaluation.scores import one_class_predicted, scores
from plainfilm.image.store import check_bad
from plainfilm.machine import ranks
from plainfilm.machine.ahead import ahead
from plainfilm.progress import bar, say
from plainfilm.storage.files import read_json, require_intact, sealed, write_json
from plainfilm.storage.tables import write_csv

if TYPE_CHECKING:
    from plainfilm.models.model import Model

AHEAD = 8  # films decoded beside the network
SEEN_BEFORE = "seen_before.csv"  # of an adapted model: the films that trained it
COMPARED = 1_000  # films of each set that are looked at for a shift
HEADLINE = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "auroc", "brier", "ece")


def evaluate_run(run: Path, again: bool = False, changed: bool = False) -> dict[str, Any]:
    """Score every part of a run from its predictions.csv and write metrics.json; return what it holds.

    "test_openings" counts how often the test part has been scored: once by training, however often that is resumed, and
    each time ``again`` is set, or other predictions have taken the place of those scored before (``changed``).
    """
    if (run / "adapt.json").exists():
        raise InputError(f"{run} is an adapted model: adapt.json has its scores; other films: evaluate {run} DATA.")
    if not (run / "predictions.csv").exists():
        raise InputError(f"{run} is no finished run: it has no predictions.csv; give a run folder or a FILE.csv.")
    if again:
        require_intact(run, "predictions.csv", "films.csv", "model.json", "config.json", "metrics.json")
    predictions, positive, threshold = _of_run(run)
    config = read_json(run / "config.json")
    metrics = measure(predictions, positive, threshold, config["protocol"], config["seed"])
    if "test" in metrics:
        known = read_json(run / "metrics.json") if (run / "metrics.json").exists() else {}
        metrics["test_openings"] = known.get("test_openings", int(not changed)) + (again or changed)
    write_json(run / "metrics.json", metrics)
    return metrics


def _of_run(run: Path) -> tuple[Predictions, int, float]:
    predictions = read_predictions(run / "predictions.csv", run / "films.csv")
    about = read_json(run / "model.json")
    return predictions, positive_class(predictions.classes, about["positive"]), float(about["threshold"])


def verdict(run: Path) -> dict[str, Any]:
    """Return what a user of the model must know in short, to be kept in the model file: the protocol's stamp, which
    part was scored and how (``scores``), and what each threshold would have meant there (``curve``)."""
    metrics = read_json(run / "metrics.json")
    predictions, positive, _ = _of_run(run)
    part = "test" if "test" in metrics else "val"
    trained = predictions.part("train")
    return {
        "protocol": metrics["protocol"],
        "part": part,
        "films": int((predictions.parts == part).sum()),
        "prevalence": float((trained.labels == positive).mean()),
        "scores": {name: metrics[part][name] for name in HEADLINE if name in metrics[part]},
        "curve": operating_curve(predictions.part(part), positive) if len(predictions.classes) == 2 else [],
    }


def require_free(out: Path, force: bool, *written: str) -> None:
    """InputError when ``out`` is a run's own folder, or holds what would be ``written`` and ``force`` does not allow to
    replace."""
    if out.is_file() or (out / "model.h5").exists() or (out / "config.json").exists():
        raise InputError(f"--out {out} is {'a file' if out.is_file() else 'a run of its own'}; choose another folder.")
    there = next((name for name in written if (out / name).exists()), None)
    if there and not force:
        raise InputError(f"{out} holds {there} already; choose another --out, or add --force to replace it.")


def evaluate_file(
    file: Path, positive: str, threshold: float | None, seed: int, out: Path | None, force: bool = False
) -> dict[str, Any]:
    """Score any model's predictions.csv; with ``out`` write metrics.json there.

    ``threshold``: of two classes, 0.5 when None; InputError where the file's own thresholds or more classes leave it
    nothing to do.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"--threshold {threshold}: expected a number between 0 and 1.")
    if out:
        require_free(out, force, "metrics.json")
    predictions = read_predictions(file)
    if threshold is not None and (predictions.thresholds is not None or len(predictions.classes) > 2):
        why = "it has a threshold for each film" if len(predictions.classes) == 2 else "it has more than two classes"
        raise InputError(f"--threshold does nothing for {file}: {why}; leave it out.")
    metrics = measure(
        predictions,
        positive_class(predictions.classes, positive or predictions.threshold_of or None),
        0.5 if threshold is None else threshold,
        "predictions as handed in; how the films were divided is not known",
        seed,
    )
    if out:
        with sealed(out, shared=True):
            write_json(out / "metrics.json", metrics)
    return metrics


def evaluate_elsewhere(
    run: Path,
    data: str,
    patient_regex: str,
    seed: int,
    out: Path | None,
    force: bool = False,
    classes: str = "",
    max_bad: float = MAX_BAD,
) -> dict[str, Any]:
    """Label the films of another data set with a run's model and score them.

    One class is enough: what needs both is then unknown. ``classes``: what ``data`` calls the model's, see
    ``as_the_model_says``.
    Writes predictions.csv, quarantine.csv and metrics.json into ``out``, by default RUN/on-NAME. Its "shift" says
    whether these films can be told from the training films, as in the audit: then scores of the run need not hold here.
    "shared" counts films and patients that the model was trained on or chosen by.
    """
    from plainfilm.models.model import Model  # only other films need torch

    model = Model.load(run)
    films = as_the_model_says(load(data, patient_regex, fewest=1), model.classes, classes)
    folder = out or (run if run.is_dir() else run.parent) / f"on-{Path(films.name).stem.replace(':', '-')}"
    require_free(folder, force, "metrics.json", "predictions.csv", "quarantine.csv")
    with sealed(folder, shared=True):
        predictions, good, bad = predict_films(model, films, max_bad)
        positive = model.classes.index(model.positive)
        metrics = measure(predictions, positive, model.threshold, f"other films than the model's own: {data}", seed)
        metrics["shift"] = _shift(run, films, seed)
        metrics["shared"] = shared_with(run, good)
        write_predictions(folder / "predictions.csv", predictions.deciding(model.threshold, model.positive))
        write_csv(folder / "quarantine.csv", ("path", "reason"), bad)
        write_json(folder / "metrics.json", metrics)
    for line in [*metrics["shift"]["red_lines"], *metrics["shared"]["red_lines"]]:
        say(f"RED LINE: {line}")
    say(f"Written to {folder}; {len(bad)} unreadable films left out.")
    return metrics


def _shift(run: Path, films: Films, seed: int) -> dict[str, Any]:
    """Return {"tests", "red_lines", "note"} of ``films`` against a sample of the run's training films, if at hand."""
    from plainfilm.audit.document import shift_lines
    from plainfilm.audit.measure import measure as look
    from plainfilm.audit.shift import shift

    try:
        trained_on = {row["path"]: row["sha256"] for row in read_films(run / "films.csv") if row["part"] == "train"}
        ours = load_again(read_json(run / "config.json"))
    except (InputError, OSError) as error:
        return {"tests": [], "red_lines": [], "note": f"The training films are not at hand ({error})"}
    rng = np.random.default_rng(seed)
    samples = []
    trained = [i for i, path in enumerate(ours.films.paths) if path in trained_on]
    for name, every, places in (("training films", ours, trained), (films.name, films, range(len(films)))):
        chosen = (every.films[places[i]] for i in rng.permutation(len(places))[:COMPARED])
        samples.append(look(films.with_films(chosen, name=name, quarantine=())))
    if any(trained_on[film.path] != film.sha256 for film in samples[0].films):
        return {"tests": [], "red_lines": [], "note": "The training films are not at hand (others have their names)"}
    found = shift(samples[0], samples[1], rng)
    return {**found, "red_lines": shift_lines("the training films", found), "note": ""}


def as_the_model_says(films: Films, classes: tuple[str, ...], names: str) -> Films:
    """Return ``films`` with the model's names of their classes: by ``names`` ("healthy=NORMAL,sick=PNEUMONIA"), else
    the one that differs in capitals only. InputError when a class is none of the model's."""
    ours = {name.lower(): name for name in classes}
    given = {theirs: own for theirs, _, own in (pair.partition("=") for pair in names.split(",") if pair)}
    if wrong := [name for name in given if name not in films.classes or given[name] not in classes]:
        raise InputError(
            f"--classes: '{wrong[0]}={given[wrong[0]]}' does not name a class of {films.name} "
            f"({', '.join(films.classes)}) and one of the model's ({', '.join(classes)})."
        )
    said = {name: given.get(name) or (name if name in classes else ours.get(name.lower())) for name in films.classes}
    strange = [name for name in films.classes if said[name] is None]
    if strange:
        raise InputError(
            f"{films.name} has the class {strange[0]}; the model knows {', '.join(classes)}. Say which is which: "
            f"--classes '{strange[0]}={classes[0]},…'."
        )
    return films.with_films(replace(film, label=str(said[film.label])) for film in films)


def seen_by_model(run: Path) -> list[dict[str, str]]:
    """Return the rows of the films that trained or chose anything of the run's model: of an adapted one those that it
    was adapted to, and those of the model that it was."""
    rows = read_films(run / "films.csv")
    if not (run / "adapt.json").exists():
        return [row for row in rows if row["part"] in ("train", "val")]
    before = run / SEEN_BEFORE
    return rows + (read_films(before) if before.exists() else [])


def shared_with(run: Path, films: Sequence[Film]) -> dict[str, Any]:
    """Return {"films", "patients", "red_lines"}: how many of ``films`` (with their sha256), and of their patients by
    name, are among those that trained or validated the run's model; None for a model file without its run."""
    if not (run / "films.csv").is_file():
        return {"films": None, "patients": None, "red_lines": []}
    known = seen_by_model(run)
    contents, names = ({row[key] for row in known} - {""} for key in ("sha256", "patient"))
    same, patients = sum(f.sha256 in contents for f in films), len({f.patient for f in films} & names)
    shared = [f"{same} of these {len(films)} films"] * bool(same)
    shared += [f"{patients} of their patients, by name"] * bool(patients)
    lines = [f"The model was trained on, or chosen by, {' and '.join(shared)}: their scores flatter it."] * bool(shared)
    return {"films": same, "patients": patients, "red_lines": lines}


def predict_films(
    model: Model, films: Films, max_bad: float = MAX_BAD
) -> tuple[Predictions, list[Film], list[tuple[str, str]]]:
    """Return the predictions of all readable films, as a test part; these films with their hashes; and (path, reason)
    of the others.

    A film whose label is empty counts as the first class. InputError when none can be read, or the share of those that
    can't is above ``max_bad``.
    """
    good: list[Film] = []
    bad: list[tuple[str, str]] = []
    found = []

    def seen(film: Film) -> tuple[str, np.ndarray] | str:
        try:
            data = film.read()
            return hashlib.sha256(data).hexdigest(), model.preprocess.read(data)
        except FilmError as error:
            return str(error)

    with bar("Labelling films", len(films)) as progress:
        for film, read in zip(films, ahead(seen, films, ranks.cores(), AHEAD), strict=True):
            if isinstance(read, str):
                bad.append((film.path, read))
            else:
                found.append(model.probabilities(np.stack([read[1]])))
                good.append(replace(film, sha256=read[0]))
            progress.step()
    if not good:
        raise InputError(f"None of the {len(films)} films can be read ({bad[0][0]}: {bad[0][1]}).")
    check_bad(films.name, len(good), bad, max_bad)
    asked = [replace(film, part="") for film in good]  # whatever its folder was called
    return Predictions.of(asked, np.concatenate(found), model.classes), good, bad


def measure(
    predictions: Predictions, positive: int, threshold: float | NDArray[np.float64], protocol: str, seed: int
) -> dict[str, Any]:
    """Return {"protocol": …, part: {score: {"value", "low", "high"}}} for every part that has films."""
    metrics: dict[str, Any] = {"protocol": protocol}
    present = [part for part in PARTS if (predictions.parts == part).any()]
    for part in present:
        some = predictions.part(part)
        found = scores(some, positive, threshold, np.random.default_rng(seed))
        metrics[part] = {name: interval.as_dict() for name, interval in found.items()}
        stuck = one_class_predicted(some, positive, threshold) if len(np.unique(some.labels)) > 1 else None
        if stuck:
            say(f"{part}: did not learn: one class predicted ({stuck} for all {len(some)} films).")
    return metrics
