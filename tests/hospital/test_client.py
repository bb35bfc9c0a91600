"""Answers over the network: whole, in either syntax, over associations that stay open, to archives of every temper."""

from __future__ import annotations

import io
import random
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE, evt

from plainfilm.evaluation.decision import Band
from plainfilm.hospital import archive as archives
from plainfilm.hospital import client as clients
from plainfilm.hospital.answering import Answering
from plainfilm.hospital.archive import KEYS, PICTURES, REPORTS, Refused, Storage, Unreachable
from plainfilm.hospital.client import Peer, object_in

from .orthanc import free_port
from .test_receiver import wait_until

# pynetdicom leaves sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def files(model, film) -> dict[str, bytes]:
    """An answer of three files."""
    unsure = replace(model, decision=replace(model.decision, refer=Band(0, 1)))
    made = Answering(unsure).answer(film(0))
    assert len(made.files) == 3
    return {f"{kind}.dcm": data for kind, data in made.files.items()}


class Taking:
    """An archive of pynetdicom's; ``taken`` are datasets as they came, ``status`` what each is answered."""

    def __init__(self, most: int = 10, pdu: int = 16_382, syntaxes: tuple[str, ...] = (), tls: object = None) -> None:
        self.taken: list[bytes] = []
        self.associations = 0
        self.status = 0
        entity = AE(ae_title="ARCHIVE")
        entity.maximum_associations, entity.maximum_pdu_size = most, pdu
        for kind in (REPORTS, PICTURES, KEYS):
            entity.add_supported_context(kind, list(syntaxes) or [ExplicitVRLittleEndian, JPEGBaseline8Bit])
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_ACCEPTED, self._accepted)]
        self.server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=tls)
        self.peer = Peer("ARCHIVE", "127.0.0.1", self.server.server_address[1])

    def stop(self) -> None:
        if self.server in self.server.ae._servers:
            self.server.shutdown()
        for association in self.server.active_associations:
            association.abort()

    def _store(self, event: evt.Event) -> int:
        self.taken.append(event.encoded_dataset())
        return self.status

    def _accepted(self, _: evt.Event) -> None:
        self.associations += 1


@contextmanager
def taking(**how: object) -> Iterator[tuple[Taking, Storage]]:
    calling = how.pop("calling", None)
    there = Taking(**how)
    storage = Storage("PLAINFILM", there.peer, calling)
    try:
        yield there, storage
    finally:
        storage.close()
        there.stop()


def datasets(taken: list[bytes]) -> list[bytes]:
    """What came, without the head that the receiving side wrote: preamble and group 2."""
    return [data[144 + int.from_bytes(data[140:144], "little") :] for data in taken]


def test_what_a_file_holds_is_read_as_pydicom_reads_it(files, film):
    for data in (*files.values(), film(0), film(1)):
        about, syntax = object_in(data)
        meta = dcmread(io.BytesIO(data)).file_meta
        assert about == (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID)
        assert syntax == meta.TransferSyntaxUID


@pytest.mark.parametrize("pdu", [1024, 16_382, 0])
def test_files_arrive_as_they_are_over_one_association(files, pdu):
    with taking(pdu=pdu) as (there, storage):
        for _ in range(3):
            storage.send(files)
        assert datasets(there.taken) == 3 * datasets(list(files.values())) and there.associations == 1


def test_an_archive_that_takes_no_jpeg_is_sent_the_picture_decompressed(files):
    with taking(syntaxes=(ExplicitVRLittleEndian,)) as (there, storage):
        storage.send(files)
        found = next(each for each in map(dcmread, map(io.BytesIO, there.taken)) if each.Modality == "OT")
    sent = dcmread(io.BytesIO(files["SC.dcm"]))
    assert found.SOPInstanceUID == sent.SOPInstanceUID and np.array_equal(found.pixel_array, sent.pixel_array)


def test_dcmtks_archive_takes_all(files, tools, tmp_path):
    (storescp,) = tools("storescp")
    port = free_port()
    with subprocess.Popen([storescp, "-aet", "ARCHIVE", "-od", tmp_path, "+xa", str(port)]) as process:
        try:
            wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
            storage = Storage("PLAINFILM", Peer("ARCHIVE", "127.0.0.1", port), None)
            storage.send(files)
            storage.close()
        finally:
            process.terminate()
    assert sorted(datasets([path.read_bytes() for path in tmp_path.iterdir()])) == sorted(datasets([*files.values()]))


