"""The ONNX file itself: its seal, what may be in it, and what of it is read.

Nothing here needs onnxruntime; every file is hostile until it was ``checked``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.errors import InputError
from plainfilm.export import FORMAT, OLDEST
from plainfilm.storage.files import to_json

MOST_BYTES = 2**31 - 1  # protobuf's own limit
MOST_NODES = 50_000  # the largest networks for films have some thousands
NUMBERS = (1, 2, 3, 6, 7, 9, 10, 11)  # ONNX tensor types: float32 and 64, integers, bool, float16
GATE = "gate/"
SEAL = "plainfilm_sha256"
UNSEALED = b"0" * 64
OUTPUT = "probabilities"
LEAST = 1e-30  # of a probability whose logarithm is taken in 32 bits
ANOTHERS = "label, evaluate and explain use another program's with --preprocess, such as --preprocess imagenet224"
LARGEST_DIFFERENCE = 1e-4  # of a probability; beyond it a file is not kept


def require(*packages: str) -> None:
    """InputError with what to install unless all ``packages`` of the extra ``export`` are here."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise InputError(f"This needs the package {missing[0]}; run: pip install 'plainfilm[export]'.")


def with_temperature(data: bytes, temperature: float, told: Mapping[str, Any]) -> Any:
    """Return the ModelProto of a file whose probabilities are softened further, softmax(log p / temperature), and whose
    metadata are ``told``, JSON values."""
    import onnx
    from onnx import helper, numpy_helper

    proto = onnx.load_model_from_string(data)
    if temperature != 1:
        graph, stage = proto.graph, f"{OUTPUT}/{len(proto.graph.node)}"
        for node in graph.node:
            for names in (node.input, node.output):
                names[:] = [f"{stage}/before" if name == OUTPUT else name for name in names]
        for name, value in (("least", LEAST), ("temperature", temperature)):
            graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), f"{stage}/{name}"))
        graph.node.extend(
            [
                helper.make_node("Max", [f"{stage}/before", f"{stage}/least"], [f"{stage}/some"]),
                helper.make_node("Log", [f"{stage}/some"], [f"{stage}/log"]),
                helper.make_node("Div", [f"{stage}/log", f"{stage}/temperature"], [f"{stage}/logits"]),
                helper.make_node("Softmax", [f"{stage}/logits"], [OUTPUT], axis=-1),
            ]
        )
    describe(proto, told)
    return proto


def describe(proto: Any, told: Mapping[str, Any]) -> None:
    """Write ``told``, JSON values, and an open seal into the metadata of a ModelProto."""
    del proto.metadata_props[:]
    for key, value in {**told, SEAL: UNSEALED.decode()}.items():
        proto.metadata_props.add(key=key, value=value if isinstance(value, str) else to_json(value))


def sealed(proto: Any) -> bytes:
    """Return the file's bytes with their own SHA-256 (taken with zeros in its place) in the metadata."""
    data: bytes = proto.SerializeToString(deterministic=True)
    return seal(data, UNSEALED)


def seal(data: bytes, old: bytes) -> bytes:
    """Return ``data`` with the hash ``old`` behind SEAL replaced by that of the bytes with zeros there."""
    at = data.rfind(old, data.rfind(SEAL.encode()))
    blank = data[:at] + UNSEALED + data[at + len(old) :]
    return blank[:at] + hashlib.sha256(blank).hexdigest().encode() + blank[at + len(old) :]


def read(path: Path) -> bytes:
    """Return the bytes of a file; InputError when it can't be read, or is too large to be one of ours."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than 2 GB, which no ONNX file can be.")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror or error}).") from None


def checked(data: bytes) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Return metadata and the gate's arrays of an ONNX file by plainfilm. ValueError for another, a changed one, and
    what ``require_harmless`` refuses.

    The seal finds damage and careless edits; it is no signature.
    """
    import onnx

    proto = onnx.load_model_from_string(data)
    told = metadata(proto)
    if told.get("plainfilm") is None or SEAL not in told:
        raise ValueError(f"plainfilm did not write it; {ANOTHERS}")
    if int(told["plainfilm"]) > FORMAT:
        raise ValueError(f"made by a newer plainfilm (format {told['plainfilm']}); update plainfilm to read it")
    if int(told["plainfilm"]) < OLDEST:
        raise ValueError("made by an older plainfilm, which left the input gate out; export it again")
    if seal(data, told[SEAL].encode()) != data:
        raise ValueError("its content does not match its check sum; restore it from a copy")
    require_harmless(proto)
    gate = [tensor for tensor in proto.graph.initializer if tensor.name.startswith(GATE)]
    return told, {tensor.name.removeprefix(GATE): onnx.numpy_helper.to_array(tensor) for tensor in gate}


def metadata(proto: Any) -> dict[str, str]:
    """Return what a ModelProto says of itself by key."""
    return {item.key: item.value for item in proto.metadata_props}


def require_harmless(proto: Any) -> None:
    """ValueError unless a ModelProto is valid and holds nothing that could reach out of it or run on and on."""
    import onnx

    if (nodes := len(proto.graph.node)) > MOST_NODES:  # before anything looks at each
        raise ValueError(f"its graph has {nodes:,} nodes, and {MOST_NODES:,} are the most")
    if proto.functions or not {node.domain for node in proto.graph.node} <= {"", "ai.onnx"}:
        raise ValueError("it uses operators outside the ONNX standard")
    tensors = list(proto.graph.initializer)
    tensors += [part for sparse in proto.graph.sparse_initializer for part in (sparse.values, sparse.indices)]
    for node in proto.graph.node:
        if any(item.type in (item.GRAPH, item.GRAPHS) for item in node.attribute):
            raise ValueError(f"it has a branch or a loop ({node.op_type})")
        tensors += [t for item in node.attribute for t in (item.t, item.sparse_tensor.values, *item.tensors) if t.dims]
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ValueError(f"{tensor.name or 'a constant'} lies in another file")
        if tensor.data_type not in NUMBERS:
            raise ValueError(f"{tensor.name or 'a constant'} is no array of numbers")
    onnx.checker.check_model(proto)
