"""Do films of a target read better once they look like the source's on average? Without labels, without training.

    python benchmarks/towards.py RUN                              a run of ``train DATA``, whole: its own split
    python benchmarks/towards.py chest_xray_224/train OUT noise   a candidate of ``benchmarks/elsewhere.py``

A candidate is trained if it is not there yet; its targets are every second test film of each class, for RUN up to 200
of its test films and two of the maps. A target is those films under one change, with NORMAL alone or both classes
changed. All films of a target pass through one map, made of all of them, before the model:

histogram: the grey values' mean cumulative histogram becomes that of the training films (candidates only).
amplitude: the amplitude at each frequency is multiplied by the training films' mean over the target's mean.
rings: the same with means over all directions, for which fewer films are enough.
grid: the same with means about KNOTS × KNOTS frequencies across and down, and factors in between interpolated.

Prints a row a target and map: AUROC, specificity and balanced accuracy at the threshold as trained, and balanced
accuracy at the threshold moved with the scores' two hills (``adapt --unlabelled``; as trained where it finds none); at
last mean · worst of the targets, and in how many balanced accuracy rises, and falls, by more than .01.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

import plainfilm as pf
from elsewhere import BATTERY, LOOKS, POSITIVE, chances, looks, pictures, protocol, scores, trained
from plainfilm.data.films import Film
from plainfilm.evaluation import mixture
from plainfilm.evaluation.decision import FLOOR
from plainfilm.models.model import Model
from plainfilm.progress import bar
from plainfilm.runs.folder import RunFolder

MOST_FILMS = 200
KNOTS = 10
MOST = 5.0  # by which a frequency's amplitude is multiplied or divided


def cumulative(films: np.ndarray) -> np.ndarray:
    """Return (256,) the mean of the films' cumulative histograms, each level counted by half; films (N, S, S) uint8."""
    counts = np.stack([np.bincount(film.ravel(), minlength=256) for film in films]) / films[0].size
    return np.asarray((counts.cumsum(1) - counts / 2).mean(0))


def amplitude(films: np.ndarray) -> np.ndarray:
    """Return (S, S // 2 + 1) the mean amplitude spectrum of (N, S, S) films."""
    parts = [np.abs(np.fft.rfft2(films[i : i + 128])).sum(0) for i in range(0, len(films), 128)]
    return np.asarray(np.sum(parts, 0) / len(films))


