"""The checklist for prediction models and the paragraph of methods: every figure from the run, every gap visible."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from plainfilm.report import stard
from plainfilm.report.methods import write_methods
from plainfilm.report.stard import STARD, write_stard
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


def test_stard_has_the_forty_items_of_the_paper_and_the_run_s_own_figures(make_run: MakeRun, tmp_path: Path) -> None:
    numbers = [number for items in STARD.items.values() for number in items]
    assert len(numbers) == len(set(numbers)) == 48 and {int(n.rstrip("abcd")) for n in numbers} == set(range(1, 41))
    assert {n[:-1] for n in numbers if n[-1].isalpha()} == {"15", "16", "17", "26", "40"}
    run = RunFolder(make_run(tmp_path, films=600, **SPLIT))
    text = write_stard(run).read_text()
    rows = {number: said for number, _, said in re.findall(r"^\| (\d+[a-d]?) \| (.+) \| (.+) \|$", text, re.M)}
    assert list(rows) == numbers and set(stard.answers(run)) | set(STARD.critical) <= set(numbers)
    assert rows["6"] == rows["16a"] == "*for the authors to say*" and score_in_words(run, "auroc") in rows["31"]
    cells = [int(n) for n in re.findall(r"(\d+) (?:true|false)", rows["30"])]
    assert sum(cells) == len(run.scored) and cells[0] + cells[2] == run.scored.truth.sum()
    assert cells[0] + cells[1] == run.scored.called.sum()
    first = re.findall(r"^- \*\*(\d+[a-d]?)\*\*", text.split("## Title")[0], re.M)
    assert {"12", "16a", "17b"} <= set(first) and "30" not in first
