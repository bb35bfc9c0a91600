"""Which film trains, which validates, which tests; and the words that every score of that split carries."""

from __future__ import annotations

import hashlib
import shlex
from collections import Counter
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from plainfilm.config import SPLITS
from plainfilm.data.films import PARTS, Film, FilmError, Films
from plainfilm.data.groups import dealt, dealt_by_marks, groups
from plainfilm.errors import InputError, PlainfilmError, did_you_mean
from plainfilm.machine.memory import give_back
from plainfilm.storage.columns import Kinds, Texts

PAPER_SHARES = {"train": 0.75, "val": 0.25}
GROUPED_SHARES = {"train": 0.65, "val": 0.10, "test": 0.25}
OFFICIAL_SHARES = {"train": 0.90, "val": 0.10}

STAMPS = {
    "paper": "validation scores; split by film, patients shared",
    "grouped": "patients separate",
    "official": "official test set",
}

FOLD_STAMPS = {"grouped": "patients separate", "paper": "split by film, patients shared"}
FEW_A_CLASS = 5  # films of each class, from which on a site can be left out and tested
MOST_SITES = 20
KNOWN = 0.95  # share of films with a patient from which on a split by patient is called so


def split(films: Films, how: str = "grouped", seed: int = 0, contents: bool = True) -> Films:
    """Return ``films`` with every film's part set, by ``how``: paper, grouped or official.

    Depends on paths, labels, patients, contents and ``seed`` only, never on the order of a listing. Without
    ``contents`` no film is read, and exact duplicates under two patients may be parted: a look ahead, no more.
    InputError when a class is too small to be in every part.

    >>> pf.split(pf.load("demo:40"), "grouped", seed=0).protocol
    'patients separate'
    """
    if how not in SPLITS:
        raise InputError(f"There is no split '{how}'.{did_you_mean(how, SPLITS)}")
    rng = np.random.default_rng(seed)
    films = _hashed(films) if contents and how != "paper" else films
    stamp, classes = _stamp(films, STAMPS[how]), films.classes
    films = used(films, how)
    parts = {"paper": _paper, "grouped": _grouped, "official": _official}[how](films, rng)
    done = films.with_parts(parts, stamp, (how, seed))
    _check(done, classes, tuple(PAPER_SHARES) if how == "paper" else PARTS)
    if how == "grouped" and contents and any(crossing(done).values()):
        raise PlainfilmError(f"The split of {films.name} parted a patient or copies of a film: this is a bug.")
    give_back()
    return done


def folds(films: Films, count: int, how: str = "grouped", seed: int = 0) -> list[Films]:
    """Return ``count`` copies of ``films``: in each another ``1 / count`` of them is the test part, and a tenth of the
    rest validates. Every film is tested once.

    By ``how``: "grouped" keeps a patient's films (and exact duplicates) together, "paper" divides film by film, as a
    control. InputError for another ``how``, fewer than two folds, or too few films or patients.
    """
    if how not in FOLD_STAMPS:
        raise InputError(f"--folds goes with --split grouped or paper, not {how}.")
    if count < 2:
        raise InputError(f"--folds {count}: at least 2 are needed.")
    rng = np.random.default_rng(seed)
    hashed = _hashed(films)
    alone = {"grouped": hashed, "paper": hashed.with_films(_by_itself(film) for film in hashed)}[how]
    fold_of = np.array(_by_group(alone, {str(fold): 1 / count for fold in range(count)}, rng))

    def fold(number: int) -> Films:
        rest = np.flatnonzero(fold_of != str(number))
        parts = np.full(len(films), "test", object)
        parts[rest] = _by_group(alone.at(rest), OFFICIAL_SHARES, rng)
        done = hashed.with_parts(parts, f"{count}-fold, {_stamp(films, FOLD_STAMPS[how])}", (how, seed))
        _check(done, films.classes, PARTS)
        return done

    return [fold(number) for number in range(count)]


class Source(NamedTuple):
    """One value of a column, such as a site: which films it holds out, and which may be learnt from without it."""

    name: str
    held: np.ndarray  # (N,) bool
    taken: np.ndarray  # (N,) bool


