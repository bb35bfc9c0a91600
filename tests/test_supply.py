"""What is installed beside us: no version with a known hole is allowed, and the lock holds the tested versions."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = sorted({*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())})

# Below these lie faults that reached users of software like ours; see docs/evidence/reliability.md.
LEAST = {
    "pillow": (12, 3),
    "pydicom": (3, 0, 2),
    "python-multipart": (0, 0, 27),
    "starlette": (0, 47, 2),
    "torch": (2, 10),
}


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", text))


def pinned(name: str) -> dict[str, tuple[int, ...]]:
    """{package: version} of a file of NAME==VERSION lines."""
    lines = [
        line.split()[0].lower().replace("_", "-") for line in (ROOT / name).read_text().splitlines() if "==" in line
    ]
    return {line.split("==")[0]: numbers(line.split("==")[1]) for line in lines if not line.startswith("#")}


@pytest.mark.parametrize("package", LEAST)
def test_no_version_with_a_known_hole_may_be_installed(package):
    bounds = [line for line in WANTED if re.split(r"[><=\[]", line)[0] == package]
    assert bounds and all(">=" in line and numbers(line.split(">=")[1]) >= LEAST[package] for line in bounds)
    assert pinned("constraints.txt")[package] >= LEAST[package]


@pytest.mark.parametrize("wanted", [line for line in WANTED if not line.startswith("plainfilm")])
def test_what_pyproject_asks_for_is_pinned_in_both_files_within_its_bound(wanted):
    name, least = wanted.split(">=")
    for file in ("constraints.txt", "requirements.lock"):
        assert pinned(file)[name.lower().replace("_", "-")] >= numbers(least), file


def test_the_lock_has_a_hash_for_every_package_and_the_versions_of_the_constraints():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
    locked, tested = pinned("requirements.lock"), pinned("constraints.txt")
    assert {"torch", "pillow", "pydicom", "fastapi"} <= set(locked)
    assert {name: locked.get(name) for name in tested} == tested
