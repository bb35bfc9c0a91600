"""How fast this machine is at what the package does, in a few seconds; benchmarks/ compares with what others use."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image

from plainfilm.config import TrainConfig
from plainfilm.data.sources import load
from plainfilm.image.decode import decode
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import Rows
from plainfilm.machine import processor
from plainfilm.models.engines import Features
from plainfilm.models.vgg import initialise
from plainfilm.models.zoo import recipe
from plainfilm.progress import quiet
from plainfilm.training.feed import Material
from plainfilm.training.loop import Training
from plainfilm.training.optimizers import optimizer_for

SECONDS = 2.0
SIDE = 1536  # of the matrices
FULL_SIZE = (1400, 1100)  # pixels, about the mean of the Kermany originals


def matrix_product() -> float:
    """Return 10^9 floating-point operations a second of a 1,536² float32 matrix product."""
    a = torch.ones(SIDE, SIDE)
    return _a_second(lambda: a @ a) * 2 * SIDE**3 / 1e9


def speed() -> dict[str, Any]:
    """Return what is done a second here: training steps of `vgg` (batch 24), films through VGG16 and through `best`
    (as label does it), full-size films decoded in one thread.

    Keys: ``vgg_steps``, ``vgg16_films``, ``best_films``, ``engine`` (that VGG16 goes by), in 32 bits; ``in_16_bits``:
    the same four, None where the processor does not multiply bfloat16; ``bfloat16``: the instructions that do;
    ``decoded_films``.
    """
    has = processor.multiplies_bfloat16()
    in_16_bits = _in_bits(16) if has else None
    return {**_in_bits(32), "in_16_bits": in_16_bits, "bfloat16": has, "decoded_films": round(_decoded_films(), 1)}


def _in_bits(bits: int) -> dict[str, Any]:
    vgg16, engine = _films("vgg16-lr", bits)
    found = {"vgg_steps": _vgg_steps(bits), "vgg16_films": vgg16, "best_films": _films("best", bits)[0]}
    return {**{name: round(value, 2) for name, value in found.items()}, "engine": engine}


def _a_second(unit: Callable[[], object]) -> float:
    unit()
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        unit()
        count += 1
    return count / (time.perf_counter() - began)


def _vgg_steps(bits: int) -> float:
    p, config, films = Preprocess(), TrainConfig(), np.arange(24)
    pixels = np.random.default_rng(0).integers(0, 255, (24, p.size, p.size), dtype=np.uint8)
    network = recipe("vgg").build(2, p).to(memory_format=torch.channels_last)
    initialise(network, torch.Generator().manual_seed(0))
    material = Material(Rows(pixels, films, {}), films % 2, films, films, np.ones(2, np.float32))
    scaler = torch.amp.GradScaler(enabled=False)
    run = Training(network, network, p, material, config, optimizer_for(network, config), scaler, bits)
    generator = torch.Generator()
    return _a_second(lambda: run.step(run.feed.batch(films, generator), config.learning_rate))


@torch.inference_mode()
def _films(name: str, bits: int, films: int = 4) -> tuple[float, str]:
    """Return films a second through a network, and the engine."""
    r = recipe(name)
    network = r.build(2, r.preprocess).eval().to(memory_format=torch.channels_last)
    x = torch.rand(films, 3, r.preprocess.size, r.preprocess.size)
    forward_features = Features(network, bits)
    hushed = quiet.set(True)  # why an engine was chosen is for those who use it
    try:
        return films * _a_second(lambda: forward_features(x)), forward_features.name
    finally:
        quiet.reset(hushed)


def _decoded_films() -> float:
    """One synthetic film, enlarged, its noise as fine as a detector's."""
    p, rng = recipe("vgg").preprocess_for(TrainConfig()), np.random.default_rng(0)
    film = next(iter(load("demo:4")))
    large = np.asarray(Image.fromarray(decode(film.read())).resize(FULL_SIZE, Image.Resampling.BICUBIC), np.float32)
    buffer = io.BytesIO()
    noisy = (large + rng.normal(0, 4, large.shape)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(buffer, "JPEG", quality=80)
    return _a_second(lambda: p.read(buffer.getvalue()))
