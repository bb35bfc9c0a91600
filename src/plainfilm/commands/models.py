"""Every model that can be named."""

from __future__ import annotations

from typing import Any

from plainfilm.models.zoo import RECIPES


def models() -> list[dict[str, Any]]:
    """Return one entry a model: name, title, parameters (2 classes), flops a film, input, licence, weights."""
    from plainfilm.models.pretrained import pretrained
    from plainfilm.models.summary import flops, parameters

    found = []
    for recipe in RECIPES.values():
        p = recipe.preprocess
        network = recipe.build(2, p)
        here = pretrained(recipe.pretrained).here() if recipe.pretrained else None
        found.append(
            {
                "name": recipe.name,
                "title": recipe.title,
                "parameters": parameters(network),
                "flops": flops(network, (p.channels, p.size, p.size)),
                "input": [p.channels, p.size, p.size],
                "licence": recipe.licence,
                "pretrained": recipe.pretrained or None,
                "weights_here": bool(here) if recipe.pretrained else None,
                "weights": here
                or (f"fetched on first use ({recipe.pretrained})" if recipe.pretrained else "none needed"),
            }
        )
    return found
