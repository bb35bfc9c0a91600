"""The checklist for prediction models and the paragraph of methods: every figure from the run, every gap visible."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from plainfilm.report.methods import write_methods
from plainfilm.report.tripod import CRITICAL, ITEMS, OF_CLAIM, answers, write_tripod
from plainfilm.report.words import score_in_words
from plainfilm.runs.folder import RunFolder

MakeRun = Callable[..., Path]
SPLIT = {"split": "grouped", "parts": ("train", "val", "test")}


def test_the_items_are_numbered_as_in_the_paper_and_each_is_answered(make_run: MakeRun, tmp_path: Path) -> None:
    numbers = [number for items in ITEMS.values() for number in items]
    assert len(numbers) == len(set(numbers)) == 52 and {int(n.rstrip("abcdefg")) for n in numbers} == set(range(1, 28))
    assert set(CRITICAL) | set(OF_CLAIM) <= set(numbers)
    run = RunFolder(make_run(tmp_path, films=600, **SPLIT))
    text = write_tripod(run).read_text()
    rows = {number: said for number, _, said in re.findall(r"^\| (\d+[a-g]?) \| (.+) \| (.+) \|$", text, re.M)}
    assert list(rows) == numbers and rows["17"] == rows["8a"] == "*for the authors to say*"
    assert score_in_words(run, "auroc") in rows["23a"] and set(answers(run)) <= set(numbers)


def test_missing_critical_items_stand_before_all_others(make_run: MakeRun, tmp_path: Path) -> None:
    text = write_tripod(RunFolder(make_run(tmp_path, films=600, **SPLIT))).read_text()
    first = text.split("## Title")[0]
    listed = re.findall(r"^- \*\*(\d+[a-g]?)\*\*", first, re.M)
    assert {"8a", "10", "17"} <= set(listed) <= set(CRITICAL) and "12a" not in listed


def test_methods_hold_the_run_s_own_figures(make_run: MakeRun, tmp_path: Path) -> None:
    run = RunFolder(make_run(tmp_path, films=600, **SPLIT))
    text = write_methods(run).read_text()
    assert f"on {len(run.scored):,} test films" in text and f"AUROC {score_in_words(run, 'auroc')}" in text
    assert f"probability of {run.threshold:.3g}" in text and f"seed was {run.config['seed']}" in text
    assert all(str(n) in text.replace(",", "") for n in run.config["films"].values() if n)
    assert "[origin, dates, consent, reference standard]" in text and "nan" not in text
