"""One model trained several times: on every fold of the films, or with several seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from plainfilm.commands.pooling import pool
from plainfilm.commands.training import require_same, run
from plainfilm.config import TrainConfig
from plainfilm.data.films import Films
from plainfilm.data.sources import load
from plainfilm.data.split import folds
from plainfilm.errors import InputError
from plainfilm.models.zoo import ENSEMBLE
from plainfilm.storage.files import SUMS, locked, occupied
from plainfilm.training.preparation import Prepared, prepare


def train_folds(data: str, out: Path, settings: dict[str, Any], count: int, resume: bool = False) -> dict[str, Any]:
    """Train and test on each of ``count`` folds in OUT/fold-0 …; pool the out-of-fold predictions in ``out``.

    ``settings["split"]`` "grouped" keeps patients together, "paper" divides by film. Returns what folds.json holds.
    """
    config = TrainConfig(**settings)
    _refuse_ensemble(config, "--folds")
    films = load(data, config.patient_regex)
    folds(films, count, config.split, config.seed)  # too few films or patients shows here, before hours of decoding
    prepared = prepare(films, [config], data)[0]
    parted = folds(prepared.films, count, config.split, config.seed)
    jobs = {f"fold-{k}": replace(prepared, films=fold) for k, fold in enumerate(parted)}
    _run_all(jobs, out, resume)
    return pool(out, "folds", list(jobs), parted[0].protocol, config.seed)


def train_seeds(
    data: str | Films, out: Path, settings: dict[str, Any], count: int, resume: bool = False
) -> dict[str, Any]:
    """Train ``count`` times, with the seeds from ``settings["seed"]`` on, in OUT/seed-0 …; return folds.json.

    The seed divides the films too, so the spread is that of the whole protocol.
    """
    if count < 2:
        raise InputError(f"--seeds {count}: at least 2 are needed.")
    first = TrainConfig(**settings)
    _refuse_ensemble(first, "--seeds")
    configs = [replace(first, seed=first.seed + k) for k in range(count)]
    films = load(data, first.patient_regex) if isinstance(data, str) else data
    name = data if isinstance(data, str) else films.name
    jobs = {f"seed-{config.seed}": prepare(films, [config], name)[0] for config in configs}
    _run_all(jobs, out, resume)
    return pool(out, "seeds", list(jobs), next(iter(jobs.values())).films.protocol, first.seed)


def _refuse_ensemble(config: TrainConfig, option: str) -> None:
    if config.model.startswith(ENSEMBLE):
        raise InputError(f"{option}: an ensemble's members are of one split; repeat its members, and join each set.")


def _run_all(jobs: dict[str, Prepared], out: Path, resume: bool) -> None:
    if not resume and occupied(out):
        raise InputError(f"{out} is not empty; continue it with --resume, or choose another --out.")
    with locked(out):
        for name, prepared in jobs.items():
            if all((out / name / last).exists() for last in ("report.html", SUMS)):
                require_same(prepared, out / name)
            else:
                run(prepared, out / name, resume, probes=False)
