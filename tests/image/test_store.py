from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plainfilm.data.sources import load
from plainfilm.errors import InputError
from plainfilm.image import store as module
from plainfilm.image.decode import decode
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.reduced import decode_at
from plainfilm.image.store import Rows, RowStore, ingest, pixel_store, rows_of


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))


def test_rows_are_the_films_in_order_decoded_once_for_all_preprocessings(films_folder, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "decode_at", lambda data, factor: calls.append(1) or decode_at(data, factor))
    both = [Preprocess(), Preprocess(size=32, resize="pad")]
    films, (large, small) = ingest(load(films_folder), both)
    assert len(calls) == len(films) == len(large) == 40
    for i in (0, 17, 39):
        assert (large[i] == both[0].pixels(decode(films.films[i].read()))).all()
        assert (small[i] == both[1].pixels(decode(films.films[i].read()))).all()
    assert films.films[0].width == 72 and films.films[0].height == 56 and len(films.films[0].sha256) == 64
    again, _ = ingest(load(films_folder), both)
    assert len(calls) == 40 and again == films


def test_another_scaling_shares_the_stored_pixels(films_folder):
    assert pixel_store(Preprocess(scaling="unit")).folder == pixel_store(Preprocess()).folder
    assert pixel_store(Preprocess(resize="pad")).folder != pixel_store(Preprocess()).folder
    assert pixel_store(Preprocess(oversample=2)).folder != pixel_store(Preprocess()).folder


