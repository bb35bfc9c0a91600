"""An ONNX file from elsewhere, run for the first time in a process of its own: a graph that crashes the runtime, runs
on or eats memory takes only that process with it.

Run as a module, this file is that process: it takes one JSON line, the model and films, and gives one JSON line and the
answers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import IO, Any

import numpy as np

from plainfilm.machine.memory import limit

SECONDS = 120  # for opening the file and three films on one core; the largest networks take a few a film
MEMORY = 4 * 2**30  # bytes of address space, and so many times the file's own size
NO_MEMORY = ("bfc_arena", "bad_alloc", "allocate memory")  # in the runtime's words
LARGEST = 2**20  # numbers of an output: 256 films of 1,000 classes are far fewer, and more would fill the other side
COPIES = 4  # the file's bytes, what they become, and what the runtime packs of it


def tried(model: bytes, taken: str, answer: str, films: np.ndarray) -> np.ndarray:
    """Return the output ``answer`` of ``model`` for ``films``, given as the input ``taken`` all at once.

    ValueError with the reason when it can't be had within SECONDS and MEMORY.
    """
    about = {"model": len(model), "shape": films.shape, "dtype": films.dtype.str, "taken": taken, "answer": answer}
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "plainfilm.export.trial"],
            input=b"".join((json.dumps(about).encode(), b"\n", model, films.tobytes())),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the runtime talks there
            env=environment,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"a film takes it longer than {SECONDS} seconds") from None
    line, _, values = done.stdout.partition(b"\n")
    if not line:
        raise ValueError(f"it stops the program that runs it, or needs more than {MEMORY >> 30} GB of memory")
    told = json.loads(line)
    if "error" in told:
        raise ValueError(told["error"])
    return np.frombuffer(values, told["dtype"]).reshape(told["shape"])


# --- the other side ---------------------------------------------------------------------------------------------------


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Answer the one request on ``source``."""
    about = json.loads(source.readline())
    limit(MEMORY + COPIES * about["model"])
    try:
        found = _answers(source.read(about["model"]), about, source.read())
        sink.write(json.dumps({"shape": found.shape, "dtype": found.dtype.str}).encode() + b"\n" + found.tobytes())
    except Exception as error:  # the runtime's own, whatever they are called
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        if any(word in str(error) for word in NO_MEMORY):
            reason = f"it needs more than {MEMORY >> 30} GB of memory"
        sink.write(json.dumps({"error": reason}).encode() + b"\n")


def _answers(model: bytes, about: dict[str, Any], films: bytes) -> np.ndarray:
    from plainfilm.export.session import session_of

    given = np.frombuffer(films, about["dtype"]).reshape(about["shape"])
    (found,) = session_of(model).run([about["answer"]], {about["taken"]: given})
    if np.size(found) > LARGEST:
        raise ValueError(f"its output has {np.size(found):,} numbers, not a row of classes per film")
    return np.ascontiguousarray(found)


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the runtime prints must not get among the answers
        serve(sys.stdin.buffer, answers)
