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
from plainfilm.data.films import FILMS_HEADER, Films, Table, write_films
from plainfilm.data.findings import question_of
from plainfilm.data.sources import load, unlabelled
from plainfilm.errors import InputError, refuse, require_share
from plainfilm.evaluation import adapting, operating
from plainfilm.evaluation.adapting_findings import adapt_findings, adapt_findings_by_hills
from plainfilm.evaluation.chance import chance_line, tells_of_chance, worse_than_chance
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.findings import FindingsDecision, FindingsPredictions, means, of_classes, write_findings
from plainfilm.evaluation.guarantee import parsed
from plainfilm.evaluation.operating import Rules
from plainfilm.evaluation.predictions import Predictions, write_predictions
from plainfilm.export.engine import OnnxModel
from plainfilm.export.opened import opened
from plainfilm.models.drift import Seen
from plainfilm.progress import say
from plainfilm.runs.external import (
    as_the_model_says,
    label_films,
    predict_films,
    seen_by_model,
    shared_with,
    with_the_findings,
)
from plainfilm.runs.findings import headline
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders
from plainfilm.storage.files import sealed, write_json
from plainfilm.storage.tables import write_csv

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
    rules = rules_of(threshold, refer, guarantee)
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
        _keep_seen(RunFolder(run), out)
        found |= {"quarantined": len(bad), "data_hash": films.data_hash, "shared": shared}
        found["red_lines"] = shared["red_lines"] + found.pop("lines")
        written = _write(out, data, model, new, found)
        about = {"model": model.name, "data": data, "synthetic": films.synthetic, "quarantine": bad}
        if isinstance(after, FindingsPredictions):
            return written | _report_findings(out, after, written, about)
        return written | _report(out, RunFolder(run), after, cast(Decision, new), written, about)


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
    found["lines"] = by_chance + found["lines"] + _still_off(decided)
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


def rules_of(threshold: str, refer: str, guarantee: str, shifted: bool = False) -> Rules:
    """Return how the operating point is chosen; InputError where both kinds of a refer band are asked for."""
    if guarantee and refer:
        raise InputError("--refer and --guarantee both set the films for a reader; leave one out.")
    if guarantee:
        parsed(guarantee)
    return Rules(threshold or "auto", guarantee or refer or Rules().refer, shifted)


def _against_chance(run: Path, data: str, before: dict[str, dict[str, float]], force: bool) -> list[str]:
    """Return a red line where the model is not shown to be better than chance and ``force`` takes it all the same;
    InputError without, and where it is worse: no threshold mends that."""
    line = chance_line(before, f"the films of {data}")
    if worse_than_chance(before):
        raise InputError(f"{run}: {line[0].lower()}{line[1:]} If they are, say which is which by --classes.")
    if line and not force:
        raise InputError(
            f"{run}: {line[0].lower()}{line[1:]} No threshold mends that, and nothing is written; give more films of "
            "the site, or adapt it all the same with --force."
        )
    return [line] if line else []


def _report(
    out: Path, run: RunFolder, films: Predictions, decision: Decision, found: dict[str, Any], about: dict[str, Any]
) -> dict[str, str]:
    """Write the report of the local films; return where it is, nothing without what draws it."""
    about |= {"whose": f" of the site; {found['quarantined']} could not be read"}
    try:
        from plainfilm.report.adapted import adapted_report
    except ImportError:
        say("No report: it takes plainfilm[train].")
        return {}
    return {"report": str(adapted_report(out, run, films, decision, found, about))}


def _report_findings(
    out: Path, films: FindingsPredictions, found: dict[str, Any], about: dict[str, Any]
) -> dict[str, str]:
    """``_report`` for a model of several findings."""
    try:
        from plainfilm.report.adapted_findings import adapted_findings_report
    except ImportError:
        say("No report: it takes plainfilm[train].")
        return {}
    return {"report": str(adapted_findings_report(out, films, found, {**about, "version": version("plainfilm")}))}


def _keep_seen(run: RunFolder, out: Path) -> None:
    """Write the films that the model had seen beside the adapted one, where they are known."""
    if run.has(folders.FILMS):
        rows = seen_by_model(run)
        write_csv(out / folders.SEEN_BEFORE, FILMS_HEADER, ([row[name] for name in FILMS_HEADER] for row in rows))


def _still_off(after: dict[str, dict[str, float]]) -> list[str]:
    """A temperature moves no probability across one half: at another prevalence it can't calibrate."""
    found = after["calibration_intercept"]
    if not (found["low"] > 0 or found["high"] < 0):
        return []
    way = "low" if found["value"] > 0 else "high"
    return [
        f"The probabilities stay too {way} here (calibration intercept {found['value']:.2f}, 95 % interval "
        f"{found['low']:.2f} to {found['high']:.2f}): decide by the threshold, and don't read them as risks."
    ]


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
    by_chance = _own_chance(run, model)
    with _new_folder(out):
        seen = Seen(model.gate)
        raw, _, bad = predict_films(_at_temperature_one(model), unlabelled(data), max_bad, seen)
        cool = of_classes(model.decision, "adapt").tempered(raw.probabilities)
        old, prior = _as_trained(model), model.verdict["prior"]
        if wanted is None:
            rng = np.random.default_rng(seed)
            new, found = adapting.adapt_by_hills(cool, old, _own_films(run), prevalence, raw.patients, rng)
            moved = f"threshold moved by the scores of {len(cool)} films without labels"
        else:
            new, found = adapting.adapt_unlabelled(cool, old, prior, prevalence, wanted, raw.patients)
            moved = f"threshold moved to a prevalence of {found['prevalence_used']:.3f}"
        expected = None if wanted is None or by_chance else _expected(run, old, new)
        found |= {"expected": expected, "red_lines": by_chance + _as_a_set(seen)}
        model.verdict = {**model.verdict, "protocol": f"{moved} ({new.rule}); not measured"}
        return _write_unlabelled(run, data, out, model, new, found, bad)


