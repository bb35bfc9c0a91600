"""A model that plainfilm did not make, as an ONNX file; what its file does not say stands in one line."""

from __future__ import annotations

import ast
import csv
import hashlib
import os
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from plainfilm.data.demo_films import draw, phantom_set
from plainfilm.data.findings import no
from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision, Floats, positive_class, positive_is_a_guess
from plainfilm.evaluation.findings import FindingsDecision, both
from plainfilm.evaluation.predictions import SUM_TOLERANCE
from plainfilm.export.graph import Graph, weights_by_node
from plainfilm.export.line import Line
from plainfilm.export.onnx_file import metadata, read, require, require_harmless
from plainfilm.export.session import session_of
from plainfilm.export.trial import tried
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.gate import Gate
from plainfilm.models.reads import Reads
from plainfilm.progress import say
from plainfilm.storage.files import to_json

TRIED = 4  # films drawn by our generator, that a file is tried on
MOST_COLUMNS = 1_000  # of an output: more are no classes
LONGEST_NAME = 200  # of a class
KEYS = ("classes", "class_names", "labels", "names", "id2label", "class_to_idx")  # of metadata that name the classes
MADE_BY = {"Softmax": "softmax", "LogSoftmax": "logits", "Sigmoid": "sigmoid", "HardSigmoid": "sigmoid"}


