"""A public set as its owner ships it: told by the columns of its tables, its films found, its terms said."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.data.films import NEGATIVE, POSITIVE, UNCERTAIN, UNKNOWN, Cells, FilmError, Films, Table
from plainfilm.data.place import Place
from plainfilm.data.public import SETS, PublicSet
from plainfilm.data.public_rows import Given, Listing, Row, Tabled
from plainfilm.data.reading import is_folder
from plainfilm.errors import InputError
from plainfilm.storage.columns import Words
from plainfilm.storage.tables import is_table, read_table

STATES = (POSITIVE, NEGATIVE, UNCERTAIN, UNKNOWN)
BLOCK = 10_000  # films that are added to a table at a time
MAX_TEXT = 64 * 2**20  # bytes of a list of names beside a table
MAX_TABLE_BYTES = 512 * 2**20  # a table inside a zip
FOLDERS = 100  # inside a set's folder: with more of them its tables are not looked for inside


@dataclass(frozen=True)
class Found:
    """A public set's tables, by kind."""

    known: PublicSet
    tables: Mapping[str, list[Tabled]] = field(default_factory=dict)


def told_by(header: Iterable[str]) -> tuple[PublicSet, str] | None:
    """Return which public set's table has the columns of ``header``, and of which kind it is."""
    small = {name.strip().lower() for name in header}
    if {"path", "label"} <= small:  # a list of films of the user's own, whatever else it says
        return None
    kinds = ((known, kind, columns) for known in SETS for kind, (_, columns) in known.tables.items())
    few = 2  # so few columns may be a part of any table
    fitting = [
        (len(columns), known, kind)
        for known, kind, columns in kinds
        if columns <= small and (len(columns) > few or columns == small)
    ]
    return max(fitting, key=lambda found: found[0])[1:] if fitting else None


def public_set(place: Place, names: Iterable[str]) -> Found | None:  # noqa: C901, PLR0912 - a branch for each set
    """Return the public set whose tables are among the files ``names``; None where there are none.

    InputError where there are tables of several sets, or one that it needs is missing: the sentence names its file.
    """
    found: dict[str, dict[str, list[Tabled]]] = {}
    for name in names:
        if not is_table(name):
            continue
        try:
            table = _opened(place, name)
        except InputError:  # no table that can be read; what is wrong with it matters to who names it
            continue
        if "/" not in name and {"path", "label"} <= set(table.header):
            return None  # the user's own list goes before the owner's
        if told := told_by(table.header):
            found.setdefault(told[0].name, {}).setdefault(told[1], []).append(table)
    if not found:
        return None
    if len(found) > 1:
        tables = ", ".join(tables[0].path for kinds in found.values() for tables in islice(kinds.values(), 1))
        raise InputError(f"{place.root} holds tables of several public sets ({tables}); name the one that is meant.")
    ((name, kinds),) = found.items()
    known = next(known for known in SETS if known.name == name)
    for group in known.needs:
        if not any(kind in kinds for kind in group):
            raise InputError(_missing(place.root, known, group))
    return Found(known, kinds)


def public_table(path: Path) -> tuple[Place | None, Found | None]:
    """Return the place and set of a table that is named itself; of the set's other tables those of other kinds."""
    told = told_by(read_table(path)[0])
    if not told:
        return None, None
    root = path.parent.parent if path.parent.name == "annotations" else path.parent
    place, own = Place.folder(root), str(path.relative_to(root))
    others = [name for name in near_tables(root) if name != own and told_by_name(place, name, told)]
    return place, public_set(place, [own, *others])


def told_by_name(place: Place, name: str, told: tuple[PublicSet, str]) -> bool:
    """Return whether the table ``name`` is of the same set as ``told``, but of another kind."""
    try:
        found = told_by(_opened(place, name).header)
    except InputError:
        return False
    return found is not None and found[0] is told[0] and found[1] != told[1]


def _missing(root: Path, known: PublicSet, group: Iterable[str]) -> str:
    files = " or ".join(known.tables[kind][0] for kind in group)
    return f"{root} is {known.title}, but {files} is missing; put it there as it was shipped ({known.get})."


def refuse_root(root: Path, paths: Iterable[str]) -> None:
    """InputError where ``paths`` are films of a public set that came without its table: its folders are no classes."""
    first = list(islice(paths, 50))
    for known in SETS:
        if first and sum(bool(known.looks.search(path)) for path in first) > len(first) / 2:
            files = " or ".join(known.tables[kind][0] for kind in known.needs[0])
            raise InputError(
                f"{root} looks like {known.title}: its folders are no classes, and its labels are in {files}, which is "
                f"not there; put it beside the films, or give the folder that holds both."
            )


def _opened(place: Place, name: str) -> Tabled:
    path = place.root / name

    def opened() -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
        if path.is_file():
            return read_table(path)
        try:
            data = place.source(name, MAX_TABLE_BYTES + 1)
        except FilmError as error:
            raise InputError(f"{path}: {error}.") from None
        if len(data) > MAX_TABLE_BYTES:
            raise InputError(f"{path} is larger than {MAX_TABLE_BYTES // 2**20} MB; unpack it.")
        return read_table(path, data)

    return Tabled(name, opened()[0], lambda: opened()[1])


def near_tables(root: Path) -> list[str]:
    """Return the tables in a folder and in the folders inside it, but not deeper, ascending."""
    names, folders = _listed(root, "")
    for folder in sorted(folders) if len(folders) <= FOLDERS else ():
        names += _listed(root, folder + "/")[0]
    return sorted(names)


