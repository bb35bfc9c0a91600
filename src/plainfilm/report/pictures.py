"""Films to look at: the paper's montage, and small pictures of what a model got wrong."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from plainfilm.config import MONTAGE_FILMS
from plainfilm.data.films import FilmError, Films
from plainfilm.image.decode import decode
from plainfilm.image.store import Rows
from plainfilm.models.model import Model
from plainfilm.progress import say
from plainfilm.report.figures import Tile, montage, save
from plainfilm.report.mistakes import PICTURED, picture_of, wrong_films
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders
from plainfilm.storage.files import write_bytes

SIDE = 192


def draw_montage(films: Films, pixels: Rows, model: Model, seed: int, out: Path) -> None:
    """Draw the paper's Fig. 3: 30 random films of the scored part, labelled by the model."""
    scored = films.where("test") if films.where("test").size else films.where("val")
    rng = np.random.default_rng(seed)
    chosen = rng.choice(scored, min(MONTAGE_FILMS, len(scored)), replace=False)
    probabilities = model.probabilities(pixels[chosen])
    flagged = [bool(verdict.reason) for verdict in model.gate.judge(pixels[chosen])] if model.gate else []
    tiles = [
        Tile(grey, model.classes[said], model.decision.told(row, said), film.label, film.path, *unlike)
        for film, row, said, *unlike in zip(
            [films.films[i] for i in chosen],
            probabilities,
            model.decision.decide(probabilities),
            *([flagged] if flagged else []),
            strict=True,
        )
        if (grey := picture(film.path, film.read)) is not None
    ]
    if tiles:
        save(montage(tiles), out / folders.FIGURES, "montage")


def picture(path: str, read: Callable[[], bytes]) -> np.ndarray | None:
    """Return the film for looking at, its longer side 192 pixels, as (H, W) uint8; None, said aloud, when it has
    vanished since: that must not cost a training, or the labels of thousands."""
    try:
        image = Image.fromarray(decode(read()))
    except FilmError as error:
        say(f"{path} is left out of the pictures: {error}.")
        return None
    image.thumbnail((SIDE, SIDE))
    return np.asarray(image)


def draw_mistakes(films: Films, run: RunFolder) -> None:
    """Save small pictures of the surest wrong decisions of each kind, for the report."""
    decided, wrong = wrong_films(run)
    by_path = {film.path: film for film in films}
    for kind in np.unique(decided[wrong]):
        for path in [run.scored.paths[i] for i in wrong[decided[wrong] == kind][:PICTURED]]:
            if (grey := picture(path, by_path[path].read)) is not None:
                buffer = io.BytesIO()
                Image.fromarray(grey).save(buffer, "PNG")
                write_bytes(picture_of(run.folder, path), buffer.getvalue())
