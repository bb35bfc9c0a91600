"""``plainfilm search``: settings chosen by trying, on training and validation films alone; the test part is put aside
first."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from plainfilm.config import TrainConfig
from plainfilm.errors import InputError
from plainfilm.report.search import search_report
from plainfilm.search import objectives
from plainfilm.search.journal import Trial
from plainfilm.search.outcome import outcome, table_of
from plainfilm.search.trials import Bench
from plainfilm.search.wanted import Wanted, begin
from plainfilm.search.workers import helped, trials_of
from plainfilm.storage import folders
from plainfilm.storage.files import sealed, write_json
from plainfilm.storage.tables import write_csv


def search_settings(
    data: str, out: Path, settings: dict[str, Any], wanted: Wanted, *, resume: bool = False, workers: int = 1
) -> dict[str, Any]:
    """Search settings of the model ``settings["model"]`` on ``data`` into ``out``; return what search.json holds.

    With ``resume`` a search that was begun there goes on (or is helped, if it is running): its trials are the same as
    if it had never stopped. ``workers`` processes share the trials. InputError says what is wrong before any is tried.
    """
    config, names = TrainConfig(**settings), objectives.parse(wanted.objective)
    if workers < 1:
        raise InputError(f"--workers {workers}: at least 1 is needed.")
    wanted = wanted.in_generations(out, resume, workers)
    wanted.chosen(config, len(names))  # what is wrong with it shows here, before films are read
    bench = Bench.open(data, out, config, names)
    document = {**bench.about, **wanted.about(config)}
    begin(out, document, resume)
    with helped(data, out, settings, wanted, workers):
        trials = trials_of(bench, wanted, config)
    return _written(bench, document | outcome(bench, trials), trials)


def _written(bench: Bench, document: dict[str, Any], trials: list[Trial]) -> dict[str, Any]:
    """Write search.csv, search.json and the report; return what search.json holds."""
    with sealed(bench.out, wait=True, resumes=True):  # a helper may come to its end at the same time
        write_csv(bench.out / folders.TRIALS, *table_of(trials, bench.objectives))
        write_json(bench.out / folders.SEARCH, document)
        search_report(bench.out, document, trials)
        with suppress(OSError):
            (bench.out / "trials").rmdir()  # empty once every trial is done
    return document
