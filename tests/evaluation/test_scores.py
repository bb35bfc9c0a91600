"""Every score against scikit-learn or a hand-made example, at the edges, and under a change of what must not matter."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from plainfilm.evaluation import tables
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.intervals import Floats, wilson
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.scores import (
    decision_curve,
    estimates,
    one_class_predicted,
    operating_points,
    ppv_npv_at,
    pr_points,
    roc_points,
    scores,
    sensitivity_threshold,
    youden_threshold,
)
from plainfilm.evaluation.tables import ORDER, SCORES, confusion, named

CLASSES = ("normal", "bacterial", "viral")
NAMES = [
    *("accuracy", "sensitivity", "specificity", "ppv", "npv", "balanced_accuracy", "f1_macro", "precision_macro"),
    *("recall_macro", "mcc", "precision_normal", "recall_normal", "f1_normal", "precision_bacterial"),
    *("recall_bacterial", "f1_bacterial", "auroc", "auprc", "brier", "ece", "ece_by_chance"),
    "calibration_slope",
    "calibration_intercept",
]


def table(labels: NDArray[np.int64], probabilities: Floats, patients: NDArray[np.int64] | None = None) -> Predictions:
    n, k = probabilities.shape
    paths = [f"film{i:04d}" for i in range(n)]
    who = np.array(paths, dtype=np.str_) if patients is None else np.array([f"patient{i:04d}" for i in patients])
    return Predictions(
        paths, np.full(n, "test"), np.asarray(labels), probabilities, Decision(CLASSES[:k], CLASSES[1]), who
    )


def binary(labels: list[int] | NDArray[np.int64], positive: list[float] | Floats) -> Predictions:
    share = np.asarray(positive, dtype=np.float64)
    return table(np.asarray(labels, dtype=np.int64), np.column_stack([1 - share, share]))


def example(k: int, n: int = 300, decimals: int = 2, seed: int = 0) -> Predictions:
    """Films of ~n/2 patients, an able model, and few decimals, so that many probabilities are tied."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(k, n, p=np.array([0.3, 0.7] if k == 2 else [0.3, 0.5, 0.2]))
    odds = rng.normal(size=(n, k)) + 1.5 * np.eye(k)[labels]
    shares = np.round(np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True), decimals)
    shares[:, 0] = 1 - shares[:, 1:].sum(axis=1)
    return table(labels, shares, rng.integers(0, n // 2, n))


def values(p: Predictions, positive: int = 1, threshold: float = 0.5) -> dict[str, float]:
    found = scores(p.by(positive=p.classes[positive], threshold=threshold), np.random.default_rng(0), draws=20)
    return {name: interval.value for name, interval in found.items()}


# -- against scikit-learn ---------------------------------------------------------------------------------------------


def test_the_names_are_those_of_metrics_json() -> None:
    p = example(2)
    found = scores(p, np.random.default_rng(0), draws=10)
    assert list(found) == NAMES
    alone = scores(table(p.labels, p.probabilities), np.random.default_rng(0), draws=10)  # a patient a film
    assert list(alone) == NAMES and all(alone[n].value == pytest.approx(found[n].value) for n in NAMES[:19])


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.83])
def test_two_classes_equal_scikit_learn(threshold: float) -> None:
    p = example(2)
    truth, score = p.labels, p.probabilities[:, 1]
    decided = (score >= threshold).astype(int)
    found = values(p, threshold=threshold)
    recall, precision = metrics.recall_score, metrics.precision_score
    expected = {
        "accuracy": metrics.accuracy_score(truth, decided),
        "sensitivity": recall(truth, decided),
        "specificity": recall(truth, decided, pos_label=0),
        "ppv": precision(truth, decided),
        "npv": precision(truth, decided, pos_label=0),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, decided),
        "f1_macro": metrics.f1_score(truth, decided, average="macro"),
        "precision_macro": precision(truth, decided, average="macro"),
        "recall_macro": recall(truth, decided, average="macro"),
        "mcc": metrics.matthews_corrcoef(truth, decided),
        "f1_normal": metrics.f1_score(truth, decided, pos_label=0),
        "f1_bacterial": metrics.f1_score(truth, decided),
        "auroc": metrics.roc_auc_score(truth, score),
        "auprc": metrics.average_precision_score(truth, score),
        "brier": metrics.brier_score_loss(truth, score),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["recall_bacterial"] == found["sensitivity"] and found["precision_normal"] == found["npv"]


