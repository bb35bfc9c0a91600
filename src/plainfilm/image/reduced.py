"""Large JPEG films, decoded no larger than the network's input needs: the fast way beside ``decode``.

libjpeg gives a picture at ½, ¼ or ⅛ of its size by transforming only the lowest frequencies of each block of 8 × 8
pixels, which costs a fraction of decoding it whole and averages while it does so. A film that can't take this way
goes the plain one, and so does whatever fails here: the reason why a film can't be used is always ``decode``'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from PIL.ExifTags import Base

from plainfilm.image.decode import check_bytes, check_header, decode, opened


class Picture(NamedTuple):
    """(h, w) uint8 grey pixels of a film of ``width`` × ``height``, decoded ``factor`` times smaller than it is.

    The last row and column of the pixels may reach beyond the film, where its sides are no multiples of ``factor``.
    """

    grey: np.ndarray
    width: int
    height: int
    factor: int = 1

    @classmethod
    def whole(cls, grey: np.ndarray) -> Picture:
        """Return the picture of a film of which (H, W) are all pixels."""
        return cls(grey, grey.shape[1], grey.shape[0])


def factor_for(data: bytes, least: int) -> int:
    """Return by how much (8, 4, 2 or 1) the film in ``data`` may be decoded smaller than it is.

    Its shorter side keeps at least ``least`` pixels; 0 asks for the whole film. Only the header is read. Only JPEG can
    be reduced, and only where EXIF asks for no turn, since a turned picture's odd last pixels would come first.
    """
    if not least or not data.startswith(b"\xff\xd8\xff"):
        return 1
    with _left_to_decode():
        check_bytes(data)
        with opened(data) as image:
            check_header(image)
            if image.format == "JPEG" and image.getexif().get(Base.Orientation, 1) == 1:
                return next((factor for factor in (8, 4, 2) if min(image.size) >= factor * least), 1)
    return 1


def decode_at(data: bytes, factor: int) -> Picture:
    """Return the film in ``data`` decoded ``factor`` times smaller, as ``factor_for`` allows. FilmError as ``decode``.

    A reduced film without any contrast is decoded whole: it may have some in its finest detail.
    """
    if factor > 1:
        with _left_to_decode():
            picture = _reduced(data, factor)
            if picture.grey.min() < picture.grey.max():
                return picture
    return Picture.whole(decode(data))


@contextmanager
def _left_to_decode() -> Iterator[None]:
    """Leave it to ``decode`` to say what is wrong with a film; too little memory is not the film's fault."""
    try:
        yield
    except MemoryError:
        raise
    except Exception:
        return


def _reduced(data: bytes, factor: int) -> Picture:
    with opened(data) as image:
        width, height = image.size
        image.draft("L", (width // factor, height // factor))
        return Picture(np.asarray(image.convert("L")), width, height, factor)
