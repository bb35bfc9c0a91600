"""Every file that plainfilm writes, cut at six points and hit by single-bit flips: each change is found."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from plainfilm.data.sources import load
from plainfilm.errors import InputError
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import RowStore, ingest, pixel_store
from plainfilm.models.bundle import read_bundle
from plainfilm.storage.files import SUMS, damaged, read_sums


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole[0], tmp_path / "run")


@pytest.fixture(scope="session")
def changes(times):
    """``changes(data)``: six truncations and many single-bit flips of it."""

    def changed(data):
        size, rng = len(data), np.random.default_rng(0)
        for cut in sorted({0, 1, size // 4, size // 2, 3 * size // 4, size - 1} - {size}):
            yield data[:cut]
        for at in rng.integers(0, size, times(1000, 40)):
            yield data[:at] + bytes([data[at] ^ 1 << rng.integers(8)]) + data[at + 1 :]

    return changed


def found(path, changed, finds):
    """(how often ``path`` was changed, how often ``finds`` said so); the file is whole again afterwards."""
    whole, tried, seen = path.read_bytes(), 0, 0
    for data in changed(whole):
        path.write_bytes(data)
        tried, seen = tried + 1, seen + bool(finds())
    path.write_bytes(whole)
    assert not finds()
    return tried, seen


def refused(path, kind):
    try:
        read_bundle(path, kind)
    except InputError:
        return True
    return False


def test_model(run, changes, tally):
    tally("model.h5 cut or flipped", *found(run / "model.h5", changes, lambda: refused(run / "model.h5", "model")))


def test_checkpoint(nursery, whole, few_films, tiny, tmp_path, changes, tally):
    words = ("train", few_films, "--out", tmp_path / "run", *tiny)
    save = 1
    while not (path := tmp_path / "run" / "checkpoint.h5").exists():
        nursery.run(*words, "--resume", cache=tmp_path / "cache", save=[save := save + 2, "moved"])
    tally("checkpoint.h5 cut or flipped", *found(path, changes, lambda: refused(path, "checkpoint")))


def test_every_file_of_a_finished_run(run, changes, tally):
    """Tables and JSON carry no sum of their own; the folder's SHA256SUMS does, and is one of the files."""
    names = [name for name in read_sums(run) if name != "model.h5"]
    assert {"config.json", "films.csv", "history.csv", "metrics.json", "model.json", "predictions.csv"} <= set(names)
    for name in names:
        path = run / name
        if path.stat().st_size:
            tally(f"{name} cut or flipped", *found(path, changes, lambda name=name: damaged(run, [name])))


def test_the_sums_themselves(run, changes, tally):
    def finds():
        try:
            wrong = damaged(run)
        except InputError:
            return True
        return wrong or set(read_sums(run)) != names

    names = set(read_sums(run))
    tally(f"{SUMS} cut or flipped", *found(run / SUMS, changes, finds))


@pytest.mark.parametrize("file", ["rows.bin", "index.txt"])
def test_stored_pixels(few_films, tmp_path, monkeypatch, file, changes, times, tally):
    """A damaged row or line is made again: what is read is always what was decoded."""
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    p = Preprocess(size=8)
    films, (rows,) = ingest(load(few_films), [p])
    pixels, place = rows[:].copy(), pixel_store(p).folder
    whole = {name: (place / name).read_bytes() for name in ("rows.bin", "index.txt")}
    tried = right = 0
    for data in changes(whole[file]):
        for name, content in {**whole, file: data}.items():
            (place / name).write_bytes(content)
        again, (same,) = ingest(load(few_films), [p])
        tried, right = tried + 1, right + (again == films and bool((same[:] == pixels).all()))
    tally(f"store: {file} cut or flipped; the damaged rows are made again", tried, right)


def test_stored_features(tmp_path, monkeypatch, changes, tally):
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    about, values = {"kind": "features"}, np.random.default_rng(0).normal(size=(12, 40)).astype(np.float32)
    store = RowStore(about, (40,), "float32")
    with store.writing():
        store.append([(f"{i:064x}", 9, 9, row) for i, row in enumerate(values)])
    path = store.folder / "rows.bin"
    whole, tried, seen = path.read_bytes(), 0, 0
    for data in changes(whole):
        path.write_bytes(data)
        before = (store.folder / "index.txt").read_bytes()
        again = RowStore(about, (40,), "float32")
        with again.writing():
            tried, seen = tried + 1, seen + any(again.intact(f"{i:064x}") is None for i in range(12))
        (store.folder / "index.txt").write_bytes(before)
    tally("store: features cut or flipped", tried, seen)
