from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plainfilm.report.card import write_card
from plainfilm.report.claim import ITEMS, answers, write_claim
from plainfilm.report.words import score_in_words
from plainfilm.runs.folder import RunFolder
from plainfilm.storage.files import write_json

MakeRun = Callable[..., Path]
MakeProbes = Callable[..., dict[str, Any]]
SPLIT = {"split": "grouped", "parts": ("train", "val", "test")}


def cells_a_row(text: str) -> list[set[int]]:
    """For each Markdown table, how many cells its rows have."""
    tables = re.findall(r"(?:^\|.*\n)+", text, re.M)
    return [{line.replace("\\|", "").count("|") for line in table.splitlines()} for table in tables]


def test_the_card_has_mitchells_sections_and_scores_with_intervals(make_run: MakeRun, tmp_path: Path) -> None:
    text = write_card(RunFolder(make_run(tmp_path, films=600, **SPLIT))).read_text()
    assert re.findall(r"^## (.*)$", text, re.M) == [
        "Model details", "Intended use", "Out of scope", "Factors", "Metrics", "Evaluation data", "Training data",
        "Results", "Caveats",
    ]  # fmt: skip
    assert "not a medical device" in text and "**patients separate**" in text
    assert f"| AUROC | {score_in_words(RunFolder(tmp_path), 'auroc')} |" in text
    assert "not done (`plainfilm evaluate" in text and "Synthetic" not in text
    assert all(len(cells) == 1 for cells in cells_a_row(text))


def test_the_card_names_probes_and_that_films_are_synthetic(
    make_run: MakeRun, make_probes: MakeProbes, tmp_path: Path
) -> None:
    write_json(make_run(tmp_path, synthetic=True, **SPLIT) / "probes.json", make_probes())
    text = write_card(RunFolder(tmp_path)).read_text()
    assert "Worst of 2 subgroups" in text and "lungs covered: AUROC 0.600" in text and "**Synthetic films" in text


def test_claim_has_44_items_in_order_each_answered_or_a_visible_gap(make_run: MakeRun, tmp_path: Path) -> None:
    assert sum(map(len, ITEMS.values())) == 44
    text = write_claim(RunFolder(make_run(tmp_path, "vgg16-lr", films=600, **SPLIT))).read_text()
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", text, re.M)
    assert [int(number) for number, _, _ in rows] == list(range(1, 45))
    said = {int(number): answer for number, _, answer in rows}
    assert said[5] == said[34] == said[44] == "*for the authors to say*"
    assert said[30].startswith("not done") and said[33].startswith("not done")
    assert "0 patients" not in said[20] and said[20].startswith("patient:")
    assert score_in_words(RunFolder(tmp_path), "auroc") in said[37] and "C = 1e-05" in said[26]
    assert all(len(cells) == 1 for cells in cells_a_row(text))


def test_claim_counts_its_gaps(make_run: MakeRun, make_probes: MakeProbes, tmp_path: Path) -> None:
    make_run(tmp_path, "vgg|x")  # patients shared; a name that would break a table
    known = answers(RunFolder(tmp_path))
    gaps = sum("not done" in text for text in known.values())
    text = write_claim(RunFolder(tmp_path)).read_text()
    assert f"{len(known) - gaps} items are answered, {gaps} are not done, {44 - len(known)} are" in text
    assert known[20].startswith("film: 7 patients") and all(len(cells) == 1 for cells in cells_a_row(text))
    metrics = {"test": {"auroc": {"value": 0.54, "low": 0.4, "high": 0.7}}}
    write_json(tmp_path / "on-other" / "metrics.json", metrics)
    assert answers(RunFolder(tmp_path))[33] == "other: AUROC 0.540 (0.400–0.700)"
    write_json(tmp_path / "probes.json", make_probes())
    assert answers(RunFolder(tmp_path))[30] == "Most labels flip by: inverted."


@pytest.mark.usefixtures("words_only")
def test_a_report_leaves_both_beside_it(make_run: MakeRun, tmp_path: Path) -> None:
    from plainfilm.report.html import run_report

    run_report(RunFolder(make_run(tmp_path)))
    assert {"report.html", "model-card.md", "claim-2024.md"} <= {path.name for path in tmp_path.iterdir()}
