"""The one way from a film's bytes to a network's input. Saved with the weights; training and serving share it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from plainfilm.config import RESIZES, SCALINGS
from plainfilm.errors import InputError
from plainfilm.image.reduced import Picture, decode_at, factor_for

if TYPE_CHECKING:
    import torch

# Means of ImageNet in blue, green, red order, as VGG16 was trained (Simonyan & Zisserman 2015; Keras' "caffe" mode).
CAFFE_MEANS = (103.939, 116.779, 123.68)


@dataclass(frozen=True)
class Preprocess:
    """Grey film -> (size, size) uint8 pixels -> (channels, size, size) float32 input.

    resize: ``crop`` scales the shorter side to ``size`` and cuts the longer one in the middle (the paper's way);
    ``pad`` scales the longer side and fills with black; ``stretch`` ignores the aspect.
    scaling: ``film`` = minus the film's own mean, over its own standard deviation, so that exposure does not matter;
    ``centre`` = (x - 127.5) / 63.75; ``unit`` = x / 255; ``caffe`` = VGG16's own, three channels.
    oversample: JPEG films are decoded at ½, ¼ or ⅛ of their size as long as their shorter side keeps this many times
    ``size`` (image.reduced); 0 = whole, as all models without this value were made.
    """

    size: int = 64
    resize: str = "crop"
    channels: int = 3
    scaling: str = "film"
    oversample: int = 0

    def __post_init__(self) -> None:
        wrong = [
            f"{name}={value!r}"
            for name, value, good in (
                ("size", self.size, isinstance(self.size, int) and 8 <= self.size <= 2048),
                ("resize", self.resize, self.resize in RESIZES),
                (
                    "channels",
                    self.channels,
                    self.channels in (1, 3) and (self.scaling != "caffe" or self.channels == 3),
                ),
                ("scaling", self.scaling, self.scaling in SCALINGS),
                ("oversample", self.oversample, isinstance(self.oversample, int) and 0 <= self.oversample <= 64),
            )
            if not good
        ]
        if wrong:
            raise InputError(f"Preprocessing can't be done with {', '.join(wrong)}.")

    def __call__(self, data: bytes) -> torch.Tensor:
        """Return the (channels, size, size) float32 input of one film's bytes. FilmError when it can't be read."""
        return self.tensor(self.read(data)[None])[0]

    def read(self, data: bytes, whole: np.ndarray | None = None) -> np.ndarray:
        """Return the (size, size) uint8 pixels of one film's bytes. FilmError when it can't be read.

        ``whole``: all (H, W) pixels of the film, where they are decoded already; they serve if it is not reduced.
        """
        factor = self.factor(data)
        return self.pixels(whole if factor == 1 and whole is not None else decode_at(data, factor))

    def factor(self, data: bytes) -> int:
        """Return by how much smaller than it is the film in ``data`` is decoded."""
        return factor_for(data, self.oversample * self.size)

    def pixels(self, film: np.ndarray | Picture) -> np.ndarray:
        """Return (size, size) uint8 of an (H, W) uint8 film or a decoded picture, antialiased (bilinear, widened to
        the scale)."""
        grey, width, height, factor = film if isinstance(film, Picture) else Picture.whole(film)
        image = Image.fromarray(grey)
        across, down = width / factor, height / factor  # the film's sides in decoded pixels
        target, left, top = (self.size, self.size), 0.0, 0.0
        if self.resize == "crop":
            left, top = max(0, across - down) / 2, max(0, down - across) / 2
        elif self.resize == "pad":
            scale = self.size / max(width, height)
            target = (max(1, round(width * scale)), max(1, round(height * scale)))
        box = (left, top, across - left, down - top)
        small = image.resize(target, Image.Resampling.BILINEAR, box)
        return np.asarray(small if small.width == small.height else self._padded(small))

    def _padded(self, inner: Image.Image) -> Image.Image:
        padded = Image.new("L", (self.size, self.size))
        padded.paste(inner, ((self.size - inner.width) // 2, (self.size - inner.height) // 2))
        return padded

    def tensor(self, pixels: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Return (B, channels, size, size) float32 of (B, size, size) uint8 (or float in 0..255) pixels."""
        import torch

        x = pixels if isinstance(pixels, torch.Tensor) else torch.tensor(pixels)
        grey = x.to(torch.float32)[:, None]  # (B, 1, S, S)
        if self.scaling == "caffe":
            return grey - torch.tensor(CAFFE_MEANS, device=x.device).view(1, 3, 1, 1)
        if self.scaling == "film":
            grey = _standardise(grey)
        elif self.scaling == "centre":
            grey = (grey - 127.5) / 63.75
        else:
            grey = grey / 255
        return grey.expand(-1, self.channels, -1, -1)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, for config.json and model.h5."""
        return asdict(self)


def _standardise(grey: torch.Tensor) -> torch.Tensor:
    """Mean 0 and standard deviation 1 over each film; sums in float64, so that the batch it is in does not matter.

    A standard deviation under 2 grey levels is noise and is not blown up.
    """
    flat = grey.flatten(1).double()
    mean = flat.mean(1)
    deviation = (flat.square().mean(1) - mean.square()).clamp(min=0).sqrt().clamp(min=2.0)
    shape = (-1, 1, 1, 1)
    return (grey - mean.float().view(shape)) / deviation.float().view(shape)