def _findings_unlabelled(
    model: Model | OnnxModel, run: Path, data: str, out: Path, max_bad: float, seed: int
) -> dict[str, Any]:
    """``adapt_unlabelled`` for a model of several findings: each threshold moves with the hills of its own scores."""
    assert isinstance(model.decision, FindingsDecision)
    own = _of_a_run(run).findings
    with _new_folder(out):
        seen = Seen(model.gate)
        asked, raw, _, bad = label_films(_at_temperature_one(model), unlabelled(data), max_bad, seen)
        patients = np.array([film.group for film in asked], dtype=np.str_)
        own, rng = own.take(own.parts != "train"), np.random.default_rng(seed)
        new, found = adapt_findings_by_hills(raw, model.decision, own, patients, rng)
        found["red_lines"] = [*_as_a_set(seen), *found.pop("lines")]
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
    model.verdict = {  # the scores were those of the old threshold; the curve holds for any prevalence
        **model.verdict,
        "scores": {},
        "red_lines": list(dict.fromkeys([*found["red_lines"], *model.verdict.get("red_lines", [])])),
    }
    write_films(Films(Table(), data, tuple(bad)), out)
    _keep_seen(RunFolder(run), out)
    return _write(out, data, model, new, {**found, "quarantined": len(bad)})


def _own_chance(run: Path, model: Model | OnnxModel) -> list[str]:
    """Return a red line where the model was not shown to be better than chance on the films that it was scored on;
    InputError where it was worse: no threshold mends that."""
    folder, said = RunFolder(run), model.verdict.get("red_lines", [])
    if not folder.has(folders.METRICS):
        return [line for line in said if tells_of_chance(line)]  # of a model.h5, or of one adapted before
    scores, where = folder.scores(), f"its own {folder.part} films"
    line = chance_line(scores, where)
    if worse_than_chance(scores):
        raise InputError(f"{run}: {line[0].lower()}{line[1:]} No threshold mends that; train it with the right names.")
    return [f"{line} No threshold mends that: whatever is called positive here is called so at random."] * bool(line)


def _as_a_set(seen: Seen) -> list[str]:
    """Return the red line of films without labels that differ as a set from the training films."""
    change = seen.change()
    if change is None:
        return []
    return [
        f"As a set, these {change.films:,} films differ from the training films: {change.words}. Without labels nobody "
        "can know whether the model works on them at all: on other patients, or another disease, it may be at chance, "
        "whatever accuracy is expected. Label 50 of them."
    ]


def _of_a_run(run: Path) -> RunFolder:
    """Return the run's folder; InputError where it has no predictions."""
    folder = RunFolder(run)
    if not folder.has(folders.PREDICTIONS):
        raise InputError(
            f"{run} is no run folder with predictions.csv, by which a threshold is found without labels; name the run, "
            "or give --prevalence."
        )
    return folder


def _own_films(run: Path) -> Predictions:
    """Return the run's films that trained nothing, with their labels."""
    folder = _of_a_run(run)
    own = folder.predictions.take(folder.predictions.parts != "train")
    if np.bincount(own.labels, minlength=2).min() < adapting.FEWEST:
        raise InputError(
            f"{run} has fewer than {adapting.FEWEST} films of a class besides those that trained it; give labelled "
            "films, or --prevalence."
        )
    return own


def _expected(run: Path, old: Decision, new: Decision) -> dict[str, dict[str, float]] | None:
    """Return sensitivity and specificity of the old and the new threshold on the films that the run was scored on: a
    change of prevalence alone leaves both as they are. None for what is no run with its predictions."""
    folder = RunFolder(run)
    if not folder.has(folders.METRICS):
        return None
    p = folder.scored

    def at(decision: Decision) -> dict[str, float]:
        told = replace(p, decision=decision)
        return {
            "sensitivity": float(told.called[told.truth].mean()),
            "specificity": float((~told.called[~told.truth]).mean()),
        }

    return {"before": at(old), "after": at(new)}


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
    if "after" in found:
        decided = found["before" if found["kept"] else "after"]
        model.verdict = {
            **model.verdict,
            "protocol": adapting.protocol(found, Path(data).name),
            "red_lines": list(dict.fromkeys([*found["red_lines"], *model.verdict.get("red_lines", [])])),
            "part": "local films",
            "films": found["films"],
            "scores": {name: decided[name] for name in model.verdict.get("scores", decided)},
        }
    model.save(out / (folders.EXPORTED if isinstance(model, OnnxModel) else folders.MODEL))
    write_json(out / folders.ADAPTED, about)
    return about