def by_histogram(films: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return uint8 films with the ``source``'s mean cumulative histogram."""
    levels = np.interp(cumulative(films), cumulative(source), np.arange(256))
    return np.asarray(levels.round().astype(np.uint8)[films])


def in_rings(spectrum: np.ndarray) -> np.ndarray:
    """Return the means of an ``amplitude`` over all directions, each at the frequencies that it is of."""
    side = len(spectrum)
    ring = np.hypot(side * np.fft.fftfreq(side)[:, None], np.arange(spectrum.shape[1])).round().astype(int)
    return np.asarray((np.bincount(ring.ravel(), spectrum.ravel()) / np.bincount(ring.ravel()))[ring])


def on_a_grid(spectrum: np.ndarray) -> np.ndarray:
    """Return an ``amplitude`` averaged about the knots of a grid in log frequency, each mean at its frequencies."""
    down, across = (_hats(np.abs(np.fft.fftfreq(side) * side)) for side in (len(spectrum), 2 * spectrum.shape[1] - 2))
    across = across[: spectrum.shape[1]]
    means = down.T @ spectrum @ across / np.outer(down.sum(0), across.sum(0))
    return np.asarray(down @ means @ across.T)


def _hats(frequency: np.ndarray) -> np.ndarray:
    """Return (F, KNOTS) how much each knot, equally far apart in log frequency, counts at each frequency."""
    place = np.log1p(frequency) / np.log1p(frequency.max()) * (KNOTS - 1)
    return np.asarray((1 - np.abs(place[:, None] - np.arange(KNOTS))).clip(0))


def by_amplitude(films: np.ndarray, source: np.ndarray, means: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return uint8 films with the ``source``'s mean amplitudes, as ``means`` averages them; each film's phases stay."""
    factor = (means(amplitude(source)) / means(amplitude(films))).clip(1 / MOST, MOST)
    made = np.fft.irfft2(np.fft.rfft2(films) * factor, s=films.shape[1:])
    return np.asarray(made.clip(0, 255).round().astype(np.uint8))


WAYS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "as it is": lambda films, source: films,
    "amplitude": partial(by_amplitude, means=np.asarray),
    "rings": partial(by_amplitude, means=in_rings),
    "grid": partial(by_amplitude, means=on_a_grid),
    "histogram": by_histogram,
}


@dataclass(frozen=True)
class Trial:
    """A model with its training films' pixels, its validation films' classes and probabilities, and test films:
    ``made`` (1 + LOOKS, N, S, S) of the classes ``sick`` (N,), and (M, S, S) ``foreign`` normal ones."""

    model: Model
    source: np.ndarray
    val_sick: np.ndarray
    val: np.ndarray
    threshold: float
    sick: np.ndarray
    made: np.ndarray
    foreign: np.ndarray | None = None

    def targets(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yield name, (N,) classes and (N, S, S) pixels of each target."""
        sick, plain = self.sick, self.made[0]
        yield "as they are", sick, plain
        if self.foreign is not None:
            films = np.concatenate([self.foreign, plain[sick]])
            yield "NORMAL2", np.arange(len(films)) >= len(self.foreign), films
        for look, changed in zip(LOOKS, self.made[1:], strict=True):
            yield f"NORMAL alone: {look.name}", sick, np.where(sick[:, None, None], plain, changed)
        first = 0 if self.foreign is None else len(BATTERY)
        for look, changed in zip(LOOKS[first:], self.made[1 + first :], strict=True):
            yield f"both: {look.name}", sick, changed

    def found(self, sick: np.ndarray, films: np.ndarray) -> list[float]:
        """Return AUROC, specificity and balanced accuracy, and the latter at the moved threshold."""
        score = probabilities(self.model, films)
        moved = scores(sick, score, moved_threshold(self, score))
        return [*scores(sick, score, self.threshold), moved[2]]


def moved_threshold(trial: Trial, score: np.ndarray) -> float:
    """Return the threshold moved with the two hills of the log-odds, where there are two."""
    known, here = (logit(each.clip(FLOOR, 1 - FLOOR)) for each in (trial.val, score))
    own = mixture.of_classes(known, trial.val_sick)
    hills = mixture.fitted(here, own)
    if mixture.against(hills, here):
        return trial.threshold
    return float(expit(logit(trial.threshold) + hills.valley - own.valley))


def probabilities(model: Model, films: np.ndarray) -> np.ndarray:
    """Return (N,) probabilities of pneumonia of (N, S, S) films."""
    column = model.decision.classes.index(POSITIVE)
    return np.concatenate([model.probabilities(films[i : i + 32])[:, column] for i in range(0, len(films), 32)])


def of_candidate(data: Path, out: Path, name: str) -> Trial:
    """Return the trial of a candidate under the protocol of ``benchmarks/elsewhere.py``."""
    out.mkdir(parents=True, exist_ok=True)
    films = protocol(data, out)
    model = trained(out, name)
    made = pictures(model, films, out)
    source = np.stack([model.preprocess.pixels(looks(film, False)[0]) for film in films["train"]])
    val_sick, sick = (np.array([film.label == POSITIVE for film in films[part]]) for part in ("val", "test"))
    val = chances(name, films, out)["val"][0]
    threshold = pf.operating_point(val_sick, val, "balanced").threshold
    half = np.concatenate([np.flatnonzero(sick == label)[::2] for label in (False, True)])
    test = made["test"][:, half]
    return Trial(model, source, val_sick, val, threshold, sick[half], test, made["elsewhere"][0][::2])


def of_run(run: RunFolder) -> Trial:
    """Return the trial of a whole run, with the threshold that it decides by."""
    model, part_of = Model.load(run.folder), {row["path"]: row["part"] for row in run.films}
    parts: dict[str, list[Film]] = {"train": [], "val": [], "test": []}
    for film in run.load_films():
        if film.path in part_of:
            parts[part_of[film.path]].append(film)
    rng = np.random.default_rng(0)
    drawn = [parts["test"][i] for i in sorted(rng.permutation(len(parts["test"]))[:MOST_FILMS])]
    with bar("Reading films", len(parts["train"]) + len(drawn)) as progress:
        source, made = [], []
        for film in parts["train"]:
            source.append(model.preprocess.pixels(looks(film, False)[0]))
            progress.step(1)
        for film in drawn:
            made.append(np.stack([model.preprocess.pixels(grey) for grey in looks(film, True)]))
            progress.step(1)
    sick, known = np.array([film.label == POSITIVE for film in drawn]), run.validation
    assert known is not None
    return Trial(model, np.stack(source), known.truth, known.score, run.threshold, sick, np.stack(made, 1))


def main(trial: Trial, ways: list[str]) -> None:
    """Print the rows of each target, and the sums."""
    head = ("target", "films pass through", "AUROC", "specificity", "balanced accuracy", "at the moved threshold")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    rows = []
    for target, sick, films in trial.targets():
        rows.append([trial.found(sick, WAYS[way](films, trial.source)) for way in ways])
        for way, found in zip(ways, rows[-1], strict=True):
            print(f"| {target} | {way} | {' | '.join(f'{value:.3f}' for value in found)} |", flush=True)
    for way, found, gained in zip(ways, np.swapaxes(rows, 0, 1), _gains(np.array(rows)), strict=True):
        shown = ", ".join(f"{mean:.3f} · {worst:.3f}" for mean, worst in zip(found.mean(0), found.min(0), strict=True))
        print(f"{way}: {shown}; balanced accuracy rises in {gained[0]}, falls in {gained[1]} of {len(rows)}")


def _gains(rows: np.ndarray) -> list[tuple[int, int]]:
    """Return for each way in how many of (T, W, 4) rows balanced accuracy is more than .01 above, and below, the first
    way's."""
    gains = rows[:, :, 2] - rows[:, :1, 2]
    return [(int((gain > 0.01).sum()), int((gain < -0.01).sum())) for gain in gains.T]


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(of_run(RunFolder(sys.argv[1])), ["as it is", "amplitude", "grid"])
    else:
        main(of_candidate(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]), list(WAYS))
