from __future__ import annotations

import pytest

from plainfilm.errors import InputError
from plainfilm.evaluation.conditions import holding

SCORES = {
    "auroc": {"value": 0.91, "low": 0.87, "high": 0.94},
    "recall_No Finding": {"value": 0.4, "low": 0.3, "high": 0.5},
    "recall_COVID-19": {"value": 0.4, "low": 0.2, "high": 0.5},
    "npv": {"value": float("nan"), "low": None, "high": None},
}


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("auroc<0.9", []),
        ("auroc.low<0.9", ["auroc.low<0.9 (0.8700)"]),
        ("auroc >= .91", ["auroc >= .91 (0.9100)"]),
        ("auroc.high>0.95", []),
        ("recall_No Finding < .5", ["recall_No Finding < .5 (0.4000)"]),
        ("recall_COVID-19.low>=.2", ["recall_COVID-19.low>=.2 (0.2000)"]),
        ("npv<0.5", ["npv<0.5 (not defined)"]),
    ],
)
def test_a_condition_is_read_as_written(condition, found):
    assert holding([condition], SCORES) == found


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("auroc", "expected SCORE<NUMBER"),
        ("auc<0.9", "no score 'auc'.*auroc"),
        ("auroc<1.2.3", "1.2.3 is not a number"),
    ],
)
def test_another_form_is_refused(condition, words):
    with pytest.raises(InputError, match=words):
        holding([condition], SCORES)
