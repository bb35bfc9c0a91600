"""The audit that a training does by itself: what files and borders alone tell, from a sample of its films."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from typing import Any

from plainfilm.audit.document import examine, shortcut_lines
from plainfilm.audit.measure import measure
from plainfilm.data.films import Films
from plainfilm.evaluation.findings import rarest
from plainfilm.runs.probing import stratified
from plainfilm.storage.files import cache_dir, read_json, write_json

MOST_FILMS = 600  # they are read and measured in seconds


def light_audit(films: Films, positive: str, seed: int) -> dict[str, Any]:
    """Return the document of an audit of up to 600 films, drawn evenly from the classes by ``seed``; the same films are
    measured once, then it is in the cache.

    Its red lines are what files, borders and columns of the table alone tell about ``positive``, or about each finding.
    Copies and patients in several parts are looked for among all films, when these are divided, and not here.
    ``light``: how many films it has seen, of how many. InputError when none can be read.
    """
    rows = stratified(rarest(films.truth) if films.findings else films.labels, MOST_FILMS, seed)
    about = [films.data_hash, films.name, version("plainfilm"), positive, str(seed), str(MOST_FILMS)]
    name = hashlib.sha256("\0".join(about).encode("utf-8", "surrogateescape")).hexdigest()
    kept = cache_dir() / "audits" / f"{name}.json"
    if kept.is_file():
        found: dict[str, Any] = read_json(kept)
        return found
    found = examine(measure(films.at(rows)), None, seed, positive)
    found |= {"red_lines": shortcut_lines(found), "light": {"films": len(rows), "of": len(films)}}
    write_json(kept, found)
    return found