def test_over_tls(files, certificate):
    cert, key = certificate
    called, calling = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=cert)
    called.load_cert_chain(cert, key)
    with taking(tls=called, calling=calling) as (there, storage):
        storage.send(files)
        assert len(there.taken) == 3
        with pytest.raises(Unreachable, match="certificate"):
            Storage("PLAINFILM", there.peer, ssl.create_default_context()).send(files)


def test_an_association_that_went_idle_and_was_closed_is_made_anew(files):
    with taking() as (there, storage):
        storage.send(files)
        for association in there.server.active_associations:
            association.abort()
        wait_until(lambda: not there.server.active_associations)
        storage.send(files)
        assert there.associations == 2 and datasets(there.taken) == 2 * datasets(list(files.values()))


def test_an_archive_that_went_away_is_unreachable_at_once_and_comes_back(files):
    with taking() as (there, storage):
        storage.send(files)
        there.stop()
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="refused"):
            storage.send(files)
        assert time.monotonic() - begun < 5
        again = Taking()
        storage.peer = again.peer
        storage.send(files)
        assert len(again.taken) == 3
        again.stop()


def test_hands_share_the_one_association_that_an_archive_grants(files):
    with taking(most=1) as (there, storage), ThreadPoolExecutor(4) as hands:
        for sent in [hands.submit(storage.send, files) for _ in range(4)]:
            sent.result(60)
        assert len(there.taken) == 12 and there.associations == 1


@pytest.mark.parametrize(("status", "found"), [(0xA700, Unreachable), (0xC000, Refused), (0x0122, Refused)])
def test_what_is_not_taken_is_told_apart_and_the_association_goes_on(files, status, found):
    with taking() as (there, storage):
        there.status = status
        with pytest.raises(found, match=f"{status:04X}"):
            storage.send(files)
        there.status = 0xB000  # a warning: taken
        storage.send(files)
        assert len(there.taken) == 4 and there.associations == 1


def test_what_is_no_file_is_nobodys_fault_but_its_own(files):
    with taking() as (there, storage):
        with pytest.raises(KeyError):
            storage.send({"a": b"no file"})
        storage.send(files)
        assert len(there.taken) == 3


def test_an_archive_for_other_objects_refuses(files):
    with taking(syntaxes=("1.2.840.10008.1.2.2",)) as (_, storage), pytest.raises(Refused, match="takes no objects"):
        storage.send(files)


def answering_with(reply: Callable[[socket.socket], None]) -> int:
    """Listen for one connection and ``reply`` to it; return the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as client:
            client.settimeout(5)
            try:
                client.recv(65_536)
                reply(client)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


NOISE = [
    b"",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x02\0\xff\xff\xff\xff" + bytes(100),
    b"\x02\0\0\0\0\x08" + bytes(8),
    b"\x03\0\0\0\0\x04\0\1\1\7",
    b"\x07\0\0\0\0\x04\0\0\0\0",
    *(b"\x02\0\0\0\0\x64" + random.Random(n).randbytes(100) for n in range(20)),
]


@pytest.mark.parametrize("noise", NOISE, ids=range(len(NOISE)))
def test_a_peer_that_speaks_no_dicom_is_unreachable(files, noise):
    port = answering_with(lambda client: client.sendall(noise))
    begun = time.monotonic()
    with pytest.raises((Unreachable, Refused)):
        Storage("PLAINFILM", Peer("ARCHIVE", "127.0.0.1", port), None).send(files)
    assert time.monotonic() - begun < 5


def test_a_peer_that_says_nothing_is_waited_for_no_longer_than_it_may(files, monkeypatch):
    monkeypatch.setattr(clients, "PATIENCE", 0.5)
    monkeypatch.setattr(archives, "PATIENCE", 0.5)
    port = answering_with(lambda client: time.sleep(3))
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="timed out"):
        Storage("PLAINFILM", Peer("ARCHIVE", "127.0.0.1", port), None).send(files)
    assert time.monotonic() - begun < 2


def test_an_answer_in_pieces_without_an_end_is_given_up(monkeypatch):
    association = object.__new__(clients.Client)
    pieces = iter([(clients.DATA, b"\0\0\0\2\1\1")] * 10_000)  # an empty piece of a command, more to come
    monkeypatch.setattr(association, "_pdu", lambda: next(pieces), raising=False)
    with pytest.raises(ConnectionError, match="without an end"):
        association._status()
