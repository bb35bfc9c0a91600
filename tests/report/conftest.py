"""Run folders as the training command leaves them, with made-up predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from tests.schemas import valid

from plainfilm.config import TrainConfig
from plainfilm.evaluation.predictions import read_predictions
from plainfilm.evaluation.scores import scores
from plainfilm.report import figures
from plainfilm.storage.files import write_json, write_text
from plainfilm.storage.tables import write_csv

TITLES = {"vgg": "CNN", "vgg-bn": "CNN + BN", "vgg16-lr": "VGG16 features + logistic regression"}
STAMPS = {"paper": "validation scores; split by film, patients shared", "grouped": "patients separate"}
HISTORY = ("epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds")


def layer(name: str, kind: str, shape: Sequence[int], parameters: int = 0, detail: str = "") -> dict[str, Any]:
    return {"name": name, "kind": kind, "shape": list(shape), "parameters": parameters, "detail": detail}


def layers(classes: int = 2) -> list[dict[str, Any]]:
    """A network with every kind of layer the paper names."""
    return [
        layer("features.0", "Conv2d", (8, 16, 16), 224, "3×3"),
        layer("features.1", "ReLU", (8, 16, 16)),
        layer("features.2", "BatchNorm2d", (8, 16, 16), 16),
        layer("features.3", "MaxPool2d", (8, 8, 8), 0, "2×2"),
        layer("features.4", "Dropout", (8, 8, 8), 0, "p = 0.25"),
        layer("features.5", "Flatten", (512,)),
        layer("head.0", "Linear", (classes,), 512 * classes + classes),
    ]


def config(model: str, counts: dict[str, int], films: dict[str, int], split: str, synthetic: bool) -> dict[str, Any]:
    return {
        "plainfilm": "0.1.0",
        "data": "some/where/chest_xray",
        "data_hash": "c0ffee",
        "synthetic": synthetic,
        "protocol": STAMPS[split],
        "crossing": {"patients": 7 if split == "paper" else 0, "contents": 0},
        "films": films,
        "classes": counts,
        "settings": asdict(TrainConfig(model=model, split=split)),
        "preprocess": {"size": 16, "resize": "crop", "channels": 3, "scaling": "film"},
        "class_weights": {name: max(counts.values()) / count for name, count in counts.items()},
        "seed": 0,
        "device": "cpu",
        "threads": 2,
        "command": "paper some/where/chest_xray",
        "versions": {"numpy": "2.4"},
        "python": "3.11",
        "platform": "Linux",
    }


def make(
    folder: Path,
    model: str = "vgg",
    *,
    films: int = 120,
    classes: Sequence[str] = ("NORMAL", "PNEUMONIA"),
    certainty: float = 1.5,
    dead: bool = False,
    synthetic: bool = False,
    split: str = "paper",
    parts: Sequence[str] = ("train", "val"),
    epochs: int = 3,
    path: str = "{label}/film-{i}.jpeg",
    seed: int = 0,
    temperature: float = 1.0,
    refer: tuple[float, float] | None = None,
    openings: int | None = None,
) -> Path:
    """Write a run; ``certainty``: how far apart the classes are; ``dead``: the last class for every film."""
    rng = np.random.default_rng(seed)
    truth = np.arange(films) % len(classes)
    logits = rng.normal(0, 1, (films, len(classes))) + certainty * np.eye(len(classes))[truth]
    logits = np.tile(np.arange(len(classes)), (films, 1)).astype(float) if dead else logits
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    part = [parts[(i // len(classes)) % len(parts)] for i in range(films)]
    rows = [
        (path.format(label=classes[k], i=i), part[i], classes[k], *p, f"patient {i}")
        for i, (k, p) in enumerate(zip(truth, shares.tolist(), strict=True))
    ]
    write_csv(folder / "predictions.csv", ["path", "part", "label", *(f"p_{c}" for c in classes), "patient"], rows)
    counts = {name: int((truth == k).sum()) for k, name in enumerate(classes)}
    number = {name: part.count(name) for name in ("train", "val", "test")}
    write_json(folder / "config.json", valid("config", config(model, counts, number, split, synthetic)))
    write_csv(folder / "quarantine.csv", ["path", "reason"], [])
    p = read_predictions(folder / "predictions.csv").by(positive=classes[-1])
    found = {
        name: {key: score.as_dict() for key, score in scores(p.part(name), np.random.default_rng(0), 50).items()}
        for name in parts
    }
    opened = {} if openings is None else {"test_openings": openings}
    write_json(folder / "metrics.json", valid("metrics", {"protocol": STAMPS[split], **opened, **found}))
    frozen = model.endswith("-lr")
    if not frozen:
        history = [[e + 1, 0.05, 0.7 - 0.05 * e, 0.5 + 0.1 * e, 0.6, 0.7, 1.0] for e in range(epochs)]
        write_csv(folder / "history.csv", HISTORY, history)
    search = {"C": 1e-5, "scores": {1e-6: 0.9, 1e-5: 0.95, 1e-4: 0.94}, "iterations": 40, "optimality": 1e-6}
    net = layers(len(classes))
    total = sum(x["parameters"] for x in net)
    about = {
        "model": model,
        "title": TITLES.get(model, model),
        "parameters": total,
        "trained_parameters": total,
        "flops": 3.2e8,
        "input": [3, 16, 16],
        "layers": net,
        "positive": classes[-1],
        "threshold": 0.5,
        "temperature": temperature,
        "offsets": None,
        "refer": refer,
        "seconds": {"training": 100.0, "features": 20.0 if frozen else 0.0},
        "search": search if frozen else None,
        "weights": "file some.h5" if frozen else None,
    }
    write_json(folder / "model.json", valid("model", about))
    return folder


def share(value: float | None, width: float = 0.02) -> dict[str, float | None]:
    """A score as JSON holds it; None is one that films can't tell."""
    return {"value": value, "low": value and value - width, "high": value and value + width}


