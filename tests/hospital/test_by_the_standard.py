"""Every kind of answer passes three validators of others: dicom-validator, dicom3tools' dciodvfy, DCMTK's dsrdump."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from plainfilm.evaluation.decision import Decision
from plainfilm.hospital.answering import Answering

SCRIPT = Path(__file__).with_name("by_the_standard.py")
PINNED = ("dicom-validator==0.9.0", "dicom-standard==0.1.0", "lxml", "pydicom", "pyparsing")
FILMS = {
    "plain": {},
    "of another alphabet": {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Γιαννόπουλος^Ἀλέξανδρος"},
    "of nobody": {"PatientName": None, "PatientID": None, "PatientBirthDate": None, "AccessionNumber": None},
    "without pixels": {"PixelData": b"\0" * 10},
}


@pytest.fixture(scope="module")
def answers(model, findings, film, tmp_path_factory) -> list[Path]:
    """Files of all kinds: of two classes, three classes, findings; for a reader and not; with a gate and without."""
    folder, models = tmp_path_factory.mktemp("answers"), {"classes": model, "findings": findings}
    models["no gate"] = replace(model, gate=None, decision=replace(model.decision, refer=None))
    names = ("Normal", "BACTERIAL", "Viral pneumonia")
    models["three"] = replace(model, gate=None, decision=Decision(names, "Normal", 0.5, 1.0))
    models["three"].answered = lambda _: (np.array([[0.2, 0.5, 0.3]]), None)  # type: ignore[method-assign]
    for number, chances in enumerate([(0.35, 0.2, 0.5), (0.9, 0.8, 0.01), (0.1, 0.2, 0.3)]):
        fixed = models[f"findings {number}"] = replace(findings)
        fixed.answered = lambda _, said=chances: (np.array([said]), None)  # type: ignore[method-assign]
    made = []
    for name, each in models.items():
        pictures = name in ("classes", "findings")  # the others' networks are not asked
        for number, (kind, elements) in enumerate(FILMS.items()):
            for what, data in Answering(each, pictures).answer(film(number, **elements)).files.items():
                made.append(folder / f"{name} {kind} {what}.dcm".replace(" ", "-"))
                made[-1].write_bytes(data)
    return made


def test_there_are_reports_pictures_and_key_objects(answers):
    for kind in ("SR", "SC", "KO"):
        assert sum(path.stem.endswith(kind) for path in answers) >= 4


def test_dicom3tools_and_dcmtk_find_no_fault(answers, tools):
    dciodvfy, dsrdump = tools("dciodvfy", "dsrdump")
    for path in answers:
        said = subprocess.run([dciodvfy, path], capture_output=True, text=True)
        assert [line for line in (said.stderr + said.stdout).splitlines() if line.startswith("Error")] == [], path.name
        if not path.stem.endswith("SC"):
            dumped = subprocess.run([dsrdump, "+Pl", path], check=True, capture_output=True, text=True)
            assert "Research use only" in dumped.stdout
            faults = [line for line in dumped.stderr.splitlines() if not line.startswith("W: ")]  # what it can't check
            assert faults == [], path.name


@pytest.mark.slow
@pytest.mark.network
def test_dicom_validator_finds_no_fault_and_finds_those_that_are_made(answers, tmp_path):
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *PINNED], check=True, capture_output=True)
    done = subprocess.run([python, SCRIPT, *answers], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{len(answers)} files, 0 errors"
    report = dcmread(next(path for path in answers if path.stem.endswith("SR")))
    group = next(item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "126010")
    number = next(item for item in group.ContentSequence[0].ContentSequence if item.ValueType == "NUM")
    del number.MeasuredValueSequence[0].MeasurementUnitsCodeSequence  # type 1, four levels deep
    buffer = io.BytesIO()
    report.save_as(buffer)
    (tmp_path / "spoilt.dcm").write_bytes(buffer.getvalue())
    done = subprocess.run([python, SCRIPT, tmp_path / "spoilt.dcm"], capture_output=True, text=True)
    assert done.returncode == 1 and "Measurement Units Code Sequence" in done.stdout + done.stderr
