"""Storage commitment: films are kept until the archive says that it keeps their answers, whatever it says and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE, evt
from pynetdicom.presentation import build_role

from plainfilm.errors import InputError
from plainfilm.hospital import service as services
from plainfilm.hospital.archive import KEYS, PICTURES, REPORTS, Storage, Unreachable
from plainfilm.hospital.client import Peer
from plainfilm.hospital.commitment import INSTANCE, MODEL, Commitments

from .orthanc import Orthanc, free_port
from .test_receiver import wait_until
from .test_scenes import check, lines, sent, started, written
from .test_service import put

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


class Archive:
    """Takes answers, takes questions, and reports to ``port`` what ``says`` makes of each."""

    def __init__(self, says: Callable[[Dataset], Dataset | None], status: int = 0) -> None:
        self.says, self.status, self.port, self.asked, self.answered = says, status, 0, 0, []
        self.stored: list[str] = []
        entity = AE(ae_title="ARCHIVE")
        for kind in (REPORTS, PICTURES, KEYS):
            entity.add_supported_context(kind, [ExplicitVRLittleEndian, JPEGBaseline8Bit])
        entity.add_supported_context(MODEL)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._asked)]
        self.server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.peer = Peer("ARCHIVE", "127.0.0.1", self.server.server_address[1])

    def _store(self, event: evt.Event) -> int:
        self.stored.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    def _asked(self, event: evt.Event) -> tuple[int, None]:
        self.asked += 1
        if (said := self.says(event.action_information)) is not None:
            threading.Thread(target=self.report, args=(said,)).start()
        return self.status, None

    def report(self, said: Dataset) -> None:
        entity = AE(ae_title="ARCHIVE")
        entity.add_requested_context(MODEL)
        there = entity.associate(
            "127.0.0.1", self.port, ae_title="PLAINFILM", ext_neg=[build_role(MODEL, scp_role=True)]
        )
        event = 2 if said.get("FailedSOPSequence") else 1
        self.answered.append(there.send_n_event_report(said, event, MODEL, INSTANCE)[0].Status)
        there.release()


def all_of(asked: Dataset) -> Dataset:
    said = Dataset()
    said.TransactionUID, said.ReferencedSOPSequence = asked.TransactionUID, asked.ReferencedSOPSequence
    return said


def all_but_one(asked: Dataset) -> Dataset:
    """The first object is not kept."""
    said = Dataset()
    said.TransactionUID, said.ReferencedSOPSequence = asked.TransactionUID, asked.ReferencedSOPSequence[1:]
    failed = asked.ReferencedSOPSequence[0]
    failed.FailureReason = 0x0112
    said.FailedSOPSequence = [failed]
    return said


@pytest.fixture
def committing(room):
    """Make a service that asks an archive of the given temper."""
    open_: list[Archive] = []

    def make(*temper):
        there = Archive(*temper)
        open_.append(there)
        commitments = Commitments("PLAINFILM", there.peer, None)
        return room(archive=Storage("PLAINFILM", there.peer, None), commitments=commitments), there

    yield make
    for there in open_:
        there.server.shutdown()


def test_films_are_forgotten_when_the_archive_keeps_their_answers(committing, film):
    here, there = committing(lambda asked: None)
    said: list[Dataset] = []
    there.says = lambda asked: said.append(all_of(asked))
    with here.open() as there.port, here.running():
        put(here, film, 0, 1, 2)
        wait_until(
            lambda: len(said) and sum(len(each.ReferencedSOPSequence) for each in said) == len(there.stored) >= 3
        )
        time.sleep(0.3)
        assert here.service.spool.waiting() == 3 and not here.lines()
        for each in said:
            there.report(each)
        wait_until(lambda: here.service.spool.waiting() == 0)
        assert len(here.lines()) == 3 and {line["attempts"] for line in here.lines()} == {1}
        there.report(said[0])  # again: nobody waits for it
    assert set(there.answered[:-1]) == {0} and there.answered[-1] == 0x0115
    assert len(set(there.stored)) == len(there.stored) and len(here.lines()) == 3


def test_what_is_not_kept_is_sent_again_and_then_given_up(committing, film, monkeypatch):
    monkeypatch.setattr(services, "SHORTEST", 0.01)
    here, there = committing(all_but_one)
    with here.open() as there.port, here.running():
        put(here, film, 0)
        wait_until(lambda: list(here.service.spool.failed.glob("*.txt")))
        there.says = all_of
        put(here, film, 1)
        wait_until(lambda: len(here.lines()) == 1)
    (why,) = here.service.spool.failed.glob("*.txt")
    assert "5 times: it does not keep all of it" in why.read_text() and why.with_suffix(".dcm").read_bytes() == film(0)


def test_silence_is_asked_again_and_a_late_report_still_counts(committing, film, monkeypatch):
    monkeypatch.setattr(services, "HELD", 0.3)
    here, there = committing(lambda asked: None)
    said: list[Dataset] = []
    there.says = lambda asked: said.append(all_of(asked))
    with here.open() as there.port, here.running():
        put(here, film, 0)
        wait_until(lambda: len(said) == 2)
        there.report(said[0])
        wait_until(lambda: here.service.spool.waiting() == 0)
        there.report(said[1])
    assert len(here.lines()) == 1 and here.lines()[0]["attempts"] == 2 and set(there.answered) == {0}


def test_a_report_that_comes_while_the_answer_is_sent_again_counts(committing, film, monkeypatch):
    monkeypatch.setattr(services, "HELD", 0.3)
    here, there = committing(lambda asked: None)
    said: list[Dataset] = []
    there.says = lambda asked: said.append(all_of(asked))

    class Late(list):
        def append(self, instance):
            super().append(instance)
            if said and not there.answered:
                there.report(said[0])

    there.stored = Late()
    with here.open() as there.port, here.running():
        put(here, film, 0)
        wait_until(lambda: here.service.spool.waiting() == 0 and there.answered == [0])
        time.sleep(0.3)
        assert not here.service.stop.is_set()
        put(here, film, 1)
        wait_until(lambda: len(said) == 2)
        there.report(said[1])
        wait_until(lambda: here.service.spool.waiting() == 0)
    assert [line["outcome"] for line in here.lines()] == ["answered", "answered"]


def test_silence_for_too_long_is_given_up(committing, film, monkeypatch):
    monkeypatch.setattr(services, "HELD", 0.1)
    here, there = committing(lambda asked: None)
    here.service.give_up = 0.5
    with here.open() as there.port, here.running():
        put(here, film, 0)
        wait_until(lambda: list(here.service.spool.failed.glob("*.txt")))
    (why,) = here.service.spool.failed.glob("*.txt")
    assert "has not committed" in why.read_text() and not here.lines()


def test_a_report_that_comes_before_the_answer_to_the_question_counts(committing, film):
    here, there = committing(lambda asked: None)
    there.says = lambda asked: there.report(all_of(asked))  # in the thread that is to answer
    with here.open() as there.port, here.running():
        put(here, film, 0)
        wait_until(lambda: len(here.lines()) == 1)
    assert here.service.spool.waiting() == 0


def test_an_archive_that_takes_no_question_is_said_to(committing, film, monkeypatch, capfd):
    monkeypatch.setattr(services, "SHORTEST", 0.05)
    here, there = committing(lambda asked: None, 0x0122)
    with here.open() as there.port, here.running():
        put(here, film, 0)
        wait_until(lambda: there.asked >= 2)
        assert not here.lines() and here.service.spool.waiting() == 1
    assert "storage commitment was answered with status 0x0122" in capfd.readouterr().err


def test_after_a_kill_it_is_asked_again(committing, room, film):
    here, there = committing(lambda asked: None)
    with here.open() as there.port, here.running():
        put(here, film, 0)
        wait_until(lambda: there.asked == 1)
    there.says, first = all_of, list(there.stored)
    again = room(root=here.root, archive=here.archive, commitments=Commitments("PLAINFILM", there.peer, None))
    with again.open() as there.port, again.running():
        wait_until(lambda: len(again.lines()) == 1)
    assert there.stored == 2 * first and again.service.spool.waiting() == 0


def test_nobody_there_is_unreachable():
    with pytest.raises(Unreachable, match="storage commitment"):
        Commitments("PLAINFILM", Peer("ARCHIVE", "127.0.0.1", 1), None).ask({"film": [("1.2", "1.2.3")]})


def test_who_asks_must_be_reached(run, tmp_path):
    from plainfilm.commands.receive import Network, Patience, receive

    network = Network(dicomweb="http://127.0.0.1:1", answer="A@127.0.0.1:1", commit=True)
    with pytest.raises(InputError, match="--commit needs"):
        receive(run, tmp_path / "spool", network, Patience(), announce=print)


def test_orthanc_commits_to_answers(orthanc: Orthanc, tools, run, tmp_path):
    (storescu,) = tools("storescu")
    port, films, spool = free_port(), written(tmp_path / "films", 5, studies=2), tmp_path / "spool"
    orthanc.stop()
    orthanc.start(DicomModalities={"plainfilm": ["PLAINFILM", "127.0.0.1", port]})
    flags = ("--port", port, "--answer", orthanc.peer, "--commit", "--callers", "STORESCU", "--wait", 0.2)
    with started("receive", run, *flags, "--spool", spool, "--reserve", 1) as receiver:
        assert sent(storescu, port, *films)
        wait_until(lambda: len(lines(spool)) == 5, 120)
        assert receiver.stop() == 0
    check(orthanc, films, spool)
    assert {line["attempts"] for line in lines(spool)} == {1}
