"""Any source of films -> one table. Nothing is decoded here; a film is a name, a label and a way to its bytes."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from plainfilm.data import dicom
from plainfilm.data.films import (
    PARTS,
    Film,
    FilmError,
    Films,
    Source,
    Table,
    check_pattern,
    find_patient,
    known_patterns,
)
from plainfilm.errors import InputError
from plainfilm.files import cache_dir, replacing, stream_csv
from plainfilm.memory import give_back

MAX_BYTES = 16 * 2**20  # a film's file, as uploaded or stored; for DICOM and TIFF see most_bytes
MAX_FILMS = 5_000_000
MAX_TABLE_BYTES = 512 * 2**20  # a table inside a folder or zip
TABLE_ROWS = 10_000  # of a Parquet file, turned into strings at a time
MAX_ARRAY_BYTES = 32 * 2**30  # one array of a MedMNIST file
IN_MEMORY = 64 * 2**20  # a larger one stays on disk

PICTURE_ENDINGS = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}
FILM_ENDINGS = PICTURE_ENDINGS | {".dcm", ".dicom"}
TABLE_ENDINGS = {".csv", ".parquet"}
TIFF = (b"II*\0", b"MM\0*")
PICTURES = (b"\xff\xd8\xff", b"\x89PNG", *TIFF)  # how JPEG, PNG and TIFF files begin
JUNK = {".ds_store", "thumbs.db", "desktop.ini", "dicomdir"}
PART_NAMES = {
    **{name: "train" for name in ("train", "training")},
    **{name: "val" for name in ("val", "valid", "validation", "dev")},
    **{name: "test" for name in ("test", "testing")},
}
MASKS = {"mask", "masks", "lung masks", "lung_masks", "segmentation", "segmentations"}  # folders of no films
SYNTHETIC = "synthetic-"  # how the demo set's patients begin, in memory or written to a folder
MEDMNIST_CLASSES = {"pneumoniamnist": ("normal", "pneumonia")}

Loose = tuple[str, Callable[[], bytes]]  # path as given, reader


def load(data: str | os.PathLike[str], patient_regex: str = "", fewest: int = 2) -> Films:
    """Return the films of ``data``: class folders, the Kaggle layout, CSV or Parquet, a zip, a MedMNIST npz, demo:N.

    Films come sorted by path whatever the file system's order. The patient is that of the table's column, else what
    ``patient_regex`` finds in the path, else the hash of a DICOM header's PatientID, else what a known data set's name
    says. InputError when there are no films, or fewer than ``fewest`` classes.
    """
    check_pattern(patient_regex)
    films = _from_demo(str(data)) if str(data).startswith("demo:") else _from_path(Path(data), patient_regex)
    patterns = (patient_regex,) if patient_regex else known_patterns(films.films.paths)
    films = films.with_films(replace(f, patient=f.patient or find_patient(f.path, *patterns)) for f in films)
    films = replace(films, synthetic=any(patient.startswith(SYNTHETIC) for patient in films.films.patients))
    if not len(films):
        raise InputError(
            f"{data} holds no films; expected one folder a class with JPEG, PNG, TIFF or DICOM files inside."
        )
    if len(films.classes) < fewest:
        only = f"{films.classes[0]}, {len(films)} film{'s' * (len(films) > 1)}"
        raise InputError(f"{data} holds one class only ({only}); a classifier needs at least two class folders.")
    give_back()
    return films


def load_again(config: Mapping[str, Any]) -> Films:
    """Return the films that a run was made of, by its config.json, whichever folder the run's command was given in.

    InputError when they are no longer there; KeyError or TypeError when ``config`` is none of a run.
    """
    data = str(config["data"])
    from_there = Path(config.get("folder", "")) / data  # what has the same name here may be other films
    there = not data.startswith("demo:") and from_there.exists()
    return load(from_there if there else data, config["settings"]["patient_regex"])


def _from_path(path: Path, pattern: str) -> Films:
    ending = path.suffix.lower()
    if not path.exists():
        raise InputError(f"{path} does not exist; give a folder of class folders, a CSV, a zip, an npz or demo:N.")
    if path.is_dir():
        return _ask_headers(_from_files(list(_folder_files(path)), partial(_beside, str(path)), path), pattern)
    if ending in TABLE_ENDINGS:
        return _ask_headers(_from_table(path, *_read_table(path), partial(_beside, str(path.parent))), pattern)
    if ending == ".npz":
        return _from_npz(path)
    if ending == ".zip":
        return _ask_headers(_from_files(*_zip_files(path), path), pattern)
    raise InputError(f"{path} is not a folder, CSV, Parquet, zip or npz file; give one of these, or demo:N.")


def _ask_headers(films: Films, pattern: str) -> Films:
    """Take the patient of DICOM films from their headers where neither the table nor ``pattern`` names one."""

    def asked(film: Film) -> Film:
        named = film.patient or (pattern and find_patient(film.path, pattern))
        return film if named else replace(film, patient=_patient_in_header(film))

    return films.with_films(asked(film) for film in films)


def _patient_in_header(film: Film) -> str:
    """The first bytes of a file are enough in nearly all cases. A film that can't be read gets its reason later."""
    if PurePosixPath(film.path).suffix.lower() in PICTURE_ENDINGS:
        return ""
    try:
        found = dicom.patient(film.read(dicom.HEAD))
        return (dicom.patient(film.read()) if found is None else found) or ""
    except FilmError:
        return ""


