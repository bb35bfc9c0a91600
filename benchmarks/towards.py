"""Do films of a target read better once they look like the source's on average? Without labels, without training.

    python benchmarks/towards.py chest_xray_224/train OUT noise

The model and the films are those of ``benchmarks/elsewhere.py``, which trains the candidate if it is not there yet;
of its test films every second of each class. A target is those films under one change, with NORMAL alone or both
classes changed. All films of a target pass through one map, made of all of them, before the model:

histogram: the grey values' mean cumulative histogram becomes that of the training films.
amplitude: the amplitude at each frequency is multiplied by the training films' mean over the target's mean.
rings: the same with means over all directions, for which fewer films are enough.

Prints a row a target: AUROC, specificity and balanced accuracy at the threshold as trained, without and with each map;
at last mean · worst of the targets, and in how many balanced accuracy rises, and falls, by more than .01.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import plainfilm as pf
from elsewhere import BATTERY, LOOKS, POSITIVE, chances, looks, pictures, protocol, scores, trained
from plainfilm.models.model import Model

MOST = 5.0  # by which a frequency's amplitude is multiplied or divided


def cumulative(films: np.ndarray) -> np.ndarray:
    """Return (256,) the mean of the films' cumulative histograms, each level counted by half; films (N, S, S) uint8."""
    counts = np.stack([np.bincount(film.ravel(), minlength=256) for film in films]) / films[0].size
    return np.asarray((counts.cumsum(1) - counts / 2).mean(0))


def amplitude(films: np.ndarray) -> np.ndarray:
    """Return (S, S // 2 + 1) the mean amplitude spectrum of (N, S, S) films."""
    return np.asarray(np.abs(np.fft.rfft2(films)).mean(0))


def by_histogram(films: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return uint8 films with the ``source``'s mean cumulative histogram."""
    levels = np.interp(cumulative(films), cumulative(source), np.arange(256))
    return np.asarray(levels.round().astype(np.uint8)[films])


def in_rings(spectrum: np.ndarray) -> np.ndarray:
    """Return the means of an ``amplitude`` over all directions, each at the frequencies that it is of."""
    side = len(spectrum)
    ring = np.hypot(side * np.fft.fftfreq(side)[:, None], np.arange(spectrum.shape[1])).round().astype(int)
    return np.asarray((np.bincount(ring.ravel(), spectrum.ravel()) / np.bincount(ring.ravel()))[ring])


def by_amplitude(films: np.ndarray, source: np.ndarray, rings: bool = False) -> np.ndarray:
    """Return uint8 films with the ``source``'s mean amplitudes; each film's phases stay."""
    wanted, given = (in_rings(each) if rings else each for each in (amplitude(source), amplitude(films)))
    factor = (wanted / given).clip(1 / MOST, MOST)
    made = np.fft.irfft2(np.fft.rfft2(films) * factor, s=films.shape[1:])
    return np.asarray(made.clip(0, 255).round().astype(np.uint8))


def probabilities(model: Model, films: np.ndarray) -> np.ndarray:
    """Return (N,) probabilities of pneumonia of (N, S, S) films."""
    column = model.decision.classes.index(POSITIVE)
    return np.concatenate([model.probabilities(films[i : i + 32])[:, column] for i in range(0, len(films), 32)])


def main(data: Path, out: Path, name: str) -> None:
    """Train the candidate if it is not there yet and print the rows."""
    out.mkdir(parents=True, exist_ok=True)
    films = protocol(data, out)
    model = trained(out, name)
    made = pictures(model, films, out)
    source = np.stack([model.preprocess.pixels(looks(film, False)[0]) for film in films["train"]])
    val_sick, sick = (np.array([film.label == POSITIVE for film in films[part]]) for part in ("val", "test"))
    threshold = pf.operating_point(val_sick, chances(name, films, out)["val"][0], "balanced").threshold
    half = np.concatenate([np.flatnonzero(sick == label)[::2] for label in (False, True)])
    sick, test = sick[half], made["test"][:, half]
    foreign = np.concatenate([made["elsewhere"][0][::2], test[0][sick]])
    targets = {"as they are": (sick, test[0])}
    targets["NORMAL2"] = np.arange(len(foreign)) >= len(foreign) - sick.sum(), foreign
    for look, changed in zip(LOOKS, test[1:], strict=True):
        targets[f"NORMAL alone: {look.name}"] = sick, np.where(sick[:, None, None], test[0], changed)
    for look, changed in list(zip(LOOKS, test[1:], strict=True))[len(BATTERY) :]:
        targets[f"both: {look.name}"] = sick, changed
    head = ("as it is", "histogram", "amplitude", "rings")
    print(f"| target | {' | '.join(head)} |\n|{'---|' * 5}")
    rows = []
    for target, (truth, some) in targets.items():
        ways = (some, by_histogram(some, source), by_amplitude(some, source), by_amplitude(some, source, rings=True))
        rows.append([scores(truth, probabilities(model, seen), threshold) for seen in ways])
        cells = [" ".join(f"{value:.3f}" for value in values) for values in rows[-1]]
        print(f"| {target} | {' | '.join(cells)} |", flush=True)
    for way, found, gained in zip(head, np.swapaxes(rows, 0, 1), _gains(np.array(rows)), strict=True):
        shown = ", ".join(f"{mean:.3f} · {worst:.3f}" for mean, worst in zip(found.mean(0), found.min(0), strict=True))
        print(f"{way}: {shown}; balanced accuracy rises in {gained[0]}, falls in {gained[1]} of {len(rows)}")


def _gains(rows: np.ndarray) -> list[tuple[int, int]]:
    """Return for each way in how many of (T, W, 3) rows balanced accuracy is more than .01 above, and below, the first
    way's."""
    gains = rows[:, :, 2] - rows[:, :1, 2]
    return [(int((gain > 0.01).sum()), int((gain < -0.01).sum())) for gain in gains.T]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
