"""Films in, each with its heat map out, or the reason why there is none; and what the maps of all films withstood."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from plainfilm.data.dicom import patient_of
from plainfilm.data.films import FilmError
from plainfilm.data.identity import find_patient, known_patterns
from plainfilm.data.sources import Loose
from plainfilm.errors import InputError, did_you_mean
from plainfilm.evaluation.findings import FindingsDecision
from plainfilm.explain.checks import check_films, outside_thorax, summary
from plainfilm.explain.heatmaps import FILMS_AT_ONCE, Map, heat_map, method_for, on_film, seen
from plainfilm.explain.overlay import reduced
from plainfilm.image.decode import decoded
from plainfilm.models.reads import Reads, batches
from plainfilm.progress import bar

LONGEST = 640  # pixels of a film's longer side in a picture
ALL = "all"
CHECKED = 24  # films that the slow checks look at unless told otherwise


@dataclass(frozen=True)
class Explained:
    """One film with its map. ``shown`` is the film as drawn, ``heat`` the map over it."""

    path: str
    said: str
    explained: str
    p: float  # of the class explained
    told: str  # the same as text
    shown: np.ndarray  # (H, W) uint8
    heat: Map  # (H, W)
    part: tuple[float, float, float, float]  # left, top, width, height of what the model saw, in shares of the film
    outside: tuple[float, float]
    unusual: str = ""  # why it looks unlike the training films
    whose: str = ""  # class or finding whose probability decided
    weighed: str = ""  # that probability beside its threshold, such as "0.167 < 0.180"
    refers: bool = False  # whether the band sends it to a reader

    @property
    def decided(self) -> str:
        """What decided, in one line; the class's own probability where no threshold is known."""
        return f"{self.whose} {self.weighed}" if self.weighed else self.told


class _Mapped(NamedTuple):
    """A film as the network sees it, the class explained, and its map."""

    pixels: np.ndarray  # (S, S) uint8
    p: np.ndarray  # (K,)
    target: int
    heat: Map


def _named(classes: tuple[str, ...], explained: str) -> tuple[int, ...]:
    """Return the places of the classes in "NAME", "NAME,NAME" or "all"; InputError for one that the model lacks."""
    if explained == ALL and ALL not in classes:
        return tuple(range(len(classes)))
    whole = [explained] if explained in classes else explained.split(",")
    names = [name.strip() for name in whole if name.strip()]
    if wrong := [name for name in names if name not in classes]:
        raise InputError(f"The model has no class '{wrong[0]}'.{did_you_mean(wrong[0], classes)}")
    return tuple(dict.fromkeys(map(classes.index, names)))


