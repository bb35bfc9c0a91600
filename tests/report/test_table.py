from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from plainfilm.errors import InputError, PlainfilmError
from plainfilm.report import provenance, reference, table, words
from plainfilm.report.reference import TABLE_I, verdict, why_not_comparable
from plainfilm.runs.folder import RunFolder
from plainfilm.runs.inside import unfinished
from plainfilm.storage.files import read_json, write_json
from plainfilm.storage.tables import write_csv

MakeRun = Callable[..., Path]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.94, 0.96, "reproduced"),
        (0.955, 0.97, "reproduced"),  # .95 may be .955 before it was rounded
        (0.956, 0.97, "higher"),
        (0.90, 0.945, "reproduced"),
        (0.90, 0.944, "lower"),
    ],
)
def test_verdict_allows_for_the_paper_s_rounding(low: float, high: float, expected: str) -> None:
    assert verdict(0.95, {"value": (low + high) / 2, "low": low, "high": high}) == expected


def test_verdict_needs_bounds() -> None:
    with pytest.raises(PlainfilmError, match="score the run again"):
        verdict(0.95, {"value": 0.95, "low": math.nan, "high": math.nan})


def test_no_verdict_across_protocols_classes_or_on_synthetic_films() -> None:
    config = {
        "synthetic": False,
        "protocol": "stamp",
        "settings": {"split": "paper"},
        "classes": {"Normal": 1341, "PNEUMONIA": 3875},
    }
    assert why_not_comparable(config) == ""
    assert "synthetic" in why_not_comparable(config | {"synthetic": True})
    assert "stamp" in why_not_comparable(config | {"settings": {"split": "grouped"}})
    few = {"classes": {"NORMAL": 300, "PNEUMONIA": 300}}
    assert "600 films are not the paper's set" in why_not_comparable(config | few)
    assert "classes" in why_not_comparable(config | {"classes": {"NORMAL": 1, "BACTERIAL": 1, "VIRAL": 1}})


def test_table_one_is_the_paper_s() -> None:
    assert [list(row.values()) for row in TABLE_I.values()] == [
        [0.95, 0.94, 0.95, 0.95],
        [0.95, 0.95, 0.95, 0.95],
        [0.97, 0.96, 0.96, 0.97],
    ]


def test_rows_come_in_the_paper_s_order_then_by_name(make_run: MakeRun, tmp_path: Path) -> None:
    for model in ("best", "vgg16-lr", "another", "vgg", "vgg-bn"):
        make_run(tmp_path / model, model)
    assert [row["model"] for row in table.collect(tmp_path)] == ["vgg", "vgg-bn", "vgg16-lr", "another", "best"]


def test_a_row_holds_what_the_run_s_files_say(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "vgg", films=200)
    (row,) = table.collect(tmp_path)
    metrics = json.loads((run / "metrics.json").read_text())
    assert tuple(row) == table.COLUMNS
    assert row["accuracy"] == metrics["val"]["accuracy"]["value"]
    assert row["auroc_low"] == metrics["val"]["auroc"]["low"]
    assert row["gap_accuracy"] == metrics["train"]["accuracy"]["value"] - metrics["val"]["accuracy"]["value"]
    assert row["films"] == 100 and row["seconds"] == 100.0 and row["parameters"] == 1266
    assert row["note"] == "" and row["protocol"] == "validation scores; split by film, patients shared"


def test_gap_in_loss_is_the_difference_of_mean_cross_entropies(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "vgg", films=4)
    (folder / "predictions.csv").write_text(
        "path,part,label,p_NORMAL,p_PNEUMONIA\n"
        "a,train,NORMAL,0.8,0.2\nb,train,PNEUMONIA,0.1,0.9\n"
        "c,val,NORMAL,0.5,0.5\nd,val,PNEUMONIA,0.75,0.25\n"
    )
    (row,) = table.collect(tmp_path)
    expected = -(math.log(0.5) + math.log(0.25)) / 2 + (math.log(0.8) + math.log(0.9)) / 2
    assert row["gap_loss"] == pytest.approx(expected)


@pytest.mark.parametrize(("temperature", "offsets"), [(20.0, None), (1.0, [-1.5, 1.5]), (8.0, [2.0, -2.0])])
def test_gap_in_loss_is_that_of_the_network_and_not_of_calibration_that_validation_chose(
    make_run: MakeRun, tmp_path: Path, temperature: float, offsets: list[float] | None
) -> None:
    """A gap of -0.618 stood beside curves that ended at 34.2 on validation and 0.806 in training."""
    folder, parts = make_run(tmp_path / "vgg", films=4), ("train", "train", "val", "val")
    network = np.array([[9.0, 0.0], [0.0, 6.0], [0.0, 4.0], [3.0, 0.0]])  # right in training, wrong on validation
    truth = np.array([0, 1, 0, 1])
    in_use = softmax((network + np.array(offsets or [0, 0])) / temperature, axis=1)
    rows = [(i, parts[i], ("NORMAL", "PNEUMONIA")[k], *in_use[i].tolist()) for i, k in enumerate(truth)]
    write_csv(folder / "predictions.csv", ["path", "part", "label", "p_NORMAL", "p_PNEUMONIA"], rows)
    model = read_json(folder / "model.json") | {"temperature": temperature, "offsets": offsets}
    write_json(folder / "model.json", model)
    (row,) = table.collect(tmp_path)
    losses = -log_softmax(network, axis=1)[np.arange(4), truth]
    assert row["gap_loss"] == pytest.approx(losses[2:].mean() - losses[:2].mean()) and row["gap_loss"] > 3
    assert "before calibration" in provenance.cost([RunFolder(folder)]).caption


