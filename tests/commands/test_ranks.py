"""Two processes of one torchrun, for real: the same run as one process gives, a killed one, and the user's mistakes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from plainfilm.cli import main
from plainfilm.models.model import Model
from plainfilm.storage.files import read_json
from plainfilm.storage.tables import read_csv

SETTINGS = ("--epochs", "4", "--batch", "8", "--size", "16", "--threads", "1", "--refer", "none")


def torchrun(*words: str, cache: Path, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start ``plainfilm`` with ``words`` in two processes that only speak to each other on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    head = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *options)
    place = ("--master-addr", "127.0.0.1", "--master-port", port, "-m", "plainfilm")
    environment = {**os.environ, "PLAINFILM_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*head, *place, *words], env=environment, text=True, **streams)


def ended(started: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait for the end, and return output and remarks; processes that wait for each other for ever are a failure."""
    try:
        return started.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        started.terminate()
        raise


@pytest.fixture(scope="module")
def alone(films_folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "run"
    assert main(["train", str(films_folder), "--out", str(out), *SETTINGS]) == 0
    return out


def same_run(run: Path, alone: Path) -> None:
    """Weights, history and probabilities as those of one process, but for the order of sums; films exactly."""
    for name in ("films.csv", "quarantine.csv"):
        assert (run / name).read_bytes() == (alone / name).read_bytes()
    ours, theirs = (Model.load(folder / "model.h5").network.state_dict() for folder in (run, alone))
    for name, value in theirs.items():
        assert np.abs(ours[name].numpy() - value.numpy()).max() <= 1e-6, name
    for table, width in (("history.csv", 6), ("predictions.csv", 5)):
        (header, a), (_, b) = (read_csv(folder / table) for folder in (run, alone))
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            for name in header[:width]:
                exact = name in ("path", "part", "label")
                assert x[name] == y[name] if exact else float(x[name]) == pytest.approx(float(y[name]), abs=2e-6)


def workers(parent: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=False)
    return sorted(int(pid) for pid in found.stdout.split())


def test_a_rank_is_killed_and_the_run_ends_as_if_it_had_not_been(alone, films_folder, tmp_path):
    words = ("train", str(films_folder), "--out", str(tmp_path / "run"), *SETTINGS)
    started = torchrun(*words, cache=tmp_path / "cache", options=("--max-restarts", "1", "--monitor-interval", "0.2"))
    history = tmp_path / "run" / "history.csv"
    while not history.exists() and started.poll() is None:  # an epoch is done
        time.sleep(0.01)
    os.kill(workers(started.pid)[-1], signal.SIGKILL)
    before = history.read_text().splitlines()
    output, said = ended(started)
    assert started.returncode == 0, said
    assert said.count("24 to train") == 2, said  # begun twice: it was killed, and not after its end
    assert output.count("report.html") == 1
    same_run(tmp_path / "run", alone)
    assert history.read_text().splitlines()[: len(before)] == before  # seconds too: what was done was not done again
    assert read_json(tmp_path / "run" / "config.json")["processes"] == 2


def test_an_audit_is_that_of_one_process(films_folder, tmp_path):
    """Unreadable films at places of both, and an odd number of them."""
    data = shutil.copytree(films_folder, tmp_path / "films")
    for name in ("NORMAL/a.jpeg", "NORMAL/b.jpeg", "PNEUMONIA/a.jpeg"):
        (data / name).write_text("no film")
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(["audit", str(data), "--out", str(one)]) == 0
    started = torchrun("audit", str(data), "--out", str(two), cache=tmp_path / "cache")
    output, said = ended(started)
    assert started.returncode == 0, said
    assert output.count("readable") + output.count("films (") == 1 and said.count("Traceback") == 0
    for name in ("audit.json", "films.csv", "quarantine.csv", "manifest.csv", "duplicates.csv"):
        assert (two / name).read_bytes() == (one / name).read_bytes(), name
    again = torchrun("audit", str(data), "--out", str(two), cache=tmp_path / "cache")
    _, said = ended(again)
    assert again.returncode != 0 and said.count("is not empty") == 1


def test_labels_are_those_of_one_process(alone, films_folder, tmp_path):
    (tmp_path / "films").symlink_to(films_folder)
    (tmp_path / "bad.png").write_bytes(b"no film")
    words = ("label", str(alone), str(tmp_path / "films"), str(tmp_path / "bad.png"), "--out")
    assert main([*words, str(tmp_path / "one.csv")]) == 0
    started = torchrun(*words, str(tmp_path / "two.csv"), "--json", cache=tmp_path / "cache")
    output, said = ended(started)
    assert started.returncode == 0, said
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert '"labelled": 40' in output and '"refused": 1' in output
    assert [p.name for p in tmp_path.iterdir() if "-of-2" in p.name] == []


@pytest.mark.slow
def test_features_extracted_by_turns_give_the_same_bytes(films_folder, vgg16_file, tmp_path):
    words = ("train", str(films_folder), "--model", "vgg16-lr", "--size", "32", "--weights", str(vgg16_file), "--out")
    assert main([*words, str(tmp_path / "one")]) == 0
    started = torchrun(*words, str(tmp_path / "two"), cache=tmp_path / "cache")
    _, said = ended(started)
    assert started.returncode == 0, said
    for name in ("features.h5", "predictions.csv", "films.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_the_users_mistake_is_one_sentence_and_exit_code_2(tmp_path, films_folder):
    started = torchrun("train", str(tmp_path / "nothing"), "--out", str(tmp_path / "run"), cache=tmp_path / "cache")
    _, said = ended(started)
    assert said.count("does not exist; give a folder") == 1 and "exitcode  : 2" in said
    assert "Traceback" not in said[: said.index("failed (exitcode")]  # what follows is torchrun's own
    assert not (tmp_path / "run").exists()
