from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from plainfilm.cli import main
from plainfilm.config import TrainConfig
from plainfilm.data.sources import load
from plainfilm.runs.checkup import checkup
from plainfilm.search.journal import Journal
from plainfilm.search.trials import Bench, without_test
from plainfilm.storage.files import read_json
from plainfilm.storage.tables import read_csv
from plainfilm.training.preparation import prepare

TINY = ["--size", "16", "--epochs", "2", "--threads", "1", "--quiet"]


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def search(folder, out, *more):
    return run("search", folder, "--out", out, "--budget", 12, *TINY, *more)


@pytest.fixture(scope="module")
def searched(tmp_path_factory, films_folder):
    out = tmp_path_factory.mktemp("searches") / "vgg"
    assert search(films_folder, out) == 0
    return out


def without_seconds(path: Path) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_csv(path)[1]]


def test_a_search_folder_holds_table_report_and_the_best(searched):
    assert checkup(searched)["state"] == "finished"
    names = {p.name for p in searched.iterdir() if not p.name.startswith(".")}
    assert names == {"search.json", "search.csv", "journal.jsonl", "report.html", "figures", "SHA256SUMS"}
    header, rows = read_csv(searched / "search.csv")
    assert header[:2] == ["trial", "learning_rate"] and header[-2:] == ["state", "reason"]
    assert {"auroc", "low", "high", "seconds", "epochs"} <= set(header)
    assert sum(int(row["epochs"]) for row in rows) <= 12 and rows[0]["learning_rate"] == ""
    found = read_json(searched / "search.json")
    best = max((r for r in rows if r["state"] == "done"), key=lambda r: float(r["auroc"]))
    assert found["best"]["scores"]["auroc"] == float(best["auroc"])
    page = (searched / "report.html").read_text()
    assert "The test part was not opened" in page and "<script" not in page
    assert (searched / "figures" / "anytime.png").exists()


def test_the_settings_as_given_score_what_train_scores(searched, films_folder, tmp_path):
    assert run("train", films_folder, "--out", tmp_path / "run", *TINY) == 0
    official = read_json(tmp_path / "run" / "metrics.json")["val"]["auroc"]
    default = read_json(searched / "search.json")["default"]
    assert default["scores"]["auroc"] == pytest.approx(official["value"], abs=1e-9)
    known = None if official["low"] is None else pytest.approx([official["low"], official["high"]], abs=1e-9)
    assert default["interval"] == known


def test_the_command_that_is_given_trains_the_best_trial(searched, tmp_path):
    found = read_json(searched / "search.json")
    words = shlex.split(found["train"])
    assert words[:2] == ["plainfilm", "train"]
    words[words.index("--out") + 1] = str(tmp_path / "best")
    assert run(*words[1:], "--quiet", "--threads", 1) == 0
    official = read_json(tmp_path / "best" / "metrics.json")["val"]["auroc"]["value"]
    assert found["best"]["scores"]["auroc"] == pytest.approx(official, abs=1e-9)


def test_the_test_part_is_put_aside_before_anything_is_tried(films_folder, tmp_path):
    prepared = prepare(load(str(films_folder)), [TrainConfig(size=16)], str(films_folder))[0]
    seen = without_test(prepared)
    assert prepared.films.where("test").size and not seen.films.where("test").size
    assert len(seen.pixels) == len(seen.films) == prepared.films.where("train", "val").size
    kept = prepared.films.where("train", "val")
    assert np.array_equal(seen.pixels[slice(None)], prepared.pixels[kept])
    bench = Bench.open(str(films_folder), tmp_path, TrainConfig(size=16), ("auroc",))
    assert {film.part for film in bench.prepared(TrainConfig(size=32)).films} == {"train", "val"}


def test_a_search_killed_while_it_trains_ends_as_one_that_was_not(searched, films_folder, tmp_path):
    """SIGKILL between two epochs of the third or a later trial; then --resume."""
    out = tmp_path / "killed"
    arguments = ["search", films_folder, "--out", out, "--budget", 12, *TINY]
    process = subprocess.Popen([sys.executable, "-m", "plainfilm", *map(str, arguments)])
    journal, trials = out / "journal.jsonl", out / "trials"
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        done = len(journal.read_bytes().splitlines()) if journal.exists() else 0
        if done >= 2 and any(trials.glob("*/checkpoint.h5")):
            os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.002)
    assert process.wait() == -signal.SIGKILL
    assert search(films_folder, out, "--resume") == 0
    assert without_seconds(out / "search.csv") == without_seconds(searched / "search.csv")
    assert not (out / "trials").exists()


