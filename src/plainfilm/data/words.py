"""Words that tables, folders and predictions share: for a part, for "not known", for a number, for a class."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from plainfilm.storage.dialects import legible

PART_NAMES = {
    **{name: "train" for name in ("train", "training", "trn")},
    **{name: "val" for name in ("val", "valid", "validate", "validation", "dev", "devel", "development", "tune")},
    **{name: "val" for name in ("tuning", "internal_val", "internal_validation")},
    **{name: "test" for name in ("test", "testing", "tst", "holdout", "hold_out", "heldout", "held_out")},
    "internal_test": "test",
    **{name: "train" for name in ("trainings", "entrenamiento", "entrainement", "apprentissage")},
    **{name: "val" for name in ("validierung", "validierungs", "validacion")},
    "prueba": "test",
}
OF_A_PART = re.compile(r"_?(set|split|part|data|images|films|folder|files)$")  # "train_set", "Test images"

# What pandas, R, Excel (in English and German), Stata and others write where nothing is known; see
# pandas.read_csv(na_values=…) for the most of it.
UNKNOWN = {
    *("", "nan", "-nan", "na", "n/a", "n.a.", "<na>", "#n/a", "#n/a n/a", "#na", "#nv", "null", "(null)", "nil", "nat"),
    *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "#null!", "#div/0!", "#value!", "#wert!", "#ref!", "#bezug!"),
    *("#name?", "#num!", "#zahl!", "\\n", ".", "?", "-", "--", "—", "–", "missing", "not available", "k.a."),
}
NONE = "none"  # Python's None; but also a class: none of the findings
NO_LABEL = {"unknown", "unk", "unbekannt", "not known", "unlabeled", "unlabelled", "not labeled", "not labelled"}
NOBODY = {"unknown", "unk", "unbekannt", "anonymous", "anonymised", "anonymized", "anon", "no name", "noname"}

WHOLE = re.compile(r"([+-]?)0*(\d+)(?:[.,]0*)?")


def part(text: str) -> str:
    """Return "train", "val" or "test" for a word that means it, in whatever capitals and blanks; "" for any other."""
    plain = re.sub(r"[\s_\-]+", "_", text.strip().lower()).strip("_")
    return PART_NAMES.get(plain) or PART_NAMES.get(OF_A_PART.sub("", plain), "")


def is_unknown(text: str) -> bool:
    """Return whether a cell means that its value is not known. "None" does, "none" may be a class: see ``NONE``."""
    plain = text.strip()
    return plain.lower() in UNKNOWN or plain == "None"


def known(text: str) -> str:
    """Return a cell without blanks around it, legible; "" where its value is not known."""
    plain = legible(text).strip()
    return "" if is_unknown(plain) else plain


def patient(text: str) -> str:
    """Return a patient's name without blanks around it; "" where the cell, or the header, names nobody."""
    plain = known(text)
    return "" if plain.lower() in NOBODY or plain.lower() == NONE else plain


def label(text: str) -> str:
    """Return the class that a cell names, "" where it is not known; whole numbers in one spelling: 1.0 is 1."""
    plain = known(text)
    plain = "" if plain.lower() in NO_LABEL else plain
    whole = WHOLE.fullmatch(plain)
    return plain if not whole else f"{'-' if whole[1] == '-' and whole[2] != '0' else ''}{whole[2]}"


def number(text: str) -> float:
    """Return the number in a cell, with a decimal point or comma, or in per cent; NaN where there is none."""
    plain = text.strip().replace(" ", "")
    plain = re.sub(r"^([+-]?\d*),(\d+(?:[eE][+-]?\d+)?%?)$", r"\1.\2", plain)
    try:
        return float(plain[:-1]) / 100 if plain.endswith("%") else float(plain)
    except ValueError:
        return math.nan


def same_class(text: str, classes: Iterable[str]) -> str | None:
    """Return that of ``classes`` which a label means: itself, the same number, or the one that differs in capitals
    only; None where there is none."""
    names = list(classes)
    if (plain := legible(text).strip()) in names:
        return plain
    wanted = label(plain)
    like = [name for name in names if label(name) == wanted and wanted]
    like = like or [name for name in names if name.strip().lower() == plain.lower()]
    return like[0] if len(like) == 1 else None


def years(age: str) -> str:
    """Return an age in years: of "58", "058Y", and of the months, weeks and days of DICOM; "" for anything else."""
    found = re.fullmatch(r"0*(\d{1,3})(?:\.0)?([YMWD]?)", age.strip().upper())
    if not found:
        return ""
    divisor = {"Y": 1, "": 1, "M": 12, "W": 52, "D": 365}[found[2]]
    return f"{int(found[1]) / divisor:.3g}"
