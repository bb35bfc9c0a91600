"""An answer as DICOM: a structured report (TID 1500), a picture, and a key object for films that a reader should see.

All carry patient and study of the film and lie in series of their own. Their UIDs are derived from the film's and the
model's hash: the same film answered again gives the same UIDs, so that an archive keeps one. ``forms`` writes them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import highdicom as hd
import numpy as np
from highdicom import sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit
from pydicom.valuerep import DA, DT, TM

from plainfilm.config import DISCLAIMER
from plainfilm.data.films import FilmError
from plainfilm.explain.overlay import colours_of
from plainfilm.hospital import concepts
from plainfilm.hospital.sentences import Point, points, states, summary, verdict
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
QUALITY = 90  # of the picture's JPEG, of 100: its letters stay sharp
Found = Answer | FilmError
Replies = Sequence[tuple[sr.CodedConcept, sr.CodedConcept]]  # of each finding: is it called, and should a reader look

Item = TypeVar("Item", sr.Measurement, sr.QualitativeEvaluation)


class About(NamedTuple):
    """What an object is about: the film's identity (see ``source``), the model, and when it was answered."""

    film: Dataset
    model: Reads
    when: datetime

    def uid(self, kind: str) -> str:
        """Return the SOP instance UID of this film's object of one kind."""
        return derived(kind, self.film.SOPInstanceUID, self.model.hash)

    def series(self, kind: str) -> str:
        """Return the UID of the series that it lies in."""
        return derived("series", kind, self.film.SeriesInstanceUID, self.model.hash)

    @property
    def tracking(self) -> str:
        """The UID of what was looked at: the same for each model."""
        return derived("tracking", self.film.SOPInstanceUID)

    def common(self, kind: str) -> dict[str, Any]:
        """Return what highdicom's objects of every kind are given."""
        return {
            "series_instance_uid": self.series(kind),
            "series_number": SERIES[kind],
            "sop_instance_uid": self.uid(kind),
            "instance_number": self.film.InstanceNumber,
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

    def dated(self, made: SOPClass) -> SOPClass:
        """Return an object that was made ``when`` the film was answered, and not when highdicom came to it."""
        made.InstanceCreationDate, made.InstanceCreationTime = DA(self.when.date()), TM(self.when.time())
        for equipment in made.ContributingEquipmentSequence:
            equipment.ContributionDateTime = DT(self.when)
        return made


# --- the structured report --------------------------------------------------------------------------------------------


def report(about: About, found: Found, replies: Replies | None = None) -> SOPClass:
    """Return the Comprehensive SR of an answer, or of why there is none: TID 1500 with one measurement group.

    ``replies``: of each finding its state as codes; by default what the answer says.
    """
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(about.tracking, "plainfilm answer"),
        algorithm_id=_algorithm(about.model),
        finding_type=finding_type(about.model, found),
        finding_sites=[sr.FindingSite(concepts.CHEST)],
        measurements=[] if isinstance(found, FilmError) else list(_measurements(about.model, found)),
        qualitative_evaluations=[*_states(about.model, found, replies), _for_a_reader(found)],
        source_images=[sr.SourceImageForMeasurementGroup(about.film.SOPClassUID, about.film.SOPInstanceUID)],
    )
    texts = {concepts.COMMENT: comment(about.model, found), concepts.WARNING: USE}
    if why := reason(found):
        texts[concepts.REASON] = why
    group[0].ContentSequence.extend(sr.TextContentItem(name, text, CONTAINS) for name, text in texts.items())
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(about.model)),
        procedure_reported=concepts.CHEST_FILM,
        imaging_measurements=[group],
    )
    made = sr.ComprehensiveSR(
        evidence=[about.film],
        content=content[0],
        is_complete=True,
        coding_schemes=[CodingSchemeIdentificationItem(concepts.OWN, "plainfilm")],
        **about.common(REPORT),
    )
    return about.dated(made)


def finding_type(model: Reads, found: Found) -> sr.CodedConcept | None:
    """Return what the report is of: the label. Of several findings none: each has its own reply."""
    if isinstance(found, FilmError):
        return concepts.NOT_ASSESSED
    return None if states(model, found) is not None else concepts.coded(found.label)


def comment(model: Reads, found: Found) -> str:
    """Return the answer as one text."""
    return "; ".join(summary(model, found))[:MOST_TEXT]


def reason(found: Found) -> str | None:
    """Return why a reader should look at the film; None where none need."""
    why = str(found) if isinstance(found, FilmError) else found.reason
    return why and why[:MOST_TEXT]


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


def _measurements(model: Reads, found: Answer) -> Iterator[sr.Measurement]:
    """Yield what is measured of each class or finding: its probability, and its operating point where it has one."""
    at = points(model)
    for name, probability in zip(model.classes, found.probabilities, strict=True):
        yield _number(concepts.PROBABILITY, probability, name)
        yield from _point(at[name], name) if name in at else ()
    if found.gate:
        yield _number(concepts.GATE, found.gate.score)


