"""A run's model taken to a new site: operating point from local films, weights untouched, where it came from kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from plainfilm.config import MAX_BAD
from plainfilm.data.films import Films, Table, write_films
from plainfilm.data.findings import question_of
from plainfilm.data.sources import load, unlabelled
from plainfilm.errors import InputError, refuse, require_share
from plainfilm.evaluation import adapting, operating
from plainfilm.evaluation.adapting_findings import adapt_findings, adapt_findings_by_hills
from plainfilm.evaluation.chance import as_said_of, chance_line_unless_worse
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.findings import FindingsDecision, FindingsPredictions, of_classes, write_findings
from plainfilm.evaluation.operating import Rules
from plainfilm.evaluation.predictions import Predictions, write_predictions
from plainfilm.evaluation.scores_findings import means
from plainfilm.evaluation.unlabelled import adapt_by_hills, adapt_to_prevalence, expected_rates
from plainfilm.export.engine import OnnxModel
from plainfilm.export.opened import opened
from plainfilm.models.drift import Seen
from plainfilm.progress import say
from plainfilm.runs.external import (
    as_the_model_says,
    keep_seen,
    label_films,
    predict_films,
    shared_with,
    with_the_findings,
)
from plainfilm.runs.findings import headline
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.own import own_chance, own_films, own_findings
from plainfilm.storage import folders
from plainfilm.storage.files import sealed, write_json

if TYPE_CHECKING:
    from plainfilm.models.model import Model


def adapt(
    run: Path,
    data: str,
    out: Path,
    *,
    unlabelled: bool = False,
    prevalence: float | None = None,
    threshold: str = "",
    max_bad: float = MAX_BAD,
    **of_labelled: Any,
) -> dict[str, Any]:
    """Take ``run``'s model to the site of ``data``, into ``out``: by labelled films (``adapt_labelled``, which gets
    ``of_labelled``), or by the prevalence there where that is given or the films are ``unlabelled``."""
    require_share("--max-bad", max_bad)
    if unlabelled or prevalence is not None:
        refuse("films without labels", {name: value for name, value in of_labelled.items() if name != "seed"})
        seed = of_labelled.get("seed", 0)
        aim = threshold or ("balanced" if prevalence is None else "0.5")
        return adapt_unlabelled(run, data, out, prevalence, aim, max_bad, seed)
    return adapt_labelled(run, data, out, threshold=threshold or "auto", max_bad=max_bad, **of_labelled)


def adapt_labelled(
    run: Path,
    data: str,
    out: Path,
    *,
    threshold: str = "auto",
    refer: str = "",
    guarantee: str = "",
    classes: str = "",
    max_bad: float = MAX_BAD,
    seed: int = 0,
    force: bool = False,
    **reading: Any,
) -> dict[str, Any]:
    """Fit temperature, threshold and refer band of ``run``'s model to the labelled films of ``data``.

    The old ones are kept where the new are not shown to be better, unless ``force``. ``guarantee`` ("npv=0.98") sets
    the band so that it is promised of films outside; see ``evaluation.guarantee``. ``classes``: what ``data`` calls
    the model's classes, see ``as_the_model_says``. ``reading``: how it is read, see ``data.sources.load``.

    Writes into ``out``: model.h5, adapt.json (before, after cross-fitted, difference, how many films are enough),
    predictions.csv (cross-fitted), films.csv, quarantine.csv. Returns what adapt.json holds. InputError when ``out`` is
    in use, a class is unknown, or there are too few films. Several findings are adapted one by one; each keeps its old
    rule where too few films know it.
    """
    model = _model(run)
    rules = Rules.asked(threshold, refer, guarantee)
    fitted: Callable[..., tuple[Any, dict[str, Any], Predictions | FindingsPredictions]]
    if isinstance(model.decision, FindingsDecision):
        refuse("a model of several findings", {"classes": classes})
        operating.check(rules.threshold, rules.refer, ("no", "yes"))
        films, fitted = with_the_findings(model.classes, data, reading), _fitted_to_findings
    else:
        operating.check(rules.threshold, rules.refer, model.classes)
        films = as_the_model_says(load(data, question=question_of(model.classes), **reading), model.classes, classes)
        fitted = _fitted
    with _new_folder(out):
        asked, chances, good, bad = label_films(_at_temperature_one(model), films, max_bad)
        shared = shared_with(RunFolder(run), good)
        local = films.with_films(asked)
        rng = np.random.default_rng(seed)
        new, found, after = fitted(Local(run, data, local, chances), model, out, rules, rng, force)
        films = films.with_films((replace(film, part="test") for film in good), quarantine=tuple(bad))
        write_films(films, out)
        keep_seen(RunFolder(run), out)
        found |= {"quarantined": len(bad), "data_hash": films.data_hash, "shared": shared}
        found["red_lines"] = shared["red_lines"] + found.pop("lines")
        written = _write(out, data, model, new, found)
        about = {"model": model.name, "data": data, "synthetic": films.synthetic, "quarantine": bad}
        return written | _report(out, RunFolder(run), after, new, written, about)


class Local(NamedTuple):
    """Films of the new site with their (N, K) probabilities at temperature 1, and where they and the model are from."""

    run: Path
    data: str
    films: Films
    chances: np.ndarray


def _fitted(
    local: Local, model: Model | OnnxModel, out: Path, rules: Rules, rng: np.random.Generator, force: bool
) -> tuple[Decision, dict[str, Any], Predictions]:
    """Fit the rule of a model of classes to ``local`` films and write predictions.csv; return it, what is known of it,
    and the films as it decides them."""
    old = _as_trained(model)
    raw = Predictions.of(local.films.films, local.chances, old.cooled)
    new, after, found = adapting.adapt(raw, old, rules, rng, force)
    by_chance = _against_chance(local.run, local.data, found["before"], force)
    write_predictions(out / folders.PREDICTIONS, after)
    decided = found["before" if found["kept"] else "after"]
    found["lines"] = by_chance + found["lines"] + adapting.still_off(decided)
    if model.verdict.get("curve"):  # the old one is of another temperature and other films
        model.verdict = {**model.verdict, "curve": operating.operating_curve(after)}
    return new, found, after


def _fitted_to_findings(
    local: Local, model: Model | OnnxModel, out: Path, rules: Rules, rng: np.random.Generator, force: bool
) -> tuple[FindingsDecision, dict[str, Any], FindingsPredictions]:
    """``_fitted`` for a model of several findings, each of which is fitted by itself, with the model's verdict."""
    old = model.decision
    assert isinstance(old, FindingsDecision)
    raw = FindingsPredictions.of_films(local.films, local.chances, old.cooled)
    new, after, found = adapt_findings(raw, old, rules, rng, force)
    write_findings(out / folders.PREDICTIONS, after)
    decided = {
        name: {**one, "scores": one["before" if one["kept"] else "after"]}
        for name, one in found["findings"].items()
        if "not_adapted" not in one
    }
    model.verdict = {
        **model.verdict,
        "protocol": adapting.protocol(found, Path(local.data).name),
        "part": "local films",
        "films": found["films"],
        "scores": means(decided),
        "findings": {name: headline(one) for name, one in decided.items()},
    }
    return new, found, after


