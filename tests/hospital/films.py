"""Chest films in DICOM as a hospital's devices send them: whole headers, made-up people, synthetic pictures."""

from __future__ import annotations

import io
import warnings
from functools import cache

import numpy as np
from PIL import Image
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from plainfilm.data.demo_films import draw, phantom_set
from plainfilm.hospital.source import CR, DX, derived


@cache
def drawn(number: int, side: int) -> np.ndarray:
    """(side, side) 12-bit values of one of 40 synthetic films."""
    with Image.open(io.BytesIO(draw(phantom_set(40)[number % 30]))) as image:
        grey = np.asarray(image.convert("L").resize((side, side), Image.Resampling.BILINEAR), np.uint16)
    return (grey << 4) + np.random.default_rng(number).integers(0, 16, grey.shape, np.uint16)


def film(number: int, side: int = 256, study: int | None = None, of: str = "test", **elements: object) -> Dataset:
    """Film ``number`` (a study of its own unless ``study`` says which); keywords replace elements."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    digital = number % 2 == 0
    study = number if study is None else study
    about = {
        "SOPClassUID": DX if digital else CR,
        "SOPInstanceUID": derived(of, "film", str(number)),
        "StudyInstanceUID": derived(of, "study", str(study)),
        "SeriesInstanceUID": derived(of, "series", str(study), str(digital)),
        "Modality": "DX" if digital else "CR",
        "PatientName": f"Doe^Jane{study}",
        "PatientID": f"SECRET-{study:05d}",
        "PatientBirthDate": "19700101",
        "PatientSex": "F",
        "StudyDate": "20261130",
        "StudyTime": "101500",
        "StudyID": str(study),
        "AccessionNumber": f"A{study:05d}",
        "ReferringPhysicianName": "House^Gregory",
        "InstanceNumber": number + 1,
        "SeriesNumber": 1,
        "ViewPosition": "PA",
        "PatientOrientation": ["L", "F"],
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "Manufacturer": "synthetic",
        "BodyPartExamined": "CHEST",
        "ContentDate": "20261130",
        "ContentTime": "101500",
        "Rows": side,
        "Columns": side,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "WindowCenter": "2048",
        "WindowWidth": "4096",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some values are wrong on purpose
        for name, value in (about | elements).items():
            if value is not None:
                setattr(made, name, value)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    if "PixelData" not in made:
        made.PixelData = drawn(number, side).tobytes()
        made["PixelData"].VR = "OW"
    return made


def written(made: Dataset) -> bytes:
    """The bytes of a DICOM file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()
