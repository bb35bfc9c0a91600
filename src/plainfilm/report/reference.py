"""Published figures, each with the protocol it was measured under; they are never ranked across protocols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from plainfilm.errors import PlainfilmError

Verdict = Literal["reproduced", "higher", "lower"]

ROUNDING = 0.005  # the paper prints two digits
TOLERANCE = 1e-9  # .95 + .005 is not exactly .955

PAPER = (
    "Laban, Jovanović, Vesović, Zarić: Classification of Chest X-Ray Images Using Deep Convolutional Neural Networks"
)
PAPER_FILMS = 5856
LIKE_THE_PAPERS = range(5_000, 6_001)  # films: 5,856 with the test folder, 5,216 without it
PAPER_PROTOCOL = (
    f"{PAPER_FILMS:,} films of children (Kermany), 75 % training and 25 % validation by film at random, one run; "
    "1,464 films scored, which also served as validation; patients shared between the parts"
)

# Table I of the paper in its order of models and columns: macro averages on the validation quarter.
SCORES = {"precision_macro": "Precision", "recall_macro": "Recall", "f1_macro": "F1", "accuracy": "Accuracy"}
TABLE_I: dict[str, dict[str, float]] = {
    "vgg": {"precision_macro": 0.95, "recall_macro": 0.94, "f1_macro": 0.95, "accuracy": 0.95},
    "vgg-bn": {"precision_macro": 0.95, "recall_macro": 0.95, "f1_macro": 0.95, "accuracy": 0.95},
    "vgg16-lr": {"precision_macro": 0.97, "recall_macro": 0.96, "f1_macro": 0.96, "accuracy": 0.97},
}


@dataclass(frozen=True)
class Published:
    """One published figure: whose, what was found, on which films."""

    who: str
    figures: str
    protocol: str
    source: str


PUBLISHED = (
    Published("The paper (Table I, best model)", "accuracy 97\u00a0%, macro F1\u00a00.96", PAPER_PROTOCOL, PAPER),
    Published(
        "Kermany et al. 2018",
        "accuracy 92.8\u00a0%, AUROC\u00a00.968",
        "a separate test set of 624 films that took no part in training or in any choice",
        "Cell 172:1122, doi 10.1016/j.cell.2018.02.010",
    ),
)


def verdict(published: float, ours: Mapping[str, float]) -> Verdict:
    """Return how our figure stands to a published one that was rounded to two digits.

    ``ours``: {"value", "low", "high"}. "reproduced" when published ± 0.005 overlaps low..high, else "higher" or "lower"
    as ours is. PlainfilmError when the bounds are unknown (NaN).
    """
    low, high = ours["low"], ours["high"]
    if not low <= high:
        raise PlainfilmError(
            f"An interval from {low} to {high} can't be held against {published}; score the run again."
        )
    if published + ROUNDING < low - TOLERANCE:
        return "higher"
    return "lower" if published - ROUNDING > high + TOLERANCE else "reproduced"


def why_not_comparable(config: Mapping[str, Any]) -> str:
    """Return why a run (its config.json) gets no verdict against Table I, or an empty text when it gets one."""
    if config["synthetic"]:
        return "these are synthetic films, so nothing here can reproduce or refute the paper"
    if config["settings"]["split"] != "paper":
        return f"this protocol ({config['protocol']}) is not the paper's"
    if {name.lower() for name in config["classes"]} != {"normal", "pneumonia"}:
        return "the classes are not the paper's (normal, pneumonia)"
    films = sum(config["classes"].values())
    if films not in LIKE_THE_PAPERS:
        return f"{films:,} films are not the paper's set ({PAPER_FILMS:,}, or the 5,216 of its training folder)"
    return ""
