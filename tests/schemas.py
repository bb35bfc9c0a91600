"""Documents held against their schemas in docs/schemas, which are made from the types that the code is checked with."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from plainfilm.storage.files import plain

SCHEMAS = Path(__file__).resolve().parents[1] / "docs" / "schemas"


@cache
def _validator(name: str) -> Any:
    return jsonschema_rs.validator_for(json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8")))


def valid(name: str, document: Any) -> Any:
    """Return ``document``; an error where it is not what docs/schemas/NAME.json says."""
    wrong = [f"{error.instance_path}: {error.message}"[:300] for error in _validator(name).iter_errors(plain(document))]
    assert not wrong, f"{name}: {wrong}"
    return document
