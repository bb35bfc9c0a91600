"""Whoever only reads films needs no PyTorch: an exported file labels, serves, scores and compares without it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

ROOT = Path(__file__).resolve().parents[1]
TRAINING = ("torch", "torchvision", "timm", "sklearn", "matplotlib", "onnxscript", "jinja2", "h5py")
WITHOUT = f"""
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {TRAINING!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from plainfilm.cli import main
sys.exit(main())
"""
MOST_MEGABYTES = 400  # of the environment
MOST_SECONDS = 0.8  # of a first label
MOST_MEMORY = 250  # MB of the same
NOT_OURS = {"pip", "setuptools", "pkg_resources", "_distutils_hack"}  # an empty environment has them


@pytest.fixture(scope="module")
def exported(films_folder, tmp_path_factory) -> Path:
    """An untrained model as ONNX, with a gate."""
    import torch

    from plainfilm.evaluation.decision import Band, Decision
    from plainfilm.export.onnx import write_onnx
    from plainfilm.image.decode import decode
    from plainfilm.image.preprocess import Preprocess
    from plainfilm.image.store import Rows
    from plainfilm.models.gate import fit_gate
    from plainfilm.models.model import Model
    from plainfilm.models.vgg import initialise
    from plainfilm.models.zoo import recipe

    p = Preprocess(size=32)
    network = recipe("vgg").build(2, p)
    initialise(network, torch.Generator().manual_seed(0))
    pixels = np.stack([p.pixels(decode(path.read_bytes())) for path in sorted(films_folder.rglob("*.jpeg"))])
    gate = fit_gate(Rows(pixels, np.arange(len(pixels)), {}), np.arange(len(pixels)), np.random.default_rng(0))
    folder = tmp_path_factory.mktemp("exported")
    decision = Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA", 0.45, 1.5, Band(0.4, 0.6))
    Model(network, "vgg", decision, p, gate=gate).save(folder / "model.h5")
    write_onnx(Model.load(folder / "model.h5"), folder / "model.onnx", pixels[:4])
    return folder / "model.onnx"


def without(*words: object, **how: object) -> subprocess.CompletedProcess[str]:
    """Run the command line where none of what trains can be imported."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *map(str, words)], capture_output=True, text=True, timeout=300, **how
    )


