from __future__ import annotations

import csv
import json

import pytest
from PIL import Image

from plainfilm.cli import main
from plainfilm.runs.checkup import checkup
from plainfilm.storage.files import read_json


@pytest.fixture(scope="module")
def paper(tmp_path_factory, films_folder, vgg16_file):
    out = tmp_path_factory.mktemp("paper") / "out"
    words = ["paper", films_folder, "--out", out, "--epochs", 2, "--size", 32, "--weights", vgg16_file, "--quiet"]
    assert main([str(w) for w in words]) == 0
    return out, words


def test_three_models_one_table_one_report(paper):
    out, _ = paper
    assert checkup(out)["state"] == "finished"
    assert {"vgg", "vgg-bn", "vgg16-lr", "table.csv", "table.md", "report.html", "figures"} <= {
        p.name for p in out.iterdir()
    }
    with open(out / "table.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [r["model"] for r in rows] == ["vgg", "vgg-bn", "vgg16-lr"]
    assert list(rows[0])[:5] == ["model", "accuracy", "precision_macro", "recall_macro", "f1_macro"]
    for row in rows:
        metrics = read_json(out / row["model"] / "metrics.json")
        assert float(row["accuracy"]) == pytest.approx(metrics["val"]["accuracy"]["value"])
        assert metrics["protocol"] == "validation scores; split by film, patients shared"
    assert rows[0]["parameters"] != rows[2]["parameters"]


def test_all_models_see_the_same_split(paper):
    out, _ = paper
    assert len({(out / m / "films.csv").read_bytes() for m in ("vgg", "vgg-bn", "vgg16-lr")}) == 1


def test_every_page_and_table_carries_the_protocol_and_the_papers_figures(paper):
    out, _ = paper
    for page in (
        out / "report.html",
        out / "table.md",
        *(out / m / "report.html" for m in ("vgg", "vgg-bn", "vgg16-lr")),
    ):
        text = page.read_text()
        assert "patients shared" in text, page
        assert page.parent != out or ".95" in text, page
    report = (out / "report.html").read_text()
    for words in ("92.8", "624", "not a medical device", "split by film"):
        assert words in report
    assert "http://" not in report.replace("http://www.w3.org", "") and 'src="figures' not in report  # self-contained


def test_figures_are_png_and_svg(paper):
    out, _ = paper
    names = {p.stem for p in (out / "figures").glob("*.png")}
    assert names and names == {p.stem for p in (out / "figures").glob("*.svg")}
    for path in (out / "figures").glob("*.png"):
        with Image.open(path) as figure:
            assert figure.size[0] > 300
    assert (out / "vgg" / "figures" / "montage.png").exists()


def test_again_it_refuses_and_resume_keeps_every_model(paper, capsys):
    out, words = paper
    assert main([str(w) for w in words]) == 2
    assert "--resume" in capsys.readouterr().err
    before = [(out / m / "model.h5").read_bytes() for m in ("vgg", "vgg-bn", "vgg16-lr")]
    assert main([*(str(w) for w in words), "--resume", "--json"]) == 0
    assert [(out / m / "model.h5").read_bytes() for m in ("vgg", "vgg-bn", "vgg16-lr")] == before
    assert [row["model"] for row in json.loads(capsys.readouterr().out)["table"]] == ["vgg", "vgg-bn", "vgg16-lr"]


def test_an_unknown_model_stops_before_anything_is_written(tmp_path, films_folder, capsys):
    assert main(["paper", str(films_folder), "--out", str(tmp_path / "o"), "--models", "vgg,vgg16"]) == 2
    assert "Did you mean 'vgg16-lr'" in capsys.readouterr().err and not (tmp_path / "o").exists()


def test_demo_writes_films_and_compares_and_can_be_run_again(tmp_path, capsys):
    words = [
        "demo",
        "--out",
        str(tmp_path / "demo"),
        "--films",
        "104",
        "--models",
        "vgg",
        "--epochs",
        "1",
        "--size",
        "16",
        "--quiet",
    ]
    assert main(words) == 0
    assert len(list((tmp_path / "demo" / "films").rglob("*.jpeg"))) == 104
    assert "Report: " in capsys.readouterr().out
    assert "ynthetic" in (tmp_path / "demo" / "report.html").read_text()
    quarantine = (tmp_path / "demo" / "vgg" / "quarantine.csv").read_text()
    assert quarantine.count("\n") == 2  # the header and the planted unreadable film
    assert main(words) == 0


def test_a_demo_goes_on_in_its_own_folder_alone(tmp_path, capsys):
    words = ["demo", "--out", str(tmp_path / "demo"), "--films", "8", "--models", "vgg,vgg", "--quiet"]
    for more, said in (
        ([], "names vgg twice"),  # the films are there now
        (["--seed", "1"], "which a demo with these --films and --seed has not"),
        (["--films", "12"], "which a demo with these --films and --seed has not"),
        (["--films", "99999999999"], "too large"),
    ):
        assert main([*words, *more]) == 2
        assert said in capsys.readouterr().err
    assert len(list((tmp_path / "demo" / "films").rglob("*.jpeg"))) == 8
