"""Answers are made, handed over once, kept while nobody takes them, and given up where they can be found."""

from __future__ import annotations

import io
import os
import time

import pytest
from pydicom import dcmread

from plainfilm.errors import InputError
from plainfilm.hospital import service as services
from plainfilm.hospital import spool as spools
from plainfilm.hospital.archive import Folder, Refused, Storage, Unreachable
from plainfilm.hospital.client import Peer
from plainfilm.hospital.source import DX

from .test_receiver import wait_until

# pynetdicom leaves a socket that could not connect to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def put(here, film, *numbers: int, **how) -> None:
    for number in numbers:
        here.door.take(film(number, **how), DX)


def test_films_become_answers_lines_and_nothing_else(room, film):
    here = room(pictures=True)
    with here.running():
        put(here, film, 0, 1, 2)
        wait_until(lambda: len(here.lines()) == 3)
    assert len(here.archive.taken) == 3 and all(len(files) >= 2 for files in here.archive.taken)
    assert [p.name for p in here.root.rglob("*") if p.is_file()] == ["trail.jsonl"]
    text = (here.root / "trail.jsonl").read_text()
    assert "SECRET" not in text and "Doe" not in text and "2.25." not in text
    assert {line["outcome"] for line in here.lines()} == {"answered"}
    counted = here.service.counters.text().decode()
    assert 'plainfilm_answers_total{outcome="answered"} 3.0' in counted and "plainfilm_spooled_films 0.0" in counted


def test_a_study_is_answered_when_it_has_been_quiet(room, film):
    here = room(quiet=1.0)
    with here.running():
        for number in (0, 1, 2):
            put(here, film, number, study=7)
            time.sleep(0.4)
            assert not here.archive.taken
        wait_until(lambda: len(here.archive.taken) == 3)


def test_answers_wait_while_the_archive_is_away_and_then_go_once(room, film, monkeypatch):
    monkeypatch.setattr(services, "SHORTEST", 0.05)
    here = room()
    here.archive.fail = Unreachable("nobody there")
    with here.running():
        put(here, film, 0, 1)
        wait_until(lambda: len(list(here.service.spool.answers.glob("*.zip"))) == 2)
        time.sleep(0.3)
        assert not here.lines() and here.service.spool.waiting() == 2
        here.archive.fail = None
        wait_until(lambda: len(here.lines()) == 2)
    assert len(here.archive.taken) == 2 and "plainfilm_retries_total 0.0" not in here.service.counters.text().decode()


def test_what_an_archive_refuses_is_given_up_and_the_others_go(room, film, monkeypatch):
    monkeypatch.setattr(services, "SHORTEST", 0.01)
    here = room()
    bad = []

    def send(files):
        kind = sorted(files)[0]
        bad.append(kind) if not bad else None
        if kind == bad[0]:
            raise Refused("status 0xC000")
        here.archive.taken.append(files)

    here.archive.send = send
    with here.running():
        put(here, film, 0, 1, 2)
        wait_until(lambda: len(here.lines()) == 2 and list(here.service.spool.failed.glob("*.txt")))
    (why,) = here.service.spool.failed.glob("*.txt")
    assert "refused the answer 5 times: status 0xC000" in why.read_text() and len(here.archive.taken) == 2


def test_an_answer_that_no_archive_can_send_is_given_up_and_the_next_goes(room, film, monkeypatch):
    monkeypatch.setattr(services, "SHORTEST", 0.01)
    here = room()
    here.archive.fail = ZeroDivisionError("a bug")
    with here.running():
        put(here, film, 0)
        wait_until(lambda: list(here.service.spool.failed.glob("*.txt")))
        (why,) = here.service.spool.failed.glob("*.txt")
        here.archive.fail = None
        put(here, film, 1)
        wait_until(lambda: len(here.lines()) == 1)
    assert "5 times: ZeroDivisionError" in why.read_text() and "a bug" not in why.read_text()
    assert why.with_suffix(".dcm").read_bytes() == film(0)
    (answered,) = here.lines()
    assert answered["outcome"] == "answered" and answered["film"] != why.stem and len(here.archive.taken) == 1


def test_an_archive_that_was_away_may_refuse_as_often_as_any(room, film, monkeypatch):
    monkeypatch.setattr(services, "SHORTEST", 0.01)
    here = room()
    here.archive.fail = Unreachable("nobody there")
    with here.running():
        put(here, film, 0)
        wait_until(lambda: here.service._tries and max(here.service._tries.values()) > services.REFUSALS)
        here.archive.fail = Refused("status 0xC000")
        wait_until(lambda: here.service._refusals)
        here.archive.fail = None
        wait_until(lambda: here.lines())
    assert len(here.archive.taken) == 1 and not list(here.service.spool.failed.iterdir())


def test_a_service_whose_hands_fail_ends(room, monkeypatch):
    here = room()
    monkeypatch.setattr(here.service, "_hand_over", lambda: 1 / 0)
    monkeypatch.setattr(services.threading, "excepthook", lambda _: None)
    with here.running():
        assert here.service.stop.wait(10)


