"""How many films a study needs, before it begins: by what is expected, or by a pilot run."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from plainfilm.errors import InputError, did_you_mean
from plainfilm.evaluation import planning
from plainfilm.evaluation.handed_in import Told
from plainfilm.evaluation.planning import Assumed, Needed
from plainfilm.runs.scoring import scored_films
from plainfilm.storage import folders
from plainfilm.storage.files import sealed, write_json


def plan(
    pilot: str | Path | None = None,
    *,
    width: float = 0.1,
    difference: float | None = None,
    correlation: float = 0.5,
    disagree: float = 0.1,
    drop: float | None = None,
    power: float = 0.8,
    threshold: float | None = None,
    columns: str = "",
    scores: str = "",
    out: str | Path | None = None,
    force: bool = False,
    **assumed: float,
) -> dict[str, Any]:
    """Return how many films, patients and positive films each question needs; with ``out`` write it, with a figure.

    ``assumed``: fields of ``evaluation.planning.Assumed`` (prevalence, sensitivity, specificity, auroc,
    films_per_patient, icc); what is not given comes from ``pilot`` (a run folder or predictions file), if there is one.
    ``columns``, ``scores``: what a pilot holds that another program made, see ``handed_in.Told``.
    ``width``: of the 95 % intervals, 0..1. ``difference``: between two models, of which ``disagree`` is the share of
    films that they decide differently and ``correlation`` that of their areas. ``drop``: at a new site. ``threshold``:
    the risk at which net benefit is looked at. InputError for values outside their ranges.

    >>> pf.plan(prevalence=0.3, auroc=0.9)["precision"]["sensitivity"]
    {'films': 470, 'patients': 470, 'positives': 141}
    """
    if out:
        folders.require_free(Path(out), folders.EVALUATION, force=force, written=("plan.json",))
    known = _known(pilot, assumed, Told.of(columns, scores))
    found: dict[str, Any] = {
        "assumed": {field.name: getattr(known, field.name) for field in fields(known) if field.name != "log_odds"},
        "pilot": None if pilot is None else str(pilot),
        "design_effect": known.effect,
        "width": width,
        "precision": _rows(planning.precision(known, width)),
        "widths": [{"films": films, **planning.widths(known, films)} for films in planning.SIZES],
        "validation": _rows(planning.validation(known, threshold=threshold)),
    }
    if difference is not None:
        found |= {"difference": difference, "correlation": correlation, "disagree": disagree, "power": power}
        found["compare"] = _rows(
            {
                "accuracy": planning.difference_of_accuracies(known, difference, disagree, power),
                "auroc": planning.difference_of_areas(known, difference, correlation, power),
            }
        )
    if drop is not None:
        found |= {"drop": drop, "power": power, "new_site": _rows(planning.drop(known, drop, power))}
    if out:
        _write(Path(out), found)
    return found


def _known(pilot: str | Path | None, given: dict[str, float], told: Told) -> Assumed:
    names = [field.name for field in fields(Assumed) if field.name != "log_odds"]
    for name in given:
        if name not in names:
            raise InputError(f"plan: there is no assumption '{name}'.{did_you_mean(name, names)}")
    if pilot is None:
        return Assumed(**given)  # type: ignore[arg-type]
    return replace(_of_pilot(Path(pilot), told), **given)  # type: ignore[arg-type]


def _of_pilot(place: Path, told: Told) -> Assumed:
    films = scored_films(place, told)
    return planning.piloted(films.truth, films.called, films.score, films.patients)


def _rows(found: dict[str, Needed]) -> dict[str, dict[str, int]]:
    return {name: needed._asdict() for name, needed in found.items()}


def _write(out: Path, found: dict[str, Any]) -> None:
    from plainfilm.report.figures import save
    from plainfilm.report.plots import widths_by_films

    with sealed(out, shared=True):
        write_json(out / "plan.json", found)
        save(widths_by_films(found["widths"], found["width"]), out, "plan")
