"""Which class and part each file of a folder or zip is of: by its folders, or by a table."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from itertools import islice, takewhile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from plainfilm.data.films import Film, FilmError, Films, Source, Table
from plainfilm.data.reading import TABLE_ENDINGS, is_film, plain
from plainfilm.errors import InputError
from plainfilm.storage.columns import Kinds, Texts
from plainfilm.storage.files import SUMS
from plainfilm.storage.tables import stream_csv

MAX_TABLE_BYTES = 512 * 2**20  # a table inside a folder or zip
COLUMNS = ("path", "label", "patient", "split")  # of a list of films; the first two must be there
FIRST_ROW = 2  # of a table: the header is the first
TABLE_ROWS = 10_000  # of a Parquet file, turned into strings at a time
PART_NAMES = {
    **{name: "train" for name in ("train", "training")},
    **{name: "val" for name in ("val", "valid", "validation", "dev")},
    **{name: "test" for name in ("test", "testing")},
}
OURS = tuple(  # files that stand together in the folders that each command writes
    {SUMS, *marks}
    for marks in (
        ("audit.json", "manifest.csv"),
        ("config.json", "model.json"),
        ("folds.json", "runs.csv"),
        ("search.json", "search.csv"),
        ("explain.json", "explain.csv"),
        ("adapt.json", "model.h5"),
        ("metrics.json", "predictions.csv"),
    )
)
MASKS = {"mask", "masks", "lung masks", "lung_masks", "segmentation", "segmentations"}  # folders of no films


def from_files(files: Iterable[str], source: Source, root: Path) -> Films:
    """Return the films among the files, ascending, of a folder or zip, by its folders or by the one table in its
    root."""
    files = Texts(files)
    names = Texts(plain(files))
    around = _around_everything(names)
    tables = [n for n in names if n.rpartition("/")[0] == around and PurePosixPath(n).suffix.lower() in TABLE_ENDINGS]
    listing = {name: table for name in tables if (table := _table_inside(source, root, name))}
    if len(listing) > 1:
        raise InputError(
            f"{root} holds several lists of films ({', '.join(listing)}); name the one that is meant as DATA."
        )
    for name, table in listing.items():
        listed = from_table(root, *table, partial(_inside, source, set(files), around))
        return replace(listed, notes=(*listed.notes, f"Which films, and their labels, are taken from {name}"))
    outputs = tuple(folder for folder in _outputs(names) if not f"{around}/".startswith(folder))
    pictures = Texts(
        name for name in names if not _among_masks(name) and not name.startswith(outputs) and is_film(name, source)
    )
    places = _class_folders({_folder(name) for name in pictures})
    if any(place and place[0] for place in places.values()):
        places = {folder: place for folder, place in places.items() if not _second_copy(folder, place)}

    def film(name: str) -> Film:
        place = places[_folder(name)]
        if place is None:
            raise InputError(f"{root}: {name} is in no class folder; put it into a folder named after its class.")
        return Film(name, place[1], source, part=place[0])

    films = Table(film(name) for name in pictures if _folder(name) in places)
    left_out = len(names) - len(films)
    where = "among masks, in what plainfilm wrote" if outputs else "among masks"
    said = f"{left_out} files that are not films, or lie {where} or in a second copy of the set, left out: "
    notes: tuple[str, ...] = (said + ", ".join(islice(_others(names, films.paths), 3)),) if left_out else ()
    if inner := _same_inside(places):
        notes += (f"Each class folder holds the same folders {inner}: if these are the classes, put them outermost",)
    return Films(films, root.name or str(root), notes=notes)


def _around_everything(names: Texts) -> str:
    """Return the folder that all files lie in, the innermost; "" where that is the root. Names are ascending."""
    first, last = (_folder(names[k]).split("/") if len(names) else [""] for k in (0, -1))
    return "/".join(part for part, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))


def _outputs(names: Iterable[str]) -> tuple[str, ...]:
    """Return the folders inside, with a slash, that plainfilm wrote: its pictures are no films."""
    endings = tuple(f"/{mark}" for mark in {mark for marks in OURS for mark in marks})
    there: dict[str, set[str]] = {}
    for name in names:
        if name.endswith(endings):
            there.setdefault(_folder(name), set()).add(name.rpartition("/")[2])
    return tuple(sorted(f"{folder}/" for folder, marks in there.items() if any(own <= marks for own in OURS)))


def _others(names: Iterable[str], kept: Iterable[str]) -> Iterator[str]:
    """Yield those of ``names`` that are not among ``kept``, which come in the same order."""
    following = iter(kept)
    awaited = next(following, None)
    for name in names:
        if name == awaited:
            awaited = next(following, None)
        else:
            yield name


def _among_masks(name: str) -> bool:
    return bool(MASKS & {part.lower() for part in PurePosixPath(name).parts[:-1]})


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _class_folders(names: set[str]) -> dict[str, tuple[str, str] | None]:
    """Return {folder: (part, label) of its films}; None where no folder names the class."""
    folders = {name: PurePosixPath(name).parts for name in names}
    depth = 0
    while folders and all(len(f) > depth + 1 for f in folders.values()):
        firsts = {f[depth] for f in folders.values()}
        if len(firsts) > 1 or next(iter(firsts)).lower() in PART_NAMES:
            break
        depth += 1  # a folder around everything, such as chest_xray/
    found: dict[str, tuple[str, str] | None] = {}
    for name, parts in folders.items():
        rest = parts[depth:]
        part = PART_NAMES.get(rest[0].lower(), "") if rest else ""
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
    return bool(place and not place[0]) and any(p.lower() in PART_NAMES for p in PurePosixPath(folder).parts[1:])


# --- tables -----------------------------------------------------------------------------------------------------------


def read_table(path: Path, data: bytes | None = None) -> tuple[list[str], Iterator[dict[str, str]]]:
    """Return (header, rows) of a CSV or Parquet file, of ``data`` where its bytes are at hand already."""
    if path.suffix.lower() == ".csv":
        return stream_csv(path, data)
    try:
        from pyarrow import parquet
    except ImportError:
        raise InputError(f"{path}: Parquet needs the package pyarrow; run: pip install 'plainfilm[parquet]'.") from None
    try:
        table = parquet.ParquetFile(path if data is None else io.BytesIO(data))
        return list(table.schema_arrow.names), _parquet_rows(path, table)
    except Exception as error:
        raise _no_parquet(path, error) from None


def _parquet_rows(path: Path, table: Any) -> Iterator[dict[str, str]]:
    try:
        for batch in table.iter_batches(TABLE_ROWS):
            for row in batch.to_pylist():
                yield {name: "" if value is None or value != value else str(value) for name, value in row.items()}
    except Exception as error:
        raise _no_parquet(path, error) from None


def _no_parquet(path: Path, error: Exception) -> InputError:
    """Of Arrow's own errors, but also those of codecs, sizes and values."""
    said = " ".join(str(error).split())[:200]
    return InputError(f"{path} is not a Parquet file that can be read ({said}).")