def test_what_nobody_takes_for_too_long_is_given_up(room, film):
    here = room(give_up=0.2)
    here.archive.fail = Unreachable("nobody there")
    with here.running():
        put(here, film, 0)
        wait_until(lambda: list(here.service.spool.failed.glob("*.txt")))
    assert sorted(p.suffix for p in here.service.spool.failed.iterdir()) == [".dcm", ".txt", ".zip"]


STEPS = ["films", "answers", "sent", "line", "answer deleted"]


@pytest.mark.parametrize("step", range(len(STEPS)), ids=STEPS)
def test_a_kill_at_any_step_loses_nothing_and_repeats_only_equal_objects(room, film, step, monkeypatch):
    """The state after each step is laid out as a killed process leaves it; a new service goes on from there."""
    here = room()
    put(here, film, 0)
    (waiting,) = here.service.spool.quiet(0)
    sent = []
    if step >= 1:
        made = here.service.answering.answer(waiting.path.read_bytes())
        answer = here.service.spool.keep(waiting.film, made)
    if step >= 2:
        sent.append({f"{waiting.film}-{kind}.dcm": data for kind, data in spools.files_of(answer).items()})
    if step >= 3:
        here.service.trail.add({**spools.line_of(answer), "outcome": "answered"})
    if step >= 4:
        answer.unlink()
    again = room(root=here.root)
    with again.running():
        wait_until(lambda: again.lines() and again.service.spool.waiting() == 0)
    assert len(again.lines()) == 1
    everything = sent + again.archive.taken
    assert everything and all(files == everything[0] for files in everything)


def test_a_disk_that_lost_an_answers_bytes_makes_it_anew(room, film):
    here = room()
    put(here, film, 0)
    (waiting,) = here.service.spool.quiet(0)
    whole = here.service.answering.answer(waiting.path.read_bytes())
    here.service.spool.answer_of(waiting.film).write_bytes(b"PK")
    with here.running():
        wait_until(lambda: len(here.lines()) == 1 and not here.service.spool.waiting())
    (files,) = here.archive.taken
    assert set(files) == {f"{waiting.film}-{kind}.dcm" for kind in whole.files}
    assert all(len(dcmread(io.BytesIO(data)).SOPInstanceUID) > 10 for data in files.values())
    (line,) = here.lines()
    assert (line["film"], line["outcome"], line["attempts"]) == (waiting.film, "answered", 1)


def test_a_disk_that_is_full_for_answers_too_is_waited_for(room, film, monkeypatch):
    monkeypatch.setattr(services, "AGAIN", 0.1)
    here, real, fails = room(), spools.write_bytes, [3]

    def write(path, data):
        if path.suffix == ".zip" and fails[0]:
            fails[0] -= 1
            raise OSError(28, "No space left on device")
        real(path, data)

    monkeypatch.setattr(spools, "write_bytes", write)
    with here.running():
        put(here, film, 0)
        wait_until(lambda: len(here.lines()) == 1)
    assert fails == [0]


def test_one_service_a_spool(run, tmp_path):
    from plainfilm.commands.receive import Network, Patience, receive
    from plainfilm.storage.files import locked

    with locked(tmp_path / "spool"), pytest.raises(InputError, match="in use"):
        receive(run, tmp_path / "spool", Network(port=0, answer="A@127.0.0.1:104"), Patience(), announce=print)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"port": 0}, "Say where answers go"),
        ({"answer": "A@h:1"}, "Say where films come from"),
        ({"port": 0, "answer": "nobody"}, "AET@HOST:PORT"),
        ({"port": 0, "answer": "A@h:99999"}, "AET@HOST:PORT"),
        ({"port": 0, "answer": "A@a..b:104"}, "AET@HOST:PORT"),
        ({"port": 0, "answer": "A@h:1", "ae_title": "longer than sixteen"}, "no AE title"),
        ({"port": 0, "answer": "A@h:1", "host": "0.0.0.0"}, "--callers"),
        ({"port": 0, "answer": "A@h:1", "certificate": os.devnull}, "go together"),
        ({"port": 0, "answer": "A@h:1", "authority": os.devnull}, "switches no TLS on"),
        ({"port": 0, "dicomweb": "http://h", "host": "0.0.0.0", "authority": os.devnull}, "--callers"),
        ({"port": 0, "dicomweb": "ftp://x"}, "http"),
    ],
)
def test_a_network_that_does_not_hold_together_is_refused_in_a_sentence(run, tmp_path, network, said):
    from plainfilm.commands.receive import Network, Patience, receive

    with pytest.raises(InputError, match=said):
        receive(run, tmp_path / "spool", Network(**network), Patience(), announce=print)


def test_an_archive_that_is_not_there_is_unreachable(tmp_path):
    with pytest.raises(Unreachable):
        Storage("PLAINFILM", Peer("A", "127.0.0.1", 1), None).send({"a": b""})


def test_a_folder_takes_answers_whole(tmp_path):
    Folder(tmp_path / "out").send({"a-SR.dcm": b"report"})
    assert (tmp_path / "out" / "a-SR.dcm").read_bytes() == b"report"
