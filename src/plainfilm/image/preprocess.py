"""The one way from a film's bytes to a network's input. Saved with the weights; training and serving share it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from plainfilm.config import RESIZES, SCALINGS
from plainfilm.errors import InputError
from plainfilm.image.decode import decode

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
    """

    size: int = 64
    resize: str = "crop"
    channels: int = 3
    scaling: str = "film"

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
            )
            if not good
        ]
        if wrong:
            raise InputError(f"Preprocessing can't be done with {', '.join(wrong)}.")

    def __call__(self, data: bytes) -> torch.Tensor:
        """Return the (channels, size, size) float32 input of one film's bytes. FilmError when it can't be read."""
        return self.tensor(self.pixels(decode(data))[None])[0]

    def pixels(self, grey: np.ndarray) -> np.ndarray:
        """Return (size, size) uint8 of an (H, W) uint8 film, antialiased (bilinear, widened to the scale)."""
        image = Image.fromarray(grey)
        width, height = image.size
        target = (self.size, self.size)
        if self.resize == "crop":
            side = min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            return np.asarray(image.resize(target, Image.Resampling.BILINEAR, (left, top, left + side, top + side)))
        if self.resize == "stretch":
            return np.asarray(image.resize(target, Image.Resampling.BILINEAR))
        scale = self.size / max(width, height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        padded = Image.new("L", target)
        padded.paste(
            image.resize(inner, Image.Resampling.BILINEAR), ((self.size - inner[0]) // 2, (self.size - inner[1]) // 2)
        )
        return np.asarray(padded)

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
