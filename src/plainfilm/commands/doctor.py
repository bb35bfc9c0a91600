"""This machine: versions, devices, free disk, weights and speed."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from plainfilm.models.weights import weights_here
from plainfilm.storage.files import cache_dir


def doctor(bench: bool = False) -> dict[str, Any]:
    """Return versions, devices, free disk, weights found, and a figure of speed (float32 matrix product).

    With ``bench`` also what the package itself reaches here, a second: see ``training.speed``.
    """
    import torch

    from plainfilm.training import speed

    cache = cache_dir()
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    return {
        "plainfilm": version("plainfilm"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": _versions(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "devices": ["cpu", *(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))],
        "cache": str(cache),
        "free_gb": round(shutil.disk_usage(existing).free / 1e9, 1),
        "vgg16_weights": weights_here(),
        "gflops": round(speed.matrix_product(), 1),
        **({"speed": speed.speed()} if bench else {}),
    }


def _versions() -> dict[str, str]:
    found = {}
    for line in requires("plainfilm") or []:
        name = line.split(";")[0].split("[")[0].split(">")[0].split("=")[0].strip()
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            if "extra" not in line:
                found[name] = "missing"
    return found
