"""Other systems than Linux, as far as Linux can play them: see other_system.py."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.test_architecture import FILES, SOURCE

from plainfilm.cli import main
from plainfilm.data.sources import load
from plainfilm.storage.files import within
from plainfilm.storage.tables import read_csv

PLAYED = Path(__file__).with_name("other_system.py")
COMMAND = "from plainfilm.cli import main; sys.exit(main(sys.argv[1:]))"
UNIX_ONLY = {"fcntl", "resource", "termios", "pwd", "grp", "pty", "syslog", "posix"}


def elsewhere(code: str, *words: object, **how: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-W", "ignore", str(PLAYED), code, *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, encoding="utf-8", timeout=300, **how)


def test_every_module_can_be_imported():
    code = (
        "import importlib, pkgutil, plainfilm\n"
        "for found in pkgutil.walk_packages(plainfilm.__path__, 'plainfilm.'):\n"
        "    if not found.name.endswith('__main__'): importlib.import_module(found.name); print(found.name)\n"
    )
    done = elsewhere(code)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.split()) >= len([path for path in FILES if path.stem != "__main__"]) - 1


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_nothing_that_only_unix_has_is_imported_with_a_module(path):
    names = [
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    ]
    assert not UNIX_ONLY & {str(name).partition(".")[0] for name in names}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_text_is_read_and_written_in_a_stated_encoding(path):
    """Windows' own is not UTF-8."""
    unstated = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or any(word.arg in ("encoding", None) for word in node.keywords):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        ours = isinstance(node.func, ast.Name) or called != "open"  # an archive's open gives bytes
        binary = called == "open" and len(node.args) > 1 and "b" in ast.unparse(node.args[1])
        if called in ("open", "read_text") and ours and not binary:
            unstated.append(node.lineno)
    assert unstated == []


LOCKED = "import time; from plainfilm.storage.files import locked\nwith locked(sys.argv[1]): "
HOLD, TAKE = LOCKED + "print('held', flush=True); time.sleep(99)", LOCKED + "print('taken')"


def test_a_lock_is_held_by_one_and_free_once_its_process_was_killed(tmp_path):
    words = [sys.executable, "-W", "ignore", str(PLAYED), HOLD, str(tmp_path)]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    refused = elsewhere(TAKE, tmp_path)
    assert f"is in use by process {holder.pid}" in refused.stderr and refused.returncode
    holder.kill()
    holder.communicate()
    assert elsewhere(TAKE, tmp_path).stdout == "taken\n"


def test_claims_and_journals_of_several_processes(tmp_path):
    code = (
        "from pathlib import Path; from plainfilm.search.journal import Journal, Trial\n"
        "own, other = Journal(Path(sys.argv[1])), Journal(Path(sys.argv[1]))\n"
        "with own.claim(1) as mine, other.claim(1) as theirs, other.claim(2) as second: print(mine, theirs, second)\n"
        "with other.claim(1) as again: print(again)\n"
        "own.append(Trial(1, [], {}, {'auroc': 1.0}, 1.0, 1, 'done')); print(*other.refresh())\n"
    )
    assert elsewhere(code, tmp_path).stdout.split() == ["True", "False", "True", "True", "1"]


def test_a_table_that_was_cut_off_goes_on(tmp_path):
    code = (
        "from plainfilm.storage.tables import growing_csv\n"
        "with growing_csv(sys.argv[1], ('a', 'b'), 'tag', resume=True) as rows:\n"
        "    print([*rows.kept]); rows.write(['größe', sys.argv[2]])\n"
        "    if sys.argv[2] == '1': raise SystemExit(9)\n"
    )
    table = tmp_path / "t.csv"
    assert elsewhere(code, table, 1).returncode == 9 and not table.exists()
    done = elsewhere(code, table, 2)
    assert done.stdout == "[['größe', '1']]\n", done.stderr
    assert table.read_text(encoding="utf-8") == "a,b\ngröße,1\ngröße,2\n"
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_commands_do_what_they_do_here(tmp_path, films_folder):
    few = ["--epochs", 1, "--size", 16, "--batch", 8, "--threads", 1, "--quiet", "--json"]
    for name, run in (("here", None), ("elsewhere", elsewhere)):
        words = ["train", films_folder, "--out", tmp_path / name, *few]
        if run is None:
            assert main([*map(str, words)]) == 0
        else:
            done = run(COMMAND, *words)
            assert done.returncode == 0, done.stderr[-2000:]
            assert json.loads(done.stdout)["metrics"]["protocol"]
    assert (tmp_path / "here" / "predictions.csv").read_bytes() == (
        tmp_path / "elsewhere" / "predictions.csv"
    ).read_bytes()
    done = elsewhere(COMMAND, "label", tmp_path / "here", films_folder, "--out", tmp_path / "l.csv", "--quiet")
    assert done.returncode == 0 and len(read_csv(tmp_path / "l.csv")[1]) == 40, done.stderr[-2000:]


def test_a_table_of_windows_speaks_of_the_films_here(tmp_path, make_film):
    for name in ("films/a/1.jpeg", "films/b/2.jpeg"):
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(make_film(0, "b" in name))
    table = tmp_path / "list.csv"
    table.write_text("path;label\r\nfilms\\a\\1.jpeg;well\r\nfilms\\b\\2.jpeg;ill\r\n", encoding="utf-16")
    films = load(table)
    assert [film.path for film in films] == ["films/a/1.jpeg", "films/b/2.jpeg"]
    assert all(film.read() for film in films)


def test_other_capitals_lead_to_the_same_folder_where_the_system_says_so(tmp_path, monkeypatch):
    (tmp_path / "Films").mkdir()
    (tmp_path / "other").mkdir()
    assert not within(tmp_path / "films" / "out.png", tmp_path / "Films")
    assert within(tmp_path / "Films" / "new" / "out.png", tmp_path / "Films")
    stat = os.stat
    there = {str(path).lower(): path for path in tmp_path.iterdir()}
    monkeypatch.setattr(os, "stat", lambda path, **how: stat(there.get(str(path).lower(), path), **how))
    assert within(tmp_path / "films" / "out.png", tmp_path / "Films")
    assert not within(tmp_path / "other" / "out.png", tmp_path / "Films")


def test_two_spellings_of_one_film_are_one_where_capitals_are_no_difference(tmp_path, make_film, monkeypatch):
    from plainfilm.errors import InputError

    for name in ("a.jpeg", "A.jpeg"):
        (tmp_path / name).write_bytes(make_film(0, True))
    table = tmp_path / "list.csv"
    table.write_text("path,label\na.jpeg,ill\nA.jpeg,well\n", encoding="utf-8")
    assert len(load(table)) == 2
    monkeypatch.setattr(os.path, "normcase", str.lower)  # as Windows has it
    with pytest.raises(InputError, match=r"lists a\.jpeg again, as"):
        load(table)