@dataclass
class ForeignModel(Reads):
    """A model of somebody else. It has no gate: nothing tells whether films are like those that it was trained on."""

    name: str
    decision: Decision | FindingsDecision
    preprocess: Preprocess
    line: Line
    graph: Graph
    data: bytes = field(repr=False)  # of the file
    session: Any = field(repr=False)  # onnxruntime.InferenceSession
    kept: list[int] = field(default_factory=list)  # which columns of the output are used
    hash: str = ""  # of the file, the line and the classes: other answers have another
    gate: Gate | None = None
    verdict: dict[str, Any] = field(default_factory=dict)
    engine = "onnx"

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return (B, K) float64 probabilities of (B, S, S) uint8 pixels. InputError when the output is not what the
        line says it is, or no number."""
        films = self.line.tensor(pixels).astype(self.graph.kind, copy=False)
        size = self.graph.films or len(films)
        try:
            parts = [self._run(films[i : i + size], size) for i in range(0, len(films), size)]
        except ValueError as error:
            raise InputError(f"{self.name}: {error}.") from None
        return self._chances(np.concatenate(parts))

    def shuffled(self, share: float, rng: np.random.Generator) -> ForeignModel:
        """Return a model with every array's values shuffled in the last ``share`` of the nodes that have weights, at
        least in one. InputError where the graph has none."""
        import onnx

        proto = onnx.load_model_from_string(self.data)
        layers = weights_by_node(proto.graph)
        if not layers:
            raise InputError(f"{self.name} has no weights that can be shuffled; leave the checks out: --checks 0.")
        for tensor in chain.from_iterable(layers[-max(1, round(share * len(layers))) :]):
            values = onnx.numpy_helper.to_array(tensor)
            mixed = rng.permutation(values.ravel()).reshape(values.shape)
            tensor.CopyFrom(onnx.numpy_helper.from_array(mixed, tensor.name))
        return replace(self, session=session_of(proto.SerializeToString()))

    def _run(self, films: np.ndarray, size: int) -> Floats:
        """Return (B, C) what the output says of up to ``size`` films; a graph that takes more gets some twice."""
        given = films if len(films) == size else films[np.arange(size) % len(films)]
        (found,) = self.session.run([self.graph.answer], {self.graph.taken: given})
        return _rows(found, size)[: len(films)]

    def _chances(self, found: Floats) -> Floats:
        chances, output = _chances(found, self.line.output), self.line.output
        sums_to_one = output != "softmax" or np.abs(chances.sum(1) - 1).max() <= SUM_TOLERANCE
        if chances.min() < 0 or chances.max() > 1 or not sums_to_one:
            raise InputError(
                f"{self.name}: its output is no {output}: it gave {chances.min():.3g} to {chances.max():.3g}; say what "
                "it is, such as --preprocess …,output=logits."
            )
        return both(chances[:, self.kept[0]]) if self.decision.two and len(self.kept) == 1 else chances[:, self.kept]

    @classmethod
    def load(cls, path: str | os.PathLike[str], preprocess: str, classes: str = "") -> ForeignModel:
        """Return the model in an ONNX file that another program wrote, whose films ``preprocess`` prepares (see
        ``Line``). ``classes``: names of its columns, "NORMAL,PNEUMONIA"; else those in its metadata.

        The file is tried on films in a process of its own first. InputError in one sentence when it holds what may not
        be in it, is no classifier, does not fit the line, or its classes are not known.
        """
        require("onnxruntime")
        path, line = Path(path), Line.parse(preprocess)
        data = read(path)
        try:
            told, graph = _opened(data, line.answer)
            line = graph.fitted(line)
            films = line.tensor(_films(line.cut, graph.films or TRIED)).astype(graph.kind)
            found = _rows(tried(data, graph.taken, graph.answer, films), len(films))
            line = line.with_columns(line.output or _recognised(found, graph.made_by), found.shape[1])
            kept, decision = _decided(line, _named(told, classes), found.shape[1])
            session = session_of(data)
        except InputError:
            raise
        except Exception as error:  # protobuf, the checker and the runtime each have their own, and hostile files all
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise InputError(f"{path} is not an ONNX classifier that can be used ({reason}).") from None
        model = cls(f"{path.name} ({preprocess})", decision, line.cut, line, graph, data, session, kept)
        model._chances(found)
        answers = to_json([hashlib.sha256(data).hexdigest(), vars(line), decision.classes])
        model.hash = hashlib.sha256(answers.encode()).hexdigest()
        say(f"{path}: {_said(line, decision)}")
        return model


def _opened(data: bytes, answer: str) -> tuple[dict[str, str], Graph]:
    import onnx

    proto = onnx.load_model_from_string(data)
    told = metadata(proto)
    if "plainfilm" in told:
        raise ValueError("plainfilm wrote it, with its own preprocessing and classes; leave out --preprocess")
    require_harmless(proto)
    return told, Graph.of(proto, answer)


def _films(cut: Preprocess, count: int) -> np.ndarray:
    drawn = [cut.read(draw(film)) for film in phantom_set(TRIED, seed=0)]
    return np.stack([drawn[i % TRIED] for i in range(count)])


def _rows(found: np.ndarray, films: int) -> Floats:
    """Return an output as (B, C) rows; ValueError for one that has no row per film."""
    columns = found.size // films
    if found.shape[:1] != (films,) or np.prod(found.shape[2:]) != 1 or not 1 <= columns <= MOST_COLUMNS:
        raise ValueError(f"its output for {films} films has the shape {found.shape}, not a row of classes per film")
    rows = np.asarray(found, np.float64).reshape(films, columns)
    if not np.isfinite(rows).all():
        raise ValueError("its output is not a number for some films")
    return rows


def _recognised(found: Floats, made_by: str) -> str:
    """Return which of OUTPUTS the rows ``found`` of the films tried are: by the operator that made them, else by their
    values."""
    if made_by in MADE_BY:
        return MADE_BY[made_by]
    if found.min() < 0 or found.max() > 1:
        return "logits"
    sums_to_one = found.shape[1] > 1 and np.abs(found.sum(1) - 1).max() <= SUM_TOLERANCE
    return "softmax" if sums_to_one else "sigmoid"


def _chances(found: Floats, output: str) -> Floats:
    """Return (B, C) as probabilities what an output of one of OUTPUTS says."""
    if output in ("softmax", "sigmoid"):
        return found
    return np.asarray(softmax(found, axis=1) if output == "logits" and found.shape[1] > 1 else expit(found))


def _decided(line: Line, names: list[str], columns: int) -> tuple[list[int], Decision | FindingsDecision]:
    """Return which columns are used, and the rule of decision before anything was chosen: of one column of two classes
    (or of two sigmoids, where one is called normal: the other), of sigmoids of a finding each, else of classes of which
    a film has one. ValueError unless the names fit."""
    if line.column is not None:
        return [line.column], Decision.of(_pair(names, line.column, columns))
    if len(names) != columns:
        raise ValueError(f"{_few(names, columns)}; name each in its order: --classes NORMAL,PNEUMONIA")
    if any(len(name) > LONGEST_NAME or not name.isprintable() for name in names):
        raise ValueError("a class in its metadata has no name that can be shown; name each: --classes NORMAL,PNEUMONIA")
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise ValueError(f"two of its columns are named {twice[0]}")
    kept = [k for k, name in enumerate(names) if name]
    if line.output.startswith("sigmoid") and len(kept) == columns == 2 and not positive_is_a_guess(names):
        return [positive_class(names, None)], Decision.of(_pair(names, positive_class(names, None), columns))
    if line.output.startswith("sigmoid") and kept:
        return kept, FindingsDecision.of_names([names[k] for k in kept])
    if len(kept) < columns:
        raise ValueError("only a column of sigmoids can be left without a name")
    return kept, Decision.of(names)


def _pair(names: list[str], column: int, columns: int) -> list[str]:
    """Return the two classes that the lone ``column`` used tells apart, its own last."""
    if column >= columns:
        raise ValueError(f"it has {columns} columns, and the first is column=0")
    if len(set(names)) == 2 == len(names):
        return names[::-1] if (column, columns) == (0, 2) else names
    own = names[column] if len(names) == columns else names[0] if len(names) == 1 else ""
    if not own:
        raise ValueError(
            f"{_few(names, columns)}; name the two classes, that of its column last: --classes NORMAL,SICK"
        )
    return [no(own), own]


def _few(names: list[str], columns: int) -> str:
    named = f"{len(names)} are named" if names else "its file names no classes"
    return f"its output has {columns} column{'s' * (columns > 1)}, and {named}"


def _named(told: dict[str, str], classes: str) -> list[str]:
    """Return the names of an output's columns: those given, else those in the file's metadata; [] for none."""
    if classes:
        return [name.strip() for name in next(csv.reader([classes], skipinitialspace=True))]
    for key in KEYS:
        if names := _listed(told.get(key, "")):
            return names
    return []


def _listed(text: str) -> list[str]:
    """Return the names in a value of metadata: a list, a mapping from or to numbers, or text with commas."""
    try:
        found = ast.literal_eval(text)  # Python's spelling, and JSON's of the same
        if isinstance(found, dict):
            to_number = all(isinstance(value, int) for value in found.values())
            pairs = ((value, key) if to_number else (key, value) for key, value in found.items())
            found = [name for _, name in sorted((int(number), name) for number, name in pairs)]
        return [str(name).strip() for name in found] if isinstance(found, list | tuple) else []
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return [name.strip() for name in text.split(",")] if "," in text else []


def _said(line: Line, decision: Decision | FindingsDecision) -> str:
    """Return what was recognised, in a sentence."""
    what = "the findings" if isinstance(decision, FindingsDecision) else "the classes"
    shape = f"{line.channels} × {line.size} × {line.size}"
    return f"films become {shape}; its output is read as {line.output} of {what} {', '.join(decision.classes)}."
