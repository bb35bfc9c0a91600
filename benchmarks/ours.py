"""The same work by plainfilm's own public functions."""

# ruff: noqa: E402
from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import numpy as np

from plainfilm.machine.startup import tune_process

tune_process()  # as the command does, before torch is loaded
# isort: split
import torch
from PIL import Image

import scikit
import turns
from plainfilm.config import TrainConfig
from plainfilm.data.films import Film, Films, Table
from plainfilm.data.sources import load, loose
from plainfilm.evaluation.decision import Band, Decision
from plainfilm.image.store import Rows, ingest
from plainfilm.labels.rows import labelled, row_maker
from plainfilm.models.answer import alone, answer, blas_alone, look
from plainfilm.models.drift import Seen
from plainfilm.models.features import extract
from plainfilm.models.gate import fit_gate
from plainfilm.models.linear import fit_logistic
from plainfilm.models.model import Model
from plainfilm.models.vgg import initialise
from plainfilm.models.zoo import recipe
from plainfilm.progress import quiet
from plainfilm.training.feed import Material
from plainfilm.training.loop import Training
from plainfilm.training.optimizers import optimizer_for

BATCH = 24
AS_TRAINED = recipe("vgg").preprocess_for(TrainConfig())  # as the commands make it, by default


def product(threads: int) -> Callable[[], object]:
    """PRODUCT floating-point operations in float32 products of 1,536²: what the machine's library reaches."""
    torch.set_num_threads(threads)
    a = torch.ones(1536, 1536)
    return lambda: [a @ a for _ in range(5)] and None


def product_16(threads: int) -> Callable[[], object]:
    """The same in bfloat16."""
    torch.set_num_threads(threads)
    a = torch.ones(1536, 1536, dtype=torch.bfloat16)
    return lambda: [a @ a for _ in range(5)] and None


PRODUCT = 5 * 2 * 1536**3