def probes(red: bool = False) -> dict[str, Any]:
    """probes.json as the probing command writes it, cut short."""
    groups = [("kind", "bacteria", 0.91, "all negative films"), ("kind", "virus", 0.83, "all negative films")]
    scored = ("accuracy", "sensitivity", "specificity", "balanced_accuracy", "auroc")
    subgroups = [
        {"grouping": name, "group": group, "films": 40, "patients": 30, "against": against}
        | {score: share(None if score == "specificity" else value) for score in scored}
        for name, group, value, against in groups
    ]
    changes = [("blur, 1% of the side", 0.01), ("inverted", 0.4)]
    robustness = [
        {"name": name, "kind": name.split(",")[0], "severity": ""}
        | {score: share(value) for score in ("flipped", "auroc", "auroc_change", "balanced_accuracy")}
        for name, value in changes
    ]
    rows = [("model", "untouched", 0.97), ("model", "lungs covered", 0.6), ("baseline", "borders alone", 0.55)]
    covered = [
        {"kind": kind, "name": name, "auroc": share(value), "p": None}
        | {key: None if name == "untouched" or kind == "baseline" else share(-0.1) for key in ("change", "flipped")}
        for kind, name, value in rows
    ]
    document = {
        "films": 80,
        "part": "test",
        "subgroups": subgroups,
        "worst_subgroup": {**subgroups[1], "sentence": "Worst of 2 subgroups: kind, virus."},
        "robustness": robustness,
        "worst_corruption": {**robustness[1], "sentence": "Most labels flip by: inverted."},
        "probes": covered,
        "red_lines": ["Covering the borders costs .1 AUROC."] if red else [],
    }
    return valid("probes", document)


@pytest.fixture
def make_probes() -> Callable[..., dict[str, Any]]:
    return probes


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    return make


@pytest.fixture
def words_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not rendered, which is most of a report's time: for tests of what a page says."""

    def save(figure: Figure, folder: Path, name: str) -> None:
        write_text(folder / f"{name}.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>")

    monkeypatch.setattr(figures, "save", save)


@pytest.fixture
def network_layers() -> list[dict[str, Any]]:
    return layers()
