"""Every model that can be named."""

from __future__ import annotations

from typing import Any

from plainfilm.catalogue import ROWS
from plainfilm.models.zoo import recipe


def models() -> list[dict[str, Any]]:
    """Return one entry a model: name, title, parameters (2 classes), flops a film, input, licence, weights."""
    from plainfilm.models.pretrained import pretrained
    from plainfilm.models.summary import flops, parameters

    found = []
    for row in ROWS.values():
        known = recipe(row.name)
        p, network = known.preprocess, known.build(2, known.preprocess)
        here = pretrained(row.pretrained).here() if row.pretrained else None
        found.append(
            {
                "name": row.name,
                "title": row.title,
                "parameters": parameters(network),
                "flops": flops(network, (p.channels, p.size, p.size)),
                "input": [p.channels, p.size, p.size],
                "licence": row.licence,
                "pretrained": row.pretrained or None,
                "weights_here": bool(here) if row.pretrained else None,
                "weights": here or (f"fetched on first use ({row.pretrained})" if row.pretrained else "none needed"),
            }
        )
    return found
