"""Every plainfilm command of the README runs, in its order, on small films and settings; so does its Python."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from plainfilm.cli import main

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"```sh\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.startswith("plainfilm ")
]
ELSEWHERE = {
    "fetch",  # a gigabyte; tests/data/test_fetch.py fetches from a server of its own
    "serve",  # runs until it is stopped; tests/commands/test_serve.py starts and stops one
}
SMALL = {"paper": ["--epochs", "1", "--size", "32"], "train": ["--epochs", "1", "--size", "32"]}


def test_the_readme_has_commands():
    said = {words[0] for words in COMMANDS}
    assert said >= {"fetch", "audit", "paper", "train", "evaluate", "adapt", "label", "explain", "export", "serve"}


@pytest.mark.timeout(1200)  # some fifteen trainings with their reports
def test_commands_in_their_order(tmp_path, monkeypatch, films_folder, vgg16_file, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLAINFILM_WEIGHTS", str(vgg16_file))
    monkeypatch.setattr("plainfilm.training.speed.SECONDS", 0.01)
    shutil.copytree(films_folder, "chest_xray")
    shutil.copytree(films_folder / "PNEUMONIA", "new_films")
    shutil.copytree(films_folder, "local_films")
    for theirs, ours in (("healthy", "NORMAL"), ("sick", "PNEUMONIA")):
        shutil.copytree(films_folder / ours, f"other_hospital/{theirs}")
    for words in COMMANDS:
        if words[0] in ELSEWHERE:
            continue
        assert main([*words, *SMALL.get(words[0], [])]) == 0, capsys.readouterr().err
    assert Path("out/report.html").exists() and Path("out/table.csv").exists() and Path("labels.png").exists()


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
