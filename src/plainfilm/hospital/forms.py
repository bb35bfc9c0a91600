"""A model's objects as bytes. highdicom makes one of each kind, of placeholders; all others are that one, filled in.

What ``dicom_out`` builds is what is written, byte for byte (a test compares them): here is only what differs from film
to film. Objects of one kind have the same elements and items; where these differ, it is another kind, with a template
of its own. There are as many kinds of reports as a model has labels, for each with a reader's reason or without.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import datetime
from functools import cache

import numpy as np
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import DA, DT, TM

from plainfilm.data.films import FilmError
from plainfilm.hospital import concepts
from plainfilm.hospital.dicom_out import (
    KEY,
    PICTURE,
    REPORT,
    About,
    Found,
    Replies,
    comment,
    compressed,
    encoded,
    key_object,
    reason,
    report,
    request,
    secondary_capture,
)
from plainfilm.hospital.sentences import states
from plainfilm.hospital.source import DX, REPEATED, UIDS, text_of
from plainfilm.hospital.template import Template, Value
from plainfilm.models.answer import Answer
from plainfilm.models.gate import Verdict
from plainfilm.models.reads import Reads

WHEN = datetime(1901, 2, 3, 4, 5, 6, 7)
SIZE = (1171, 1283)  # of a picture; numbers that mean nothing else
STATES = ("called", "refer")  # what is said of each finding
Values = dict[str, Value]


class Forms:
    """Writes the objects of one model; in any thread."""

    def __init__(self, model: Reads) -> None:
        self.model = model
        self._templates: dict[Hashable, Template] = {}

    def report(self, about: About, found: Found) -> bytes:
        """Return the file of ``dicom_out.report``."""
        if isinstance(found, FilmError):
            kind: tuple[object, ...] = (type(found),)
        else:
            label = found.label if states(self.model, found) is None else None
            kind = (label, found.refer, found.gate is None)
        template = self._template((REPORT, *kind), lambda: self._report(found))
        return template.filled(_of_film(about, REPORT) | _of_answer(about, found))

    def key_object(self, about: About, found: Found) -> bytes:
        """Return the file of ``dicom_out.key_object``."""
        template = self._template((KEY,), self._key_object)
        return template.filled(_of_film(about, KEY) | {"request": request(self.model, found)})

    def secondary_capture(self, about: About, pixels: NDArray[np.uint32]) -> bytes:
        """Return the file of ``dicom_out.secondary_capture``."""
        template = self._template((PICTURE,), self._picture)
        return template.filled(_of_film(about, PICTURE) | _of_picture(pixels))

    def _template(self, kind: Hashable, make: Callable[[], Template]) -> Template:
        if (template := self._templates.get(kind)) is None:
            template = self._templates[kind] = make()  # two threads may both make it: they are equal
        return template

    def _report(self, found: Found) -> Template:
        about = About(nobody(), self.model, WHEN)
        example = _like(self.model, found)
        values = _of_film(about, REPORT) | _of_answer(about, example)
        replies = None
        if "called 0" in values:
            replies = [(_example("called", k), _example("refer", k)) for k in range(len(self.model.classes))]
            values |= _of_states(replies)
        return Template(encoded(report(about, example, replies)), values)

    def _key_object(self) -> Template:
        about, example = About(nobody(), self.model, WHEN), FilmError("@reason")
        values = _of_film(about, KEY) | {"request": request(self.model, example)}
        return Template(encoded(key_object(about, example)), values)

    def _picture(self) -> Template:
        about, pixels = About(nobody(), self.model, WHEN), np.zeros(SIZE, np.uint32)
        values = _of_film(about, PICTURE) | _of_picture(pixels)
        return Template(encoded(secondary_capture(about, pixels)), values)


def _of_film(about: About, kind: str) -> Values:
    """What an object takes from the film, and what names and dates it."""
    film, when = about.film, about.when
    repeated = {name: text_of(film[name].value) if name in film else None for name in REPEATED}
    return repeated | {
        **{name: film[name].value for name in UIDS if (name, kind) != ("SeriesInstanceUID", PICTURE)},
        "InstanceNumber": str(film.InstanceNumber),
        "series": about.series(kind),
        "instance": about.uid(kind),
        "date": str(DA(when.date())),
        "time": str(TM(when.time())),
        "date and time": str(DT(when)),
    }


def _of_answer(about: About, found: Found) -> Values:
    """What a report takes from the answer."""
    values: Values = {"tracking": about.tracking, "comment": comment(about.model, found)}
    if why := reason(found):
        values["reason"] = why
    if isinstance(found, FilmError):
        return values
    values |= {f"probability {k}": p for k, p in enumerate(found.probabilities.tolist())}
    if found.gate:
        values["gate"] = float(found.gate.score)
    each = states(about.model, found) or ()
    return values | _of_states([(concepts.reply(state.called), concepts.reply(state.refer)) for state in each])


def _of_states(replies: Replies) -> Values:
    codes = {f"{what} {k}": code for k, pair in enumerate(replies) for what, code in zip(STATES, pair, strict=True)}
    values: Values = {name: code.value for name, code in codes.items()}
    return values | {f"{name} meaning": code.meaning for name, code in codes.items()}


def _example(what: str, k: int) -> CodedConcept:
    return CodedConcept(f"@{what} {k}", "SCT", f"@{what} {k} meaning")


def _of_picture(pixels: NDArray[np.uint32]) -> Values:
    jpeg, ratio = compressed(pixels)
    return {"rows": pixels.shape[0], "columns": pixels.shape[1], "pixels": jpeg, "ratio": ratio}


@cache
def nobody() -> Dataset:
    """Return a film's identity whose values are placeholders: none is a value of anything else."""
    film = Dataset()
    film.SpecificCharacterSet = "ISO_IR 192"
    for number, name in enumerate(REPEATED):
        setattr(film, name, f"@{number}")
    film.StudyDate, film.StudyTime, film.PatientBirthDate = "19010101", "010101.000001", "19010102"
    film.PatientSex = "O"
    for number, name in enumerate(UIDS):
        setattr(film, name, f"2.25.{10**30 + number}")
    film.SOPClassUID = DX  # highdicom wants one that it knows
    film.InstanceNumber = 2**31 - 77
    return film


def _like(model: Reads, found: Found) -> Found:
    """An answer of the same kind, whose values are placeholders."""
    if isinstance(found, FilmError):
        return FilmError("@reason")
    chances = 0.123456 + 1e-9 * np.arange(len(model.classes))
    why = "@reason" if found.refer else None
    gate = Verdict(0.234567891, None, ()) if found.gate else None
    return Answer(found.label, chances, found.refer, why, gate)
