from __future__ import annotations

from itertools import pairwise

import pytest

from plainfilm.config import DECAYS
from plainfilm.training.schedules import DESCRIPTIONS, rate


@pytest.mark.parametrize(("rule", "last"), [("keras", 0.0049), ("recursion", 0.0245), ("epoch", 0.0477)])
def test_last_rates_of_the_papers_setting(rule, last):
    assert rate(rule, 0.05, 30, 29, 30 * 183 - 1) == pytest.approx(last, abs=6e-5)


def test_every_rule_of_the_paper_starts_at_alpha_0_and_falls():
    for rule in ("keras", "recursion", "epoch"):
        rates = [rate(rule, 0.05, 30, epoch, epoch * 183) for epoch in range(30)]
        assert rates[0] == 0.05 and all(a >= b for a, b in pairwise(rates)) and rates[-1] < 0.05


def test_recursion_is_the_printed_equation():
    alpha, k = 0.05, 0.05 / 30
    for i in range(3):
        assert rate("recursion", 0.05, 30, i, 0) == pytest.approx(alpha / (1 + k * i))
        alpha = alpha / (1 + k * i)


def test_every_rule_has_a_description():
    assert set(DESCRIPTIONS) == set(DECAYS)


@pytest.mark.parametrize(("rule", "top"), [("cosine", 0.1), ("one-cycle", 0.3)])
def test_cosine_and_one_cycle_rise_to_alpha_0_and_fall_to_nothing(rule, top):
    steps = [rate(rule, 0.01, 10, step // 100, step, 100) for step in range(1000)]
    highest = steps.index(max(steps))
    assert max(steps) == pytest.approx(0.01, rel=1e-3) and abs(highest - 1000 * top) <= 1
    assert all(a <= b for a, b in pairwise(steps[:highest])) and all(a >= b for a, b in pairwise(steps[highest:]))
    assert 0 < steps[0] < 0.001 and 0 < steps[-1] < 1e-5


def test_one_cycle_is_torchs():
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=1001)
    for step in range(1000):
        # torch counts to the last step itself and ends at alpha_0 / 25 / 10^4; ours a step behind it, at alpha_0 / 10^4
        assert rate("one-cycle", 0.1, 10, 0, step, 100) == pytest.approx(theirs.get_last_lr()[0], abs=5e-4)
        optimizer.step()
        theirs.step()
