"""``plainfilm fetch``: public sets and weights into the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plainfilm.data.fetch import CATALOGUE, MEGABYTE, Download, announcement, fetch, find
from plainfilm.data.public import SETS
from plainfilm.errors import command_line
from plainfilm.models.weights import vgg16_weights
from plainfilm.progress import say
from plainfilm.storage import files


def fetch_names(names: list[str]) -> list[dict[str, Any]]:
    """Bring each named set or weight file into the cache, after saying its size, licence and citation.

    Returns for each: ``name``, ``path``, ``bytes``, ``checksum`` ("md5:..." or "sha256:..."), ``licence``,
    ``citation``. InputError for an unknown name, before anything is fetched; DownloadError when one can't be had.
    """
    return [_fetched(item) for item in [find(name) for name in names]]


def known_sets() -> list[dict[str, str]]:
    """Return ``name``, ``title``, ``get`` (how), ``licence``, ``labels`` and ``citation`` of everything that can be
    fetched, and of the public sets that are read as their owners ship them."""
    fetched = [
        {
            "name": item.name,
            "title": f"{item.filename}, {item.bytes / MEGABYTE:,.0f} MB",
            "get": command_line("fetch", item.name),
            "licence": item.licence,
            "labels": "",
            "citation": item.citation,
        }
        for item in CATALOGUE.values()
    ]
    names = ("name", "title", "get", "licence", "labels", "citation")
    return fetched + [{name: getattr(known, name) for name in names} for known in SETS]


def _fetched(item: Download) -> dict[str, Any]:
    say(announcement(item))
    if item.name == "vgg16":  # a machine that reaches a package index only still gets it
        path, known = vgg16_weights().path, None
    else:
        path, known = fetch(item), item.checksum
    return {
        "name": item.name,
        "path": str(path),
        "bytes": Path(path).stat().st_size,
        "checksum": known or f"sha256:{files.sha256_file(path)}",
        "licence": item.licence,
        "citation": item.citation,
    }
