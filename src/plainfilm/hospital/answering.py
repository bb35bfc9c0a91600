"""One film's trip: the bytes of a DICOM file -> the files that answer it. The answer is `label`'s, to the last bit."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from plainfilm.data.films import FilmError
from plainfilm.hospital.dicom_out import (
    KEY,
    PICTURE,
    REPORT,
    About,
    encoded,
    key_object,
    report,
    secondary_capture,
    summary,
)
from plainfilm.hospital.picture import picture
from plainfilm.hospital.source import hashed, identity
from plainfilm.image.decode import decoded
from plainfilm.models.answer import Answer, answer, look
from plainfilm.models.reads import Reads


class Answered(NamedTuple):
    """A film's answer, or why there is none; its files by kind, in the order to be sent; its line in the trail."""

    found: Answer | FilmError
    files: dict[str, bytes]
    line: dict[str, Any]


class Answering:
    """A model that answers DICOM films, in any thread; each has a twin of it for heat maps, which hang hooks on it."""

    def __init__(self, model: Reads, pictures: bool = True) -> None:
        self.model, self.pictures = model, pictures
        self._own = threading.local()

    def answer(self, data: bytes) -> Answered:
        """Return the answer to the film in ``data``; one that can't be read is answered too, with the reason.

        FilmError when its header does not say whose film it is.
        """
        begun, about = time.perf_counter(), About(identity(data), self.model, datetime.now())
        found, grey, pixels = _found(self.model, data)
        made = []
        if self.pictures and grey is not None and pixels is not None:
            shown = picture(self._twin(), grey, pixels, summary(self.model, found))
            made.append((PICTURE, secondary_capture(about, shown)))
        if isinstance(found, FilmError) or found.refer:
            made.append((KEY, key_object(about, str(found) if isinstance(found, FilmError) else str(found.reason))))
        made.append((REPORT, report(about, found)))  # last: whoever finds it finds the others
        files = dict(zip([kind for kind, _ in made], encoded([each for _, each in made]), strict=True))
        line = {**_line(about, found), "milliseconds": round(1000 * (time.perf_counter() - begun), 1)}
        return Answered(found, files, line)

    def _twin(self) -> Reads:
        if not hasattr(self._own, "model"):
            self._own.model = self.model.twin()
        found: Reads = self._own.model
        return found


def _found(model: Reads, data: bytes) -> tuple[Answer | FilmError, np.ndarray | None, np.ndarray | None]:
    """The answer, the whole film, and what the network sees of it; decoded once."""
    try:
        whole = decoded(data)
        film = look(model, data, whole)
        return answer(model, film), whole.grey, film.pixels
    except FilmError as error:
        return error, None, None


def _line(about: About, found: Answer | FilmError) -> dict[str, Any]:
    """What the trail keeps of an answer: nothing that names a person, UIDs as hashes."""
    film, model = about.film, about.model
    line: dict[str, Any] = {
        "time": about.when.astimezone().isoformat(timespec="milliseconds"),
        "film": hashed(film.SOPInstanceUID),
        "study": hashed(film.StudyInstanceUID),
        "model": model.hash,
    }
    if isinstance(found, FilmError):
        return {**line, "label": None, "refer": True, "reason": str(found)}
    return {
        **line,
        "label": found.label,
        "probabilities": dict(zip(model.classes, found.probabilities.tolist(), strict=True)),
        "threshold": model.threshold if model.decision.two else None,
        "refer": found.refer,
        "reason": found.reason,
        "gate": found.gate.score if found.gate else None,
    }
