"""Cells hidden at random cost a masked training next to nothing; hidden ones are never learnt as negative."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from plainfilm.evaluation.findings import FindingsDecision, FindingsPredictions
from plainfilm.runs.findings import measure_findings
from plainfilm.training.task import Findings, finding_weights

NAMES = ("Cardiomegaly", "Consolidation", "Effusion", "Nodule", "Pneumothorax")
SHARES = np.array([0.3, 0.25, 0.35, 0.15, 0.08])
FEATURES = 40


def films(count, seed):
    """Features (N, D) that show five findings, each along a direction of its own, and the truth (N, 5)."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((count, 5)) < SHARES).astype(np.int8)
    shown = np.random.default_rng(0).normal(0, 1, (5, FEATURES)) / np.sqrt(FEATURES)
    x = (truth - SHARES) @ shown * 2.5 + rng.normal(0, 1, (count, FEATURES))
    return x, truth


def hide(truth, chances, seed=9):
    """Hide cells with ``chances`` (of a negative, of a positive one)."""
    drawn = np.random.default_rng(seed).random(truth.shape)
    return np.where(drawn < np.array(chances)[truth], np.int8(-2), truth)


def trained(x, cells, steps=400):
    """Train one linear layer by the loss of a run, with its weights of positive cells; return it."""
    weights = finding_weights("balanced", cells, NAMES)
    task = Findings(torch.tensor([weights[name] for name in NAMES]), float((cells >= 0).sum(1).mean()))
    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.Linear(FEATURES, 5)
    with torch.no_grad():
        layer.weight.zero_(), layer.bias.zero_()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    inputs, targets = torch.tensor(x, dtype=torch.float32), torch.tensor(cells, dtype=torch.float32)
    for _ in range(steps):
        rows = torch.randint(len(x), (512,), generator=generator)
        optimizer.zero_grad()
        task.loss(layer(inputs[rows]), targets[rows], 0.0, 512).backward()
        optimizer.step()
    return layer


def chances_of(layer, x):
    with torch.no_grad():
        return expit(layer(torch.tensor(x, dtype=torch.float32)).double().numpy())


def areas(layer, x, truth):
    p = chances_of(layer, x)
    return np.array([roc_auc_score(truth[:, k], p[:, k]) for k in range(5)])


def test_masked_training_recovers_what_full_labels_give():
    x, truth = films(6000, 1)
    new, new_truth = films(20000, 2)
    full = areas(trained(x, truth), new, new_truth)
    masked = areas(trained(x, hide(truth, (0.3, 0.3))), new, new_truth)
    as_negative = areas(trained(x, np.maximum(hide(truth, (0.05, 0.6)), 0)), new, new_truth)
    assert full.min() > 0.7
    assert np.abs(full - masked).max() < 0.01
    assert (full - as_negative).mean() > (full - masked).mean()


def test_cells_hidden_more_often_when_negative_flatter_prevalence_and_ppv_and_the_report_says_by_how_much():
    """30 % of cells hidden, of negatives twice as often as of positives: the AUROC of the trained model holds, PPV on
    the known films does not, and metrics.json says both figures."""
    x, truth = films(6000, 1)
    new, new_truth = films(12000, 2)
    hidden = hide(truth, (0.36, 0.12))
    assert (hidden < 0).mean() == pytest.approx(0.3, abs=0.02)
    layer = trained(x, hidden)
    assert np.abs(areas(trained(x, truth), new, new_truth) - areas(layer, new, new_truth)).max() < 0.015
    known = hide(new_truth, (0.36, 0.12), seed=11)
    names = [f"f{k}" for k in range(len(new))]
    p = FindingsPredictions(
        names,
        np.full(len(new), "test"),
        known,
        chances_of(layer, new),
        FindingsDecision.of_names(NAMES),
        np.array(names),
    )
    found = measure_findings(p, "simulated", 0)["test"]["findings"]
    for k, name in enumerate(NAMES):
        about, called = found[name]["hidden"], p.chances[:, k] >= 0.5
        share, ppv = new_truth[:, k].mean(), new_truth[called, k].mean()
        assert about["share_known"]["value"] > share and not about["at_random"]
        assert about["prevalence"]["value"] == pytest.approx(share, abs=0.025)
        assert about["ppv"]["all"]["value"] == pytest.approx(ppv, abs=0.04)
        assert about["ppv"]["known"] - ppv > 0.02
