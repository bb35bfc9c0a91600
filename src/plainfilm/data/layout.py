"""Which class and part each file of a folder or zip is of: by its folders, or by a table."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from plainfilm.data.films import Film, FilmError, Films, Source, Table
from plainfilm.data.reading import TABLE_ENDINGS, is_film, plain
from plainfilm.errors import InputError
from plainfilm.files import stream_csv

MAX_TABLE_BYTES = 512 * 2**20  # a table inside a folder or zip
TABLE_ROWS = 10_000  # of a Parquet file, turned into strings at a time
PART_NAMES = {
    **{name: "train" for name in ("train", "training")},
    **{name: "val" for name in ("val", "valid", "validation", "dev")},
    **{name: "test" for name in ("test", "testing")},
}
MASKS = {"mask", "masks", "lung masks", "lung_masks", "segmentation", "segmentations"}  # folders of no films


def from_files(names: list[str], source: Source, root: Path) -> Films:
    """Return the films among the files of a folder or zip, by its folders or by the one table in its root."""
    known = set(names)
    names = list(plain(names))
    tables = [n for n in names if "/" not in n and PurePosixPath(n).suffix.lower() in TABLE_ENDINGS]
    if len(tables) == 1 and (table := _table_inside(source, root, tables[0])):
        return from_table(root, *table, partial(_inside, source, known))
    pictures = [name for name in names if not _among_masks(name) and is_film(name, source)]
    places = _class_folders({_folder(name) for name in pictures})
    if any(place and place[0] for place in places.values()):
        places = {folder: place for folder, place in places.items() if not _second_copy(folder, place)}

    def film(name: str) -> Film:
        place = places[_folder(name)]
        if place is None:
            raise InputError(f"{root}: {name} is in no class folder; put it into a folder named after its class.")
        return Film(name, place[1], source, part=place[0])

    films = Table(film(name) for name in pictures if _folder(name) in places)
    left_out = sorted(set(names).difference(films.paths)) if len(films) < len(names) else []
    said = f"{len(left_out)} files that are not films, or lie among masks or in a second copy of the set, left out: "
    notes: tuple[str, ...] = (said + ", ".join(left_out[:3]),) if left_out else ()
    if inner := _same_inside(places):
        notes += (f"Each class folder holds the same folders {inner}: if these are the classes, put them outermost",)
    return Films(films, root.name or str(root), notes=notes)


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
        part = PART_NAMES.get(rest[0].lower(), "") if len(rest) > 1 else ""
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
        table = parquet.read_table(path if data is None else io.BytesIO(data))
        return list(table.column_names), _parquet_rows(path, table)
    except Exception as error:
        raise _no_parquet(path, error) from None


def _parquet_rows(path: Path, table: Any) -> Iterator[dict[str, str]]:
    try:
        for batch in table.to_batches(TABLE_ROWS):
            for row in batch.to_pylist():
                yield {name: "" if value is None else str(value) for name, value in row.items()}
    except Exception as error:
        raise _no_parquet(path, error) from None


def _no_parquet(path: Path, error: Exception) -> InputError:
    """Of Arrow's own errors, but also those of codecs, sizes and values."""
    said = " ".join(str(error).split())[:200]
    return InputError(f"{path} is not a Parquet file that can be read ({said}).")


def _table_inside(source: Source, root: Path, name: str) -> tuple[list[str], Iterator[dict[str, str]]] | None:
    """The table in a folder's or zip's root, when it is a list of films (``path`` and ``label``)."""
    try:
        data = source(name, MAX_TABLE_BYTES + 1)
    except FilmError as error:
        raise InputError(f"{root / name}: {error}.") from None
    if len(data) > MAX_TABLE_BYTES:
        raise InputError(f"{root / name} is larger than {MAX_TABLE_BYTES // 2**20} MB; name it as DATA itself.")
    header, rows = read_table(root / name, data)
    return (header, rows) if {"path", "label"} <= set(header) else None


def _inside(source: Source, known: set[str], name: str, first: int = 0) -> bytes:
    """A table inside a folder or zip speaks of the files there, and of no others."""
    if (inner := PurePosixPath(name).as_posix()) not in known:
        raise FilmError("no such file in the data set")
    return source(inner, first)


def from_table(path: Path, header: list[str], rows: Iterable[dict[str, str]], source: Source) -> Films:
    """Return the films that a table (``path,label[,patient,split]``) lists; those without a label are left out, with a
    note. InputError names the first rows that are wrong."""
    missing = [name for name in ("path", "label") if name not in header]
    if missing:
        hint = " (is it separated by commas, and are the names in small letters?)"
        raise InputError(f"{path} lacks the column {' and '.join(missing)}; it has: {', '.join(header)}{hint}.")
    problems: list[str] = []
    labels: dict[str, str] = {}
    films = Table()
    unknown = 0
    for number, row in enumerate(rows, 2):
        name, label, part = row["path"], row["label"].strip(), row.get("split", "").strip().lower()
        if not name:
            problems.append(f"row {number} has no path")
        elif part and part not in PART_NAMES:
            problems.append(f"row {number} has the unknown split '{part}' (train, val or test)")
        elif (place := os.path.normpath(name)) in labels:
            with_labels = "" if labels[place] == label else f", as {labels[place]} and as {label}"
            problems.append(f"row {number} lists {name} again{with_labels}")
        else:
            labels[place] = label
            unknown += not label
            if label:
                films.append(Film(name, label, source, row.get("patient", "").strip(), PART_NAMES.get(part, "")))
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise InputError(f"{path}: {'; '.join(problems[:5])}{more}.")
    said = (
        f"{unknown:,} of {len(labels):,} films have no label in {path.name} and are left out: unknown is not negative"
    )
    return Films(films, path.name, notes=(said,) if unknown else ())
