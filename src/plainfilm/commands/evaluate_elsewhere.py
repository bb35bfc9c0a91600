"""``plainfilm evaluate RUN DATA``: a run's model, an exported one or another program's, on films from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.config import MAX_BAD, pieces
from plainfilm.data.films import Film, Films
from plainfilm.data.findings import question_of
from plainfilm.data.sources import load
from plainfilm.errors import refuse, require_share
from plainfilm.evaluation.chance import chance_lines
from plainfilm.evaluation.findings import FindingsDecision, FindingsPredictions, write_findings
from plainfilm.evaluation.predictions import Predictions, write_predictions
from plainfilm.progress import say
from plainfilm.runs.external import as_the_model_says, label_films, shared_with, shift_from_training, with_the_findings
from plainfilm.runs.findings import measure_findings
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.scoring import measure
from plainfilm.storage import folders
from plainfilm.storage.documents import MetricsDocument, ProbesDocument
from plainfilm.storage.files import read_json, sealed, write_json
from plainfilm.storage.tables import write_csv

if TYPE_CHECKING:
    from plainfilm.models.reads import Reads

WRITTEN = (folders.METRICS, folders.PREDICTIONS, folders.QUARANTINE)


def evaluate_elsewhere(
    run: Path,
    data: str,
    *,
    out: Path | None = None,
    force: bool = False,
    classes: str = "",
    max_bad: float = MAX_BAD,
    by: str = "",
    precision: str = "auto",
    preprocess: str = "",
    probes: bool = False,
    films: int = 0,
    seed: int = 0,
    **reading: Any,
) -> dict[str, Any]:
    """Label the films of another data set with a run's model, or one of another program, and score them.

    One class is enough: what needs both is then unknown. ``classes``: what ``data`` calls the model's, see
    ``as_the_model_says``; ``reading``: how it is read, see ``data.sources.load``. ``preprocess``: of another program's
    .onnx file, how its films are prepared (see ``export.line``); names in ``classes`` without an equals sign are then
    those of its columns. ``probes``: spoil and cover ``films`` of them as well, see ``runs.probing.probe_films``.
    Writes predictions.csv, quarantine.csv, metrics.json and, if asked for, probes.json into ``out``, by default
    RUN/on-NAME. "shift" in metrics.json says whether these films can be told from the training films, as in the audit:
    then scores of the run need not hold here. "shared" counts films and patients that the model was trained on or
    chosen by. Returns what metrics.json holds, with the folder as "out".
    """
    from plainfilm.export.opened import Foreign, opened  # only other films need a model, and what runs it

    require_share("--max-bad", max_bad)
    if not probes:
        refuse("other films without --probes", {"films": films or None})
    _require_free_before_the_work(run, data, out, force)
    named = pieces(classes)
    columns = ",".join(piece for piece in named if "=" not in piece) if preprocess else ""
    model = opened(run, precision, foreign=Foreign(preprocess, columns))
    classes = ",".join(piece for piece in named if "=" in piece) if preprocess else classes
    others = _others(model, data, classes, columns, reading)
    folder = out or _home(run) / f"on-{Path(others.name).stem.replace(':', '-')}"
    folders.require_free(folder, folders.EVALUATION, force=force, written=WRITTEN)
    with sealed(folder, shared=True):
        asked, chances, good, bad = label_films(model, others, max_bad)
        said = _said(model, others.with_films(asked), chances)
        metrics = _measured(said, RunFolder(run), others, good, _protocol(data), by, seed)
        found = _probed(model, RunFolder(run), said, good, films, seed) if probes else None
        _write(folder, said, metrics, found, bad)
        about = {"data": others.name, "model": model.name, "synthetic": others.synthetic, "quarantine": bad}
        _report_elsewhere(folder, RunFolder(run), said, metrics, {**about, "probes": found or {}})
    for line in (found or {}).get("red_lines", []):  # those of the scores stand with them
        say(f"RED LINE: {line}")
    say(f"Written to {folder}; {len(bad)} unreadable films left out.")
    return {**metrics, "out": str(folder)}


def _home(run: Path) -> Path:
    return run if run.is_dir() else run.parent


def _protocol(data: str) -> str:
    return f"other films than the model's own: {data}"


def _require_free_before_the_work(run: Path, data: str, out: Path | None, force: bool) -> None:
    """InputError where the scores would stand in the way of others, as far as that is known before films are read: by
    default their folder bears the name that the films turn out to have."""
    if out:
        folders.require_free(out, folders.EVALUATION, force=force, written=WRITTEN)
        return
    for earlier in _home(run).glob(f"on-*/{folders.METRICS}"):
        if read_json(earlier).get("protocol") == _protocol(data):
            folders.require_free(earlier.parent, folders.EVALUATION, force=force, written=WRITTEN)


def _others(model: Reads, data: str, classes: str, columns: str, reading: dict[str, Any]) -> Films:
    """Return the films of ``data`` by the model's names of classes or findings; ``columns``: those of its output, where
    they were said."""
    if isinstance(model.decision, FindingsDecision):
        refuse("a model of several findings", {"classes": classes})
        return with_the_findings(model.classes, data, reading)
    films = load(data, fewest=1, question=question_of(model.classes), **reading)
    return as_the_model_says(films, model.classes, classes, columns)


def _said(model: Reads, films: Films, chances: NDArray[np.float64]) -> Predictions | FindingsPredictions:
    if isinstance(model.decision, FindingsDecision):
        return FindingsPredictions.of_films(films, chances, model.decision)
    return Predictions.of(list(films), chances, model.decision)


def _measured(
    said: Predictions | FindingsPredictions,
    run: RunFolder,
    films: Films,
    good: list[Film],
    protocol: str,
    by: str,
    seed: int,
) -> MetricsDocument:
    """Return what metrics.json holds of what was ``said`` of the ``good`` ones of ``films``."""
    columns = _cells_of(said.paths, good, films)
    if isinstance(said, FindingsPredictions):
        metrics = measure_findings(said, protocol, seed, columns, by)
    else:
        metrics = measure(said, protocol, seed, columns, by)
        metrics["shift"] = shift_from_training(run, films, seed)
        metrics["red_lines"] = chance_lines(metrics)
    metrics["shared"] = shared_with(run, good)
    return metrics


def _cells_of(paths: Sequence[str], good: Sequence[Film], films: Films) -> dict[str, Any]:
    """Return the further columns of ``films`` by name, in the order of ``paths`` of the ``good`` ones."""
    cells = {film.path: film.columns for film in good}
    return {name: np.array([cells[path].get(name, "") for path in paths], object) for name in films.films.columns}


def _probed(
    model: Reads,
    run: RunFolder,
    said: Predictions | FindingsPredictions,
    good: list[Film],
    count: int,
    seed: int,
) -> ProbesDocument:
    from plainfilm.runs.probing import count_for, probe_films  # with scikit-learn, which scores alone don't need

    return probe_films(model, said, good, count or count_for(run), seed)


def _write(
    folder: Path,
    said: Predictions | FindingsPredictions,
    metrics: MetricsDocument,
    probes: ProbesDocument | None,
    bad: list[tuple[str, str]],
) -> None:
    if isinstance(said, FindingsPredictions):
        write_findings(folder / folders.PREDICTIONS, said)
    else:
        write_predictions(folder / folders.PREDICTIONS, said.deciding())
    if probes is None:
        (folder / folders.PROBES).unlink(missing_ok=True)  # of an earlier evaluation
    else:
        write_json(folder / folders.PROBES, probes)
    write_csv(folder / folders.QUARANTINE, ("path", "reason"), bad)
    write_json(folder / folders.METRICS, metrics)


def _report_elsewhere(
    folder: Path,
    run: RunFolder,
    said: Predictions | FindingsPredictions,
    metrics: MetricsDocument,
    about: dict[str, Any],
) -> None:
    """Write the report of films from elsewhere; where they were labelled into the run's folder, its own report has them
    as well."""
    if isinstance(said, FindingsPredictions):
        return _report_findings(folder, said, metrics, about)
    bad = len(about["quarantine"])
    whose = f", not the run's own; {bad:,} film{'s' * (bad != 1)} could not be read"
    drawn = report(folder, run, said, metrics, {**about, "whose": whose})
    if drawn and folder.parent == run.folder and run.finished and not run.has(folders.ADAPTED):
        from plainfilm.report.html import run_report

        with sealed(run.folder):
            run_report(RunFolder(run.folder))


def report(
    folder: Path, run: RunFolder, predictions: Predictions, metrics: MetricsDocument, about: dict[str, Any]
) -> bool:
    """Write the report of films that are not the run's own; return whether what draws it is there."""
    try:
        from plainfilm.report.elsewhere import elsewhere_report  # which draws; scores alone need no Matplotlib
    except ImportError:
        say("No report: it takes plainfilm[train].")
        return False
    say(f"Report: {elsewhere_report(folder, run, predictions, metrics, about)}")
    return True


def _report_findings(folder: Path, said: FindingsPredictions, metrics: MetricsDocument, about: dict[str, Any]) -> None:
    try:
        from plainfilm.report.findings import lines_of
        from plainfilm.report.findings_page import findings_elsewhere_report  # which draws
    except ImportError:
        return say("No report: it takes plainfilm[train].")
    lines = [*metrics["shared"]["red_lines"], *lines_of(metrics["test"]), *about["probes"].get("red_lines", [])]
    findings_elsewhere_report(folder, said, metrics, {**about, "lines": lines, "version": version("plainfilm")})
    say(f"Report: {folder / folders.REPORT}")
