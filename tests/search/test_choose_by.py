"""Candidates judged at sites left out: the search finds the one that holds there, on validation films the shortcut."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from plainfilm.cli import main
from plainfilm.config import TrainConfig
from plainfilm.data.sources import load
from plainfilm.search.trials import Bench
from plainfilm.storage.files import read_json
from plainfilm.storage.tables import read_csv

TINY = ["--model", "vgg", "--size", "16", "--channels", "1", "--batch", "12", "--threads", "1", "--epochs"]
VARY = ["--vary", "resize=crop|stretch", "--algorithm", "grid", "--no-prune", "--positive", "sick", "--quiet"]
ALONE = [flag for name in ("learning_rate", "batch", "decay") for flag in ("--vary", f"{name}=fixed")]
ALONE += [
    flag
    for name in ("augment.rotation", "augment.translation", "augment.zoom", "class_weights.positive")
    for flag in ("--vary", f"{name}=fixed")
]


def write_films(folder, films: int = 180):
    """Write wide films of three sites. The disease is a shadow in the middle that a third of the films hardly show; in
    the margin, which a central crop leaves out, a mark tells the class at each site, at Riga the other way round."""
    rng = np.random.default_rng(0)
    rows = ["path,label,patient,site"]
    folder.mkdir()
    for k in range(films):
        site, sick = ("Lyon", "Oslo", "Riga")[k % 3], k // 3 % 2
        picture = rng.normal(110, 25, (32, 64))
        picture[10:22, 26:38] += 45 * sick * (rng.random() > 0.25)
        marked = sick != (site == "Riga")
        picture[:, :10] = 220 if marked else 30
        picture[:, -10:] = 30 if marked else 220
        buffer = io.BytesIO()
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
        (folder / f"{k:03d}.png").write_bytes(buffer.getvalue())
        rows.append(f"{k:03d}.png,{'sick' if sick else 'well'},p{k},{site}")
    (folder / "films.csv").write_text("\n".join(rows))
    return folder / "films.csv"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("sites") / "data")


def searched(data, out, epochs, *more):
    words = ["--budget", str(3 * epochs), *TINY, str(epochs), *VARY, *ALONE, *more]
    assert main(["search", str(data), "--out", str(out), *words]) == 0
    return read_json(out / "search.json")


@pytest.mark.slow
def test_sites_left_out_choose_the_candidate_that_holds_there_and_validation_films_the_shortcut(data, tmp_path):
    here = searched(data, tmp_path / "here", 8)
    assert here["best"]["values"].get("resize", "crop") == "stretch"
    found = searched(data, tmp_path / "there", 8, "--choose-by", "site", "--objective", "worst_auroc,auroc")
    scores = {
        trial["values"].get("resize", "crop"): trial["scores"]["worst_auroc"]
        for trial in (found["default"], found["best"])
    }
    assert found["best"]["values"].get("resize", "crop") == "crop" and scores["crop"] > 0.7
    rows = read_csv(tmp_path / "there" / "search.csv")[1]
    stretched = [float(row["worst_auroc"]) for row in rows if row["resize"] == "stretch"]
    assert max(stretched) < 0.6


def test_a_search_by_sites_says_so_and_gives_a_command_that_trains(data, tmp_path):
    found = searched(data, tmp_path / "there", 1, "--choose-by", "site", "--objective", "worst_auroc,auroc")
    rows = read_csv(tmp_path / "there" / "search.csv")[1]
    assert len(rows) == 3 and all(float(row["worst_auroc"]) <= float(row["auroc"]) for row in rows)
    assert "one site left out at a time" in found["sentence"] and found["protocol"].startswith("one site left out")
    assert "--choose-by" not in found["train"]  # nothing is chosen in a training by steps
    assert "one site left out at a time" in (tmp_path / "there" / "report.html").read_text()
    assert not (tmp_path / "there" / "trials").exists()


def test_each_site_is_judged_by_a_network_that_saw_neither_it_nor_the_test_part(data, tmp_path):
    config = TrainConfig(size=16, choose_by="site", seed=3)
    bench = Bench.open(str(data), tmp_path, config, ("auroc",))
    tests = bench.tests(bench.first)
    parts = load(str(data))
    assert len(tests) == 3 and len(bench.first.films) < len(parts)
    for test in tests:
        site = {test.films[int(k)].columns["site"] for k in test.films.where("val")}
        assert len(site) == 1 and not site & {test.films[int(k)].columns["site"] for k in test.films.where("train")}
        assert len(test.pixels) == len(test.films) == len(bench.first.films)
    judged = sorted(test.films[int(k)].path for test in tests for k in test.films.where("val"))
    assert judged == sorted(film.path for film in bench.first.films)
    place = [film.path for film in bench.first.films].index(tests[1].films[0].path)
    assert np.array_equal(tests[1].pixels[np.array([0])], bench.first.pixels[np.array([place])])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--choose-by", "scanner"], "no column 'scanner'"),
        (["--choose-by", "patient_id"], "no column"),
        (["--choose-by", "site", "--split", "paper"], "leave --split paper out"),
        (["--objective", "worst_auroc"], "--choose-by"),
        (["--vary", "choose_by=site|scanner"], "can't be compared"),
    ],
)
def test_input_at_fault_is_one_sentence(data, tmp_path, capsys, words, said):
    assert main(["search", str(data), "--out", str(tmp_path / "s"), *TINY, "1", "--quiet", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and len(error.splitlines()) == 1


def test_train_says_that_steps_choose_nothing(data, tmp_path, capsys):
    assert main(["train", str(data), "--out", str(tmp_path / "t"), *TINY, "1", "--choose-by", "site", "--quiet"]) == 2
    assert "vgg is trained by steps, and nothing of it is chosen" in capsys.readouterr().err


def test_a_head_is_chosen_and_searched_by_sites(data, vgg16_file, tmp_path):
    few = ["--model", "vgg16-lr", "--weights", str(vgg16_file), "--size", "32", "--threads", "1", "--quiet"]
    run = tmp_path / "run"
    assert main(["train", str(data), "--out", str(run), "--choose-by", "site", "--no-probes", *few]) == 0
    assert read_json(run / "model.json")["search"]["score"] == "AUROC"
    assert "one site left out at a time" in (run / "report.html").read_text()
    out = tmp_path / "heads"
    assert main(["search", str(data), "--out", str(out), "--choose-by", "site", "--budget", "2", *few]) == 0
    found = read_json(out / "search.json")
    assert found["films"]["val"] == found["films"]["train"] and found["states"]["done"] == 2
    assert "--choose-by site" in found["train"]
