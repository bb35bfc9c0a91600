"""An answer as DICOM: a structured report (TID 1500), a picture, and a key object for films that a reader should see.

All carry patient and study of the film and lie in series of their own. Their UIDs are derived from the film's and the
model's hash: the same film answered again gives the same UIDs, so that an archive keeps one.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import highdicom as hd
import numpy as np
from highdicom import sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from plainfilm.config import DISCLAIMER
from plainfilm.data.films import FilmError
from plainfilm.evaluation.digits import edge
from plainfilm.hospital import concepts
from plainfilm.hospital.source import derived
from plainfilm.models.answer import Answer
from plainfilm.models.reads import Reads

if TYPE_CHECKING:
    from highdicom.base import SOPClass

USE = f"Research use only. {DISCLAIMER} A physician has not seen this."
CONTAINS = sr.RelationshipTypeValues.CONTAINS
MODIFIES = sr.RelationshipTypeValues.HAS_CONCEPT_MOD
REPORT, PICTURE, KEY = "SR", "SC", "KO"  # kinds of objects, in the names of files and in what UIDs are derived from
SERIES = {REPORT: 9101, PICTURE: 9102, KEY: 9103}
DESCRIBED = {REPORT: "plainfilm report", PICTURE: "plainfilm picture", KEY: "plainfilm: for a reader"}
MOST_TEXT = 900  # characters of a text; DICOM allows 1,024 in most places, and some archives cut there


class About(NamedTuple):
    """What an object is about: the film's identity (see ``source``), the model, and when it was answered."""

    film: Dataset
    model: Reads
    when: datetime

    def uid(self, kind: str) -> str:
        """Return the SOP instance UID of this film's object of one kind."""
        return derived(kind, self.film.SOPInstanceUID, self.model.hash)

    def common(self, kind: str) -> dict[str, Any]:
        """Return what highdicom's objects of every kind are given."""
        return {
            "series_instance_uid": derived("series", kind, self.film.SeriesInstanceUID, self.model.hash),
            "series_number": SERIES[kind],
            "sop_instance_uid": self.uid(kind),
            "instance_number": min(max(self.film.InstanceNumber, 1), 2**31 - 1),
            "manufacturer": "plainfilm",
            "manufacturer_model_name": self.model.name[:64],
            "software_versions": version("plainfilm"),
            "device_serial_number": self.model.hash[:64] or "unsaved",
            "series_description": f"{DESCRIBED[kind]} (research)",
            "content_date": self.when.date(),
            "content_time": self.when.time(),
            "series_date": self.when.date(),
            "series_time": self.when.time(),
            "transfer_syntax_uid": ExplicitVRLittleEndian,
        }


# --- the structured report --------------------------------------------------------------------------------------------


def report(about: About, found: Answer | FilmError) -> SOPClass:
    """Return the Comprehensive SR of an answer, or of why there is none: TID 1500 with one measurement group."""
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(derived("tracking", about.film.SOPInstanceUID), "plainfilm answer"),
        algorithm_id=_algorithm(about.model),
        finding_type=concepts.NOT_ASSESSED if isinstance(found, FilmError) else concepts.coded(found.label),
        finding_sites=[sr.FindingSite(concepts.CHEST)],
        measurements=[] if isinstance(found, FilmError) else _measurements(about.model, found),
        qualitative_evaluations=[_for_a_reader(found)],
        source_images=[sr.SourceImageForMeasurementGroup(about.film.SOPClassUID, about.film.SOPInstanceUID)],
    )
    texts = {concepts.COMMENT: "; ".join(summary(about.model, found)), concepts.WARNING: USE}
    if why := _reason(found):
        texts[concepts.REASON] = why
    group[0].ContentSequence.extend(
        sr.TextContentItem(name, text[:MOST_TEXT], CONTAINS) for name, text in texts.items()
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(about.model)),
        procedure_reported=concepts.CHEST_FILM,
        imaging_measurements=[group],
    )
    return sr.ComprehensiveSR(
        evidence=[about.film],
        content=content[0],
        is_complete=True,
        coding_schemes=[CodingSchemeIdentificationItem(concepts.OWN, "plainfilm")],
        **about.common(REPORT),
    )


def summary(model: Reads, found: Answer | FilmError) -> list[str]:
    """Return an answer in a few short lines for a person."""
    if isinstance(found, FilmError):
        return [f"Not assessed: {found}"]
    told = model.decision.told(found.probabilities, model.classes.index(found.label))
    lines = [f"{found.label} (probability {told})"]
    if model.decision.two:
        lines.append(f"{model.decision.positive} from {edge(model.threshold)} on{_operating(model)}")
    if found.refer:
        lines.append(f"For a reader: {found.reason}")
    return [*lines, f"Model {model.name}, {model.hash[:12]}"]


def _operating(model: Reads) -> str:
    """The operating point as the model's report has it, with 95 % intervals; empty where the file holds none."""
    scores = model.verdict.get("scores", {})
    said = [_score(scores, name) for name in ("sensitivity", "specificity")]
    where = f" on {model.verdict.get('films', '?')} {model.verdict.get('part', '')} films"
    return f": {', '.join(text for text in said if text)}{where}" if any(said) else ""


