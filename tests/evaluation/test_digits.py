"""Probabilities as text: the rule of decision can be followed with what is shown."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.evaluation.decision import Band, Decision
from plainfilm.evaluation.digits import beside, edge, shown


@pytest.mark.parametrize(
    ("p", "edges", "text"),
    [
        (0.5, (), "0.500"),
        (0.93412, (0.9, 0.2), "0.934"),
        (0.93412, (0.9338,), "0.9341"),
        (0.9338, (0.9338,), "0.934"),  # on the edge: as the edge is shown
        (0.99995, (0.5,), "> 0.999"),
        (0.99995, (0.99991,), "0.99995"),
        (0.99999, (0.99991,), "0.99999"),
        (0.99995, (0.5, 1.0), "> 0.999"),
        (2e-5, (0.5,), "< 0.001"),
        (2e-5, (3e-5, 0.5), "0.00002"),
        (1.0, (0.9999,), "> 0.9999"),
        (0.0, (1e-15,), "< 0.000000000001"),
    ],
)
def test_a_probability_has_the_digits_that_tell_it_from_the_edges(p, edges, text):
    assert shown(p, edges) == text


def test_no_text_contradicts_the_rule():
    """Any film and any threshold: the texts are in the order of the numbers, and equal only where these are."""
    rng = np.random.default_rng(0)
    odds = rng.normal(scale=6, size=(4000, 2))
    odds[::2, 1] = odds[::2, 0] + rng.normal(scale=1e-4, size=2000)
    for p, cut in (1 / (1 + np.exp(-odds))).tolist():
        told, [at] = beside(p, [cut])
        if abs(p - cut) > 1e-11 and told[0] not in "<>":
            assert (float(told) > float(at)) is (p > cut), (p, cut)
        alone = shown(p, [cut])
        if abs(p - cut) > 1e-11 and alone[0] not in "<>":
            assert alone != f"{cut:.{len(alone) - 2}f}", (p, cut)
        if alone[0] in "<>" and 1e-11 < cut < 1 - 1e-11:
            assert (float(alone[2:]) >= cut) is (alone[0] == ">"), (p, cut)
        assert abs(float(edge(cut)) - cut) <= 0.005 * min(cut, 1 - cut) + 1e-12


def test_a_certain_film_does_not_lengthen_the_threshold_beside_it():
    """The page said: the threshold is 0.500079880."""
    assert beside(0.99999988, [0.50007988]) == ("> 0.999", ["0.500"])
    assert beside(1e-9, [0.3, 0.99987]) == ("< 0.001", ["0.300", "0.999870"])
    assert beside(0.50007, [0.50007988]) == ("0.50007", ["0.50008"])


def test_two_films_of_which_one_goes_to_a_reader_do_not_look_the_same():
    rule = Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA", 0.62, refer=Band(0.3, 0.99987))
    inside, outside = np.array([1 - 0.9995, 0.9995]), np.array([1 - 0.99995, 0.99995])
    assert rule.refers(np.stack([inside, outside])).tolist() == [True, False]
    assert (rule.told(inside, 1), rule.told(outside, 1)) == ("0.9995", "> 0.9999")
    assert rule.reason(inside) == "the probability of PNEUMONIA, 0.9995, is in the band for a reader (0.3000 to 0.9999)"
    assert rule.told(np.array([0.38, 0.62]), 0) == "0.380"  # at the threshold, of the other class
