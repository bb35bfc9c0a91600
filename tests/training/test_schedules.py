from __future__ import annotations

from itertools import pairwise

import pytest

from plainfilm.training.schedules import DESCRIPTIONS, rate


@pytest.mark.parametrize(("rule", "last"), [("keras", 0.0049), ("recursion", 0.0245), ("epoch", 0.0477)])
def test_last_rates_of_the_papers_setting(rule, last):
    assert rate(rule, 0.05, 30, 29, 30 * 183 - 1) == pytest.approx(last, abs=6e-5)


def test_every_rule_starts_at_alpha_0_and_falls():
    for rule in DESCRIPTIONS:
        rates = [rate(rule, 0.05, 30, epoch, epoch * 183) for epoch in range(30)]
        assert rates[0] == 0.05 and all(a >= b for a, b in pairwise(rates)) and rates[-1] < 0.05


def test_recursion_is_the_printed_equation():
    alpha, k = 0.05, 0.05 / 30
    for i in range(3):
        assert rate("recursion", 0.05, 30, i, 0) == pytest.approx(alpha / (1 + k * i))
        alpha = alpha / (1 + k * i)
