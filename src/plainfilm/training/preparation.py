"""Everything that can be checked before a run folder is made: films readable, split, decoded once for every model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from plainfilm.catalogue import Trained
from plainfilm.config import OF_ENSEMBLES, TrainConfig, number_list
from plainfilm.data.films import Films, read_films
from plainfilm.data.findings import answerable
from plainfilm.data.sources import load, unlabelled
from plainfilm.data.split import require_sources, split, used
from plainfilm.errors import InputError, PlainfilmError
from plainfilm.evaluation import operating
from plainfilm.evaluation.decision import positive_class
from plainfilm.image.augment import Augment
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import Rows, ingest
from plainfilm.machine import ranks
from plainfilm.models.ensemble import Joined, named
from plainfilm.models.precision import SINGLE, Precision, decide
from plainfilm.models.pretrained import pretrained
from plainfilm.models.weights import Weights
from plainfilm.models.zoo import Recipe
from plainfilm.progress import say
from plainfilm.storage import folders
from plainfilm.training.loop import batches, class_weights
from plainfilm.training.task import Findings, finding_weights

if TYPE_CHECKING:
    from plainfilm.models.backbone import Backbone


@dataclass(frozen=True)
class Prepared:
    """Films that can be read, split, with their stored pixels for one model."""

    films: Films
    pixels: Rows
    recipe: Recipe | Joined
    preprocess: Preprocess
    config: TrainConfig
    device: torch.device
    weights: Weights | None  # pretrained, where the model starts from some
    data: str  # as the user named it
    precision: Precision = SINGLE
    probed: int = 0  # passes of films through a light network that follow the training: they count in its estimate
    elsewhere: Rows | None = None  # films without labels that lend their style to those that train

    @property
    def members(self) -> dict[str, str]:
        """Of joined runs: each run folder with the SHA-256 of its model.h5."""
        return self.recipe.members if isinstance(self.recipe, Joined) else {}

    @property
    def architecture(self) -> Recipe:
        """What is built and trained; a bug where runs are joined, of which nothing is."""
        assert isinstance(self.recipe, Recipe)
        return self.recipe

    @cached_property
    def class_weights(self) -> dict[str, float]:
        """Each class's weight in the loss; of findings the weight of each one's positive cells."""
        films = self.films
        if films.findings:
            return finding_weights(self.config.class_weights, films.truth[films.where("train")], films.findings)
        return class_weights(self.config.class_weights, self.drawn if self.config.sample_by else films.weighed)

    @property
    def drawn(self) -> dict[str, float]:
        """How many films of each class an epoch draws: those that train or, with ``sample_by``, each of its groups
        alike."""
        films, train = self.films, self.films.where("train")
        each = np.ones(len(train))
        if self.config.sample_by and self.recipe.trained.by_steps:
            groups = films.drawn_alike(self.config.sample_by)[train]
            _, whose, sizes = np.unique(groups, return_inverse=True, return_counts=True)
            each = len(train) / (len(sizes) * sizes[whose])
        counts = np.bincount(films.labels[train], each, len(films.classes))
        return {name: float(count.round(6)) for name, count in zip(films.classes, counts, strict=True)}

    @property
    def findings(self) -> Findings | None:
        """The task where films have findings; None where they have classes."""
        films = self.films
        if not films.findings:
            return None
        weights = torch.tensor([self.class_weights[name] for name in films.findings])
        return Findings(weights, float((films.truth[films.where("train")] >= 0).sum(1).mean()))

    def at(self, films: Films, places: np.ndarray) -> Prepared:
        """Return the same with ``films`` alone, which are those at ``places`` of its own, with any parts."""
        pixels = self.pixels
        return replace(self, films=films, pixels=Rows(pixels.data, pixels.order[places], pixels.about))

    def __post_init__(self) -> None:
        if len(self.films) != len(self.pixels):  # every row would be another film's
            raise PlainfilmError(f"{len(self.pixels)} rows of pixels for {len(self.films)} films: this is a bug.")


def films_to_train(data: str | Films, config: TrainConfig) -> Films:
    """Return the films of a source, read as the settings say, or those given, with the findings that can be learnt."""
    return answerable(load(data, **config.reading) if isinstance(data, str) else data, config.findings)


def prepare(films: Films, configs: Sequence[TrainConfig], data: str) -> list[Prepared]:
    """Check everything that can be checked before a folder is made; decode each film once for all ``configs``.

    The configs differ in the model only; films that have been split already keep their parts. Torch's threads are set
    as ``threads`` says. InputError says what is wrong with films or settings.
    """
    first = configs[0]
    with ranks.together():
        recipes = [named(config.model) for config in configs]
        preprocesses = _fitting(recipes, configs, len(films.findings or films.classes))
        _check_settings(films, first)
        device = _device(first)
        torch.set_num_threads(first.threads or ranks.cores())
    weights = _weights(recipes, first.weights)
    if films.divided:
        configs = [replace(config, split=films.divided[0]) for config in configs]
    films = films if films.protocol else used(films, first.split)
    for note in films.notes:
        say(note)
    with ranks.together():
        if not films.protocol:  # too few films or patients shows here, before hours of decoding
            split(films, first.split, first.seed, contents=False)
    films, rows = ingest(films, preprocesses, first.max_bad)
    films = films if films.protocol else split(films, first.split, first.seed)
    borrowed = _elsewhere(first, films, preprocesses)
    with ranks.together():
        for run in [run for r in recipes if isinstance(r, Joined) for run in r.members]:
            _check_member(films, Path(run))
    configs = [lengthened(config, films.where("train").size) for config in configs]
    return [
        Prepared(
            films,
            pixels,
            r,
            p,
            config,
            device,
            weights.get(r.pretrained),
            data,
            _precision(r, p, config, device),
            elsewhere=other,
        )
        for config, r, p, pixels, other in zip(configs, recipes, preprocesses, rows, borrowed, strict=True)
    ]


def lengthened(config: TrainConfig, films: int) -> TrainConfig:
    """Return the settings with as many epochs of ``films`` training films as make ``fewest_steps`` steps, and no fewer
    than they had; says so where they grow."""
    steps = max(1, len(batches(films, config.batch)))  # an epoch
    epochs = -(-config.fewest_steps // steps)
    if epochs <= config.epochs:
        return config
    say(
        f"{epochs} epochs instead of {config.epochs}, since {films:,} films are few: {config.model} makes at least "
        f"{config.fewest_steps} steps. Another --epochs N holds as given."
    )
    return replace(config, epochs=epochs)


def _fitting(recipes: Sequence[Recipe | Joined], configs: Sequence[TrainConfig], outputs: int) -> list[Preprocess]:
    """Return how films become each model's input; InputError for settings or a size that a model can't take."""
    for chosen, config in zip(recipes, configs, strict=True):
        _check_model(chosen, config)
    found = [chosen.preprocess_for(config) for chosen, config in zip(recipes, configs, strict=True)]
    for chosen, preprocess in zip(recipes, found, strict=True):
        if isinstance(chosen, Recipe):
            with torch.device("meta"):  # shapes only
                chosen.build(outputs, preprocess)
    return found


def _check_settings(films: Films, config: TrainConfig) -> None:
    """InputError for settings that can't be read, or that mean nothing for these films."""
    Augment.parse(config.augment)
    number_list("regularisation", config.regularisation)
    operating.check(config.threshold, config.refer, films.classes if not films.findings else ("no", "yes"))
    if films.findings:
        finding_weights(config.class_weights, films.truth, films.findings)
    else:
        positive_class(films.classes, config.positive or None)
        class_weights(config.class_weights, films.counts)
    if config.sample_by:
        films.drawn_alike(config.sample_by)
    if config.choose_by and config.split == "paper":
        raise InputError(f"--choose-by {config.choose_by} keeps patients together; leave --split paper out.")
    if config.choose_by:
        require_sources(films, config.choose_by)


