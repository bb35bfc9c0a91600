"""Arrays out of torch's files, whose description is a program for a stack machine (pickle).

A loader would carry that program out, and it may do anything. Here the same opcodes move words about: whatever the
program names (a function, a class) stays a name, a call stays a note of what was to be called with what. Of these
notes only the few that torch writes for an array are understood. So a file with code in it gives no arrays, and
nothing else.

Two layouts: a ZIP whose ``data.pkl`` describes arrays that lie in members of their own (torch 1.6 and later), and five
streams one after another with the arrays behind them (before).
"""

from __future__ import annotations

import io
import math
import pickletools  # names opcodes; it carries none out
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from plainfilm.models.weights import Arrays

OPCODES = 10_000_000  # a network's description has some hundred for each array
DEEPEST = 64  # modules within modules
KINDS = {
    "HalfStorage": "<f2",
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "BFloat16Storage": "<u2",  # the upper half of a float32
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "<u1",
    "ShortStorage": "<i2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
}
HOLDERS = ("model_ema", "model", "module", "state_dict")  # under which a checkpoint keeps its network's arrays
UNREADABLE = (  # what a file that is none, or has been tampered with, can raise
    *(ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError, OverflowError, RecursionError),
    *(StopIteration, MemoryError, NotImplementedError, struct.error, zipfile.BadZipFile, zlib.error),
)


@dataclass(eq=False)
class Note:
    """What the program names or would make: ``what`` is a name or another note, the rest what it gets."""

    what: Any
    given: tuple[Any, ...] = ()
    items: dict[Any, Any] = field(default_factory=dict)
    state: Any = None


def read_pickled(file: IO[bytes]) -> Arrays:
    """Return the arrays of a network by name, floats as float32, from a file that torch wrote: a state dict, a module,
    or a checkpoint that holds one. One of ``UNREADABLE``, or an OSError, for what is none."""
    packed = file.read(2) == b"PK"
    file.seek(0)
    if packed:
        with zipfile.ZipFile(file) as archive:
            return _from_zip(archive)
    return _from_streams(file)


def _from_zip(archive: zipfile.ZipFile) -> Arrays:
    described = next(name for name in archive.namelist() if name.endswith("data.pkl"))
    folder = described.removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and _member(archive, f"{folder}byteorder") != b"little":
        raise ValueError("its numbers lie in another order of bytes")
    found = _followed(io.BytesIO(_member(archive, described))).top
    return {name: _array(note, lambda key: _member(archive, f"{folder}data/{key}")) for name, note in _named(found)}


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:  # torch packs nothing; a small file can't grow here
        raise ValueError(f"{name[:80]} is packed")
    return archive.read(name)


def _from_streams(file: IO[bytes]) -> Arrays:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    *_, description, order = [_followed(file) for _ in range(5)]  # mark, version, machine, description, order
    wanted = dict(_named(description.top))
    needed = {_storage(note)[0] for note in wanted.values()}
    widths = {key: np.dtype(kind).itemsize for key, kind, _ in map(_stored, description.stored)}
    held: dict[str, bytes] = {}
    for key in map(str, order.top):
        (count,) = struct.unpack("<q", file.read(8))
        if not 0 <= count * widths[key] <= size:
            raise ValueError("it claims more than it holds")
        data = file.read(count * widths[key])
        if key in needed:
            held[key] = data
    return {name: _array(note, held.__getitem__) for name, note in wanted.items()}


# -- the description ---------------------------------------------------------------------------------------------------


def _followed(stream: IO[bytes]) -> _Machine:
    """Follow one program up to its end."""
    machine = _Machine()
    for number, (code, word, _) in enumerate(pickletools.genops(stream)):
        if number > OPCODES:
            raise ValueError("its description is too long")
        machine.step(code.name, word)
    return machine


