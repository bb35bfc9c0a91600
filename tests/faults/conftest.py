"""Films, a finished run and a place to kill commands in, shared by all tests of faults; and the tally of counts.

`make faults` sets PLAINFILM_FAULTS and gets the long counts; each test says what it tried in faults.json.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

LONG = os.environ.get("PLAINFILM_FAULTS")  # where the tally goes; empty in `make test`
TINY = ("--model", "vgg", "--size", 16, "--epochs", 3, "--batch", 4, "--threads", 1, "--quiet")
EQUAL = ("model.h5", "predictions.csv", "metrics.json", "films.csv", "quarantine.csv")


def _nursery_module() -> Any:
    spec = importlib.util.spec_from_file_location("nursery", Path(__file__).with_name("nursery.py"))
    assert spec and spec.loader
    sys.modules["nursery"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def times() -> Callable[[int, int], int]:
    """``times(many, few)``: how often to try, in `make faults` and in `make test`."""
    return lambda many, few: many if LONG else few


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[[str, int, int], None]:
    """``tally(fault, tried, survived)`` notes counts for docs/evidence/reliability.md; fails unless all survived."""

    def add(fault: str, tried: int, survived: int) -> None:
        if LONG:
            rows = json.loads(Path(LONG).read_text()) if Path(LONG).exists() else []
            row = {"fault": fault, "tried": tried, "survived": survived, "test": request.path.name}
            Path(LONG).write_text(json.dumps([*rows, row], indent=1))
        assert tried and survived == tried, f"{fault}: {tried - survived} of {tried} were not survived"

    return add


@pytest.fixture(scope="session")
def few_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen learnable films of 40 by 32 pixels in class folders; read only."""
    folder = tmp_path_factory.mktemp("few") / "set"
    for number in range(16):
        rng = np.random.default_rng(number)
        picture = rng.normal(90, 20, (32, 40))
        label = "PNEUMONIA" if number % 2 else "NORMAL"
        picture[18:28, 5:15] += 90 * (number % 2)
        place = folder / label / f"film{number:02d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(place)
    return folder


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    found = _nursery_module().Nursery(tmp_path_factory.mktemp("nursery"))
    yield found
    found.close()


@pytest.fixture(scope="session")
def whole(nursery: Any, few_films: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A training that nothing happened to: its folder, its seconds, and how many files it moved into place."""
    folder = tmp_path_factory.mktemp("whole")
    done = nursery.run("train", few_films, "--out", folder / "run", *TINY, cache=folder / "cache", save=[0, ""])
    assert done.code == 0, done.said
    return folder / "run", done


@pytest.fixture
def tiny() -> tuple[Any, ...]:
    """The settings of ``whole``."""
    return TINY


def _differing(one: Path, other: Path) -> list[str]:
    names = [name for name in (*EQUAL, "features.h5") if (one / name).exists()]
    return [name for name in names if (one / name).read_bytes() != (other / name).read_bytes()] + [
        path.name for path in other.rglob(".*.tmp")
    ]


@pytest.fixture(scope="session")
def differing() -> Callable[[Path, Path], list[str]]:
    """Which files of two runs differ, of those that must be equal to the byte; and what was left lying about."""
    return _differing
