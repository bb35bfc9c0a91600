"""Which class and part each file of a folder or zip is of: by its folders, or by a table."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from itertools import chain, islice, takewhile
from pathlib import Path, PurePosixPath

import numpy as np

from plainfilm.data import words
from plainfilm.data.films import FILMS_HEADER, Film, FilmError, Films, Source, Table
from plainfilm.data.not_classes import ask_about_names, ask_about_parts
from plainfilm.data.reading import FILM_ENDINGS, kind, plain, refusal
from plainfilm.data.recognise import refuse_root
from plainfilm.data.roles import candidates, only
from plainfilm.errors import InputError
from plainfilm.storage.columns import Kinds, Texts
from plainfilm.storage.dialects import legible
from plainfilm.storage.folders import MARKS
from plainfilm.storage.grown import Grown
from plainfilm.storage.tables import Rows, is_table, read_table

MAX_TABLE_BYTES = 512 * 2**20  # a table inside a folder or zip
COLUMNS = ("path", "label", "patient", "split")  # of a list of films; the first two must be there
READ = (words.label, words.patient, words.known)  # how the cells of the others are
DRIVE = re.compile(r"[A-Za-z]:[/\\]")
FOLDERS = 8  # beside a table in which its films are looked for
ENDINGS = (".png", ".jpg", ".jpeg", ".dcm", ".tif")  # of films that a table names without one
MASKS = {"mask", "masks", "lung masks", "lung_masks", "segmentation", "segmentations"}  # folders of no films


def from_files(files: Iterable[str], source: Source, root: Path, findings: str = "", question: str = "") -> Films:
    """Return the films among the files, ascending, of a folder or zip, by its folders or by the one table in its
    root, with or without findings in question: see ``from_table``."""
    files = Texts(files)
    names = Texts(plain(files))
    around = _around_everything(names)
    tables = [name for name in names if _folder(name) == around and is_table(name)]
    opened = {name: table for name in tables if (table := _table_inside(source, root, name))}
    needed = {"path"} if findings else {"path", "label"}
    listing = {name: table for name, table in opened.items() if needed <= set(table[0])}
    if not listing and len({_folder(name) for name in names if _ends_as_film(name)}) == 1:  # no folders of classes
        listing = {name: table for name, table in opened.items() if all(candidates(r, table[0]) for r in needed)}
    if len(listing) > 1:
        raise InputError(
            f"{root} holds several lists of films ({', '.join(listing)}); name the one that is meant as DATA."
        )
    for name, table in listing.items():
        inner = partial(_inside, source, set(files), around)
        begin = f"{around}/" if around else ""
        below = {name[len(begin) :].partition("/")[0] + "/" for name in names if "/" in name[len(begin) :]}
        listed = from_table(root, table, inner, findings, question, sorted(below)[:FOLDERS])
        return replace(listed, notes=(*listed.notes, f"Which films, and their labels, are taken from {name}"))
    outputs = tuple(folder for folder in _outputs(names) if not f"{around}/".startswith(folder))
    return _from_folders(names, outputs, source, root)


def _from_folders(names: Texts, outputs: tuple[str, ...], source: Source, root: Path) -> Films:
    """Return the films that lie in folders named after their class and part; pictures that are not read, wherever they
    lie, are in the quarantine. InputError where the folders can't be classes."""
    pictures, foreign = _pictures(names, outputs, source)
    refuse_root(root, pictures)
    places = _class_folders({_folder(name) for name in pictures})
    if any(place and place[0] for place in places.values()):
        places = {folder: place for folder, place in places.items() if not _second_copy(folder, place)}
    films = Table(_film(name, places, source, root) for name in pictures if _folder(name) in places)
    ask_about_parts(root, places)
    ask_about_names(root, Counter(films.labels))
    left_out = len(names) - len(films) - len(foreign)
    where = "among masks, in what plainfilm wrote" if outputs else "among masks"
    said = f"{left_out} files that are not films, or lie {where} or in a second copy of the set, left out: "
    others = ", ".join(islice(_others(names, films.paths, foreign), 3))
    inner = _same_inside(places)
    notes = [said + others] * bool(left_out)
    notes += [f"Each class folder holds the same folders {inner}: if these are the classes, put them outermost"] * bool(
        inner
    )
    return Films(films, root.name or str(root), tuple(foreign.items()), tuple(notes))