def _table_inside(source: Source, root: Path, name: str) -> tuple[list[str], Iterator[dict[str, str]]] | None:
    """The table, when it is a list of films: with ``path`` and ``label``, and none of the probabilities that our own
    tables of what a model said have."""
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
    return (header, rows) if {*COLUMNS[:2]} <= _columns(header).keys() and not said else None


def _inside(source: Source, known: set[str], around: str, name: str, first: int = 0) -> bytes:
    """A table inside a folder or zip, in its folder ``around``, speaks of the files there, and of no others."""
    for inner in ((PurePosixPath(around) / name).as_posix(), PurePosixPath(name).as_posix()):
        if inner in known:
            return source(inner, first)
    raise FilmError("no such file in the data set")


def from_table(path: Path, header: list[str], rows: Iterable[dict[str, str]], source: Source) -> Films:
    """Return the films that a table (``path,label[,patient,split]``) lists; those without a label are left out, with a
    note. InputError names the first rows that are wrong."""
    column = _columns(header)
    missing = [name for name in COLUMNS[:2] if name not in column]
    if missing:
        hint = " (is it separated by commas?)"
        raise InputError(f"{path} lacks the column {' and '.join(missing)}; it has: {', '.join(header)}{hint}.")
    problems: list[tuple[int, str]] = []
    places, labels, films = Texts(), Kinds[str](), Table()
    for number, row in enumerate(rows, FIRST_ROW):
        name = row[column["path"]]
        label, patient, part = (row[column[key]].strip() if key in column else "" for key in COLUMNS[1:])
        part = part.lower()
        places.append(os.path.normpath(name) if name else f"\0{number}")
        labels.append(label)
        if not name:
            problems.append((number, "has no path"))
        elif strange := next((cell for cell in (label, patient) if not is_text(cell)), None):
            problems.append((number, f"has {os.fsencode(strange)!r}, which is no UTF-8; save the table as UTF-8"))
        elif part and part not in PART_NAMES:
            problems.append((number, f"has the unknown split '{part}' (train, val or test)"))
        elif label:
            films.append(Film(name, label, source, patient, PART_NAMES.get(part, "")))
    problems += _listed_again(places, labels)
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        first = "; ".join(f"row {number} {what}" for number, what in sorted(problems)[:5])
        raise InputError(f"{path}: {first}{more}.")
    unknown = len(places) - len(films)
    said = (
        f"{unknown:,} of {len(places):,} films have no label in {path.name} and are left out: unknown is not negative"
    )
    like = [name for name in header if "patient" in name.lower()] if "patient" not in column else []
    unused = f"No column of {path.name} is named patient; {', '.join(like)}: not used"
    return Films(films, path.name, notes=(said,) * (unknown > 0) + (unused,) * bool(like))


def _columns(header: Sequence[str]) -> dict[str, str]:
    """Return which of the header's names is each of COLUMNS, in whatever capitals."""
    return {name.lower(): name for name in sorted(header) if name.lower() in COLUMNS}  # small letters sort last


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8; one from bytes that were something else can't."""
    return name.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in name)


def _listed_again(places: Texts, labels: Kinds[str]) -> Iterator[tuple[int, str]]:
    """Yield (row, what is wrong) for each place that is listed more than once."""
    order, again = places.ranked()
    for rank in np.flatnonzero(again).tolist():
        place, before, now = int(order[rank]), labels[order[rank - 1]], labels[order[rank]]
        differently = f", as {before} and as {now}" if now != before else ""
        yield place + FIRST_ROW, f"lists {places[place]} again{differently}"
