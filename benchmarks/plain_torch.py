"""The same work in PyTorch alone, as a good user writes it: Pillow, a DataLoader, an eager loop, channels first."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import turns

BATCH = 24


def read(path: Path, side: int = 64) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((side, side), Image.Resampling.BILINEAR))


def decode(threads: int, folder: str) -> Callable[[], object]:
    paths = sorted(Path(folder).glob("*/*"))
    return lambda: np.stack(list(ThreadPoolExecutor(threads).map(read, paths)))


def network(batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    width = 3
    for filters in (32, 64, 128):
        for _ in range(2):
            layers += [nn.Conv2d(width, filters, 3, padding=1), nn.ReLU()]
            layers += [nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01)] if batch_norm else []
            width = filters
        layers += [nn.MaxPool2d(2), nn.Dropout(0.25)]
    layers += [nn.Flatten(), nn.Linear(8192, 512), nn.ReLU()]
    layers += [nn.BatchNorm1d(512, eps=1e-3, momentum=0.01)] if batch_norm else []
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(512, 2))


def training_16(threads: int, films: int, batch_norm: bool) -> Callable[[], object]:
    """The same under autocast, as torch's guide has it."""
    return training(threads, films, batch_norm, True)


def features_16(threads: int, films: int) -> Callable[[], object]:
    plain = features(threads, films)

    def pass_() -> object:
        with torch.autocast("cpu", torch.bfloat16):
            return plain()

    return pass_


def training(threads: int, films: int, batch_norm: bool, half: bool = False) -> Callable[[], object]:
    torch.set_num_threads(threads)
    pixels = np.random.default_rng(0).integers(0, 255, (films, 64, 64)).astype(np.float32)
    pixels = (pixels - pixels.mean((1, 2), keepdims=True)) / pixels.std((1, 2), keepdims=True)
    x = torch.from_numpy(np.repeat(pixels[:, None], 3, 1))
    loader = DataLoader(TensorDataset(x, torch.arange(films) % 2), BATCH, shuffle=True)
    model = network(batch_norm)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    weights = torch.tensor([3.0, 1.0])

    def epoch() -> None:
        model.train()
        total, right = 0.0, 0
        for inputs, labels in loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, half):
                logits = model(inputs)
            logits = logits.float()
            loss = (F.cross_entropy(logits, labels, reduction="none") * weights[labels]).mean()
            loss.backward()
            optimizer.step()
            total += loss.item()
            right += (logits.argmax(1) == labels).sum().item()

    return epoch


def vgg16() -> nn.Sequential:
    layers: list[nn.Module] = []
    width = 3
    for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(width, filters, 3, padding=1), nn.ReLU()]
            width = filters
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten())


def features(threads: int, films: int) -> Callable[[], object]:
    torch.set_num_threads(threads)
    model = vgg16().eval()
    x = torch.randn(films, 3, 224, 224)

    @torch.no_grad()
    def pass_() -> torch.Tensor:
        return model(x)

    return pass_


def label(threads: int, folder: str, films: int) -> Callable[[], object]:
    torch.set_num_threads(threads)
    model = network(False).eval()
    paths = sorted(Path(folder).glob("*/*"))
    paths = paths[:: len(paths) // films]  # of all classes: they differ in size

    @torch.no_grad()
    def each() -> float:
        seconds = []
        for path in paths:
            began = time.perf_counter()
            grey = read(path).astype(np.float32)
            x = torch.from_numpy((grey - grey.mean()) / grey.std())[None, None].repeat(1, 3, 1, 1)
            torch.softmax(model(x), 1).numpy()
            seconds.append(time.perf_counter() - began)
        return float(np.median(seconds))

    return each


if __name__ == "__main__":
    works = (decode, training, training_16, features, features_16, label)
    turns.answer({work.__name__: work for work in works})
