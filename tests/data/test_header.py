from __future__ import annotations

import pytest
from tests.image.dicom_films import FILM, dicom

from plainfilm.data.films import FilmError
from plainfilm.data.header import IDENTITY, PICTURE, elements

WHOLE = dicom(
    FILM,
    PatientName="Roe^Jane",
    PatientID="4711",
    StudyDescription="Roe, Jane: chest",
    AccessionNumber="A1",
    KVP="125",
    ImagerPixelSpacing=[0.2, 0.2],
)


def test_a_header_is_told_in_words_and_names_nobody_unless_asked():
    told = {row.keyword: row.value for row in elements(WHOLE)}
    wanted = {"Modality": "DX", "ViewPosition": "PA", "KVP": "125", "ImagerPixelSpacing": "0.2, 0.2", "Rows": "40"}
    assert wanted.items() <= told.items() and not set(told) & set(IDENTITY) and "Roe" not in str(told)
    whose = {row.keyword: row.value for row in elements(WHOLE, identity=True)}
    wanted = {"PatientName": "Roe^Jane", "SOPInstanceUID": "1.2.3", "AccessionNumber": "A1", "PatientID": "4711"}
    assert wanted.items() <= whose.items() and told.items() <= whose.items()
    assert not set(PICTURE) & set(IDENTITY)
    assert elements(WHOLE)[0] == ("00080060", "Modality", "Modality", "DX")


def test_the_beginning_of_a_file_is_enough():
    assert elements(WHOLE[: -FILM.size]) == elements(WHOLE)


def test_values_are_short_and_printable():
    told = {row.keyword: row.value for row in elements(dicom(FILM, Manufacturer="a\x1b[31m" + 60 * "b" + 99 * "c"))}
    assert told["Manufacturer"].isprintable() and len(told["Manufacturer"]) == 120


def test_a_damaged_value_is_told_as_such_whatever_stands_before_it():
    data = WHOLE.replace(b"\x08\x00\x60\x00CS\x02\x00DX", b"\x08\x00\x60\x00FL\x02\x00DX")
    told = {row.keyword: row.value for row in elements(data)}
    assert told["Modality"] == "damaged" and told["KVP"] == "125"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", WHOLE[:170]])
def test_what_has_no_header_says_so(data):
    with pytest.raises(FilmError):
        elements(data)