def _against_chance(run: Path, data: str, before: dict[str, dict[str, float]], force: bool) -> list[str]:
    """Return a red line where the model is not shown to be better than chance and ``force`` takes it all the same;
    InputError without, and where it is worse: no threshold mends that."""
    advice = "If they are, say which is which by --classes."
    line = chance_line_unless_worse(before, f"the films of {data}", advice, str(run))
    if line and not force:
        raise InputError(
            f"{as_said_of(str(run), line)} No threshold mends that, and nothing is written; give more films of "
            "the site, or adapt it all the same with --force."
        )
    return [line] if line else []


def _report(
    out: Path,
    run: RunFolder,
    films: Predictions | FindingsPredictions,
    new: Decision | FindingsDecision,
    found: dict[str, Any],
    about: dict[str, Any],
) -> dict[str, str]:
    """Write the report of the local films; return where it is, nothing without what draws it."""
    try:
        from plainfilm.report.adapted import adapted_report
        from plainfilm.report.adapted_findings import adapted_findings_report
    except ImportError:
        say("No report: it takes plainfilm[train].")
        return {}
    if isinstance(films, FindingsPredictions):
        place = adapted_findings_report(out, films, found, {**about, "version": version("plainfilm")})
    else:
        about["whose"] = f" of the site; {found['quarantined']} could not be read"
        place = adapted_report(out, run, films, cast(Decision, new), found, about)
    return {"report": str(place)}


