"""The table of predictions: it reads back exactly what was written, and a bad one is refused with all its faults."""

from __future__ import annotations

import csv
import gzip
import warnings
from pathlib import Path

import numpy as np
import pytest

from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.predictions import (
    Predictions,
    read_predictions,
    write_predictions,
)


def some(paths: list[str], patients: list[str] | None = None) -> Predictions:
    share = np.linspace(0, 1, len(paths)) / 3  # thirds have no short decimal form
    return Predictions(
        paths,
        np.array(["val"] + ["test"] * (len(paths) - 1)),
        np.arange(len(paths)) % 2,
        np.column_stack([1 - share, share]),
        Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA"),
        np.array(patients or paths),
    )


def write(folder: Path, *lines: str) -> Path:
    path = folder / "predictions.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


# -- reading and writing ----------------------------------------------------------------------------------------------


def test_a_table_reads_back_bit_for_bit(tmp_path: Path) -> None:
    odd = ["a.jpeg", "with, comma.png", 'with "quotes".png', "two\nlines.png", "=cmd|x.png", "b\udcff.png", "é.png"]
    p = some(odd, patients=["one", "one", "two", "two", "three", "three", "four"])
    write_predictions(tmp_path / "p.csv", p)
    back = read_predictions(tmp_path / "p.csv")
    assert back.paths == p.paths
    assert back.classes == p.classes
    assert back.parts.tolist() == p.parts.tolist()
    assert back.labels.tolist() == p.labels.tolist()
    assert back.patients.tolist() == p.patients.tolist()
    assert np.array_equal(back.probabilities, p.probabilities)


def test_the_header_is_the_contracts_and_patients_stand_last_where_known(tmp_path: Path) -> None:
    write_predictions(tmp_path / "a.csv", some(["a", "b"]))
    write_predictions(tmp_path / "b.csv", some(["a", "b"], patients=["x", "b"]))
    assert (tmp_path / "a.csv").read_text().splitlines()[:2] == [
        "path,part,label,p_NORMAL,p_PNEUMONIA",
        "a,val,NORMAL,1.0,0.0",
    ]
    assert (tmp_path / "b.csv").read_text().splitlines()[0] == "path,part,label,p_NORMAL,p_PNEUMONIA,patient"


def test_a_foreign_file_needs_no_part_and_no_patient(tmp_path: Path) -> None:
    p = read_predictions(write(tmp_path, "p_ill,label,path,p_well", "0.2,well,a,0.8", "0.7,ill,b,0.3"))
    assert p.classes == ("ill", "well")
    assert p.labels.tolist() == [1, 0]
    assert p.parts.tolist() == ["test", "test"]
    assert p.patients.tolist() == ["a", "b"]


def test_patients_come_from_the_column_then_from_films_csv_then_from_the_path(tmp_path: Path) -> None:
    films = tmp_path / "films.csv"
    films.write_text("path,label,patient,part\na,x,from-films,test\nb,x,from-films,test\n")
    path = write(tmp_path, "path,label,patient,p_x,p_y", "a,x,own,1,0", "b,x,,1,0", "c,x,,1,0")
    assert read_predictions(path, films).patients.tolist() == ["own", "from-films", "c"]


def test_a_films_csv_without_patients_is_refused(tmp_path: Path) -> None:
    (tmp_path / "films.csv").write_text("path,label\na,x\n")
    path = write(tmp_path, "path,label,p_x,p_y", "a,x,1,0")
    with pytest.raises(InputError, match="no column patient"):
        read_predictions(path, tmp_path / "films.csv")


