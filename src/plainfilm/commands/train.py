"""One trained model: films -> split -> fit -> model.h5 -> predictions.csv, in one run folder that can be resumed."""

from __future__ import annotations

import hashlib
import platform
import shlex
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plainfilm.catalogue import ENSEMBLE
from plainfilm.commands.evaluate import evaluate_runs
from plainfilm.config import OF_STEPS, TrainConfig, begun_settings
from plainfilm.data.films import FilmError, Films, write_films
from plainfilm.data.sources import load
from plainfilm.data.split import crossing, folds, leave_out
from plainfilm.errors import InputError
from plainfilm.evaluation.calibration import fit_offsets
from plainfilm.evaluation.decision import Decision, positive_class, positive_is_a_guess
from plainfilm.evaluation.operating import choose
from plainfilm.evaluation.predictions import Predictions, write_predictions
from plainfilm.image.store import Rows
from plainfilm.machine import ranks
from plainfilm.models.gate import Gate, fit_gate
from plainfilm.models.model import BATCH, Model
from plainfilm.models.precision import Precision
from plainfilm.models.summary import flops, layers, parameters
from plainfilm.progress import bar, say
from plainfilm.report.html import run_report
from plainfilm.report.pictures import draw_mistakes, draw_montage
from plainfilm.report.runs import read_run
from plainfilm.report.verdict import red_lines
from plainfilm.runs.probing import LIGHT, look_at_subgroups, probe
from plainfilm.runs.scoring import evaluate_run, verdict
from plainfilm.storage import folders
from plainfilm.storage.files import SUMS, locked, read_json, sealed, sha256_file, write_json
from plainfilm.training.fitting import fit, logits_of
from plainfilm.training.loop import class_weights
from plainfilm.training.preparation import Prepared, changed, prepare
from plainfilm.training.schedules import DESCRIPTIONS

PREDICT_BATCH = 256
MOST_RANDOM, RANDOM = 5, "random"  # folds beside those that leave a site out, and their folder


def train(data: str | Films, out: Path, settings: dict[str, Any], resume: bool = False) -> dict[str, Any]:
    """Train one model on ``data`` (a source, or films that may be split already) into ``out``; return its metrics.

    Started by torchrun, the processes do it together; all but the first return nothing. When torchrun starts them anew,
    they go on with what they had begun.
    """
    with ranks.joined():
        with ranks.together():
            config = TrainConfig(**settings)
            films = load(data, **config.reading) if isinstance(data, str) else data
        prepared = prepare(films, [config], films.name if isinstance(data, Films) else data)[0]
        return run(prepared, out, resume or _begun_by_this_job(out))


def _begun_by_this_job(out: Path) -> bool:
    return (
        ranks.restarted()
        and (out / folders.CONFIG).exists()
        and read_json(out / folders.CONFIG).get("job") == ranks.job()
    )


@contextmanager
def run_folder(out: Path, config: dict[str, Any], films: Films, resume: bool) -> Iterator[None]:
    """Hold ``out`` for one run. A folder with a run in it is continued with ``resume`` and refused without."""
    with ExitStack() as held:
        with ranks.together():
            if not ranks.rank():
                held.enter_context(_held(out, config, films, resume))
        yield


@contextmanager
def _held(out: Path, config: dict[str, Any], films: Films, resume: bool) -> Iterator[None]:
    present = folders.require_free(out, folders.RUN, resume=resume)
    with sealed(out):
        if present:
            _same(config, out)
        else:
            write_json(out / folders.CONFIG, config)
        write_films(films, out)
        yield


def _same(new: dict[str, Any], out: Path) -> None:
    """InputError when a run in ``out`` was begun with other settings or other films."""
    old = begun_settings(out)
    changed = [
        f"{name} was {old[name]!r} and is {value!r}" for name, value in new["settings"].items() if old[name] != value
    ]
    if changed:
        raise InputError(f"{out} was begun with other settings: {'; '.join(changed)}. Choose another --out.")
    if read_json(out / folders.CONFIG).get("members", {}) != new["members"]:
        raise InputError(f"{out} was begun with other members than {new['settings']['model']} names now.")
    if read_json(out / folders.CONFIG).get("data_hash") != new["data_hash"]:
        raise InputError(f"{out} was begun with other films than {new['data']} holds now. Choose another --out.")


