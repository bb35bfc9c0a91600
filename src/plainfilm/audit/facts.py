"""Counts, patients and odd films: what can be said of a set without any model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainfilm.audit.duplicates import Twins
from plainfilm.audit.measure import BLOCK, Measured, blocks
from plainfilm.data.films import NEGATIVE, POSITIVE, Film, Films, Table
from plainfilm.evaluation.intervals import Floats
from plainfilm.storage.columns import Kinds

Rows = NDArray[np.int64]

RARE = 0.05  # share of films below which a colour mode, bit depth or file type is odd
FAR = 8.0  # times the median area, either way
SLIM = 2.0  # width / height, either way
DARK, BRIGHT, FLAT = 12.0, 243.0, 8.0  # mean grey, mean grey, standard deviation (of 0..255)
INVERTED = -0.3  # correlation with the median film of the set
ALIKE = 0.5  # median of that correlation, without which the set has no common look to be unlike
FILMS_OF_PATIENT = 5  # and more are counted together


def counts(measured: Measured) -> dict[str, Any]:
    """Return the number of films in all, unreadable, and a class, part, folder and file type; of several findings
    those that are positive, and those of which it is known."""
    films = measured.films
    return {
        "readable": len(films),
        "unreadable": len(films.quarantine),
        "classes": films.counts if not films.findings else _counted_findings(films, 1),
        **({"known": _counted_findings(films, 0)} if films.findings else {}),
        "parts": _counted(f.part for f in films if f.part),
        "folders": _counted(str(PurePosixPath(f.path).parent) for f in films),
        "types": _counted(measured.name("file type").tolist()),
    }


def _counted_findings(films: Films, least: int) -> dict[str, int]:
    """Return {finding: films whose cell is ``least`` or more}: 1 the positive, 0 the known ones."""
    return dict(zip(films.findings, (films.truth >= least).sum(axis=0).tolist(), strict=True))


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def patients(measured: Measured) -> dict[str, Any]:
    """Return how many films name their patient, films a patient, and the patients in several classes or parts."""
    films = measured.films.films
    order, again = films.patients.ranked()
    unknown = int((~films.patients.filled).sum())  # the empty ones come first
    order, begins = order[unknown:], np.flatnonzero(~again[unknown:])
    sizes = np.diff(begins, append=len(order))
    each = np.bincount(np.minimum(sizes, FILMS_OF_PATIENT), minlength=FILMS_OF_PATIENT + 1)
    return {
        "known": len(order) / len(measured),
        "patients": len(begins),
        "films_each": {
            f"{n}{' or more' * (n == FILMS_OF_PATIENT)}": int(each[n]) for n in range(1, FILMS_OF_PATIENT + 1)
        },
        "most_films": int(sizes.max(initial=0)),
        "in_several_classes": _several(films, order, begins, films.labels),
        "in_several_parts": _several(films, order, begins, films.parts),
    }


def _several(films: Table, order: Rows, begins: Rows, places: Kinds[str]) -> list[dict[str, Any]]:
    """Return the patients whose films are in more than one of ``places``, with these films.

    order: rows of films, patient by patient. begins: where in it each patient's begin."""
    codes = places.codes[order]
    new = np.diff(codes, prepend=codes[:1]) != 0  # another place than the film before: a patient's first may be so
    new[begins] = False
    found = []
    for patient in np.unique(np.searchsorted(begins, np.flatnonzero(new), "right") - 1).tolist():
        rows = order[begins[patient] : begins[patient + 1] if patient + 1 < len(begins) else None].tolist()
        own = {"patient": films.patients[rows[0]], "films": [films.paths[row] for row in rows]}
        several = sorted({places[row] for row in rows} - {""})  # no part is no other part
        found += [own | {"places": several}] * (len(several) > 1)
    return found


def twin_rows(measured: Measured, twins: list[Twins]) -> list[dict[str, Any]]:
    """Return the groups of duplicates as they stand in audit.json."""
    rows = []
    for twin in twins:
        films = [measured.films.films[row] for row in twin.rows]
        rows.append(
            {
                "kind": twin.kind,
                "correlation": twin.correlation,
                "conflicting": len({film.label for film in films}) > 1 or _contradict(films),
                "crossing": len({film.part for film in films} - {""}) > 1,
                "several_patients": len({film.patient for film in films}) > 1,
                "films": [{"path": f.path, "label": f.shown, "patient": f.patient, "part": f.part} for f in films],
            }
        )
    return rows


def _contradict(films: Sequence[Film]) -> bool:
    """Return whether a finding is known of several films, and not the same."""
    cells = {(name, cell) for film in films for name, cell in film.findings.items() if cell in (POSITIVE, NEGATIVE)}
    return len({name for name, _ in cells}) < len(cells)


def odd_films(measured: Measured) -> list[dict[str, Any]]:
    """Return ``{"path", "reasons"}`` of the films that are unlike a chest film, or unlike the others in the set."""
    odd = defaultdict(list)
    for reasons in (_odd_files(measured), _odd_sizes(measured), _odd_looks(measured)):
        for row, reason in reasons:
            odd[row].append(reason)
    return [{"path": measured.films.films[row].path, "reasons": odd[row]} for row in sorted(odd)]


def _odd_files(measured: Measured) -> Iterable[tuple[int, str]]:
    for name in ("file type", "colour mode"):
        yield from ((i, f"{name} {value}") for i, value in _rare(measured.name(name)))
    yield from ((i, f"{depth:g} bits") for i, depth in _rare(measured.number("bit depth")) if depth == depth)
    for i, mode in enumerate(measured.name("colour mode")):
        if mode.split(",")[0] in ("RGB", "RGBA", "P", "CMYK", "YCbCr"):
            yield i, "colour stored for a grey film" if mode.endswith("grey") else "coloured"
    for i, orientation in enumerate(measured.name("EXIF orientation")):
        if orientation not in ("", "1"):
            yield i, f"turned by its EXIF tag (orientation {orientation})"


def _rare(values: NDArray[Any]) -> Iterator[tuple[int, Any]]:
    """Yield (row, value) of the values that few films have."""
    different, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    yield from ((i, different[which[i]]) for i in np.flatnonzero((counts < RARE * len(values))[which]).tolist())


def _odd_sizes(measured: Measured) -> Iterable[tuple[int, str]]:
    width, height = measured.number("width"), measured.number("height")
    area = np.log(width * height)
    far, slim = np.abs(area - np.median(area)) > np.log(FAR), np.abs(np.log(width / height)) > np.log(SLIM)
    for i in np.flatnonzero(far | slim).tolist():
        yield i, f"{width[i]:.0f}×{height[i]:.0f} pixels, {'far from the others' if far[i] else 'long and narrow'}"


def _odd_looks(measured: Measured) -> Iterable[tuple[int, str]]:
    grey, contrast = measured.number("mean grey"), measured.number("contrast")
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