def _score(scores: dict[str, Any], name: str) -> str:
    value, low, high = (scores.get(name, {}).get(key) for key in ("value", "low", "high"))
    if value is None:
        return ""
    return f"{name} {value:.2f}" + (f" ({low:.2f}-{high:.2f})" if None not in (low, high) else "")


def _algorithm(model: Reads) -> sr.AlgorithmIdentification:
    settings = [f"model sha256 {model.hash}", f"engine {model.engine}", f"temperature {model.decision.temperature:.6g}"]
    if protocol := model.verdict.get("protocol"):
        settings.append(f"protocol {protocol}"[:MOST_TEXT])
    return sr.AlgorithmIdentification(model.name, f"plainfilm {version('plainfilm')}", settings)


def _observer(model: Reads) -> sr.ObserverContext:
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=derived("device", model.hash), name="plainfilm", manufacturer_name="plainfilm", model_name=model.name
    )
    return sr.ObserverContext(codes.DCM.Device, device)


def _measurements(model: Reads, found: Answer) -> list[sr.Measurement]:
    each = zip(model.classes, found.probabilities, strict=True)
    measured = [_number(concepts.PROBABILITY, p, name) for name, p in each]
    if model.decision.two:
        measured.append(_number(concepts.THRESHOLD, model.threshold, model.decision.positive))
    scores = model.verdict.get("scores", {})
    for name, concept in (("sensitivity", concepts.SENSITIVITY), ("specificity", concepts.SPECIFICITY)):
        if scores.get(name, {}).get("value") is not None:
            measured.append(_number(concept, scores[name]["value"], model.decision.positive, scores[name]))
    if found.gate:
        measured.append(_number(concepts.GATE, found.gate.score))
    return measured


def _number(
    name: sr.CodedConcept, value: float, of: str | None = None, interval: dict[str, Any] | None = None
) -> sr.Measurement:
    """A NUM item; ``of``: the class that it is about, as a modifier, ``interval``: how far it may go up and down."""
    low, high = ((interval or {}).get(key) for key in ("low", "high"))
    around = None
    if low is not None and high is not None:
        around = sr.MeasurementProperties(
            upper_measurement_uncertainty=float(high - value), lower_measurement_uncertainty=float(value - low)
        )
    measured = sr.Measurement(name, float(value), codes.UCUM.NoUnits, properties=around)
    if of is not None:
        content = measured[0].get("ContentSequence") or sr.ContentSequence()
        content.append(sr.CodeContentItem(concepts.FINDING, concepts.coded(of), MODIFIES))
        measured[0].ContentSequence = content
    return measured


def _for_a_reader(found: Answer | FilmError) -> sr.QualitativeEvaluation:
    refers = isinstance(found, FilmError) or found.refer
    return sr.QualitativeEvaluation(concepts.REFER, concepts.YES if refers else concepts.NO)


def _reason(found: Answer | FilmError) -> str | None:
    return str(found) if isinstance(found, FilmError) else found.reason


# --- the picture, and the key object ----------------------------------------------------------------------------------


def secondary_capture(about: About, pixels: NDArray[np.uint8]) -> SOPClass:
    """Return (H, W, 3) ``pixels`` as a Secondary Capture that names the film it was made from."""
    film = about.film
    made = hd.sc.SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),
        study_instance_uid=film.StudyInstanceUID,
        patient_id=film.PatientID,
        patient_name=film.PatientName,
        patient_birth_date=film.PatientBirthDate,
        patient_sex=film.PatientSex,
        accession_number=film.AccessionNumber,
        study_id=film.StudyID,
        study_date=film.StudyDate,
        study_time=film.StudyTime,
        referring_physician_name=film.ReferringPhysicianName,
        specific_character_set=film.get("SpecificCharacterSet"),
        **about.common(PICTURE),
    )
    made.copy_patient_and_study_information(film)
    made.PatientOrientation = []  # two films in one picture, turned as the source was: not known here
    made.Laterality = ""
    made.BurnedInAnnotation = "YES"
    made.DerivationDescription = "Film and heat map side by side. Research only."
    made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = made.ContentDate, made.ContentTime
    origin = Dataset()
    origin.ReferencedSOPClassUID, origin.ReferencedSOPInstanceUID = film.SOPClassUID, film.SOPInstanceUID
    origin.PurposeOfReferenceCodeSequence = [
        sr.CodedConcept("121322", "DCM", "Source image for image processing operation")
    ]
    made.SourceImageSequence = [origin]
    return made


def key_object(about: About, why: str) -> SOPClass:
    """Return the Key Object Selection that asks a reader to look at the film, and says why."""
    selected = hd.ko.KeyObjectSelection(
        concepts.OF_INTEREST,
        [about.film],
        observer_device_context=_observer(about.model),
        description=f"For a reader: {why}. {USE}"[:MOST_TEXT],
    )
    return hd.ko.KeyObjectSelectionDocument([about.film], selected, **about.common(KEY))


def encoded(made: Sequence[Dataset]) -> list[bytes]:
    """Return each object as the bytes of a DICOM file."""
    files = []
    for each in made:
        buffer = io.BytesIO()
        each.save_as(buffer, enforce_file_format=True)
        files.append(buffer.getvalue())
    return files
