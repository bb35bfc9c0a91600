"""Freed memory stays with the process, where the C library is glibc."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from plainfilm.machine import memory

# Page faults of taking, filling and freeing 64 MB ten times: anew each time, or once
COUNT = """
import ctypes, resource, sys
if {loaded}: import plainfilm.models
libc = ctypes.CDLL(None)
libc.prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of 4 KB
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
for _ in range(10):
    block = libc.malloc(2**26)
    ctypes.memset(block, 1, 2**26)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def faults(loaded: bool, **more: str) -> int:
    code = COUNT.format(loaded=loaded)
    told = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    command = [sys.executable, "-c", code]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=told | more).stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="not glibc")
def test_a_block_that_was_freed_is_used_again():
    pages = 2**26 // 4096
    assert faults(True) < 2.5 * pages < 9 * pages < faults(False)
    assert faults(True, MALLOC_MMAP_THRESHOLD_="1000000") > 9 * pages  # the user's own settings stand


def test_another_c_library_is_left_as_it_is(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not memory.keep()