def _weights(recipes: Sequence[Recipe | Joined], given: str) -> dict[str, Weights]:
    """Return the pretrained weights that some of the models start from, by name; ``given``: a file of them."""
    names, found = sorted({chosen.pretrained for chosen in recipes if chosen.pretrained}), dict[str, Weights]()
    for leads in (True, False):  # rank 0 may have to fetch what the others then find
        with ranks.together():
            if leads == (ranks.rank() == 0):
                found = {name: pretrained(name).load(given or None) for name in names}
    return found


def _elsewhere(config: TrainConfig, films: Films, preprocesses: Sequence[Preprocess]) -> list[Rows | None]:
    """Return the pixels of the films without labels that ``unlabelled`` names, for each preprocessing; None where none
    are named. Says how many of them are films of DATA too: their labels are not used."""
    if not config.unlabelled:
        return [None] * len(preprocesses)
    others, rows = ingest(unlabelled(config.unlabelled), preprocesses, config.max_bad)
    known = {film.sha256 for film in films}
    own = sum(film.sha256 in known for film in others)
    shared = f"; {own} of them are films of DATA too" if own else ""
    say(f"{len(others):,} films of {config.unlabelled} lend their style, without labels{shared}.")
    return list(rows)


def _precision(chosen: Recipe | Joined, preprocess: Preprocess, config: TrainConfig, device: torch.device) -> Precision:
    """Return the bits that the model computes with, as the first rank decides it: a trial may end otherwise on each."""

    def build() -> Backbone:
        assert isinstance(chosen, Recipe)
        return chosen.build(2, preprocess).to(memory_format=torch.channels_last)

    found = None
    with ranks.together():
        if not ranks.rank():
            shape = preprocess.channels, preprocess.size, preprocess.size
            network = build if isinstance(chosen, Recipe) else None
            found = decide(config.precision, device, network, shape, chosen.trained is Trained.WHOLE).as_dict()
    return Precision.from_dict(ranks.gathered(found)[0])


