"""Any source of films -> one table. Nothing is decoded here; a film is a name, a label and a way to its bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from plainfilm.config import PROJECTIONS, READERS, UNCERTAINS
from plainfilm.data import dicom
from plainfilm.data.arrays import from_npz
from plainfilm.data.films import Film, FilmError, Films, Table
from plainfilm.data.findings import in_question
from plainfilm.data.frames import frame_rows, is_frame
from plainfilm.data.identity import (
    PSEUDONYM,
    check_pattern,
    find_patient,
    known_patterns,
    lost_digits,
    one_spelling,
    pseudonym,
)
from plainfilm.data.layout import folders_beside, from_files, from_table, is_text
from plainfilm.data.not_classes import ask_about_many
from plainfilm.data.place import Place
from plainfilm.data.reading import (
    PICTURE_ENDINGS,
    READABLE,
    beside,
    folder_files,
    kind,
    plain,
    read_file,
    zip_files,
)
from plainfilm.data.recognise import Found, near_tables, public_films, public_set, public_table
from plainfilm.errors import InputError, did_you_mean
from plainfilm.machine.memory import give_back
from plainfilm.storage.columns import Words
from plainfilm.storage.tables import is_table, read_table

SHEETS = {".xlsx", ".xls", ".xlsm", ".ods", ".numbers"}
ZIP_DEPTH = 2  # folders around a public set's tables in a zip
SYNTHETIC = "synthetic-"  # how the demo set's patients begin, in memory or written to a folder

Loose = tuple[str, Callable[[], bytes]]  # path as given, reader


@dataclass(frozen=True)
class Reading:
    """How a source is read, as the settings of the same names say."""

    patient_regex: str = ""
    findings: str = ""
    uncertain: str = "ignore"
    readers: str = "majority"
    projection: str = "frontal"
    question: str = ""  # the finding that is meant, if the source has findings and none is named

    def __post_init__(self) -> None:
        check_pattern(self.patient_regex)
        for name, known in (("uncertain", UNCERTAINS), ("readers", READERS), ("projection", PROJECTIONS)):
            if (value := getattr(self, name)) not in known:
                raise InputError(f"{name}={value!r} is not known.{did_you_mean(value, known)}")


def load(data: Any, patient_regex: str = "", fewest: int = 2, **reading: str) -> Films:
    """Return the films of ``data``: class folders, the Kaggle layout, CSV or Parquet, a zip, a MedMNIST npz, demo:N, a
    public set as its owner ships it, or a pandas DataFrame with such columns.

    Films come sorted by path whatever the file system's order. The patient is that of the table's column, else what
    ``patient_regex`` finds in the path, else the hash of a DICOM header's PatientID, else what a known data set's name
    says. ``reading``: findings ("all", "NAME" or "NAME,NAME"), uncertain, readers and projection, see docs/config.md.
    InputError when there are no films, or fewer than ``fewest`` classes.

    >>> films = pf.load("demo:40")
    >>> len(films), films.classes
    (40, ('NORMAL', 'PNEUMONIA'))
    """
    how = Reading(patient_regex, **reading)
    films = _read(data, how)
    films = _one_spelling_of_patients(films.with_films(_with_patients(films.films, patient_regex)))
    films = replace(films, synthetic=any(patient.startswith(SYNTHETIC) for patient in films.films.patients))
    films = _one_spelling(films)
    films = replace(films, notes=(*films.notes, *_columns_kept(films)))
    if not len(films):
        bad = films.quarantine
        first = f"; {len(bad)} files can't be read (first: {bad[0][0]}: {bad[0][1]})" if bad else ""
        raise InputError(f"{data} holds no films; expected one folder per class with {READABLE} inside{first}.")
    if wrong := next((name for name in films.classes if not is_text(name)), None):
        raise InputError(f"{data} has the class {os.fsencode(wrong)!r}, which is no UTF-8; name it otherwise.")
    if fewest > 1:
        ask_about_many(str(data), films.counts)
    if len(films.classes) < fewest and not films.findings:
        only = f"{films.classes[0]}, {len(films)} film{'s' * (len(films) > 1)}"
        raise InputError(f"{data} holds one class only ({only}); a classifier needs at least two class folders.")
    give_back()
    return films


def _with_patients(table: Table, pattern: str) -> Table:
    """Return the films with the patients that their paths name, where nothing else does."""
    if table.patients.filled.all():
        return table
    patterns = (pattern,) if pattern else known_patterns(table.paths)
    known = zip(table.paths, table.patients, strict=True)
    return table.with_patients(patient or find_patient(path, *patterns) for path, patient in known)


def _one_spelling_of_patients(films: Films) -> Films:
    """Take all spellings of a patient as one, and say so; say too where a spreadsheet made one of many."""
    patients, said = one_spelling(films.films.patients)
    notes = tuple(note for note in (said, lost_digits(patients)) if note)
    return replace(films, films=films.films.with_patients(patients), notes=films.notes + notes) if notes else films


def _one_spelling(films: Films) -> Films:
    """Take classes that differ in capitals only as one, spelt as most of their films are, and say so."""
    spelt: dict[str, list[str]] = {}
    for name, _ in sorted(films.counts.items(), key=lambda item: -item[1]):
        spelt.setdefault(name.lower(), []).append(name)
    twice = [names for names in spelt.values() if len(names) > 1]
    if not twice:
        return films
    said = "; ".join(f"{' and '.join(names[1:])} taken for {names[0]}" for names in twice)
    same = films.with_films(replace(film, label=spelt[film.label.lower()][0]) for film in films)
    return replace(same, notes=(*films.notes, f"Classes that differ in capitals only: {said}"))


def _read(data: Any, how: Reading) -> Films:
    """Return the films of any source, as the question that is asked about them wants them."""
    place, found = (None, None) if is_frame(data) or _is_demo(data) else _public(Path(data))
    if place and found:
        known = found.known
        films = _ask_headers(public_films(found, place, how.readers, how.projection == "all"), how.patient_regex)
        return in_question(films, how.findings, how.uncertain, how.question or known.question, known.beside)
    if is_frame(data):
        films = from_table(Path("DataFrame"), frame_rows(data), partial(beside, ""), how.findings, how.question)
    else:
        films = _from_demo(data) if _is_demo(data) else _from_path(Path(data), how)
    return in_question(films, how.findings, how.uncertain, how.question)


def _is_demo(data: Any) -> bool:
    return isinstance(data, str) and data.startswith("demo:")


def _public(path: Path) -> tuple[Place | None, Found | None]:
    """Return the files of a folder, zip or table's folder that hold a public set, and its tables; None for another."""
    if path.is_dir():
        place = Place.folder(path)
        return place, public_set(place, near_tables(path))
    if path.suffix.lower() == ".zip" and path.exists():
        names, source = zip_files(path)
        place = Place.listed(path, names, source)
        return place, public_set(place, [name for name in names if name.count("/") <= ZIP_DEPTH])
    if is_table(path) and path.exists():
        return public_table(path)
    return None, None


