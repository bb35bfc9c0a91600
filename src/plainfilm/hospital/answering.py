"""One film's trip: the bytes of a DICOM file -> the files that answer it. The answer is `label`'s, to the last bit."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from plainfilm.data.films import FilmError
from plainfilm.evaluation.findings import thresholds_of
from plainfilm.explain.overlay import watched
from plainfilm.hospital.dicom_out import KEY, PICTURE, REPORT, About
from plainfilm.hospital.forms import Forms, nobody
from plainfilm.hospital.picture import picture
from plainfilm.hospital.sentences import summary
from plainfilm.hospital.source import hashed, identity, keep_quiet
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
        self._forms = Forms(model)
        self._own = threading.local()

    def prepare(self) -> None:
        """Load what writes reports, before the first film comes."""
        keep_quiet()
        self._forms.report(About(nobody(), self.model, datetime.now()), FilmError("none"))

    def answer(self, data: bytes) -> Answered:
        """Return the answer to the film in ``data``; one that can't be read is answered too, with the reason.

        FilmError when its header does not say whose film it is.
        """
        begun, about = time.perf_counter(), About(identity(data), self.model, datetime.now())
        model, twin = self._models() if self.pictures else (self.model, self.model)
        seen = _seen(model, data)
        found = seen.answer if isinstance(seen, _Seen) else seen
        files = {}
        if self.pictures and isinstance(seen, _Seen):
            target = int(self.model.decision.decide(seen.answer.probabilities[None])[0])
            shown = picture(twin, seen.grey, seen.pixels, summary(self.model, found), target)
            files[PICTURE] = self._forms.secondary_capture(about, shown)
        if isinstance(found, FilmError) or found.refer:
            files[KEY] = self._forms.key_object(about, found)
        files[REPORT] = self._forms.report(about, found)  # last: whoever finds it finds the others
        line = {**_line(about, found), "milliseconds": round(1000 * (time.perf_counter() - begun), 1)}
        return Answered(found, files, line)

    def _models(self) -> tuple[Reads, Reads]:
        """Return this thread's model for answers and its twin for maps: one that makes both by one pass, if it can."""
        if not hasattr(self._own, "models"):
            both = watched(self.model)
            self._own.models = (both, both) if both else (self.model, self.model.twin())
        found: tuple[Reads, Reads] = self._own.models
        return found


class _Seen(NamedTuple):
    """A film's answer, the whole film, and what the network sees of it."""

    answer: Answer
    grey: np.ndarray
    pixels: np.ndarray


def _seen(model: Reads, data: bytes) -> _Seen | FilmError:
    """The film, decoded once, and its answer; or why there is none."""
    try:
        whole = decoded(data)
        film = look(model, data, whole)
        return _Seen(answer(model, film), whole.grey, film.pixels)
    except FilmError as error:
        return error


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
        "threshold": thresholds_of(model.decision) or (model.threshold if model.decision.two else None),
        "refer": found.refer,
        "reason": found.reason,
        "gate": found.gate.score if found.gate else None,
    }
