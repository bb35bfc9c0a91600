"""What the columns of other people's tables are for, by the names that pandas, R, Keras, Excel and others give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from plainfilm.errors import InputError

# Names of columns in small letters without signs between them, the surest first.
ROLES: dict[str, tuple[str, ...]] = {
    "label": (
        *("label", "target", "truth", "groundtruth", "ytrue", "true", "truelabel", "gt", "reference", "class"),
        *("diagnosis", "outcome", "y", "labels", "actual", "observed"),
    ),
    "score": (
        *("score", "prob", "probability", "p", "yscore", "yprob", "ypred", "pred", "prediction", "predicted", "output"),
        *("logit", "logits", "proba", "predprob", "predictedprobability", "likelihood", "confidence", "risk", "p1"),
        *("prob1", "proba1", "probability1", "score1"),
    ),
    "path": (
        *("path", "file", "filename", "filepath", "image", "imagepath", "imageid", "imageindex", "dicomid", "imgid"),
        *("sopinstanceuid", "name", "id", "uid", "studyid", "film"),
    ),
    "patient": ("patient", "patientid", "subject", "subjectid", "pid", "ptid", "mrn", "person", "personid"),
    "part": ("part", "split", "set", "fold", "subset"),
}
FURTHER: dict[str, tuple[str, ...]] = {  # looked for where a table has none of the names above
    "label": (
        *("classname", "classlabel", "labelname", "category", "finding", "disease", "pathology", "result"),
        *("diagnose", "befund", "klasse", "ergebnis", "diagnostic", "diagnostico", "etiqueta", "clase", "classe"),
    ),
    "path": (
        *("imagename", "imagefile", "imagefilename", "img", "imgpath", "imgname", "filmpath", "fullpath", "relpath"),
        *("relativepath", "picture", "datei", "dateiname", "dateipfad", "bild", "fichier", "imagen", "archivo"),
    ),
    "patient": (
        *("patientno", "patientnr", "patientnumber", "patientname", "patid", "patno", "patnr", "subjectno", "case"),
        *("caseid", "patienten", "patientennr", "patientennummer", "paciente"),
    ),
    "part": ("partition", "usage", "phase", "datasplit", "trainvaltest"),
}


def plain(name: str) -> str:
    """Return a column's name in small letters, without blanks and signs."""
    return re.sub(r"[\W_]+", "", name.strip().lower())


def candidates(role: str, columns: Iterable[str]) -> list[str]:
    """Return those of ``columns`` that may have a role, the surest first."""
    for known in (ROLES[role], FURTHER.get(role, ())):
        if like := [name for name in columns if plain(name) in known]:
            return sorted(like, key=lambda name: known.index(plain(name)))
    return []


def only(role: str, columns: Sequence[str], where: object, ask: str) -> str:
    """Return the one of ``columns`` that has a role, "" where none has; InputError where there are several, with what
    to do (``ask``, in which {role} and {column} are filled in)."""
    like = candidates(role, columns)
    if len(like) > 1:
        shown = " or ".join(name for name in columns if name in like)
        first = next(name for name in columns if name in like)
        raise InputError(f"{where}: {shown} may be the {role}; {ask.format(role=role, column=first)}.")
    return like[0] if like else ""