def require_same(prepared: Prepared, out: Path) -> None:
    """InputError when the run in ``out`` was begun with other settings or other films than ``prepared`` has."""
    _same(describe(prepared), out)


def describe(prepared: Prepared) -> dict[str, Any]:
    """Return what config.json holds: settings, what was derived from them, versions, data."""
    films, device = prepared.films, prepared.device
    return {
        "plainfilm": version("plainfilm"),
        "data": prepared.data,
        "folder": str(Path.cwd()),
        "data_hash": films.data_hash,
        "synthetic": films.synthetic,
        "protocol": films.protocol,
        "divided": dict(zip(("split", "seed"), films.divided, strict=True)) if films.divided else None,
        "crossing": {**crossing(films), "pictures": _pictures_crossing(prepared)},
        "films": {part: int(films.where(part).size) for part in ("train", "val", "test")},
        "classes": films.counts,
        "settings": asdict(prepared.config),
        "members": prepared.members,
        "preprocess": prepared.preprocess.as_dict(),
        "class_weights": class_weights(prepared.config.class_weights, films.weighed),
        "seed": prepared.config.seed,
        "precision": prepared.precision.as_dict(),
        "device": str(device) if device.type == "cpu" else torch.cuda.get_device_name(device),
        "threads": torch.get_num_threads(),
        "processes": ranks.world(),
        "job": ranks.job(),
        "command": shlex.join(sys.argv[1:]),
        "versions": {name: version(name) for name in ("torch", "numpy", "pillow", "scikit-learn", "h5py")},
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def _pictures_crossing(prepared: Prepared) -> int:
    """Return how many films look to the network exactly like one in another part that is no copy to the byte."""
    films = prepared.films.films
    looks = [
        hashlib.blake2b(prepared.pixels[i : i + 1].tobytes(), digest_size=16).hexdigest() for i in range(len(films))
    ]
    alike = defaultdict(list)
    times = Counter(looks)
    for film, look in zip(films, looks, strict=True):
        if times[look] > 1:
            alike[look].append(film)
    apart = [group for group in alike.values() if len({f.part for f in group}) > 1 < len({f.sha256 for f in group})]
    return sum(map(len, apart))


def run(prepared: Prepared, out: Path, resume: bool = False, probes: bool = True) -> dict[str, Any]:  # noqa: PLR0915 - a training from its first file to its last
    """Train the prepared model into the run folder ``out``, whole: model, predictions, scores, figures, report.

    Returns what metrics.json holds. With ``resume`` a run that was begun is continued where it stopped. ``probes``:
    look at subgroups as well and, if the network is a small one, probe it; for others that is asked for: ``evaluate RUN
    --probes``.
    """
    prepared = replace(prepared, precision=_begun_precision(out) or prepared.precision) if resume else prepared
    say(f"{prepared.config.model} in {out}: {_derived(prepared)}")
    with run_folder(out, describe(prepared), prepared.films, resume):
        if not ranks.agreed(resume and (out / folders.MODEL).exists()):
            model, facts = fit(prepared, out, resume)
            with ranks.together():
                if not ranks.rank():
                    write_json(out / folders.DESCRIPTION, {**_about(prepared, model), **facts})
                    model.save(out / folders.MODEL)
        # from here on the file is what counts
        model = Model.load(out / folders.MODEL, str(prepared.precision.passes))
        model.network.to(prepared.device)
        _set_bias(model, model.provenance.pop("uncalibrated", None))  # where an interrupted end had moved it
        logits = all_logits(prepared, model)
        ranks.part()
        if ranks.rank():
            return {}
        (out / folders.CHECKPOINT).unlink(missing_ok=True)
        logits = calibrate(prepared, model, logits)
        operating = choose_operating(prepared, model, logits)
        model.gate = learn_gate(prepared)
        write_json(
            out / folders.DESCRIPTION,
            {**read_json(out / folders.DESCRIPTION), **operating.operating, "offsets": _offsets(model)},
        )
        said = _said(prepared, model, logits)
        before = out / folders.PREDICTIONS
        scored = sha256_file(before) if before.exists() and (out / folders.METRICS).exists() else ""
        write_predictions(out / folders.PREDICTIONS, replace(said, patients=np.array(said.paths)))  # films.csv has them
        metrics = evaluate_run(out, changed=scored not in ("", sha256_file(before)))
        model.save(out / folders.MODEL)
        draw_montage(prepared.films, prepared.pixels, model, prepared.config.seed, out)
        draw_mistakes(prepared.films, out)
        if probes:
            look_closer(prepared, model, out)
        model.verdict = {**verdict(out), "prior": prior(prepared, model), "red_lines": red_lines([read_run(out)])}
        model.save(out / folders.MODEL)
        run_report(out)
    return metrics


def _begun_precision(out: Path) -> Precision | None:
    """Return the bits that a run in ``out`` was begun with; None where there is none, or it says nothing."""
    begun = read_json(out / folders.CONFIG) if (out / folders.CONFIG).exists() else {}
    return Precision.from_dict(begun["precision"]) if begun.get("precision") else None


def _derived(prepared: Prepared) -> str:
    """What was derived rather than set, with its reason, in one line."""
    films, config = prepared.films, prepared.config
    parts = ", ".join(f"{films.where(p).size} {p}" for p in ("train", "val", "test") if films.where(p).size)
    weights = class_weights(config.class_weights, films.weighed)
    shown = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
    crossed = crossing(films)
    apart = f"{films.protocol}; in two parts {crossed['patients']} patients, {crossed['contents']} copies"
    rule = f"decay {config.decay}: {DESCRIPTIONS[config.decay]}; class weights {shown}; "
    if not prepared.recipe.trained.by_steps:
        unused = changed(config, OF_STEPS)
        rule = f"no use for {', '.join(unused)}, since nothing is trained by steps; " if unused else ""
    positive = films.classes[positive_class(films.classes, config.positive or None)]
    guessed = " (a guess; --positive NAME names another)" * (not config.positive and positive_is_a_guess(films.classes))
    return (
        f"{parts} films ({apart}); positive class {positive}{guessed}; "
        f"{rule}{prepared.device}, {torch.get_num_threads()} threads; {prepared.precision.sentence}"
    )


def _about(prepared: Prepared, model: Model) -> dict[str, Any]:
    """What a report says of the model itself, so that drawing it needs neither the network nor torch."""
    p = prepared.preprocess
    shape = (p.channels, p.size, p.size)
    return {
        "model": model.name,
        "title": prepared.recipe.title,
        "parameters": parameters(model.network),
        "flops": flops(model.network, shape),
        "input": shape,
        "layers": [asdict(layer) for layer in layers(model.network, shape)],
        "positive": model.decision.positive,
        "threshold": model.threshold,
        "temperature": model.decision.temperature,
        "search": None,
        "weights": None,
    }


def all_logits(prepared: Prepared, model: Model) -> torch.Tensor:
    """Return (N, K) logits of every film, whatever its part, by the finished model; ranks take batches by turns."""
    logits, films = logits_of(prepared, model), len(prepared.films)
    found = torch.zeros(films, len(model.classes))
    size = BATCH if prepared.members else PREDICT_BATCH  # an ensemble may hold any network, whatever its size
    mine = ranks.turns(-(-films // size))
    with bar("Labelling films", len(mine)) as progress:
        for number in mine:
            batch = slice(number * size, (number + 1) * size)
            found[batch] = logits(batch).cpu()
            progress.step()
    return ranks.total(found)


def _said(prepared: Prepared, model: Model, logits: torch.Tensor) -> Predictions:
    return Predictions.of(prepared.films.films, model.from_logits(logits), model.decision)


def calibrate(prepared: Prepared, model: Model, logits: torch.Tensor) -> torch.Tensor:
    """Move the last layer's biases by what the validation films ask for, and return the (N, K) logits moved alike.

    Only for networks that steps have trained (class weights, label smoothing), of two classes, whose threshold moves
    along: among more the likeliest decides, and offsets would take back what class weights gave the rare ones. Not
    where validation films are those that are scored. The biases as trained stay in the provenance.
    """
    films = prepared.films
    if not prepared.recipe.trained.by_steps or len(films.classes) > 2 or not films.where("test").size:
        return logits
    model.decision = replace(model.decision, temperature=1.0)
    offsets = fit_offsets(_said(prepared, model, logits).part("val")).astype(np.float32)
    trained = _last_layer(model).bias.tolist()
    model.provenance["uncalibrated"] = trained
    _set_bias(model, (np.array(trained, dtype=np.float32) + offsets).tolist())
    return logits + torch.from_numpy(offsets)


def _offsets(model: Model) -> list[float] | None:
    """Return what ``calibrate`` added to each class's logit; None where it did not."""
    trained = model.provenance.get("uncalibrated")
    return None if trained is None else (_last_layer(model).bias.detach().cpu().numpy() - np.array(trained)).tolist()


def _last_layer(model: Model) -> torch.nn.Linear:
    last = model.network.head[-1]  # type: ignore[index,union-attr]
    assert isinstance(last, torch.nn.Linear)
    return last


@torch.no_grad()
def _set_bias(model: Model, values: list[float] | None) -> None:
    if values is not None:
        bias = _last_layer(model).bias
        bias.copy_(torch.tensor(values, dtype=bias.dtype))


def choose_operating(prepared: Prepared, model: Model, logits: torch.Tensor) -> Decision:
    """Give ``model`` its temperature, threshold and refer band from its validation films, and return them."""
    films, config = prepared.films, prepared.config
    model.decision = replace(model.decision, temperature=1.0)
    val = _said(prepared, model, logits).part("val")
    scored_there = not films.where("test").size
    model.decision = choose(val, config.threshold, config.refer, not scored_there)
    return model.decision


def learn_gate(prepared: Prepared) -> Gate:
    """Return the gate that knows how the training films look."""
    films = prepared.films
    train = films.where("train")
    groups = np.array([films.films[i].group for i in train])
    labels = np.array([films.classes.index(films.films[i].label) for i in train])
    return fit_gate(prepared.pixels, train, np.random.default_rng(prepared.config.seed), groups, labels)


def prior(prepared: Prepared, model: Model) -> float:
    """Return the share of the positive class that the probabilities are for: that among the training films, by class
    weight where the weights were not calibrated away; of an ensemble its members' mean."""
    if prepared.members:
        return float(np.mean([member["prior"] for member in model.provenance["members"]]))
    films = prepared.films
    weighed = np.bincount(films.labels[films.where("train")], minlength=len(films.classes)).astype(np.float64)
    if (
        prepared.recipe.trained.by_steps and "uncalibrated" not in model.provenance
    ):  # a logistic regression has no weights
        weights = class_weights(prepared.config.class_weights, films.weighed)
        weighed *= [weights[name] for name in films.classes]
    return float(weighed[model.decision.column] / weighed.sum())


def look_closer(prepared: Prepared, model: Model, out: Path) -> None:
    """Probe the run, or look at its subgroups alone where the network is a large one; films that have vanished
    meanwhile cost it its probes, not its training."""
    if read_json(out / folders.DESCRIPTION)["flops"] >= LIGHT:
        films = prepared.films
        greys = {film.path: float(prepared.pixels[i : i + 1].mean()) for i, film in enumerate(films)}
        look_at_subgroups(out, model, greys, prepared.config.seed)
        return
    try:
        probe(out, seed=prepared.config.seed, source=prepared.films)
    except (FilmError, InputError) as error:
        say(f"The probes are left out: {error} Later: plainfilm evaluate {out} --probes")


# -- several times


def train_folds(data: str, out: Path, settings: dict[str, Any], count: int, resume: bool = False) -> dict[str, Any]:
    """Train and test on each of ``count`` folds in OUT/fold-0 …; pool the out-of-fold predictions in ``out``.

    ``settings["split"]`` "grouped" keeps patients together, "paper" divides by film. Returns what folds.json holds.
    """
    config = TrainConfig(**settings)
    _refuse_ensemble(config, "--folds")
    films = load(data, **config.reading)
    folds(films, count, config.split, config.seed)  # too few films or patients shows here, before hours of decoding
    prepared = prepare(films, [config], data)[0]
    parted = folds(prepared.films, count, config.split, config.seed)
    jobs = {f"fold-{k}": replace(prepared, films=fold) for k, fold in enumerate(parted)}
    _run_all(jobs, out, resume)
    return evaluate_runs(out, "folds", list(jobs), parted[0].protocol, config.seed)


def train_sites(data: str, out: Path, settings: dict[str, Any], column: str, resume: bool = False) -> dict[str, Any]:
    """Train with one site left out at a time and test on it, in OUT/fold-0 …, and on random folds of the same films, in
    OUT/random; return what folds.json holds, with the gap between the two.

    column: of the table of ``data``; its values are the sites. See ``data.split.leave_out``.
    """
    config = TrainConfig(**settings)
    _refuse_ensemble(config, "--folds")
    if config.split != "grouped":
        raise InputError(f"--folds {column} keeps patients together; leave --split {config.split} out.")
    films = load(data, **config.reading)
    leave_out(films, column, config.seed)  # what stands against it shows before hours of decoding
    prepared = prepare(films, [config], data)[0]
    left = leave_out(prepared.films, column, config.seed)
    tested = prepared.films.where_in(column, [site.site for site in left])
    random = folds(prepared.films.at(tested), min(len(left), MOST_RANDOM), "grouped", config.seed)
    jobs = {f"fold-{k}": _some(prepared, site.films, site.places) for k, site in enumerate(left)}
    _run_all(jobs, out, resume)
    beside = {f"fold-{k}": _some(prepared, fold, tested) for k, fold in enumerate(random)}
    _run_all(beside, out / RANDOM, resume)
    evaluate_runs(out / RANDOM, "folds", list(beside), random[0].protocol, config.seed)
    about = {"column": column, "sites": [site.site for site in left], "random": RANDOM}
    return evaluate_runs(out, "folds", list(jobs), f"one {column} left out at a time", config.seed, about)


def _some(prepared: Prepared, films: Films, places: np.ndarray) -> Prepared:
    """Return ``prepared`` with ``films``, which are those at ``places`` of its own with other parts."""
    pixels = prepared.pixels
    return replace(prepared, films=films, pixels=Rows(pixels.data, pixels.order[places], pixels.about))


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
    films = load(data, **first.reading) if isinstance(data, str) else data
    name = data if isinstance(data, str) else films.name
    jobs = {f"seed-{config.seed}": prepare(films, [config], name)[0] for config in configs}
    _run_all(jobs, out, resume)
    return evaluate_runs(out, "seeds", list(jobs), next(iter(jobs.values())).films.protocol, first.seed)


def _refuse_ensemble(config: TrainConfig, option: str) -> None:
    if config.model.startswith(ENSEMBLE):
        raise InputError(f"{option}: an ensemble's members are of one split; repeat its members, and join each set.")


def _run_all(jobs: dict[str, Prepared], out: Path, resume: bool) -> None:
    folders.require_free(out, folders.REPETITION, resume=resume)
    with locked(out):
        for name, prepared in jobs.items():
            if all((out / name / last).exists() for last in (folders.REPORT, SUMS)):
                require_same(prepared, out / name)
            else:
                run(prepared, out / name, resume, probes=False)
