"""How owners' tables of public sets become rows of one form, a reader for each set; ``public`` says which is whose."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from plainfilm.data.films import NEGATIVE, POSITIVE, UNCERTAIN, UNKNOWN
from plainfilm.data.words import years
from plainfilm.errors import InputError

Cells = dict[str, str]  # of one row, by column
Numbered = Iterable[tuple[int, Cells]]


class Tabled(NamedTuple):
    """One table of a set: where it is, its columns, and what reads its rows, with their numbers, from the first on."""

    path: str
    header: list[str]
    read: Callable[[], Numbered]

    @property
    def rows(self) -> Numbered:
        """The rows from the first on, as often as asked for."""
        return self.read()


class Row(NamedTuple):
    """One film as its owner's table tells it."""

    path: str
    cells: bytes  # (F,) int8 of the set's findings
    patient: str = ""
    part: str = ""
    lateral: str = ""  # the word for a view that is not frontal
    further: tuple[str, ...] = ()  # cells of the listing's columns


@dataclass
class Listing:
    """What a set's tables say. ``rows`` can be gone through once; ``notes`` is complete after that."""

    findings: tuple[str, ...]
    rows: Iterable[Row]
    columns: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # columns that are not kept
    notes: list[str] = field(default_factory=list)


class Given(NamedTuple):
    """The tables of a set that were found, by kind, what else may be asked for, and how readers are counted."""

    tables: Mapping[str, list[Tabled]]
    text: Callable[[str], str]  # another file of the set by its name; "" where it is not there
    readers: str = "majority"


WORDS = {
    **dict.fromkeys(("1", "1.0"), POSITIVE),
    **dict.fromkeys(("0", "0.0"), NEGATIVE),
    **dict.fromkeys(("-1", "-1.0"), UNCERTAIN),
    "": UNKNOWN,
}
BYTES = {word: value % 256 for word, value in WORDS.items()}
POS, NEG, UNK = POSITIVE % 256, NEGATIVE % 256, UNKNOWN % 256


def _named_cells(table: Tabled, findings: Sequence[str]) -> Callable[[int, Cells], bytes]:
    """Return what makes the cells of two ``findings`` or more of a row, by its number."""
    asked = itemgetter(*findings)

    def cells(number: int, row: Cells) -> bytes:
        try:
            return bytes(map(BYTES.__getitem__, asked(row)))
        except KeyError as error:
            said = f"{error.args[0]!r} is no finding's value (1, 0, -1 for uncertain, or empty)"
            raise InputError(f"{table.path}, row {number}: {said}.") from None

    return cells


