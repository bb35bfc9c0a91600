"""``plainfilm train``: one model, or one several times, each in a run folder that can be resumed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from plainfilm.catalogue import ENSEMBLE, row
from plainfilm.commands.evaluate import evaluate_runs
from plainfilm.config import TrainConfig, of_no_use
from plainfilm.data.films import PARTS, FilmError, Films
from plainfilm.data.split import crossing, folds, leave_out
from plainfilm.errors import InputError, command_line
from plainfilm.evaluation.decision import positive_class, positive_is_a_guess
from plainfilm.evaluation.findings import FindingsPredictions
from plainfilm.machine import ranks
from plainfilm.models.model import Model
from plainfilm.models.precision import Precision
from plainfilm.models.summary import LIGHT
from plainfilm.progress import say
from plainfilm.report.box import entry, heading
from plainfilm.report.findings import red_lines as of_findings
from plainfilm.report.findings_page import findings_report
from plainfilm.report.html import run_report
from plainfilm.report.pictures import draw_mistakes, draw_montage
from plainfilm.report.verdict import red_lines
from plainfilm.report.words import count
from plainfilm.runs.findings import findings_verdict, score_findings, scored_part
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.light_audit import light_audit
from plainfilm.runs.looking import VERSIONS
from plainfilm.runs.pooling import Repetition
from plainfilm.runs.probing import affordable, probe, probe_subgroups
from plainfilm.runs.scoring import score_trained, verdict
from plainfilm.storage import folders
from plainfilm.storage.documents import FitDocument, MetricsDocument
from plainfilm.storage.files import SUMS, locked
from plainfilm.training.finishing import as_trained, finish, prior
from plainfilm.training.fitting import fit
from plainfilm.training.preparation import Prepared, changed, films_to_train, prepare
from plainfilm.training.record import config_document, model_document
from plainfilm.training.schedules import DESCRIPTIONS

MOST_RANDOM, RANDOM = 5, "random"  # folds beside those that leave a site out, and their folder
TASK_OF = {"train": "to train", "val": "to validate", "test": "to test"}


def train(
    data: str | Films, out: Path, settings: dict[str, Any], *, resume: bool = False, probes: bool = True
) -> MetricsDocument:
    """Train one model on ``data`` (a source, or films that may be split already) into ``out``; return its metrics.

    With ``resume`` a run that was begun there goes on, by its own settings where ``settings`` does not name them.
    ``probes``: see ``train_prepared``.
    Started by torchrun, the processes do it together; all but the first return no scores. When torchrun starts them
    anew, they go on with what they had begun.
    """
    with ranks.joined():
        with ranks.together():
            begun = RunFolder(out)
            if resume and begun.has(folders.CONFIG):
                settings = {**begun.settings, **settings}
            films, config = _loaded(data, settings)
            resume = resume or (
                ranks.restarted() and begun.has(folders.CONFIG) and begun.config.get("job") == ranks.job()
            )
        return train_prepared(prepare(films, [config], _name(data))[0], out, resume, probes)


def _loaded(data: str | Films, settings: dict[str, Any]) -> tuple[Films, TrainConfig]:
    config = TrainConfig(**settings)
    if config.choose_by and row(config.model).trained.by_steps:
        raise InputError(
            f"choose_by={config.choose_by}: {config.model} is trained by steps, and nothing of it is chosen; use it "
            "with `search`, or with a logistic regression."
        )
    return films_to_train(data, config), config


def _name(data: str | Films) -> str:
    return data if isinstance(data, str) else data.name


def train_prepared(prepared: Prepared, out: Path, resume: bool = False, probes: bool = True) -> MetricsDocument:
    """Train the prepared model into the run folder ``out``, whole: model, predictions, scores, figures, report.

    Returns what metrics.json holds. With ``resume`` a run that was begun is continued where it stopped. ``probes``:
    look at subgroups as well and, if the network is a small one, probe it; for others that is asked for: ``evaluate RUN
    --probes``.
    """
    begun = RunFolder(out)
    if resume and begun.has(folders.CONFIG) and (bits := begun.config.get("precision")):  # those it was begun with
        prepared = replace(prepared, precision=Precision.from_dict(bits))
    if probes:
        prepared = replace(prepared, probed=VERSIONS * _probed(prepared))
    say(_beginning(prepared, out))
    with RunFolder.open(out, config_document(prepared), prepared.films, resume) as run:
        model, fitted = _fitted(prepared, run, resume)
        predictions = finish(prepared, model)
        if predictions is None:  # of several processes the first does the rest
            return {"protocol": prepared.films.protocol}
        run.write_model(model_document(prepared, model, fitted))
        if isinstance(predictions, FindingsPredictions):
            metrics = score_findings(run, predictions)
            if probes:
                _audit(prepared, run)
            model.verdict = {**findings_verdict(run), "red_lines": of_findings(run, scored_part(run))}
            run.save(model)
            draw_montage(prepared.films, prepared.pixels, model, prepared.config.seed, out)
            findings_report(run)
            return metrics
        metrics = score_trained(run, predictions)
        if probes:
            look_closer(prepared, model, run)
        model.verdict = {**verdict(run), "prior": prior(prepared, model), "red_lines": red_lines([run])}
        run.save(model)
        draw_montage(prepared.films, prepared.pixels, model, prepared.config.seed, out)
        draw_mistakes(prepared.films, run)
        run_report(run)
    return metrics


def _fitted(prepared: Prepared, run: RunFolder, resume: bool) -> tuple[Model, FitDocument]:
    """Return the model as it was fitted, and what is to be said of the fit: from a run that is done already, else by
    fitting it, from where that was interrupted."""
    if not ranks.agreed(resume and run.has(folders.MODEL)):
        return fit(prepared, run.folder, resume)
    model = as_trained(Model.load(run.folder, str(prepared.precision.passes)))
    model.network.to(prepared.device)
    return model, run.model


def look_closer(prepared: Prepared, model: Model, run: RunFolder) -> None:
    """Audit a sample of the films and probe the run, or look at its subgroups alone where the network is a large one;
    films that have vanished meanwhile cost it its probes, not its training."""
    seed = prepared.config.seed
    _audit(prepared, run)
    if run.model["flops"] >= LIGHT:
        films = prepared.films
        greys = {film.path: float(prepared.pixels[i : i + 1].mean()) for i, film in enumerate(films)}
        probe_subgroups(run, model, greys, seed)
        return
    try:
        probe(run, model, films=_probed(prepared), seed=seed, source=prepared.films)
    except (FilmError, InputError) as error:
        say(f"The probes are left out: {error} Later: {command_line('evaluate', run.folder, '--probes')}")


def _probed(prepared: Prepared) -> int:
    return affordable(prepared.config.epochs, prepared.films.where("train").size)


def _audit(prepared: Prepared, run: RunFolder) -> None:
    """Write audit.json from a sample of the films, unless one of all films is there."""
    if run.audit and "light" not in run.audit:
        return
    if found := _audited(prepared, run):
        run.write_audit(found)


def _audited(prepared: Prepared, run: RunFolder) -> dict[str, Any] | None:
    """Return the audit of a sample of the films; None where one of them can't be read any more."""
    try:
        return light_audit(prepared.films, "" if run.of_findings else run.positive, prepared.config.seed)
    except (FilmError, InputError) as error:
        say(f"The audit is left out: {error} Later: plainfilm audit DATA --out DIR")
        return None


