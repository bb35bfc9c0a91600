"""``--preprocess``: in one line, how films become the input of a model that plainfilm did not make, and what its output
is.

A name with a size, such as imagenet224, stands for a line; what follows changes it: imagenet224,resize=stretch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainfilm.config import RESIZES
from plainfilm.errors import InputError, did_you_mean
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.reduced import Picture

Numbers = tuple[float, ...]

FILM = "film"  # instead of numbers: the film's own mean, or standard deviation
LAYOUTS = ("nchw", "nhwc")  # of torch; of Keras
OUTPUTS = ("softmax", "logits", "sigmoid", "sigmoid-logits")
SIZES = (8, 2048)

# What libraries do to an image of 0..255 before their networks see it.
NAMES = {
    "imagenet": "channels=3,range=0..1,mean=.485/.456/.406,std=.229/.224/.225",  # torchvision, timm
    "unit": "range=0..1",  # Keras' rescale=1/255
    "raw": "range=0..255",  # Keras' EfficientNet, which scales inside
    "tf": "range=-1..1",  # Keras' MobileNet, Inception and Xception
    "caffe": "channels=3,range=0..255,mean=103.939/116.779/123.68",  # Keras' VGG16 and ResNet50, in blue, green, red
    "xrv": "channels=1,range=-1024..1024",  # torchxrayvision
}


@dataclass(frozen=True)
class Line:
    """What the line says; None and "" where it leaves that to the model's file.

    size: pixels of the square input; scale: pixels to which films are scaled before the middle ``size`` is cut out, as
    torchvision's Resize and CenterCrop do; resize: as in ``Preprocess``; low, high: what black and white become; mean,
    std: subtracted and divided by then, one or one per channel, empty for the film's own; layout: one of LAYOUTS;
    output: one of OUTPUTS; column: the only column to use, from 0; answer: the name of the output.
    """

    size: int | None = None
    scale: int | None = None
    resize: str = "crop"
    channels: int | None = None
    low: float = 0.0
    high: float = 1.0
    mean: Numbers = (0.0,)
    std: Numbers = (1.0,)
    layout: str = ""
    output: str = ""
    column: int | None = None
    answer: str = ""

    @classmethod
    def parse(cls, text: str) -> Line:
        """Return what ``text`` says; InputError for what is no such line."""
        name, _, rest = text.strip().partition(",")
        known = re.fullmatch(r"([a-z]+)(\d*)", name.strip().lower())
        if "=" not in name:
            if not known or known[1] not in NAMES:
                raise InputError(f"--preprocess: there is no '{name}'.{did_you_mean(name, _examples())}")
            size = f",size={known[2]}" if known[2] else ""
            text = f"{NAMES[known[1]]}{size},{rest}"
        values: dict[str, Any] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            key, _, value = (word.strip() for word in part.partition("="))
            if key not in _KEYS:
                raise InputError(f"--preprocess: '{key}' says nothing.{did_you_mean(key, _KEYS)}")
            reader, form = _KEYS[key]
            try:
                values |= reader(value)
            except ValueError:
                raise InputError(f"--preprocess: '{part}' is not of the form {key}={form}.") from None
        return cls(**values)

    def require_whole(self) -> Line:
        """Return the line; InputError unless its values fit together."""
        channels, size = self.channels or 0, self.size or 0
        if self.scale is not None and self.scale < size:
            raise InputError(f"--preprocess: scale={self.scale} is less than the size, {size}.")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (0, 1, channels):
                raise InputError(f"--preprocess: {name} has {len(values)} values for {channels} channels.")
        return self

    def with_columns(self, output: str, columns: int) -> Line:
        """Return the line of an output of ``columns`` columns: a lone one is the only one to use."""
        return replace(self, output=output, column=0 if columns == 1 else self.column)

    @property
    def as_they_are(self) -> bool:
        """Whether grey values stay what they are."""
        return (self.low, self.high, self.mean, self.std) == (0, 255, (0,), (1,))

    @property
    def cut(self) -> Cut:
        """How films become the (S, S) uint8 pixels that ``tensor`` takes."""
        return Cut(self.scale or self.size or 0, self.resize, 1, "unit", inner=self.size or 0)

    def tensor(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (B, channels, size, size), or (B, size, size, channels), of (B, S, S) uint8 pixels."""
        assert self.size is not None
        margin = _margin(pixels.shape[1], self.size)
        seen = pixels[:, margin : margin + self.size, margin : margin + self.size]
        grey = seen[..., None] * np.float32((self.high - self.low) / 255) + np.float32(self.low)
        mean = np.asarray(self.mean, np.float32) if self.mean else grey.mean((1, 2), keepdims=True)
        std = np.asarray(self.std, np.float32) if self.std else _spread(grey, (self.high - self.low) / 255)
        found = np.broadcast_to((grey - mean) / std, (*seen.shape, self.channels or 1))
        return np.ascontiguousarray(found if self.layout == "nhwc" else found.transpose(0, 3, 1, 2), np.float32)


