from __future__ import annotations

import re
from dataclasses import asdict

import pytest

from plainfilm.report.search import red_lines, search_report
from plainfilm.search.journal import Trial

SPACE = ["learning_rate=0.001:0.3:log", "batch=8|16|64"]


def trial(number: int, auroc: float, x: float = 0.2, state: str = "done", seconds: float = 2.0) -> Trial:
    point = [x, -x] if number else []
    values = {"learning_rate": 0.01 + x / 100, "batch": 16} if number else {}
    scores = {} if state == "failed" else {"auroc": auroc, "seconds": seconds}
    reason = "The loss is nan." if state == "failed" else ""
    return Trial(number, point, values, scores, 2.0, 3, state, [], (auroc - 0.05, auroc + 0.05), reason)


def document(trials: list[Trial], best: int = 0, objective: str = "auroc") -> dict:
    return {
        "algorithm": "tpe",
        "objective": objective,
        "budget": 30,
        "price": 3,
        "unit": "epochs",
        "space": SPACE,
        "prune": True,
        "settings": {"model": "vgg", "seed": 0},
        "plainfilm": "0",
        "versions": {"torch": "2"},
        "command": "search <films>",
        "data": "<films>",
        "synthetic": True,
        "protocol": "patients separate",
        "films": {"train": 10, "val": 4},
        "positive": "PNEUMONIA",
        "trials": len(trials),
        "states": {s: sum(t.state == s for t in trials) for s in ("done", "pruned", "failed")},
        "spent": 3 * len(trials),
        "seconds": 12.0,
        "default": asdict(trials[0]),
        "best": asdict(trials[best]),
        "sentence": "A sentence.",
        "train": "plainfilm train '<films>' --batch 16",
    }


def test_the_page_holds_the_command_the_trials_and_no_markup_of_others(tmp_path):
    trials = [trial(0, 0.6), trial(1, 0.7, 0.5), trial(2, 0.9, -0.4), trial(3, 0.5, 0.1, "pruned")]
    page = search_report(tmp_path, document(trials, 2), trials).read_text()
    assert "plainfilm train &#39;&lt;films&gt;&#39; --batch 16" in page and "<films>" not in page
    assert "Synthetic films" in page and "not opened" in page
    assert re.search(r">0 \(as given\)<", page)
    assert {p.stem for p in (tmp_path / "figures").iterdir()} == {"anytime", "settings"}


def test_two_objectives_have_their_front(tmp_path):
    trials = [trial(0, 0.6, seconds=1), trial(1, 0.9, 0.3, seconds=9), trial(2, 0.5, -0.3, seconds=5)]
    page = search_report(tmp_path, document(trials, 1, "auroc,seconds"), trials).read_text()
    assert "What a better score costs" in page and (tmp_path / "figures" / "trade.svg").exists()


@pytest.mark.parametrize(
    ("trials", "best", "said"),
    [
        ([trial(0, 0.9), trial(1, 0.8)], 0, "nothing that was tried beats"),
        ([trial(0, 0.88), trial(1, 0.9)], 1, "not shown to be better"),
        ([trial(0, 0.5), trial(1, 0.9, 0.99)], 1, "the end of the range of learning_rate;"),
        ([trial(0, 0.5), trial(1, 0.9), trial(2, 0, state="failed")], 1, "1 trial failed: The loss is nan."),
    ],
)
def test_red_lines(trials, best, said, tmp_path):
    lines = red_lines(document(trials, best), trials, ["auroc"])
    assert [line for line in lines if said in line]
    search_report(tmp_path, document(trials, best), trials)


def test_a_clear_gain_has_no_red_line_and_a_search_that_failed_has_a_page(tmp_path):
    good = [trial(0, 0.5), trial(1, 0.9)]
    assert red_lines(document(good, 1), good, ["auroc"]) == []
    bad = [trial(0, 0.5, state="failed"), trial(1, 0.5, state="failed")]
    assert "failed" in search_report(tmp_path, document(bad), bad).read_text()
