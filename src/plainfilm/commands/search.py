"""Settings of a model chosen by trying, on training and validation films alone; the test part is put aside first."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from plainfilm.catalogue import ENSEMBLE, row
from plainfilm.config import OF_STEPS, TrainConfig
from plainfilm.errors import InputError
from plainfilm.progress import bar, quiet
from plainfilm.report.search import search_report
from plainfilm.search import objectives
from plainfilm.search.algorithms import Algorithm, algorithm
from plainfilm.search.journal import Journal, Trial
from plainfilm.search.run import Plan, front, search
from plainfilm.search.space import Space, check, default_space, varied
from plainfilm.search.trials import Bench, by_epochs, price_of
from plainfilm.storage import folders
from plainfilm.storage.files import read_json, sealed, write_json
from plainfilm.storage.tables import write_csv

TRIALS = 20  # that the default budget pays for
MAY_CHANGE = ("command", "versions", "plainfilm")


@dataclass(frozen=True)
class Wanted:
    """What the user asks of a search; 0 and empty stand for the defaults."""

    algorithm: str = "tpe"
    budget: int | None = None
    objective: str = "auroc"
    vary: tuple[str, ...] = ()
    population: int = 0
    prune: bool = True


def search_settings(
    data: str, out: Path, settings: dict[str, Any], wanted: Wanted, resume: bool = False, workers: int = 1
) -> dict[str, Any]:
    """Search settings of the model ``settings["model"]`` on ``data`` into ``out``; return what search.json holds.

    With ``resume`` a search that was begun there goes on (or is helped, if it is running): its trials are the same as
    if it had never stopped. ``workers`` processes share the trials. InputError says what is wrong before any is tried.
    """
    config, names = TrainConfig(**settings), objectives.parse(wanted.objective)
    if workers < 1:
        raise InputError(f"--workers {workers}: at least 1 is needed.")
    wanted = _in_generations(wanted, out, resume, workers)
    _chosen(config, wanted, len(names))  # what is wrong with it shows here, before films are read
    bench = Bench.open(data, out, config, names)
    document = {**bench.about, **_about(config, wanted)}
    _begin(out, document, resume)
    helpers = _helpers(data, out, settings, wanted, workers)
    try:
        trials = _run(bench, wanted, config)
    finally:
        for helper in helpers:
            helper.terminate()
            helper.join()
    return _finish(bench, document, trials)


def _in_generations(wanted: Wanted, out: Path, resume: bool, workers: int) -> Wanted:
    """Let an algorithm that would choose one point at a time choose one for each worker; a search that was begun keeps
    what it has."""
    if wanted.population:
        return wanted
    if resume and (out / folders.SEARCH).exists():
        return replace(wanted, population=read_json(out / folders.SEARCH).get("population", 0))
    singly = workers > 1 and wanted.algorithm in ("random", "grid", "tpe")
    return replace(wanted, population=workers) if singly else wanted


def _space(config: TrainConfig, wanted: Wanted) -> Space:
    if config.model.startswith(ENSEMBLE):
        raise InputError(f"--model {config.model}: an ensemble has nothing to search for; search for its members.")
    return varied(default_space(row(config.model)), wanted.vary)


def _budget(config: TrainConfig, wanted: Wanted) -> tuple[int, int]:
    """Return (budget, price of a trial), in epochs or fits."""
    price = price_of(config)
    budget = TRIALS * price if wanted.budget is None else wanted.budget
    if budget < 2 * price:
        raise InputError(f"--budget {budget}: at least {2 * price} are needed, for two trials of {price}.")
    return budget, price


def _chosen(config: TrainConfig, wanted: Wanted, count: int) -> Algorithm:
    budget, price = _budget(config, wanted)
    points = budget // price - 1  # one trial is the settings as given
    space = _space(config, wanted)
    check(space, asdict(config))
    unused = [d.name for d in space if d.name.partition(".")[0] in OF_STEPS and not by_epochs(config)]
    if unused:
        raise InputError(f"--vary {unused[0]}: {config.model} is not trained by steps and has no use for it.")
    return algorithm(wanted.algorithm, len(space), config.seed, points, wanted.population, count)


def _about(config: TrainConfig, wanted: Wanted) -> dict[str, Any]:
    budget, price = _budget(config, wanted)
    return {
        **{name: value for name, value in asdict(wanted).items() if name != "vary"},
        "budget": budget,
        "price": price,
        "unit": "epochs" if by_epochs(config) else "fits",
        "space": [dimension.words() for dimension in _space(config, wanted)],
        "settings": asdict(config),
        "plainfilm": version("plainfilm"),
        "versions": {name: _version(name) for name in ("torch", "numpy", "scikit-learn", "optuna", "cmaes")},
        "command": shlex.join(sys.argv[1:]),
    }


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError

    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _begin(out: Path, document: dict[str, Any], resume: bool) -> None:
    """Write search.json into a new folder, or check that the search in it is this one."""
    if not folders.require_free(out, folders.SEARCHED, resume=resume):
        write_json(out / folders.SEARCH, document)
        return
    old = read_json(out / folders.SEARCH)
    new = {name: value for name, value in document.items() if name not in (*MAY_CHANGE, "settings")}
    changed = [
        f"{name} was {old.get(name)!r} and is {value!r}" for name, value in new.items() if old.get(name) != value
    ]
    own = {name: value for name, value in document["settings"].items() if name not in ("threads", "device")}
    changed += [
        f"{name} was {old['settings'].get(name)!r} and is {value!r}"
        for name, value in own.items()
        if old["settings"].get(name) != value
    ]
    if changed:
        raise InputError(f"{out} was begun otherwise: {'; '.join(changed)}. Choose another --out.")


# -- the search --------------------------------------------------------------------------------------------------------


def _run(bench: Bench, wanted: Wanted, config: TrainConfig) -> list[Trial]:
    budget, price = _budget(config, wanted)
    plan = Plan(_space(config, wanted), bench.objectives, budget, price, wanted.prune)
    chosen = _chosen(config, wanted, len(bench.objectives))
    with Journal(bench.out) as journal, bar(f"Searching ({wanted.algorithm})", budget) as shown:
        return search(plan, chosen, journal, bench, shown)


def _helpers(data: str, out: Path, settings: dict[str, Any], wanted: Wanted, workers: int) -> Sequence[BaseProcess]:
    """Start the other processes that share the trials."""
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    arguments = (data, out, settings, wanted, os.getpid())
    helpers = [context.Process(target=_help, args=arguments, daemon=True) for _ in range(workers - 1)]
    for helper in helpers:
        helper.start()
    return helpers


def _help(data: str, out: Path, settings: dict[str, Any], wanted: Wanted, parent: int) -> None:
    """Do the same search as the process that started this one, with its journal; end when it ends."""
    quiet.set(True)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    config = TrainConfig(**settings)
    _run(Bench.open(data, out, config, objectives.parse(wanted.objective)), wanted, config)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _finish(bench: Bench, document: dict[str, Any], trials: list[Trial]) -> dict[str, Any]:
    """Write search.csv, search.json and the report; return what search.json holds."""
    names = bench.objectives
    found = front(trials, names)
    best = found[0] if found else trials[0]
    document |= {
        "trials": len(trials),
        "states": {state: sum(t.state == state for t in trials) for state in ("done", "pruned", "failed")},
        "spent": sum(trial.spent for trial in trials),
        "seconds": sum(trial.seconds for trial in trials),
        "default": asdict(trials[0]),
        "best": asdict(best),
        "front": [trial.number for trial in found],
        "sentence": sentence(trials, best, names[0], bench.first.films.where("val").size),
        "train": command(bench, best),
    }
    values = list(dict.fromkeys(name for trial in trials for name in trial.values))
    header = ["trial", *values, *names, "low", "high", "seconds", "epochs", "state", "reason"]
    with sealed(bench.out, wait=True, resumes=True):  # a helper may come to its end at the same time
        write_csv(bench.out / folders.TRIALS, header, [_row(trial, values, names) for trial in trials])
        write_json(bench.out / folders.SEARCH, document)
        search_report(bench.out, document, trials)
        with suppress(OSError):
            (bench.out / "trials").rmdir()  # empty once every trial is done
    return document


def _row(trial: Trial, values: list[str], names: tuple[str, ...]) -> list[Any]:
    tried = [trial.values.get(name, "") for name in values]
    low, high = trial.interval or ("", "")
    scores = [trial.scores.get(name, "") for name in names]
    return [trial.number, *tried, *scores, low, high, round(trial.seconds, 2), trial.spent, trial.state, trial.reason]


def sentence(trials: list[Trial], best: Trial, name: str, films: int) -> str:
    """Return the outcome in words that do not say too much."""
    if not best.scores:
        return "No trial came to an end: every one failed."
    value, given = best.scores[name], trials[0].scores.get(name)
    done = [t.scores[name] for t in trials if t.scores and t.state == "done"]
    known, inside = "too few patients for an interval", ""
    if best.interval:
        low, high = best.interval
        known = f"95 % {low:.4f} to {high:.4f}"
        inside = f" {sum(low <= other <= high for other in done) - 1} of the other trials lie inside that interval."
    against = "failed" if given is None else f"{given:.4f}"
    return (
        f"Best of {len(done)} finished trials: {name} {value:.4f} ({known}, {films} validation"
        f" films); the settings as given: {against}.{inside}"
        " The best of many, on the films it was chosen on, is too good to be true; the test part was not opened."
    )


def command(bench: Bench, best: Trial) -> str:
    """Return the command that trains the best trial's model, every setting that is not the default written out."""
    settings = bench.settings(best.values) | {"patience": bench.config.patience}
    defaults = asdict(TrainConfig(model=bench.config.model))
    flags = [
        word
        for name, value in settings.items()
        if value != defaults[name] and name not in ("model", "threads")
        for word in ("--" + name.replace("_", "-"), f"{value:g}" if isinstance(value, float) else str(value))
    ]
    model = ["--model", bench.config.model]
    return shlex.join(["plainfilm", "train", bench.data, "--out", str(bench.out / "best"), *model, *flags])