def test_probabilities_with_four_decimals_pass(tmp_path: Path) -> None:
    p = read_predictions(write(tmp_path, "path,label,p_a,p_b,p_c", "x,a,0.3333,0.3333,0.3333"))
    assert p.probabilities.tolist() == [[0.3333, 0.3333, 0.3333]]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["label,p_a,p_b", "a,1,0"], "the column path is missing"),
        (["a,b", "x,1"], "no column is known to hold the truth (it has a, b)"),
        (["path,p_a,p_b", "x,1,0"], "the column label is missing"),
        (["path,label", "x,a", "y,b"], "no column is known to hold the score"),
        (["path,label,p_a", "x,a,1"], "at least two classes, and only p_a is there"),
        (["path,label,p_a,p_b"], "it has no rows"),
        (["path,label,p_a,p_b", "x,a,1,0", "y,a,nan,0"], "1 row has a probability that is not a number (first: row 3)"),
        (["path,label,p_a,p_b", "x,a,yes,0"], "a probability that is not a number (first: row 2)"),
        (["path,label,p_a,p_b", "x,a,,1"], "a probability that is not a number"),
        (["path,label,p_a,p_b", "x,a,1.5,-0.5"], "1 row has a probability outside 0..1"),
        (["path,label,p_a,p_b", "x,a,inf,0"], "a probability outside 0..1"),
        (
            ["path,label,p_a,p_b", "x,a,0.5,0.4", "y,a,0,0"],
            "2 rows have probabilities that don't sum to one (first: row 2)",
        ),
        (["path,label,p_a,p_b", "x,c,1,0"], "a label that is none of a, b (first: row 2, 'c')"),
        (["path,label,p_a,p_b", "x,nan,1,0", "y,,1,0"], "no film has a label"),
        (["path,label,p_a,p_b,split", "x,a,1,0,exam"], "not train, val or test (first: row 2, 'exam')"),
        (["sep=,", "path,label,p_a,p_b", "", "x,a,1,0", "y,a,2,0"], "a probability outside 0..1 (first: row 5)"),
        (
            ["path,label,p_a,p_b", "x,a,1,0", "x,b,1,0"],
            "2 rows have a path that is there more than once (first: row 2, 'x')",
        ),
        (["path,label,p_a,p_b", ",a,1,0"], "1 row has no path"),
    ],
)
def test_each_mistake_is_named_with_its_row(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(InputError) as refusal:
        read_predictions(write(tmp_path, *lines))
    assert said in str(refusal.value)
    assert "predictions.csv" in str(refusal.value)


def test_all_mistakes_come_in_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path, "path,label,p_a,p_b", "x,c,1,0", "x,a,2,0", "y,a,nan,0", "z,a,0.1,0.1")
    with pytest.raises(InputError) as refusal:
        read_predictions(path)
    for said in ("none of a, b", "more than once", "outside 0..1", "not a number", "don't sum to one"):
        assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


# -- the table itself -------------------------------------------------------------------------------------------------


def test_a_part_holds_its_films_only() -> None:
    p = some(["a", "b", "c"], patients=["x", "y", "z"]).part("test")
    assert p.paths == ["b", "c"]
    assert p.patients.tolist() == ["y", "z"]
    assert p.labels.tolist() == [1, 0]
    with pytest.raises(InputError, match="Did you mean 'test'"):
        p.part("tset")


def test_rows_are_taken_by_index_or_by_mask() -> None:
    p = some(["a", "b", "c"])
    assert p.take(np.array([2, 0])).paths == ["c", "a"]
    assert p.take(np.array([True, False, True])).paths == ["a", "c"]


def test_a_film_at_the_threshold_is_positive_and_many_classes_go_to_the_first_of_the_likeliest() -> None:
    p = some(["a", "b", "c"])
    p.probabilities[:] = [[0.7, 0.3], [0.5, 0.5], [0.8, 0.2]]
    assert p.by(threshold=0.3).decided.tolist() == [1, 1, 0]
    assert p.by(positive="NORMAL", threshold=0.8).decided.tolist() == [1, 1, 0]
    assert Decision(("x", "y", "z"), "z", 0.1).decide(np.array([[0.2, 0.4, 0.4]])).tolist() == [1]


