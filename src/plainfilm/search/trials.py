"""Training and validation films as a search sees them, and what one trial on them comes to."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.catalogue import row
from plainfilm.config import TrainConfig, number_list
from plainfilm.data.films import Films
from plainfilm.data.split import Source, require_sources, sources
from plainfilm.errors import InputError, PlainfilmError
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.findings import FindingsDecision
from plainfilm.evaluation.intervals import Floats
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.summary import flops
from plainfilm.models.zoo import recipe
from plainfilm.progress import quiet
from plainfilm.search import objectives
from plainfilm.search.heads import coordinates
from plainfilm.search.journal import Trial
from plainfilm.search.run import Hopeless
from plainfilm.search.space import settings_of
from plainfilm.search.trying import Fitted, fit_head, fit_heads, table, train_epochs
from plainfilm.training.fitting import left_in_turn, material_of, stages, start_network
from plainfilm.training.loop import class_weights
from plainfilm.training.preparation import Prepared, films_to_train, prepare
from plainfilm.training.task import finding_weights


@dataclass
class Bench:
    """Training and validation films, ready for any settings; it never holds a film of the test part."""

    data: str
    out: Path
    config: TrainConfig
    objectives: tuple[str, ...]
    films: Films  # as loaded, before they are split
    counts: dict[str, int]  # films a class, as `train` counts them for balanced weights
    ready: dict[Preprocess, Prepared] = field(default_factory=dict)
    heads: dict[tuple[Preprocess, str, bytes], Floats] = field(default_factory=dict)

    @staticmethod
    def open(data: str, out: Path, config: TrainConfig, names: tuple[str, ...]) -> Bench:
        """Load, split and decode; InputError where films or settings are at fault."""
        films = films_to_train(data, config)
        first = prepare(films, [config], data)[0]
        worst = [name for name in names if name.startswith(objectives.LOWEST)]
        if worst and not films.findings and not config.choose_by:
            raise InputError(
                f"--objective {worst[0]} is for several findings, and {films.name} has one class per film; or name a "
                "column whose worst value counts with --choose-by."
            )
        bench = Bench(data, out, config, names, films, first.films.weighed)
        bench.ready[first.preprocess] = seen = without_test(first)
        if config.choose_by:
            require_sources(seen.films, config.choose_by)
        return bench

    @property
    def first(self) -> Prepared:
        """The films prepared for the settings as given."""
        return next(iter(self.ready.values()))

    @property
    def decision(self) -> Decision | FindingsDecision:
        """The rule before anything was chosen: of the films' classes, or of their findings."""
        films = self.first.films
        if films.findings:
            return FindingsDecision.of_names(films.findings)
        return Decision.of(films.classes, self.config.positive or None)

    @property
    def positive(self) -> tuple[str, ...]:
        """The positive class, or all findings."""
        return self.first.films.findings or (self.decision.positive,)

    @property
    def about(self) -> dict[str, Any]:
        """What search.json says of the films."""
        films, tests = self.first.films, self.tests(self.first)
        column, judged = self.config.choose_by, sum(test.films.where("val").size for test in tests)
        return {
            "data": self.data,
            "data_hash": films.data_hash,
            "synthetic": films.synthetic,
            "protocol": f"one {column} left out at a time; {films.protocol}" if column else films.protocol,
            "films": {"train": len(films) if column else int(films.where("train").size), "val": int(judged)},
            "positive": ", ".join(self.positive),
        }

    def prepared(self, config: TrainConfig) -> Prepared:
        """Return the films decoded as ``config`` wants them."""
        preprocess = recipe(config.model).preprocess_for(config)
        if preprocess not in self.ready:
            self.ready[preprocess] = without_test(prepare(self.films, [config], self.data)[0])
        return replace(self.ready[preprocess], config=config)

    @property
    def judged(self) -> str:
        """Which films judge a trial, in words."""
        films, column = self.about["films"]["val"], self.config.choose_by
        return f"{films} films, one {column} left out at a time" if column else f"{films} validation films"

    def tests(self, prepared: Prepared) -> list[Prepared]:
        """Return the films as they train and validate: as they were split or, where a column names sources, once for
        each of them with its films to validate and the others to train."""
        column, films = self.config.choose_by, prepared.films
        return [self._without(prepared, each) for each in sources(films, column)] if column else [prepared]

    def _without(self, prepared: Prepared, source: Source) -> Prepared:
        places = np.flatnonzero(source.held | source.taken)
        parts = np.where(source.held, "val", "train")[places].tolist()
        some = prepared.films.at(places)
        return prepared.at(some.with_parts(parts, some.protocol, some.divided), places)

    def settings(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return all settings of a trial with ``values``."""
        balanced = self._weights(self.first, "balanced")
        return settings_of(values, asdict(self.config), balanced, self.positive) | {"patience": 0}

    def _weights(self, prepared: Prepared, setting: str) -> dict[str, float]:
        """Return each class's weight, or that of each finding's positive cells."""
        films = prepared.films
        if films.findings:
            return finding_weights(setting, films.truth[films.where("train")], films.findings)
        if prepared.config.choose_by or prepared.config.sample_by:  # another source is left out each time
            return class_weights(setting, prepared.drawn)
        return class_weights(setting, self.counts)  # of all films: the test part is not here any more

    def __call__(self, number: int, point: list[float], values: dict[str, Any], hopeless: Hopeless) -> Trial:
        """Fit and judge one trial; what can't be fitted is a failed trial with its reason."""
        began = time.perf_counter()
        with _hushed():
            try:
                config = TrainConfig(**self.settings(values))
                return self._tried(number, point, values, config, hopeless)
            except InputError:  # films or settings are at fault, which no other trial would mend
                raise
            except PlainfilmError as error:
                seconds = time.perf_counter() - began
                return Trial(number, point, values, {}, seconds, price_of(self.config), "failed", reason=str(error))

    def _tried(
        self, number: int, point: list[float], values: dict[str, Any], config: TrainConfig, hopeless: Hopeless
    ) -> Trial:
        prepared, folder, first = self.prepared(config), self.out / "trials" / f"{number:04d}", self.objectives[0]
        tests = self.tests(prepared)
        if config.choose_by:  # no source alone says that a trial is hopeless
            each = [self._fitted(test, folder / str(k), lambda _: False) for k, test in enumerate(tests)]
        else:
            each = [self._fitted(prepared, folder, hopeless)]
        shutil.rmtree(folder, ignore_errors=True)
        curve = [objectives.over(values, first) for values in zip(*(fitted.curve for fitted in each), strict=True)]
        judged = [
            table(test.films, test.films.where("val"), fitted.probabilities, self.decision)
            for test, fitted in zip(tests, each, strict=True)
        ]
        scores, seconds = objectives.judged_over(judged, self.objectives), sum(fitted.seconds for fitted in each)
        _, low, high = objectives.interval_over(judged, first, config.seed)
        scores |= {"seconds": seconds} if "seconds" in self.objectives else {}
        scores |= {"flops": _flops(prepared)} if "flops" in self.objectives else {}
        for name, value in scores.items():
            if np.isnan(value):
                raise PlainfilmError(f"its {name} is not defined: no film was given the class that it counts")
        state, spent = "pruned" if any(fitted.pruned for fitted in each) else "done", len(curve) or 1
        bounds = None if np.isnan(low) else (low, high)
        return Trial(number, point, values, scores, seconds, spent, state, curve, bounds)

    def _fitted(self, prepared: Prepared, folder: Path, hopeless: Hopeless) -> Fitted:
        return self._steps(prepared, folder, hopeless) if by_epochs(prepared.config) else self._head(prepared)

    def _steps(self, prepared: Prepared, folder: Path, hopeless: Hopeless) -> Fitted:
        films, config = prepared.films, prepared.config
        val = films.where("val")
        network, _ = start_network(prepared)
        weights = self._weights(prepared, config.class_weights)
        material, inputs, trained, _ = material_of(prepared, network, weights)

        def score(probabilities: Floats) -> float:
            first = self.objectives[:1]
            return objectives.judged_over([table(films, val, probabilities, self.decision)], first)[first[0]]

        return train_epochs(trained, inputs, material, config, folder, score, hopeless, prepared.precision.training)

    def _head(self, prepared: Prepared) -> Fitted:
        films, config = prepared.films, prepared.config
        train, val = films.where("train"), films.where("val")
        key = (prepared.preprocess, config.features, train.tobytes())
        if key not in self.heads:
            network, _ = start_network(prepared)
            features, *_ = stages(prepared, network)
            self.heads[key] = coordinates(features, train, config.features == "standardised")
        by_film = config.split == "paper"  # the folds inside the training part follow the protocol of the split
        groups = np.array([film.path if by_film else film.group for film in films])
        strengths = number_list("regularisation", config.regularisation)

        def left(chosen: np.ndarray, labels: np.ndarray) -> list[Source]:
            return left_in_turn(films.at(chosen), config.choose_by, labels)

        folds = (groups, strengths, config.cv_folds, config.seed, left)
        if films.findings:
            return fit_heads(self.heads[key], films.truth, train, val, *folds)
        return fit_head(self.heads[key], films.labels, train, val, *folds)


def by_epochs(config: TrainConfig) -> bool:
    """Return whether weights are trained by epochs; else a head is fitted."""
    return row(config.model).trained.by_steps


def price_of(config: TrainConfig) -> int:
    """Return what a trial that is not stopped costs, in epochs or fits."""
    return config.epochs if by_epochs(config) else 1


def _flops(prepared: Prepared) -> float:
    preprocess = prepared.preprocess
    network = prepared.architecture.build(len(prepared.films.findings or prepared.films.classes), preprocess)
    return float(flops(network, (preprocess.channels, preprocess.size, preprocess.size)))


def without_test(prepared: Prepared) -> Prepared:
    """Return ``prepared`` without the films of the test part: what is not here can't be looked at."""
    seen = prepared.films.where("train", "val")
    return prepared.at(prepared.films.at(seen), seen)


@contextmanager
def _hushed() -> Iterator[None]:
    """Bars and remarks of a single trial would hide the search's own."""
    told = quiet.set(True)
    try:
        yield
    finally:
        quiet.reset(told)
