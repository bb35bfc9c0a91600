"""The synthetic films as real files, and the whole comparison on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plainfilm.commands.paper import paper
from plainfilm.config import PAPER_MODELS
from plainfilm.data.phantom import draw, phantom_set
from plainfilm.files import replacing
from plainfilm.progress import bar


def write_films(folder: Path, count: int, seed: int) -> None:
    """Write the demo set into ``folder`` as class folders of JPEG files; what is there already stays."""
    films = phantom_set(count, seed)
    with bar("Drawing films", len(films)) as progress:
        for film in films:
            place = folder / film.path
            if not place.exists():
                with replacing(place) as temporary:
                    temporary.write_bytes(draw(film))
            progress.step()


def demo(
    out: Path, films: int, settings: dict[str, Any], models: tuple[str, ...] = PAPER_MODELS, seed: int = 0
) -> list[dict[str, Any]]:
    """Write ``films`` synthetic films to ``out``/films and compare ``models`` on them; return the rows of table.csv.

    A demo that was begun there is continued.
    """
    write_films(out / "films", films, seed)
    return paper(str(out / "films"), out, {**settings, "seed": seed}, models, resume=True)
