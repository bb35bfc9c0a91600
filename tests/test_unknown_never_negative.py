"""Unknown is never negative, over random tables: in loss, weights, heads, parts, audit, adaptation, search, scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from plainfilm.data.films import Film, Films, Table
from plainfilm.data.findings import as_question
from plainfilm.data.split import split
from plainfilm.evaluation.findings import FindingsDecision, FindingsPredictions, doubtful, scored
from plainfilm.search.objectives import judged
from plainfilm.search.trying import fit_heads
from plainfilm.training.task import Findings, finding_weights

NAMES = ("A", "B", "C")
CELLS = (1, 0, -1, -2)  # positive, negative, uncertain, unknown
EXAMPLES = settings(max_examples=25, deadline=None)


def table(seed, films=60, known=0.6):
    """Return (N, 3) cells; every finding has three films of either answer."""
    rng = np.random.default_rng(seed)
    rest = (1 - known) / 2
    cells = rng.choice(CELLS, (films, len(NAMES)), p=(known / 2, known / 2, rest, rest)).astype(np.int8)
    cells[:3], cells[3:6] = 1, 0
    return cells


def films_of(cells, uncertain="ignore"):
    rows = (
        Film(f"f{k:03d}", "", None, f"p{k // 2}", sha256=f"s{k}", findings=dict(zip(NAMES, row, strict=True)))
        for k, row in enumerate(cells.tolist())
    )
    return Films(Table(rows), "films", uncertain=uncertain)


def predictions(cells, seed):
    rng = np.random.default_rng(seed)
    names = [f"f{k:03d}" for k in range(len(cells))]
    chances = rng.uniform(0.01, 0.99, cells.shape)
    decision = FindingsDecision.of_names(NAMES)
    return FindingsPredictions(names, np.full(len(cells), "test"), cells, chances, decision, np.array(names))


@EXAMPLES
@given(st.integers(0, 10**6), st.floats(0.2, 0.9))
def test_in_the_loss_and_what_is_counted(seed, known):
    cells = table(seed, known=known)
    weights = torch.tensor(list(finding_weights("balanced", cells, NAMES).values()))
    task = Findings(weights, float((cells >= 0).sum(1).mean()))
    rng = np.random.default_rng(seed)
    logits = torch.tensor(rng.normal(0, 3, cells.shape), requires_grad=True)
    targets = torch.tensor(cells, dtype=torch.float32)
    loss = task.loss(logits, targets, 0.1, len(cells))
    loss.backward()
    assert (logits.grad[targets < 0] == 0).all() and (logits.grad[targets >= 0] != 0).all()
    other = torch.where(targets < 0, torch.tensor(rng.normal(0, 50, cells.shape)), logits.detach())
    assert float(task.loss(other, targets, 0.1, len(cells))) == pytest.approx(float(loss.detach()))
    assert task.counted(other, targets) == pytest.approx(task.counted(logits.detach(), targets))


@EXAMPLES
@given(st.integers(0, 10**6))
def test_in_the_weights(seed):
    cells = table(seed)
    for k, (name, weight) in enumerate(finding_weights("balanced", cells, NAMES).items()):
        positive, negative = ((cells[:, k] == value).sum() for value in (1, 0))
        assert name == NAMES[k] and weight == pytest.approx(negative / positive)


@EXAMPLES
@given(st.integers(0, 10**6))
def test_in_questions_of_the_audit_and_of_one_finding(seed):
    cells = table(seed)
    films = films_of(cells)
    for k, name in enumerate(NAMES):
        asked, known = as_question(films, name)
        assert known.tolist() == np.flatnonzero(cells[:, k] >= 0).tolist()
        assert [label == name for label in asked.films.labels] == (cells[known, k] == 1).tolist()
        assert asked.classes == (name, f"no {name}")


@EXAMPLES
@given(st.integers(0, 10**6))
def test_in_parts_and_folds(seed):
    """An unknown cell weighs nothing when films are dealt out: known negatives are shared by their own number."""
    cells = table(seed, films=240, known=0.5)
    done = split(films_of(cells), seed=seed)
    train = done.where("train")
    for value in (1, 0):
        share = (done.truth[train] == value).sum(0) / (cells == value).sum(0)
        assert np.abs(share - 0.65).max() < 0.1


@EXAMPLES
@given(st.integers(0, 10**6))
def test_in_scores_objectives_and_doubtful_labels(seed):
    cells = table(seed)
    p = predictions(cells, seed)
    filled = predictions(cells, seed)
    filled.chances[cells < 0] = np.random.default_rng(1).uniform(0.01, 0.99, int((cells < 0).sum()))
    a, b = (scored(one, np.random.default_rng(0)) for one in (p, filled))
    assert a == b  # what is said of unknown cells changes no score
    assert judged(p, ["auroc", "worst_brier"]) == judged(filled, ["auroc", "worst_brier"])
    listed, count = doubtful(p, 10**6)
    assert len(listed) == count and all(cells[int(row["path"][1:]), NAMES.index(row["finding"])] >= 0 for row in listed)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_in_heads(seed):
    """A logistic regression of a finding is that of its known films alone."""
    cells = table(seed, films=80)
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1, (80, 4)) + 0.7 * (cells == 1) @ rng.normal(0, 1, (3, 4))
    train, val = np.arange(60), np.arange(60, 80)
    assume(all(np.bincount(cells[:60, k][cells[:60, k] >= 0], minlength=2).min() > 4 for k in range(3)))
    groups = np.array([f"p{k}" for k in range(80)])
    uncertain = np.where(cells == -1, np.int8(-2), cells)
    one, two = (fit_heads(z, truth, train, val, groups, [1.0], 3, 0).probabilities for truth in (cells, uncertain))
    assert one == pytest.approx(two)
    known = train[cells[:60, 0] >= 0]
    alone = fit_heads(z, cells[:, :1], known, val, groups, [1.0], 3, 0).probabilities
    assert alone[:, 0] == pytest.approx(one[:, 0])
