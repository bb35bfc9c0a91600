from __future__ import annotations

import copy
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest

from plainfilm.data.films import Film, Films, Table
from plainfilm.storage.columns import Kinds, Texts

STRANGE = ["", "a", "Größe/影.png", "b\udcffc", "x" * 300, "\0"]


def test_texts_come_back_as_they_were():
    texts = Texts(STRANGE)
    assert list(texts) == STRANGE and texts[-1] == "\0" and texts[1:3] == STRANGE[1:3] and len(texts) == 6
    assert texts.filled.tolist() == [bool(text) for text in STRANGE] and Texts().filled.tolist() == []
    with pytest.raises(IndexError):
        texts[6]


def test_texts_are_ranked_as_python_sorts_them(monkeypatch):
    monkeypatch.setattr("plainfilm.storage.columns.BLOCK", 3)  # of keys that are compared at a time
    names = ["b", "", "ä", "b", "a/b", "a", "", "b", "影", "z" * 300, "a b", "b\udcff", "b\udc80", "b\uffff"]
    order, again = Texts(names).ranked()
    assert order.tolist() == sorted(range(len(names)), key=names.__getitem__)
    assert again.tolist() == [k > 0 and names[order[k]] == names[order[k - 1]] for k in range(len(names))]
    assert [found.tolist() for found in Texts().ranked()] == [[], []]


def test_kinds_keep_each_value_once():
    kinds = Kinds(["b", "a", "b"])
    assert list(kinds) == ["b", "a", "b"] and kinds.different == ["b", "a"] and kinds.codes.tolist() == [0, 1, 0]
    assert kinds.mapped("ab".index, np.int64).tolist() == [1, 0, 1] and kinds.code("a") == 1 and len(kinds) == 3


def source(path: str, first: int = 0) -> bytes:
    return path.encode()[: first or None]


def test_a_table_gives_back_the_films_it_was_made_of():
    films = [Film(f"{i}{name}", name, source, f"p{i}", "val", 3 * i, 2**40, "f" * 64) for i, name in enumerate("xyx")]
    table = Table(films)
    assert list(table) == films == [table[0], table[1], table[-1]] == [*table[0:2], table[2]]
    assert table == Table(films) and table != Table(films[:2]) and table.by_path() is table
    assert table[2].read() == b"2x" and table[2].read(1) == b"2"
    assert list(Table(reversed(films)).by_path()) == films


def test_other_parts_leave_the_rest_as_it_was():
    films = Films(Table(Film(name, name, source) for name in "abc"), "set")
    parted = films.with_parts(["train", "val", "test"], "stamp")
    assert [f.part for f in parted] == ["train", "val", "test"] and [f.part for f in films] == [""] * 3
    assert parted.protocol == "stamp" and parted.where("val", "test").tolist() == [1, 2]
    assert [f.path for f in parted.at([2, 0])] == ["c", "a"]
    with pytest.raises(ValueError, match="2 parts for 3 films"):
        films.with_parts(["train", "val"], "stamp")


def test_long_texts_are_told_apart_and_cost_no_more_than_others():
    names = ["x" * 5_000 + end for end in "cbab"] + ["a"]
    order, again = Texts(names).ranked()
    assert names[order[0]] == "a" and again.sum() == 1
    assert {order[k - 1] for k in np.flatnonzero(again)} | set(order[again]) == {1, 3}


def test_films_survive_being_copied_and_sent():
    films = Films(Table(Film(f"{i}", "ab"[i % 2], source, "p") for i in range(100)), "set")
    for again in (copy.deepcopy(films), ForkingPickler.loads(bytes(ForkingPickler.dumps(films)))):
        assert again.films == films.films and again.labels.tolist() == films.labels.tolist()
