"""A film in the depth that it was stored with, and the window under which it looks as the model reads it: for a viewer.

``decode`` gives eight bits, since models read no more. Who looks at a film moves the window and wants what lies beyond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from plainfilm.data import dicom as headers
from plainfilm.data.films import FilmError
from plainfilm.image import dicom
from plainfilm.image.decode import check_bytes, damage_named, picture, spare_bits
from plainfilm.image.limits import LARGE
from plainfilm.machine.memory import give_back

if TYPE_CHECKING:
    from pydicom import Dataset

SPACINGS = {0x00181164: "ImagerPixelSpacing", 0x00280030: "PixelSpacing"}
STEPS = 65_535  # between the smallest and the largest of 16 bits


class Depth(NamedTuple):
    """(H, W) uint16 ``values``: v stands for ``low + step * v`` in the film's own units.

    ``centre`` and ``width`` are those of a window by PS3.3 C.11.2.1.2; ``inverted``: what it makes white is black.
    ``spacing``: mm between rows and between columns, None where it is not known, as measured in the ``plane`` of the
    "patient" (calibrated) or the "detector" (there a body is magnified).
    """

    values: np.ndarray
    low: float
    step: float
    centre: float
    width: float
    inverted: bool = False
    spacing: tuple[float, float] | None = None
    plane: str = ""

    def about(self) -> dict[str, Any]:
        """Return ``rows``, ``columns`` and all but the values, ready for JSON."""
        rows, columns = self.values.shape
        return {"rows": rows, "columns": columns, **dict(zip(self._fields[1:], self[1:], strict=True))}


def depth(data: bytes) -> Depth:
    """Return the film in ``data``, of any kind that ``decode`` reads. FilmError as there."""
    check_bytes(data)
    with damage_named():
        if headers.is_dicom(data):
            found = _of_dicom(headers.read(data, wanted={*headers.WANTED, *SPACINGS}))
        else:
            with picture(data) as (values, white):
                most = 256 << (0 if values.dtype == np.uint8 else spare_bits(values))
                found = Depth(values.astype("<u2"), 0, 1, most / 2, most, white)
    if found.values.size > LARGE:
        give_back()  # as in ``decoded``
    return found


def _of_dicom(found: Dataset) -> Depth:
    spacing, plane = _spacing(found)
    with dicom.readable(found):
        if dicom.is_colour(found):
            return Depth(dicom.luminance(found).astype("<u2"), 0, 1, 128, 256, False, spacing, plane)
        rendering = dicom.Rendering.of(found)
        stored = dicom.stored_values(found)
        values, used = dicom.possible(stored)
        empty = rendering.empty(values, used)
        rescaled = rendering.rescaled(values)
        x, centre, width = rendering.linear(rescaled, rescaled[used & ~empty])
        seen = x[used & ~empty]
        low, high = float(seen.min()), float(seen.max())
        if not np.isfinite([high - low, centre, width]).all():
            raise FilmError("DICOM whose values are too large for any grey")
        whole = high - low <= STEPS and (seen == np.rint(seen)).all()
        step = 1.0 if whole else (high - low) / STEPS or 1.0  # of one value there is no step
        table = np.clip(np.rint((x - low) / step), 0, STEPS).astype("<u2")
        table[empty] = STEPS if rendering.inverted else 0  # black, as far as the window lets it
        return Depth(dicom.looked_up(stored, table), low, step, centre, width, rendering.inverted, spacing, plane)


def _spacing(found: Dataset) -> tuple[tuple[float, float] | None, str]:
    """Return mm between rows and between columns, and where that holds.

    By PS3.3 10.7.1.3: Pixel Spacing of a projection is calibrated to the patient unless it repeats the detector's.
    """
    detector, patient = (_two_numbers(found.get(name)) for name in SPACINGS.values())
    if patient and patient != detector:
        return patient, "patient"
    return (detector, "detector") if detector else (None, "")


def _two_numbers(value: Any) -> tuple[float, float] | None:
    try:
        down, across = (float(number) for number in value)
    except (TypeError, ValueError):
        return None
    return (down, across) if 0 < down < 100 and 0 < across < 100 else None
