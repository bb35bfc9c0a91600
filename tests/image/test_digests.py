from __future__ import annotations

import hashlib
import random
import threading

import pytest

from plainfilm.image import digests as module
from plainfilm.image.digests import Digests


@pytest.mark.parametrize("slots", [2, 64, 1024])
def test_every_digest_keeps_its_last_row(slots, monkeypatch):
    monkeypatch.setattr(module, "FEWEST", slots)
    names = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(50)]
    names += ["0" * 64, "f" * 64, "a" * 60 + "0000", "a" * 58 + "000000"]  # one home; zero bytes at the end
    found = Digests()
    for row, name in enumerate(names):
        found[name] = row
    for row in range(0, 50, 7):
        found[names[row]] = 100 + row
    assert [found.get(name) for name in names] == [
        100 + row if row < 50 and row % 7 == 0 else row for row in range(len(names))
    ]
    assert found.all(names[::-1]).tolist() == [found.get(name) for name in names[::-1]]
    assert found.all([]).tolist() == []
    with pytest.raises(KeyError, match="bbbb"):
        found.all([names[0], "b" * 64])
    for stranger in ("b" * 64, "a" * 56 + "0" * 8, "0" * 63 + "1"):
        assert found.get(stranger) is None


def test_threads_that_look_up_while_another_adds_see_the_right_rows(monkeypatch):
    monkeypatch.setattr(module, "FEWEST", 16)
    names, found, wrong = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(4_000)], Digests(), []
    added, over = [0], threading.Event()

    def look(seed: int) -> None:
        draws = random.Random(seed)
        while not over.is_set():
            if added[0]:
                row = draws.randrange(added[0])
                wrong.extend([row] * (found.get(names[row]) != row))

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for row, name in enumerate(names):
        found[name] = row
        added[0] = row + 1
    over.set()
    for thread in threads:
        thread.join()
    assert not wrong