@dataclass(frozen=True)
class Cut(Preprocess):
    """A Preprocess whose ``crop`` is torchvision's Resize(size) and CenterCrop(inner), to the pixel.

    ``pixels`` are (size, size) all the same: the margin around ``inner`` is what the network does not see.
    """

    inner: int = 0

    def pixels(self, film: NDArray[np.uint8] | Picture) -> NDArray[np.uint8]:
        """Return (size, size) uint8 of an (H, W) uint8 film or a decoded picture."""
        if self.resize != "crop":
            return super().pixels(film)
        grey = film.grey if isinstance(film, Picture) else film  # whole: ``oversample`` is 0
        height, width = grey.shape
        wide, high = (int(self.size * side / min(width, height)) for side in (width, height))
        scaled = np.asarray(Image.fromarray(grey).resize((wide, high), Image.Resampling.BILINEAR))
        left, top = (_margin(side, self.inner) - _margin(self.size, self.inner) for side in (wide, high))
        return scaled[top : top + self.size, left : left + self.size]


def _margin(side: int, inner: int) -> int:
    """Return what is left out before the middle ``inner`` of ``side`` pixels, a half rounded as torchvision does."""
    return round((side - inner) / 2)


def _spread(grey: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    """Each film's standard deviation; of one without contrast a grey level, so that noise is not blown up."""
    return np.asarray(np.maximum(grey.std((1, 2), keepdims=True), np.float32(step)))


def _examples() -> list[str]:
    return [f"{name}224" for name in NAMES]


def _range(text: str) -> dict[str, float]:
    low, high = (float(end) for end in text.split(".."))
    if not np.isfinite([low, high]).all() or low == high:
        raise ValueError
    return {"low": low, "high": high}


def _numbers(key: str, text: str) -> dict[str, Numbers]:
    if text == FILM:
        return {key: ()}
    values = tuple(float(value) for value in text.split("/"))
    if not np.isfinite(values).all() or (key == "std" and min(values) <= 0):
        raise ValueError
    return {key: values}


def _count(key: str, text: str, least: int, most: int) -> dict[str, int]:
    if not least <= int(text) <= most:
        raise ValueError
    return {key: int(text)}


def _word(key: str, text: str, known: tuple[str, ...]) -> dict[str, str]:
    if text not in known:
        raise ValueError
    return {key: text}


_KEYS: dict[str, tuple[Callable[[str], dict[str, Any]], str]] = {  # how a value is read, and the form that it has
    "size": (lambda text: _count("size", text, *SIZES), "224"),
    "scale": (lambda text: _count("scale", text, *SIZES), "256"),
    "resize": (lambda text: _word("resize", text, RESIZES), "|".join(RESIZES)),
    "channels": (lambda text: {"channels": int(_word("channels", text, ("1", "3"))["channels"])}, "1|3"),
    "range": (_range, "0..1"),
    "mean": (lambda text: _numbers("mean", text), ".485/.456/.406 or film"),
    "std": (lambda text: _numbers("std", text), ".229/.224/.225 or film"),
    "layout": (lambda text: _word("layout", text, LAYOUTS), "|".join(LAYOUTS)),
    "output": (lambda text: _word("output", text, OUTPUTS), "|".join(OUTPUTS)),
    "column": (lambda text: _count("column", text, 0, 10_000), "0"),
    "answer": (lambda text: {"answer": text}, "NAME"),
}
