"""Every command of README and of the site's first page runs, in order, on small films; so does README's Python."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from plainfilm.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
FIRST_PAGE = (ROOT / "docs" / "index.md").read_text()
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for line in dict.fromkeys("\n".join(re.findall(r"```sh\n(.*?)```", README + FIRST_PAGE, re.S)).splitlines())
    if line.startswith("plainfilm ")
]
ELSEWHERE = {
    "fetch",  # a gigabyte; tests/data/test_fetch.py fetches from a server of its own
    "serve",  # runs until it is stopped; tests/commands/test_serve.py starts and stops one
}
SMALL = {"paper": ["--epochs", "1", "--size", "32"], "train": ["--epochs", "1", "--size", "32"]}


def test_there_are_commands():
    said = {words[0] for words in COMMANDS}
    assert said >= {"fetch", "audit", "paper", "train", "evaluate", "adapt", "label", "explain", "export", "serve"}


@pytest.fixture(scope="module")
def place(tmp_path_factory, films_folder):
    """The folder that the README's commands are given in, one after the other."""
    place = tmp_path_factory.mktemp("readme")
    shutil.copytree(films_folder, place / "chest_xray")
    shutil.copytree(films_folder / "PNEUMONIA", place / "new_films")
    shutil.copytree(films_folder, place / "local_films")
    for theirs, ours in (("healthy", "NORMAL"), ("sick", "PNEUMONIA")):
        shutil.copytree(films_folder / ours, place / "other_hospital" / theirs)
    return place


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] not in ELSEWHERE], ids=" ".join)
def test_each_command_does_what_it_says(words, place, monkeypatch, vgg16_file, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setenv("PLAINFILM_WEIGHTS", str(vgg16_file))
    monkeypatch.setattr("plainfilm.training.speed.SECONDS", 0.01)
    before = {path: path.read_bytes() if path.suffix == ".csv" else b"" for path in place.rglob("*")}
    right = (0, 3) if "--fail-if" in words else (0,)  # one epoch of small films makes no good model
    assert main([*words, *SMALL.get(words[0], [])]) in right, capsys.readouterr().err
    if "--resume" in words:  # a run that was complete stays as it is
        assert all(path.read_bytes() == before[path] for path in (place / named(words)).glob("*.csv"))
    elif out := named(words):
        assert place / out not in before and Path(out).exists()
    assert all(path.exists() for path in before)


def named(words: list[str]) -> str:
    """Where a command writes, as its line says; nowhere where it only prints."""
    return words[words.index("--out") + 1] if "--out" in words else ""


def test_the_python_lines(tmp_path, monkeypatch, films_folder):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(films_folder, "chest_xray")
    [code] = re.findall(r"```python\n(.*?)```", README, re.S)
    code = code.replace('out="runs/bn")', 'out="runs/bn", epochs=1, size=16)')
    names: dict[str, object] = {}
    exec(code, names)
    assert names["model"].classes == ("NORMAL", "PNEUMONIA")


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_somewhere(link):
    assert link.startswith("http") or (Path(__file__).resolve().parents[1] / link).exists()


def test_generated_docs_are_what_the_code_says():
    import importlib.util

    place = Path(__file__).resolve().parents[1] / "docs" / "make.py"
    spec = importlib.util.spec_from_file_location("make_docs", place)
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    assert [path.name for path, text in make.pages().items() if path.read_text() != text] == []