def test_three_classes_equal_scikit_learn() -> None:
    p = example(3, decimals=6)
    truth, decided = p.labels, p.probabilities.argmax(axis=1)
    found = values(p, positive=2)
    expected = {
        "accuracy": metrics.accuracy_score(truth, decided),
        "sensitivity": metrics.recall_score(truth == 2, decided == 2),
        "specificity": metrics.recall_score(truth != 2, decided != 2),
        "ppv": metrics.precision_score(truth == 2, decided == 2),
        "npv": metrics.precision_score(truth != 2, decided != 2),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, decided),
        "f1_macro": metrics.f1_score(truth, decided, average="macro"),
        "precision_macro": metrics.precision_score(truth, decided, average="macro"),
        "recall_macro": metrics.recall_score(truth, decided, average="macro"),
        "mcc": metrics.matthews_corrcoef(truth, decided),
        "precision_viral": metrics.precision_score(truth, decided, average=None)[2],
        "recall_normal": metrics.recall_score(truth, decided, average=None)[0],
        "f1_bacterial": metrics.f1_score(truth, decided, average=None)[1],
        "auroc": metrics.roc_auc_score(truth == 2, p.probabilities[:, 2]),
        "auroc_macro": metrics.roc_auc_score(truth, p.probabilities, multi_class="ovr"),
        "auprc": metrics.average_precision_score(truth == 2, p.probabilities[:, 2]),
        "brier": metrics.brier_score_loss(truth == 2, p.probabilities[:, 2]),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("k", [2, 3])
def test_the_pull_of_a_film_is_the_derivative_by_its_weight(k: int) -> None:
    """A film that counts twice moves a score by its pull, as scikit-learn's weights do; pulls sum to 0."""
    p = example(k, n=150)
    found, decided = estimates(p), p.decided
    truth, score = p.truth, p.score
    weighed = {
        "accuracy": lambda w: metrics.accuracy_score(p.labels, decided, sample_weight=w),
        "f1_macro": lambda w: metrics.f1_score(p.labels, decided, average="macro", sample_weight=w),
        "mcc": lambda w: metrics.matthews_corrcoef(p.labels, decided, sample_weight=w),
        "balanced_accuracy": lambda w: metrics.balanced_accuracy_score(p.labels, decided, sample_weight=w),
        "auroc": lambda w: metrics.roc_auc_score(truth, score, sample_weight=w),
        "auprc": lambda w: metrics.average_precision_score(truth, score, sample_weight=w),
        "brier": lambda w: metrics.brier_score_loss(truth, score, sample_weight=w),
    }
    for name, of in weighed.items():
        assert found[name].value == pytest.approx(of(np.ones(150))), name
        assert found[name].pulls.sum() == pytest.approx(0, abs=1e-7), name
        for i in (0, 17, 80, 149):
            step = 1e-5 * np.eye(150)[i]
            slope = (of(1 + step) - of(1 - step)) / 2e-5
            assert found[name].pulls[i] == pytest.approx(slope, abs=2e-6), (name, i)


def test_ece_is_the_gap_in_fifteen_bins_of_equal_mass() -> None:
    p = example(2, n=450, decimals=12)
    score, truth = p.probabilities[:, 1], p.labels
    order = np.argsort(score)
    gaps = [abs(truth[films].mean() - score[films].mean()) for films in np.split(order, 15)]
    assert values(p)["ece"] == pytest.approx(np.mean(gaps))


def test_ece_of_a_constant_model_is_its_distance_from_the_share_of_positives() -> None:
    assert values(binary([0] * 30 + [1] * 70, [0.6] * 100))["ece"] == pytest.approx(0.1)


def test_the_confusion_table_has_the_truth_in_rows() -> None:
    p = binary([0, 0, 0, 1, 1], [0.1, 0.5, 0.2, 0.4, 0.9])
    assert confusion(p).tolist() == [[2, 1], [1, 1]]
    assert confusion(p.by(threshold=0.0)).tolist() == [[0, 3], [0, 2]]
    three = example(3)
    expected = metrics.confusion_matrix(three.labels, three.probabilities.argmax(axis=1))
    assert confusion(three.by(positive=three.classes[2])).tolist() == expected.tolist()


