"""Unknown is never negative, over random tables: from the table to the loss, through every command that scores."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from plainfilm.data.films import Film, Films, Table
from plainfilm.data.findings import as_question
from plainfilm.data.sources import load
from plainfilm.data.split import folds, split
from plainfilm.errors import InputError
from plainfilm.evaluation.adapting_findings import adapt_findings, adapt_findings_by_hills
from plainfilm.evaluation.compare_findings import compare_findings
from plainfilm.evaluation.findings import (
    FindingsDecision,
    FindingsPredictions,
    chosen,
    pooled_findings,
    read_findings,
    write_findings,
)
from plainfilm.evaluation.operating import Rules, choose
from plainfilm.evaluation.scores_findings import doubtful, scored
from plainfilm.runs.findings import measure_findings
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


def with_other_answers(p, seed):
    """``p`` with other probabilities wherever the cell is not known."""
    chances = np.random.default_rng(seed + 1).uniform(0.01, 0.99, p.chances.shape)
    return replace(p, chances=np.where(p.truth < 0, chances, p.chances))


WORDS = {1: ("1", "1.0", "True"), 0: ("0", "0.0", "False"), -1: ("-1", "-1.0"), -2: ("", "nan", "NA")}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.sampled_from(["ignore", "positive", "negative"]))
def test_from_a_table_to_the_targets_of_the_training(tmp_path, seed, uncertain):
    """Whatever words a table has for not known; only a cell that says -1 may become an answer, and only if asked."""
    cells, rng = table(seed, films=24), np.random.default_rng(seed)
    rows = [["path", *NAMES]]
    for k, row in enumerate(cells.tolist()):
        (tmp_path / f"f{k:02d}.png").write_bytes(f"film {k}".encode())
        rows.append([f"f{k:02d}.png", *(str(rng.choice(WORDS[cell])) for cell in row)])
    with open(tmp_path / "films.csv", "w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    films = load(tmp_path / "films.csv", findings="all", uncertain=uncertain)
    truth = films.truth[np.argsort([film.path for film in films])]
    as_asked = {"ignore": cells < -2, "positive": cells == -1, "negative": cells == -1}[uncertain]
    assert ((truth < 0) == (cells < 0) & ~as_asked).all()
    assert (truth[cells >= 0] == cells[cells >= 0]).all()
    assert (truth[as_asked] == (uncertain == "positive")).all()


@EXAMPLES
@given(st.integers(0, 10**6))
def test_in_thresholds_and_temperatures(seed):
    """Those of a finding are of its known films alone."""
    p = predictions(table(seed, films=90), seed)

    def rule(some):
        return choose(some, "balanced", "share=0.05", True)

    assert chosen(p, rule).operating == chosen(with_other_answers(p, seed), rule).operating
    alone = p.of("A")
    assert chosen(p, rule).each[0].threshold == pytest.approx(rule(alone).threshold)


@EXAMPLES
@given(st.integers(0, 10**6))
def test_in_evaluate_through_its_table(tmp_path_factory, seed):
    """Written, read and scored, by subgroups too: empty cells are read as not known and change no figure."""
    p = predictions(table(seed, known=0.7), seed)
    sites = {"site": np.array(["north", "south"])[np.arange(len(p)) % 2]}
    found = []
    for one in (p, with_other_answers(p, seed)):
        place = tmp_path_factory.mktemp("said") / "predictions.csv"
        write_findings(place, one)
        again = read_findings(place)
        assert ((again.truth < 0) == (p.truth < 0)).all() and (again.truth == 0).sum() == (p.truth == 0).sum()
        metrics = measure_findings(again, "patients separate", 0, sites, "site")
        for about in metrics["test"]["findings"].values():
            about.pop("hidden", None)  # that one is about the unknown films
        found.append(metrics)
    assert found[0] == found[1]
    for k, about in enumerate(found[0]["test"]["findings"].values()):
        assert about["known"] == (p.truth[:, k] >= 0).sum() and about["positives"] == (p.truth[:, k] == 1).sum()
    assert all(row["films"] <= (p.truth >= 0).sum(0).max() for row in found[0]["by"]["rows"])


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6))
def test_in_compare(seed):
    a, b = (predictions(table(seed, known=0.7), seed + k) for k in (0, 1))
    pairs = [[("a", a), ("b", b)], [("a", with_other_answers(a, seed)), ("b", with_other_answers(b, seed + 9))]]
    first, second = (compare_findings(models, np.random.default_rng(0), draws=20) for models in pairs)
    assert first == second


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6))
def test_in_adapt_with_labels_and_without(seed):
    """A new threshold is that of the films that know the finding; without labels too, of the run's own films."""
    p = predictions(table(seed, films=200, known=0.7), seed)
    p.chances[:] = expit(1.5 * np.where(p.truth == 1, 1, -1) + logit(p.chances))  # it knows something
    rules, rng = Rules("balanced", "none"), np.random.default_rng
    other = with_other_answers(p, seed)
    one, two = (adapt_findings(some, p.decision, rules, rng(0), force=True) for some in (p, other))
    assert one[0].operating == two[0].operating and one[2]["findings"] == two[2]["findings"]
    for k, name in enumerate(NAMES):
        assert one[2]["findings"][name]["known"] == (p.truth[:, k] >= 0).sum()
    outcomes = []
    for own in (p, other):
        try:
            decision, about = adapt_findings_by_hills(p.chances, p.decision, own, p.patients, rng(0))
            outcomes.append((decision.operating, about))
        except InputError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6))
def test_in_folds_and_what_they_pool(seed):
    cells = table(seed, films=240, known=0.5)
    names = [f"f{k:03d}" for k in range(len(cells))]
    scored_by, tables = [], []
    for number, fold in enumerate(folds(films_of(cells), 4, seed=seed)):
        test = fold.where("test")
        for value in (1, 0):
            share = (fold.truth[test] == value).sum(0) / (cells == value).sum(0)
            assert np.abs(share - 0.25).max() < 0.1
        assert ((fold.truth < 0) == (cells < 0)).all()
        said = predictions(fold.truth[test], seed)
        tables.append(replace(said, paths=[names[k] for k in test], patients=np.array([names[k] for k in test])))
        scored_by.append(f"fold-{number}")
    pooled = pooled_findings(tables, scored_by)
    truth = cells[[names.index(path) for path in pooled.paths]]
    assert len(pooled) == len(cells) and ((pooled.truth < 0) == (truth < 0)).all()
    assert (pooled.truth[truth >= 0] == truth[truth >= 0]).all()