def _check_model(chosen: Recipe | Joined, config: TrainConfig) -> None:
    """InputError for settings that mean nothing to the model, or that it can't do."""
    trained = chosen.trained
    if isinstance(chosen, Joined):
        if own := changed(config, [f.name for f in fields(config) if f.name not in OF_ENSEMBLES]):
            raise InputError(f"{own[0]}: an ensemble is made of trained runs, which have their own; leave it out.")
        return
    if chosen.pretrained and changed(config, ["channels"]):
        wanted = chosen.preprocess.channels
        raise InputError(
            f"channels={config.channels}: {config.model} starts from weights for {wanted} channels; leave it out."
        )
    if config.views > 1:
        raise InputError(f"views={config.views} goes with --model ensemble:RUN; train {config.model} first.")
    _check_augment(config, trained)


def _check_augment(config: TrainConfig, trained: Trained) -> None:
    """InputError for changes of films that the model can't be trained on."""
    augment = Augment.parse(config.augment)
    if config.unlabelled and (not augment.style or not trained.by_steps or config.copies):
        raise InputError(
            f"unlabelled={config.unlabelled}: films without labels lend their style to films that change every epoch; "
            "give --augment style=1 with a model that is trained by steps, such as --model best."
        )
    if trained.by_steps and trained.on_features and augment != Augment() and not config.copies:
        raise InputError(f"{config.model} trains on stored features; give --set copies=3 along with --augment.")
    if config.copies and not trained.behind_frozen:
        raise InputError(
            f"copies={config.copies} is for layers behind frozen ones, and {config.model} trains every layer."
        )
    if config.copies and (augment == Augment() or augment.style):
        raise InputError(
            f"copies={config.copies} needs an --augment without `style`, which mixes the films of a batch."
        )


def changed(config: TrainConfig, names: Sequence[str]) -> list[str]:
    """Return which of ``names`` are set otherwise than the model has them."""
    own = TrainConfig(model=config.model)
    return [name for name in names if getattr(config, name) != getattr(own, name)]


def _check_member(films: Films, run: Path) -> None:
    """InputError when a run knows the films by other classes, or has them in other parts: it may have learned from what
    tests it now."""
    if not (run / folders.FILMS).is_file():
        raise InputError(f"{run} is no run folder; an ensemble is made of whole ones, which know their films.")
    theirs, ours = defaultdict(list), defaultdict(list)
    for row in read_films(run / folders.FILMS):
        theirs[row["sha256"]].append((row["part"], row["label"]))
    for film in films:
        ours[film.sha256].append((film.part, film.label))
    other = [film for film in films if sorted(theirs[film.sha256]) != sorted(ours[film.sha256])]
    if other:
        raise InputError(
            f"{run} was trained on other films, classes or another split: {len(other)} of {len(films)} films are not in"
            f" the same part there, such as {other[0].path}; train the members with the same films, --split and --seed."
        )


def _device(config: TrainConfig) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: there is no CUDA device that torch can use; leave it out for the CPU.")
    return torch.device("cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu")
