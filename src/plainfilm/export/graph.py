"""What the graph of an ONNX file takes and gives, read without running it; the file was ``inspected`` before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from plainfilm.export.line import LAYOUTS, Line

FLOATS: dict[int, type[np.number[Any]]] = {1: np.float32, 10: np.float16, 11: np.float64}  # by ONNX tensor type
KINDS = {**FLOATS, 2: np.uint8}  # that films can be given as
CHANNELS = (1, 3)
MOST_FILMS = 256  # a pass
WEIGHTS = (*FLOATS, 2, 3)  # and whole numbers of 8 bits, of a quantised network
PASSES_ON = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast")
DEFAULT_SIZE, DEFAULT_CHANNELS = 224, 3  # where neither the line nor the graph says


class Graph(NamedTuple):
    """The one input for films and the one output with the answer of a graph."""

    taken: str
    kind: type[np.number[Any]]
    shape: tuple[int | None, ...]  # of the input; None where any length goes
    answer: str
    made_by: str  # the operator that makes the answer

    @classmethod
    def of(cls, proto: Any, answer: str = "") -> Graph:
        """Return the graph of a ModelProto; ``answer`` names its output. ValueError where it is no classifier."""
        graph = proto.graph
        fixed = {tensor.name for tensor in graph.initializer}
        inputs = [value for value in graph.input if value.name not in fixed]
        if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type not in KINDS:
            names = ", ".join(value.name for value in inputs) or "none"
            raise ValueError(f"it needs one input of films, in floating point or bytes, and has: {names}")
        kind = inputs[0].type.tensor_type
        shape = tuple(_length(dim) for dim in kind.shape.dim)
        if len(shape) != 4:
            raise ValueError(f"its input has {len(shape)} dimensions; films need four: films, channels, height, width")
        if (shape[0] or 1) > MOST_FILMS:
            raise ValueError(f"it takes {shape[0]:,} films at once, and {MOST_FILMS} are the most")
        name = _answer(graph, answer)
        return cls(inputs[0].name, KINDS[kind.elem_type], shape, name, _maker(graph, name))

    @property
    def films(self) -> int | None:
        """How many films a pass takes; None for any number."""
        return self.shape[0]

    def fitted(self, line: Line) -> Line:
        """Return the line with what it leaves to the graph. ValueError where the two say different things."""
        layout = line.layout or self._layout()
        _, *sides = self.shape if layout == "nchw" else (self.shape[0], self.shape[3], *self.shape[1:3])
        channels, height, width = sides
        if channels not in (None, *CHANNELS):
            raise ValueError(f"it takes films of {channels:,} channels, and grey films can be given as 1 or 3")
        if height != width and height and width:
            raise ValueError(f"it takes films of {width} × {height} pixels, and only square ones are made here")
        size = height or width or line.size or DEFAULT_SIZE
        wanted = {"size": (size, line.size), "channels": (channels or line.channels or DEFAULT_CHANNELS, line.channels)}
        for name, (own, said) in wanted.items():
            if said not in (None, own):
                raise ValueError(f"it takes films with {name}={own}, and --preprocess says {name}={said}")
        if self.kind is np.uint8 and not line.as_they_are:
            raise ValueError(f"it takes grey values of 0..255 as they are: --preprocess raw{size}")
        return replace(line, layout=layout, size=size, channels=wanted["channels"][0]).require_whole()

    def _layout(self) -> str:
        """Return where the channels stand, by which of the two places has 1 or 3; before the sides if none says so."""
        last, first = self.shape[3] in CHANNELS, self.shape[1] in CHANNELS
        return LAYOUTS[last and not first]


def _length(dim: Any) -> int | None:
    return int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value > 0 else None


def _answer(graph: Any, wanted: str) -> str:
    """Return the output named ``wanted``, else the only one that can be one row of numbers per film."""
    names = [value.name for value in graph.output]
    if wanted and wanted not in names:
        raise ValueError(f"it has no output '{wanted}', but {', '.join(names)}")
    rows = [value.name for value in graph.output if _is_row(value.type.tensor_type)]
    if not wanted and len(rows) != 1:
        raise ValueError(f"one output with a row per film is needed, and it has: {', '.join(names)}; say answer=NAME")
    return wanted or rows[0]


def _is_row(kind: Any) -> bool:
    further = [_length(dim) for dim in kind.shape.dim][2:]
    return kind.elem_type in FLOATS and all(length == 1 for length in further)


def _maker(graph: Any, name: str) -> str:
    """Return the operator that makes the output ``name``, behind those that only pass it on."""
    makers = {output: node for node in graph.node for output in node.output}
    while (node := makers.get(name)) is not None and node.op_type in PASSES_ON and node.input:
        name = node.input[0]
    return str(node.op_type) if node is not None else ""


def weights_by_node(graph: Any) -> list[list[Any]]:
    """Return the weights (TensorProto) of each node that has some, in the order of the pass."""
    held = {tensor.name: tensor for tensor in graph.initializer}
    constants = (node for node in graph.node if node.op_type == "Constant")
    held |= {node.output[0]: item.t for node in constants for item in node.attribute if item.name == "value"}
    weights = {name: t for name, t in held.items() if t.data_type in WEIGHTS and np.prod(t.dims) > 1}
    found = ([weights[name] for name in node.input if name in weights] for node in graph.node)
    return [tensors for tensors in found if tensors]
