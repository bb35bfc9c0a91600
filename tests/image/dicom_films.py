"""DICOM films of a few pixels, as odd as a test wants them."""

from __future__ import annotations

import io
import warnings

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from plainfilm.data import dicom as headers

FILM = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8) * 2 + 3
TWELVE = np.rint(FILM * (4095 / 255)).astype(np.uint16)


def film_dataset(values: np.ndarray, syntax: str = headers.EXPLICIT, **elements: object) -> Dataset:
    """A chest film (DX) that holds ``values``; keywords replace elements, None leaves one out."""
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = UID(syntax)
    film.file_meta.MediaStorageSOPClassUID = film.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1.1")
    film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID = UID("1.2.3")
    bits = values.dtype.itemsize * 8
    about = {"Modality": "DX", "PatientID": "p1", "ViewPosition": "PA", "SamplesPerPixel": 1}
    about |= {"PhotometricInterpretation": "MONOCHROME2", "Rows": values.shape[0], "Columns": values.shape[1]}
    about |= {"BitsAllocated": bits, "BitsStored": bits, "HighBit": elements.get("BitsStored", bits) - 1}
    about |= {"PixelRepresentation": int(values.dtype.kind == "i"), "PixelData": values.tobytes()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some values are wrong on purpose
        for name, value in (about | elements).items():
            if value is not None:
                setattr(film, name, value)
    film["PixelData"].VR = "OW" if film.BitsAllocated == 16 else "OB"
    return film


def written(film: Dataset, preamble: bool = True) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(buffer, film, enforce_file_format=True)
    return buffer.getvalue()[0 if preamble else 132 :]


def dicom(values: np.ndarray = FILM, syntax: str = headers.EXPLICIT, **elements: object) -> bytes:
    return written(film_dataset(values, syntax, **elements))


def lut(values: list[int], first: int = 0, bits: int = 16, entries: int | None = None) -> Sequence:
    item = Dataset()
    item.add_new(0x00283002, "US" if first >= 0 else "SS", [entries or len(values), first, bits])
    item.add_new(0x00283006, "OW", np.array(values, "<u2").tobytes())
    return Sequence([item])
