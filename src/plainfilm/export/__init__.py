"""A trained model in files that other programs read, each checked against the original before it may stay."""

from __future__ import annotations

from typing import Any

from plainfilm.config import DISCLAIMER
from plainfilm.models.reads import Reads

FORMAT = 3  # of what ``about`` holds; since 3 an ONNX file gives out what the gate looks at in the network
OLDEST = 2  # that is read: since then the file holds the input gate


def about(model: Reads) -> dict[str, Any]:
    """Return, as JSON values, everything besides weights that is needed to use ``model`` as it was meant."""
    return {
        "plainfilm": FORMAT,
        "model": model.name,
        "classes": model.classes,
        **model.decision.about,
        "preprocess": model.preprocess.as_dict(),
        "verdict": model.verdict,
        "model_sha256": model.hash,
        "disclaimer": DISCLAIMER,
    }