def adapt_unlabelled(
    run: Path,
    data: str,
    out: Path,
    prevalence: float | None,
    aim: str = "0.5",
    max_bad: float = MAX_BAD,
    seed: int = 0,
) -> dict[str, Any]:
    """Move the threshold of ``run``'s model to the prevalence of a site whose films have no labels.

    ``prevalence``: where it is known (0..1); else it is estimated from the films, and said to be an estimate. ``aim``:
    the corrected probability from which a film is called positive, as text (0.5: fewest errors), or "balanced": the
    valley between the scores' two hills, which also holds where films of a class look otherwise. Writes
    model.h5, adapt.json and quarantine.csv into ``out``; returns what adapt.json holds.
    """
    if prevalence is not None:
        require_share("--prevalence", prevalence, ends=False)
    wanted = None if aim == "balanced" else operating.number(aim)
    model = _model(run)
    if isinstance(model.decision, FindingsDecision):
        rules = {"prevalence": prevalence, "threshold": wanted}
        refuse("several findings without labels, each with a prevalence of its own", rules)
        return _findings_unlabelled(model, run, data, out, max_bad, seed)
    if "prior" not in model.verdict:
        raise InputError(f"{run} does not say for which prevalence it was trained; train it with this version.")
    by_chance = own_chance(RunFolder(run), model.verdict.get("red_lines", []))
    with _new_folder(out):
        seen = Seen(model.gate)
        raw, _, bad = predict_films(_at_temperature_one(model), unlabelled(data), max_bad, seen)
        cool = of_classes(model.decision, "adapt").tempered(raw.probabilities)
        old, prior = _as_trained(model), model.verdict["prior"]
        if wanted is None:
            rng = np.random.default_rng(seed)
            new, found = adapt_by_hills(cool, old, own_films(RunFolder(run)), prevalence, raw.patients, rng)
            moved = f"threshold moved by the scores of {len(cool)} films without labels"
        else:
            new, found = adapt_to_prevalence(cool, old, prior, prevalence, wanted, raw.patients)
            moved = f"threshold moved to a prevalence of {found['prevalence_used']:.3f}"
        expected = None
        if wanted is not None and not by_chance and (scored := RunFolder(run)).has(folders.METRICS):
            expected = expected_rates(scored.scored, old, new)
        found |= {"expected": expected, "red_lines": by_chance + seen.red_lines()}
        model.verdict = {**model.verdict, "protocol": f"{moved} ({new.rule}); not measured"}
        return _write_unlabelled(run, data, out, model, new, found, bad)


def _findings_unlabelled(
    model: Model | OnnxModel, run: Path, data: str, out: Path, max_bad: float, seed: int
) -> dict[str, Any]:
    """``adapt_unlabelled`` for a model of several findings: each threshold moves with the hills of its own scores."""
    assert isinstance(model.decision, FindingsDecision)
    own = own_findings(RunFolder(run))
    with _new_folder(out):
        seen = Seen(model.gate)
        asked, raw, _, bad = label_films(_at_temperature_one(model), unlabelled(data), max_bad, seen)
        patients = np.array([film.group for film in asked], dtype=np.str_)
        new, found = adapt_findings_by_hills(raw, model.decision, own, patients, np.random.default_rng(seed))
        found["red_lines"] = [*seen.red_lines(), *found.pop("lines")]
        moved = f"each finding's threshold moved by its scores on {found['films']} films without labels; not measured"
        model.verdict = {**model.verdict, "protocol": moved, "findings": {}}
        return _write_unlabelled(run, data, out, model, new, found, bad)


def _write_unlabelled(
    run: Path,
    data: str,
    out: Path,
    model: Model | OnnxModel,
    new: Decision | FindingsDecision,
    found: dict[str, Any],
    bad: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Write what is known of a model that films without labels adapted; return what adapt.json holds."""
    model.verdict = {**model.verdict, "scores": {}}  # they were those of the old threshold; the curve still holds
    write_films(Films(Table(), data, tuple(bad)), out)
    keep_seen(RunFolder(run), out)
    return _write(out, data, model, new, {**found, "quarantined": len(bad)})


def _model(run: Path) -> Model | OnnxModel:
    return cast("Model | OnnxModel", opened(run))


@contextmanager
def _new_folder(out: Path) -> Iterator[None]:
    folders.require_free(out, folders.ADAPTATION)
    with sealed(out):
        yield


def _as_trained(model: Model | OnnxModel) -> Decision:
    return replace(of_classes(model.decision, "adapt"), rule="as trained")


def _at_temperature_one(model: Model | OnnxModel) -> Model | OnnxModel:
    return replace(model, decision=model.decision.cooled)


def _write(
    out: Path, data: str, model: Model | OnnxModel, new: Decision | FindingsDecision, found: dict[str, Any]
) -> dict[str, Any]:
    """Write the model with its new operating point and adapt.json; what the model was is kept in its provenance."""
    old = (model.decision if isinstance(model.decision, FindingsDecision) else _as_trained(model)).operating
    about = {"from_model": model.hash, "from": old, "data": data, "to": new.operating, **found}
    model.decision = new
    model.provenance = {**model.provenance, "adapted": about}
    red_lines = dict.fromkeys([*found["red_lines"], *model.verdict.get("red_lines", [])])
    model.verdict = {**model.verdict, "red_lines": list(red_lines)}
    if "after" in found:
        decided = found["before" if found["kept"] else "after"]
        model.verdict = {
            **model.verdict,
            "protocol": adapting.protocol(found, Path(data).name),
            "part": "local films",
            "films": found["films"],
            "scores": {name: decided[name] for name in model.verdict.get("scores", decided)},
        }
    model.save(out / (folders.EXPORTED if isinstance(model, OnnxModel) else folders.MODEL))
    write_json(out / folders.ADAPTED, about)
    return about
