"""Freed memory stays with the process, for the next batch. glibc gives every large block back to the system at once and
gets it anew, page by page and zeroed, for each layer of each batch: a third to two thirds of a network's time (LOG.md).
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from typing import Any

# glibc's malloc.h. A block above LARGEST is still given back: it is an array of films, not a layer's output.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST, KEPT, STEP = 2**28, 2**31 - 1, 2**26


def keep(largest: int = LARGEST) -> bool:
    """Let malloc keep up to 2 GiB that is free, and grow by 64 MiB; return whether it does. Blocks above ``largest``
    bytes still come from the system, and go back to it.

    Another C library than glibc is left as it is, and so is one that was told what to do by the environment.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    if not (mallopt := _of_c("mallopt")):
        return False
    taken = mallopt(M_MMAP_THRESHOLD, largest) or mallopt(M_MMAP_THRESHOLD, 2**25)  # the most before glibc 2.35
    return bool(taken and mallopt(M_TRIM_THRESHOLD, KEPT) and mallopt(M_TOP_PAD, STEP))


def give_back() -> None:
    """Give the system what is free now: after work on a list of all films, whose pieces would stay otherwise."""
    if trim := _of_c("malloc_trim"):
        trim(0)


def settle() -> None:
    """Leave all that is here by now out of later garbage collections: a service has loaded some 500,000 objects, and to
    look through them holds up every thread for a tenth of a second."""
    gc.collect()
    gc.freeze()


def limit(most: int) -> None:
    """Limit this process to ``most`` bytes of address space, where the system knows such a limit, and to no core file,
    which would hold a patient's film."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _of_c(name: str) -> Any:
    """Return a function of the C library; None where it has no such."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no library without a name
        return None