def loose(path: str | os.PathLike[str]) -> list[Loose]:
    """Return all that ``stream`` yields; 0.8 KB of memory a film."""
    return list(stream(path))


def unlabelled(path: str | os.PathLike[str]) -> Films:
    """Return the films of ``stream`` as a set of one empty class."""
    readers = dict(stream(path))

    def read(name: str, first: int = 0) -> bytes:
        return readers[name]()

    return Films(Table(Film(name, "", read) for name in readers), Path(path).name)


def stream(path: str | os.PathLike[str]) -> Iterator[Loose]:
    """Yield (path as given, reader) of every film in a file, folder or zip, sorted, whatever its class.

    A folder is listed while it is gone through: what is kept are the names in the folders under way, not those of all
    films. InputError when there is no such path, or no film in it.
    """
    root = Path(path)
    if str(path).startswith("demo:"):
        yield from ((film.path, film.read) for film in _from_demo(str(path)))
    elif root.is_dir() or (root.suffix.lower() == ".zip" and root.exists()):
        folder = partial(_beside, str(root))
        names, source = (_folder_files(root), folder) if root.is_dir() else _zip_files(root)
        found = False
        for name in _plain(names):
            if _is_film(name, source):
                found = True
                yield f"{path}{'' if str(path).endswith('/') else '/'}{name}", partial(source, name)
        if not found:
            raise InputError(
                f"{path} holds no films; expected JPEG, PNG, TIFF or DICOM files (a zip inside it must be unpacked)."
            )
    elif os.path.lexists(root):
        yield str(path), partial(read_file, root)
    else:
        raise InputError(f"{path} does not exist; give films, folders or zips.")


# --- folders and zips -------------------------------------------------------------------------------------------------


def most_bytes(head: bytes) -> int:
    """Return how many bytes a film's file may have, by its first 132: DICOM and TIFF are often not compressed."""
    return dicom.MAX_BYTES if dicom.is_dicom(head) or head.startswith(TIFF) else MAX_BYTES


