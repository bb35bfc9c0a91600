"""Answers as DICOM: read back equal, valid to others' tools, the same objects when made again, in the film's study."""

from __future__ import annotations

import csv
import io
import subprocess
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from plainfilm.commands.label import label
from plainfilm.data.films import FilmError
from plainfilm.evaluation.decision import Decision
from plainfilm.hospital import concepts
from plainfilm.hospital.answering import Answering
from plainfilm.hospital.dicom_out import About, encoded, report
from plainfilm.hospital.source import identity
from plainfilm.models.answer import Answer


@pytest.fixture(scope="module")
def answering(model):
    return Answering(model)


@pytest.fixture(scope="module")
def made(answering, film):
    return [answering.answer(film(number)) for number in range(6)]


def numbers(data: bytes, name: hd.sr.CodedConcept) -> dict[str | None, float]:
    """{class: value} of a report's numbers of one name, by highdicom's own reading."""
    found = hd.sr.srread(io.BytesIO(data))
    (group,) = found.content.get_image_measurement_groups()
    result = {}
    for item in group[0].ContentSequence:
        if item.ValueType == "NUM" and item.name == name:
            of = [c for c in item.get("ContentSequence", []) if c.name == concepts.FINDING]
            result[of[0].ConceptCodeSequence[0].CodeMeaning if of else None] = item.value
    return result


def texts(data: bytes) -> dict[str, str]:
    found = hd.sr.srread(io.BytesIO(data))
    (group,) = found.content.get_image_measurement_groups()
    return {i.name.meaning: i.value for i in group[0].ContentSequence if i.ValueType == "TEXT"}


def test_the_report_gives_back_what_label_writes_to_the_last_bit(model, film, tmp_path):
    for number in range(6):
        (tmp_path / f"{number}.dcm").write_bytes(film(number))
    films, out = sorted(map(str, tmp_path.glob("*.dcm"))), tmp_path / "labels.csv"
    label(model, films, out, answers=tmp_path / "dicom")
    plain = tmp_path / "plain.csv"
    label(model, films, plain)
    assert plain.read_text() == out.read_text()
    for row in csv.DictReader(out.read_text().splitlines()):
        stem = row["path"].rsplit("/", 1)[1].removesuffix(".dcm")
        (written,) = (tmp_path / "dicom").glob(f"{stem}-*-SR.dcm")
        found = numbers(written.read_bytes(), concepts.PROBABILITY)
        assert found == {"Normal": float(row["p_NORMAL"]), "Pneumonia": float(row["p_PNEUMONIA"])}
        assert numbers(written.read_bytes(), concepts.THRESHOLD) == {"Pneumonia": model.threshold}
        key = list((tmp_path / "dicom").glob(f"{stem}-*-KO.dcm"))
        assert len(key) == (row["refer"] == "yes")
        assert texts(written.read_bytes()).get("Reason", "") == row["reason"]


def test_a_picture_that_is_no_dicom_has_a_row_and_no_answer_and_that_is_said(model, film, make_film, tmp_path, capsys):
    (tmp_path / "a.jpeg").write_bytes(make_film(1, True))
    (tmp_path / "b.jpeg").write_bytes(make_film(2, True))
    films = [str(tmp_path / "b.jpeg"), str(tmp_path / "a.jpeg")]
    label(model, films, tmp_path / "a.csv", answers=tmp_path / "dicom")
    assert not (tmp_path / "dicom").exists() and "a.jpeg" in (tmp_path / "a.csv").read_text()
    assert f"Without an answer as DICOM: 2 ({films[1]}: no DICOM film)." in "".join(capsys.readouterr())
    (tmp_path / "c.dcm").write_bytes(film(1))
    label(model, [str(tmp_path / "c.dcm")], tmp_path / "c.csv", answers=tmp_path / "dicom")
    assert "Without an answer" not in "".join(capsys.readouterr())