def test_the_test_part_counts_where_there_is_one(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "vgg", films=240, split="grouped", parts=("train", "val", "test"))
    (row,) = table.collect(tmp_path)
    metrics = json.loads((tmp_path / "vgg" / "metrics.json").read_text())
    assert row["films"] == 80 and row["accuracy"] == metrics["test"]["accuracy"]["value"]


def test_a_model_that_did_not_learn_is_said_so_and_gets_no_verdict(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "vgg", dead=True)
    table.write_table(tmp_path)
    (row,) = table.collect(tmp_path)
    assert row["note"] == "did not learn: one class predicted (PNEUMONIA)"
    text = (tmp_path / "table.md").read_text()
    assert "**did not learn: one class predicted (PNEUMONIA)**" in text and "reproduced**" not in text


def test_a_part_of_one_class_is_no_sign_of_not_learning(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "vgg", films=4)
    rows = ["a,train,NORMAL,0.8,0.2", "b,val,PNEUMONIA,0.1,0.9", "c,val,PNEUMONIA,0.2,0.8"]
    (folder / "predictions.csv").write_text("path,part,label,p_NORMAL,p_PNEUMONIA\n" + "\n".join(rows) + "\n")
    assert table.collect(tmp_path)[0]["note"] == ""


def test_table_csv_starts_with_the_contract_s_columns_and_leaves_undone_cells_empty(
    make_run: MakeRun, tmp_path: Path
) -> None:
    folder = make_run(tmp_path / "vgg")
    (folder / "metrics.json").unlink()
    table.write_table(tmp_path)
    text = (tmp_path / "table.csv").read_text()
    assert text.startswith("model,accuracy,precision_macro,recall_macro,f1_macro,auroc,sensitivity,specificity,")
    (row,) = csv.DictReader(text.splitlines())
    assert row["accuracy"] == row["gap_accuracy"] == "" and row["films"] == "60" and float(row["gap_loss"])


def test_table_md_has_stamp_paper_ours_verdict_and_cost(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "LIKE_THE_PAPERS", range(1_000))
    make_run(tmp_path / "vgg", films=200, certainty=4.0)
    make_run(tmp_path / "vgg16-lr", "vgg16-lr")
    table.write_table(tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert text.index("split by film, patients shared") < text.index("| Model | Precision | Recall | F1 | Accuracy |")
    run = RunFolder(tmp_path / "vgg")
    word = verdict(0.95, run.score("accuracy").as_dict())
    assert f"{words.score_in_words(run, 'accuracy')}; paper 0.95: **{word}**" in text
    assert "2 min 00 s" in text and "1,266" in text and "0.32 GFLOP" in text
    assert "not a medical device" in text and "synthetic" not in text


def test_synthetic_films_are_said_to_be_synthetic_and_get_no_verdict(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "vgg", synthetic=True)
    table.write_table(tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert "**synthetic films**" in text and "No verdict" in text
    assert not any(f"**{word}**" in text for word in ("reproduced", "higher", "lower"))


def test_every_row_of_a_markdown_table_has_as_many_cells_as_its_header(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "x", "a|b")
    table.write_table(tmp_path)
    lines = [line for line in (tmp_path / "table.md").read_text().splitlines() if line.startswith("|")]
    cells = [line.replace("\\|", "").count("|") for line in lines]
    assert cells == [6, 6, 6, 8, 8, 8]


def test_nan_in_metrics_is_undefined_and_what_is_missing_was_not_done(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "vgg")
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["val"]["npv"] = {"value": None, "low": None, "high": None}
    del metrics["val"]["ppv"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    run = RunFolder(folder)
    assert words.score_in_words(run, "npv") == "undefined" and words.score_in_words(run, "ppv") == "not done"
    assert np.isnan(run.score("npv").value) and np.isnan(run.score("ppv").value)


def test_a_folder_without_a_finished_run_is_an_input_error(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run"):
        table.collect(tmp_path)
    make_run(tmp_path / "vgg")
    (tmp_path / "vgg" / "model.json").unlink()
    assert unfinished(tmp_path) == ["vgg"]
    with pytest.raises(InputError, match="no finished run"):
        table.collect(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (1000, "16 min 40 s"), (3725, "1 h 02 min")],
)
def test_durations_read_as_a_person_says_them(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text
