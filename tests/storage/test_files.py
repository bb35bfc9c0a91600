from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest

from plainfilm.errors import InputError, did_you_mean
from plainfilm.storage.files import (
    cache_dir,
    damaged,
    locked,
    read_json,
    read_sums,
    replacing,
    require_intact,
    sealed,
    write_json,
    write_text,
)
from plainfilm.storage.tables import growing_csv, read_csv, write_csv


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_json_is_strict_and_knows_numpy(tmp_path):
    write_json(tmp_path / "a.json", {"a": np.float64("nan"), "b": np.arange(2), "c": tmp_path, 1: (True, None)})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"a": None, "b": [0, 1], "c": str(tmp_path), "1": [True, None]}
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match="can't be read"):
        read_json(tmp_path / "none.json")


NAMES = [
    "plain",
    'quo"te',
    "com,ma",
    "new\nline",
    "form\x0cfeed",
    "re\rturn",
    "\r\n",
    "line\u2028end",
    "b\udcffad",
    "ü",
]
NAMES += ["=cmd|' /C calc'!A0", "'=1", "''@x", "+1+1", "-", "-1.5e-3", "'", "it's", "\tx", "@a"]


@pytest.mark.parametrize("name", NAMES)
def test_names_survive_a_table(tmp_path, name):
    write_csv(tmp_path / "t.csv", ("path", "x"), [(name, 0.1)])
    assert read_csv(tmp_path / "t.csv")[1] == [{"path": name, "x": "0.1"}]


def test_no_cell_of_a_table_starts_a_formula(tmp_path):
    write_csv(tmp_path / "t.csv", ("path", "x"), [("=cmd|' /C calc'!A0", -0.5), ("-", "-0.5"), ("+1+1", "@x")])
    assert (tmp_path / "t.csv").read_text() == "path,x\n'=cmd|' /C calc'!A0,-0.5\n-,-0.5\n'+1+1,'@x\n"


def test_what_was_written_before_an_error_is_sealed_and_an_unfinished_folder_is_not(tmp_path):
    with pytest.raises(InputError), sealed(tmp_path):
        write_text(tmp_path / "a", "1")
        raise InputError("no")
    assert not (tmp_path / "SHA256SUMS").exists()
    with sealed(tmp_path):
        write_text(tmp_path / "b", "2")
    with pytest.raises(InputError), sealed(tmp_path):
        write_text(tmp_path / "a", "3")
        raise InputError("no")
    require_intact(tmp_path, "a", "b")


def test_a_sealed_folder_shows_every_change_and_goes_on_showing_it(tmp_path):
    for name in ("a.txt", "b/c.txt", "other/d.txt", ".a.txt.7fffffff-0123abcd.tmp"):
        write_text(tmp_path / name, name)
    with sealed(tmp_path / "other"):
        pass
    (tmp_path / ".rsync.tmp").write_text("another program's")
    with sealed(tmp_path):
        assert not (tmp_path / ".a.txt.7fffffff-0123abcd.tmp").exists()  # what a killed writer left
        assert (tmp_path / ".rsync.tmp").exists()
        write_text(tmp_path / "new.txt", "x")
    assert set(read_sums(tmp_path)) == {"a.txt", "b/c.txt", "new.txt"} and damaged(tmp_path) == []
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path).returncode == 0
    (tmp_path / "a.txt").write_text("A.txt")
    (tmp_path / "new.txt").unlink()
    with sealed(tmp_path):
        write_text(tmp_path / "b" / "c.txt", "written by the block")
    assert damaged(tmp_path) == ["a.txt"] and set(read_sums(tmp_path)) == {"a.txt", "b/c.txt"}
    with pytest.raises(InputError, match=r"a\.txt is not what plainfilm wrote"):
        require_intact(tmp_path, "b/c.txt", "a.txt", "unknown.txt")
    (tmp_path / "SHA256SUMS").write_text("x")
    with pytest.raises(InputError, match="SHA256SUMS is damaged"):
        damaged(tmp_path)


def test_in_a_shared_folder_only_what_the_block_wrote_has_a_sum(tmp_path):
    (tmp_path / "foreign").write_text("1")
    for text in ("2", "3"):
        with sealed(tmp_path, shared=True):
            write_text(tmp_path / "a", text)
        assert set(read_sums(tmp_path)) == {"a"} and damaged(tmp_path) == []