def _audit_of_the_set(prepared: Prepared, run: RunFolder) -> dict[str, Any] | None:
    """Return what folds.json holds of the audit of the set, which all the runs that one of them stands for share."""
    found = _audited(prepared, run)
    return found and {name: found[name] for name in ("red_lines", "light")}


def _beginning(prepared: Prepared, out: Path) -> str:
    """Return what a training starts with, in lines: the films of each part, the question, and what was derived."""
    films, config = prepared.films, prepared.config
    parts = ", ".join(f"{films.where(p).size:,} {TASK_OF[p]}" for p in PARTS if films.where(p).size)
    crossed = crossing(films)
    shared = f"{count(crossed['patients'], 'patient')} and {count(crossed['contents'], 'duplicate')}"
    lines = [heading(f"Training {config.model} in {out}")]
    lines += entry("Films", parts)
    lines += entry("Protocol", f"{films.protocol}; {shared} in more than one part")
    lines += entry("Findings" if films.findings else "Classes", _question(films, config))
    lines += entry("Learning", _learning(prepared))
    computer = "GPU" if prepared.device.type == "cuda" else count(torch.get_num_threads(), "thread")
    return "\n".join([*lines, *entry("Computing", f"on {computer}; {prepared.precision.sentence}")])


def _question(films: Films, config: TrainConfig) -> str:
    """Return what is asked of the films, in words."""
    if films.findings:
        return ", ".join(films.findings)
    positive = films.classes[positive_class(films.classes, config.positive or None)]
    guessed = " (a guess; --positive NAME names another)" * (not config.positive and positive_is_a_guess(films.classes))
    return f"{', '.join(films.classes)}; positive class {positive}{guessed}"


def _learning(prepared: Prepared) -> str:
    """Return how long and by which rule the model learns; for one without epochs, which settings it does not use."""
    config = prepared.config
    if not prepared.recipe.trained.by_steps:
        unused = changed(config, of_no_use(asdict(config)))
        return f"without epochs; this model does not use {', '.join(unused)}" if unused else ""
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in prepared.class_weights.items())
    epochs = count(config.epochs, "epoch") + " at most" * bool(config.patience)
    rate = f"learning rate {config.learning_rate:g}, decay {config.decay}: {DESCRIPTIONS[config.decay]}"
    return f"{epochs}; {rate}; weights in the loss: {weights}"


# -- one model several times


