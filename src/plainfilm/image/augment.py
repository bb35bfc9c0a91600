"""Random changes of training films, on request only. Off by default, as in the paper; no flip unless asked for:
it mirrors the heart."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F

from plainfilm.config import name_values
from plainfilm.errors import InputError, did_you_mean


@dataclass(frozen=True)
class Augment:
    """Largest change of each kind; each film draws its own within ± that, evenly."""

    rotation: float = 0.0  # degrees
    translation: float = 0.0  # share of the side
    zoom: float = 0.0  # share
    shear: float = 0.0  # degrees
    flip: float = 0.0  # 1: half of the films are mirrored

    @staticmethod
    def parse(text: str) -> Augment:
        """Return the augmentation that ``rotation=10,translation=.05`` names; InputError for an unknown name."""
        values = name_values("augment", text) if text else {}
        known = {field.name: field for field in fields(Augment)}
        limits = {"rotation": 180, "translation": 0.5, "zoom": 0.9, "shear": 45, "flip": 1}
        for name, value in values.items():
            if name not in known:
                raise InputError(f"augment: '{name}' is not known.{did_you_mean(name, known)}")
            if not 0 <= value <= limits[name]:
                raise InputError(f"augment: {name}={value:g} is outside 0 to {limits[name]}.")
        return Augment(**values)

    def __call__(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return (B, S, S) float32 pixels in 0..255, each film changed by its own draw; edges repeat outwards."""
        if self == Augment():
            return pixels
        grid = F.affine_grid(self._matrices(len(pixels), generator), [len(pixels), 1, *pixels.shape[1:]], False)
        moved = F.grid_sample(pixels[:, None].float(), grid, padding_mode="border", align_corners=False)
        return moved[:, 0]

    def _matrices(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """(B, 2, 3) affine maps from output to input coordinates in -1..1."""
        draw = torch.rand(6, count, generator=generator) * 2 - 1
        angle = draw[0] * math.radians(self.rotation)
        shear = torch.tan(draw[1] * math.radians(self.shear))
        scale = 1 + draw[2] * self.zoom
        mirror = torch.where((draw[5] < 0) & (self.flip > 0), -1.0, 1.0)
        cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
        return torch.stack(
            [
                torch.stack([cos * mirror, shear * cos - sin, draw[3] * 2 * self.translation], 1),
                torch.stack([sin * mirror, shear * sin + cos, draw[4] * 2 * self.translation], 1),
            ],
            1,
        )
