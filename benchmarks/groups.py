"""Does group DRO hold better than drawing groups alike, where two sites have mostly one class each?

    python benchmarks/groups.py chest_xray_224/train 0,1,2 plain groups dro-0.01 dro-0.1

Kermany's films, split by patient (seed 0), at 32 pixels, each with a bright square in one of two corners: its site. 600
films train; 95 % of one site's have pneumonia, 5 % of the other's. 150 test films of each class at each site are judged
at one half. Prints, for each seed and way: accuracy of the worst of the four groups, of all; that of the worst
group at the best threshold there is; AUROC of all; the lower AUROC of the two sites; the groups' weights at the end.

``plain``: class weights. ``groups``: each class of each site drawn alike (``--sample-by site,class``). ``dro-ETA``: the
same, and each group's mean loss times a weight that grows by exp(ETA loss): Sagawa et al. 2020, arXiv 1911.08731,
algorithm 1. The network is `vgg`, 12 epochs.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score

from plainfilm.config import TrainConfig
from plainfilm.data.films import Film, FilmError
from plainfilm.data.sources import load
from plainfilm.data.split import split
from plainfilm.image.decode import decode
from plainfilm.image.store import Rows
from plainfilm.models.vgg import initialise
from plainfilm.models.zoo import recipe
from plainfilm.training.feed import Material
from plainfilm.training.loop import train_network

SIDE, TRAINED, TESTED, RARE = 32, 600, 150, 0.05  # pixels; films; of each group; share of one site's films
CLASSES, GROUPS = ("NORMAL", "PNEUMONIA"), 4  # a group is site * 2 + class
RECIPE = recipe("vgg")
PREPROCESS = RECIPE.preprocess_for(TrainConfig(model="vgg", size=SIDE))


@dataclass(frozen=True)
class ByGroup:
    """A task of ``training.task``'s kind whose targets are groups: with ``eta`` group DRO, else cross-entropy."""

    weights: torch.Tensor  # (2,) of the classes
    shares: torch.Tensor  # (GROUPS,) float32: the groups' weights, which steps move
    eta: float = 0.0

    def to(self, device: torch.device) -> ByGroup:
        """Everything is on the processor."""
        return self

    def loss(self, logits: torch.Tensor, groups: torch.Tensor, smoothing: float, films: int) -> torch.Tensor:
        """Return the loss of a batch."""
        each = F.cross_entropy(logits, groups % 2, reduction="none", label_smoothing=smoothing)
        if not self.eta:
            return (each * self.weights[groups % 2]).sum() / films
        counts = torch.bincount(groups, minlength=GROUPS).float()
        means = torch.zeros(GROUPS).index_add(0, groups, each) / counts.clamp(min=1)
        with torch.no_grad():
            self.shares.mul_(torch.exp(self.eta * means))
            self.shares.div_(self.shares.sum())
        return (self.shares * means).sum()

    def counted(self, logits: torch.Tensor, groups: torch.Tensor) -> tuple[float, float]:
        """Return the sum of the losses and how many are labelled right."""
        right = (logits.argmax(1) == groups % 2).sum()
        return float(F.cross_entropy(logits, groups % 2, reduction="sum")), float(right)


def pixels_of(data: str) -> dict[tuple[str, int], np.ndarray]:
    """Return (N, SIDE, SIDE) uint8 of some films of (part, class)."""
    films, rng, found = split(load(data), "grouped", 0), np.random.default_rng(0), {}
    for part, most in (("train", 800), ("test", 300)):
        for label, name in enumerate(CLASSES):
            of = [film for film in films if film.part == part and film.label == name]
            drawn = (pixels for i in rng.permutation(len(of)) if (pixels := _pixels(of[i])) is not None)
            found[part, label] = np.stack([*islice(drawn, most)])
    return found


