"""Which film trains, which validates, which tests; and the words that every score of that split carries."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np

from plainfilm.config import SPLITS
from plainfilm.data.films import PARTS, Film, FilmError, Films
from plainfilm.errors import InputError, PlainfilmError, did_you_mean

PAPER_SHARES = {"train": 0.75, "val": 0.25}
GROUPED_SHARES = {"train": 0.65, "val": 0.10, "test": 0.25}
OFFICIAL_SHARES = {"train": 0.90, "val": 0.10}

STAMPS = {
    "paper": "validation scores; split by film, patients shared",
    "grouped": "patients separate",
    "official": "official test set",
}

FOLD_STAMPS = {"grouped": "patients separate", "paper": "split by film, patients shared"}
KNOWN = 0.95  # share of films with a patient from which on a split by patient is called so


def split(films: Films, how: str = "grouped", seed: int = 0, contents: bool = True) -> Films:
    """Return ``films`` with every film's part set, by ``how``: paper, grouped or official.

    Depends on paths, labels, patients, contents and ``seed`` only, never on the order of a listing. Without
    ``contents`` no film is read, and exact duplicates under two patients may be parted: a look ahead, no more.
    InputError when a class is too small to be in every part.
    """
    if how not in SPLITS:
        raise InputError(f"There is no split '{how}'.{did_you_mean(how, SPLITS)}")
    rng = np.random.default_rng(seed)
    films = _hashed(films) if contents and how != "paper" else films
    parted = {"paper": _paper, "grouped": _grouped, "official": _official}[how](films, rng)
    _check(parted, films.classes, tuple(PAPER_SHARES) if how == "paper" else PARTS)
    done = films.with_films(parted, protocol=_stamp(films, STAMPS[how]))
    if how == "grouped" and contents and any(crossing(done).values()):
        raise PlainfilmError(f"The split of {films.name} parted a patient or copies of a film: this is a bug.")
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
    alone = {"grouped": hashed, "paper": hashed.with_films([_by_itself(film) for film in hashed])}[how]
    shares = {str(fold): 1 / count for fold in range(count)}
    fold_of = {film.path: film.part for film in _by_group(list(alone), shares, rng)}
    whole = {film.path: film for film in hashed}

    def fold(number: int) -> Films:
        rest = [film for film in alone if fold_of[film.path] != str(number)]
        part_of = {film.path: film.part for film in _by_group(rest, OFFICIAL_SHARES, rng)}
        parted = [replace(whole[path], part=part_of.get(path, "test")) for path in fold_of]
        _check(parted, films.classes, PARTS)
        return hashed.with_films(parted, protocol=f"{count}-fold, {_stamp(films, FOLD_STAMPS[how])}")

    return [fold(number) for number in range(count)]


def _stamp(films: Films, stamp: str) -> str:
    """Return the words of a split; those of one by patient hold only where patients are known."""
    known = sum(bool(film.patient) for film in films) / max(len(films), 1)
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

    return films.with_films([hashed(film) for film in films])


def _paper(films: Films, rng: np.random.Generator) -> list[Film]:
    """75/25 by film, stratified by class, as the paper did: films of one patient fall on both sides."""
    parted = []
    for label in films.classes:
        members = [film for film in films if film.label == label]
        order = rng.permutation(len(members))
        cut = round(PAPER_SHARES["train"] * len(members))
        parted += [replace(members[i], part="train" if rank < cut else "val") for rank, i in enumerate(order)]
    return parted


def _grouped(films: Films, rng: np.random.Generator) -> list[Film]:
    return _by_group(list(films), GROUPED_SHARES, rng)


def _official(films: Films, rng: np.random.Generator) -> list[Film]:
    """The folders' own test part; validation is cut out of train by patient, a val folder is never used."""
    train = [film for film in films if film.part == "train"]
    test = [film for film in films if film.part == "test"]
    if not train or not test:
        raise InputError(f"{films.name} has no train and test folders; use --split grouped, or give that layout.")
    return _by_group(train, OFFICIAL_SHARES, rng) + test


def _by_group(films: list[Film], shares: dict[str, float], rng: np.random.Generator) -> list[Film]:
    """Give every group (patient, with all exact duplicates of its films) whole to one part.

    Largest groups first, each to the part that lacks most of the group's classes: stratified as far as whole
    groups allow.
    """
    groups = _groups(films)
    totals = Counter(film.label for film in films)
    missing = {part: {c: share * totals[c] for c in totals} for part, share in shares.items()}
    order = sorted(rng.permutation(len(groups)), key=lambda i: -len(groups[i]))
    parted = []
    for index in order:
        group = groups[index]
        labels = Counter(film.label for film in group)
        part = max(shares, key=lambda p: sum(n * missing[p][c] / (shares[p] * totals[c]) for c, n in labels.items()))
        for label, count in labels.items():
            missing[part][label] -= count
        parted += [replace(film, part=part) for film in group]
    return parted


def _groups(films: list[Film]) -> list[list[Film]]:
    """Films that must stay together: same patient, or same content (a union-find over both)."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for film in films:
        a, b = root("patient " + film.group), root("content " + (film.sha256 or film.path))
        parent[max(a, b)] = min(a, b)
    together: dict[str, list[Film]] = defaultdict(list)
    for film in films:
        together[root("patient " + film.group)].append(film)
    return [together[key] for key in sorted(together)]


def _check(films: list[Film], classes: tuple[str, ...], parts: tuple[str, ...]) -> None:
    """InputError unless every part holds every class."""
    found = Counter((film.part, film.label) for film in films)
    lacking = [f"{part} has no {label}" for part in parts for label in classes if not found[part, label]]
    if lacking:
        raise InputError(
            f"There are too few films or patients to split: {'; '.join(lacking)}. Add films, or use another --split."
        )


def crossing(films: Films) -> dict[str, int]:
    """Return how many patients and how many exact contents occur in more than one part: {"patients", "contents"}."""
    patients, contents = defaultdict(set), defaultdict(set)
    for film in films:
        patients[film.group].add(film.part)
        contents[film.sha256 or film.path].add(film.part)
    return {
        "patients": sum(len(parts) > 1 for parts in patients.values()),
        "contents": sum(len(parts) > 1 for parts in contents.values()),
    }
