from __future__ import annotations

import csv
import json
import zipfile

import pytest

from plainfilm.cli import main
from plainfilm.runs.checkup import checkup

FILES = ["audit.json", "duplicates.csv", "figures", "films.csv", "manifest.csv", "quarantine.csv", "report.html"]


def rows(path):
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle))


def test_everything_is_written_and_nothing_outside(films_folder, make_film, tmp_path, capsys):
    out = tmp_path / "audit"
    assert main(["audit", str(films_folder), "--against", str(films_folder), "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert checkup(out)["state"] == "finished"
    assert sorted(p.name for p in out.iterdir() if p.name not in (".lock", "SHA256SUMS")) == FILES
    assert [p.name for p in tmp_path.iterdir()] == ["audit"]
    assert printed == json.loads((out / "audit.json").read_text())
    assert len(rows(out / "films.csv")) == len(rows(out / "manifest.csv")) == 40
    first = rows(out / "films.csv")[0]
    assert (first["path"], first["width"], first["jpeg_quality"][:2]) == ("NORMAL/IM-0000-0000.jpeg", "72", "74")
    page = (out / "report.html").read_text()
    assert "<script" not in page
    assert 'src="http' not in page
    for heading in ("Doubtful labels", "Is the other set like this one?", "What a leaky split would have scored"):
        assert heading in page
    assert main(["audit", str(films_folder), "--out", str(out)]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_strict_says_what_failed_and_prints_the_audit_all_the_same(make_films, tmp_path, capsys):
    folder = make_films(tmp_path / "set", 4, 6)
    assert main(["audit", str(folder), "--strict"]) == 0
    (folder / "NORMAL" / "IM-0009-0001.jpeg").write_bytes(b"no film")
    (folder / "NORMAL" / "IM-0008-0001.jpeg").write_bytes(
        (folder / "PNEUMONIA" / "person0_bacteria_0.jpeg").read_bytes()
    )
    capsys.readouterr()
    assert main(["audit", str(folder)]) == 0
    assert main(["audit", str(folder), "--strict", "--out", str(tmp_path / "a")]) == 3
    said = capsys.readouterr()
    assert "RED LINE: 1 picture there twice under different labels" in said.out
    assert "1 red line and 1 film that can't be read" in said.err
    assert rows(tmp_path / "a" / "quarantine.csv")[0]["path"] == "NORMAL/IM-0009-0001.jpeg"
    assert [row["label"] for row in rows(tmp_path / "a" / "duplicates.csv")] == ["NORMAL", "PNEUMONIA"]
    assert "under different labels" in (tmp_path / "a" / "report.html").read_text()


def test_another_set_without_labels_and_one_class_only(films_folder, tmp_path, capsys):
    loose = tmp_path / "loose.zip"
    with zipfile.ZipFile(loose, "w") as archive:
        for path in sorted((films_folder / "PNEUMONIA").iterdir()):
            archive.write(path, path.name)
    assert main(["audit", str(films_folder), "--against", str(loose), "--json"]) == 0
    assert {t["class"] for t in json.loads(capsys.readouterr().out)["shift"]["tests"]} == {"", "NORMAL", "PNEUMONIA"}
    one = films_folder / "PNEUMONIA"
    assert main(["audit", str(films_folder), "--against", str(one), "--json"]) == 0
    tests = json.loads(capsys.readouterr().out)["shift"]["tests"]
    assert all(test["auc"]["value"] == 0.5 for test in tests if test["class"] == "PNEUMONIA")  # the very same films
    assert main(["audit", str(films_folder), "--against", str(films_folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["shift"]["other"] == str(films_folder) != found["data"]  # two sets of one name are told apart


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f, t, m: [str(f / "NORMAL")], "is in no class folder"),
        (lambda f, t, m: [str(m(t / "one", 3, 0))], "one class only"),
        (lambda f, t, m: [str(m(t / "single", 1, 0))], "one class only (NORMAL, 1 film)"),
        (lambda f, t, m: [str(f), "--against", str(t / "nowhere")], "does not exist"),
        (lambda f, t, m: [str(f), "--against", str(t)], "holds no films"),
        (lambda f, t, m: [str(f), "--against", str(f / "bad.csv")], "lacks the column path and label"),
        (lambda f, t, m: [str(f), "--positive", "SICKK"], "There is no class 'SICKK'"),
        (lambda f, t, m: [str(f), "--predictions", str(t / "none.csv")], "can't be read"),
        (lambda f, t, m: [str(f), "--patient-regex", "("], "not a regular expression"),
    ],
)
def test_input_at_fault_is_one_sentence(make, said, make_films, tmp_path, capsys):
    folder = make_films(tmp_path / "set" / "films", 3, 3)
    (tmp_path / "set" / "films" / "bad.csv").write_text("no,films\n1,2\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["audit", *make(folder, empty, make_films), "--quiet"]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