def train_folds(
    data: str | Films, out: Path, settings: dict[str, Any], count: int, *, resume: bool = False
) -> dict[str, Any]:
    """Train and test on each of ``count`` folds in OUT/fold-0 …; pool the out-of-fold predictions in ``out``.

    ``settings["split"]`` "grouped" keeps patients together, "paper" divides by film. Returns what folds.json holds.
    """
    films, config = _loaded(data, _repeated(out, settings, resume, "--folds"))
    folds(films, count, config.split, config.seed)  # too few films or patients shows here, before hours of decoding
    prepared = prepare(films, [config], _name(data))[0]
    parted = folds(prepared.films, count, config.split, config.seed)
    jobs = ((f"fold-{k}", replace(prepared, films=fold)) for k, fold in enumerate(parted))
    names = _train_all(jobs, out, resume)
    audit = _audit_of_the_set(prepared, RunFolder(out / names[0]))
    return evaluate_runs(out, Repetition("folds", names, parted[0].protocol, config.seed, audit=audit))


def train_sites(
    data: str | Films, out: Path, settings: dict[str, Any], column: str, *, resume: bool = False
) -> dict[str, Any]:
    """Train with one site left out at a time and test on it, in OUT/fold-0 …, and on random folds of the same films, in
    OUT/random; return what folds.json holds, with the gap between the two.

    column: of the table of ``data``; its values are the sites. See ``data.split.leave_out``.
    """
    films, config = _loaded(data, _repeated(out, settings, resume, "--folds"))
    if config.split != "grouped":
        raise InputError(f"--folds {column} keeps patients together; leave --split {config.split} out.")
    leave_out(films, column, config.seed)  # what stands against it shows before hours of decoding
    prepared = prepare(films, [config], _name(data))[0]
    left = leave_out(prepared.films, column, config.seed)
    tested = prepared.films.where_in(column, [site.site for site in left])
    random = folds(prepared.films.at(tested), min(len(left), MOST_RANDOM), "grouped", config.seed)
    jobs = ((f"fold-{k}", prepared.at(site.films, site.places)) for k, site in enumerate(left))
    names = _train_all(jobs, out, resume)
    beside = ((f"fold-{k}", prepared.at(fold, tested)) for k, fold in enumerate(random))
    compared = _train_all(beside, out / RANDOM, resume)
    audit = _audit_of_the_set(prepared, RunFolder(out / names[0]))
    evaluate_runs(out / RANDOM, Repetition("folds", compared, random[0].protocol, config.seed, audit=audit))
    about = {"column": column, "sites": [site.site for site in left], "random": RANDOM}
    return evaluate_runs(out, Repetition("folds", names, f"one {column} left out at a time", config.seed, about, audit))


def train_seeds(
    data: str | Films, out: Path, settings: dict[str, Any], count: int, *, resume: bool = False
) -> dict[str, Any]:
    """Train ``count`` times, with the seeds from ``settings["seed"]`` on, in OUT/seed-0 …; return folds.json.

    The seed divides the films too, so the spread is that of the whole protocol.
    """
    if count < 2:
        raise InputError(f"--seeds {count}: at least 2 are needed.")
    films, first = _loaded(data, _repeated(out, settings, resume, "--seeds"))
    configs = [replace(first, seed=first.seed + k) for k in range(count)]
    jobs = [(f"seed-{config.seed}", prepare(films, [config], _name(data))[0]) for config in configs]
    names = _train_all(jobs, out, resume)
    prepared = jobs[0][1]
    audit = _audit_of_the_set(prepared, RunFolder(out / names[0]))
    return evaluate_runs(out, Repetition("seeds", names, prepared.films.protocol, first.seed, audit=audit))


def _repeated(out: Path, settings: dict[str, Any], resume: bool, flag: str) -> dict[str, Any]:
    """Return the settings of a repetition, with ``resume`` those that its first run was begun with among them."""
    if ranks.started() > 1:
        raise InputError("--folds and --seeds are done by one process; under torchrun train one model at a time.")
    begun = [RunFolder(path.parent).settings for path in out.glob(f"*-*/{folders.CONFIG}")] if resume else []
    settings = {**min(begun, key=lambda each: int(each["seed"]), default={}), **settings}
    if str(settings.get("model", "")).startswith(ENSEMBLE):
        raise InputError(f"{flag}: an ensemble's members are of one split; repeat its members, and join each set.")
    return settings


def _train_all(jobs: Iterable[tuple[str, Prepared]], out: Path, resume: bool) -> list[str]:
    """Train each into its folder in ``out``, unless that is done; return the folders' names."""
    folders.require_free(out, folders.REPETITION, resume=resume)
    names = []
    with locked(out):
        for name, prepared in jobs:
            run = RunFolder(out / name)
            if run.has(folders.REPORT) and run.has(SUMS):
                run.require_same(config_document(prepared))
            else:
                train_prepared(prepared, run.folder, resume, probes=False)
            names.append(name)
    return names
