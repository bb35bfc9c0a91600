"""Whose film it is: what is repeated, what is hashed."""

from __future__ import annotations

import pytest
from pydicom.uid import UID

from plainfilm.data.dicom import HEAD
from plainfilm.hospital.source import derived, hashed, identity, identity_by


def test_identity_repeats_patient_and_study_and_no_pixel(film):
    found = identity(film(3))
    assert found.PatientID == "SECRET-00003" and found.PatientName == "Doe^Jane3" and found.StudyID == "3"
    assert "PixelData" not in found and found.SpecificCharacterSet == "ISO_IR 192"


def test_what_a_film_does_not_say_is_empty_where_dicom_wants_it_there(film):
    found = identity(film(3, AccessionNumber=None, PatientName=None, StudyDescription=None, InstanceNumber=None))
    assert found.AccessionNumber == "" and found.PatientName == "" and found.InstanceNumber == 1
    assert "StudyDescription" not in found


def test_values_that_an_archive_would_stumble_over_are_left_out(film):
    found = identity(film(3, StudyDate="20261399", StudyTime="2460", PatientSex="female", PatientBirthDate="19000101"))
    assert (found.StudyDate, found.StudyTime, found.PatientSex) == ("", "", "")
    assert found.PatientBirthDate == "19000101"


def test_the_first_bytes_say_whose_film_it_is_and_the_whole_where_they_end_too_early(film):
    data, long = film(3, 400), film(3, 400, PatientComments="x" * 70_000)
    assert identity_by(data[:HEAD], lambda: pytest.fail("read")) == identity(data)
    asked = []
    assert identity_by(long[:HEAD], lambda: asked.append(1) or long) == identity(data) and asked
    for end in range(200, 1500):  # cut off anywhere: never a value that is only begun
        assert identity_by(data[:end], lambda: data) == identity(data)


def test_derived_uids_are_valid_and_the_same_for_the_same_parts():
    found = {derived("a", str(n)) for n in range(200)}
    assert len(found) == 200 and all(UID(uid).is_valid and len(uid) <= 44 for uid in found)
    assert derived("a", "1") == derived("a", "1") != derived("a1")


def test_a_hash_is_no_uid():
    assert len(hashed("1.2.3")) == 32 and hashed("1.2.3") != hashed("1.2.4")