def test_a_table_that_grew_keeps_the_rows_of_any_name(tmp_path):
    with suppress(KeyError), growing_csv(tmp_path / "t.csv", ("path", "x"), "tag", resume=False) as begun:
        for name in NAMES:
            begun.write((name, 1))
        raise KeyError  # interrupted
    with growing_csv(tmp_path / "t.csv", ("path", "x"), "tag", resume=True) as begun:
        assert [row[0] for row in begun.kept] == NAMES
    assert [row["path"] for row in read_csv(tmp_path / "t.csv")[1]] == NAMES


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n1,2,\n1,x,y\n", "row 4: has more cells"),
        ("a,a\n1,2\n", "has the column a twice"),
        ('a\n"x\n', "not a CSV"),
    ],
)
def test_tables_at_fault(tmp_path, data, said):
    (tmp_path / "t.csv").write_text(data)
    with pytest.raises(InputError, match=said):
        read_csv(tmp_path / "t.csv")


def test_utf_16_and_a_mark_at_the_start(tmp_path):
    for encoding in ("utf-16", "utf-8-sig"):
        (tmp_path / "t.csv").write_text("a,b\n1,ü\n", encoding=encoding)
        assert read_csv(tmp_path / "t.csv") == (["a", "b"], [{"a": "1", "b": "ü"}])


def test_what_failed_before_it_wrote_anything_leaves_nothing(tmp_path):
    (tmp_path / "mine").mkdir()
    for place in (tmp_path / "new" / "deeper", tmp_path / "mine"):
        with pytest.raises(RuntimeError), sealed(place):
            raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["mine"] and not os.listdir(tmp_path / "mine")
    with pytest.raises(RuntimeError), sealed(tmp_path / "new"):
        (tmp_path / "new" / "kept.txt").write_text("kept")
        raise RuntimeError
    assert (tmp_path / "new" / "kept.txt").exists()


def test_a_lock_is_held_by_one(tmp_path):
    with locked(tmp_path), pytest.raises(InputError, match="in use by process"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("PLAINFILM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "plainfilm"


def test_did_you_mean():
    assert did_you_mean("VGG_BN", ["vgg", "vgg-bn"]) == " Did you mean 'vgg-bn'?"
    assert did_you_mean("zzz", ["vgg", "vgg-bn"]) == " Choose from: vgg, vgg-bn."


def test_a_folder_is_swept_but_for_what_another_process_is_writing_in_it(tmp_path):
    mine, others = tmp_path / "figures", tmp_path / "run"
    for folder in (mine, others):
        folder.mkdir()
        (folder / ".checkpoint.h5.7fffffff-0123abcd.tmp").touch()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from plainfilm.storage.files import locked\n"
            "with locked(sys.argv[1]): print('held', flush=True); input()",
            str(others),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    with sealed(tmp_path):
        pass
    assert [*others.glob(".*.tmp")] and not [*mine.glob(".*.tmp")]
    holder.communicate("\n")
    with sealed(tmp_path):
        pass
    assert not [*others.glob(".*.tmp")]


def test_a_file_that_another_process_is_writing_is_left_alone(tmp_path):
    left = [tmp_path / f".a.{number:08x}-0123abcd.tmp" for number in (os.getppid(), os.getpid(), 0x7FFFFFFF)]
    for path in left:
        path.touch()
    with sealed(tmp_path):
        assert [path.exists() for path in left] == [True, False, False]


def test_the_sums_of_others_stay_and_are_read_as_sha256sum_writes_them(tmp_path):
    others = "".join(f"{letter * 64} {mark}{letter}\n" for letter, mark in (("b", "*"), ("c", " ")))
    (tmp_path / "SHA256SUMS").write_text(others)
    with sealed(tmp_path, shared=True):
        write_text(tmp_path / "a", "1")
    assert read_sums(tmp_path) | {"a": ""} == {"a": "", "b": "b" * 64, "c": "c" * 64}
    (tmp_path / "SHA256SUMS").write_text("x\n")
    with pytest.raises(InputError, match="is damaged"), sealed(tmp_path, shared=True):
        raise AssertionError("the work was begun")