def test_the_report_says_what_a_reader_and_a_machine_need(made, model):
    data = made[0].files["SR"]
    read = dcmread(io.BytesIO(data))
    assert read.VerificationFlag == "UNVERIFIED" and read.PreliminaryFlag == "PRELIMINARY"
    assert numbers(data, concepts.SENSITIVITY) == {"Pneumonia": 0.91}
    assert set(numbers(data, concepts.GATE)) == {None}
    said = texts(data)
    assert said["Intended use"].startswith("Research use only")
    assert "sensitivity 0.91 (0.82-0.96)" in said["Comment"]
    assert model.hash in str(read) and f"plainfilm {version('plainfilm')}" in str(read)


def test_answers_lie_in_the_films_study_with_its_patient_in_series_of_their_own(made, film):
    for number, each in enumerate(made):
        source = dcmread(io.BytesIO(film(number)))
        for kind, data in each.files.items():
            read = dcmread(io.BytesIO(data))
            for name in ("StudyInstanceUID", "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate"):
                assert read[name].value == source[name].value, (kind, name)
            assert read.AccessionNumber == source.AccessionNumber
            assert read.SeriesInstanceUID != source.SeriesInstanceUID
            assert source.SOPInstanceUID in str(read)
    series = {dcmread(io.BytesIO(d)).SeriesInstanceUID for each in made for d in each.files.values()}
    assert len(series) == sum(len(each.files) for each in made)  # each film is a study of its own here


def test_the_same_film_answered_again_is_the_same_object(answering, made, film):
    again = answering.answer(film(0))
    for kind, data in made[0].files.items():
        one, two = (dcmread(io.BytesIO(each)) for each in (data, again.files[kind]))
        assert one.SOPInstanceUID == two.SOPInstanceUID and one.SeriesInstanceUID == two.SeriesInstanceUID
    assert len({dcmread(io.BytesIO(d)).SOPInstanceUID for each in made for d in each.files.values()}) == sum(
        len(each.files) for each in made
    )


def test_another_models_answer_is_another_object(made, model, film):
    other = Answering(replace(model, hash="0" * 64), pictures=False).answer(film(0))
    one, two = (dcmread(io.BytesIO(each.files["SR"])) for each in (made[0], other))
    assert one.SOPInstanceUID != two.SOPInstanceUID and one.SeriesInstanceUID != two.SeriesInstanceUID


def test_the_picture_is_the_film_beside_its_map_with_words_burnt_in(made, film):
    read = dcmread(io.BytesIO(made[0].files["SC"]))
    pixels = read.pixel_array
    assert read.BurnedInAnnotation == "YES" and pixels.shape[1] == 1280
    yellow = (pixels[..., 0] > 200) & (pixels[..., 1] > 200) & (pixels[..., 2] < 80)
    top = next(y for y in range(pixels.shape[0]) if (pixels[y, :1280].max() > 0))
    assert yellow[: top + 40].any()  # the line above, and in each film its own
    for half in (slice(0, 640), slice(640, 1280)):
        assert yellow[100:, half].sum() > 50
    grey = (pixels.astype(int).ptp(-1) if hasattr(pixels, "ptp") else np.ptp(pixels.astype(int), -1)) < 8
    assert grey[150:650, 20:620].mean() > 0.95  # left the film as it is
    assert grey[150:650, 660:1260].mean() < 0.999  # right the map over it


def test_a_film_that_cant_be_read_is_answered_with_the_reason(answering, film):
    made = answering.answer(film(0, PixelData=b"\0" * 10))
    assert list(made.files) == ["KO", "SR"] and made.line["label"] is None and made.line["refer"]
    assert "damaged DICOM pixels" in texts(made.files["SR"])["Reason"]
    assert numbers(made.files["SR"], concepts.PROBABILITY) == {}


