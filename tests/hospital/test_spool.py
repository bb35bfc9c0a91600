"""The spool: what is in it survives, quiet studies are due, a full disk is said before it is one."""

from __future__ import annotations

import pytest

from plainfilm.hospital.answering import Answered
from plainfilm.hospital.spool import Full, Spool, files_of, line_of

MADE = Answered(None, {"SC": b"picture", "SR": b"report"}, {"film": "f", "study": "s"})


def test_films_survive_a_restart_and_leave_no_trace_when_done(tmp_path):
    spool = Spool(tmp_path, 0)
    spool.put("f", "s", spool.draft(b"film"))
    (tmp_path / "films" / "s" / ".f.dcm.00000001-00000002.tmp").write_bytes(b"half a film")
    again = Spool(tmp_path, 0)
    (found,) = again.quiet(0)
    assert found.path.read_bytes() == b"film" and again.has("f", "s") and again.waiting() == 1
    again.keep("f", MADE)
    assert again.quiet(0) == [] and again.waiting() == 1  # answered, not yet taken
    assert files_of(again.answer_of("f")) == MADE.files and line_of(again.answer_of("f")) == MADE.line
    again.drop("f", "s")
    assert again.waiting() == 0 and [p for p in tmp_path.rglob("*") if p.is_file()] == []
    assert not (tmp_path / "films" / "s").exists()


def test_a_study_is_due_when_none_of_its_films_is_new(tmp_path):
    spool = Spool(tmp_path, 0)
    spool.put("a", "one", spool.draft(b"1"))
    spool._latest["one"] -= 10
    spool.put("b", "two", spool.draft(b"2"))
    assert [film.film for film in spool.quiet(5)] == ["a"]
    spool.put("c", "one", spool.draft(b"3"))
    assert spool.quiet(5) == []


def test_films_leave_the_reserve_to_answers(tmp_path):
    spool = Spool(tmp_path, 10**18)
    with pytest.raises(Full):
        spool.put("f", "s", spool.draft(b"film"))
    assert spool.waiting() == 0 and not list(spool.films.iterdir())


@pytest.mark.parametrize("step", ["os.fsync", "os.replace"])
def test_a_film_that_could_not_be_written_is_not_here(tmp_path, monkeypatch, step):
    spool = Spool(tmp_path, 0)
    monkeypatch.setattr(step, lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        spool.put("f", "s", spool.draft(b"film"))
    assert spool.waiting() == 0 and spool.quiet(0) == [] and not list(spool.films.iterdir())


def test_what_is_given_up_lies_together_with_its_reason(tmp_path):
    spool = Spool(tmp_path, 0)
    spool.put("f", "s", spool.draft(b"film"))
    spool.keep("f", MADE)
    spool.give_up("f", "s", "Nobody wants it.")
    assert sorted(path.name for path in spool.failed.iterdir()) == ["f.dcm", "f.txt", "f.zip"]
    assert (spool.failed / "f.txt").read_text() == "Nobody wants it.\n" and spool.waiting() == 0