def entropy(threads: int, folder: str) -> Callable[[], object]:
    """What no JPEG decoder can go below: entropy decoding alone, but for an inverse transform of one value in 64."""
    paths = sorted(Path(folder).glob("*/*"))

    def one(path: Path) -> None:
        with Image.open(path) as image:
            image.draft("L", (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()

    return lambda: list(ThreadPoolExecutor(threads).map(one, paths)) and None


def decode(threads: int, folder: str) -> Callable[[], object]:
    """A first run: films found, read, hashed, decoded, checked and stored."""
    fresh = count()
    cache = os.environ["PLAINFILM_CACHE"]

    def first_run() -> None:
        os.environ["PLAINFILM_CACHE"] = f"{cache}/{os.getpid()}-{next(fresh)}"
        ingest(load(folder), [AS_TRAINED])

    return first_run


def again(threads: int, folder: str) -> Callable[[], object]:
    """A second run on the same films: read and hashed, looked up, not decoded."""
    return lambda: ingest(load(folder), [AS_TRAINED]) and None


def _training(threads: int, films: int, batch_norm: bool, bits: int = 32) -> tuple[Training, list[np.ndarray]]:
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    name, p = "vgg-bn" if batch_norm else "vgg", AS_TRAINED
    pixels = np.memmap(f"{os.environ['PLAINFILM_CACHE']}/pixels", np.uint8, "w+", shape=(5216, 64, 64))
    pixels[:] = rng.integers(0, 255, pixels.shape, dtype=np.uint8)
    order = rng.permutation(len(pixels))
    rows, labels = Rows(pixels, np.arange(len(pixels)), {}), np.arange(len(pixels)) % 2
    network = recipe(name).build(2, p)
    initialise(network, torch.Generator().manual_seed(0))
    network.to(memory_format=torch.channels_last)
    config = TrainConfig(model=name, learning_rate=0.01)
    scaler = torch.amp.GradScaler(enabled=False)
    material = Material(rows, labels, order, order[:BATCH], np.array([3, 1], np.float32))
    run = Training(network, network, p, material, config, optimizer_for(network, config), scaler, bits)
    return run, np.split(order[:films], films // BATCH)


def training(threads: int, films: int, batch_norm: bool) -> Callable[[], object]:
    """Steps of 24 films, from the store."""
    run, batches = _training(threads, films, batch_norm)
    draws = torch.Generator()
    return lambda: [run.step(run.feed.batch(films, draws), 0.01) for films in batches] and None


def training_16(threads: int, films: int, batch_norm: bool) -> Callable[[], object]:
    """The same, layers up to the features in bfloat16."""
    run, batches = _training(threads, films, batch_norm, 16)
    draws = torch.Generator()
    return lambda: [run.step(run.feed.batch(films, draws), 0.01) for films in batches] and None


def loading(threads: int, films: int) -> Callable[[], object]:
    """What a later epoch does in place of decoding: the rows of its batches from the store."""
    run, batches = _training(threads, films, False)
    return lambda: [torch.from_numpy(run.material.pixels[batch]) for batch in batches] and None


def features_16(threads: int, films: int) -> Callable[[], object]:
    """The same in bfloat16."""
    return features(threads, films, 16)


def features(threads: int, films: int, bits: int = 32) -> Callable[[], object]:
    """VGG16's features of films that are in the store, to the features' store."""
    torch.set_num_threads(threads)
    r = recipe("vgg16-lr")
    network = r.build(2, r.preprocess)
    initialise(network, torch.Generator().manual_seed(0))
    pixels = np.random.default_rng(0).integers(0, 255, (films, 224, 224), dtype=np.uint8)
    rows = Rows(pixels, np.arange(films), {})
    some = Films(
        Table(Film(f"{i}", "A", bytes, sha256=f"{i:064x}", width=224, height=224) for i in range(films)), "noise"
    )
    fresh = count()
    return lambda: (
        extract(some, rows, network, r.preprocess, str(next(fresh)), (network.feature_count,), bits=bits) and None
    )


def logistic(threads: int, films: int) -> Callable[[], object]:
    """The grid search and the fit, to our tolerance."""
    torch.set_num_threads(threads)
    x, y = scikit.features(films)
    rows, places = Rows(x, np.arange(films), {}), np.arange(films)
    return lambda: fit_logistic(rows, places, y, places.astype(str), scikit.VALUES, 3, 0) and None


def _model(folder: str) -> Model:
    """An untrained `vgg` with a gate, from its file: what a user labels with."""
    p = AS_TRAINED
    network = recipe("vgg").build(2, p)
    initialise(network, torch.Generator().manual_seed(0))
    films, (rows,) = ingest(load(folder), [p])
    gate = fit_gate(rows, np.arange(len(films)), np.random.default_rng(0))
    path = Path(os.environ["PLAINFILM_CACHE"]) / "model.h5"
    Model(network, "vgg", Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA", refer=Band(0.4, 0.6)), p, gate=gate).save(path)
    return Model.load(path)


def label(threads: int, folder: str, films: int) -> Callable[[], object]:
    """One film after the other, model loaded: read, decoded, labelled, judged by the gate; the median counts. One
    thread a film, as ``plainfilm label`` and the service have it."""
    alone()
    blas_alone().__enter__()
    model = _model(folder)
    paths = sorted(Path(folder).glob("*/*"))
    paths = paths[:: len(paths) // films]  # of all classes: they differ in size

    def each() -> float:
        seconds = []
        for path in paths:
            began = time.perf_counter()
            answer(model, look(model, path.read_bytes()))
            seconds.append(time.perf_counter() - began)
        return float(np.median(seconds))

    return each


def offline(threads: int, folder: str) -> Callable[[], object]:
    """What `plainfilm label` does with a folder, without writing its table."""
    torch.set_num_threads(threads)
    make, films = row_maker(_model(folder), Seen(None)), loose(folder)
    return lambda: list(labelled(make, films)) and None


def served(threads: int, folder: str, clients: int = 4, batch: int = 8) -> Callable[[], object]:
    """The same films through `plainfilm serve`, sent by four clients, eight a request."""
    _model(folder)
    data = [read() for _, read in loose(folder)]
    command = [sys.executable, "-m", "plainfilm", "serve", f"{os.environ['PLAINFILM_CACHE']}/model.h5", "--port", "0"]
    server = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True)
    assert server.stdout
    address = json.loads(server.stdout.readline())["url"].removeprefix("http://")

    def post(some: list[bytes]) -> None:
        part = b'--x\r\nContent-Disposition: form-data; name="films"; filename="f"\r\n\r\n'
        body = b"".join(part + film + b"\r\n" for film in some) + b"--x--\r\n"
        connection = http.client.HTTPConnection(address)
        connection.request("POST", "/predict", body, {"Content-Type": "multipart/form-data; boundary=x"})
        found = json.loads(connection.getresponse().read())
        assert len(found["films"]) == len(some), found

    requests = [data[i : i + batch] for i in range(0, len(data), batch)]
    pool = ThreadPoolExecutor(clients)

    def all_films() -> None:
        list(pool.map(post, requests))

    _ending.append(server)
    return all_films


def helped(threads: int) -> Callable[[], object]:
    """`plainfilm --help`."""
    return lambda: subprocess.run([sys.executable, "-m", "plainfilm", "--help"], stdout=subprocess.DEVNULL, check=True)


def cold(threads: int, folder: str) -> Callable[[], object]:
    """`plainfilm label` of one film, from nothing."""
    _model(folder)
    cache = os.environ["PLAINFILM_CACHE"]
    film = str(min(Path(folder).glob("*/*")))
    command = [sys.executable, "-m", "plainfilm", "label", f"{cache}/model.h5", film, "--out", f"{cache}/labels.csv"]
    return lambda: subprocess.run([*command, "--force"], stdout=subprocess.DEVNULL, check=True)


def paper(threads: int, folder: str, epochs: int, out: str) -> Callable[[], object]:
    """`plainfilm paper`, whole, with nothing in its cache."""
    fresh = count()

    def all_three() -> None:
        own = f"{out}/{next(fresh)}"
        command = [sys.executable, "-m", "plainfilm", "paper", folder, "--out", own, "--epochs", str(epochs)]
        environment = os.environ | {"PLAINFILM_CACHE": f"{own}-cache"}
        subprocess.run([*command, "--quiet"], stdout=subprocess.DEVNULL, check=True, env=environment)

    return all_three


WORKS = (product, product_16, decode, entropy, again, training, training_16, loading, features, features_16, logistic)
WORKS += (label, offline, served, helped, cold, paper)
_ending: list[subprocess.Popen[str]] = []

if __name__ == "__main__":
    quiet.set(True)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["PLAINFILM_CACHE"] = cache
        turns.answer({work.__name__: work for work in WORKS})
        for process in _ending:
            process.terminate()
            process.wait()
