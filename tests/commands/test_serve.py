from __future__ import annotations

import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
import torch
from tests.schemas import valid

from plainfilm.cli import main
from plainfilm.evaluation.decision import Decision
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.model import Model
from plainfilm.models.vgg import initialise
from plainfilm.models.zoo import recipe


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    p = Preprocess(size=16)
    network = recipe("vgg").build(2, p)
    initialise(network, torch.Generator().manual_seed(0))
    folder = tmp_path_factory.mktemp("run")
    Model(network, "vgg", Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA"), p).save(folder / "model.h5")
    return folder


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_serve_says_one_line_answers_and_ends_when_told(run_folder, how, code):
    words = [sys.executable, "-m", "plainfilm", "serve", str(run_folder), "--port", "0"]
    words += ["--json"] if how == signal.SIGINT else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        line = process.stdout.readline()
        if how == signal.SIGINT:
            said = valid("plainfilm-serve", json.loads(line))
            url, model_hash = said["url"], said["hash"]
            assert said["model"] == "vgg" and "not a medical device" in said["disclaimer"]
        else:
            form = r"plainfilm serves vgg at (http://127\.0\.0\.1:\d+) \(model (\w{12})…\); (.*)\n"
            url, model_hash, disclaimer = re.fullmatch(form, line).groups()
            assert disclaimer == "research and teaching software, not a medical device"
        with urllib.request.urlopen(f"{url}/model", timeout=30) as answer:
            assert json.load(answer)["hash"].startswith(model_hash)
        process.send_signal(how)
        out, err = process.communicate(timeout=30)
        assert process.returncode == code and out == "" and err == ""


def test_no_collection_goes_through_what_was_loaded(run_folder, monkeypatch):
    spared = []

    def run(_, listener, __):
        listener.close()
        spared.append(gc.get_freeze_count())
        return 0

    monkeypatch.setattr("plainfilm.serving.server.run", run)
    with pytest.raises(SystemExit, match="0"):
        main(["serve", str(run_folder), "--port", "0"])
    gc.unfreeze()
    assert spared[0] > 10_000


def test_what_is_refused_is_one_sentence(run_folder, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", str(run_folder), "--port", port]) == 2
        assert f"Port {port} of 127.0.0.1 can't be used" in capsys.readouterr().err
    assert main(["serve", str(run_folder), "--host", "0.0.0.0"]) == 2
    assert "add --token" in capsys.readouterr().err
    assert main(["serve", str(run_folder), "--token", "a b"]) == 2
    assert main(["serve", str(tmp_path / "nothing")]) == 2
    (tmp_path / "model.h5").write_bytes((run_folder / "model.h5").read_bytes()[:5000])
    assert main(["serve", str(tmp_path)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3 and not any("bug" in line for line in said)


def test_a_missing_extra_says_what_to_install(run_folder):
    code = "import sys; sys.modules['uvicorn'] = None; from plainfilm.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, "serve", str(run_folder)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "plainfilm: The service needs uvicorn; run: pip install 'plainfilm[serve]'.\n"
