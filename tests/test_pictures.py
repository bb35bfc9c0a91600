"""The pictures of the handbook are small, and no older than what they show."""

from __future__ import annotations

import json

import pytest
from tests.test_docs import DOCS, module

PICTURES = module("pictures")


@pytest.mark.parametrize("name", PICTURES.SHOWN)
def test_a_picture_is_not_older_than_what_it_shows(name):
    made = json.loads(PICTURES.MADE_FROM.read_text())
    assert made[name] == PICTURES.made_from(name), f"docs/{name} shows what was; run make pictures"


def test_pictures_are_small():
    sizes = {path.name: path.stat().st_size for path in DOCS.rglob("*") if path.suffix in (".png", ".webp")}
    assert set(PICTURES.SHOWN) <= set(sizes)
    assert max(sizes.values()) <= PICTURES.LARGEST and sum(sizes.values()) <= 1_000_000


def test_another_word_in_a_template_or_in_code_is_noticed_and_a_comment_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(PICTURES, "SOURCE", tmp_path)
    monkeypatch.setattr(PICTURES, "SHOWN", {"a.png": ("a.html", "a.py")})
    (tmp_path / "a.html").write_text("<p>one</p>")
    code = 'def f():\n    """What it does."""\n    return f"{3} films found"\n'
    (tmp_path / "a.py").write_text(code)
    before = PICTURES.made_from("a.png")
    (tmp_path / "a.py").write_text(code.replace("What it does", "What it did") + "# a remark\n")
    assert PICTURES.made_from("a.png") == before
    (tmp_path / "a.py").write_text(code.replace("films found", "films lost"))
    assert PICTURES.made_from("a.png") != before
    (tmp_path / "a.py").write_text(code)
    (tmp_path / "a.html").write_text("<p>two</p>")
    assert PICTURES.made_from("a.png") != before
