"""Freed memory stays with the process, where the C library is glibc."""

from __future__ import annotations

import ctypes
import os

from plainfilm.machine import memory


def test_another_c_library_is_left_as_it_is(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not memory.keep()
