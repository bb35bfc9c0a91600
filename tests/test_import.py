"""Importing plainfilm changes nothing in the process that does it: what the command wants, it switches on itself."""

from __future__ import annotations

import ast
import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "plainfilm"
MODULES = sorted(
    ".".join(("plainfilm", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
    for path in SOURCE.rglob("*.py")
)
# Other packages set what they like when they are loaded: they come first, so that what plainfilm adds is seen.
COMPARE = """
import importlib, json, sys
theirs, ours = json.loads(sys.stdin.read())
for name in theirs:
    importlib.import_module(name)
import atexit, gc, locale, logging, os, random, resource, signal, socket, threading, warnings
import numpy as np, torch
from PIL import Image, ImageFile, PngImagePlugin
import matplotlib

def state():
    return {
        **{f"${name}": value for name, value in os.environ.items()},
        "folder": os.getcwd(),
        "path": list(sys.path),
        "warnings": [repr(each) for each in warnings.filters],
        "Pillow": [Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK],
        "torch": [torch.get_num_threads(), torch.get_num_interop_threads(), str(torch.get_default_dtype()),
                  torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled(), torch.initial_seed()],
        "NumPy": [np.geterr(), str(np.random.get_state()[1][:8])],
        "random": str(random.getstate())[:99],
        "matplotlib": [matplotlib.get_backend(auto_select=False), 
                       [str(matplotlib.rcParams[name]) for name in matplotlib.rcParams if name != "backend"]],
        "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()],
        "limits": [resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_NOFILE)],
        "logging": [logging.root.level, len(logging.root.handlers), logging.root.manager.disable],
        "Python": [sys.getrecursionlimit(), sys.getswitchinterval(), gc.get_threshold(), socket.getdefaulttimeout(),
                   locale.setlocale(locale.LC_ALL), sys.excepthook is sys.__excepthook__, threading.active_count()],
        "at the end": atexit._ncallbacks(),
    }

before = state()
for name in ours:
    importlib.import_module(name)
after = state()
print(json.dumps([[name, before.get(name), after.get(name)] for name in before | after
                  if before.get(name) != after.get(name)]))
"""
# Page faults of taking, filling and freeing 64 MB ten times: anew each time, as glibc does by itself, or once
FAULTS = """
import ctypes, resource
libc = ctypes.CDLL(None)
libc.prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of 4 KB
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    block = libc.malloc(2**26)
    ctypes.memset(block, 1, 2**26)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def theirs(path: Path) -> set[str]:
    """The modules of other packages that a file imports as soon as it is imported itself."""
    nodes = ast.parse(path.read_text()).body
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    found |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name for name in found if name.split(".")[0] not in {"plainfilm", *sys.stdlib_module_names}}


def python(code: str, given: str = "", **environment: str) -> str:
    """What a fresh process prints, in an environment without settings of malloc and of OpenMP's patience."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "OMP_WAIT"))}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, env=kept | environment)
    return done.stdout


def changed(modules: list[str], others: set[str], *places: Path) -> list[object]:
    """What importing ``modules`` changes in a fresh process that has imported ``others``: [name, before, after]."""
    given = json.dumps([sorted({"torch", "matplotlib"} | others), modules])
    path = os.pathsep.join(map(str, (*places, SOURCE.parent)))
    found: list[object] = json.loads(python(COMPARE, given, PYTHONPATH=path))
    return found


def test_importing_every_module_changes_nothing_in_the_process():
    assert len(MODULES) > 100 and changed(MODULES, set().union(*map(theirs, SOURCE.rglob("*.py")))) == []


def test_a_change_would_be_seen(tmp_path):
    lines = [
        "import os, signal, torch, warnings",
        "from PIL import Image",
        "os.environ['OMP_WAIT_POLICY'] = 'passive'",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "torch.set_num_threads(3)",
        "warnings.simplefilter('ignore')",
        "Image.MAX_IMAGE_PIXELS = None",
    ]
    (tmp_path / "rude.py").write_text("\n".join(lines))
    seen = {name for name, *_ in changed(["rude"], set(), tmp_path)}
    assert seen == {"$OMP_WAIT_POLICY", "torch", "warnings", "signals", "Pillow"}


def test_the_command_changes_what_it_needs():
    code = "import os; from plainfilm.cli import main; main(['--version']); print(os.environ['OMP_WAIT_POLICY'])"
    assert python(code).splitlines()[-1] == "passive"
    assert python(code, OMP_WAIT_POLICY="active").splitlines()[-1] == "active"  # the user's own stands


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="not glibc")
def test_freed_memory_stays_with_the_command_and_goes_back_in_a_library():
    pages = 2**26 // 4096
    tuned = "from plainfilm.machine.startup import tune_process; tune_process()" + FAULTS
    assert int(python(tuned)) < 2.5 * pages
    assert int(python(tuned, MALLOC_MMAP_THRESHOLD_="1000000")) > 9 * pages  # the user's own settings stand
    assert int(python("import plainfilm.models.zoo" + FAULTS)) > 9 * pages