def _pictures(names: Iterable[str], outputs: tuple[str, ...], source: Source) -> tuple[Texts, dict[str, str]]:
    """Return the films, and {path: why it is not read} of other pictures; neither is looked for among masks and in
    ``outputs``."""
    pictures, foreign = Texts(), {}
    for name in names:
        what = "" if _among_masks(name) or name.startswith(outputs) else kind(name, source)
        if what == "film":
            pictures.append(name)
        elif what:
            foreign[name] = refusal(what)
    return pictures, foreign


def _film(name: str, places: Mapping[str, tuple[str, str] | None], source: Source, root: Path) -> Film:
    place = places[_folder(name)]
    if place is None:
        raise InputError(f"{root}: {name} is in no class folder; put it into a folder named after its class.")
    return Film(name, place[1], source, part=place[0])


def _around_everything(names: Texts) -> str:
    """Return the folder that all files lie in, the innermost; "" where that is the root. Names are ascending."""
    first, last = (_folder(names[k]).split("/") if len(names) else [""] for k in (0, -1))
    return "/".join(part for part, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))


def _outputs(names: Iterable[str]) -> tuple[str, ...]:
    """Return the folders inside, with a slash, that plainfilm wrote: its pictures are no films."""
    endings = tuple(f"/{mark}" for mark in {mark for marks in MARKS for mark in marks})
    there: dict[str, set[str]] = {}
    for name in names:
        if name.endswith(endings):
            there.setdefault(_folder(name), set()).add(name.rpartition("/")[2])
    return tuple(sorted(f"{folder}/" for folder, marks in there.items() if any(own <= marks for own in MARKS)))


def _others(names: Iterable[str], kept: Iterable[str], said: Container[str]) -> Iterator[str]:
    """Yield those of ``names`` that are not among ``kept``, which come in the same order, nor among ``said``."""
    following = iter(kept)
    awaited = next(following, None)
    for name in names:
        if name == awaited:
            awaited = next(following, None)
        elif name not in said:
            yield name


def _among_masks(name: str) -> bool:
    return bool(MASKS & {part.lower() for part in PurePosixPath(_folder(name)).parts})


def _folder(name: str) -> str:
    """Return the folder of a file; a zip of Windows unpacked elsewhere leaves files with backslashes in their names."""
    return name.replace("\\", "/").rpartition("/")[0]


def _class_folders(names: set[str]) -> dict[str, tuple[str, str] | None]:
    """Return {folder: (part, label) of its films}; None where no folder names the class."""
    folders = {name: PurePosixPath(name).parts for name in names}
    depth = 0
    while folders and all(len(f) > depth + 1 for f in folders.values()):
        firsts = {f[depth] for f in folders.values()}
        if len(firsts) > 1 or words.part(next(iter(firsts))):
            break
        depth += 1  # a folder around everything, such as chest_xray/
    found: dict[str, tuple[str, str] | None] = {}
    for name, parts in folders.items():
        rest = parts[depth:]
        part = words.part(rest[0]) if rest else ""
        rest = rest[1:] if part else rest
        found[name] = (part, rest[0]) if rest else None
    return found


def _same_inside(places: Mapping[str, tuple[str, str] | None]) -> str:
    """Return the names of the two folders or more that lie in every class folder alike; empty when there are none."""
    inside: dict[str, set[str]] = {}
    for folder, place in places.items():
        if place:
            parts = PurePosixPath(folder).parts
            behind = parts[parts.index(place[1]) + 1 :]
            inside.setdefault(place[1], set()).add(behind[0] if behind else "")
    first, *others = inside.values() or [set()]
    return ", ".join(sorted(first)) if others and len(first) > 1 and all(other == first for other in others) else ""


def _second_copy(folder: str, place: tuple[str, str] | None) -> bool:
    """Whether a folder beside train, val and test has such folders around it once more, as in Kaggle's zip."""
    return bool(place and not place[0]) and any(map(words.part, PurePosixPath(folder).parts[1:]))


