"""Freed memory stays with the process, where the C library is glibc."""

from __future__ import annotations

import ctypes
import gc
import os

from plainfilm.machine import memory


def test_another_c_library_is_left_as_it_is(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not memory.keep()


def test_what_is_settled_is_looked_through_no_more():
    try:
        memory.settle()
        assert gc.get_freeze_count() > 10_000 and len(gc.get_objects()) < 1_000
    finally:
        gc.unfreeze()