def _point(point: Point, name: str) -> Iterator[sr.Measurement]:
    yield _number(concepts.THRESHOLD, point.threshold, name)
    for score, concept in (("sensitivity", concepts.SENSITIVITY), ("specificity", concepts.SPECIFICITY)):
        about = point.scores.get(score, {})
        if about.get("value") is not None:
            yield _number(concept, about["value"], name, about)


def _number(
    name: sr.CodedConcept, value: float, of: str | None = None, interval: Mapping[str, Any] | None = None
) -> sr.Measurement:
    """A NUM item; ``of``: the class that it is about, as a modifier, ``interval``: how far it may go up and down."""
    low, high = ((interval or {}).get(key) for key in ("low", "high"))
    around = None
    if low is not None and high is not None:
        around = sr.MeasurementProperties(
            upper_measurement_uncertainty=float(high - value), lower_measurement_uncertainty=float(value - low)
        )
    measured = sr.Measurement(name, float(value), codes.UCUM.NoUnits, properties=around)
    return measured if of is None else _of(measured, of)


def _of(item: Item, name: str) -> Item:
    """Return a measurement or an evaluation that says which class or finding it is about."""
    content = item[0].get("ContentSequence") or sr.ContentSequence()
    content.append(sr.CodeContentItem(concepts.FINDING, concepts.coded(name), MODIFIES))
    item[0].ContentSequence = content
    return item


def _states(model: Reads, found: Found, replies: Replies | None) -> Iterator[sr.QualitativeEvaluation]:
    """Yield for each finding whether it is called, and whether a reader should look at the film for it."""
    each = None if isinstance(found, FilmError) else states(model, found)
    if each is None:
        return
    said = replies or [(concepts.reply(state.called), concepts.reply(state.refer)) for state in each]
    for name, (called, refer) in zip(model.classes, said, strict=True):
        yield sr.QualitativeEvaluation(concepts.coded(name), called)
        yield _of(sr.QualitativeEvaluation(concepts.REFER, refer), name)


def _for_a_reader(found: Found) -> sr.QualitativeEvaluation:
    return sr.QualitativeEvaluation(concepts.REFER, concepts.reply(isinstance(found, FilmError) or found.refer))


# --- the picture, and the key object ----------------------------------------------------------------------------------


def secondary_capture(about: About, pixels: NDArray[np.uint32]) -> SOPClass:
    """Return (H, W) ``rgbx`` pixels as a Secondary Capture that names the film it was made from."""
    film = about.film
    made = hd.sc.SCImage(
        pixel_array=colours_of(pixels),
        photometric_interpretation="YBR_FULL_422",
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
        specific_character_set=film.SpecificCharacterSet,
        **about.common(PICTURE) | {"transfer_syntax_uid": JPEGBaseline8Bit},
    )
    made.PixelData, made.LossyImageCompressionRatio = compressed(pixels)
    made.LossyImageCompression, made.LossyImageCompressionMethod = "01", "ISO_10918_1"
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
    return about.dated(made)


def compressed(pixels: NDArray[np.uint32]) -> tuple[bytes, float]:
    """Return (H, W) ``rgbx`` pixels as JPEG in the items of PS3.5, A.4, and how many times smaller they are so.

    A picture of 2.5 MB would take an archive longer than the film takes us; the film itself lies beside it unchanged.
    """
    buffer = io.BytesIO()
    size = pixels.shape[1], pixels.shape[0]
    image = Image.frombuffer("RGBX", size, pixels, "raw", "RGBX", 0, 1)  # no copy
    image.save(buffer, "JPEG", quality=QUALITY, subsampling="4:2:2")
    return encapsulate([buffer.getvalue()]), round(3 * pixels.size / buffer.tell(), 2)


def key_object(about: About, found: Found) -> SOPClass:
    """Return the Key Object Selection that asks a reader to look at the film, and says why."""
    selected = hd.ko.KeyObjectSelection(
        concepts.OF_INTEREST,
        [about.film],
        observer_device_context=_observer(about.model),
        description=request(about.model, found),
    )
    made = hd.ko.KeyObjectSelectionDocument([about.film], selected, **about.common(KEY))
    made.copy_patient_and_study_information(about.film)
    return about.dated(made)


def request(model: Reads, found: Found) -> str:
    """Return what a reader is asked for, with the label where there is one."""
    label = "" if isinstance(found, FilmError) else f" {verdict(model, found)}."
    return f"{f'For a reader: {reason(found)}.{label}'[: MOST_TEXT - len(USE)]} {USE}"


def encoded(made: Dataset) -> bytes:
    """Return an object as the bytes of a DICOM file."""
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
