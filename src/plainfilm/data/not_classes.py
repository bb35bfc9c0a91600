"""Folders that are no classes: persons, dates, studies, portions, parts. They are asked about instead of trained on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

from plainfilm.errors import InputError

TABLE = "list the films in a table with the columns path, label and patient"
DATE = r"(?:19|20)\d\d(?:[-_. ]?\d\d){0,2}|\d{1,2}[-_. ]\d{1,2}[-_. ](?:19|20)\d\d|(?:19|20)\d\d[-_. ]?q[1-4]"
KINDS = (  # names that no class has, what they are, and what to do
    (r"(?:p|pt|pat|patient|person|subj|subject|sub|case|id|pid|mrn)[ _.-]?\d+", "patients", TABLE),
    (DATE, "dates", TABLE),
    (r"(?:s|st|study|series|se|ser|exam|visit|ses|session|acc|accession|scan|view)[ _.-]?\d+", "studies", TABLE),
    (r"[\d.]{12,}|[0-9a-f]{16,}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", "identifiers of studies or films", TABLE),
    (
        r"(?:train|training|val|valid|validation|test|testing|adapt|dev|holdout|fold|split)[ _.-]?\d+",
        "parts or portions of a set",
        "give one of them, or name them train, val and test",
    ),
    (
        r"(?:images?|imgs?|films?|batch|portion|chunk|folder|dir|archive|set|subset|dis[ck]|cd|vol|volume)[ _.-]?\d+",
        "portions of a set",
        TABLE,
    ),
    (
        r"images?|imgs?|pictures?|films?|files?|dicoms?|dcms?|jpe?gs?|pngs?|data|dataset|raw|originals?|x-?rays?|cxrs?",
        "places of films",
        TABLE,
    ),
    (
        r"unsorted|misc|miscellaneous|te?mp|todo|to ?do|new folder(?: \(\d+\))?|untitled folder|rejected|excluded?|"
        r"discard(?:ed)?|trash|bad|backup|old|unlabell?ed|duplicates?|quarantine",
        "films without a class",
        "move them out, or into the folders of their classes",
    ),
)
MANY, FEW = 10, 4  # classes and more, with so few films or fewer in the middle one
GRADES = 20  # numbers from 0 or 1 on that may be classes


def ask_about_parts(root: Path, places: Mapping[str, tuple[str, str] | None]) -> None:
    """InputError where folders lie beside train, val and test that are none of them.

    places: {folder: (part, label)}, the part empty where its folder names none.
    """
    strange = sorted({place[1] for place in places.values() if place and not place[0]})
    parts = sorted({place[0] for place in places.values() if place and place[0]})
    if strange and parts:
        raise InputError(
            f"{root} holds {_listed(parts)} films and, beside them, {_listed(strange)}, which {_is(strange)} none of "
            f"train, val and test: name {_it(strange)} so, or move {_it(strange)} out."
        )


def ask_about_names(root: Path, labels: Mapping[str, int]) -> None:
    """InputError where class folders have names of persons, dates, studies, portions or numbers.

    labels: {name of a class folder: its films}.
    """
    for pattern, what, advice in KINDS:
        met = [name for name in labels if re.fullmatch(pattern, name.strip().lower())]
        if met:
            raise InputError(_question(root, met, len(labels), what, advice))
    if numbers := _no_grades(labels):
        raise InputError(_question(root, numbers, len(labels), "patients, studies or dates", TABLE))


def ask_about_many(data: str, labels: Mapping[str, int]) -> None:
    """InputError where there are many classes with few films each: most likely they are no classes.

    labels: {class: its films}.
    """
    if len(labels) < MANY or median(labels.values()) > FEW:
        return
    joined = any(re.search(r"[|;,]", name) for name in labels)
    likely = "several findings per film (name their columns: --findings)" if joined else "patients, studies or remarks"
    raise InputError(
        f"{data} has {len(labels):,} classes, half of them with {FEW} films or fewer ({_shown(labels)}). They look "
        f"like {likely}: give one folder per class, or {TABLE}."
    )


def _no_grades(labels: Iterable[str]) -> list[str]:
    """Return the names that are numbers, unless they are 0 and 1, or grades: one digit, or all from 0 or 1 on."""
    numbers = [name for name in labels if re.fullmatch(r"\d+", name)]
    values = sorted(map(int, numbers))
    in_turn = values in (list(range(len(values))), list(range(1, len(values) + 1))) and len(values) <= GRADES
    return [] if in_turn or all(len(name) == 1 for name in numbers) else numbers


def _question(root: Path, met: Sequence[str], classes: int, what: str, advice: str) -> str:
    these = "they look" if len(met) > 1 else "it looks"
    which = f"{len(met):,} of its {classes:,} class folders are called" if len(met) > 1 else "a class folder is called"
    one = what.replace("parts or portions", "a part or portion") if len(met) == 1 else what
    return f"{root}: {which} {_shown(met)}, and {these} like {one}, not classes: {advice}."


def _shown(names: Iterable[str]) -> str:
    some = sorted(names)
    return ", ".join(some[:3]) + ", …" * (len(some) > 3)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _is(names: Sequence[str]) -> str:
    return "are" if len(names) > 1 else "is"


def _it(names: Sequence[str]) -> str:
    return "them" if len(names) > 1 else "it"