@dataclass
class Explainer:
    """Explains films one after the other; keeps figures of all of them, and pixels only of those that are checked."""

    model: Reads
    explained: tuple[int, ...]  # the classes to explain; empty: what is decided for
    method: str
    drawn: frozenset[int]  # which films the slow checks look at
    patterns: tuple[str, ...]  # by which a path names its patient
    refused: int = 0
    mapped: int = 0
    checking: set[int] = field(default_factory=set)
    empty: int = 0
    outside: list[tuple[float, float]] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)
    chosen: list[tuple[np.ndarray, int, int]] = field(default_factory=list)  # pixels, class, place in ``outside``

    @classmethod
    def of(
        cls,
        model: Reads,
        films: Sequence[Loose],
        explained: str = "",
        method: str = "",
        checks: int = CHECKED,
        seed: int = 0,
    ) -> Explainer:
        """Return what explains ``films``: the class ``explained`` (default: the one that the model decides for; of
        several findings all that it calls, else the nearest to its threshold), "NAME,NAME" or "all", with slow checks
        of ``checks`` films, drawn by ``seed``; ``method``: see ``method_for``. InputError for an unknown class, a
        method that is not for this model, or fewer than 0 checks."""
        if checks < 0:
            raise InputError(f"--checks {checks}: expected a number of films, 0 for none.")
        drawn = frozenset(np.random.default_rng(seed).permutation(len(films))[:checks].tolist())
        named, patterns = _named(model.classes, explained), known_patterns(path for path, _ in films)
        return cls(model, named, method_for(model, method), drawn, patterns)

    @property
    def several(self) -> bool:
        """Whether a film may have several maps."""
        return len(self.explained) > 1 or isinstance(self.model.decision, FindingsDecision)

    def each(self, films: Sequence[Loose]) -> Iterator[tuple[int, str, list[Explained] | str]]:
        """Yield number, path, and what is to be seen (a map for each class explained) or why nothing is, of each film
        in the order given. InputError when no film can be read."""
        for batch in batches(enumerate(films), FILMS_AT_ONCE):
            read = [(number, path, self._decoded(reader)) for number, (path, reader) in batch]
            maps = self._mapped([film[1] for _, _, film in read if not isinstance(film, str)])
            for number, path, film in read:
                if isinstance(film, str):
                    self.refused += 1
                    if self.refused == len(films):
                        raise InputError(f"{path} can't be explained: {film}.")
                    yield number, path, film
                else:
                    self.mapped += 1
                    whose = film[2] or find_patient(path, *self.patterns) or path
                    yield number, path, [self._explained(number, path, whose, film[0], one) for one in next(maps)]

    def _decoded(self, reader: Callable[[], bytes]) -> tuple[np.ndarray, np.ndarray, str] | str:
        """Return all of a film's pixels, those the network sees and what the header says of the patient, or why it
        can't be read."""
        try:
            data = reader()
            grey, header = decoded(data)
            return grey, self.model.preprocess.read(data, grey), "" if header is None else patient_of(header)
        except FilmError as error:
            return str(error)

    def _mapped(self, films: list[np.ndarray]) -> Iterator[list[_Mapped]]:
        """Yield what is to be seen of each film, (S, S) pixels."""
        if not films:
            return
        pixels = np.stack(films)
        probabilities = self.model.probabilities(pixels)
        targets = [list(self.explained) or self.model.decision.targets(p) for p in probabilities]
        rows = np.repeat(np.arange(len(films)), [len(each) for each in targets])
        maps = iter(heat_map(self.model, pixels[rows], np.concatenate(targets), self.method))
        for film, p, wanted in zip(pixels, probabilities, targets, strict=True):
            yield [_Mapped(film, p, target, next(maps)) for target in wanted]

    def _explained(self, number: int, path: str, whose: str, grey: np.ndarray, film: _Mapped) -> Explained:
        (height, width), preprocess, classes = grey.shape, self.model.preprocess, self.model.classes
        small, part = reduced(grey, LONGEST), seen(preprocess, width, height)
        outside = outside_thorax(film.heat, preprocess, width, height)
        if number in self.drawn and number not in self.checking:  # one of its maps
            self.checking.add(number)
            self.chosen.append((film.pixels, film.target, len(self.outside)))
        self.patients.append(whose)
        self.outside.append(outside)
        self.empty += not film.heat.any()
        return Explained(
            path,
            self.model.decision.label(film.p),
            classes[film.target],
            float(film.p[film.target]),
            self.model.decision.told(film.p, film.target),
            small,
            on_film(film.heat, preprocess, width, height, (small.shape[1], small.shape[0])),
            (part.left / width, part.top / height, part.width / width, part.height / height),
            outside,
            self._unusual(film.pixels),
            *self._decided(film.p, film.target),
            self.model.decision.reason(film.p) is not None,
        )

    def _decided(self, p: np.ndarray, target: int) -> tuple[str, str]:
        """Return what decided a film of (K,) probabilities, such as "PNEUMONIA" and "0.167 < 0.180"; of several
        findings that of the one explained."""
        rule, names = self.model.decision, self.model.classes
        if isinstance(rule, FindingsDecision):
            return names[target], rule.weighed(p, target)
        said = int(rule.decide(p[None])[0])
        return rule.decided_by or names[said], rule.weighed(p, said)

    def _unusual(self, pixels: np.ndarray) -> str:
        """Return why a film looks unlike the training films; empty when it does not."""
        if not self.model.gate:
            return ""
        return self.model.gate.judge(pixels[None], self.model.answered(pixels[None])[1])[0].reason or ""

    def checked(self, seed: int) -> dict[str, Any]:
        """Return the checks' part of explain.json: the films that were drawn for them come first."""
        places = [place for _, _, place in self.chosen]
        order = places + sorted(set(range(len(self.outside))) - set(places))
        found = []
        if self.chosen:
            with bar("Checking the maps", len(self.chosen)) as progress:
                pixels = np.stack([p for p, _, _ in self.chosen])
                targets = np.array([t for _, t, _ in self.chosen])
                rng = np.random.default_rng(seed)
                found = check_films(self.model, pixels, targets, self.method, rng, progress.step)
        told = summary(found, [self.outside[i] for i in order], [self.patients[i] for i in order])
        return {**told, "films_checked": len(found), "each_film_checked": [asdict(check) for check in found]}