def test_films_decoded_smaller_are_those_that_labelling_sees_and_keep_their_size(tmp_path, make_film, monkeypatch):
    factors = []
    monkeypatch.setattr(module, "decode_at", lambda data, factor: factors.append(factor) or decode_at(data, factor))
    for i, name in enumerate(("NORMAL", "PNEUMONIA")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpeg").write_bytes(make_film(i, bool(i), (301, 222)))
    rules = [Preprocess(size=size, oversample=2) for size in (12, 13, 32, 64)]
    films, rows = ingest(load(tmp_path), rules)
    assert sorted(factors) == [1, 1, 2, 2, 8, 8]  # one reduction that serves two inputs is decoded once
    assert (films.films[0].width, films.films[0].height) == (301, 222)
    for rule, stored in zip(rules, rows, strict=True):
        assert (stored[1] == rule.read(films.films[1].read())).all()


def test_a_kill_in_the_middle_loses_only_what_was_under_way(films_folder):
    ingest(load(films_folder), [Preprocess()])
    store = pixel_store(Preprocess())
    with open(store.index_path, "ab") as index, open(store.rows_path, "ab") as rows:
        index.write(b"0123abc 72 5")  # half a line
        rows.write(b"\1" * 5000)  # a row and a bit without a line
    films, (rows_,) = ingest(load(films_folder), [Preprocess()])
    assert (rows_[39] == Preprocess().pixels(decode(films.films[39].read()))).all()
    assert store.index_path.read_bytes().endswith(b"\n") and store.rows_path.stat().st_size % 4096 == 0


def test_a_changed_row_is_noticed_and_made_again(films_folder):
    films, _ = ingest(load(films_folder), [Preprocess()])
    store = pixel_store(Preprocess())
    data = bytearray(store.rows_path.read_bytes())
    data[5 * 4096 + 77] ^= 1
    store.rows_path.write_bytes(data)
    films, (rows,) = ingest(load(films_folder), [Preprocess()])
    for i, film in enumerate(films):
        assert (rows[i] == Preprocess().pixels(decode(film.read()))).all()


def test_no_flipped_bit_of_the_index_changes_what_is_known_of_a_film(tmp_path, make_films):
    data = make_films(tmp_path / "set", 2, 2)
    films, (rows,) = ingest(load(data), [Preprocess()])
    index = pixel_store(Preprocess()).index_path
    whole = index.read_bytes()
    for at in range(0, 2 * whole.index(b"\n"), 3):  # an old line has no sum of its own
        for bit in range(8):
            index.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            again, (same,) = ingest(load(data), [Preprocess()])
            assert again == films and (same[:] == rows[:]).all()


def test_an_index_line_without_its_own_sum_is_still_read(tmp_path, make_films, monkeypatch):
    data = make_films(tmp_path / "set", 2, 2)
    films, _ = ingest(load(data), [Preprocess()])
    index = pixel_store(Preprocess()).index_path
    index.write_bytes(b"".join(b" ".join(line.split()[:4]) + b"\n" for line in index.read_bytes().splitlines()))
    monkeypatch.setattr(module, "decode_at", lambda data, factor: 1 / 0)
    assert ingest(load(data), [Preprocess()])[0] == films


def test_damaged_notes_of_seconds_are_left_out():
    store = RowStore({"kind": "notes"}, (3,), "float32")
    with store.writing():
        store.note(2, 4.0, "torch")
        with open(store.folder / "seconds.txt", "ab") as notes:
            notes.write(b"\xff 1.000\n1 x.000\n2 1")
    assert store.seconds_a_row() == 2


def test_exact_duplicates_share_a_row(tmp_path, make_films, make_film):
    make_films(tmp_path, 2, 2)
    (tmp_path / "NORMAL" / "copy.jpeg").write_bytes(make_film(0, False))
    films, (rows,) = ingest(load(tmp_path), [Preprocess()])
    names = [f.path for f in films]
    assert rows.order[names.index("NORMAL/copy.jpeg")] == rows.order[names.index("NORMAL/IM-0000-0000.jpeg")]
    assert len(rows.data) == 4


def test_unreadable_films_go_to_quarantine_up_to_max_bad(tmp_path, make_films):
    make_films(tmp_path, 10, 10)
    (tmp_path / "NORMAL" / "bad.jpeg").write_bytes(b"no film")
    films, (rows,) = ingest(load(tmp_path), [Preprocess()], max_bad=0.05)
    assert films.quarantine == (
        ("NORMAL/bad.jpeg", "not a JPEG, PNG, TIFF, BMP, WebP, GIF, PNM or DICOM picture (decided by content)"),
    )
    assert len(films) == len(rows) == 20
    with pytest.raises(InputError, match=r"1 of 21 films can't be read.*bad.jpeg.*--max-bad"):
        ingest(load(tmp_path), [Preprocess()], max_bad=0.01)


def test_a_film_that_vanishes_is_a_quarantine_not_a_crash(tmp_path, make_films):
    make_films(tmp_path, 4, 4)
    films = load(tmp_path)
    (tmp_path / films.films[0].path).unlink()
    films, _ = ingest(films, [Preprocess()], max_bad=0.5)
    assert "No such file" in films.quarantine[0][1]


def test_a_row_store_holds_floats_too():
    store = RowStore({"kind": "features"}, (3,), "float32")
    with store.writing():
        store.append([("a" * 64, 1, 2, np.array([1, 2, 3.5])), ("b" * 64, 3, 4, np.zeros(3))])
    again = RowStore({"kind": "features"}, (3,), "float32")
    again.refresh()
    found = again.entry("a" * 64)
    assert found.width == 1 and again.all_rows()[found.row].tolist() == [1, 2, 3.5] and not again.entry("c" * 64)


def test_rows_of_asks_for_what_is_there(films_folder):
    films = load(films_folder)
    store = pixel_store(Preprocess())
    store.refresh()
    with pytest.raises(KeyError):
        rows_of(store, films)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from /proc")
def test_rows_that_were_read_can_be_given_back_and_read_again(tmp_path):
    def resident() -> int:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Rss:")).split()[1])

    (tmp_path / "rows").write_bytes(bytes(range(256)) * 2**16 * 4)  # 64 MB
    rows = Rows(np.memmap(tmp_path / "rows", np.uint8, "r", shape=(64, 2**20)), np.arange(64), {})
    sums = [int(rows[np.array([i])].sum(dtype=np.int64)) for i in range(64)]
    grown = resident()
    rows.release()
    assert grown - resident() > 48_000
    assert [int(rows[np.array([i])].sum(dtype=np.int64)) for i in range(64)] == sums
    Rows(np.zeros((2, 2)), np.arange(2), {}).release()  # nothing to give back
