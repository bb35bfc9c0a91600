"""What a DICOM film's header says about the picture, in words; and, only where asked, whose film it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSequence
from typing import TYPE_CHECKING, NamedTuple

from plainfilm.data import dicom
from plainfilm.data.films import FilmError

if TYPE_CHECKING:
    from pydicom import Dataset

LONGEST = 120  # characters of a value
PICTURE = (  # of how the film was made, and what its pixels are; no free text, which may hold a name
    "Modality",
    "ViewPosition",
    "PatientOrientation",
    "ImageLaterality",
    "BodyPartExamined",
    "PatientSex",
    "PatientAge",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "ConversionType",
    "DetectorType",
    "KVP",
    "ExposureTime",
    "XRayTubeCurrent",
    "Exposure",
    "ExposureInuAs",
    "DistanceSourceToDetector",
    "DistanceSourceToPatient",
    "Grid",
    "FilterMaterial",
    "ExposureIndex",
    "TargetExposureIndex",
    "DeviationIndex",
    "ImagerPixelSpacing",
    "PixelSpacing",
    "PixelSpacingCalibrationType",
    "Rows",
    "Columns",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "RescaleIntercept",
    "RescaleSlope",
    "PresentationLUTShape",
    "BurnedInAnnotation",
    "LossyImageCompression",
)
IDENTITY = (  # of the person, the visit and the objects: what leads back to somebody
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "InstitutionName",
    "AccessionNumber",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "SeriesDescription",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
)


class Element(NamedTuple):
    """One element: its ``tag`` as 8 hex digits, DICOM's ``keyword`` and ``name``, and its ``value`` as text."""

    tag: str
    keyword: str
    name: str
    value: str


def elements(data: bytes, identity: bool = False) -> list[Element]:
    """Return what the header of a film says, in a fixed order, without what it does not say.

    data: the file, or as much of its beginning as holds the header. ``identity``: begin with IDENTITY. FilmError for
    what is no DICOM, or is damaged.
    """
    if not dicom.is_dicom(data):
        raise FilmError("no DICOM file, so it has no header")
    dicom.library()
    from pydicom.datadict import tag_for_keyword

    names = (*IDENTITY * identity, *PICTURE)
    tags = {name: int(tag_for_keyword(name) or 0) for name in names}
    found = dicom.read(data, last=max(tags.values()), wanted=tags.values())
    return [*_elements(found, tags.items())]


def _elements(found: Dataset, tags: Iterable[tuple[str, int]]) -> Iterator[Element]:
    from pydicom.datadict import dictionary_description

    for keyword, tag in tags:
        try:
            value = found.get(keyword)
            values = value if isinstance(value, MutableSequence) else [] if value is None else [value]
            text = ", ".join(map(str, values))
        except Exception:  # a value of any kind, where something else should be
            text = "damaged"
        text = "".join(c for c in text if c.isprintable()).strip()[:LONGEST]
        if text:
            yield Element(f"{tag:08X}", keyword, dictionary_description(tag), text)
