"""The one place that decides how many bits a network computes with: 32, or 16 where the processor has them and gains.

Two works are told apart, since a network may gain in one and lose in the other: ``training``, the steps, and
``passes``, everything without gradients (frozen features, predictions, labels, the service). Whatever they say, these
stay in 32 bits or more: head and log-odds, loss, logistic regression, batch-norm statistics, weight average, optimiser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from plainfilm.machine import processor
from plainfilm.models import engines
from plainfilm.models.mixed import Mixed, one_thread

if TYPE_CHECKING:
    from plainfilm.models.backbone import Backbone

GAIN = 0.9  # share of the time in 32 bits that 16 bits may take at most, to be worth their rounding
FILMS = 8  # in a step that is timed


@dataclass(frozen=True)
class Precision:
    """Bits of a network's steps and of its passes, 32 or 16, and why."""

    training: int = 32
    passes: int = 32
    why: str = "32 bits were asked for"

    @property
    def sentence(self) -> str:
        """Return it as a reader wants it: the bits, and why."""
        alike = f"computed in {self.passes} bits"
        apart = f"trained in {self.training} bits, everything else computed in {self.passes}"
        return f"{alike if self.training == self.passes else apart} ({self.why})"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for config.json, model.h5 and, in a sentence, the report."""
        return {**asdict(self), "said": self.sentence}

    @classmethod
    def from_dict(cls, about: Mapping[str, Any]) -> Precision:
        """Return what ``as_dict`` gave; ValueError or KeyError where that is none."""
        training, passes, why = about["training"], about["passes"], str(about["why"])
        if not {training, passes} <= {16, 32}:
            raise ValueError(f"a precision of {training} and {passes} bits is unknown")
        return cls(int(training), int(passes), why)


SINGLE = Precision()


def decide(
    setting: str, device: torch.device, build: Callable[[], Backbone] | None, shape: tuple[int, ...], steps: bool
) -> Precision:
    """Return the precision of a run: what ``setting`` says, and for "auto" what is faster here.

    build: makes a network of the run's kind, whatever its values (None: an ensemble, all in 32 bits); shape: (C, S, S)
    of its films; steps: whether all of it is trained by steps; a head, and layers behind frozen ones, always learn in
    32 bits on a processor. Without bfloat16 there is no trial.
    """
    if build is None:
        return Precision(why="an ensemble computes in 32 bits")
    wanted = setting if setting != "auto" else processor.wanted()
    if device.type != "cpu":  # steps in float16, passes in 32 bits
        training = 32 if wanted == "32" else 16
        return Precision(training, 32, f"{training} bits on a GPU" + " were asked for" * bool(wanted))
    if wanted:
        bits = int(wanted)
        asked = f"{bits} bits were asked for" + " by PLAINFILM_PRECISION" * (setting == "auto")
        emulated = "; this processor emulates them" * (bits == 16 and not processor.multiplies_bfloat16())
        return Precision(bits if steps else 32, bits, asked + emulated)
    if not (has := processor.multiplies_bfloat16()):
        return Precision(why="this processor does not multiply bfloat16")
    with torch.random.fork_rng():  # what is trained draws as it does without a trial
        network = build()
        passes, said = _passes(network, shape)
        training, also = _steps(network, shape) if steps else (32, "")
    return Precision(training, passes, f"the processor has {has}; {said}{also}")


def of_model(setting: str, provenance: Mapping[str, Any]) -> int:
    """Return the bits of a trained model's passes here: what ``setting`` says, and for "auto" those that its own
    predictions had, if this processor has them; 32 for a model that says nothing."""
    wanted = setting if setting != "auto" else processor.wanted()
    if wanted:
        return int(wanted)
    if not isinstance(own := provenance.get("precision"), Mapping):
        return 32
    return 16 if Precision.from_dict(own).passes == 16 and processor.multiplies_bfloat16() else 32


def _passes(network: Backbone, shape: tuple[int, ...]) -> tuple[int, str]:
    """Return the bits of passes by a trial, and what it found."""
    found = engines.seconds(network.eval(), torch.rand(1, *shape))
    single = found.get("ncnn 32", found["torch 32"])  # as Features chooses: not by time
    engine = min((name for name in found if name.endswith("16")), key=lambda name: found[name])
    return _by(found[engine] / single, f"passes by {engine.removesuffix(' 16')}")


def _steps(network: Backbone, shape: tuple[int, ...]) -> tuple[int, str]:
    """Return the bits of training steps by a trial, and what it found."""
    x, labels = torch.rand(FILMS, *shape).contiguous(memory_format=torch.channels_last), torch.arange(FILMS) % 2

    def step(forward: nn.Module) -> None:
        network.zero_grad()
        F.cross_entropy(forward(x), labels).backward()  # type: ignore[no-untyped-call]

    def ways() -> dict[str, Any]:
        return {"32": partial(step, network), "16": partial(step, Mixed(network))}

    network.train()
    with one_thread():
        found = processor.seconds(f"steps of {engines.described(network)} {shape}", ways)
    bits, said = _by(found["16"] / found["32"], "steps")
    return bits, f"; {said}"


def _by(share: float, work: str) -> tuple[int, str]:
    bits = 16 if share < GAIN else 32
    return bits, f"{work} take {100 * share:.0f} % of the time that 32 bits take"
