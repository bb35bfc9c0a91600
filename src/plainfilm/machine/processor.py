"""What this processor is, whether it multiplies bfloat16, and which of several ways of a work takes it least time."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from plainfilm.errors import InputError
from plainfilm.storage.files import cache_dir, read_json, write_json

CPUINFO = Path("/proc/cpuinfo")
ROUNDS = 3
KEPT = "trials.json"  # in the cache folder
LIBRARIES = ("torch", "openvino", "ncnn")  # another version may be faster or slower


def name() -> str:
    """Return the processor's name as the system gives it."""
    found = re.search(r"^model name\s*: (.*)$", _cpuinfo(), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def multiplies_bfloat16() -> str:
    """Return the instructions by which this processor multiplies bfloat16: "AMX", "AVX512-BF16", or "" for none."""
    found = re.search(r"^flags\s*: (.*)$", _cpuinfo(), re.MULTILINE)
    flags = found[1].split() if found else []
    return "AMX" if "amx_bf16" in flags else "AVX512-BF16" if "avx512_bf16" in flags else ""


def _cpuinfo() -> str:
    try:
        return CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:  # a system without it
        return ""


def seconds(work: str, prepare: Callable[[], Mapping[str, Callable[[], object]]]) -> dict[str, float]:
    """Return the seconds that a unit of each way of ``work`` takes, measured when it first came up on this machine.

    ``prepare`` gives {way: what does a unit of it}. It is processor time, taken in turns: other programs hardly change
    it, but it tells of one thread only, which a way should use. What was measured is kept in the cache, so that every
    later command decides alike; where the cache can't be written to, each measures for itself.
    """
    key = f"{work}; {name()}; {', '.join(f'{library} {_version(library)}' for library in LIBRARIES)}"
    known = _kept().get(key)
    if isinstance(known, dict) and known and all(isinstance(value, float) for value in known.values()):
        return known
    found = _measured(prepare())
    with suppress(OSError):
        write_json(cache_dir() / KEPT, {**_kept(), key: found})
    return found


def _measured(ways: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    found = dict.fromkeys(ways, float("inf"))
    for unit in ways.values():
        unit()  # the first pass also allocates
    for _ in range(ROUNDS):
        for way, unit in ways.items():
            began = time.process_time()
            unit()
            found[way] = min(found[way], time.process_time() - began)
    return found


def _kept() -> dict[str, object]:
    try:
        found = read_json(cache_dir() / KEPT) if (cache_dir() / KEPT).exists() else {}
    except (InputError, OSError):  # damaged: measured anew
        return {}
    return found if isinstance(found, dict) else {}


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "none"


def wanted() -> str:
    """Return what PLAINFILM_PRECISION says that `auto` is here: "32", "16", or "" where it says nothing."""
    said = os.environ.get("PLAINFILM_PRECISION", "")
    if said not in ("", "auto", "32", "16"):
        raise InputError(f"PLAINFILM_PRECISION={said!r} is not known; give 32, 16 or auto.")
    return "" if said == "auto" else said