def sources(films: Films, column: str, labels: np.ndarray | None = None) -> list[Source]:
    """Return the values of ``column`` that can be left out, each with FEW_A_CLASS films of each class or more.

    Nothing of a source is in what may be learnt from without it: no patient and, where contents are known, no content.
    Films whose source is not known are in neither. ``labels``: (N,) whole numbers in place of the films' own classes;
    without, films of findings need FEW_A_CLASS of either answer of one of them.
    """
    which, names = films.coded(column), sorted(films.column(column).different)
    group_of = groups(films.films)
    known = np.array([bool(name) for name in names])[which]
    held = {name: which == k for k, name in enumerate(names) if name}
    return [
        Source(name, own, known & ~np.isin(group_of, group_of[own]))
        for name, own in held.items()
        if _fewest(films, own, labels) >= FEW_A_CLASS
    ]


class LeftOut(NamedTuple):
    """One site left out: its name, the films that train, validate and test without it, and their places among all."""

    site: str
    films: Films
    places: np.ndarray


def leave_out(films: Films, column: str, seed: int = 0) -> list[LeftOut]:
    """Return for each value of ``column`` (a site) the films with that site as the test part; a tenth of the other
    films validates, by patient.

    No patient and no content of the left-out site is in the other parts: such films are left out of that fold, as are
    all films whose site is not known. A site with fewer than FEW_A_CLASS films of a class (of either answer of every
    finding) is never tested, only trained on. InputError for fewer than two sites that can be tested, or more than
    MOST_SITES.
    """
    films = _hashed(films)
    tested = sources(films, column)
    if not 2 <= len(tested) <= MOST_SITES:
        raise InputError(f"--folds {column}: {_too_few_or_many(films, column, len(tested))}")

    def without(k: int, source: Source) -> LeftOut:
        places = np.flatnonzero(source.held | source.taken)
        kept = films.at(places)
        rest = np.flatnonzero(source.taken[places])
        parts = np.full(len(kept), "test", object)
        parts[rest] = _by_group(kept.at(rest), OFFICIAL_SHARES, np.random.default_rng((seed, k)))
        stamp = f"{column} {source.name} left out; {_stamp(films, FOLD_STAMPS['grouped'])}"
        done = kept.with_parts(parts, stamp, ("grouped", seed))
        _check(done, films.classes, PARTS)
        return LeftOut(source.name, done, places)

    names = sorted(films.column(column).different)
    return [without(names.index(source.name), source) for source in tested]


def require_sources(films: Films, column: str) -> None:
    """InputError unless two values of ``column`` or more can be left out in turn."""
    if not 2 <= (count := len(sources(films, column))) <= MOST_SITES:
        raise InputError(f"--choose-by {column}: {_too_few_or_many(films, column, count)}")


def _too_few_or_many(films: Films, column: str, count: int) -> str:
    return (
        f"{count} of its {len(films.column(column).different)} values have {FEW_A_CLASS} films per class"
        f"{', or of either answer of a finding,' * bool(films.findings)} or more;"
        f" 2 to {MOST_SITES} can be left out in turn."
    )


def _fewest(films: Films, some: np.ndarray, labels: np.ndarray | None = None) -> int:
    """Return how many of the films at the mask ``some`` the rarest class (or of ``labels``) has; of findings the rarer
    answer of the one that has most."""
    if labels is not None:
        return int(np.bincount(labels[some], minlength=labels.max() + 1).min())
    if not films.findings:
        return int(np.bincount(films.labels[some], minlength=len(films.classes)).min())
    truth = films.truth[some]
    return int(np.minimum((truth == 1).sum(axis=0), (truth == 0).sum(axis=0)).max())


def _stamp(films: Films, stamp: str) -> str:
    """Return the words of a split; those of one by patient hold only where patients are known."""
    known = films.films.patients.filled.sum() / max(len(films), 1)
    if stamp != STAMPS["grouped"] or known >= KNOWN:
        return stamp
    return "patients unknown; split by film" if not known else f"patients separate where known ({known:.0%} of films)"


def _by_itself(film: Film) -> Film:
    return replace(film, patient="", sha256="")


def _hashed(films: Films) -> Films:
    """Know every film's content, so that exact duplicates stay together; one that can't be read has none."""

    def hashed(film: Film) -> Film:
        try:
            return film if film.sha256 else replace(film, sha256=hashlib.sha256(film.read()).hexdigest())
        except FilmError:
            return film

    return films if films.films.hashes.filled.all() else films.with_films(hashed(film) for film in films)


