"""How do ways of training `best` hold where films look different? Candidates under one protocol and one budget.

    python benchmarks/elsewhere.py chest_xray_224/train OUT base cross base+base-1+base-2

Kermany's films, split by patient (seed 0). The series NORMAL2 of normal films is kept out of training altogether: its
films have another look that nobody made up. 1,200 films train, 250 choose the threshold, then, all at that threshold:
test films of what was trained on; NORMAL2 in place of the normal ones; the battery of
``plainfilm.evaluation.robustness`` (inversion apart) and five SCANNERS, changes that come together, done to the NORMAL
films alone and to both classes.

A candidate is a row of CANDIDATES, or several joined by +, whose probabilities are averaged. Prints one row each,
mean · worst where there are several changes; what is trained already is not trained again.
"""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

import plainfilm as pf
from plainfilm.data.films import Film
from plainfilm.data.sources import load
from plainfilm.data.split import split
from plainfilm.evaluation import robustness
from plainfilm.evaluation.robustness import (
    Change,
    Corruption,
    Grey,
    blur,
    contrast,
    enlarge,
    gamma,
    jpeg,
    noise,
    shading,
)
from plainfilm.image.decode import decode
from plainfilm.models.model import Model
from plainfilm.progress import bar

KEPT_OUT, POSITIVE = "/NORMAL2-", "PNEUMONIA"
COUNTS = {"train": (397, 803), "val": (63, 187), "test": (137, 263), "elsewhere": (199, 0)}  # NORMAL, PNEUMONIA
BUDGET = ["--model", "best", "--epochs", "10", "--size", "128", "--split", "official", "--no-probes", "--quiet"]
BALANCED = ["--class-weights", "balanced"]  # as `best` has them; best-gpu's own are none
LOOK = (
    "rotation=10,translation=.08,zoom={},stretch=.35,{},equalise=1,gamma=.8,contrast=.4,brightness=30,shading=.3,"
    "sharpness=1,noise={},erase=.3"
)


def look(style: str = "style=.8", noise: str = "10", zoom: str = ".15") -> list[str]:
    """Return the flag of the augmentation that `best` had until 2026-12-01, with some of its kinds otherwise."""
    return ["--augment", LOOK.format(zoom, style, noise)]


CANDIDATES = {
    "base": look(),
    "base-1": [*look(), "--seed", "1"],
    "noise": look(noise="25"),
    "noise-1": [*look(noise="25"), "--seed", "1"],
    "noise-2": [*look(noise="25"), "--seed", "2"],
    "lite2": [*look(noise="25"), "--model", "best-gpu", "--batch", "32", "--average", ".998", *BALANCED],
    "cross": look("style=1,cross=1"),
    "mixup": [*look(), "--mixup", ".2"],
    "side-160": [*look(), "--size", "160"],
    "side-160-noise": [*look(noise="25"), "--size", "160"],
    "side-160-noise15": [*look(noise="15"), "--size", "160"],
    "side-160-noise-zoom": [*look(noise="25", zoom=".3"), "--size", "160"],
}


def scanner(*changes: Change) -> Change:
    """Return the change that makes ``changes`` one after another."""

    def made(grey: Grey, rng: np.random.Generator) -> Grey:
        for each in changes:
            grey = each(grey, rng)
        return grey

    return made


SCANNERS = (
    scanner(partial(gamma, power=0.7), partial(blur, share=0.01), partial(jpeg, quality=50)),
    scanner(partial(contrast, factor=0.7), partial(noise, share=0.05), partial(enlarge, across=1.12, down=1.12)),
    scanner(partial(gamma, power=1.5), partial(contrast, factor=1.3), partial(shading, share=0.3)),
    scanner(partial(blur, share=0.012), partial(contrast, factor=0.8), partial(enlarge, across=1, down=1.12)),
    scanner(partial(shading, share=0.4), partial(jpeg, quality=20), partial(enlarge, across=1.12, down=1)),
)
BATTERY = tuple(change for change in robustness.CORRUPTIONS if change.kind != "inverted")
LOOKS = (*BATTERY, *(Corruption(f"scanner {i}", "", made) for i, made in enumerate(SCANNERS, 1)))


