from __future__ import annotations

import errno
import mmap

import numpy as np
import pytest

from plainfilm.storage import grown as module
from plainfilm.storage.grown import Grown


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "SMALL", 4096)
    return tmp_path / "cache"


def test_what_was_added_comes_back_in_memory_and_on_disk(small):
    numbers, texts, shares = Grown("q"), Grown("B"), Grown("f", [0.5])
    for i in range(3_000):
        numbers.append(i - 2**40)
        texts.extend(b"film %d " % i)
        shares.extend(np.full((2, 2), i, np.float32))
    assert numbers.array.tolist() == [i - 2**40 for i in range(3_000)] and numbers.array.dtype == np.int64
    assert bytes(texts.view[: len(texts)]) == b"".join(b"film %d " % i for i in range(3_000))
    assert len(shares) == 1 + 4 * 3_000 and shares.array[:2].tolist() == [0.5, 0] and shares.array[-1] == 2_999
    assert isinstance(numbers.view.obj, mmap.mmap) and not any(small.iterdir())  # nobody else sees the file


def test_a_small_array_touches_no_disk(small):
    assert Grown("q", range(100)).array.sum() == 4_950 and not small.exists()


def test_an_array_that_was_given_away_stays_what_it_was(small):
    numbers = Grown("i", range(10))
    before = numbers.array
    for i in range(10, 5_000):
        numbers.append(i)
    assert before.tolist() == list(range(10)) and len(numbers.array) == 5_000


def test_one_large_addition_finds_its_room(small):
    numbers = Grown("B", b"ab")
    numbers.extend(bytes(100_000))
    numbers.extend(b"c")
    assert len(numbers) == 100_003 and numbers.array[-1] == ord("c") and bytes(numbers.view[:2]) == b"ab"


def test_numbers_of_another_size_are_refused():
    with pytest.raises(TypeError):
        Grown("q").extend(b"123")


def test_where_the_cache_cannot_be_written_to_another_place_is_taken(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(module, "SMALL", 4096)
    assert Grown("q", range(5_000)).array.sum() == 12_497_500


def test_a_full_disk_is_an_error_and_not_a_crash(small, monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.tempfile, "TemporaryFile", lambda **how: Full())
    numbers = Grown("q")
    with pytest.raises(OSError, match="No space"):
        for i in range(10_000):
            numbers.append(i)
    assert numbers.array.tolist() == list(range(len(numbers)))
    with pytest.raises(OSError, match="No space"):
        numbers.reserve(1)
