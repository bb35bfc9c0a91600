"""What a film may suffer on its way (saving, exposure, position), in graded severities, and what it does to scores."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from plainfilm.evaluation.areas import auc_interval
from plainfilm.evaluation.compare import differences
from plainfilm.evaluation.intervals import Interval, numbered, rate
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.tables import decision_intervals

Grey = NDArray[np.uint8]  # (H, W)
Change = Callable[[Grey, np.random.Generator], Grey]

WORKING_SIDE = 512  # pixels; larger films are reduced to it first, so that a severity means the same on every film
GRAIN = 224  # cells of noise along the shorter side
SCORES = ("auroc", "balanced_accuracy")


@dataclass(frozen=True)
class Corruption:
    """One change of a decoded film. All severities of a ``kind`` draw the same random numbers for the same film."""

    kind: str
    severity: str
    change: Change

    @property
    def name(self) -> str:
        """Kind and severity, such as "JPEG, quality 30"."""
        return f"{self.kind}, {self.severity}" if self.severity else self.kind

    def __call__(self, grey: Grey, seed: int, sha256: str) -> Grey:
        """Return the changed (H, W) uint8 film; the same for the same seed and content, whatever else is run."""
        rng = np.random.default_rng([seed, int(sha256[:16] or "0", 16), zlib.crc32(self.kind.encode())])
        return self.change(grey, rng)


def reduced(grey: Grey, side: int = WORKING_SIDE) -> Grey:
    """Return the film with its shorter side scaled down to ``side`` pixels, or as it is when that is no longer."""
    shorter = min(grey.shape)
    if shorter <= side:
        return grey
    height, width = (round(length * side / shorter) for length in grey.shape)
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR))


def jpeg(grey: Grey, _: np.random.Generator, quality: int) -> Grey:
    """Save as JPEG of ``quality`` 1..95 and read again."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def blur(grey: Grey, _: np.random.Generator, share: float) -> Grey:
    """Gaussian blur; ``share`` of the shorter side is the standard deviation."""
    return np.asarray(Image.fromarray(grey).filter(ImageFilter.GaussianBlur(share * min(grey.shape))))


def noise(grey: Grey, rng: np.random.Generator, share: float) -> Grey:
    """Gaussian grain with a standard deviation of ``share`` of the grey range, its size a 224th of the shorter side.

    Noise of single pixels would vanish when a large film is scaled down, and stay in a small one.
    """
    scale = GRAIN / min(grey.shape)
    cells = tuple(max(1, round(length * scale)) for length in grey.shape)
    grain = Image.fromarray(rng.standard_normal(cells, dtype=np.float32))
    return _clipped(grey + 255 * share * np.asarray(grain.resize(grey.shape[::-1], Image.Resampling.BOX)))


def gamma(grey: Grey, _: np.random.Generator, power: float) -> Grey:
    """Grey value x (0..1) becomes x to the ``power``: below 1 brighter, above 1 darker."""
    table = _clipped(255 * (np.arange(256) / 255) ** power)
    return table[grey]


def exposure(grey: Grey, _: np.random.Generator, share: float) -> Grey:
    """Add ``share`` of the grey range to every pixel; what leaves the range is cut off."""
    return _clipped(grey + 255.0 * share)


def contrast(grey: Grey, _: np.random.Generator, factor: float) -> Grey:
    """Stretch grey values by ``factor`` about the film's mean; what leaves the range is cut off."""
    mean = grey.mean()
    return _clipped(mean + factor * (grey - mean))


def rotation(grey: Grey, rng: np.random.Generator, degrees: float) -> Grey:
    """Turn by ``degrees``, to a side drawn for each film; what comes in from outside is the film's mean grey."""
    sign = 1 if rng.integers(2) else -1
    return np.asarray(Image.fromarray(grey).rotate(sign * degrees, Image.Resampling.BILINEAR, fillcolor=_mean(grey)))


def shift(grey: Grey, rng: np.random.Generator, share: float) -> Grey:
    """Move by ``share`` of the shorter side: left, right, up or down, drawn a film; filled as in ``rotation``."""
    steps = round(share * min(grey.shape))
    down, right = ((0, steps), (0, -steps), (steps, 0), (-steps, 0))[rng.integers(4)]
    moved = Image.new("L", grey.shape[::-1], _mean(grey))
    moved.paste(Image.fromarray(grey), (right, down))
    return np.asarray(moved)


def enlarge(grey: Grey, _: np.random.Generator, across: float, down: float) -> Grey:
    """Enlarge about the middle, by ``across`` and ``down`` (1 or more); the film keeps its sides."""
    height, width = grey.shape
    cut = (width - width / across) / 2, (height - height / down) / 2
    box = (cut[0], cut[1], width - cut[0], height - cut[1])
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR, box))


def shading(grey: Grey, rng: np.random.Generator, share: float) -> Grey:
    """Lighten one side by up to ``share`` and darken the opposite one as much: left, right, upper or lower, drawn."""
    axis, sign = rng.integers(2), 1 if rng.integers(2) else -1
    along = np.linspace(-sign * share, sign * share, grey.shape[axis])
    return _clipped(grey * (1 + (along[:, None] if axis == 0 else along)))


def invert(grey: Grey, _: np.random.Generator) -> Grey:
    """Black becomes white, as when MONOCHROME1 is overlooked."""
    return np.invert(grey)


