"""One finding of a table as a question: trained, scored by columns, asked of other films, used for labels."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from plainfilm.cli import main

SMALL = ["--epochs", "1", "--batch", "8", "--size", "16", "--threads", "1", "--quiet"]


def table(folder: Path, make_film, films: int = 90) -> Path:
    """Write films of a table of two findings with unknown and uncertain cells, two films a patient."""
    chance = random.Random(0)
    (folder / "films").mkdir(parents=True)
    with open(folder / "films.csv", "w", newline="") as out:
        write = csv.writer(out).writerow
        write(["path", "patient", "Pneumonia", "Edema", "site", "age", "sex"])
        for k in range(films):
            sick = k % 4 < 2
            (folder / "films" / f"{k:03d}.jpeg").write_bytes(make_film(k, sick))
            cell = {0: "", 1: "-1"}.get(k % 9, str(int(sick)))
            about = [chance.choice("01"), chance.choice(["Lyon", "Oslo"]), chance.randint(1, 90), chance.choice("FM")]
            write([f"films/{k:03d}.jpeg", k // 2, cell, *about])
    return folder / "films.csv"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from tests.conftest import film_bytes

    folder = tmp_path_factory.mktemp("findings")
    data = table(folder / "data", film_bytes)
    out = folder / "run"
    assert main(["train", str(data), "--findings", "pneumonia", "--out", str(out), *SMALL]) == 0
    return out, data


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_unknown_and_uncertain_films_are_left_out_and_all_columns_stay(run):
    out, data = run
    known = {row["path"]: row for row in read(data) if row["Pneumonia"] in ("0", "1")}
    films = read(out / "films.csv")
    assert {row["path"] for row in films} == set(known) and len(known) == 70
    for row in films:
        assert row["label"] == {"1": "Pneumonia", "0": "no Pneumonia"}[known[row["path"]]["Pneumonia"]]
        assert [row[name] for name in ("Edema", "site", "age", "sex")] == [
            known[row["path"]][name] for name in ("Edema", "site", "age", "sex")
        ]
    config = json.loads((out / "config.json").read_text())
    assert config["settings"]["findings"] == "pneumonia"
    assert "20 films of which Pneumonia is not known are left out: unknown is not negative" in config["notes"]
    assert json.loads((out / "model.json").read_text())["positive"] == "Pneumonia"


def test_scores_by_columns_of_a_run_and_of_a_file(run, tmp_path, capsys):
    out, _ = run
    assert main(["evaluate", str(out), "--by", "SITE,Edema,age:40", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)["by"]
    films = [row for row in read(out / "films.csv") if row["part"] == found["part"] == "test"]
    for row in found["rows"]:
        if row["column"] in ("site", "Edema"):
            assert row["films"] == sum(film[row["column"]] == row["group"] for film in films)
    assert [r["group"] for r in found["rows"] if r["column"] == "age"] == ["below 40", "40 and more"]
    assert main(["evaluate", str(out), "--by", "scanner"]) == 2
    assert "there is no column 'scanner'; there are Edema, site, age, sex" in capsys.readouterr().err
    site = {row["path"]: row["site"] for row in films}
    said = [row for row in read(out / "predictions.csv") if row["path"] in site]
    with open(tmp_path / "p.csv", "w", newline="") as file:
        write = csv.writer(file).writerow
        write([*said[0], "site"])
        for row in said:
            write([*row.values(), site[row["path"]]])
    assert main(["evaluate", str(tmp_path / "p.csv"), "--by", "site", "--json", "--quiet"]) == 0
    again = json.loads(capsys.readouterr().out)["by"]["rows"]
    assert [r["films"] for r in again] == [r["films"] for r in found["rows"] if r["column"] == "site"]


def test_a_model_asks_its_question_of_other_tables_and_labels_in_its_words(run, tmp_path, capsys):
    out, data = run
    other = tmp_path / "other"
    (other).mkdir()
    (other / "films").symlink_to(data.parent / "films")
    (other / "films.csv").write_text(data.read_text().replace("Pneumonia", "PNEUMONIA").replace(",site,", ",hospital,"))
    assert (
        main(["evaluate", str(out), str(other / "films.csv"), "--out", str(tmp_path / "on"), "--json", "--quiet"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert {row["column"] for row in found["by"]["rows"]} == {"hospital", "age", "sex"}
    assert {row["label"] for row in read(tmp_path / "on" / "predictions.csv")} == {"Pneumonia", "no Pneumonia"}
    assert main(["label", str(out), str(data.parent / "films" / "000.jpeg"), "--out", str(tmp_path / "l.csv")]) == 0
    assert read(tmp_path / "l.csv")[0]["label"] in ("Pneumonia", "no Pneumonia")


def test_what_is_asked_must_be_there(run, tmp_path, capsys):
    _, data = run
    assert main(["train", str(data), "--out", str(tmp_path / "out"), *SMALL]) == 2
    assert "Columns of findings (1, 0 or empty) are named by --findings" in capsys.readouterr().err
    assert main(["train", str(data), "--findings", "Hernia", "--out", str(tmp_path / "out"), *SMALL]) == 2
    assert "has no finding 'Hernia'" in capsys.readouterr().err
    assert main(["train", str(data), "--findings", "age", "--out", str(tmp_path / "out"), *SMALL]) == 2
    assert "which is none of 1, 0, -1 (uncertain) or empty" in capsys.readouterr().err
