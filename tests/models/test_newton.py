from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.linear_model import LogisticRegression

from plainfilm.models.newton import Problems, solve


def problems(classes: int = 2, n: int = 60, d: int = 8) -> tuple[Problems, np.ndarray, np.ndarray]:
    """Three values of C, each on two thirds of the films, and the films' coordinates and classes."""
    rng = np.random.default_rng(1)
    labels = np.arange(n) % classes
    x = rng.normal(size=(n, d)) * np.logspace(-1, 1, d)
    x[:, 0] += labels
    truth = np.eye(classes)[labels] if classes > 2 else labels[:, None].astype(float)
    taken = (np.arange(n)[:, None] // 3 % 3 != np.arange(3)).astype(float)

    def blocks():
        return ((slice(i, i + 25), x[i : i + 25]) for i in range(0, n, 25))

    return Problems(blocks, d, truth, taken, np.array([0.01, 1.0, 100.0])), x, labels


@pytest.mark.parametrize("classes", [2, 3])
def test_each_problem_is_scikit_learns(classes):
    many, x, labels = problems(classes)
    solution = solve(many)
    for p, strength in enumerate(many.strengths):
        rows = many.taken[:, p] == 1
        plain = LogisticRegression(C=strength, solver="newton-cg", tol=1e-11, max_iter=1000).fit(x[rows], labels[rows])
        assert np.allclose(solution.weights[:-1, p].T, plain.coef_, atol=1e-6)
        assert np.allclose(solution.weights[-1, p], plain.intercept_, atol=1e-6)
        scores = plain.decision_function(x).reshape(len(x), -1)  # of the films left out too
        assert np.allclose(solution.logits[:, p], scores, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_gradient_is_that_of_the_objective(classes):
    many, x, labels = problems(classes)
    weights = np.random.default_rng(2).normal(size=(9, 3, many.truth.shape[1])) / 10

    def objective(flat: np.ndarray, p: int) -> float:
        w = flat.reshape(9, -1)
        z = x @ w[:-1] + w[-1]
        z = np.concatenate([0 * z, z], 1) if classes == 2 else z
        losses = np.log(np.exp(z).sum(1)) - z[np.arange(len(x)), labels]
        return float(many.strengths[p] * losses @ many.taken[:, p] + (w[:-1] ** 2).sum() / 2)

    _, gradient = many.gradient(weights)
    for p in range(3):
        numeric = approx_fprime(weights[:, p].ravel(), objective, 1e-6, p)
        assert np.allclose(gradient[:, p].ravel(), numeric, rtol=1e-3, atol=1e-2 * many.strengths[p])


def test_problems_do_not_see_each_other():
    many, _, _ = problems()
    together = solve(many)
    for p in range(3):
        alone = solve(many.only(np.array([p])))
        assert np.allclose(together.weights[:, p], alone.weights[:, 0], rtol=1e-6, atol=1e-9)
