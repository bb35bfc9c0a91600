"""Models that find several findings, compared: each finding as a question of its own, all of them tested together."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from plainfilm.cli import main
from plainfilm.errors import InputError
from plainfilm.evaluation.compare import compare, holm
from plainfilm.evaluation.compare_findings import compare_findings, mean_area_test
from plainfilm.evaluation.findings import FindingsDecision, FindingsPredictions, read_findings, write_findings

NAMES = ("Edema", "Mass", "Nodule")


def models(sharper=1.0, films=400, unknown=0.3, seed=0, findings=NAMES, shared=0.7):
    """Two models whose scores share much of their noise; the first is ``sharper`` than the second."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((films, len(findings))) < 0.4).astype(np.int8)
    patient = np.arange(films) // 2
    common = rng.normal(0, 1, (films, 1)) + rng.normal(0, 1, (films // 2 + 1, 1))[patient]
    found = []
    for slope in (1.5 * sharper, 1.5):
        noise = shared * common + rng.normal(0, 1, truth.shape)
        found.append(1 / (1 + np.exp(-(slope * (2 * truth - 1) + noise))))
    known = np.where(rng.random(truth.shape) < unknown, np.int8(-2), truth)
    parts, names = np.full(films, "test"), [f"f{i:04d}" for i in range(films)]
    decision = FindingsDecision.of_names(findings)
    patients = np.array([f"p{k}" for k in patient])
    return [FindingsPredictions(names, parts, known, p, decision, patients) for p in found]


def test_each_finding_is_compared_as_its_own_question_and_all_are_tested_together():
    a, b = models(2.0)
    found = compare_findings([("a", a), ("b", b)], np.random.default_rng(0), draws=50)
    assert found["tests"] == 3 and [*found["findings"]] == list(NAMES)
    for name in NAMES:
        alone = compare([("a", a.of(name)), ("b", b.of(name))], np.random.default_rng(0), draws=50)["pairs"][0]
        [pair] = found["findings"][name]["pairs"]
        assert pair["auroc"]["p"] == alone["auroc"]["p"] and pair["accuracy"]["p"] == alone["accuracy"]["p"]
        wide, narrow = (p["auroc"]["difference"] for p in (pair, alone))
        assert wide["low"] <= narrow["low"] and wide["high"] >= narrow["high"]  # simultaneous for three
    rows = [found["findings"][name]["pairs"][0]["auroc"] for name in NAMES]
    assert [row["p_holm"] for row in rows] == pytest.approx(holm([row["p"] for row in rows]))
    assert "for 3 differences (3 findings)" in rows[0]["sentence"]
    mean = found["pairs"][0]["mean_auroc"]
    assert mean["difference"]["value"] == pytest.approx(np.mean([row["difference"]["value"] for row in rows]))
    assert mean["sentence"].startswith("a is better than b (mean AUROC over findings: difference 0.")


def test_a_finding_of_too_few_known_films_is_named_and_not_tested():
    a, b = models()
    for p in (a, b):
        p.truth[:, 1] = np.where(p.truth[:, 1] == 1, -2, p.truth[:, 1])
    found = compare_findings([("a", a), ("b", b)], np.random.default_rng(0), draws=50)
    assert found["tests"] == 2 and "0 positive and" in found["findings"]["Mass"]["not_scored"]
    assert "pairs" not in found["findings"]["Mass"]


def test_the_order_of_films_means_nothing_and_findings_that_only_one_has_are_left_out():
    a, b = models()
    turned = b.take(np.random.default_rng(1).permutation(len(b)))
    few = replace(turned, truth=turned.truth[:, 1:], chances=turned.chances[:, 1:], decision=a.decision)
    few = replace(few, decision=FindingsDecision.of_names(NAMES[1:]))
    whole = compare_findings([("a", a), ("b", b)], np.random.default_rng(0), draws=50)
    some = compare_findings([("a", a), ("b", few)], np.random.default_rng(0), draws=50)
    assert [*some["findings"]] == ["Mass", "Nodule"]
    for name in some["findings"]:
        p = [found["findings"][name]["pairs"][0]["auroc"]["p"] for found in (whole, some)]
        assert p[0] == pytest.approx(p[1])


def test_other_truths_and_other_findings_are_refused():
    a, b = models()
    other = replace(b, truth=b.truth.copy())
    other.truth[np.flatnonzero(b.truth[:, 0] == 0)[:3], 0] = 1
    with pytest.raises(InputError, match="Edema: a and b can't be compared: 3 films are labelled differently"):
        compare_findings([("a", a), ("b", other)], np.random.default_rng(0))
    other.truth[:] = b.truth
    other.truth[np.flatnonzero(b.truth[:, 0] == 0)[:2], 0] = -2
    with pytest.raises(InputError, match="2 films are only in a"):
        compare_findings([("a", a), ("b", other)], np.random.default_rng(0))
    stranger = replace(b, decision=FindingsDecision.of_names(("X", "Y", "Z")))
    with pytest.raises(InputError, match=r"no finding in common \(a has Edema, Mass, Nodule; b has X, Y, Z\)"):
        compare_findings([("a", a), ("b", stranger)], np.random.default_rng(0))


def test_the_mean_difference_keeps_its_level_where_findings_err_together():
    """Equal models, films in pairs, noise that all findings and films of a patient share: p < .05 in 5 % of 400."""
    false = 0
    for seed in range(400):
        a, b = models(1.0, films=160, seed=seed)
        found = mean_area_test([(a.of(name), b.of(name)) for name in NAMES])
        low, high = found.interval()[1:]
        assert (found.p < 0.05) == (low > 0 or high < 0)
        false += found.p < 0.05
    assert 0.02 <= false / 400 <= 0.075


def test_one_finding_gives_the_difference_of_its_own_areas():
    a, b = (p.of("Mass") for p in models(1.5))
    pair = compare([("a", a), ("b", b)], np.random.default_rng(0), draws=20)["pairs"][0]["auroc"]
    found = mean_area_test([(a, b)])
    assert found.gap.value == pytest.approx(pair["difference"]["value"]) and found.p == pytest.approx(pair["p"])


def test_compare_on_the_command_line(tmp_path, capsys):
    a, b = models(2.0)
    write_findings(tmp_path / "a.csv", a)
    write_findings(tmp_path / "b.csv", b)
    words = ["compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    assert main([*words, "--out", str(tmp_path / "c"), "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "400 films of 200 patients; 3 findings." in said and "a is better than b (mean AUROC over findings" in said
    assert said.count("AUROC: difference") == 3
    document = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert document["findings"]["Mass"]["pairs"][0]["auroc"]["p_holm"] < 0.05
    assert main([*words, "--positive", "Mass"]) == 2
    assert "--positive does nothing for a comparison of several findings" in capsys.readouterr().err
    (tmp_path / "c.csv").write_text("path,label,p_NORMAL,p_SICK\nf0000,SICK,0.2,0.8\n")
    assert main([*words, str(tmp_path / "c.csv")]) == 2
    assert "c has one class per film and another has several findings" in capsys.readouterr().err


def test_films_of_several_models_keep_whose_scores_and_thresholds_they_have(tmp_path):
    a, _ = models()
    folds = np.where(np.arange(len(a)) % 2, "fold-1", "fold-0")
    cuts = np.where(np.arange(len(a)) % 2, 0.3, 0.6)
    decision = FindingsDecision(tuple(replace(rule, threshold=cuts) for rule in a.decision.each))
    write_findings(tmp_path / "p.csv", replace(a, folds=folds, decision=decision))
    again = read_findings(tmp_path / "p.csv")
    assert again.folds is not None and again.folds.tolist() == folds.tolist()
    assert again.decision.own_thresholds and again.decision.thresholds.shape == (400, 3)
    own = again.take(np.arange(5)).of("Mass")
    rows = np.flatnonzero(again.truth[:5, 1] >= 0)
    assert np.asarray(own.decision.threshold).tolist() == cuts[rows].tolist()
    assert own.folds is not None and own.folds.tolist() == folds[rows].tolist()
