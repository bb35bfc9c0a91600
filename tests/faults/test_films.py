"""Films that are damaged, and films that are gone when they are asked for again."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from plainfilm.commands import train as training
from plainfilm.data.sources import load
from plainfilm.errors import InputError
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import ingest
from plainfilm.storage.files import write_text
from plainfilm.storage.tables import read_csv

DAMAGES = (
    lambda data, rng: data[: len(data) // 2],
    lambda data, rng: data[:-54],
    lambda data, rng: b"",
    lambda data, rng: data[:1],
    lambda data, rng: b"<html>404</html>",
    lambda data, rng: rng.bytes(len(data)),
    lambda data, rng: bytes(len(data)),
)


@pytest.fixture
def films(tmp_path, monkeypatch):
    """200 films of 24 by 24 pixels, and a cache of their own."""
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    for number in range(200):
        place = tmp_path / "set" / ("AB"[number % 2]) / f"{number:03d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (24, 24), dtype=np.uint8)).save(place)
    return tmp_path / "set"


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_damaged_films_are_put_aside_each_with_its_reason(films, share, tally):
    rng = np.random.default_rng(0)
    places = sorted(films.rglob("*.png"))
    chosen = [places[i] for i in rng.choice(len(places), round(share * len(places)), replace=False)]
    for number, place in enumerate(chosen):
        place.write_bytes(DAMAGES[number % len(DAMAGES)](place.read_bytes(), rng))
    if share > 0.01:  # more than --max-bad allows by itself
        with pytest.raises(InputError, match=r"20 of 200 films can't be read, more than --max-bad"):
            ingest(load(films), [Preprocess(size=16)])
    ready, (rows,) = ingest(load(films), [Preprocess(size=16)], max_bad=share)
    assert {path for path, reason in ready.quarantine if reason} == {p.relative_to(films).as_posix() for p in chosen}
    assert len(ready) == len(rows) == 200 - len(chosen)
    tally(f"damaged films, {share:.0%} of a set: in quarantine with a reason, no other lost", len(chosen), len(chosen))


def test_films_that_vanish_during_the_training_do_not_lose_it(few_films, tmp_path, monkeypatch):
    """Pixels are in the store by then; only pictures and probes want the files again."""
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    data = shutil.copytree(few_films, tmp_path / "films")
    fit = training.fit

    def fit_and_lose(*arguments):
        found = fit(*arguments)
        for place in sorted(data.rglob("*.png"))[::2]:
            place.unlink()
        return found

    monkeypatch.setattr(training, "fit", fit_and_lose)
    monkeypatch.setattr(training, "run_report", lambda run: write_text(run.folder / "report.html", "report"))
    settings = {"model": "vgg", "size": 16, "epochs": 1, "batch": 4, "threads": 1}
    assert "test" in training.train(str(data), tmp_path / "run", settings)
    assert len(read_csv(tmp_path / "run" / "predictions.csv")[1]) == 16
    assert (tmp_path / "run" / "figures" / "montage.png").exists()  # of the films that are left
    assert not (tmp_path / "run" / "probes.json").exists()
