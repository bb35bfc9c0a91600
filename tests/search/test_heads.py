from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from plainfilm.image.store import Rows
from plainfilm.models.linear import fit_logistic
from plainfilm.search.heads import coordinates
from plainfilm.search.trying import fit_head


@pytest.fixture
def films():
    rng = np.random.default_rng(0)
    labels = (rng.random(70) < 0.5).astype(np.int64)
    x = (rng.normal(0, 1, (70, 200)) * rng.uniform(0.1, 5, 200) + labels[:, None]).astype(np.float32)
    return x, labels, np.arange(50), np.arange(50, 70)


@pytest.mark.parametrize("standardise", [False, True])
def test_a_head_in_coordinates_is_the_one_that_train_fits(films, standardise):
    x, labels, train, val = films
    rows, groups = Rows(x, np.arange(70), {}), np.arange(70)
    grid = [1e-4, 1e-3, 1e-2]
    official = fit_logistic(rows, train, labels[train], groups[train], grid, 3, 0, standardise)
    logits = x[val] @ official.weight.T + official.bias
    z = coordinates(rows, train, standardise)
    found = fit_head(z, labels, train, val, groups, grid, 3, 0)
    assert found.probabilities[:, 1] == pytest.approx(expit(logits[:, 1] - logits[:, 0]), abs=1e-4)
    alone = fit_head(z, labels, train, val, groups, [official.regularisation], 3, 0)
    assert alone.probabilities == pytest.approx(found.probabilities)


def test_coordinates_keep_inner_products_and_order_by_variance(films):
    x, _, train, _ = films
    z = coordinates(Rows(x, np.arange(70), {}), train)
    centred = x.astype(np.float64) - x[train].mean(0, dtype=np.float64)
    assert z.shape == (70, 49)
    assert z @ z[train].T == pytest.approx(centred @ centred[train].T, rel=1e-6, abs=1e-4)
    assert (np.diff(z[train].std(0)) <= 1e-9).all()
