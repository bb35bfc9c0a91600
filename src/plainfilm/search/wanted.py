"""What the user asks of a search, and what follows: space, budget, algorithm, and the head of search.json."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from plainfilm.catalogue import ENSEMBLE, row
from plainfilm.config import OF_STEPS, TrainConfig
from plainfilm.errors import InputError
from plainfilm.search.algorithms import Algorithm, algorithm
from plainfilm.search.space import Space, check, default_space, varied
from plainfilm.search.trials import by_epochs, price_of
from plainfilm.storage import folders
from plainfilm.storage.files import read_json, write_json

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

    def in_generations(self, out: Path, resume: bool, workers: int) -> Wanted:
        """Let an algorithm that would choose one point at a time choose one for each worker; a search that was begun
        keeps what it has."""
        if self.population:
            return self
        if resume and (out / folders.SEARCH).exists():
            return replace(self, population=read_json(out / folders.SEARCH).get("population", 0))
        singly = workers > 1 and self.algorithm in ("random", "grid", "tpe")
        return replace(self, population=workers) if singly else self

    def space(self, config: TrainConfig) -> Space:
        """Return the model's own space with what is to vary beside; InputError for an ensemble."""
        if config.model.startswith(ENSEMBLE):
            raise InputError(f"--model {config.model}: an ensemble has nothing to search for; search for its members.")
        return varied(default_space(row(config.model)), self.vary)

    def paid(self, config: TrainConfig) -> tuple[int, int]:
        """Return (budget, price of a trial), in epochs or fits; InputError where it is not enough for two trials."""
        price = price_of(config)
        budget = TRIALS * price if self.budget is None else self.budget
        if budget < 2 * price:
            raise InputError(f"--budget {budget}: at least {2 * price} are needed, for two trials of {price}.")
        return budget, price

    def chosen(self, config: TrainConfig, count: int) -> Algorithm:
        """Return the algorithm for ``count`` objectives; InputError for anything in the space or the settings that it
        can't do."""
        budget, price = self.paid(config)
        points = budget // price - 1  # one trial is the settings as given
        space = self.space(config)
        check(space, asdict(config))
        unused = [d.name for d in space if d.name.partition(".")[0] in OF_STEPS and not by_epochs(config)]
        if unused:
            raise InputError(f"--vary {unused[0]}: {config.model} is not trained by steps and has no use for it.")
        return algorithm(self.algorithm, len(space), config.seed, points, self.population, count)

    def about(self, config: TrainConfig) -> dict[str, Any]:
        """Return what search.json says of it from the start."""
        budget, price = self.paid(config)
        return {
            **{name: value for name, value in asdict(self).items() if name != "vary"},
            "budget": budget,
            "price": price,
            "unit": "epochs" if by_epochs(config) else "fits",
            "space": [dimension.words() for dimension in self.space(config)],
            "settings": asdict(config),
            "plainfilm": version("plainfilm"),
            "versions": {name: _version(name) for name in ("torch", "numpy", "scikit-learn", "optuna", "cmaes")},
            "command": shlex.join(sys.argv[1:]),
        }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def begin(out: Path, document: dict[str, Any], resume: bool) -> None:
    """Write search.json into a new folder, or check that the search in it is this one; InputError where it is not."""
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