def read_file(path: str | Path, first: int = 0) -> bytes:
    """Return a regular file's bytes, or only its ``first`` ones; FilmError says why not (too large, no permission)."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise FilmError("not a regular file")
        with open(path, "rb") as handle:
            if first:
                return handle.read(first)
            limit = most_bytes(handle.read(132)) if found.st_size > MAX_BYTES else MAX_BYTES
            if found.st_size > limit:
                raise FilmError(f"file of {found.st_size / 2**20:.0f} MB; the limit is {limit // 2**20} MB")
            handle.seek(0)
            return handle.read(limit)
    except (OSError, ValueError) as error:  # ValueError: a table's name with a zero byte
        raise FilmError(f"can't be read: {getattr(error, 'strerror', None) or error}") from None


def _beside(folder: str, name: str, first: int = 0) -> bytes:
    return read_file(os.path.join(folder, name), first)


def _folder_files(root: Path, inner: str = "", seen: set[str] | None = None) -> Iterator[str]:
    """Yield the path of every file below ``root``, relative to it, in the order of those paths as text.

    A folder stands in the order as its name with the slash, as in the paths below it. A link to a folder is followed
    when that lies outside of ``root``, does not hold it, and was not come to before: else films would be there twice.
    """
    seen = set() if seen is None else seen
    with os.scandir(f"{root}/{inner}") as entries:
        names = sorted(
            f"{entry.name}/" if _is_folder(entry) else entry.name for entry in entries if not _is_junk(entry.name)
        )
    for name in names:
        if not name.endswith("/"):
            yield inner + name
        elif not os.path.islink(f"{root}/{inner}{name[:-1]}") or _outside(root, inner + name, seen):
            yield from _folder_files(root, inner + name, seen)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _outside(root: Path, inner: str, seen: set[str]) -> bool:
    """Whether a link leads out of ``root``, to what neither holds it nor was met (it is noted in ``seen``)."""
    home, there = os.path.realpath(root), os.path.realpath(f"{root}/{inner}")
    apart = os.path.commonpath([home, there]) not in (home, there)
    new = apart and not any(os.path.commonpath([there, other]) in (there, other) for other in seen)
    seen.update([there] if new else [])
    return new


def _zip_files(path: Path) -> tuple[list[str], Source]:
    """Return the paths of a zip's files in their order, and what reads them."""
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # a hostile directory can fail in struct, a codec or an index
        raise InputError(f"{path} is not a zip file that can be read ({error}).") from None
    members = [m for m in archive.infolist() if m.filename and not m.is_dir()]
    if len(members) > MAX_FILMS:
        raise InputError(f"{path} holds {len(members):,} files; the limit is {MAX_FILMS:,}.")
    times = Counter(m.filename for m in members)
    twice = {name for name, count in times.items() if count > 1}
    return sorted(times), partial(_read_member, archive, twice)


def _read_member(archive: zipfile.ZipFile, twice: set[str], name: str, first: int = 0) -> bytes:
    member = archive.getinfo(name)
    if name in twice:
        raise FilmError("two zip members have this name")
    if member.flag_bits & 1:
        raise FilmError("encrypted inside the zip")
    try:
        with archive.open(member) as handle:
            data = handle.read(first or MAX_BYTES + 1)  # the size in the zip's directory may lie
            limit = most_bytes(data)
            if not first and MAX_BYTES < len(data) <= limit:
                data += handle.read(limit + 1 - len(data))
    except Exception as error:  # a hostile zip can fail in zlib, lzma, struct or the codec of a name
        raise FilmError(f"can't be unpacked: {error}") from None
    if len(data) > limit:
        raise FilmError(f"larger than {limit // 2**20} MB when unpacked")
    return data


def _is_junk(name: str) -> bool:
    return name.startswith((".", "__MACOSX")) or name.lower() in JUNK


def _from_files(names: list[str], source: Source, root: Path) -> Films:
    """Return the films among the files of a folder or zip, by its folders or by the one table in its root."""
    known = set(names)
    names = list(_plain(names))
    tables = [n for n in names if "/" not in n and PurePosixPath(n).suffix.lower() in TABLE_ENDINGS]
    if len(tables) == 1 and (table := _table_inside(source, root, tables[0])):
        return _from_table(root, *table, partial(_inside, source, known))
    pictures = [name for name in names if not _among_masks(name) and _is_film(name, source)]
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


def _plain(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if not any(_is_junk(part) for part in PurePosixPath(name).parts))


def _among_masks(name: str) -> bool:
    return bool(MASKS & {part.lower() for part in PurePosixPath(name).parts[:-1]})


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _is_film(name: str, source: Source) -> bool:
    """A film by its ending, or by its first bytes where the ending is missing or unknown."""
    ending = PurePosixPath(name).suffix.lower()
    if ending in FILM_ENDINGS:
        return True
    if ending in TABLE_ENDINGS | {".txt", ".md", ".json", ".html", ".pdf", ".py", ".npz", ".zip", ".h5"}:
        return False
    try:
        head = source(name, 132)
    except FilmError:
        return False
    return head.startswith(PICTURES) or dicom.is_dicom(head)


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