@pytest.mark.parametrize(
    "wrong",
    [{"StudyInstanceUID": None}, {"SOPInstanceUID": "x", "file_meta": None}, {"StudyInstanceUID": "1." * 40 + "1"}],
    ids=["no study", "no uid", "too long"],
)
def test_a_film_of_nobody_is_refused_in_a_sentence(answering, film, wrong):
    wrong = {k: v for k, v in wrong.items() if k != "file_meta"}
    with pytest.raises(FilmError, match="usable"):
        answering.answer(film(0, **wrong) if "SOPInstanceUID" not in wrong else film(0).replace(b"2.25.", b"x.25."))


def test_names_of_any_alphabet_come_through(answering, film):
    data = film(0, SpecificCharacterSet="ISO_IR 192", PatientName="Müller^Jürgen", StudyDescription="Röntgen 胸部")
    made = answering.answer(data)
    for each in made.files.values():
        read = dcmread(io.BytesIO(each))
        assert str(read.PatientName) == "Müller^Jürgen" and read.SpecificCharacterSet == "ISO_IR 192"


STRANGE = [
    {"PatientName": "A" * 300},
    {"PatientID": "B" * 200},
    {"StudyDate": "31.12.2026"},
    {"PatientSex": "unknown"},
    {"PatientBirthDate": "born"},
    {"StudyTime": "noon"},
    {"InstanceNumber": "9" * 12},
    {"AccessionNumber": "x" * 90},
    {"SpecificCharacterSet": "ISO 4711"},
    {"PatientName": "SECRET"},
]


@pytest.mark.parametrize("elements", STRANGE, ids=lambda e: next(iter(e)))
def test_strange_values_are_repeated_or_refused_and_never_quoted(answering, film, elements, capfd, recwarn):
    try:
        made = answering.answer(film(0, **elements))
        assert dcmread(io.BytesIO(made.files["SR"])).StudyInstanceUID
    except FilmError as error:
        assert str(next(iter(elements.values()))) not in str(error)
    assert "".join(capfd.readouterr()) == "" and not list(recwarn)


def test_classes_without_a_code_get_one_of_ours():
    assert concepts.coded("PNEUMONIA").scheme_designator == "SCT"
    assert concepts.coded("Pleural_Effusion").value == "60046008"
    odd = concepts.coded("Odd\\Class 7")
    assert (odd.scheme_designator, odd.value, odd.meaning) == (concepts.OWN, "ODD_CLASS_7", "Odd Class 7")


def test_more_classes_than_two_have_a_probability_each_and_no_threshold(model, film):
    names = ("NORMAL", "BACTERIAL", "Viral pneumonia")
    three = replace(model, decision=Decision(names, "BACTERIAL"), verdict={})
    found = Answer("BACTERIAL", np.array([0.2, 0.5, 0.3]), False, None, None)
    data = encoded(report(About(identity(film(0)), three, datetime.now()), found))
    assert numbers(data, concepts.PROBABILITY) == {"Normal": 0.2, "BACTERIAL": 0.5, "Viral pneumonia": 0.3}
    assert numbers(data, concepts.THRESHOLD) == {}


def test_others_tools_find_no_fault(made, answering, film, tools, tmp_path):
    dciodvfy, dsrdump, dcm2xml = tools("dciodvfy", "dsrdump", "dcm2xml")
    refused = answering.answer(film(1, PixelData=b"\0" * 10))
    for number, each in enumerate([*made, refused]):
        for kind, data in each.files.items():
            path = tmp_path / f"{number}-{kind}.dcm"
            path.write_bytes(data)
            said = subprocess.run([dciodvfy, path], capture_output=True, text=True)
            faults = [line for line in (said.stderr + said.stdout).splitlines() if line.startswith("Error")]
            assert faults == [], (kind, faults)
            subprocess.run([dcm2xml, path], check=True, capture_output=True)
            if kind != "SC":
                dumped = subprocess.run([dsrdump, "+Pl", path], check=True, capture_output=True, text=True).stdout
                assert "Research use only" in dumped


