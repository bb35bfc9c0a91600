"""A tiny model with a gate and a report's scores; a service around it; a real Orthanc where one is installed."""

from __future__ import annotations

import gc
import shutil
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("highdicom", reason="plainfilm[hospital] is not installed")
pytest.importorskip("pynetdicom", reason="plainfilm[hospital] is not installed")

from plainfilm.evaluation.decision import Band, Decision
from plainfilm.evaluation.findings import FindingsDecision
from plainfilm.hospital.answering import Answering
from plainfilm.hospital.counters import Counters
from plainfilm.hospital.receiver import Address, Door, Limits, listen
from plainfilm.hospital.service import Service
from plainfilm.hospital.spool import Spool
from plainfilm.hospital.trail import Trail
from plainfilm.image.decode import decode
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import Rows
from plainfilm.models.gate import fit_gate
from plainfilm.models.model import Model
from plainfilm.models.vgg import initialise
from plainfilm.models.zoo import recipe

from . import films as made
from .orthanc import ORTHANC, PLUGIN, Orthanc


@pytest.fixture(autouse=True)
def _sockets() -> Iterator[None]:
    """Collect the sockets that could not connect: pynetdicom leaves them open, and the warning to the next test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model.h5: untrained, with all that an answer repeats."""
    p = Preprocess(size=32)
    network = recipe("vgg").build(2, p)
    initialise(network, torch.Generator().manual_seed(0))
    pixels = np.stack([p.pixels(decode(made.written(made.film(n)))) for n in range(24)])
    gate = fit_gate(Rows(pixels, np.arange(len(pixels)), {}), np.arange(len(pixels)), np.random.default_rng(0))
    verdict = {
        "protocol": "grouped",
        "part": "test",
        "films": 120,
        "scores": {
            "sensitivity": {"value": 0.91, "low": 0.82, "high": 0.96},
            "specificity": {"value": 0.85, "low": 0.75, "high": 0.92},
        },
    }
    path = tmp_path_factory.mktemp("hospital") / "model.h5"
    classes = ("NORMAL", "PNEUMONIA")
    decision = Decision(classes, "PNEUMONIA", 0.45, 1.5, Band(0.495, 0.6))
    Model(network, "vgg", decision, p, gate=gate, verdict=verdict).save(path)
    return path


@pytest.fixture(scope="session")
def model(run: Path) -> Model:
    return Model.load(run)


@pytest.fixture(scope="session")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model of three findings: each with its own threshold and band, one with scores, one without a public code."""
    p = Preprocess(size=32)
    network = recipe("vgg").build(3, p)
    initialise(network, torch.Generator().manual_seed(1))
    points = {"Effusion": (0.4, Band(0.3, 0.6)), "Pneumothorax": (0.5, None), "Line or tube": (0.7, Band(0.0, 0.05))}
    rules = tuple(Decision((f"no {name}", name), name, *point[:1], refer=point[1]) for name, point in points.items())
    scores = {"Effusion": {"sensitivity": {"value": 0.9, "low": 0.8, "high": 0.95}}}
    verdict = {"protocol": "grouped", "part": "test", "films": 120, "findings": scores}
    path = tmp_path_factory.mktemp("findings") / "model.h5"
    Model(network, "vgg", FindingsDecision(rules), p, verdict=verdict).save(path)
    return Model.load(path)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    try:
        subprocess.run(command + names, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return cert, key


@dataclass
class Kept:
    """An archive in memory; ``fail`` is raised instead of taking anything."""

    taken: list[dict[str, bytes]]
    fail: Exception | None = None

    def send(self, files: dict[str, bytes]) -> None:
        if self.fail:
            raise self.fail
        self.taken.append(dict(files))

    def close(self) -> None:
        pass


@dataclass
class Room:
    """A service over a spool in ``root``, not running; ``door`` and, once opened, ``port`` take films."""

    root: Path
    service: Service
    door: Door
    archive: Any

    @contextmanager
    def open(self, limits: Limits | None = None, **address: Any) -> Iterator[int]:
        """Listen on a free port for the block."""
        at = Address("PLAINFILM", "127.0.0.1", 0, **address)
        asking = self.service.commitments
        server = listen(self.door, at, limits or Limits(), asking and asking.report)
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Answer for the block."""
        thread = threading.Thread(target=self.service.run)
        thread.start()
        try:
            yield
        finally:
            self.service.stop.set()
            thread.join(30)

    def lines(self) -> list[dict[str, Any]]:
        return list(self.service.trail.lines())


@pytest.fixture
def room(model: Model, tmp_path: Path) -> Callable[..., Room]:
    """Make a service over ``root``; again over the same one, as after a kill."""

    def make(archive: Any = None, root: Path | None = None, reserve: int = 0, **how: Any) -> Room:
        root, archive = root or tmp_path / "spool", archive or Kept([])
        spool, trail = Spool(root, reserve), Trail(root)
        counters = Counters(spool.waiting)
        answering = Answering(model, how.pop("pictures", False))
        about = {"quiet": 0.0, "give_up": 3600.0} | how
        service = Service(answering, spool, trail, counters, archive, **about)
        return Room(root, service, Door(spool, trail, counters, model.hash), archive)

    return make


@pytest.fixture(scope="session")
def film() -> Callable[..., bytes]:
    """The bytes of a DICOM film, as ``films.film`` makes it."""
    return lambda number, side=256, **how: made.written(made.film(number, side, **how))


def needs(*tools: str) -> list[str]:
    """The paths of programs of DCMTK or dicom3tools; skip where one is missing."""
    found = [f"/usr/bin/{tool}" if Path(f"/usr/bin/{tool}").exists() else shutil.which(tool) for tool in tools]
    if missing := [tool for tool, path in zip(tools, found, strict=True) if not path]:
        pytest.skip(f"{', '.join(missing)} not installed (Debian: dcmtk, dicom3tools)")
    return [str(path) for path in found]


@pytest.fixture
def tools() -> Callable[..., list[str]]:
    return needs


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """A running archive of the test's own."""
    if not ORTHANC or not PLUGIN.exists():
        pytest.skip("Orthanc is not installed (Debian: orthanc orthanc-dicomweb)")
    archive = Orthanc(tmp_path / "orthanc")
    try:
        yield archive.start()
    finally:
        archive.stop()