def _read_table(path: Path, data: bytes | None = None) -> tuple[list[str], Iterator[dict[str, str]]]:
    """Return (header, rows) of a CSV or Parquet file, of ``data`` where its bytes are at hand already."""
    if path.suffix.lower() == ".csv":
        return stream_csv(path, data)
    try:
        from pyarrow import parquet
    except ImportError:
        raise InputError(f"{path}: Parquet needs the package pyarrow; run: pip install 'plainfilm[parquet]'.") from None
    try:
        table = parquet.read_table(path if data is None else io.BytesIO(data))
    except Exception as error:
        raise _no_parquet(path, error) from None
    return list(table.column_names), _parquet_rows(path, table)


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
    header, rows = _read_table(root / name, data)
    return (header, rows) if {"path", "label"} <= set(header) else None


def _inside(source: Source, known: set[str], name: str, first: int = 0) -> bytes:
    """A table inside a folder or zip speaks of the files there, and of no others."""
    if (inner := PurePosixPath(name).as_posix()) not in known:
        raise FilmError("no such file in the data set")
    return source(inner, first)


def _from_table(path: Path, header: list[str], rows: Iterable[dict[str, str]], source: Source) -> Films:
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


# --- MedMNIST and the demo set ----------------------------------------------------------------------------------------


def _from_npz(path: Path) -> Films:
    films = Table()
    parts: dict[str, np.ndarray] = {}
    source = partial(_as_png, parts)
    names = next((v for k, v in MEDMNIST_CLASSES.items() if path.name.lower().startswith(k)), ())
    try:
        with zipfile.ZipFile(path) as archive:
            large = [m.filename for m in archive.infolist() if m.file_size > MAX_ARRAY_BYTES]
        if large:
            raise InputError(f"{path}: {large[0]} unpacks to more than {MAX_ARRAY_BYTES // 2**30} GB.")
        with np.load(path, allow_pickle=False) as arrays:
            for part in PARTS:
                if f"{part}_images" in arrays:
                    parts[part], labels = _array(path, arrays, f"{part}_images"), arrays[f"{part}_labels"].reshape(-1)
                    _check_arrays(path, part, parts[part], labels)
                    for i, c in enumerate(labels.tolist()):
                        label = names[int(c)] if int(c) < len(names) else str(int(c))
                        films.append(Film(f"{part}/{i:06d}", label, source, part=part))
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a hostile file can fail in zlib, struct, a header's syntax or a codec
        raise InputError(f"{path} is not a MedMNIST file that can be read ({error}).") from None
    return Films(films, path.name)


def _array(path: Path, arrays: Any, name: str) -> np.ndarray:
    """Return one array of an npz; a large one is unpacked into the cache once and read from there, film by film."""
    member = arrays.zip.getinfo(f"{name}.npy")
    if member.file_size <= IN_MEMORY:
        return np.asarray(arrays[name])
    key = f"{path.resolve()} {path.stat().st_mtime_ns} {member.CRC} {member.file_size} {name}"
    unpacked = (
        cache_dir() / "unpacked" / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.npy"
    )
    if not unpacked.exists():
        with arrays.zip.open(member) as packed, replacing(unpacked) as temporary, open(temporary, "wb") as file:
            shutil.copyfileobj(packed, file, 2**20)
    return np.asarray(np.load(unpacked, mmap_mode="r", allow_pickle=False))


def _check_arrays(path: Path, part: str, images: np.ndarray, labels: np.ndarray) -> None:
    grey_or_colour = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3)
    if images.dtype != np.uint8 or not grey_or_colour or len(labels) != len(images):
        raise InputError(f"{path}: {part}_images must be 8-bit (N, H, W) or (N, H, W, 3) with one label each.")


def _as_png(images: Mapping[str, np.ndarray], name: str, first: int = 0) -> bytes:
    """One image of an array as a file, so that it passes through the same decoder as every other film."""
    from PIL import Image

    part, number = name.split("/")
    buffer = io.BytesIO()
    Image.fromarray(images[part][int(number)]).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()[: first or None]


def _from_demo(data: str) -> Films:
    from plainfilm.data.phantom import draw, phantom_set  # scipy is loaded only when films are drawn

    try:
        count = int(data.removeprefix("demo:"))
    except ValueError:
        raise InputError(f"{data} is not of the form demo:N, such as demo:240.") from None
    phantoms = {film.path: film for film in phantom_set(count)}

    def drawn(path: str, first: int = 0) -> bytes:
        return draw(phantoms[path])[: first or None]

    return Films(Table(Film(f.path, f.label, drawn, f.patient) for f in phantoms.values()), data)