def _paper(films: Films, rng: np.random.Generator) -> np.ndarray:
    """Return (N,) parts: 75/25 by film, stratified by class, as the paper did; a patient's films fall on both sides."""
    if films.findings:
        return _dealt(films, np.arange(len(films)), PAPER_SHARES, rng)
    parts = np.full(len(films), "val", object)
    for label in range(len(films.classes)):
        members = np.flatnonzero(films.labels == label)
        cut = round(PAPER_SHARES["train"] * len(members))
        parts[members[rng.permutation(len(members))[:cut]]] = "train"
    return parts


def _grouped(films: Films, rng: np.random.Generator) -> np.ndarray:
    return _by_group(films, GROUPED_SHARES, rng)


def used(films: Films, how: str) -> Films:
    """Return the films that the split ``how`` gives a part: all, but for official only those of the folders train and
    test, with a note of the others; a val folder is never used. InputError when one of the two is missing."""
    if how != "official":
        return films
    if not films.where("train").size or not films.where("test").size:
        raise InputError(f"{films.name} has no train and test folders; use --split grouped, or give that layout.")
    kept = films.at(films.where("train", "test"))
    if left := len(films) - len(kept):
        note = f"{left:,} films that are in neither the train nor the test part are not used by --split official"
        return replace(kept, notes=(*kept.notes, note))
    return kept


def _official(films: Films, rng: np.random.Generator) -> np.ndarray:
    """Return (N,) parts: the folders' own test part; validation is cut out of train by patient."""
    train = films.where("train")
    parts = np.full(len(films), "test", object)
    parts[train] = _by_group(films.at(train), OFFICIAL_SHARES, rng)
    return parts


def _by_group(films: Films, shares: dict[str, float], rng: np.random.Generator) -> np.ndarray:
    """Return (N,) parts such that every group (patient, with all exact copies of its films) is whole in one."""
    return _dealt(films, groups(films.films), shares, rng)


def _dealt(films: Films, group_of: np.ndarray, shares: dict[str, float], rng: np.random.Generator) -> np.ndarray:
    """Return (N,) parts with the groups ``group_of`` (N,) whole, alike in their classes or in what is known of their
    findings."""
    each = [*shares.values()]
    if films.findings:
        found = dealt_by_marks(np.hstack([films.truth == 1, films.truth == 0]), group_of, each, rng)
    else:
        found = dealt(films.films.labels.codes, group_of, each, rng)
    return np.array([*shares], object)[found]


def _check(films: Films, classes: tuple[str, ...], parts: tuple[str, ...]) -> None:
    """InputError unless every part holds each of ``classes``, and the films that train both answers of each finding."""
    found = Counter(zip(films.films.parts, films.films.labels, strict=True))
    lacking = [f"{part} has no {label}" for part in parts for label in classes if not found[part, label]]
    if lacking:
        whose, most = Counter(films.films.patients).most_common(1)[0]
        advice = "Add films, or use another --split."
        if whose and most > len(films) / 4:
            advice = (
                f"Patient '{whose}' has {most} of the {len(films)} films: if that is no patient, name the patients by"
                " a column or --patient-regex."
            )
        raise InputError(f"There are too few films or patients to split: {'; '.join(lacking)}. {advice}")
    _check_findings(films)


def _check_findings(films: Films) -> None:
    """InputError unless the films that train hold both answers of each finding; it names the findings that they do."""
    truth = films.truth[films.where("train")]
    asked = zip(films.findings, (truth == 1).any(0), (truth == 0).any(0), strict=True)
    lacking = {name: "negative" if yes else "positive" for name, yes, no in asked if not (yes and no)}
    if lacking:
        said = " and ".join(f"{kind} for {name}" for name, kind in lacking.items())
        others = ",".join(name for name in films.findings if name not in lacking)
        advice = f"give --findings {shlex.quote(others)}, or add films" if others else "add films"
        raise InputError(f"No film that trains is {said}; {advice}.")


def crossing(films: Films) -> dict[str, int]:
    """Return how many patients and how many exact contents occur in more than one part: {"patients", "contents"}."""
    table = films.films
    return {"patients": _crossing(table.patients, table.parts), "contents": _crossing(table.hashes, table.parts)}


def _crossing(keys: Texts, parts: Kinds[str]) -> int:
    order, again = keys.ranked()
    ordered, whose = parts.codes[order], np.cumsum(~again)
    crossed = np.flatnonzero(again & (np.diff(ordered, prepend=ordered[:1]) != 0))
    return len({int(whose[rank]) for rank in crossed.tolist() if keys[order[rank]]})