def test_the_other_class_as_positive_mirrors_the_rates() -> None:
    p = example(2, decimals=9)
    a, b = values(p, positive=1), values(p, positive=0)
    mirror = {"sensitivity": "specificity", "specificity": "sensitivity", "ppv": "npv", "npv": "ppv"}
    same = ["accuracy", "f1_macro", "mcc", "auroc", "brier"]
    assert [b[mirror[name]] for name in mirror] == pytest.approx([a[name] for name in mirror])
    assert [b[name] for name in same] == pytest.approx([a[name] for name in same])


# -- intervals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3])
def test_every_interval_holds_its_value_and_shrinks_with_more_films(k: int) -> None:
    small = scores(example(k, n=200, decimals=8), np.random.default_rng(0), draws=200)
    large = scores(example(k, n=1800, decimals=8), np.random.default_rng(0), draws=200)
    for name in small:
        assert small[name].low <= small[name].value <= small[name].high, name
        assert large[name].high - large[name].low < small[name].high - small[name].low, name


def test_rates_carry_wilsons_interval() -> None:
    p = binary([0] * 10 + [1] * 20, [0.9] * 3 + [0.1] * 7 + [0.8] * 18 + [0.3] * 2)
    found = scores(p, np.random.default_rng(0), draws=10)
    assert found["accuracy"] == wilson(25, 30)
    assert found["sensitivity"] == found["recall_bacterial"] == wilson(18, 20)
    assert found["specificity"] == found["recall_normal"] == wilson(7, 10)
    assert found["ppv"] == found["precision_bacterial"] == wilson(18, 21)
    assert found["npv"] == found["precision_normal"] == wilson(7, 9)


@pytest.mark.parametrize("k", [2, 3])
def test_the_order_of_the_rows_does_not_matter(k: int) -> None:
    p = example(k, n=200)
    order = np.random.default_rng(1).permutation(200)
    a = scores(p.by(threshold=0.4), np.random.default_rng(7), draws=100)
    b = scores(p.take(order).by(threshold=0.4), np.random.default_rng(7), draws=100)
    for name in a:
        assert b[name] == pytest.approx(a[name], abs=1e-9), name


def test_a_patients_films_widen_the_interval() -> None:
    labels, score = np.tile([0, 1], 40), np.linspace(0, 1, 80)
    shares = np.column_stack([1 - score, score])
    ten_times = np.repeat(np.arange(80), 10)
    by_film = table(labels[ten_times], shares[ten_times])
    by_patient = table(labels[ten_times], shares[ten_times], patients=ten_times)
    rng = np.random.default_rng
    narrow = scores(by_film, rng(0), draws=300)["mcc"]
    wide = scores(by_patient, rng(0), draws=300)["mcc"]
    assert 2.5 < (wide.high - wide.low) / (narrow.high - narrow.low) < 4  # about the square root of ten


# -- edges ------------------------------------------------------------------------------------------------------------


def test_perfect_predictions_score_one_without_claiming_certainty() -> None:
    found = scores(binary([0] * 30 + [1] * 70, [0.0] * 30 + [1.0] * 70), np.random.default_rng(0), draws=50)
    for name in NAMES[:18]:
        assert found[name].value == 1 and found[name].high == 1, name
        assert 0.7 < found[name].low < 0.99, name
    assert found["ece"].value == found["brier"].value == 0
    assert [found["ece"].high, found["brier"].high] == pytest.approx([wilson(0, 100).high] * 2)
    assert np.isnan(found["calibration_slope"]).all()


def test_a_model_that_says_one_class_only_is_named_and_scored_like_scikit_learn() -> None:
    p = binary([0] * 30 + [1] * 70, [0.7] * 100)
    found = scores(p, np.random.default_rng(0), draws=50)
    decided = np.ones(100, dtype=int)
    assert one_class_predicted(p) == "bacterial"
    assert one_class_predicted(p.by(threshold=0.8)) == "normal"
    assert one_class_predicted(example(2)) is None
    assert found["precision_macro"].value == metrics.precision_score(
        p.labels, decided, average="macro", zero_division=0
    )
    assert found["f1_macro"].value == pytest.approx(metrics.f1_score(p.labels, decided, average="macro"))
    assert found["balanced_accuracy"].value == 0.5 and found["mcc"].value == 0
    assert found["balanced_accuracy"].low < 0.49 and found["balanced_accuracy"].high > 0.54
    assert -0.3 < found["mcc"].low < 0 < 0.1 < found["mcc"].high < 0.4
    assert np.isnan(found["npv"]).all()
    assert found["auroc"].value == 0.5


