"""What every model can be asked, whatever runs its network: torch, ONNX Runtime, others. Needs none of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from plainfilm.data.films import Film, FilmError
from plainfilm.data.frames import to_html
from plainfilm.data.reading import read_file
from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.digits import edge
from plainfilm.evaluation.findings import FindingsDecision
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.gate import Gate

T = TypeVar("T")
BATCH = 32  # films a pass when labelling


class Reads:
    """A model that reads films: its fields, and what follows from ``probabilities`` alone. Speaks scikit-learn."""

    name: str
    decision: Decision | FindingsDecision
    preprocess: Preprocess
    hash: str  # SHA-256 of the file it was loaded from
    gate: Gate | None  # does a film look like the training films?
    verdict: dict[str, Any]  # what the report says in short

    @property
    def engine(self) -> str:
        """What runs the network."""
        raise NotImplementedError

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return (B, K) float64 probabilities of (B, S, S) uint8 pixels as the store holds them."""
        raise NotImplementedError

    def answered(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return ``probabilities``, and (B, D) float32 that the gate looks at: None where the network gives nothing."""
        return self.probabilities(pixels), None

    def twin(self) -> Reads:
        """Return a model for a thread's own use beside others; this one, unless its network keeps what it sees."""
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """The K classes, in the order of the probabilities' columns."""
        return self.decision.classes

    @property
    def classes_(self) -> np.ndarray:
        """(K,) the same as an array, as scikit-learn has it."""
        return np.array(self.classes)

    def fit(self, films: Any = None, labels: Any = None) -> Reads:
        """Return the model as it is, trained already: scikit-learn's tools may call it (as its FrozenEstimator)."""
        return self

    def score(self, films: Sequence[Any] | np.ndarray, labels: Sequence[str]) -> float:
        """Return the share of films that get the class named in ``labels`` (N,)."""
        return float(np.mean(self.predict(films) == np.asarray(labels)))

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> Reads:
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        two = ClassifierTags(multi_class=len(self.classes) > 2)
        inputs = InputTags(two_d_array=False, string=True)
        return Tags(
            "classifier", TargetTags(required=False), classifier_tags=two, input_tags=inputs, requires_fit=False
        )

    def _repr_html_(self) -> str:
        from plainfilm.evaluation.intervals import Interval  # with SciPy, which a label does not wait for

        scores = self.verdict.get("scores", {})
        rows = [(name, str(Interval(**found))) for name, found in scores.items()]
        decision = "the likeliest class"
        if isinstance(self.decision, FindingsDecision):
            decision = self.decision.rule
        elif self.decision.two:
            decision = f"{self.decision.positive} from {edge(self.threshold)} on"
        about = f"{self.name}: {', '.join(self.classes)}; {decision}. {self.verdict.get('protocol', '')}"
        return to_html(about, ("score", f"on {self.verdict.get('films', 0):,} films (95 % interval)"), rows)

    @property
    def threshold(self) -> float:
        """The positive class's probability from which a film gets that class; with two classes only."""
        return float(self.decision.threshold)

    def predict_proba(self, films: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Return (N, K) float64 probabilities of paths, bytes, (H, W) uint8 arrays, or plainfilm's own films (``Films``
        or ``Film``); a lone path, bytes or ``Film`` are one film.

        FilmError for a film that can't be read.
        """
        films = [films] if isinstance(films, str | bytes | os.PathLike | Film) else films
        rows = (self._pixels(film) for film in films)
        parts = [self.probabilities(np.stack(batch)) for batch in batches(rows, BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.classes)))

    def _pixels(self, film: Any) -> np.ndarray:
        if isinstance(film, bytes):
            return self.preprocess.read(film)
        if not isinstance(film, np.ndarray):
            own = isinstance(film, Film)
            try:
                return self.preprocess.read(film.read() if own else read_file(Path(film)))
            except FilmError as error:
                raise FilmError(f"{film.path if own else film}: {error}") from None
        if film.ndim != 2 or film.dtype != np.uint8:
            raise InputError(f"An array of a film must be (H, W) uint8, not {film.shape} {film.dtype}.")
        return self.preprocess.pixels(film)

    def predict(self, films: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Return (N,) class names, by the threshold for two classes, else the most probable."""
        return np.asarray(self.classes_[self.decision.decide(self.predict_proba(films))])


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of ``size`` items; the last may be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