def test_a_table_of_labels_is_no_truth(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label,p_A,p_B,refer,reason\na.png,A,.9,.1,no,\n")
    with pytest.raises(InputError, match="the model's own, not the truth"):
        read_predictions(tmp_path / "labels.csv")


def test_infinite_probabilities_are_one_sentence_and_no_warning(tmp_path) -> None:
    (tmp_path / "p.csv").write_text("path,label,p_a,p_b\nx,a,inf,-inf\ny,b,0.4,0.6\n")
    with warnings.catch_warnings(), pytest.raises(InputError, match="a probability outside"):
        warnings.simplefilter("error")
        read_predictions(tmp_path / "p.csv")


@pytest.mark.parametrize("name", ["ref", "semi_comma", "case", "p01float", "parts", "valid"])
def test_dialects_of_one_table_have_one_area(shared_cases: Path, name: str) -> None:
    """The right value is scikit-learn's on the rows of ref.csv, read by Python's csv module: .869."""
    from sklearn.metrics import roc_auc_score

    rows = list(csv.DictReader((shared_cases / "evaluate_csv_dialects" / "ref.csv").read_text().splitlines()))
    positive = [key for key in rows[0] if key.startswith("p_")][1]
    right = roc_auc_score([row["label"] == positive[2:] for row in rows], [float(row[positive]) for row in rows])
    found = read_predictions(shared_cases / "evaluate_csv_dialects" / f"{name}.csv")
    assert round(right, 3) == 0.869 and len(found) == len(rows) == 60
    assert roc_auc_score(found.labels == 1, found.probabilities[:, 1]) == pytest.approx(right, abs=1e-12)


def _spelt(rows: list[list[str]], dialect: str) -> bytes:
    """The rows as a spreadsheet writes them: German Excel, R, Excel's Unicode text, gzip, a plain cp1252."""
    commas = [[cell.replace(".", ",") if cell[:1] in "01" else cell for cell in row] for row in rows]
    return {
        "german": "\r\n".join(";".join(row) for row in commas).encode("cp1252"),
        "sep": ("sep=;\n" + "\n".join(";".join(row) for row in commas)).encode("utf-8-sig"),
        "unicode text": "\r\n".join("\t".join(row) for row in commas).encode("utf-16"),
        "tsv": "\n".join("\t".join(row) for row in rows).encode(),
        "bars": "\n".join("|".join(row) for row in rows).encode(),
        "packed": gzip.compress("\n".join(",".join(row) for row in rows).encode()),
    }[dialect]


@pytest.mark.parametrize("dialect", ["german", "sep", "unicode text", "tsv", "bars", "packed"])
def test_every_dialect_gives_the_same_predictions(tmp_path: Path, dialect: str) -> None:
    header = ["Path", "LABEL", "P_gesund", "p_Lungenentzündung", "Split", "Patient"]
    rows = [
        ["a/1.png", "gesund", "0.75", "0.25", "valid", "00001108"],
        ["a/2.png", "LUNGENENTZÜNDUNG", "0.125", "0.875", "TEST ", "1108.0"],
        ["a/3.png", "#NV", "0.5", "0.5", "holdout", "7"],
        ["a/4.png", "Gesund ", "1", "0", "", "nan"],
    ]
    (tmp_path / "t.csv").write_bytes(_spelt([header, *rows], dialect))
    found = read_predictions(tmp_path / "t.csv")
    assert found.classes == ("gesund", "Lungenentzündung") and found.paths == ["a/1.png", "a/2.png", "a/4.png"]
    assert found.labels.tolist() == [0, 1, 0] and found.parts.tolist() == ["val", "test", "test"]
    assert found.probabilities.tolist() == [[0.75, 0.25], [0.125, 0.875], [1.0, 0.0]]
    assert found.patients[0] == found.patients[1] != found.patients[2] == "a/4.png"


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        (("0", "1"), ["1.0", "0.0", "01", "0"]),
        (("0.0", "1.0"), ["1", "0", "1,0", "0"]),
        (("-1", "1"), ["1.0", "-1.0", "1", "-1"]),
    ],
)
def test_labels_are_compared_as_numbers(tmp_path: Path, classes: tuple[str, str], labels: list[str]) -> None:
    rows = "".join(f'{i},"{label}",0.4,0.6\n' for i, label in enumerate(labels))
    (tmp_path / "t.csv").write_text(f"path,label,p_{classes[0]},p_{classes[1]}\n{rows}")
    assert read_predictions(tmp_path / "t.csv").labels.tolist() == [1, 0, 1, 0]


def test_a_share_in_per_cent_is_one(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('path;label;p_a;p_b\nx;a;87 %;13%\ny;b;"12,5 %";87,5%\n')
    assert read_predictions(tmp_path / "t.csv").probabilities.tolist() == [[0.87, 0.13], [0.125, 0.875]]


def test_patients_of_an_older_run_have_one_spelling_too(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label,p_a,p_b\nx,a,1,0\ny,b,0,1\nz,b,0,1\n")
    (tmp_path / "films.csv").write_text("path,patient\nx,100\ny,100.0\nz,\n")
    found = read_predictions(tmp_path / "t.csv", tmp_path / "films.csv")
    assert found.patients.tolist() == ["100", "100", "z"]
