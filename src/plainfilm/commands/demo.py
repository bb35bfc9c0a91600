"""The synthetic films as real files, and the whole comparison on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plainfilm.commands.paper import paper
from plainfilm.config import PAPER_MODELS
from plainfilm.data.demo_films import PhantomFilm, draw, phantom_set
from plainfilm.data.reading import folder_files
from plainfilm.errors import InputError
from plainfilm.progress import bar
from plainfilm.storage.files import replacing


def write_films(folder: Path, count: int, seed: int) -> None:
    """Write the demo set into ``folder`` as class folders of JPEG files; what is there of it already stays.

    InputError when films of another set are there.
    """
    films = phantom_set(count, seed)
    _require_own(folder, films)
    with bar("Drawing films", len(films)) as progress:
        for film in films:
            place = folder / film.path
            if not place.exists():
                with replacing(place) as temporary:
                    temporary.write_bytes(draw(film))
            progress.step()


def _require_own(folder: Path, films: Sequence[PhantomFilm]) -> None:
    """InputError unless the files in ``folder`` are some of ``films``: by their names, and the first by its bytes."""
    ours = {film.path for film in films}
    stranger = next((name for name in folder_files(folder) if name not in ours), None) if folder.exists() else None
    first = folder / films[0].path
    if stranger is None and first.exists() and first.read_bytes() != draw(films[0]):
        stranger = films[0].path
    if stranger is not None:
        raise InputError(
            f"{folder} holds {stranger}, which a demo with these --films and --seed has not; choose another --out."
        )


def demo(
    out: Path, films: int, settings: dict[str, Any], *, models: tuple[str, ...] = PAPER_MODELS
) -> list[dict[str, Any]]:
    """Write ``films`` synthetic films to ``out``/films and compare ``models`` on them; return the rows of table.csv.

    A demo that was begun there is continued.
    """
    seed = settings.get("seed", 0)
    write_films(out / "films", films, seed)
    return paper(str(out / "films"), out, {**settings, "seed": seed}, models=models, resume=True)
