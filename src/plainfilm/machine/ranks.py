"""Several processes at one command, started by torchrun: who this one is, what its share is, how they agree.

Rank 0 speaks and writes. Alone, as a command usually is, everything here passes straight through.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from plainfilm.errors import PlainfilmError

if TYPE_CHECKING:
    import numpy as np
    import torch

PATIENCE = timedelta(days=2)  # ranks wait while rank 0 works alone; torchrun itself notices one that died
_joined = 1  # how many share the work: of the whole process, whichever of its threads asks


class Echo(PlainfilmError):
    """Another rank failed and says why; this one ends with it, silently."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("")
        self.exit_code = exit_code


def started() -> int:
    """Return how many processes were started together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return this process's number among them."""
    return int(os.environ.get("RANK", "0")) if started() > 1 else 0


def local_rank() -> int:
    """Return its number on this machine: that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0")) if started() > 1 else 0


def world() -> int:
    """Return how many processes share the work now; 1 before they joined and after they parted."""
    return _joined


def turns(count: int) -> range:
    """Return which of ``count`` things are this rank's when they are dealt out by turns."""
    return range(rank() if world() > 1 else 0, count, world())


def cores() -> int:
    """Return how many of this machine's cores are this process's."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, here // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def job() -> str:
    """Return what is the same for every process that one torchrun starts and starts again; empty when alone."""
    import socket  # for nothing else, and help does not wait for it

    name = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    own = f"{socket.gethostname()}:{os.getppid()}" if name == "none" else name
    return own if started() > 1 else ""


def restarted() -> bool:
    """Whether torchrun has started the processes anew because one of them died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def _join(processes: int) -> None:
    global _joined
    _joined = processes


@contextmanager
def joined() -> Iterator[None]:
    """Connect the processes for the block: gloo for numbers on CPUs, NCCL for those on GPUs."""
    if started() == 1:
        yield
        return
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank())
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store, number, count = next(iter(rendezvous("env://", timeout=PATIENCE)))
    # torchrun's store may outlive a restart, and with it the addresses of processes that are no more
    store = distributed.PrefixStore(  # type: ignore[attr-defined]
        os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store
    )
    distributed.init_process_group(backend, store=store, rank=number, world_size=count, timeout=PATIENCE)
    _join(started())
    try:
        yield
    except RuntimeError as error:
        if "gloo" not in str(error) and not isinstance(error, distributed.DistError):
            raise
        raise PlainfilmError(
            "the connection to another process broke, as it ended; torchrun --max-restarts N would go on by itself."
        ) from None
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
    _join(1)  # not after an error: whoever prints it then knows that it befell one rank among several


def part() -> None:
    """End the connection: from here on this process works alone."""
    if world() > 1:
        from torch import distributed

        _join(1)
        distributed.destroy_process_group()


def end(code: int) -> NoReturn:
    """End this process with ``code``. One of several ends at once: threads of gloo may outlive their group, and abort a
    process that takes its time."""
    if started() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def total(values: torch.Tensor) -> torch.Tensor:
    """Replace ``values`` by their sum over the ranks, equal to the last bit on all of them; return it."""
    if world() > 1:
        from torch import distributed

        distributed.all_reduce(values)
    return values


def gathered(value: Any) -> list[Any]:
    """Return what each rank gave (anything JSON knows), by rank."""
    if world() == 1:
        return [value]
    import numpy as np
    import torch
    from torch import distributed

    own = np.frombuffer(json.dumps(value).encode(), np.uint8)
    sizes = torch.zeros(world(), dtype=torch.int64)
    sizes[rank()] = len(own)
    texts = [
        torch.from_numpy(own.copy()) if r == rank() else torch.empty(int(n), dtype=torch.uint8)
        for r, n in enumerate(total(sizes))
    ]
    for source, text in enumerate(texts):
        distributed.broadcast(text, source)
    return [json.loads(text.numpy().tobytes()) for text in texts]


def stacked(rows: np.ndarray) -> np.ndarray:
    """Return to the first rank the rows (N, …) that each gave, its own first; to every other what it gave. N may
    differ from rank to rank, shape and type of a row not."""
    if world() == 1:
        return rows
    import numpy as np
    import torch
    from torch import distributed

    sizes = torch.zeros(world(), dtype=torch.int64)
    sizes[rank()] = rows.nbytes
    total(sizes)
    if rank():
        if rows.nbytes:
            distributed.send(torch.from_numpy(np.frombuffer(rows.tobytes(), np.uint8).copy()), 0)
        return rows
    parts = [torch.empty(int(size), dtype=torch.uint8) for size in sizes[1:]]
    for source, part in enumerate(parts, 1):
        if len(part):
            distributed.recv(part, source)
    return np.concatenate([rows, *(part.numpy().view(rows.dtype).reshape(-1, *rows.shape[1:]) for part in parts)])


def agreed(value: bool) -> bool:
    """Return what rank 0 gave."""
    return bool(gathered(value)[0])


@contextmanager
def together() -> Iterator[None]:
    """All ranks leave the block at once. What goes wrong in it on one ends all, and is said once.

    Ranks must not speak to each other within, but in blocks of this kind.
    """
    failed: Exception | None = None
    try:
        yield
    except Exception as error:
        if world() == 1 or (isinstance(error, RuntimeError) and "gloo" in str(error)):
            raise
        failed = error
    codes = gathered(0 if failed is None else getattr(failed, "exit_code", 1))
    speaks = gathered(failed is not None and not isinstance(failed, Echo))
    if failed and (isinstance(failed, Echo) or speaks.index(True) == rank()):
        raise failed
    if any(codes):
        raise Echo(max(codes)) from None