def test_labels_are_those_with_torch_installed(exported, films_folder, tmp_path):
    from plainfilm.commands.label import label
    from plainfilm.export.opened import opened

    done = without("label", exported, films_folder, "--out", tmp_path / "a.csv", "--quiet")
    assert done.returncode == 0, done.stderr
    label(opened(exported), [str(films_folder)], tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_films_are_scored_and_the_scores_of_two_files_compared(exported, films_folder, tmp_path):
    done = without("evaluate", exported, films_folder, "--out", tmp_path / "on", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)
    assert 0 <= metrics["test"]["auroc"]["value"] <= 1
    predictions = tmp_path / "on" / "predictions.csv"
    done = without("evaluate", predictions, "--positive", "PNEUMONIA", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    rows, other = list(csv.DictReader(predictions.read_text().splitlines())), tmp_path / "other.csv"
    with open(other, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "p_NORMAL": row["p_PNEUMONIA"], "p_PNEUMONIA": row["p_NORMAL"]} for row in rows)
    done = without("compare", predictions, other, "--positive", "PNEUMONIA", "--json", "--quiet")
    assert done.returncode == 0, done.stderr


def test_a_label_waits_for_nothing_that_it_does_not_need(exported, films_folder, tmp_path):
    """SciPy took longer to import than all else together; the model has a band for a reader and a gate."""
    spared = WITHOUT.replace("sys.exit(main())", "main(); print(*sorted(sys.modules))")
    words = [exported, next(films_folder.rglob("*.jpeg")), "--out", tmp_path / "a.csv", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", spared, "label", *map(str, words)], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "onnxruntime" in loaded and not {"scipy", "rich", "pandas", "fastapi"} & loaded


def test_films_are_answered_over_http(exported, make_film):
    answers_over_http([sys.executable, "-c", WITHOUT], exported, make_film(1, True))


def answers_over_http(command: list[object], model: Path, film: bytes) -> None:
    words = [*map(str, command), "serve", str(model), "--port", "0", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = json.loads(process.stdout.readline())["url"]
            with urllib.request.urlopen(f"{url}/health") as page:
                assert json.load(page)["status"] == "ok"
            body = b"--x\r\nContent-Disposition: form-data; name=films; filename=a\r\n\r\n" + film
            kind = {"Content-Type": "multipart/form-data; boundary=x"}
            asked = urllib.request.Request(f"{url}/predict", body + b"\r\n--x--\r\n", kind)
            with urllib.request.urlopen(asked) as page:
                assert set(json.load(page)["films"][0]["probabilities"]) == {"NORMAL", "PNEUMONIA"}
            maps = urllib.request.Request(f"{url}/explain", body + b"\r\n--x--\r\n", kind)
            with pytest.raises(urllib.error.HTTPError, match="501"):
                urllib.request.urlopen(maps)
        finally:
            process.terminate()


@pytest.mark.parametrize("words", [("train", "demo:20"), ("explain",)], ids=lambda words: str(words[0]))
def test_what_trains_says_what_to_install(exported, films_folder, tmp_path, words):
    film = next(films_folder.rglob("*.jpeg"))
    words = (*words, exported.with_name("model.h5"), film) if words == ("explain",) else words
    done = without(*words, "--out", tmp_path / "out", "--quiet")
    assert done.returncode == 2 and "pip install 'plainfilm[train]'" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_an_exported_file_says_that_it_has_no_layers_to_explain(exported, films_folder, tmp_path, capsys):
    from plainfilm.cli import main

    words = ("explain", str(exported), str(next(films_folder.rglob("*.jpeg"))), "--out", str(tmp_path / "out"))
    done = without(*words)
    assert main(words) == done.returncode == 2 and not (tmp_path / "out").exists()
    assert done.stderr == capsys.readouterr().err and "holds no layers for heat maps" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_films_are_audited_as_with_torch_installed(tmp_path):
    """The same document to the byte, and a report only where there is what draws it."""
    from plainfilm.commands.audit import audit

    done = without("audit", "demo:60", "--against", "demo:40", "--out", tmp_path / "a", "--quiet")
    assert done.returncode == 0, done.stderr
    audit("demo:60", against="demo:40", out=tmp_path / "b")
    assert (tmp_path / "a" / "audit.json").read_bytes() == (tmp_path / "b" / "audit.json").read_bytes()
    assert (tmp_path / "b" / "report.html").exists() and not (tmp_path / "a" / "report.html").exists()
    checked = without("doctor", tmp_path / "a", "--json")
    assert json.loads(checked.stdout)["state"] == "finished", checked.stdout


def adapted(exported: Path, films: Path, out: Path, *words: str) -> dict[str, Any]:
    done = without("adapt", exported, films, "--out", out, "--json", "--quiet", "--force", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_exported_file_is_adapted_as_its_run_is(exported, films_folder, tmp_path):
    """Temperature, threshold and scores are those of the run, and the new file's probabilities those of the new run."""
    from plainfilm.commands.adapt import adapt
    from plainfilm.export.engine import OnnxModel
    from plainfilm.models.model import Model

    ours = adapted(exported, films_folder, tmp_path / "onnx")
    theirs = adapt(exported.with_name("model.h5"), str(films_folder), tmp_path / "torch", force=True)
    for name in ("threshold", "temperature"):
        assert ours["to"][name] == pytest.approx(theirs["to"][name], abs=1e-4), name
    assert ours["after"]["auroc"]["value"] == pytest.approx(theirs["after"]["auroc"]["value"], abs=1e-6)
    assert ours["to"]["temperature"] != pytest.approx(1.5, abs=0.05)  # as exported
    new, run = OnnxModel.load(tmp_path / "onnx" / "model.onnx"), Model.load(tmp_path / "torch")
    assert new.decision.threshold == pytest.approx(run.decision.threshold, abs=1e-4)
    assert new.hash not in (OnnxModel.load(exported).hash, run.hash)
    assert new.provenance["adapted"]["from_model"] == OnnxModel.load(exported).hash
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32), np.uint8)
    assert np.abs(new.probabilities(pixels) - run.probabilities(pixels)).max() < 1e-4
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    (alone,) = session.run(None, {"pixels": pixels})  # whoever runs the file by itself gets the new temperature too
    assert np.abs(alone - run.probabilities(pixels)).max() < 1e-4
    done = without("label", tmp_path / "onnx", films_folder, "--out", tmp_path / "a.csv", "--quiet")
    assert done.returncode == 0, done.stderr
    again = adapted(tmp_path / "onnx" / "model.onnx", films_folder, tmp_path / "again")
    assert again["to"]["temperature"] == pytest.approx(ours["to"]["temperature"], rel=1e-2)


def test_an_exported_file_is_moved_to_a_known_prevalence(exported, films_folder, tmp_path):
    from plainfilm.export.engine import OnnxModel

    done = without("adapt", exported, films_folder, "--out", tmp_path / "a", "--prevalence", "0.1", "--json", "--quiet")
    assert done.returncode == 2 and "for which prevalence it was trained" in done.stderr  # this one has no verdict
    with_prior = tmp_path / "prior.onnx"
    model = OnnxModel.load(exported)
    model.verdict = {"prior": 0.5}
    model.save(with_prior)
    done = without(
        "adapt", with_prior, films_folder, "--out", tmp_path / "b", "--prevalence", "0.1", "--json", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    new = OnnxModel.load(tmp_path / "b" / "model.onnx")
    assert new.decision.threshold == pytest.approx(json.loads(done.stdout)["to"]["threshold"])
    assert new.decision.threshold > model.decision.threshold


def test_a_run_says_that_it_needs_torch(exported, films_folder, tmp_path):
    done = without("label", exported.with_name("model.h5"), films_folder, "--out", tmp_path / "a.csv")
    assert done.returncode == 2 and "PyTorch, which is not installed" in done.stderr


@pytest.mark.slow
@pytest.mark.network
def test_the_small_environment_is_small_starts_at_once_and_evaluates_and_serves(
    exported, films_folder, make_film, tmp_path
):
    """`pip install plainfilm` alone: size on the disk, one film's label from the start of the process, scores; then
    with `[serve]` films over HTTP."""
    place = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    python, source = place / "bin" / "python", tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    install = [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt"]
    subprocess.run([*install, str(source)], check=True, capture_output=True)
    listed = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "scikit-learn", "timm"} & set(listed.lower().split())
    size = sum(path.lstat().st_size for path in place.rglob("*") if not NOT_OURS & {*path.parts}) / 1e6
    film = next(films_folder.rglob("*.jpeg"))
    used = [labelled(python, exported, film, tmp_path / f"{n}.csv") for n in range(5)]
    seconds, memory = min(each[0] for each in used), max(each[1] for each in used)
    print(f"{size:.0f} MB on disk; label of one film {seconds:.2f} s of a core, {memory:.0f} MB of memory")
    assert size <= MOST_MEGABYTES and seconds <= MOST_SECONDS and memory <= MOST_MEMORY
    ours = [python, "-m", "plainfilm"]
    words = ["evaluate", exported, films_folder, "--out", tmp_path / "on", "--json", "--quiet"]
    done = subprocess.run([*ours, *words], check=True, capture_output=True, text=True)
    assert 0 <= json.loads(done.stdout)["test"]["auroc"]["value"] <= 1
    subprocess.run([*install, f"{source}[serve]"], check=True, capture_output=True)
    answers_over_http(ours, exported, make_film(1, True))


ONCE = """
import resource, sys
from plainfilm.cli import main
code, used = main(), resource.getrusage(resource.RUSAGE_SELF)
most = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("used", used.ru_utime + used.ru_stime, int(most) / 1024)
sys.exit(code)
"""


def labelled(python: Path, model: Path, film: Path, out: Path) -> tuple[float, float]:
    """Seconds of a core and MB of memory that one film's label takes, start included: so on a busy machine too."""
    words = [python, "-c", ONCE, "label", model, film, "--out", out, "--quiet"]
    env = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=env, check=True, capture_output=True, text=True)
    _, seconds, memory = done.stdout.splitlines()[-1].split()
    return float(seconds), float(memory)
