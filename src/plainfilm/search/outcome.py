"""What a search came to: the rest of search.json, search.csv, a sentence, and the command that trains the best."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from plainfilm.config import TrainConfig
from plainfilm.errors import command_line
from plainfilm.search.journal import Trial
from plainfilm.search.run import front
from plainfilm.search.trials import Bench, by_epochs


def outcome(bench: Bench, trials: list[Trial]) -> dict[str, Any]:
    """Return what search.json says of the trials."""
    names = bench.objectives
    found = front(trials, names)
    best = found[0] if found else trials[0]
    return {
        "trials": len(trials),
        "states": {state: sum(t.state == state for t in trials) for state in ("done", "pruned", "failed")},
        "spent": sum(trial.spent for trial in trials),
        "seconds": sum(trial.seconds for trial in trials),
        "default": asdict(trials[0]),
        "best": asdict(best),
        "front": [trial.number for trial in found],
        "sentence": sentence(trials, best, names[0], bench.judged),
        "train": command(bench, best),
    }


def table_of(trials: list[Trial], names: tuple[str, ...]) -> tuple[list[str], list[list[Any]]]:
    """Return header and rows of search.csv for the objectives ``names``."""
    values = list(dict.fromkeys(name for trial in trials for name in trial.values))
    header = ["trial", *values, *names, "low", "high", "seconds", "epochs", "state", "reason"]
    return header, [_row(trial, values, names) for trial in trials]


def _row(trial: Trial, values: list[str], names: tuple[str, ...]) -> list[Any]:
    tried = [trial.values.get(name, "") for name in values]
    low, high = trial.interval or ("", "")
    scores = [trial.scores.get(name, "") for name in names]
    return [trial.number, *tried, *scores, low, high, round(trial.seconds, 2), trial.spent, trial.state, trial.reason]


def sentence(trials: list[Trial], best: Trial, name: str, judged: str) -> str:
    """Return the outcome in words that do not say too much; ``judged``: on which films."""
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
        f"Best of {len(done)} finished trials: {name} {value:.4f} ({known}, {judged});"
        f" the settings as given: {against}.{inside}"
        " The best of many, on the films it was chosen on, is too good to be true; the test part was not opened."
    )


def command(bench: Bench, best: Trial) -> str:
    """Return the command that trains the best trial's model, every setting that is not the default written out."""
    settings = bench.settings(best.values) | {"patience": bench.config.patience}
    if by_epochs(bench.config):
        settings |= {"choose_by": ""}  # which chooses nothing in a training by steps
    defaults = asdict(TrainConfig(model=bench.config.model))
    flags = [
        word
        for name, value in settings.items()
        if value != defaults[name] and name not in ("model", "threads")
        for word in ("--" + name.replace("_", "-"), f"{value:g}" if isinstance(value, float) else str(value))
    ]
    model = ["--model", bench.config.model]
    return command_line("train", bench.data, "--out", bench.out / "best", *model, *flags)
