"""JSON schemas (draft 2020-12) of plainfilm's files (storage/documents.py) and outputs (outputs.py); see make.py."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal, NotRequired, Required, get_args, get_origin, get_type_hints

PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(title: str, documents: tuple[Any, ...]) -> dict[str, Any]:
    """Return the schema of a document that is one of several types; the TypedDicts named in it are its ``$defs``."""
    named: dict[str, Any] = {}
    kinds = [_schema(document, named) for document in documents]
    whole = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return {"$schema": DRAFT, "title": title, **whole, "$defs": dict(sorted(named.items()))}


def _schema(kind: Any, named: dict[str, Any]) -> dict[str, Any]:
    inner = get_args(kind)
    match get_origin(kind):
        case None:
            return _named(kind, named)
        case origin if origin is Literal:
            return {"enum": list(inner)}
        case origin if origin is list:
            return {"type": "array", "items": _schema(inner[0], named)}
        case origin if origin is dict:
            return {"type": "object", "additionalProperties": _schema(inner[1], named)}
        case origin if origin in (types.UnionType, typing.Union):
            return _union([_schema(each, named) for each in inner])
    raise TypeError(f"{kind} has no JSON schema")


def _named(kind: Any, named: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a plain type, or where that of a TypedDict stands."""
    if not typing.is_typeddict(kind):
        return {} if kind is Any else {"type": PLAIN[kind]}
    if kind.__name__ not in named:
        named[kind.__name__] = {}  # it may name itself
        named[kind.__name__] = _object(kind, named)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _union(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    if all(list(each) == ["type"] for each in schemas):
        return {"type": [each["type"] for each in schemas]}
    return {"anyOf": schemas}


def _object(kind: Any, named: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a TypedDict: its own keys, and no others."""
    hints = get_type_hints(kind, include_extras=True)
    properties, required = {}, []
    for key, hint in hints.items():
        marked = get_origin(hint) in (Required, NotRequired)
        properties[key] = _schema(get_args(hint)[0] if marked else hint, named)
        if get_origin(hint) is Required or (not marked and kind.__total__):
            required.append(key)
    text = " ".join((kind.__doc__ or "").split())
    about = {"description": text} if kind.__doc__ and not text.startswith("dict(") else {}
    found = {**about, "type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": required} if required else found