class _Machine:
    """Pickle's stack machine over notes in place of objects."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.stored: list[Note] = []  # each array's numbers, which lie outside the program

    @property
    def top(self) -> Any:
        """What lies on top: at the end what the program describes, of plain values and ``Note``s."""
        return self.stack[-1]

    def step(self, name: str, word: Any) -> None:
        """Carry out one opcode of those that move values about; ValueError for any other."""
        if name in _PUSHED:
            self.stack.append(word)
        elif name in _FRESH:
            self.stack.append(_FRESH[name]())
        elif name in _STEPS:
            _STEPS[name](self, word)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise ValueError(f"its description has the opcode {name}")

    def since_mark(self) -> list[Any]:
        """Take and return what was pushed since the last mark."""
        start = self.marks.pop()
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def take(self, count: int) -> tuple[Any, ...]:
        """Take and return the last ``count`` values."""
        if len(self.stack) < count:
            raise ValueError("its description takes from an empty stack")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return tuple(taken)

    def add_pairs(self, values: list[Any]) -> None:
        """Put keys and values into the dict, or the note of something like one, on top of the stack."""
        into = self.top.items if isinstance(self.top, Note) else self.top
        into.update(zip(values[::2], values[1::2], strict=True))

    def add_values(self, values: list[Any]) -> None:
        """Put values into the list on top of the stack; those of anything else are no arrays and are left."""
        if isinstance(self.top, list):
            self.top.extend(values)

    def note(self, count: int) -> None:
        """Put a note of a call in the place of what was to be called and what it was to be given."""
        what, *given = self.take(count)
        arguments = given[0] if given and isinstance(given[0], tuple) else tuple(given)
        self.stack.append(Note(what, arguments))

    def build(self) -> None:
        """Note the state of what lies below it."""
        made, state = self.take(2)
        if isinstance(made, Note):
            made.state = state
        self.stack.append(made)

    def remember(self, number: int) -> None:
        """Keep the top of the stack under a number."""
        self.memo[number] = self.top

    def store(self) -> None:
        """Note numbers that lie outside the program; what else does (the source of a module) is none."""
        (what,) = self.take(1)
        self.stack.append(Note("stored", what))
        if what[0] == "storage":
            self.stored.append(self.top)


_PUSHED = {
    *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_FRESH: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_TUPLE": tuple,
}
_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "POP": lambda m, _: m.take(1),
    "POP_MARK": lambda m, _: m.since_mark(),
    "DUP": lambda m, _: m.stack.append(m.top),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.since_mark())),
    "TUPLE1": lambda m, _: m.stack.append(m.take(1)),
    "TUPLE2": lambda m, _: m.stack.append(m.take(2)),
    "TUPLE3": lambda m, _: m.stack.append(m.take(3)),
    "LIST": lambda m, _: m.stack.append(m.since_mark()),
    "FROZENSET": lambda m, _: m.stack.append(m.since_mark()),
    "APPEND": lambda m, _: m.add_values(list(m.take(1))),
    "APPENDS": lambda m, _: m.add_values(m.since_mark()),
    "ADDITEMS": lambda m, _: m.add_values(m.since_mark()),
    "SETITEM": lambda m, _: m.add_pairs(list(m.take(2))),
    "SETITEMS": lambda m, _: m.add_pairs(m.since_mark()),
    "GLOBAL": lambda m, word: m.stack.append(Note(word.replace(" ", "."))),
    "STACK_GLOBAL": lambda m, _: m.stack.append(Note(".".join(map(str, m.take(2))))),
    "REDUCE": lambda m, _: m.note(2),
    "NEWOBJ": lambda m, _: m.note(2),
    "NEWOBJ_EX": lambda m, _: m.note(3),
    "BUILD": lambda m, _: m.build(),
    "BINPERSID": lambda m, _: m.store(),
    "BINPUT": lambda m, number: m.remember(number),
    "LONG_BINPUT": lambda m, number: m.remember(number),
    "PUT": lambda m, number: m.remember(number),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    "BINGET": lambda m, number: m.stack.append(m.memo[number]),
    "LONG_BINGET": lambda m, number: m.stack.append(m.memo[number]),
    "GET": lambda m, number: m.stack.append(m.memo[number]),
}


# -- what was noted ----------------------------------------------------------------------------------------------------


def _named(found: Any) -> Iterator[tuple[str, Note]]:
    """Name the note of each array: of a state dict, a module's, or what a checkpoint keeps under one of ``HOLDERS``."""
    if isinstance(found, Note) and isinstance(found.state, dict) and "_modules" in found.state:
        yield from _of_module(found, "", set())
        return
    values = _pairs(found)
    tensors = {str(name): value for name, value in values.items() if _tensor(value)}
    if tensors:
        yield from ((name, note) for name, value in tensors.items() if (note := _tensor(value)))
        return
    inner = next((values[name] for name in HOLDERS if name in values), None)
    if inner is None:
        raise ValueError("it names no arrays")
    yield from _named(inner)


def _of_module(module: Note, prefix: str, seen: set[int]) -> Iterator[tuple[str, Note]]:
    if id(module) in seen or prefix.count(".") > DEEPEST or not isinstance(module.state, dict):
        return
    seen.add(id(module))
    for kept in ("_parameters", "_buffers"):
        for name, value in _pairs(module.state.get(kept)).items():
            if note := _tensor(value):
                yield f"{prefix}{name}", note
    for name, inner in _pairs(module.state.get("_modules")).items():
        if isinstance(inner, Note):
            yield from _of_module(inner, f"{prefix}{name}.", seen)


def _pairs(value: Any) -> dict[Any, Any]:
    """Return what a dict, or the note of an OrderedDict, holds."""
    if isinstance(value, Note):
        return value.items
    return value if isinstance(value, dict) else {}


def _tensor(value: Any) -> Note | None:
    """Return the note of the array within a parameter's or an array's; None for anything else."""
    for _ in range(3):  # a parameter's around an array's
        called = value.what.what if isinstance(value, Note) and isinstance(value.what, Note) else ""
        if called in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
            return value  # type: ignore[no-any-return]
        if called in ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"):
            value = value.given[0]
        elif called == "torch._tensor._rebuild_from_type_v2":
            value = Note(value.given[0], value.given[2])
        else:
            return None
    return None


def _storage(tensor: Note) -> tuple[str, str, int]:
    """Return key, numpy's type and count of the numbers that an array is cut from."""
    return _stored(tensor.given[0])


def _stored(numbers: Note) -> tuple[str, str, int]:
    _, kind, key, _, count, *_ = numbers.given
    return str(key), KINDS[kind.what.rpartition(".")[2]], int(count)


def _array(tensor: Note, bytes_of: Callable[[str], bytes]) -> np.ndarray:
    """Cut the array out of its numbers; floats become float32. ValueError where it would reach beyond them."""
    key, kind, count = _storage(tensor)
    _, offset, shape, strides = tensor.given[:4]
    numbers = np.frombuffer(bytes_of(key), kind)
    reach = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) if math.prod(shape) else 0
    if min((offset, *shape, *strides)) < 0 or reach >= max(len(numbers), 1) or math.prod(shape) > len(numbers):
        raise ValueError("an array reaches beyond its numbers")
    if len(numbers) != count:
        raise ValueError("an array has other numbers than its description says")
    if "BFloat16" in tensor.given[0].given[1].what:
        numbers = (numbers.astype("<u4") << 16).view("<f4")
    size = numbers.itemsize
    cut = np.lib.stride_tricks.as_strided(numbers[offset:], shape, [step * size for step in strides])
    return np.array(cut, dtype=np.float32 if cut.dtype.kind == "f" else cut.dtype)