def _clipped(values: NDArray[np.floating[Any]]) -> Grey:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def _mean(grey: Grey) -> int:
    return round(float(grey.mean()))


CORRUPTIONS = (
    *(Corruption("JPEG", f"quality {q}", partial(jpeg, quality=q)) for q in (75, 30, 10)),
    *(Corruption("blur", f"{s:.1%} of the side", partial(blur, share=s)) for s in (0.005, 0.01, 0.02)),
    *(Corruption("noise", f"{s:.0%} of the grey range", partial(noise, share=s)) for s in (0.05, 0.1, 0.2)),
    *(Corruption("gamma", f"{g:g}", partial(gamma, power=g)) for g in (0.6, 1.6)),
    *(Corruption("exposure", f"{s:+.0%} of the grey range", partial(exposure, share=s)) for s in (-0.15, 0.15)),
    *(Corruption("contrast", f"× {f:g}", partial(contrast, factor=f)) for f in (0.6, 1.5)),
    *(Corruption("rotation", f"{d}° to either side", partial(rotation, degrees=d)) for d in (5, 10)),
    *(Corruption("shift", f"{s:.0%} of the side", partial(shift, share=s)) for s in (0.05, 0.1)),
    *(
        Corruption("enlarged", f"15 % {way}", partial(enlarge, across=a, down=d))
        for way, a, d in (("wider", 1.15, 1), ("taller", 1, 1.15), ("nearer", 1.15, 1.15))
    ),
    *(Corruption("shading", f"± {s:.0%} from side to side", partial(shading, share=s)) for s in (0.2, 0.4)),
    Corruption("inverted", "", invert),
)


def flipped(clean: Predictions, changed: Predictions) -> Interval:
    """Return the share of films that get another label once they are changed, with its interval by patient."""
    differ = clean.decided != changed.decided
    return rate(differ, clean.patients)


def robustness(clean: Predictions, changed: Mapping[Corruption, Predictions]) -> list[dict[str, Any]]:
    """Return one row a corruption, ready for JSON, from predictions on the same films in the same order.

    ``name``, ``kind``, ``severity``; ``flipped`` (see there); ``auroc`` and ``balanced_accuracy`` on the changed films,
    and ``auroc_change``, ``balanced_accuracy_change`` (changed - clean), all with intervals by patient. NaN where a
    class is missing. ``one_class``: {class: the same four when only films of that class are changed}, as if they had
    come from another device; of two classes only.
    """
    classes = clean.classes if len(clean.classes) == 2 else ()
    rows = []
    for corruption, table in changed.items():
        about = {"name": corruption.name, "kind": corruption.kind, "severity": corruption.severity}
        alone = {name: _with_changes(clean, _in_one_class(clean, table, name)) for name in classes}
        flips = flipped(clean, table).as_dict()
        values = _with_changes(clean, table)
        rows.append({**about, "flipped": flips, **values, "one_class": alone})
    return rows


def _in_one_class(clean: Predictions, changed: Predictions, name: str) -> Predictions:
    """Predictions where only films of one class were changed."""
    there = clean.labels == clean.classes.index(name)
    return replace(clean, probabilities=np.where(there[:, None], changed.probabilities, clean.probabilities))


def _with_changes(clean: Predictions, changed: Predictions) -> dict[str, dict[str, float]]:
    """Return the SCORES of the changed films and their differences to the clean ones'."""
    whose = numbered(changed.patients)
    found = {
        "auroc": auc_interval(changed.truth, changed.score, patients=whose),
        "balanced_accuracy": decision_intervals(changed, whose)["balanced_accuracy"],
    }
    gaps = differences(changed, clean)
    found |= {f"{name}_change": gaps[name] for name in SCORES}
    return {name: interval.as_dict() for name, interval in found.items()}


def worst_in_one_class(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the change and class of ``robustness`` rows that leave the lowest AUROC when only films of that class are
    changed: ``name``, ``class``, the scores there, a ``sentence``. {} where no AUROC can be told.

    Inverted films are left out: they come from a mistake, not from another device."""
    found = [
        {"name": row["name"], "class": name, **scores}
        for row in rows
        if row["kind"] != "inverted"
        for name, scores in row.get("one_class", {}).items()
        if np.isfinite(scores["auroc"]["value"])
    ]
    if not found:
        return {}
    worst = min(found, key=lambda row: float(row["auroc"]["value"]))
    auroc, balanced = Interval(**worst["auroc"]), Interval(**worst["balanced_accuracy"])
    sentence = (
        f"If the films of one class came from another device: changing the {worst['class']} films alone costs most "
        f"({worst['name']}) and leaves AUROC {auroc}, balanced accuracy {balanced}."
    )
    return {**worst, "sentence": sentence}


def worst_corruption(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the row of ``robustness`` with most flipped labels and a ``sentence`` that names the next kind as well."""
    by_flips = sorted(rows, key=lambda row: -float(row["flipped"]["value"]))
    first = by_flips[0]
    second = next((row for row in by_flips if row["kind"] != first["kind"]), None)
    also = f"; next: {second['name']} ({100 * second['flipped']['value']:.1f} %)" if second else ""
    share = Interval(**first["flipped"])
    sentence = (
        f"Of {len(rows)} changes to the films, most labels flip by: {first['name']}"
        f" ({100 * share.value:.1f} %, 95 % interval {100 * share.low:.1f} % to {100 * share.high:.1f} %){also}."
    )
    return {**first, "sentence": sentence}
