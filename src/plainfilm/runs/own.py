"""What a run's own films say of its model where those of a new site have no labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plainfilm.errors import InputError
from plainfilm.evaluation.adapting import FEWEST
from plainfilm.evaluation.chance import chance_line_unless_worse, tells_of_chance
from plainfilm.evaluation.findings import FindingsPredictions
from plainfilm.evaluation.predictions import Predictions
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders


def own_chance(run: RunFolder, said: Sequence[str]) -> list[str]:
    """Return a red line where the model was not shown to be better than chance on the films that it was scored on, of a
    model without its scores what it ``said`` of that itself; InputError where it was worse."""
    if not run.has(folders.METRICS):
        return [line for line in said if tells_of_chance(line)]  # of a model.h5, or of one adapted before
    advice = "No threshold mends that; train it with the right names."
    line = chance_line_unless_worse(run.scores(), f"its own {run.part} films", advice, str(run.folder))
    return [f"{line} No threshold mends that: whatever is called positive here is called so at random."] * bool(line)


def own_films(run: RunFolder) -> Predictions:
    """Return the run's films that trained nothing, with their labels; InputError where a class has too few."""
    _require_predictions(run)
    own = run.predictions.take(run.predictions.parts != "train")
    if np.bincount(own.labels, minlength=2).min() < FEWEST:
        raise InputError(
            f"{run.folder} has fewer than {FEWEST} films of a class besides those that trained it; give labelled "
            "films, or --prevalence."
        )
    return own


def own_findings(run: RunFolder) -> FindingsPredictions:
    """Return the run's films that trained nothing, with what is known of their findings."""
    _require_predictions(run)
    return run.findings.take(run.findings.parts != "train")


def _require_predictions(run: RunFolder) -> None:
    if not run.has(folders.PREDICTIONS):
        raise InputError(
            f"{run.folder} is no run folder with predictions.csv, by which a threshold is found without labels; name "
            "the run, or give --prevalence."
        )
