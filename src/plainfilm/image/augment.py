"""Random changes of training films, on request only. Off by default, as in the paper; no flip unless asked for:
it mirrors the heart.

Geometry and grey values are changed alike for every class: what tells one hospital's films from another's (shape of
the film, exposure, sharpness, noise, shading) then says nothing about the class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
import torch.nn.functional as F

from plainfilm.config import name_values
from plainfilm.errors import InputError, did_you_mean

LIMITS = {
    "rotation": 180.0,
    "translation": 0.5,
    "zoom": 0.9,
    "shear": 45.0,
    "flip": 1.0,
    "stretch": 1.0,
    "style": 1.0,
    "cross": 1.0,
    "equalise": 1.0,
    "gamma": 4.0,
    "contrast": 0.9,
    "brightness": 128.0,
    "shading": 0.9,
    "sharpness": 2.0,
    "noise": 64.0,
    "erase": 0.9,
}


@dataclass(frozen=True)
class Augment:
    """Largest change of each kind; each film draws its own, evenly, up to that (± where both ways make sense)."""

    rotation: float = 0.0  # ± degrees
    translation: float = 0.0  # ± share of the side
    zoom: float = 0.0  # ± share
    shear: float = 0.0  # ± degrees
    flip: float = 0.0  # 1: half of the films are mirrored
    stretch: float = 0.0  # share by which one side is lengthened against the other
    style: float = 0.0  # share of the amplitude spectrum taken from another film of the batch
    cross: float = 0.0  # share of the films that take it from a film of another class, the rest from any
    equalise: float = 0.0  # share of the way to an even histogram
    gamma: float = 0.0  # exponent of the grey values within 1 / (1 + gamma) and 1 + gamma
    contrast: float = 0.0  # ± share, about the middle grey
    brightness: float = 0.0  # ± grey levels
    shading: float = 0.0  # share by which one edge is lighter and the opposite one darker, as by the tube's heel effect
    sharpness: float = 0.0  # -1 takes away all that a Gaussian of 1 % of the side removes, +1 adds it once more
    noise: float = 0.0  # grey levels, standard deviation
    erase: float = 0.0  # largest side of an erased rectangle, share of the film's

    @staticmethod
    def parse(text: str) -> Augment:
        """Return the augmentation that ``rotation=10,translation=.05`` names; InputError for an unknown name."""
        values = name_values("augment", text) if text else {}
        known = [field.name for field in fields(Augment)]
        for name, value in values.items():
            if name not in known:
                raise InputError(f"augment: '{name}' is not known.{did_you_mean(name, known)}")
            if not 0 <= value <= LIMITS[name]:
                raise InputError(f"augment: {name}={value:g} is outside 0 to {LIMITS[name]:g}.")
        return Augment(**values)

    def __call__(
        self,
        pixels: torch.Tensor,
        generator: torch.Generator,
        wanted: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        lent: Lent | None = None,
    ) -> torch.Tensor:
        """Return (B, S, S) float32 pixels in 0..255, each film changed by its own draw; edges repeat outwards.

        Pixels come back as they are when nothing is asked for. With ``wanted`` (indices) only those of the films come
        back, changed as they are among all. ``labels``: (B,) the films' classes, without which ``cross`` does nothing.
        ``lent``: films of elsewhere that lend their style to some.
        """
        every = torch.arange(len(pixels))
        wanted = every if wanted is None else wanted
        if self == Augment():
            return pixels[wanted]
        if len(pixels) and not len(wanted):  # torch moves no empty batch; the draws are made all the same
            return self(pixels, generator, every[:1], labels, lent)[:0]
        draws = _Draws(len(pixels), wanted, generator)
        x = self._placed(pixels, draws, labels, lent)
        for size, change in (
            (self.equalise, self._equalised),
            (max(self.gamma, self.contrast, self.brightness), self._toned),
            (self.shading, self._shaded),
            (self.sharpness, self._sharpened),
            (self.noise, self._noisy),
            (self.erase, self._erased),
        ):
            if size:
                x = change(x, draws)
        return x.clamp(0, 255)

    def _placed(
        self, pixels: torch.Tensor, draws: _Draws, labels: torch.Tensor | None, lent: Lent | None
    ) -> torch.Tensor:
        """Return the films wanted of (B, S, S) pixels as floats, moved and restyled; those that lend them their style
        are moved as well, no others, and not those of elsewhere: a move hardly changes a spectrum's amplitudes."""
        moves = max(self.rotation, self.translation, self.zoom, self.shear, self.flip, self.stretch) > 0
        matrices = self._matrices(draws.films, draws.generator) if moves else None
        share = draws.even(0, self.style) if self.style else None
        others = draws.wanted
        if share is not None:
            others = self._lenders(draws, labels)[draws.wanted]
        needed, place = torch.unique(torch.cat([draws.wanted, others]), return_inverse=True)
        x = pixels[needed].float()
        x = x if matrices is None else _moved(x, matrices[needed])
        own, other = place.split(len(others))
        if share is None:
            return x[own]
        if lent:
            which = lent.which[draws.wanted]
            other = torch.where(which < 0, other, len(x) + which)
            x = torch.cat([x, lent.pixels.float()])
        return _restyled(x, own, other, share)

    def _lenders(self, draws: _Draws, labels: torch.Tensor | None) -> torch.Tensor:
        """(B,) the film that lends each its style. Styles of one class on films of the other: what a device, a room or
        an age group gives to the look of a class then says nothing of it, if ``style`` is 1."""
        if not self.cross or labels is None:
            return torch.randperm(draws.films, generator=draws.generator)
        order = torch.rand(draws.films, draws.films, generator=draws.generator).fill_diagonal_(-1)
        across = torch.rand(draws.films, 1, generator=draws.generator) < self.cross
        return (order + 2 * (across & (labels[:, None] != labels))).argmax(1)

    def _matrices(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """(B, 2, 3) affine maps from output to input coordinates in -1..1."""
        draw = torch.rand(7, count, generator=generator) * 2 - 1
        angle = draw[0] * math.radians(self.rotation)
        shear = torch.tan(draw[1] * math.radians(self.shear))
        scale = 1 + draw[2] * self.zoom
        longer = (1 + self.stretch) ** (draw[6] / 2)  # of the width, and its inverse of the height
        mirror = torch.where((draw[5] < 0) & (self.flip > 0), -1.0, 1.0)
        cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
        return torch.stack(
            [
                torch.stack([cos * mirror, shear * cos - sin, draw[3] * 2 * self.translation], 1) * longer[:, None],
                torch.stack([sin * mirror, shear * sin + cos, draw[4] * 2 * self.translation], 1) / longer[:, None],
            ],
            1,
        )

    def _equalised(self, x: torch.Tensor, draws: _Draws) -> torch.Tensor:
        """Move grey values towards their rank among the film's pixels."""
        grey = x.clamp(0, 255).round().long().flatten(1)
        counts = torch.zeros(len(x), 256).scatter_add_(1, grey, torch.ones(grey.shape))
        rank = counts.cumsum(1) / grey.shape[1] * 255
        even = rank.gather(1, grey).view_as(x)
        return x + draws.even(0, self.equalise) * (even - x)

    def _toned(self, x: torch.Tensor, draws: _Draws) -> torch.Tensor:
        exponent = (1 + self.gamma) ** draws.even(-1, 1)
        x = (x.clamp(0, 255) / 255) ** exponent * 255
        slope = 1 + draws.even(-self.contrast, self.contrast)
        return (127.5 + slope * (x - 127.5) + draws.even(-self.brightness, self.brightness)).clamp(0, 255)

    def _shaded(self, x: torch.Tensor, draws: _Draws) -> torch.Tensor:
        """Multiply by a plane: 1 in the middle, any direction."""
        along = torch.linspace(-1, 1, x.shape[-1])
        angle = draws.even(0, 2 * math.pi)
        slope = draws.even(0, self.shading)
        return x * (1 + slope * (torch.cos(angle) * along + torch.sin(angle) * along[:, None]))

    def _sharpened(self, x: torch.Tensor, draws: _Draws) -> torch.Tensor:
        sigma = x.shape[-1] / 100
        reach = math.ceil(3 * sigma)
        kernel = torch.exp(-(torch.arange(-reach, reach + 1).float() ** 2) / (2 * sigma**2))
        kernel = kernel / kernel.sum()
        smooth = F.pad(x[:, None], (reach,) * 4, mode="replicate")
        smooth = F.conv2d(F.conv2d(smooth, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))[:, 0]
        return x + draws.even(-self.sharpness, self.sharpness).clamp(min=-1) * (x - smooth)

    def _noisy(self, x: torch.Tensor, draws: _Draws) -> torch.Tensor:
        size = draws.even(0, self.noise)
        return x + size * torch.randn(draws.films, *x.shape[1:], generator=draws.generator)[draws.wanted]

    def _erased(self, x: torch.Tensor, draws: _Draws) -> torch.Tensor:
        """Put the film's mean grey into a rectangle."""
        side = torch.linspace(0, 1, x.shape[-1])
        middle = torch.rand(2, draws.films, 1, generator=draws.generator)
        half = torch.rand(2, draws.films, 1, generator=draws.generator) * self.erase / 2
        rows, columns = ((side - middle).abs() < half)[:, draws.wanted]  # (B, S) each
        return torch.where(rows[:, :, None] & columns[:, None, :], x.mean((1, 2), keepdim=True), x)


class Lent(NamedTuple):
    """Films of elsewhere, (M, S, S) uint8, and which of them lends each of a batch its style: (B,), -1 for none."""

    pixels: torch.Tensor
    which: torch.Tensor


class _Draws(NamedTuple):
    """Draws are made for all ``films``, and those for the ``wanted`` are used: they don't depend on who wants which."""

    films: int
    wanted: torch.Tensor  # indices
    generator: torch.Generator

    def even(self, low: float, high: float) -> torch.Tensor:
        """Return (B, 1, 1) even draws between ``low`` and ``high``, one a film."""
        return low + (high - low) * torch.rand(self.films, 1, 1, generator=self.generator)[self.wanted]


def _moved(x: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    grid = F.affine_grid(matrices, [len(x), 1, *x.shape[1:]], False)
    moved: torch.Tensor = F.grid_sample(x[:, None], grid, padding_mode="border", align_corners=False)
    return moved[:, 0]


def _restyled(x: torch.Tensor, own: torch.Tensor, other: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return the films at ``own``, whose amplitude spectra take a share from those at ``other`` and whose phases stay:
    shading, sharpness and noise change, outlines don't (Xu et al. 2021, "A Fourier-based framework for domain
    generalization")."""
    spectrum = torch.fft.rfft2(x)
    amplitude = spectrum.abs()
    factor = (amplitude[own] + share * (amplitude[other] - amplitude[own])) / amplitude[own].clamp(min=1e-3)
    mixed: torch.Tensor = torch.fft.irfft2(spectrum[own] * factor, s=x.shape[1:])
    return mixed.clamp(0, 255)
