"""Every model that can be named."""

from __future__ import annotations

from typing import Any

from plainfilm.catalogue import ENCODERS, KINDS, ROWS
from plainfilm.errors import InputError
from plainfilm.models.zoo import recipe


def models() -> list[dict[str, Any]]:
    """Return one entry a model: name, title, parameters (2 classes), flops a film, input, licence, weights.

    An encoder trained on chest films has one entry for its three kinds, with the figures of the first. Parameters and
    flops are None where the extra ``backbones``, which builds it, isn't installed.
    """
    kinds = "|".join(f"-{kind}" for kind in KINDS)
    encoders = [(f"cxr:{name}{kinds}", f"cxr:{name}-{next(iter(KINDS))}") for name in ENCODERS]
    return [_entry(shown, name) for shown, name in [*((name, name) for name in ROWS), *encoders]]


def _entry(shown: str, name: str) -> dict[str, Any]:
    import torch

    from plainfilm.models.pretrained import pretrained
    from plainfilm.models.summary import flops, parameters

    known = recipe(name)
    row, p = known.row, known.preprocess
    shape = (p.channels, p.size, p.size)
    try:
        with torch.device("meta"):  # shapes only
            network = known.build(2, p)
        counted: tuple[int | None, int | None] = parameters(network), flops(network, shape)
    except InputError:
        counted = None, None
    here = pretrained(row.pretrained).here() if row.pretrained else None
    return {
        "name": shown,
        "title": row.title,
        "parameters": counted[0],
        "flops": counted[1],
        "input": list(shape),
        "licence": row.licence,
        "pretrained": row.pretrained or None,
        "weights_here": bool(here) if row.pretrained else None,
        "weights": here or (_source(row.pretrained) if row.pretrained else "none needed"),
    }


def _source(pretrained: str) -> str:
    encoder = ENCODERS.get(pretrained.removeprefix("cxr:"))
    if encoder and not encoder.sha256:
        return f"not here; bring them from {encoder.address}"
    return f"fetched on first use ({pretrained})"
