from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from tests.image.dicom_films import FILM, TWELVE, dicom, film_dataset, lut, written

from plainfilm.data.films import FilmError
from plainfilm.image.decode import decode
from plainfilm.image.depth import Depth, depth
from plainfilm.image.dicom import windowed


def saved(values: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, form, **options)
    return buffer.getvalue()


RAMP = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint16)
SIGNED = RAMP.astype(np.int16) * 20 - 900
FILMS = {
    "8 bits": saved(FILM),
    "12 bits in 16": saved(TWELVE),
    "16-bit TIFF, white is zero": saved(RAMP * 600, "TIFF", tiffinfo={262: 0}),
    "colour": saved(np.stack([FILM, FILM // 2, FILM], axis=2)),
    "DICOM of 8 bits": dicom(FILM),
    "DICOM without a window": dicom(TWELVE, BitsStored=12),
    "DICOM with a window": dicom(TWELVE, BitsStored=12, WindowCenter=1500, WindowWidth=900),
    "LINEAR_EXACT": dicom(TWELVE, WindowCenter=1500, WindowWidth=900, VOILUTFunction="LINEAR_EXACT"),
    "SIGMOID": dicom(TWELVE, WindowCenter=1500, WindowWidth=900, VOILUTFunction="SIGMOID"),
    "a step": dicom(TWELVE, WindowCenter=1500, WindowWidth=1),
    "inverted": dicom(TWELVE, PhotometricInterpretation="MONOCHROME1", WindowCenter=1500, WindowWidth=900),
    "signed, rescaled": dicom(SIGNED, RescaleSlope=0.37, RescaleIntercept=-200.5, WindowCenter=-200, WindowWidth=500),
    "VOI LUT": dicom(RAMP, VOILUTSequence=lut([i * i for i in range(99)], bits=14)),
    "padding": dicom(RAMP, PixelPaddingValue=0, WindowCenter=50, WindowWidth=60),
    "padding, inverted": dicom(RAMP, PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1"),
}


def seen(film: Depth) -> np.ndarray:
    """(H, W) 0..255 as a viewer shows the film through its own window."""
    shown = windowed(film.low + film.step * film.values, film.centre, film.width, "LINEAR")
    return np.rint(255 * (1 - shown if film.inverted else shown)).astype(int)


@pytest.mark.parametrize("data", FILMS.values(), ids=FILMS)
def test_through_its_own_window_a_film_looks_as_the_model_reads_it(data):
    film = depth(data)
    assert film.values.dtype == np.dtype("<u2") and film.values.shape == decode(data).shape
    assert np.abs(seen(film) - decode(data)).max() <= 1  # 16-bit pictures are cut, not rounded
    assert json.loads(json.dumps(film.about()))["rows"] == 40


def test_values_are_the_films_own_units():
    film = depth(dicom(SIGNED, RescaleSlope=0.5, RescaleIntercept=-1000))
    assert np.allclose(film.low + film.step * film.values, SIGNED * 0.5 - 1000, atol=film.step)
    assert (depth(dicom(TWELVE)).values + depth(dicom(TWELVE)).low == TWELVE).all()  # whole numbers stay exact


def test_beyond_the_window_there_is_more_than_eight_bits():
    data = dicom(TWELVE, BitsStored=12, WindowCenter=1500, WindowWidth=900)
    assert len(np.unique(depth(data).values)) == len(np.unique(TWELVE)) > len(np.unique(decode(data)))


@pytest.mark.parametrize(
    ("elements", "spacing", "plane"),
    [
        ({}, None, ""),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "detector"),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.2, 0.2]}, (0.2, 0.2), "detector"),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.15, 0.15]}, (0.15, 0.15), "patient"),
        ({"PixelSpacing": [0.15, 0.15]}, (0.15, 0.15), "patient"),
        ({"PixelSpacing": [0, 0.15]}, None, ""),
        ({"ImagerPixelSpacing": "0.2"}, None, ""),
    ],
)
def test_spacing_says_where_it_holds(elements, spacing, plane):
    film = depth(written(film_dataset(TWELVE, **elements)))
    assert (film.spacing, film.plane) == (spacing, plane)


@pytest.mark.parametrize(("slope", "step"), [(0.333, 1.0), (0, 1.0), (1e-320, 1.0)])
def test_values_without_a_step_are_told_as_numbers(slope, step):
    values = FILM if slope != 0.333 else np.full_like(FILM, 100)
    film = depth(dicom(values, RescaleSlope=slope, RescaleIntercept=0.1, WindowCenter=50, WindowWidth=100))
    assert film.step == step and not film.values.any() and "NaN" not in json.dumps(film.about())


def test_values_beyond_all_numbers_are_refused():
    with pytest.raises(FilmError, match="too large"), np.errstate(over="ignore"):
        depth(dicom(TWELVE, RescaleSlope="1e306", RescaleIntercept=0))


@pytest.mark.parametrize("data", [b"", b"no film", dicom(FILM)[:-400], saved(FILM)[:60]])
def test_what_is_no_film_is_refused_as_decode_refuses_it(data):
    with pytest.raises(FilmError) as refused:
        decode(data)
    with pytest.raises(FilmError) as also:
        depth(data)
    assert str(also.value) == str(refused.value)