def _further(
    header: Iterable[str], renamed: Mapping[str, str], used: Iterable[str], dropped: Iterable[str] = ()
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return {name it is kept by: column} and which columns are not kept."""
    away = {*used, *dropped}
    kept = {renamed.get(name, name): name for name in header if name not in away}
    return kept, tuple(name for name in dropped if name in set(header))


# --- NIH ChestX-ray14 -------------------------------------------------------------------------------------------------

NIH_FINDINGS = (
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia"),
    *("Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax", "No Finding"),
)


def nih(given: Given) -> Listing:
    """Read findings from one cell, with bars between them; parts are those of the lists beside the table."""
    (table,) = given.tables["labels"]
    renamed = {
        **{"Patient Age": "age", "Patient Gender": "sex", "View Position": "view", "Follow-up #": "follow-up"},
        **{"OriginalImage[Width": "original width", "Height]": "original height"},
        **{"OriginalImagePixelSpacing[x": "pixel spacing x", "y]": "pixel spacing y"},
    }
    kept, _ = _further(table.header, renamed, ("Image Index", "Finding Labels", "Patient ID"))
    parts = dict.fromkeys(given.text("train_val_list.txt").split(), "train")
    parts |= dict.fromkeys(given.text("test_list.txt").split(), "test")
    place = {name: k for k, name in enumerate(NIH_FINDINGS)}

    def rows() -> Iterator[Row]:
        known: dict[str, bytes] = {}  # the same few thousand combinations come again and again
        for number, row in table.rows:
            said = row["Finding Labels"]
            if said not in known:
                cells = bytearray(len(NIH_FINDINGS))
                for name in said.split("|"):
                    if name not in place:
                        raise InputError(f"{table.path}, row {number}: '{name}' is no finding of NIH ChestX-ray14.")
                    cells[place[name]] = POS
                known[said] = bytes(cells)
            name, patient = row["Image Index"], row["Patient ID"]
            further = tuple(years(row[c]) if k == "age" else row[c] for k, c in kept.items())
            patient = f"{int(patient):08d}" if patient.isascii() and patient.isdigit() else patient
            yield Row(name, known[said], patient, parts.get(name, ""), further=further)

    return Listing(NIH_FINDINGS, rows(), tuple(kept))


# --- CheXpert ---------------------------------------------------------------------------------------------------------


CHEXPERT_PATIENT = re.compile(r"patient\d+")


def chexpert(given: Given) -> Listing:
    """Read a column a finding; parts are those of the tables' names, patients those of the paths."""
    tables = given.tables["labels"]
    about = ("sex", "age", "frontal/lateral", "ap/pa")
    small = {name.lower(): name for name in tables[0].header}
    findings = tuple(name for name in tables[0].header if name.lower() not in ("path", *about))
    path, sex, age, side, view = (small[name] for name in ("path", *about))

    def rows() -> Iterator[Row]:
        for table in tables:
            name = table.path.rpartition("/")[2].partition(".")[0].lower()
            part = next((p for word, p in (("valid", "val"), ("test", "test"), ("train", "train")) if word in name), "")
            cells = _named_cells(table, findings)
            for number, row in table.rows:
                patient = CHEXPERT_PATIENT.search(row[path])
                yield Row(
                    row[path],
                    cells(number, row),
                    patient[0] if patient else "",
                    part,
                    "" if row[side] == "Frontal" else row[side] or "no view",
                    (row[sex], row[age], row[view]),
                )

    return Listing(findings, rows(), ("sex", "age", "view"))


# --- RSNA Pneumonia ---------------------------------------------------------------------------------------------------

RSNA_KINDS = ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")


def rsna(given: Given) -> Listing:
    """Read boxes: the rows of one film are one film. Without the second table it is not known which films without
    opacity are normal."""
    target: dict[str, str] = {}
    kinds: dict[str, str] = {}
    small = "patientid"
    for table in given.tables.get("boxes", []):
        column = {name.lower(): name for name in table.header}
        for _, row in table.rows:
            film = row[column[small]]
            target[film] = max(target.get(film, "0"), row[column["target"]].removesuffix(".0"))
    for table in given.tables.get("kinds", []):
        column = {name.lower(): name for name in table.header}
        kinds |= {row[column[small]]: row[column["class"]] for _, row in table.rows}
    mapping = given.text("pneumonia-challenge-dataset-mappings_2018.json")
    patients = {row["subset_img_id"]: row["img_id"].split("_")[0] for row in json.loads(mapping or "[]")}
    findings = RSNA_KINDS if kinds else RSNA_KINDS[:1]

    def rows() -> Iterator[Row]:
        for film in sorted(target.keys() | kinds.keys()):
            kind = kinds.get(film, "")
            cells = [POS if name == kind else NEG for name in findings] if kind else [UNK] * len(findings)
            if film in target:
                cells[0] = POS if target[film] == "1" else NEG
            yield Row(f"stage_2_train_images/{film}.dcm", bytes(cells), patients.get(film, ""))

    notes = [] if patients else ["The set does not name its patients: a split can't keep their films together"]
    return Listing(findings, rows(), notes=notes)


# --- PadChest ---------------------------------------------------------------------------------------------------------

PADCHEST_FRONTAL = {"PA", "AP", "AP_horizontal"}
PADCHEST_NO_FILM = {"exclude", "suboptimal study"}  # the film says nothing
PADCHEST_TEXTS = (
    *("StudyID", "ReportID", "Report", "StudyDate_DICOM", "PatientBirth", "Localizations"),
    *("LabelsLocalizationsBySentence", "labelCUIS", "LocalizationsCUIS"),
)


def padchest(given: Given) -> Listing:
    """Read twice: first for the words there are. Of an unchanged film what is not named is unknown."""
    (table,) = given.tables["labels"]
    renamed = {"PatientSex_DICOM": "sex", "Projection": "view", "Manufacturer_DICOM": "scanner"}
    kept, left_out = _further(table.header, renamed, ("ImageID", "ImageDir", "Labels", "PatientID"), PADCHEST_TEXTS)
    times = Counter(row["Labels"] for _, row in table.rows)
    labels = {said: _words(said) for said in times}
    away = PADCHEST_NO_FILM | {"unchanged", ""}
    findings = tuple(sorted({word for words in labels.values() for word in words or ()} - away))
    known = {said: _padchest_cells(words, findings) for said, words in labels.items()}

    def rows() -> Iterator[Row]:
        for _, row in table.rows:
            age = years(str(int(row["StudyDate_DICOM"][:4]) - int(float(row["PatientBirth"]))) if _born(row) else "")
            view = row["Projection"]
            yield Row(
                f"{row['ImageDir']}/{row['ImageID']}",
                known[row["Labels"]],
                row["PatientID"],
                lateral="" if view in PADCHEST_FRONTAL else view or "no view",
                further=(age, *(row[column] for column in kept.values())),
            )

    unread = sum(count for said, count in times.items() if labels[said] is None)
    notes = [f"{unread:,} films have no labels that can be read: all their findings are unknown"] * bool(unread)
    return Listing(findings, rows(), ("age", *kept), left_out, notes)


def _born(row: Cells) -> bool:
    return row["StudyDate_DICOM"][:4].isdigit() and bool(re.fullmatch(r"\d{4}(\.0)?", row["PatientBirth"]))


def _words(said: str) -> frozenset[str] | None:
    """Return the words of a list as Python writes one, blanks around them taken off; None where it is none."""
    try:
        found = ast.literal_eval(said) if said.startswith("[") and len(said) < 10_000 else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return frozenset(str(word).strip() for word in found) if isinstance(found, list) else None


def _padchest_cells(words: frozenset[str] | None, findings: tuple[str, ...]) -> bytes:
    if words is None or words & PADCHEST_NO_FILM or not words - {""}:
        return bytes([UNK] * len(findings))
    absent = UNK if "unchanged" in words else NEG
    return bytes([POS if name in words else absent for name in findings])


# --- VinDr-CXR --------------------------------------------------------------------------------------------------------

VINDR_NONE = "No finding"


def vindr(given: Given) -> Listing:
    """Count, film by film, how many of its readers say each finding."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    readers: dict[str, set[str]] = defaultdict(set)
    parts: dict[str, str] = {}
    names: dict[str, None] = {}
    for table in given.tables.get("readers", []) or given.tables.get("boxes", []):
        said, found = _by_column if "class_name" not in table.header else _by_box, set()
        for film, reader, finding in said(table):
            readers[film].add(reader)
            if finding:
                names[finding] = None
            if finding and (film, reader, finding) not in found:
                found.add((film, reader, finding))
                votes[film][finding] += 1
        part = "test" if "test" in table.path.rpartition("/")[2] else "train"
        parts |= dict.fromkeys((film for film in readers if film not in parts), part)
    findings = tuple(sorted(names, key=lambda name: (name == VINDR_NONE, name)))

    def rows() -> Iterator[Row]:
        for film in sorted(readers):
            count = len(readers[film])
            enough = {"majority": count // 2 + 1, "any": 1, "all": count}[given.readers]
            cells = bytes(POS if votes[film][name] >= enough else NEG for name in findings)
            who = " ".join(sorted(readers[film] - {""}))
            yield Row(f"{parts[film]}/{film}.dicom", cells, part=parts[film], further=(who,))

    notes = ["The set does not name its patients: a split can't keep their films together"]
    return Listing(findings, rows(), ("readers",), notes=[*notes, *_agreement(votes, readers, findings, given.readers)])


def _by_box(table: Tabled) -> Iterator[tuple[str, str, str]]:
    return ((row["image_id"], row["rad_id"], row["class_name"]) for _, row in table.rows)


def _by_column(table: Tabled) -> Iterator[tuple[str, str, str]]:
    findings = [name for name in table.header if name not in ("image_id", "rad_id")]
    for number, row in table.rows:
        yield row["image_id"], row.get("rad_id", ""), ""  # a film on which a reader says nothing has been read too
        for name in findings:
            if WORDS.get(row[name]) == POSITIVE:
                yield row["image_id"], row.get("rad_id", ""), name
            elif row[name] not in WORDS:
                raise InputError(f"{table.path}, row {number}: {row[name]!r} is no reader's answer (1 or 0).")


def _agreement(
    votes: Mapping[str, Counter[str]], readers: Mapping[str, set[str]], findings: Sequence[str], rule: str
) -> list[str]:
    """Say how far the readers agree: Fleiss' kappa (Fleiss 1971, doi 10.1037/h0031619) of each finding."""
    films = [film for film in readers if len(readers[film]) > 1]
    if not films:
        return []
    most = max(len(readers[film]) for film in films)
    alike = [film for film in films if len(readers[film]) == most]
    said = {name: fleiss(np.array([votes[film][name] for film in alike]), most) for name in findings}
    shown = ", ".join(
        f"{name} {round(kappa, 2) + 0:.2f}" for name, kappa in sorted(said.items(), key=lambda pair: -pair[1])
    )
    return [
        f"A finding is positive where {'most' if rule == 'majority' else rule} of a film's readers say so (--readers);"
        f" agreement of {most} readers on {len(alike):,} films (Fleiss' kappa): {shown}"
    ]


def fleiss(yes: np.ndarray, readers: int) -> float:
    """Return Fleiss' kappa of ``readers`` who each said yes or no of N films; yes: (N,) how many said so. NaN where all
    said the same of all."""
    agree = ((yes**2 + (readers - yes) ** 2 - readers) / (readers * (readers - 1))).mean()
    share = yes.mean() / readers
    chance = share**2 + (1 - share) ** 2
    return float((agree - chance) / (1 - chance)) if chance < 1 else float("nan")


# --- MIMIC-CXR-JPG ----------------------------------------------------------------------------------------------------


def mimic(given: Given) -> Listing:
    """Join labels, which are by study, with films, which are by dicom_id. Views come from the metadata alone."""
    preferred = sorted(given.tables["labels"], key=lambda table: "chexpert" not in table.path.lower())[0]
    findings = tuple(name for name in preferred.header if name not in ("subject_id", "study_id"))
    cells = _named_cells(preferred, findings)
    labels = {row["study_id"].removesuffix(".0"): cells(number, row) for number, row in preferred.rows}
    parts = {row["dicom_id"]: row["split"] for table in given.tables.get("split", []) for _, row in table.rows}
    (films,) = given.tables["metadata"]
    renamed = {"ViewPosition": "view"}
    texts = ("StudyDate", "StudyTime")
    kept, left_out = _further(films.header, renamed, ("dicom_id", "subject_id", "study_id"), texts)
    unlabelled = bytes([UNK] * len(findings))

    def rows() -> Iterator[Row]:
        for _, row in films.rows:
            subject, study = (row[name].removesuffix(".0") for name in ("subject_id", "study_id"))
            view = row["ViewPosition"]
            yield Row(
                f"files/p{subject[:2]}/p{subject}/s{study}/{row['dicom_id']}.jpg",
                labels.get(study, unlabelled),
                subject,
                {"validate": "val"}.get(word := parts.get(row["dicom_id"], ""), word),
                "" if view[:2] in ("PA", "AP") else view or "no view",
                tuple(row[column] for column in kept.values()),
            )

    return Listing(findings, rows(), tuple(kept), left_out)