def _columns_kept(films: Films) -> list[str]:
    """Say which further columns came along."""
    shown = [name for name in films.films.columns if name not in films.also]
    more = f"; and as columns the other findings {', '.join(films.also)}" if films.also else ""
    return [f"Columns kept with each film: {', '.join(shown) or 'none'}{more}"] * bool(shown or more)


def _from_path(path: Path, how: Reading) -> Films:
    ending, pattern = path.suffix.lower(), how.patient_regex
    if not path.exists():
        raise InputError(f"{path} does not exist; give a folder of class folders, a CSV, a zip, an npz or demo:N.")
    if path.is_dir():
        files = from_files(folder_files(path), partial(beside, str(path)), path, how.findings, how.question)
        return _ask_headers(files, pattern)
    if is_table(path) or ending == ".txt":
        table, near = read_table(path), partial(beside, str(path.parent))
        listed = from_table(path, table, near, how.findings, how.question, folders_beside(path))
        return _ask_headers(listed, pattern)
    if ending == ".npz":
        return from_npz(path)
    if ending == ".zip":
        return _ask_headers(from_files(*zip_files(path), path, how.findings, how.question), pattern)
    hint = "; save the sheet as CSV" if ending in SHEETS else ""
    raise InputError(f"{path} is not a folder, CSV, Parquet, zip or npz file; give one of these, or demo:N{hint}.")


