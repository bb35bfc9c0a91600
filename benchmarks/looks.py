"""How near is the AUROC that a report says is left with looks exchanged? Two sites whose truth is known.

    python benchmarks/looks.py chest_xray_224/train 0,1,2      or demo:1600, whose own borders say nothing

Kermany's films, split by patient (seed 0), at 32 pixels, get a shortcut: all of a film, or its outer three pixels,
lighter by GAIN grey levels times a number drawn about 0 for normal films and about ``strength`` for the others. 600
films train `vgg` for 12 epochs, 150 of each class are its test. At the second site the same test films have numbers
drawn without regard to the class, or the other way round. Prints, for each: AUROC at the first site, and the AUROC
there with the looks of its films exchanged (``evaluation.exchange``) · that found at the second site; at last by how
much the second is the higher.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from groups import PREPROCESS, RECIPE, SIDE, TRAINED, pixels_of
from plainfilm.config import TrainConfig
from plainfilm.evaluation.exchange import lenders, with_look
from plainfilm.image.store import Rows
from plainfilm.models.vgg import initialise
from plainfilm.training.feed import Material
from plainfilm.training.loop import train_network

GAIN, FRAME, TESTED = 12.0, 3, 150  # grey levels, pixels, films of each class
STRENGTHS = (0.5, 1.0, 1.5, 2.0, 3.0)


def lightened(films: np.ndarray, numbers: np.ndarray, kind: str) -> np.ndarray:
    """Return films (N, S, S) with all of each, or its frame, lighter by GAIN times its number (N,)."""
    where = np.ones((SIDE, SIDE), bool)
    where[FRAME:-FRAME, FRAME:-FRAME] = kind == "exposure"
    return np.clip(films + GAIN * numbers[:, None, None] * where, 0, 255).astype(np.uint8)


def trained(pixels: np.ndarray, labels: np.ndarray, seed: int) -> torch.nn.Module:
    """Return the network that learns from the first TRAINED films."""
    counts = np.bincount(labels[:TRAINED])
    rows, train = Rows(pixels, np.arange(len(pixels)), {}), np.arange(TRAINED)
    val = np.arange(TRAINED, TRAINED + 24)  # only watched
    material = Material(rows, labels, train, val, (counts.max() / counts).astype(np.float32))
    network = RECIPE.build(2, PREPROCESS)
    initialise(network, torch.Generator().manual_seed(seed))
    config = TrainConfig(model="vgg", size=SIDE, epochs=12, seed=seed, threads=1, compile="off")
    with tempfile.TemporaryDirectory() as folder:
        train_network(network, PREPROCESS, material, config, Path(folder), resume=False)
    return network.eval()


def area(network: torch.nn.Module, films: np.ndarray, truth: np.ndarray) -> float:
    """Return the network's AUROC on films (N, S, S)."""
    with torch.inference_mode():
        seen = PREPROCESS.tensor(torch.from_numpy(films)).contiguous(memory_format=torch.channels_last)
        return float(roc_auc_score(truth, network(seen).softmax(1)[:, 1].numpy()))


def row(
    films: dict[tuple[str, int], np.ndarray], kind: str, strength: float, seed: int
) -> tuple[list[str], list[float]]:
    """Return what is printed of one training, and what was found less what was expected, of both second sites."""
    rng = np.random.default_rng([seed, round(10 * strength)])
    mixed = {key: pixels[rng.permutation(len(pixels))] for key, pixels in films.items()}
    labels = np.concatenate([rng.permutation(np.arange(TRAINED) % 2), np.arange(2 * TESTED) % 2])
    plain, luck = np.empty((len(labels), SIDE, SIDE), np.uint8), rng.standard_normal((3, len(labels)))
    for part, some in (("train", slice(None, TRAINED)), ("test", slice(TRAINED, None))):
        for label in (0, 1):
            there = labels[some] == label
            plain[some][there] = mixed[part, label][: there.sum()]
    truth, middle, test = labels == 1, strength / 2, slice(TRAINED, None)
    here = lightened(plain, luck[0] + strength * truth - middle, kind)
    network = trained(here, labels, seed)
    own = area(network, here[test], truth[test])
    lent = lenders(labels[test], seed)
    looked = (
        np.stack([with_look(*pair, "stretch") for pair in zip(here[test], here[test][who], strict=True)])
        for who in lent
    )
    expected = [area(network, pixels, truth[test]) for pixels in looked]
    numbers = (luck[1], luck[2] + strength * ~truth - middle)
    found = [area(network, lightened(plain, each, kind)[test], truth[test]) for each in numbers]
    pairs = [f"{e:.3f} · {f:.3f}" for e, f in zip(expected, found, strict=True)]
    return [kind, f"{strength:g}", str(seed), f"{own:.3f}", *pairs], list(np.subtract(found, expected))


def main(data: str, seeds: str) -> None:
    """Print the table and, of each kind of second site, the errors."""
    torch.set_num_threads(1)
    films, errors = pixels_of(data), []
    head = ["shortcut", "strength", "seed", "AUROC", "unrelated", "the other way round"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for kind in ("exposure", "borders"):
        for strength in STRENGTHS:
            for seed in map(int, seeds.split(",")):
                cells, off = row(films, kind, strength, seed)
                errors.append(off)
                print(f"| {' | '.join(cells)} |", flush=True)
    for name, off in zip(("unrelated", "the other way round"), np.transpose(errors), strict=True):
        low, middle, high = np.quantile(off, (0.05, 0.5, 0.95))
        print(f"{name}: found less expected: {middle:+.3f} in the middle, 90 % within {low:+.3f} and {high:+.3f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
