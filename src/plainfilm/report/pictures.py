"""Films to look at: the paper's montage, and small pictures of what a model got wrong."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from plainfilm.config import MONTAGE_FILMS
from plainfilm.data.films import FilmError, Films
from plainfilm.evaluation.findings import NONE
from plainfilm.image.decode import decode
from plainfilm.image.store import Rows
from plainfilm.models.model import Model
from plainfilm.progress import say
from plainfilm.report.figures import Tile, mark_of, montage, save
from plainfilm.report.mistakes import PICTURED, picture_of, wrong_films
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders
from plainfilm.storage.files import write_bytes

SIDE = 192
MONTAGE_FINDINGS = 16  # films: findings take more room than a class


def draw_montage(films: Films, pixels: Rows, model: Model, seed: int, out: Path) -> None:
    """Draw the paper's Fig. 3: 30 random films of the scored part, labelled by the model; 16 of several findings."""
    scored = films.where("test") if films.where("test").size else films.where("val")
    rng = np.random.default_rng(seed)
    most = MONTAGE_FINDINGS if films.findings else MONTAGE_FILMS
    chosen = rng.choice(scored, min(most, len(scored)), replace=False)
    probabilities, seen = model.answered(pixels[chosen])
    unusual = [bool(verdict.reason) for verdict in model.gate.judge(pixels[chosen], seen)] if model.gate else []
    tiles = []
    for place, row, said, unlike in zip(
        chosen,
        probabilities,
        model.decision.decide(probabilities),
        unusual or [False] * len(chosen),
        strict=True,
    ):
        film = films.films[int(place)]
        if (grey := picture(film.path, film.read)) is not None:
            known = _known(films, int(place), model, row) if films.findings else (film.label, None)
            p, (true, agrees) = model.decision.weighed(row, said), known
            mark = mark_of(unlike, bool(model.decision.reason(row)))
            tiles.append(Tile(grey, model.decision.label(row), p, true, film.path, mark, agrees))
    if tiles:
        save(montage(tiles, of=model.decision.decided_by), out / folders.FIGURES, "montage")


def _known(films: Films, place: int, model: Model, row: np.ndarray) -> tuple[str | None, bool]:
    """Return which findings a film is known to have (None where nothing is known of it), and whether the model says the
    same of all that is known."""
    truth = films.truth[place]
    known = truth >= 0
    names = [name for name, cell in zip(films.findings, truth, strict=True) if cell == 1]
    called = np.array([model.decision.gives(row, k) for k in range(len(row))])
    return ("; ".join(names) or NONE) if known.any() else None, bool((called == (truth == 1))[known].all())


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
