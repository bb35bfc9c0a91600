"""What is filled in is what highdicom would have built: the same bytes, whatever the film, the model and the answer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from plainfilm.data.films import FilmError
from plainfilm.evaluation.decision import Decision
from plainfilm.explain.overlay import rgbx
from plainfilm.hospital.dicom_out import About, encoded, key_object, report, secondary_capture
from plainfilm.hospital.forms import Forms, nobody
from plainfilm.hospital.source import identity
from plainfilm.hospital.template import Template
from plainfilm.models.answer import Answer
from plainfilm.models.gate import Verdict

from . import films as made

WHEN = (datetime(2026, 12, 1, 0, 0, 0), datetime(2027, 1, 31, 23, 59, 59, 123456))
GATE = Verdict(0.0416666, None, ())
ODD = {"PatientName": "Müller^Jürgen=穆勒", "SpecificCharacterSet": "ISO_IR 192", "StudyDescription": "Thorax\\PA"}
BARE = {"AccessionNumber": None, "PatientName": None, "PatientID": "", "StudyDate": "never", "InstanceNumber": None}
FILMS = [{}, ODD, BARE, {"IssuerOfPatientID": "A" * 64, "PatientSex": "O", "StudyTime": "1015"}]


def same(ours: bytes, theirs: bytes) -> None:
    """Compare two files element by element, so that a failure names one; then to the last byte."""
    for one, other in zip(elements(ours), elements(theirs), strict=True):
        assert one == other
    assert ours == theirs


def elements(data: bytes) -> Iterator[object]:
    read = dcmread(io.BytesIO(data))
    yield from read.file_meta
    yield from read.iterall()


def answers(classes: tuple[str, ...], label: str) -> list[Answer | FilmError]:
    rng = np.random.default_rng(0)
    found: list[Answer | FilmError] = [FilmError("damaged"), FilmError("of 12 megapixels; the most is 25 " * 40)]
    for chances in (rng.random(len(classes)), np.zeros(len(classes)), np.full(len(classes), 1 / 3)):
        for gate in (GATE, None):
            found.append(Answer(label, chances, False, None, gate))
            found.append(Answer(label, chances, True, "the header says: lateral; ünusual", gate))
    return found


@pytest.mark.parametrize("elements_of", FILMS, ids=["plain", "of another alphabet", "bare", "long"])
def test_reports_and_key_objects_are_highdicoms_own(model, findings, film, elements_of):
    three = replace(model, decision=Decision(("NORMAL", "BACTERIAL", "Viral pneumonia"), "BACTERIAL"), verdict={})
    for each, label in ((model, "PNEUMONIA"), (model, "NORMAL"), (three, "BACTERIAL"), (findings, "none")):
        forms = Forms(each)
        for number, found in enumerate(answers(each.classes, label)):
            about = About(identity(film(number, 32, **elements_of)), each, WHEN[number % 2])
            same(forms.report(about, found), encoded(report(about, found)))
            same(forms.key_object(about, found), encoded(key_object(about, found)))


def test_a_class_may_be_called_as_a_placeholder_is(model, film):
    letters = replace(model, decision=Decision(("N", "O"), "O"), verdict={})
    about = About(identity(film(0, 32, PatientSex="F")), letters, WHEN[0])
    for found in answers(letters.classes, "O"):
        same(Forms(letters).report(about, found), encoded(report(about, found)))


@pytest.mark.parametrize("shape", [(64, 48), (7, 1280), (1, 1)])
def test_pictures_are_highdicoms_own(model, film, shape):
    forms, rng = Forms(model), np.random.default_rng(1)
    for number in range(2):
        about = About(identity(film(number, 32)), model, WHEN[number])
        pixels = rgbx(rng.integers(0, 256, (*shape, 3), np.uint8))
        same(forms.secondary_capture(about, pixels), encoded(secondary_capture(about, pixels)))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=70), st.text(max_size=70), st.text(max_size=70), st.integers(-(2**40), 2**40))
def test_whatever_a_film_says_of_its_patient(made_forms, name, number, described, instance):
    forms, found = made_forms
    film = dict(zip(("PatientName", "PatientID", "StudyDescription"), (name, number, described), strict=True))
    source = made.film(0, 8, SpecificCharacterSet="ISO_IR 192")
    try:
        for keyword, value in film.items():
            setattr(source, keyword, value)
        about = About(identity(made.written(source)), forms.model, WHEN[0])
    except (FilmError, UnicodeError):  # no film's header
        return
    about.film.InstanceNumber = instance % (2**31 - 1) + 1
    same(forms.report(about, found), encoded(report(about, found)))


@pytest.fixture(scope="module")
def made_forms(model):
    return Forms(model), Answer("PNEUMONIA", np.array([0.25, 0.75]), True, "why", GATE)


def test_no_film_finds_anothers_name_in_its_answer(model, film):
    forms = Forms(model)
    for number in range(4):
        about = About(identity(film(number, 32)), model, WHEN[0])
        data = forms.report(about, FilmError("damaged"))
        assert f"SECRET-{number:05d}".encode() in data
        assert not any(str(value).encode() in data for value in nobody().values() if str(value).startswith("@"))


def test_a_placeholder_that_stands_nowhere_is_a_mistake():
    data = made.written(made.film(0, 8))
    with pytest.raises(ValueError, match="nowhere"):
        Template(data, {"nowhere": "@nowhere"})
    assert Template(data, {"PatientID": "SECRET-00000"}).filled({"PatientID": "SECRET-00000"}) == data