# --- tables -----------------------------------------------------------------------------------------------------------


def _ends_as_film(name: str) -> bool:
    return name.lower().endswith(FILM_ENDINGS)


def _table_inside(source: Source, root: Path, name: str) -> tuple[list[str], Rows] | None:
    """The table, when it may be a list of films: it has none of the probabilities that our own tables of what a model
    said have."""
    try:
        data = source(name, MAX_TABLE_BYTES + 1)
    except FilmError as error:
        raise InputError(f"{root / name}: {error}.") from None
    if len(data) > MAX_TABLE_BYTES:
        raise InputError(f"{root / name} is larger than {MAX_TABLE_BYTES // 2**20} MB; name it as DATA itself.")
    try:
        header, rows = read_table(root / name, data)
    except InputError:
        if name.endswith(".parquet") and find_spec("pyarrow") is None:  # it may be the list
            raise
        return None
    said = any(name.startswith("p_") for name in header) and (
        {"refer", "reason"} <= set(header) or {"path", "part"} <= set(header)
    )
    return None if said else (header, rows)


def _inside(source: Source, known: set[str], around: str, name: str, first: int = 0) -> bytes:
    """A table inside a folder or zip, in its folder ``around``, speaks of the files there, and of no others."""
    for inner in ((PurePosixPath(around) / name).as_posix(), PurePosixPath(name).as_posix()):
        if inner in known:
            return source(inner, first)
    raise FilmError("no such file in the data set")


def from_table(  # noqa: PLR0915 - the columns in the order in which they are read
    path: Path,
    table: tuple[list[str], Rows],
    source: Source,
    findings: str = "",
    question: str = "",
    folders: Collection[str] = (),
) -> Films:
    """Return the films that a table (``path,label[,patient,split]``) lists, with all its other columns. ``folders``,
    with a slash: where films may lie that it names without one.

    Films without a label are left out, with a note; where ``findings`` are in question, or there is a ``question`` and
    no label, none is needed or read.
    InputError names the first rows that are wrong.
    """
    header, rows, said = _in_our_words(path, *table, asked="" if findings else "label")
    findings = findings or (question if "label" not in header else "")
    missing = [name for name in COLUMNS[: 1 if findings else 2] if name not in header]
    if missing:
        hint = " Columns of findings (1, 0 or empty) are named by --findings." if missing == ["label"] else ""
        raise InputError(f"{path} lacks the column {' and '.join(missing)}; it has: {', '.join(header)}.{hint}")
    further = [name for name in header if name not in (*COLUMNS, *FILMS_HEADER)]
    first, rows = _peeked(rows)
    folders = () if first and _is_there(first[0][1]["path"], source) else ("", *folders)  # the first row speaks for all
    problems: list[tuple[int, str]] = []
    numbers, places, labels, films = Grown("q"), Texts(), Kinds[str](), Table()
    for number, row in rows:
        name = _as_stored(row["path"], source, folders)
        label, patient, part = (read(row.get(key, "")) for key, read in zip(COLUMNS[1:], READ, strict=True))
        label = "" if findings else label
        part = part or words.known(row.get("part", ""))
        numbers.append(number)
        places.append(os.path.normcase(os.path.normpath(name)) if name else f"\0{number}")
        labels.append(label)
        if not name:
            problems.append((number, "has no path"))
        elif DRIVE.match(name) and not _is_there(name, source):
            drive = f"has {row['path']}, a path on a Windows drive: write paths relative to the table's folder"
            problems.append((number, drive))
        elif part and not words.part(part):
            problems.append((number, f"has the unknown split '{part}' (train, val or test)"))
        elif label or findings:
            about = {name: words.known(row[name]) for name in further}
            films.append(Film(name, label, source, patient, words.part(part), columns=about))
    problems += _listed_again(numbers, places, labels)
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        five = "; ".join(f"row {number} {what}" for number, what in sorted(problems)[:5])
        raise InputError(f"{path}: {five}{more}.")
    films = _without_none(films)
    unknown = len(places) - len(films)
    left = (
        f"{unknown:,} of {len(places):,} films have no label in {path.name} and are left out: unknown is not negative"
    )
    like = [name for name in header if "patient" in name.lower()] if "patient" not in header else []
    unused = f"No column of {path.name} is named patient; {', '.join(like)}: not taken for patients"
    return Films(films, path.name, notes=(*said, *(left,) * (unknown > 0), *(unused,) * bool(like)))


