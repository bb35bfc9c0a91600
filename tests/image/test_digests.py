from __future__ import annotations

import hashlib

import pytest

from plainfilm.image import digests as module
from plainfilm.image.digests import Digests


@pytest.mark.parametrize("recent", [1, 3, 1000])
def test_every_digest_keeps_its_last_row(recent, monkeypatch):
    monkeypatch.setattr(module, "RECENT", recent)
    names = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(50)]
    names += ["0" * 64, "f" * 64, "a" * 60 + "0000", "a" * 58 + "000000"]  # zero bytes at the end
    found = Digests()
    for row, name in enumerate(names):
        found[name] = row
    for row in range(0, 50, 7):
        found[names[row]] = 100 + row
    assert [found.get(name) for name in names] == [
        100 + row if row < 50 and row % 7 == 0 else row for row in range(len(names))
    ]
    for stranger in ("b" * 64, "a" * 56 + "0" * 8, "0" * 63 + "1"):
        assert found.get(stranger) is None
