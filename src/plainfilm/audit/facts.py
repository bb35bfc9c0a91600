"""Counts, patients and odd films: what can be said of a set without any model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.duplicates import Twins
from plainfilm.audit.measure import BLOCK, LOOKS, NAMES, NUMBERS, Measured, blocks
from plainfilm.data.films import Film
from plainfilm.evaluation.intervals import Floats

RARE = 0.05  # share of films below which a colour mode, bit depth or file type is odd
FAR = 8.0  # times the median area, either way
SLIM = 2.0  # width / height, either way
DARK, BRIGHT, FLAT = 12.0, 243.0, 8.0  # mean grey, mean grey, standard deviation (of 0..255)
INVERTED = -0.3  # correlation with the median film of the set
ALIKE = 0.5  # median of that correlation, without which the set has no common look to be unlike
FILMS_OF_PATIENT = 5  # and more are counted together


def counts(measured: Measured) -> dict[str, Any]:
    """Return the number of films in all, unreadable, and a class, part, folder and file type."""
    films = measured.films
    return {
        "readable": len(films),
        "unreadable": len(films.quarantine),
        "classes": films.counts,
        "parts": _counted(f.part for f in films if f.part),
        "folders": _counted(str(PurePosixPath(f.path).parent) for f in films),
        "types": _counted(measured.names[:, NAMES.index("file type")].tolist()),
    }


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def patients(measured: Measured) -> dict[str, Any]:
    """Return how many films name their patient, films a patient, and the patients in several classes or parts."""
    films: dict[str, list[Film]] = defaultdict(list)
    for film in measured.films:
        if film.patient:
            films[film.patient].append(film)
    sizes = [len(found) for found in films.values()]
    return {
        "known": sum(sizes) / len(measured),
        "patients": len(films),
        "films_each": {
            f"{n}{' or more' * (n == FILMS_OF_PATIENT)}": sum(min(size, FILMS_OF_PATIENT) == n for size in sizes)
            for n in range(1, FILMS_OF_PATIENT + 1)
        },
        "most_films": max(sizes, default=0),
        "in_several_classes": _several(films, lambda film: film.label),
        "in_several_parts": _several(films, lambda film: film.part),
    }


def _several(films: dict[str, list[Film]], place: Callable[[Film], str]) -> list[dict[str, Any]]:
    """Return the patients whose films are in more than one place, with these films."""
    return [
        {"patient": name, "films": [film.path for film in found], "places": sorted({place(f) for f in found})}
        for name, found in sorted(films.items())
        if len({place(film) for film in found}) > 1
    ]


def twin_rows(measured: Measured, twins: list[Twins]) -> list[dict[str, Any]]:
    """Return the groups of duplicates as they stand in audit.json."""
    rows = []
    for twin in twins:
        films = [measured.films.films[row] for row in twin.rows]
        rows.append(
            {
                "kind": twin.kind,
                "correlation": twin.correlation,
                "conflicting": len({film.label for film in films}) > 1,
                "crossing": len({film.part for film in films}) > 1,
                "several_patients": len({film.patient for film in films}) > 1,
                "films": [{"path": f.path, "label": f.label, "patient": f.patient, "part": f.part} for f in films],
            }
        )
    return rows


def odd_films(measured: Measured) -> list[dict[str, Any]]:
    """Return ``{"path", "reasons"}`` of the films that are unlike a chest film, or unlike the others in the set."""
    odd = defaultdict(list)
    for reasons in (_odd_files(measured), _odd_sizes(measured), _odd_looks(measured)):
        for row, reason in reasons:
            odd[row].append(reason)
    return [{"path": measured.films.films[row].path, "reasons": odd[row]} for row in sorted(odd)]


def _odd_files(measured: Measured) -> Iterable[tuple[int, str]]:
    for name in ("file type", "colour mode"):
        values = measured.names[:, NAMES.index(name)].tolist()
        common = Counter(values)
        yield from ((i, f"{name} {v}") for i, v in enumerate(values) if common[v] < RARE * len(values))
    depth = measured.numbers[:, NUMBERS.index("bit depth")].tolist()
    common_depths = Counter(depth)
    yield from ((i, f"{d:g} bits") for i, d in enumerate(depth) if common_depths[d] < RARE * len(depth))
    for i, mode in enumerate(measured.names[:, NAMES.index("colour mode")].tolist()):
        if mode.split(",")[0] in ("RGB", "RGBA", "P", "CMYK", "YCbCr"):
            yield i, "colour stored for a grey film" if mode.endswith("grey") else "coloured"
    for i, orientation in enumerate(measured.names[:, NAMES.index("EXIF orientation")].tolist()):
        if orientation not in ("", "1"):
            yield i, f"turned by its EXIF tag (orientation {orientation})"


def _odd_sizes(measured: Measured) -> Iterable[tuple[int, str]]:
    width, height = (measured.numbers[:, NUMBERS.index(name)] for name in ("width", "height"))
    area = np.log(width * height)
    far, slim = np.abs(area - np.median(area)) > np.log(FAR), np.abs(np.log(width / height)) > np.log(SLIM)
    for i in np.flatnonzero(far | slim).tolist():
        yield i, f"{width[i]:.0f}×{height[i]:.0f} pixels, {'far from the others' if far[i] else 'long and narrow'}"


def _odd_looks(measured: Measured) -> Iterable[tuple[int, str]]:
    grey, contrast = measured.looks[:, LOOKS.index("mean grey")], measured.looks[:, LOOKS.index("contrast")]
    alike = _likeness(measured.thumbnails)
    said = {
        "almost black": grey < DARK,
        "almost white": grey > BRIGHT,
        "almost without contrast": contrast < FLAT,
        "looks inverted or is no frontal chest film": (alike < INVERTED) & (np.median(alike) > ALIKE),
    }
    for reason, applies in said.items():
        yield from ((i, reason) for i in np.flatnonzero(applies).tolist())


def _likeness(thumbnails: NDArray[np.uint8]) -> Floats:
    """Return (N,) the correlation of each film with the median film of the set (of some of it, if it is large)."""
    usual = np.median(_shapes(thumbnails[:: 1 + len(thumbnails) // BLOCK]), axis=0)
    found = []
    for some in blocks(len(thumbnails)):
        shape = _shapes(thumbnails[some])
        found.append(shape @ usual / np.maximum(np.linalg.norm(shape, axis=1) * np.linalg.norm(usual), 1e-9))
    return np.concatenate(found)


def _shapes(thumbnails: NDArray[np.uint8]) -> Floats:
    """Return (N, pixels) greys less their mean."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float64)
    return np.asarray(flat - flat.mean(axis=1, keepdims=True))