def _peeked(rows: Rows) -> tuple[list[tuple[int, dict[str, str]]], Rows]:
    """Return the first row, if there is one, and all rows."""
    first = list(islice(rows, 1))
    return first, chain(first, rows)


def _in_our_words(path: Path, header: list[str], rows: Rows, asked: str) -> tuple[list[str], Rows, list[str]]:
    """Return header and rows with the columns of another program's table under our names, and which were taken so.

    A column that says the part is taken only where the first row does say one: folds have numbers.
    """
    first, rows = _peeked(rows)
    ours: dict[str, str] = {}
    for role, name in (("path", "path"), (asked, "label"), ("patient", "patient"), ("part", "split")):
        free = [column for column in header if column not in (*COLUMNS, *FILMS_HEADER, *ours)]
        if not role or {role, name} & set(header):
            continue
        column = only(role, free, path, "name the one that is meant {role}")
        if column and (role != "part" or (first and words.part(first[0][1][column]))):
            ours[column] = name
    if not ours:
        return header, rows, []
    said = "Columns taken: " + ", ".join(f"{column} for {name}" for column, name in ours.items())
    renamed = ((n, {ours.get(column, column): cell for column, cell in row.items()}) for n, row in rows)
    return [ours.get(column, column) for column in header], renamed, [said]


def _without_none(films: Table) -> Table:
    """Leave out the films labelled "none": beside two classes or more that is no class, but an empty cell's name."""
    classes = set(films.labels.different)
    none = {name for name in classes if name.lower() == words.NONE}
    return Table(film for film in films if film.label not in none) if none and len(classes - none) > 1 else films


def folders_beside(table: Path) -> list[str]:
    """Return the first folders beside a table, with a slash: where its films may lie."""
    with os.scandir(table.parent) as entries:
        return list(islice((f"{entry.name}/" for entry in entries if entry.is_dir()), FOLDERS))


def _as_stored(path: str, source: Source, folders: Iterable[str] = ()) -> str:
    """Return the path of a table's film as the file is named: with slashes for backslashes, without blanks around it,
    in Windows-1252, in one of the ``folders`` or with its ending, where nothing has the name as it stands."""
    spelt_plainly = path.isascii() and "\\" not in path and path == path.strip()
    if (spelt_plainly and not folders) or not path.strip() or _is_there(path, source):
        return path
    spelt = legible(path.strip())
    slashed = spelt.replace("\\", "/")
    tries = dict.fromkeys((path.strip(), path.replace("\\", "/"), spelt, slashed))
    return next((name for name in (*tries, *_nearby(slashed, folders)) if _is_there(name, source)), slashed)


def _nearby(name: str, folders: Iterable[str]) -> Iterator[str]:
    """Yield where a film may lie that its table names without its folder or its ending, as Kaggle's tables do."""
    if not name or DRIVE.match(name):
        return
    endings = ("",) if _ends_as_film(name) else ENDINGS
    yield from (folder + name + ending for folder in folders for ending in endings)


def _is_there(path: str, source: Source) -> bool:
    try:
        return bool(source(path, 1))
    except FilmError:
        return False


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8; one from bytes that were something else can't."""
    return name.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in name)


def _listed_again(numbers: Grown, places: Texts, labels: Kinds[str]) -> Iterator[tuple[int, str]]:
    """Yield (row, what is wrong) for each place that is listed more than once."""
    order, again = places.ranked()
    for rank in np.flatnonzero(again).tolist():
        place, before, now = int(order[rank]), labels[order[rank - 1]], labels[order[rank]]
        differently = f", as {before} and as {now}" if now != before else ""
        yield int(numbers.array[place]), f"lists {places[place]} again{differently}"
