"""A model at chance, or worse, is called so before any other figure; a better one is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plainfilm.commands.evaluate import evaluate_file
from plainfilm.evaluation.areas import auc_interval
from plainfilm.evaluation.chance import chance_line, chance_lines, worse_than_chance


def area(value: float | None, low: float | None, high: float | None) -> dict[str, object]:
    return {"auroc": {"value": value, "low": low, "high": high}}


def test_the_words():
    swapped = area(0.209, 0.091, 0.411)
    said = "Worse than chance on the test films (AUROC 0.209, 95 % interval 0.091 to 0.411): are the classes swapped?"
    assert chance_lines({"test": swapped, "val": area(0.9, 0.8, 0.95)}) == [said] and worse_than_chance(swapped)
    level = chance_lines({"val": area(0.54, 0.42, 0.66), "train": swapped})
    assert level == ["Not shown to be better than chance on the val films (AUROC 0.540, 95 % interval 0.420 to 0.660)."]
    for better in (area(0.9, 0.8, 0.95), area(None, None, None), area(float("nan"), float("nan"), float("nan")), {}):
        assert chance_lines({"test": better}) == [] and not worse_than_chance(better)
    by_patient = area(0.6, 0.52, 0.68) | {"auroc_by_patient": {"value": 0.6, "low": 0.45, "high": 0.75}}
    assert chance_line(by_patient, "x").startswith(
        "Not shown to be better than chance on x (AUROC 0.600, 95 % interval 0.450"
    )
    assert chance_lines({"protocol": "x"}) == []


@pytest.mark.parametrize(("shift", "least", "most"), [(0.0, 0.95, 1.0), (1.5, 0.0, 0.05), (-1.5, 0.95, 1.0)])
def test_how_often_it_is_said(shift, least, most):
    """1,000 sets of 100 films a class from known distributions: at chance, well above (AUROC .86), well below."""
    rng = np.random.default_rng(0)
    positive = np.repeat([False, True], 100)
    named = []
    for _ in range(1_000):
        found = auc_interval(positive, rng.normal(size=200) + shift * positive).as_dict()
        named.append(bool(chance_line({"auroc": found}, "x")))
        if shift < 0:
            assert worse_than_chance({"auroc": found})
    assert least <= np.mean(named) <= most


def test_swapped_classes_of_a_file_are_a_red_line(tmp_path: Path):
    rng = np.random.default_rng(1)
    rows = []
    for i in range(60):
        truth = i % 2
        p = float(np.clip(0.5 + 0.25 * (truth - 0.5) + rng.normal(0, 0.1), 0.01, 0.99))
        rows.append(f"{i},{'ba'[truth]},{1 - p:.4f},{p:.4f}\n")  # labels the wrong way round
    (tmp_path / "p.csv").write_text("path,label,p_a,p_b\n" + "".join(rows))
    metrics = evaluate_file(tmp_path / "p.csv", out=tmp_path / "out")
    assert metrics["test"]["auroc"]["high"] < 0.5
    assert len(metrics["red_lines"]) == 1 and "are the classes swapped?" in metrics["red_lines"][0]