def _ask_headers(films: Films, pattern: str) -> Films:
    """Take from the headers of DICOM films the patient, where neither the table nor ``pattern`` names one, and the
    columns (``dicom.COLUMNS``) that the table lacks."""
    if not any(map(_may_have_header, films.films.paths)):
        return films
    patients, headers = [], []
    for place, (patient, path) in enumerate(zip(films.films.patients, films.films.paths, strict=True)):
        own, about = _header(films.films[place]) if _may_have_header(path) else ("", {})
        headers.append(about)
        patients.append(patient if patient or (pattern and find_patient(path, pattern)) else own)
    table = films.films.with_patients(patients)
    headed = [place for place, patient in enumerate(table.patients) if patient.startswith(PSEUDONYM)]
    own_names = all(table.patients[place] == pseudonym(PurePosixPath(table.paths[place]).stem) for place in headed)
    if headed and own_names and len({table.patients[place] for place in headed}) == len(headed):  # RSNA's films
        table = table.with_patients("" if p.startswith(PSEUDONYM) else p for p in table.patients)
    names = {name for about in headers for name in about} - table.columns.keys()
    more = {name: Words(about.get(name, "") for about in headers) for name in sorted(names)}
    table.columns = {**table.columns, **more}
    return replace(films, films=table)


def _may_have_header(path: str) -> bool:
    return not path.lower().endswith(PICTURE_ENDINGS)


def _header(film: Film) -> tuple[str, dict[str, str]]:
    """The first bytes of a file are enough in nearly all cases. A film that can't be read gets its reason later."""
    try:
        found = dicom.about(film.read(dicom.HEAD))
        return (dicom.about(film.read(), whole=True) if found is None else found) or ("", {})
    except FilmError:
        return "", {}


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
        folder = partial(beside, str(root))
        names, source = (folder_files(root), folder) if root.is_dir() else zip_files(root)
        found = False
        for name in plain(names):
            if kind(name, source):
                found = True
                yield f"{path}{'' if str(path).endswith('/') else '/'}{name}", partial(source, name)
        if not found:
            raise InputError(f"{path} holds no films; expected {READABLE} (a zip inside it must be unpacked).")
    elif os.path.lexists(root):
        yield str(path), partial(read_file, root)
    else:
        raise InputError(f"{path} does not exist; give films, folders or zips.")


def _from_demo(data: str) -> Films:
    from plainfilm.data.demo_films import draw, phantom_findings, phantom_set  # scipy is loaded only to draw films

    number, _, kind = data.removeprefix("demo:").partition(":")
    if not number.isdecimal() or kind not in ("", "findings"):
        raise InputError(f"{data} is not of the form demo:N, such as demo:240, or demo:N:findings.")
    of_findings = bool(kind)
    phantoms = {film.path: film for film in (phantom_findings if of_findings else phantom_set)(int(number))}

    def drawn(path: str, first: int = 0) -> bytes:
        return draw(phantoms[path])[: first or None]

    cells = {path: film.cells if of_findings else {} for path, film in phantoms.items()}
    return Films(
        Table(Film(f.path, f.label, drawn, f.patient, findings=cells[f.path]) for f in phantoms.values()), data
    )