def _listed(root: Path, inner: str) -> tuple[list[str], list[str]]:
    tables, folders = [], []
    with os.scandir(root / inner) as entries:
        for entry in entries:
            if is_table(entry.name):
                tables.append(inner + entry.name)
            elif not entry.name.startswith(".") and is_folder(entry):
                folders.append(inner + entry.name)
    return tables, folders


def public_films(found: Found, place: Place, readers: str, lateral: bool) -> Films:
    """Return the films of a public set that are here, with all its findings; ``notes`` say what else there is to know.

    InputError where none of them is here.
    """
    known = found.known
    tables = sorted(table.path for tables in found.tables.values() for table in tables)
    folders = _folders(tables)
    listing = known.read(Given(found.tables, partial(_text, place, folders), readers))
    table, tally = _here(known, listing, place, folders, lateral)
    wanted = tally.films - tally.lateral * (not lateral)
    if not len(table):
        raise InputError(
            f"{place.root}: none of the {wanted:,} films of {known.title} that {', '.join(tables)} lists is there, "
            f"such as {known.example}; give the folder that holds tables and films."
        )
    views = ", ".join(f"{count:,} {word}" for (word, frontal), count in tally.views.most_common() if not frontal)
    views = "" if lateral else views
    patients = f" of {len(tally.patients):,} patients" * bool(tally.patients)
    notes = [
        f"{known.title}, told by {', '.join(tables)}. Licence: {known.licence}. Cite: {known.citation}",
        f"Labels: {known.labels}",
        f"{tally.films:,} films{patients} are listed; {len(table):,}{' of the frontal ones' * bool(views)} are here"
        + f", the other {wanted - len(table):,} are left out" * (wanted > len(table)),
        *[f"Not frontal and left out: {views}; --projection all keeps them"] * bool(views),
        *listing.notes,
        *[f"Columns that are not kept: {', '.join(listing.left_out)}"] * bool(listing.left_out),
    ]
    films = Films(Table(), known.title, notes=tuple(notes), listed=tally.as_dict(listing.findings))
    return films.with_films(table)


def _folders(tables: Iterable[str]) -> list[str]:
    """Return where tables lie and the folders around, each with its slash, the innermost first."""
    found: dict[str, None] = {}
    for path in tables:
        folder = path.rpartition("/")[0]
        while folder:
            found[folder + "/"] = None
            folder = folder.rpartition("/")[0]
    return [*found, ""]


def _text(place: Place, folders: Iterable[str], name: str) -> str:
    for folder in folders:
        try:
            return place.source(folder + name, MAX_TEXT).decode("utf-8", "replace")
        except (FilmError, KeyError):
            continue
    return ""


@dataclass
class Tally:
    """What a set's tables list, whether it is here or not. ``cells``: (F, 4) films a finding that are POSITIVE,
    NEGATIVE, UNCERTAIN and UNKNOWN, of the views that were wanted."""

    cells: NDArray[np.int64]
    films: int = 0
    lateral: int = 0
    patients: set[str] = field(default_factory=set)
    views: Counter[tuple[str, bool]] = field(default_factory=Counter)  # by (word, whether it is a frontal one)

    def as_dict(self, findings: tuple[str, ...]) -> dict[str, Any]:
        """Return it ready for JSON."""
        states = ("positive", "negative", "uncertain", "unknown")
        counts = (dict(zip(states, row, strict=True)) for row in self.cells.tolist())
        return {
            "films": self.films,
            "not_frontal": self.lateral,
            "patients": len(self.patients),
            "views": {word: count for (word, _), count in self.views.most_common()},
            "findings": dict(zip(findings, counts, strict=True)),
        }


def _here(known: PublicSet, listing: Listing, place: Place, folders: list[str], lateral: bool) -> tuple[Table, Tally]:
    """Return the table of the films that are here, and what is listed."""
    findings = len(listing.findings)
    table, tally = Table(), Tally(np.zeros((findings, 4), np.int64))
    table.findings = Cells.of(listing.findings, np.empty((0, findings), np.int8))
    table.columns = {name: Words() for name in listing.columns}
    view = listing.columns.index("view") if "view" in listing.columns else None
    rows = iter(listing.rows)
    while block := list(islice(rows, BLOCK)):
        tally.films += len(block)
        tally.lateral += sum(bool(row.lateral) for row in block)
        tally.patients.update(row.patient for row in block if row.patient)
        words = ((row.lateral or (row.further[view] if view is not None else ""), not row.lateral) for row in block)
        tally.views.update(words)
        block = [row for row in block if lateral or not row.lateral]
        cells = np.frombuffer(b"".join(row.cells for row in block), np.int8).reshape(len(block), findings)
        tally.cells += np.stack([(cells == value).sum(axis=0) for value in STATES], axis=1)
        places = [place.find(row.path, folders, known.tail) for row in block]
        _add(
            table,
            place,
            [(path, row) for path, row in zip(places, block, strict=True) if path],
            cells[[*map(bool, places)]],
        )
    return table, tally


def _add(table: Table, place: Place, placed: list[tuple[str, Row]], cells: NDArray[np.int8]) -> None:
    table.extend(
        place.source,
        [path for path, _ in placed],
        [row.patient for _, row in placed],
        [row.part for _, row in placed],
        cells,
        {name: [row.further[k] for _, row in placed] for k, name in enumerate(table.columns)},
    )