def test_a_part_with_one_class_leaves_undefined_what_needs_two() -> None:
    found = values(binary([1, 1, 1, 1], [0.9, 0.8, 0.2, 0.7]))
    assert found["accuracy"] == found["sensitivity"] == 0.75
    undefined = ["specificity", "balanced_accuracy", "f1_macro", "precision_macro", "mcc", "auroc", "auprc"]
    undefined += ["ppv", "npv", "precision_bacterial", "f1_bacterial"]  # no film could have been called so wrongly
    assert np.isnan([found[name] for name in [*undefined, "calibration_slope", "calibration_intercept"]]).all()


def test_no_films_give_no_figures() -> None:
    found = scores(example(2).take(np.array([], dtype=np.int64)), np.random.default_rng(0), draws=5)
    assert list(found) == NAMES
    assert np.isnan([interval for interval in found.values()]).all()


def test_a_class_without_films_is_left_out_of_macro_averages() -> None:
    p = example(3)
    p = p.take(p.labels != 2)
    found = values(p, positive=1)
    decided = p.probabilities.argmax(axis=1)
    expected = metrics.recall_score(p.labels, decided, average="macro", labels=[0, 1])
    assert found["recall_macro"] == pytest.approx(expected)
    assert np.isnan(found["recall_viral"])


def test_nothing_warns_on_tiny_tables() -> None:
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in (1, 2, 3, 5):
            for k in (2, 3):
                shares = rng.dirichlet(np.ones(k), n)
                found = scores(table(rng.integers(0, k, n), shares), rng, draws=30)
                assert 0 <= found["accuracy"].value <= 1


# -- curves and thresholds --------------------------------------------------------------------------------------------


def test_the_curves_are_scikit_learns() -> None:
    p = example(2)
    score = p.probabilities[:, 1]
    fpr, tpr, cuts = metrics.roc_curve(p.labels, score, drop_intermediate=False)
    for found, expected in zip(roc_points(p), (fpr, tpr, cuts), strict=True):
        assert found == pytest.approx(expected)
    precision, recall, cuts = metrics.precision_recall_curve(p.labels, score)
    for found, expected in zip(pr_points(p), (recall[-2::-1], precision[-2::-1], cuts[::-1]), strict=True):
        assert found == pytest.approx(expected)


