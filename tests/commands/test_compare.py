from __future__ import annotations

import json

import numpy as np
import pytest

from plainfilm.cli import main
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.predictions import Predictions, write_predictions


def predictions(path, sharpness: float, count: int = 400, part: str = "test", seed: int = 0, cuts=None):
    labels = np.arange(count) % 2
    noise = np.random.default_rng(seed).normal(0, 1, count)
    p = 1 / (1 + np.exp(-(sharpness * (2 * labels - 1) + noise)))
    names = [f"{i}.png" for i in range(count)]
    table = Predictions(
        names,
        np.full(count, part),
        labels,
        np.stack([1 - p, p], 1),
        Decision(("NORMAL", "SICK"), "SICK"),
        np.array(names),
    )
    write_predictions(path, table)
    if cuts:  # as the pooled file of folds has it
        head, *rows = path.read_text().splitlines()
        rows = [f"{row},{cuts[i % len(cuts)]}" for i, row in enumerate(rows)]
        path.write_text("\n".join([f"{head},threshold", *rows, ""]))
    return str(path)


def test_a_clearly_better_model_and_two_identical_ones(tmp_path, capsys):
    good, poor = predictions(tmp_path / "good.csv", 2.0), predictions(tmp_path / "poor.csv", 0.3, seed=1)
    assert main(["compare", good, poor, "--out", str(tmp_path / "c"), "--quiet"]) == 0
    assert "good is better than poor (accuracy: difference" in capsys.readouterr().out
    assert json.loads((tmp_path / "c" / "comparison.json").read_text())["pairs"][0]["accuracy"]["p_holm"] < 0.05
    copy = predictions(tmp_path / "copy.csv", 2.0)
    assert main(["compare", good, copy, "--json"]) == 0
    [pair] = json.loads(capsys.readouterr().out)["pairs"]
    assert "the two are identical on these films" in pair["accuracy"]["sentence"]


@pytest.mark.parametrize(
    ("other", "said"),
    [({"count": 398}, "films"), ({"part": "train"}, "No film belongs to the part 'val'")],
)
def test_what_cannot_be_compared(tmp_path, capsys, other, said):
    first, second = predictions(tmp_path / "a.csv", 1.0), predictions(tmp_path / "b.csv", 1.0, **other)
    assert main(["compare", first, second]) == 2
    assert said in capsys.readouterr().err
    assert main(["compare", first]) == 2
    assert main(["compare", first, first]) == 2
    assert "named twice" in capsys.readouterr().err


def test_folds_are_said_to_decide_by_their_own_thresholds(tmp_path, capsys):
    folds, one = predictions(tmp_path / "folds.csv", 1.0, cuts=(0.41, 0.563)), predictions(tmp_path / "one.csv", 1.0)
    assert main(["compare", folds, one]) == 0
    said = capsys.readouterr().out
    assert "folds decides by each fold's own threshold (0.410 to 0.563); predictions as given" in said
    assert "one decides by the threshold 0.500; predictions as given" in said
    assert main(["compare", folds, one, "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["models"]
    assert first["threshold"] is None and "0.410 to 0.563" in first["decided_by"] and second["threshold"] == 0.5
    assert main(["evaluate", folds, "--threshold", "0.6"]) == 2
    assert "it has a threshold for each film; leave it out" in capsys.readouterr().err
