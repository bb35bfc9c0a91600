"""Several findings per film: unknown is never negative, and each finding's figures are those of its own question."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from plainfilm.data.films import UNKNOWN
from plainfilm.errors import InputError
from plainfilm.evaluation import findings as module
from plainfilm.evaluation.findings import FindingsDecision, FindingsPredictions, read_findings, write_findings
from plainfilm.evaluation.operating import choose
from plainfilm.evaluation.scores_findings import errors_together, means, scored

NAMES = ("Effusion", "Nodule, small", "Pneumonia")


def table(films=300, unknown=0.3, seed=0, names=NAMES):
    rng = np.random.default_rng(seed)
    truth = (rng.random((films, len(names))) < 0.3).astype(np.int8)
    chances = 1 / (1 + np.exp(-rng.normal(3 * truth - 2, 1.5)))
    truth[rng.random(truth.shape) < unknown] = -2
    paths = [f"f{i}.png" for i in range(films)]
    patients = np.array([f"p{i // 2}" for i in range(films)])
    decision = FindingsDecision.of_names(names)
    return FindingsPredictions(paths, np.full(films, "test"), truth, chances, decision, patients)


def test_a_file_of_findings_reads_back_exactly(tmp_path):
    p = table()
    write_findings(tmp_path / "predictions.csv", p)
    again = read_findings(tmp_path / "predictions.csv")
    assert again.findings == NAMES and again.paths == p.paths and again.patients.tolist() == p.patients.tolist()
    assert np.array_equal(again.truth, p.truth) and np.array_equal(again.chances, p.chances)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 0.9))
@example(510511, 0.8984375)  # no finding has two films of either answer
def test_unknown_is_never_negative(seed, unknown):
    p = table(films=60, unknown=unknown, seed=seed)
    found = scored(p, np.random.default_rng(0))["findings"]
    for k, name in enumerate(NAMES):
        known = p.truth[:, k] >= 0
        assert found[name]["known"] == known.sum() and found[name]["positives"] == (p.truth[:, k] == 1).sum()
        own = p.of(name)
        assert len(own) == known.sum() and own.truth.tolist() == (p.truth[known, k] == 1).tolist()
        if "scores" in found[name]:
            expected = roc_auc_score(p.truth[known, k], p.chances[known, k])
            assert found[name]["scores"]["auroc"]["value"] == pytest.approx(expected)
        else:
            assert np.bincount(p.truth[known, k], minlength=2).min() < 2 and "at least 2" in found[name]["not_scored"]


def test_hiding_cells_changes_nothing_of_the_others():
    whole = table(unknown=0)
    hidden = FindingsPredictions(
        whole.paths, whole.parts, whole.truth.copy(), whole.chances, whole.decision, whole.patients
    )
    hidden.truth[:200, 0] = -2
    a, b = (scored(p, np.random.default_rng(0))["findings"] for p in (whole, hidden))
    assert a["Pneumonia"]["known"] == b["Pneumonia"]["known"] and b["Effusion"]["known"] == 100
    assert a["Pneumonia"]["scores"]["auroc"] == b["Pneumonia"]["scores"]["auroc"]


HEADERS = {  # as torchxrayvision, a data frame of two models, and a spreadsheet have them
    "Image Index,Patient ID,{0},{1},{0}_pred,{1}_pred": "probability",
    "path,patient,true_{0},true_{1},prob_{0},prob_{1}": "probability",
    "Dateiname,PatientID,{0},{1},{0} logit,{1} logit": "logit",
    "file,subject,{0},{1},score {0},score {1}": "percent",
}


@pytest.mark.parametrize("header", HEADERS)
def test_findings_in_another_programs_words(tmp_path, header):
    rng = np.random.default_rng(3)
    truth, chance = rng.integers(0, 2, (40, 2)), rng.uniform(0.01, 0.99, (40, 2)).round(6)
    shown = {"probability": chance, "logit": logit(chance), "percent": chance * 100}[HEADERS[header]]
    cells = [["", "-1", "0", "1"][k] for k in rng.integers(0, 4, 40)]  # not known and uncertain ones of the first
    rows = [
        f"f{i}.png,{i // 2},{cells[i]},{truth[i, 1]}.0,{float(shown[i, 0])!r},{float(shown[i, 1])!r}" for i in range(40)
    ]
    (tmp_path / "t.csv").write_text("\n".join([header.format("Edema", "Lung Opacity"), *rows]))
    assert module.holds_findings(tmp_path / "t.csv")
    found = read_findings(tmp_path / "t.csv")
    assert found.findings == ("Edema", "Lung Opacity") and found.paths[:2] == ["f0.png", "f1.png"]
    assert found.truth[:, 0].tolist() == [int(cell) if cell in ("0", "1") else UNKNOWN for cell in cells]
    assert found.truth[:, 1].tolist() == truth[:, 1].tolist() and len(set(found.patients)) == 20
    assert np.allclose(found.chances, chance, atol=1e-6)


def test_means_over_findings_lie_between_them():
    found = scored(table(), np.random.default_rng(0))
    values = [each["scores"]["auroc"]["value"] for each in found["findings"].values()]
    for kind in ("macro", "weighted"):
        mean = found[f"{kind}_auroc"]
        assert min(values) <= mean["value"] <= max(values) and mean["low"] < mean["value"] < mean["high"]
    assert found["macro_auroc"]["value"] == pytest.approx(np.mean(values))


def test_thresholds_are_chosen_by_finding_on_known_films():
    val = table(films=600)
    decision = module.chosen(val, lambda films: choose(films, "sensitivity=0.9", "none", fitted=True))
    for k, name in enumerate(NAMES):
        films = val.of(name)
        called = films.under(decision.each[k]).called
        assert 0.9 <= called[films.truth].mean() < 0.95
    val.truth[:, 1] = -2
    kept = module.chosen(val, lambda films: choose(films, "auto", "none", fitted=True)).each[1]
    assert kept.threshold == 0.5 and "too few" in kept.rule


def test_a_film_has_the_findings_above_their_thresholds():
    rules = [rule.about | {"threshold": cut} for rule, cut in zip(table().decision.each, (0.2, 0.5, 0.9), strict=True)]
    decision = FindingsDecision.read(NAMES, {"findings": rules})
    assert decision.label(np.array([0.3, 0.6, 0.5])) == "Effusion; Nodule, small"
    assert decision.label(np.array([0.1, 0.1, 0.1])) == "none"
    assert decision.decide(np.array([[0.3, 0.6, 0.5], [0.1, 0.1, 0.89]])).tolist() == [0, 2]
    assert FindingsDecision.read(NAMES, decision.about).thresholds.tolist() == [0.2, 0.5, 0.9]


def test_a_refer_band_of_one_finding_is_enough():
    rules = [rule.about | {"refer": [0.4, 0.6] if k == 2 else None} for k, rule in enumerate(table().decision.each)]
    decision = FindingsDecision.read(NAMES, {"findings": rules})
    films = np.array([[0.5, 0.5, 0.1], [0.1, 0.1, 0.5]])
    assert decision.refers(films).tolist() == [False, True]
    assert decision.reason(films[0]) is None and "probability of Pneumonia, 0.500" in decision.reason(films[1])


def test_a_film_that_may_change_in_any_finding_is_near():
    rule = FindingsDecision.of_names(("Mass", "Nodule"))
    odds = np.array([[3.0, 0.2], [0.4, -3], [-3, 3], [0.1, 0.1]])
    assert rule.near(expit(odds), 0.3).tolist() == [True, False, False, True]
    others = odds + np.array([[0.1, -0.2], [0.3, 0.1], [0, 0], [-0.05, 0]])
    assert rule.moved(odds, others) == pytest.approx([0.2, 0.3, 0, 0.05])


def test_findings_that_come_together_are_counted_where_both_are_known():
    both, known = module.cooccurrence(np.array([[1, 1], [1, -2], [0, 1], [1, 0]], dtype=np.int8))
    assert both.tolist() == [[3, 1], [1, 2]] and known.tolist() == [[4, 3], [3, 3]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,y_A,p_A\na,2,.5\n", "a truth is '2'"),
        ("path,y_A,p_A\na,1,1.5\n", "outside 0..1"),
        ("path,y_A,p_B\na,1,.5\n", "no column p_NAME beside"),
    ],
)
def test_what_is_no_table_of_findings_is_said(tmp_path, text, words):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_findings(tmp_path / "p.csv")


def test_the_interval_of_a_mean_holds_the_truth_and_is_narrower_than_if_findings_erred_fully_together():
    """Three findings that share a third of their noise, films in pairs: 95 % of 200 intervals hold the true mean."""
    from scipy.stats import norm

    from plainfilm.evaluation.areas import auc_interval

    true, covered, narrower = norm.cdf(1.2 / np.sqrt(2 * 1.5)), 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        truth = (rng.random((160, 3)) < 0.4).astype(np.int8)
        shared = rng.normal(0, np.sqrt(0.5), (80, 1)).repeat(2, axis=0)
        score = 1.2 * truth + shared + rng.normal(0, 1, truth.shape)
        truth[rng.random(truth.shape) < 0.2] = -2
        names = [f"f{k}" for k in range(160)]
        patients = np.array([f"p{k // 2}" for k in range(160)])
        chances = 1 / (1 + np.exp(-score))
        p = FindingsPredictions(names, np.full(160, "test"), truth, chances, FindingsDecision.of_names(NAMES), patients)
        each = {}
        for name in NAMES:
            own = p.of(name)
            found = auc_interval(own.truth, own.score, patients=own.patients)
            each[name] = {"scores": {"auroc": found.as_dict()}, "positives": int(own.truth.sum())}
        mean = means(each, errors_together(p, NAMES))["macro_auroc"]
        wide = means(each)["macro_auroc"]
        covered += mean["low"] <= true <= mean["high"]
        narrower += mean["high"] - mean["low"] < wide["high"] - wide["low"]
    assert narrower == 200 and 183 <= covered <= 199


def test_a_findings_probability_stands_beside_its_own_threshold():
    rule = FindingsDecision.of_names(("Mass", "Nodule"))
    assert [rule.weighed(np.array([0.3, 0.7]), k) for k in (0, 1)] == ["0.300 < 0.500", "0.700 ≥ 0.500"]
