"""The paper, section by section: data, three models on the same split, Table I, Figures 1 to 4, one report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plainfilm.catalogue import ENSEMBLE
from plainfilm.commands.train import train_prepared
from plainfilm.config import PAPER_MODELS, TrainConfig
from plainfilm.errors import InputError
from plainfilm.models.zoo import recipe
from plainfilm.report.html import paper_report
from plainfilm.report.table import collect, write_table
from plainfilm.storage import folders
from plainfilm.storage.files import sealed
from plainfilm.training.preparation import films_to_train, prepare


def paper(
    data: str, out: Path, settings: dict[str, Any], *, models: Sequence[str] = PAPER_MODELS, resume: bool = False
) -> list[dict[str, Any]]:
    """Train and compare ``models`` on the films of ``data`` into ``out``; return the rows of table.csv.

    ``settings`` are fields of TrainConfig. InputError before anything is written when data or settings are at fault.
    """
    if not models:
        raise InputError("--models is empty; name at least one, such as --models vgg,vgg16-lr.")
    if any(name.startswith(ENSEMBLE) for name in models):
        raise InputError("--models: an ensemble of runs is made by `plainfilm train DATA --model ensemble:RUN,RUN`.")
    if twice := next((name for name in models if models.count(name) > 1), None):
        raise InputError(f"--models names {twice} twice; name each model once.")
    folders.require_free(out, folders.PAPER, resume=resume)
    configs = [TrainConfig(**{**settings, "model": recipe(name).name, "split": "paper"}) for name in models]

    films = films_to_train(data, configs[0])
    prepared = prepare(films, configs, data)
    with sealed(out, resumes=True):
        for one in prepared:
            train_prepared(one, out / one.config.model, resume)
        write_table(out)  # Table I
        paper_report(out)  # Figures 1 to 4 and what they mean
    return collect(out)
