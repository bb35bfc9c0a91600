from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

from plainfilm.errors import InputError, PlainfilmError
from plainfilm.image.store import Rows
from plainfilm.models import linear, newton
from plainfilm.models.linear import fit_logistic

VALUES = (1e-4, 1e-3, 1e-2, 1e-1)


def problem(n: int = 90, d: int = 400, classes: int = 2, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n + 30)
    x = rng.gamma(0.3, 4.0, (n + 30, d)).astype(np.float32)  # sparse, positive and skewed, as features of a ReLU are
    for k in range(classes):
        x[labels == k, k * 5 : k * 5 + 5] += 2
    x[3] = x[4]  # an exact duplicate
    labels[3] = labels[4]
    return Rows(x, np.arange(len(x)), {}), np.arange(n), labels, np.arange(n)


def answers(fit, x: np.ndarray) -> np.ndarray:
    return softmax(x @ fit.weight.T.astype(np.float64) + fit.bias, 1)


def tight(model: LogisticRegression, features: Rows, labels: np.ndarray) -> LogisticRegression:
    """The same model, solved by scikit-learn as far as it can: Newton's method where it is small enough."""
    again = LogisticRegression(C=model.C, solver="newton-cg", tol=1e-11, max_iter=10_000)
    return again.fit(features.data[:90].astype(np.float64), labels[:90])


@pytest.mark.parametrize("classes", [2, 3])
def test_the_small_problem_has_the_optimum_of_the_large_one(classes):
    features, films, labels, groups = problem(classes=classes)
    fit = fit_logistic(features, films, labels[films], groups, VALUES, 3, 0)
    cv = StratifiedGroupKFold(3, shuffle=True, random_state=0)
    plain = GridSearchCV(LogisticRegression(tol=1e-9, max_iter=100_000), {"C": VALUES}, cv=cv)
    plain.fit(features.data[films].astype(np.float64), labels[films], groups=groups)
    assert fit.regularisation == plain.best_params_["C"]
    assert list(fit.scores.values()) == pytest.approx(list(plain.cv_results_["mean_test_score"]), abs=1e-12)
    x = features.data[90:].astype(np.float64)  # films it has never seen
    assert np.abs(answers(fit, x) - tight(plain.best_estimator_, features, labels).predict_proba(x)).max() < 1e-6


def test_it_has_converged_where_the_papers_solver_has_not():
    features, films, labels, groups = problem()
    fit = fit_logistic(features, films, labels[films], groups, VALUES, 3, 0)
    assert fit.optimality < 1e-6
    early = LogisticRegression(C=fit.regularisation, max_iter=2)
    with pytest.warns(UserWarning, match="failed to converge"):
        early.fit(features.data[films], labels[films])
    residual = labels[films] - early.predict_proba(features.data[films])[:, 1]
    gradient = fit.regularisation * features.data[films].T @ residual
    assert np.abs(early.coef_[0] - gradient).max() / np.abs(gradient).max() > 1000 * fit.optimality


def test_no_convergence_is_an_error_and_not_a_quiet_result(monkeypatch):
    monkeypatch.setattr(newton, "STEPS", 2)
    features, films, labels, groups = problem()
    with pytest.raises(PlainfilmError, match="did not converge"):
        fit_logistic(features, films, labels[films], groups, VALUES, 3, 0)


def test_the_fit_becomes_the_networks_last_layer():
    features, films, labels, groups = problem()
    fit = fit_logistic(features, films, labels[films], groups, VALUES, 3, 0)
    layer = torch.nn.Linear(400, 2)
    fit.put_into(layer)
    x = torch.tensor(features.data[:5])
    assert np.allclose(layer(x).detach().numpy(), x.numpy() @ fit.weight.T + fit.bias, atol=1e-5)


def test_too_few_films_for_the_folds():
    features, films, _, groups = problem()
    with pytest.raises(InputError, match="a 3-fold grid search needs 3"):
        fit_logistic(features, films[:6], np.array([0, 0, 0, 0, 1, 1]), groups[:6], VALUES, 3, 0)


def test_groups_stay_together():
    features, films, labels, _ = problem()
    labels = np.arange(120) // 2 % 2
    with pytest.raises(InputError, match="has 2 patients"):
        fit_logistic(features, films, labels[films], labels[films] * 2 + films % 2, VALUES, 3, 0)


def test_standardised_features_are_sklearns_scaler_and_the_result_takes_them_raw():
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, films, labels, groups = problem(d=60)
    features.data[:, 7] *= 1000  # a feature that would otherwise rule
    features.data[:, 8] = 5  # and one that says nothing
    fit = fit_logistic(features, films, labels[films], groups, VALUES, 3, 0, standardise=True)
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=fit.regularisation, solver="newton-cg", tol=1e-11))
    plain.fit(features.data[films].astype(np.float64), labels[films])
    x = features.data[90:].astype(np.float64)
    assert np.abs(answers(fit, x) - plain.predict_proba(x)).max() < 1e-6
    raw = fit_logistic(features, films, labels[films], groups, VALUES, 3, 0)
    assert np.abs(raw.weight - fit.weight).max() > 1e-3


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("d", [30, 400])
@pytest.mark.parametrize("standardise", [False, True])
def test_films_and_features_beyond_memory_get_the_same_fit(monkeypatch, classes, d, standardise):
    features, films, labels, groups = problem(d=d, classes=classes)
    given = (features, films, labels[films], groups, VALUES, 3, 0, standardise)
    held = fit_logistic(*given)
    monkeypatch.setattr(linear, "MOST_FILMS", 20)  # neither 90 x 90 nor 90 x 30 may be held: features are streamed
    monkeypatch.setattr(linear, "BLOCK", 25)
    streamed = fit_logistic(*given)
    x = features.data[90:].astype(np.float64)
    assert np.abs(answers(held, x) - answers(streamed, x)).max() < 1e-6
    assert (held.regularisation, held.scores) == (streamed.regularisation, streamed.scores)
    assert max(held.optimality, streamed.optimality) < 1e-6


def test_many_blocks_and_panels_are_one(monkeypatch):
    features, films, labels, groups = problem()
    whole = fit_logistic(features, films, labels[films], groups, VALUES, 3, 0)
    monkeypatch.setattr(linear, "BLOCK", 30)  # 90 films: the last block ends where the films do
    monkeypatch.setattr(linear, "PANEL", 90 * 37)
    pieces = fit_logistic(features, films, labels[films], groups, VALUES, 3, 0)
    assert np.allclose(whole.weight, pieces.weight, rtol=1e-4, atol=1e-7)


def test_films_are_taken_in_any_order_from_anywhere_in_the_store():
    features, films, labels, groups = problem()
    turned = Rows(features.data, features.order[::-1].copy(), {})
    there = len(turned) - 1 - films
    ours, theirs = (
        fit_logistic(rows, where, labels[films], groups, VALUES, 3, 0)
        for rows, where in ((features, films), (turned, there))
    )
    assert np.array_equal(ours.weight, theirs.weight)