def states(data: bytes, name: hd.sr.CodedConcept) -> dict[str | None, str]:
    """{finding: yes or no} of a report's evaluations of one name."""
    found = hd.sr.srread(io.BytesIO(data))
    (group,) = found.content.get_image_measurement_groups()
    result = {}
    for item in group[0].ContentSequence:
        if item.ValueType == "CODE" and item.name == name:
            of = [c for c in item.get("ContentSequence", []) if c.name == concepts.FINDING]
            result[of[0].ConceptCodeSequence[0].CodeMeaning if of else None] = item.value.meaning
    return result


def test_each_finding_has_its_probability_threshold_and_state(findings, film, tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.dcm").write_bytes(film(number))
    label(findings, sorted(map(str, tmp_path.glob("*.dcm"))), tmp_path / "a.csv", answers=tmp_path / "dicom")
    named = dict(zip(findings.classes, ("Pleural effusion", "Pneumothorax", "Line or tube"), strict=True))
    cuts = dict(zip(findings.classes, (0.4, 0.5, 0.7), strict=True))
    for row in csv.DictReader((tmp_path / "a.csv").read_text().splitlines()):
        stem = row["path"].rsplit("/", 1)[1].removesuffix(".dcm")
        (path,) = (tmp_path / "dicom").glob(f"{stem}-*-SR.dcm")
        data, chances = path.read_bytes(), {name: float(row[f"p_{name}"]) for name in findings.classes}
        assert numbers(data, concepts.PROBABILITY) == {named[name]: p for name, p in chances.items()}
        assert numbers(data, concepts.THRESHOLD) == {named[name]: cut for name, cut in cuts.items()}
        assert numbers(data, concepts.SENSITIVITY) == {"Pleural effusion": 0.9}
        said = {name: states(data, concepts.coded(name)) for name in findings.classes}
        assert said == {name: {None: "Yes" if p >= cuts[name] else "No"} for name, p in chances.items()}
        unsure = {"Pleural effusion": 0.3 <= chances["Effusion"] < 0.6, "Pneumothorax": False}
        unsure |= {"Line or tube": chances["Line or tube"] < 0.05, None: row["refer"] == "yes"}
        assert states(data, concepts.REFER) == {name: "Yes" if yes else "No" for name, yes in unsure.items()}
        assert any(unsure.values()) == unsure[None]  # nothing else refers these films


@pytest.mark.parametrize("chances", [(0.35, 0.2, 0.5), (0.9, 0.8, 0.01), (0.1, 0.2, 0.3)])
def test_findings_stand_in_report_picture_and_key_object(findings, film, tools, tmp_path, monkeypatch, chances):
    (dciodvfy,) = tools("dciodvfy")
    fixed = replace(findings)
    monkeypatch.setattr(fixed, "answered", lambda pixels: (np.array([chances]), None))
    made = Answering(fixed).answer(film(1))
    called = [p >= cut for p, cut in zip(chances, (0.4, 0.5, 0.7), strict=True)]
    referred = 0.3 <= chances[0] < 0.6 or chances[2] < 0.05
    assert made.line["threshold"] == {"Effusion": 0.4, "Pneumothorax": 0.5, "Line or tube": 0.7}
    assert made.line["refer"] == referred == ("KO" in made.files)
    assert texts(made.files["SR"])["Comment"].startswith("Called: Effusion" if any(called) else "No finding called")
    if referred:
        read = dcmread(io.BytesIO(made.files["KO"]))
        said = " ".join(item.TextValue for item in read.ContentSequence if item.ValueType == "TEXT")
        assert "For a reader: the probability of " in said
    for kind, data in made.files.items():
        path = tmp_path / f"{kind}.dcm"
        path.write_bytes(data)
        said = subprocess.run([dciodvfy, path], capture_output=True, text=True)
        assert [line for line in (said.stderr + said.stdout).splitlines() if line.startswith("Error")] == [], kind
