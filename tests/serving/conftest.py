"""A tiny model with a gate, and the real server on a free port in a thread of the test's own process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import httpx
import numpy as np
import pytest
import torch
import uvicorn

from plainfilm.evaluation.decision import Band, Decision
from plainfilm.image.decode import decode
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import Rows
from plainfilm.models.gate import fit_gate
from plainfilm.models.model import Model
from plainfilm.models.vgg import initialise
from plainfilm.models.zoo import recipe
from plainfilm.serving.app import create_app
from plainfilm.serving.limits import Limits
from plainfilm.serving.server import listen, server_of


@dataclass
class SlowModel(Model):
    """A model whose network takes ``seconds`` a pass, one after the other, whatever the machine."""

    seconds: float = 0.05
    turn: ClassVar[threading.Lock] = threading.Lock()

    def passed(self, pixels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor | None]:
        with self.turn:
            time.sleep(self.seconds)
        return super().passed(pixels)


def slow(model: Model, seconds: float) -> Model:
    """The same model, slowed."""
    return SlowModel(**{f.name: getattr(model, f.name) for f in fields(Model)}, seconds=seconds)


@dataclass
class Running:
    """A server at ``url``, with a client for it."""

    url: str
    client: httpx.Client
    model: Model
    server: uvicorn.Server

    def stop(self) -> None:
        """Tell the server to end."""
        self.server.should_exit = True

    def predict(self, *films: bytes, **more: Any) -> httpx.Response:
        """POST /predict with files named 0, 1, …"""
        files = [("films", (str(i), film)) for i, film in enumerate(films)]
        return self.client.post("/predict", files=files, **more)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, for a socket."""
        url = httpx.URL(self.url)
        assert url.port
        return url.host, url.port


@contextmanager
def serving(model: Model, **how: Any) -> Iterator[Running]:
    """Run the server for the block."""
    listener = listen("127.0.0.1", 0)
    server = server_of(create_app(model, **how), grace=5)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with httpx.Client(base_url=url, timeout=30) as client:
            yield Running(url, client, model, server)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def serve() -> Callable[..., Any]:
    return serving


@pytest.fixture
def slowed() -> Callable[[Model, float], Model]:
    return slow


@pytest.fixture(scope="session")
def model(films_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Untrained, but with a file, a hash and a band for a reader."""
    p = Preprocess(size=32)
    network = recipe("vgg").build(2, p)
    initialise(network, torch.Generator().manual_seed(0))
    path = tmp_path_factory.mktemp("serving") / "model.h5"
    verdict = {"protocol": "grouped"}
    Model(
        network, "vgg", Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA", 0.45, 1.5, Band(0.4, 0.6)), p, verdict=verdict
    ).save(path)
    return Model.load(path)


@pytest.fixture(scope="session")
def gate(model: Model, films_folder: Any) -> Any:
    pixels = np.stack([model.preprocess.pixels(decode(f.read_bytes())) for f in sorted(films_folder.rglob("*.jpeg"))])
    rows = Rows(pixels, np.arange(len(pixels)), {})
    return fit_gate(rows, np.arange(len(pixels)), np.random.default_rng(0))


@pytest.fixture(scope="module")
def running(model: Model) -> Iterator[Running]:
    with serving(model) as found:
        yield found


@pytest.fixture
def limits() -> type[Limits]:
    return Limits