def protocol(data: Path, out: Path) -> dict[str, list[Film]]:
    """Return the films of each part of COUNTS, drawn by seed 0, and write the table that the candidates train on."""
    films = split(load(str(data)), "grouped", 0)
    kept_out = {film.group for film in films if KEPT_OUT in film.path}
    rng = np.random.default_rng(0)
    parts = {
        name: [film for film in films if film.part == name and film.group not in kept_out]
        for name in ("train", "val", "test")
    }
    parts["elsewhere"] = [film for film in films if KEPT_OUT in film.path and film.part == "test"]
    drawn = {name: some_of(parts[name], counts, rng) for name, counts in COUNTS.items()}
    with open(out / "films.csv", "w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(("path", "label", "patient", "split"))
        for name in ("train", "val", "test"):
            table.writerows((data.resolve() / film.path, film.label, film.group, name) for film in drawn[name])
    return drawn


def some_of(films: list[Film], counts: tuple[int, int], rng: np.random.Generator) -> list[Film]:
    """Return so many NORMAL and PNEUMONIA films, drawn, in the order of ``films``."""
    drawn = set()
    for label, count in zip(("NORMAL", POSITIVE), counts, strict=True):
        places = [i for i, film in enumerate(films) if film.label == label]
        drawn.update(rng.permutation(places)[:count].tolist())
    return [films[i] for i in sorted(drawn)]


def trained(out: Path, name: str) -> Model:
    """Return the candidate's model, trained now if it was not yet."""
    run = out / name
    if not (run / "report.html").exists():
        flags = [*BUDGET, *CANDIDATES[name], *(["--resume"] if run.exists() else [])]
        command = [sys.executable, "-m", "plainfilm", "train", str(out / "films.csv"), "--out", str(run), *flags]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return Model.load(run)


def pictures(model: Model, films: dict[str, list[Film]], out: Path) -> dict[str, np.ndarray]:
    """Return uint8 pixels: "val" and "elsewhere" (N, S, S), "test" (1 + LOOKS, N, S, S), kept in a file by side."""
    kept = out / f"pixels-{model.preprocess.size}.npz"
    if not kept.exists():
        made: dict[str, list[np.ndarray]] = {"val": [], "elsewhere": [], "test": []}
        with bar("Changing films", sum(len(films[part]) for part in made)) as progress:
            for part, some in made.items():
                for film in films[part]:
                    some.append(np.stack([model.preprocess.pixels(grey) for grey in looks(film, part == "test")]))
                    progress.step(1)
        np.savez(kept, **{part: np.stack(some, 1) for part, some in made.items()})
    return dict(np.load(kept))


def looks(film: Film, changed: bool) -> list[Grey]:
    """Return the film as it is and, where ``changed``, under every one of LOOKS."""
    data = film.read()
    grey, sha256 = robustness.reduced(decode(data)), hashlib.sha256(data).hexdigest()
    return [grey, *(change(grey, 0, sha256) for change in LOOKS if changed)]


def chances(name: str, films: dict[str, list[Film]], out: Path) -> dict[str, np.ndarray]:
    """Return the candidate's probabilities of pneumonia in the shape of ``pictures`` without (S, S); means of those of
    its members."""
    if "+" in name:
        members = [chances(one, films, out) for one in name.split("+")]
        return {part: np.mean([member[part] for member in members], 0) for part in members[0]}
    kept = out / name / "elsewhere.npz"
    if not kept.exists():
        model = trained(out, name)
        found = {}
        column = model.decision.classes.index(POSITIVE)
        for part, pixels in pictures(model, films, out).items():
            flat = pixels.reshape(-1, *pixels.shape[-2:])
            blocks = [model.probabilities(flat[i : i + 32])[:, column] for i in range(0, len(flat), 32)]
            found[part] = np.concatenate(blocks).reshape(pixels.shape[:-2])
        np.savez(kept, **found)
    return dict(np.load(kept))


def scores(truth: np.ndarray, score: np.ndarray, threshold: float) -> tuple[float, float, float]:
    """Return AUROC, specificity and balanced accuracy of (N,) probabilities."""
    called = score >= threshold
    specificity, sensitivity = float(np.mean(~called[~truth])), float(np.mean(called[truth]))
    return float(roc_auc_score(truth, score)), specificity, (specificity + sensitivity) / 2


def row(name: str, films: dict[str, list[Film]], out: Path) -> list[str]:
    """Return the candidate's cells of the table."""
    found = chances(name, films, out)
    truth = {part: np.array([film.label == POSITIVE for film in films[part]]) for part in found}
    threshold = pf.operating_point(truth["val"], found["val"][0], "balanced").threshold
    sick, clean = truth["test"], found["test"][0]
    foreign = np.concatenate([found["elsewhere"][0], clean[sick]])
    is_sick = np.arange(len(foreign)) >= len(found["elsewhere"][0])
    alone = [scores(sick, np.where(sick, clean, changed), threshold) for changed in found["test"][1:]]
    both = [scores(sick, changed, threshold) for changed in found["test"][1:]]
    cells = [" ".join(f"{value:.3f}" for value in scores(sick, clean, threshold))]
    cells += [" ".join(f"{value:.3f}" for value in scores(is_sick, foreign, threshold))]
    for rows in (alone[: len(BATTERY)], alone[len(BATTERY) :], both):
        cells += [f"{np.mean(values):.3f} · {np.min(values):.3f}" for values in zip(*rows, strict=True)]
    worst = LOOKS[int(np.argmin([auroc for auroc, *_ in alone]))].name
    return [name, *cells, worst]


def main(data: Path, out: Path, names: list[str]) -> None:
    """Train what is not there yet and print the table."""
    out.mkdir(parents=True, exist_ok=True)
    films = protocol(data, out)
    ways = [f"{what} {score}" for what in ("NORMAL", "scanners", "both") for score in ("AUROC", "spec", "BA")]
    head = ["candidate", "as they are", "NORMAL2", *ways, "worst by"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for name in names:
        print(f"| {' | '.join(row(name, films, out))} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