def _pixels(film: Film) -> np.ndarray | None:
    """Return (SIDE, SIDE) uint8; None of a film that can't be read, as some of the demo set can't."""
    try:
        return PREPROCESS.pixels(decode(film.read()))
    except FilmError:
        return None


def at_sites(films: dict[int, np.ndarray], counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels of ``counts`` films of each group, marked by their sites, and their groups (N,)."""
    marked, taken = [], [0, 0]
    for group, count in enumerate(counts):
        site, label = divmod(group, 2)
        pixels = films[label][taken[label] : taken[label] + count].copy()
        taken[label] += count
        left = 1 if site == 0 else SIDE - 6
        pixels[:, 1:6, left : left + 5] = 230
        marked.append(pixels)
    return np.concatenate(marked), np.repeat(np.arange(GROUPS), counts)


def trained(way: str, pixels: np.ndarray, groups: np.ndarray, seed: int) -> tuple[torch.nn.Module, torch.Tensor]:
    """Return the network that ``way`` trains on the first TRAINED films, and the groups' weights at the end."""
    name, _, eta = way.partition("-")
    counts = np.bincount(groups[:TRAINED] % 2)
    weights = torch.tensor(counts.max() / counts if name == "plain" else [1, 1], dtype=torch.float32)
    task = ByGroup(weights, torch.full((GROUPS,), 1 / GROUPS), float(eta or 0))
    rows, train = Rows(pixels, np.arange(len(pixels)), {}), np.arange(TRAINED)
    val = np.arange(TRAINED, TRAINED + 24)  # only watched
    drawn = None if name == "plain" else groups
    material = Material(rows, groups, train, val, np.ones(2), (), drawn, task)  # type: ignore[arg-type]
    network = RECIPE.build(2, PREPROCESS)
    initialise(network, torch.Generator().manual_seed(seed))
    config = TrainConfig(model="vgg", size=SIDE, epochs=12, seed=seed, threads=1, compile="off")
    with tempfile.TemporaryDirectory() as folder:
        train_network(network, PREPROCESS, material, config, Path(folder), resume=False)
    return network.eval(), task.shares


def row(way: str, films: dict[tuple[str, int], np.ndarray], seed: int) -> list[str]:
    """Return what is printed of one training."""
    rng = np.random.default_rng(seed)
    mixed = {key: pixels[rng.permutation(len(pixels))] for key, pixels in films.items()}
    rare = round(TRAINED / 2 * RARE)
    most = TRAINED // 2 - rare
    x, g = at_sites({label: mixed["train", label] for label in (0, 1)}, [rare, most, most, rare])
    tests, of = at_sites({label: mixed["test", label] for label in (0, 1)}, [TESTED] * GROUPS)
    network, shares = trained(way, np.concatenate([x, tests]), np.concatenate([g, of]), seed)
    with torch.inference_mode():
        seen = PREPROCESS.tensor(torch.from_numpy(tests)).contiguous(memory_format=torch.channels_last)
        score = network(seen).softmax(1)[:, 1].numpy()
    truth = of % 2 == 1

    def worst(threshold: float) -> float:
        return min(float(((score >= threshold) == truth)[of == group].mean()) for group in range(GROUPS))

    best = max(worst(float(threshold)) for threshold in np.quantile(score, np.linspace(0, 1, 200)))
    sites = [roc_auc_score(truth[of // 2 == site], score[of // 2 == site]) for site in (0, 1)]
    values = [worst(0.5), float(((score >= 0.5) == truth).mean()), best, roc_auc_score(truth, score), min(sites)]
    return [str(seed), way, *(f"{value:.3f}" for value in values), " ".join(f"{share:.2f}" for share in shares)]


def main(data: str, seeds: str, ways: list[str]) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    films = pixels_of(data)
    head = ["seed", "way", "worst group", "all", "worst at its best threshold", "AUROC", "worst site's", "weights"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for seed in seeds.split(","):
        for way in ways:
            print(f"| {' | '.join(row(way, films, int(seed)))} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