def test_youden_takes_the_cut_with_the_most_right_in_both_classes() -> None:
    p = binary([0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.6, 0.8])
    assert youden_threshold(p) == pytest.approx(0.5)  # halfway between .4 and .6
    separated = binary([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert youden_threshold(separated) == pytest.approx(0.5)


def test_youden_equals_a_search_over_all_cuts() -> None:
    p = example(2, seed=4)
    score = p.probabilities[:, 1]
    indices = [(score[p.labels == 1] >= t).mean() - (score[p.labels == 0] >= t).mean() for t in np.unique(score)]
    t = youden_threshold(p)
    chosen = (score[p.labels == 1] >= t).mean() - (score[p.labels == 0] >= t).mean()
    assert chosen == pytest.approx(max(indices))


def test_the_sensitive_threshold_is_the_highest_that_is_sensitive_enough() -> None:
    p = binary([0] * 5 + [1] * 20, [0.3] * 5 + [i / 20 for i in range(1, 21)])
    t = sensitivity_threshold(p, 0.95)  # 19 of 20: all but the lowest, 0.05
    assert t == pytest.approx(0.075)
    assert sensitivity_threshold(p, 1.0) == pytest.approx(0.025)


def test_operating_points_are_chosen_on_validation_and_realised_on_the_test_films() -> None:
    val, test = example(2, seed=1), example(2, seed=2)
    points = operating_points(val, test)
    assert list(points) == ["0.5", "youden", "sensitivity_95"]
    assert points["0.5"]["threshold"] == 0.5
    assert points["sensitivity_95"]["validation"]["sensitivity"]["value"] >= 0.95
    for point in points.values():
        for part, p in (("validation", val), ("test", test)):
            found = scores(p.by(threshold=point["threshold"]), np.random.default_rng(0), draws=5)
            for name in ("sensitivity", "specificity", "ppv", "npv"):
                assert point[part][name] == found[name].as_dict()


def test_a_validation_part_of_one_class_chooses_no_threshold() -> None:
    assert list(operating_points(binary([0, 0], [0.1, 0.2]), example(2))) == ["0.5"]
    assert np.isnan(youden_threshold(binary([0, 0], [0.1, 0.2])))


def test_predictive_values_fall_with_prevalence() -> None:
    rows = ppv_npv_at(0.932, 0.901)
    assert [row["prevalence"] for row in rows] == [0.5, 0.3, 0.1, 0.05, 0.02]
    assert rows[2]["ppv"] == pytest.approx(0.51, abs=0.005)  # the design's example
    assert rows[2]["npv"] == pytest.approx(0.9 * 0.901 / (0.9 * 0.901 + 0.1 * 0.068))
    assert np.isnan(ppv_npv_at(0.0, 1.0, [0.1])[0]["ppv"])


def test_predictive_values_at_the_films_own_prevalence_are_the_observed_ones() -> None:
    p = example(2)
    found = values(p)
    row = ppv_npv_at(found["sensitivity"], found["specificity"], [p.labels.mean()])[0]
    assert (row["ppv"], row["npv"]) == pytest.approx((found["ppv"], found["npv"]))


def test_net_benefit_by_hand() -> None:
    # 100 films, 20 positive; at 0.25 the model finds 15 of them with 8 false alarms: 15/100 - 8/100 · 1/3.
    p = binary([1] * 20 + [0] * 80, [0.3] * 15 + [0.1] * 5 + [0.25] * 8 + [0.2] * 72)
    curve = decision_curve(p, np.array([0.25, 0.5]))
    assert curve["model"] == pytest.approx([15 / 100 - 8 / 100 / 3, 0])
    assert curve["treat_all"] == pytest.approx([0.2 - 0.8 / 3, 0.2 - 0.8])
    assert curve["treat_none"].tolist() == [0, 0]


def test_net_benefit_at_another_prevalence_is_that_of_so_many_films() -> None:
    p = binary([1] * 20 + [0] * 80, [0.3] * 15 + [0.1] * 5 + [0.25] * 8 + [0.2] * 72)
    rare = p.take(np.concatenate([np.arange(20), np.tile(np.arange(20, 100), 4)]))
    t = np.array([0.1, 0.25])
    expected = decision_curve(rare, t)
    found = decision_curve(p, t, prevalence=20 / 340)
    assert found["model"] == pytest.approx(expected["model"])
    assert found["treat_all"] == pytest.approx(expected["treat_all"])
    assert len(decision_curve(p)["threshold"]) == 99


def test_a_score_of_the_table_that_is_added_has_an_interval_without_more(monkeypatch: pytest.MonkeyPatch) -> None:
    own = tables.from_tables

    def more(counts: Floats, decision: Decision) -> dict[str, Floats]:
        found = own(counts, decision)
        return {**found, "youden": found["sensitivity"] + found["specificity"] - 1}

    monkeypatch.setattr(tables, "from_tables", more)
    films = binary([0, 1] * 40, np.random.default_rng(1).random(80) * 0.5 + np.array([0.1, 0.4] * 40))
    found = scores(films, np.random.default_rng(0), draws=20)
    balanced, youden = found["balanced_accuracy"], found["youden"]
    assert youden.value == pytest.approx(2 * balanced.value - 1)
    assert youden.high - youden.low == pytest.approx(2 * (balanced.high - balanced.low), rel=0.1)
    assert youden.low < youden.value < youden.high


BEYOND = {"mcc", "calibration_slope", "calibration_intercept"}  # these may be below 0 or above 1


def test_every_score_of_the_table_is_computed_and_what_it_says_of_its_range_holds() -> None:
    found = scores(example(2), np.random.default_rng(0), draws=20)
    for score in SCORES:
        value = found[score.name].value
        assert score.name in BEYOND or 0 <= value <= 1, score.name
    assert {score.name for score in SCORES} <= set(found)
    worse = scores(binary([0, 1] * 20, [0.9, 0.1] * 20), np.random.default_rng(0), draws=20)
    better = scores(binary([0, 1] * 20, [0.1, 0.9] * 20), np.random.default_rng(0), draws=20)
    for score in SCORES:
        if score.places:
            assert (better[score.name].value < worse[score.name].value) is score.smaller, score.name


def test_places_name_the_scores_that_stand_there() -> None:
    assert list(named("tile")) == ["accuracy", "balanced_accuracy", "sensitivity", "specificity", "auroc"]
    assert list(named(about=ORDER)) == ["auroc", "auprc"] and named("tile", ORDER) == {"auroc": "AUROC"}