def test_workers_share_the_trials_and_find_the_same(films_folder, tmp_path):
    for workers in (1, 2):
        more = ["--algorithm", "random", "--population", 2, "--workers", workers]
        assert search(films_folder, tmp_path / str(workers), *more) == 0
    assert without_seconds(tmp_path / "1" / "search.csv") == without_seconds(tmp_path / "2" / "search.csv")
    assert search(films_folder, tmp_path / "2", "--algorithm", "random", "--resume") == 0  # the population is kept


def test_a_search_that_was_begun_is_not_overwritten_and_not_mixed(searched, films_folder, tmp_path, capsys):
    before = (searched / "search.csv").read_bytes()
    assert search(films_folder, searched) == 2
    assert "--resume" in capsys.readouterr().err
    assert search(films_folder, searched, "--resume", "--algorithm", "pso") == 2
    assert "algorithm was 'tpe' and is 'pso'" in capsys.readouterr().err
    assert search(films_folder, searched, "--resume", "--batch", "8") == 2
    assert "batch was 24 and is 8" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    assert search(films_folder, tmp_path / "other", "--resume") == 2
    assert "no search by plainfilm" in capsys.readouterr().err
    assert search(films_folder, searched, "--resume") == 0
    assert (searched / "search.csv").read_bytes() == before


def test_a_head_is_searched_by_fits(films_folder, vgg16_file, tmp_path, capsys):
    out = tmp_path / "head"
    few = ["--weights", vgg16_file, "--size", 32, "--threads", 1, "--quiet"]
    more = ["--algorithm", "cmaes", "--objective", "brier", "--budget", 9, "--json"]
    assert run("search", films_folder, "--out", out, "--model", "vgg16-lr", *more, *few) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["unit"] == "fits" and found["trials"] == 9
    assert found["best"]["scores"]["brier"] <= found["default"]["scores"]["brier"]
    assert found["best"]["number"] > 0 and set(found["best"]["values"]) == {"regularisation"}
    assert f"--regularisation {found['best']['values']['regularisation']}" in found["train"]


def test_dense_layers_on_frozen_features_are_searched_by_epochs(films_folder, vgg16_file, tmp_path):
    out = tmp_path / "s"
    tiny = ["--size", "32", "--epochs", "1", "--threads", "1", "--quiet", "--weights", vgg16_file]
    assert run("search", films_folder, "--out", out, "--model", "vgg16-mlp", "--budget", 2, *tiny) == 0
    assert [row["state"] for row in read_csv(out / "search.csv")[1]] == ["done", "done"]


def test_two_objectives_give_a_front(films_folder, tmp_path, capsys):
    out = tmp_path / "front"
    vary = ["--vary", "size=16|32", "--algorithm", "ga", "--population", 4, "--objective", "auroc,flops", "--json"]
    assert (
        run("search", films_folder, "--out", out, "--epochs", 1, "--budget", 6, "--threads", 1, *vary, "--quiet") == 0
    )
    found = json.loads(capsys.readouterr().out)
    trials = Journal(out).refresh()
    sizes = {trials[n].values.get("size", 64): trials[n].scores["flops"] for n in trials}
    assert sizes[16] < sizes[32] < sizes[64]
    assert found["front"] and min(trials[n].scores["flops"] for n in found["front"]) == sizes[16]
    assert "Pareto front" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--algorithm", "cmae"], "Did you mean 'cmaes'?"),
        (["--objective", "aurok"], "Did you mean 'auroc'?"),
        (["--algorithm", "pso", "--objective", "auroc,seconds"], "one objective"),
        (["--vary", "batch=8"], "LOW < HIGH"),
        (["--budget", "3"], "at least 4 are needed"),
        (["--workers", "0"], "at least 1"),
        (["--model", "vg"], "There is no model 'vg'"),
    ],
)
def test_input_at_fault_is_one_sentence_and_leaves_no_folder(words, said, films_folder, tmp_path, capsys):
    out = tmp_path / "none"
    assert run("search", films_folder, "--out", out, *TINY, *words) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and len(error.splitlines()) == 1
    assert not out.exists()


def test_what_a_fitted_model_has_no_use_for_is_not_searched(films_folder, vgg16_file, tmp_path, capsys):
    words = [
        "search",
        films_folder,
        "--out",
        tmp_path / "s",
        "--model",
        "vgg16-lr",
        "--vary",
        "learning_rate=.01:.1:log",
    ]
    assert run(*words) == 2
    assert "vgg16-lr is not trained by steps" in capsys.readouterr().err and not (tmp_path / "s").exists()
