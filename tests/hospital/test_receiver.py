"""The door: films are acknowledged once they are on the disk; whoever misbehaves is sent away, in time and memory."""

from __future__ import annotations

import io
import random
import resource
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian as EXPLICIT
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage, Verification

from plainfilm.hospital.client import COMMAND, LAST, Client, Peer, _command, object_in
from plainfilm.hospital.receiver import ECHO, NO_ROOM, TAKEN, Address, Limits, _Limited, _Memory, listen
from plainfilm.hospital.source import CR, DX, hashed
from plainfilm.hospital.spool import Draft, Full
from plainfilm.models.reads import batches

IN_TIME = 10  # seconds
# pynetdicom leaves a socket that could not connect to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def associated(port: int, title: str = "PLAINFILM", ours: str = "MODALITY", tls=None):
    entity = AE(ae_title=ours)
    entity.acse_timeout = entity.dimse_timeout = IN_TIME
    for kind in (Verification, CR, DX, CTImageStorage):
        entity.add_requested_context(kind)
    return entity.associate("127.0.0.1", port, ae_title=title, tls_args=tls)


def stored(port: int, *films: bytes) -> list[int | None]:
    """Statuses of C-STORE requests of one association."""
    association = associated(port)
    assert association.is_established
    found = [association.send_c_store(dcmread(io.BytesIO(data))).get("Status") for data in films]
    association.release()
    return found


def kilobytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_a_film_is_on_the_disk_as_sent_when_it_is_acknowledged(room, film):
    here = room()
    with here.open() as port:
        assert stored(port, film(0), film(1)) == [TAKEN, TAKEN]
    waiting = here.service.spool.quiet(0)
    assert len(waiting) == 2
    kept = dcmread(waiting[0].path)
    assert kept.PixelData in {dcmread(io.BytesIO(film(n))).PixelData for n in (0, 1)}
    assert {each.film for each in waiting} == {hashed(dcmread(io.BytesIO(film(n))).SOPInstanceUID) for n in (0, 1)}


def pieces(context: int, flags: int, data: bytes, size: int) -> list[bytes]:
    """The PDVs of one part of a message, ``size`` bytes of it in each (PS3.8, 9.3.1.1); the last one says so."""
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    last = [0] * (len(parts) - 1) + [LAST]
    return [
        struct.pack(">LBB", len(part) + 2, context, flags | end) + part for part, end in zip(parts, last, strict=True)
    ]


@pytest.mark.parametrize(("size", "together"), [(16, 1), (5000, 1), (5000, 3), (2**16, 2), (2**17 - 6, 1), (2**20, 1)])
def test_pieces_of_any_size_become_the_film(room, film, size, together):
    """``together``: PDVs in one PDU; command and data may share one."""
    here, sent = room(), []
    with here.open() as port:
        client = Client("MODALITY", Peer("PLAINFILM", "127.0.0.1", port), [(DX, EXPLICIT)])
        for message, number in enumerate((0, 2), 1):
            data = film(number, 300 if size > 16 else 64)
            about, body = object_in(data)[0], data[144 + int.from_bytes(data[140:144], "little") :]
            pdvs = [*pieces(1, COMMAND, _command(*about, message), 40), *pieces(1, 0, body, size)]
            client._socket.sendall(b"".join(pdu(4, b"".join(some)) for some in batches(pdvs, together)))
            assert client._status() == TAKEN
            sent.append(body)
        client.close()
    kept = [each.path.read_bytes() for each in here.service.spool.quiet(0)]
    assert sorted(data[144 + int.from_bytes(data[140:144], "little") :] for data in kept) == sorted(sent)


def test_half_a_film_is_forgotten_when_its_sender_hangs_up(room, film):
    here, data = room(), film(0, 300)
    body = data[144 + int.from_bytes(data[140:144], "little") :]
    with here.open() as port:
        for end in (12, 5000, 5006, 40_000):  # within the command's, a header's, a piece's bytes
            client = Client("MODALITY", Peer("PLAINFILM", "127.0.0.1", port), [(DX, EXPLICIT)])
            pdvs = [*pieces(1, COMMAND, _command(*object_in(data)[0], 1), 200), *pieces(1, 0, body, 4700)]
            client._socket.sendall(b"".join(pdu(4, each) for each in pdvs)[:end])
            client.abort()
        assert stored(port, film(2)) == [TAKEN]
        wait_until(lambda: not list(here.root.rglob("*.tmp")))
    assert len(here.service.spool.quiet(0)) == 1


def test_a_film_lies_on_the_disk_while_it_comes_and_takes_no_memory(room, film):
    here, data = room(), film(0, 2000)
    with here.open(Limits(memory_bytes=2 * 2**20)) as port:
        client = Client("MODALITY", Peer("PLAINFILM", "127.0.0.1", port), [(DX, EXPLICIT)])
        body = data[144 + int.from_bytes(data[140:144], "little") :]
        pdvs = [*pieces(1, COMMAND, _command(*object_in(data)[0], 1), 200), *pieces(1, 0, body, 2**16)]
        client._socket.sendall(b"".join(pdu(4, each) for each in pdvs[:-1]))
        wait_until(lambda: sum(path.stat().st_size for path in here.root.rglob("*.tmp")) > len(body) - 2**16)
        assert here.service.spool.waiting() == 0
        client._socket.sendall(pdu(4, pdvs[-1]))
        assert client._status() == TAKEN
        client.close()
    assert here.service.spool.waiting() == 1


def test_a_disk_that_fills_while_a_film_comes_refuses_it_and_takes_the_next(room, film, monkeypatch):
    here, write = room(), Draft.write

    def full(draft: Draft, data) -> None:
        if draft._size > 300_000:
            raise Full
        write(draft, data)

    monkeypatch.setattr(Draft, "write", full)
    with here.open() as port:
        assert stored(port, film(0, 1000), film(2)) == [NO_ROOM, TAKEN]
    assert here.service.spool.waiting() == 1 and not list(here.root.rglob("*.tmp"))


def test_what_is_no_film_takes_no_room(room, film):
    here = room(reserve=10**18)
    with here.open() as port:
        assert stored(port, film(0, 1000, SOPClassUID=CTImageStorage)) == [TAKEN]


def test_open_associations_without_work_are_seldom_looked_at(room, monkeypatch):
    looks, ready = [], _Limited.ready.fget
    monkeypatch.setattr(_Limited, "ready", property(lambda self: (looks.append(1), ready(self))[1]))
    with room().open() as port:
        clients = [Client("MODALITY", Peer("PLAINFILM", "127.0.0.1", port), [(DX, EXPLICIT)]) for _ in range(12)]
        looks.clear()
        time.sleep(1)
        counted = len(looks)
        for client in clients:
            client.close()
    assert 0 < counted < 12 * 100  # pynetdicom looks at each once a millisecond


def test_associations_share_what_is_taken_and_leave_it_as_it_is(room):
    """A copy for each took 50 ms of a processor, before a peer had said who it is."""
    here = room()
    at = Address("PLAINFILM", "127.0.0.1", 0)
    server = listen(here.door, at, Limits())
    try:
        before = [(cx.abstract_syntax, list(cx.transfer_syntax)) for cx in server.contexts]
        peer = Peer("PLAINFILM", "127.0.0.1", server.server_address[1])
        clients = [Client("MODALITY", peer, [(DX, EXPLICIT), (ECHO, EXPLICIT)]) for _ in range(2)]
        wait_until(lambda: len(server.active_associations) == 2)
        assert all(each.acceptor.supported_contexts is server.contexts for each in server.active_associations)
        assert [(cx.abstract_syntax, list(cx.transfer_syntax)) for cx in server.contexts] == before
        for client in clients:
            client.close()
    finally:
        server.shutdown()


def test_what_is_no_film_is_passed_over_and_said(room, film, capfd):
    here = room()
    with here.open() as port:
        assert stored(port, film(0, SOPClassUID=CTImageStorage)) == [TAKEN]
    assert here.service.spool.waiting() == 0 and "no CR or DX film" in capfd.readouterr().err


def test_a_film_sent_twice_is_kept_once_and_an_answered_one_not_again(room, film):
    here = room()
    with here.open() as port:
        assert stored(port, film(0), film(0)) == [TAKEN, TAKEN]
        assert here.service.spool.waiting() == 1
        with here.running():
            wait_until(lambda: here.lines())
        assert stored(port, film(0)) == [TAKEN]
    assert here.service.spool.waiting() == 0 and len(here.archive.taken) == 1


def test_a_full_disk_is_refused_so_that_the_sender_keeps_the_film(room, film, capfd):
    here = room(reserve=10**18)
    with here.open() as port:
        assert stored(port, film(0)) == [NO_ROOM]
    assert here.service.spool.waiting() == 0 and "full" in capfd.readouterr().err


def test_a_full_disk_has_room_for_what_is_there_already(room, film):
    here = room()
    with here.open() as port:
        assert stored(port, film(0, 1000)) == [TAKEN]
        here.service.spool.reserve = 10**18
        assert stored(port, film(0, 1000), film(1, 1000)) == [TAKEN, NO_ROOM]
    assert here.service.spool.waiting() == 1 and not list(here.root.rglob("*.tmp"))


def test_echo_by_dcmtk(room, tools):
    (echoscu,) = tools("echoscu")
    with room().open() as port:
        assert subprocess.run([echoscu, "-aec", "PLAINFILM", "127.0.0.1", str(port)]).returncode == 0
        assert subprocess.run([echoscu, "-aec", "OTHER", "127.0.0.1", str(port)], capture_output=True).returncode


def test_a_stranger_and_a_wrong_title_are_rejected(room):
    with room().open(callers=("MODALITY",)) as port:
        assert associated(port).is_established
        assert associated(port, ours="STRANGER").is_rejected
        assert associated(port, title="OTHER").is_rejected


def test_more_associations_than_allowed_are_told_to_come_back_and_those_inside_go_on(room, film):
    here, found = room(), []
    with here.open(Limits(associations=4)) as port:
        inside = associated(port)
        threads = [threading.Thread(target=lambda: found.append(associated(port))) for _ in range(64)]
        begun = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - begun < 3 * IN_TIME
        established = [each for each in found if each.is_established]
        assert len(found) == 64 and len(established) <= 4 and not inside.is_aborted
        assert inside.send_c_store(dcmread(io.BytesIO(film(0)))).Status == TAKEN
        for each in (*established, inside):
            each.release()
        wait_until(lambda: associated(port).is_established)


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack(">BBL", kind, 0, len(body) if length is None else length) + body


def hung_up(port: int, data: bytes, seconds: float = IN_TIME) -> float:
    """Send ``data``, then nothing; return after how many seconds the other side hung up."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(seconds)
        try:
            client.sendall(data)
            while client.recv(4096):
                pass
        except ConnectionError:
            pass
    return time.monotonic() - begun


def test_noise_is_cut_off_in_time_and_the_next_film_is_taken(room, film):
    here, rng = room(), random.Random(0)
    with here.open(Limits(pdu_seconds=0.5, idle_seconds=1)) as port:
        whole = pdu(1, b"\0\1\0\0" + b"PLAINFILM".ljust(16) + b"MODALITY".ljust(16) + bytes(32))
        noise = [
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            pdu(1, b"", 2**32 - 1),
            pdu(4, b"\0" * 64, 2**31),
            whole[:40],
            whole,
            *(rng.randbytes(rng.randrange(1, 300)) for _ in range(10)),
            *(bytes(b ^ (rng.random() < 0.05) * rng.randrange(256) for b in whole) for _ in range(10)),
            *(pdu(rng.randrange(1, 8), rng.randbytes(rng.randrange(200))) for _ in range(10)),
        ]
        threads = [threading.Thread(target=hung_up, args=(port, each)) for each in noise]
        begun = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - begun < 2 * IN_TIME
        assert stored(port, film(0)) == [TAKEN]


def test_fuzzed_films_are_taken_or_refused_and_answered_or_given_up(room, film):
    here, rng, data = room(), random.Random(1), film(0, 64)
    door = here.door
    for _ in range(60):
        spoilt = bytearray(data)
        for _ in range(rng.randrange(1, 12)):
            spoilt[rng.randrange(132, 1500)] = rng.randrange(256)
        door.take(bytes(spoilt[: rng.choice((None, rng.randrange(200, len(data))))]), DX)
    waiting = here.service.spool.waiting()
    assert waiting
    with here.running():
        wait_until(lambda: here.service.spool.waiting() == 0, 60)
    assert len(here.archive.taken) + len(list(here.service.spool.failed.glob("*.dcm"))) >= 1
    assert len(here.lines()) == len(here.archive.taken)


def test_a_film_without_end_is_cut_off_and_takes_no_memory(room, film):
    here = room()
    with here.open(Limits(film_bytes=8 * 2**20)) as port:
        stored(port, film(0, 64))
        before, begun = kilobytes(), time.monotonic()
        association = associated(port)
        with socket.socket() as _:
            endless = dcmread(io.BytesIO(film(2, 64)))
            endless.PixelData = bytes(96 * 2**20)  # sent piece by piece; what is taken is counted by the other side
            sent = association.send_c_store(endless)
        assert "Status" not in sent and time.monotonic() - begun < 3 * IN_TIME
        assert here.service.spool.waiting() == 1
        assert stored(port, film(4, 64)) == [TAKEN]
    own = 2 * 96 * 2**10 + 64 * 2**10  # this process is the sender too: its copies of 96 MB, in kilobytes
    assert kilobytes() - before < 2 * own


def test_all_films_under_way_share_one_memory():
    memory = _Memory(100)
    assert memory.take(60) and not memory.take(60)
    memory.give_back(120)
    assert memory.take(100)


def test_tls_takes_films_and_whoever_shakes_no_hands_blocks_nobody(room, film, certificate, tmp_path):
    cert, key = certificate
    called = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    called.load_cert_chain(cert, key)
    called.load_verify_locations(cert)
    called.verify_mode = ssl.CERT_REQUIRED
    calling = ssl.create_default_context(cafile=cert)
    here = room()
    with here.open(Limits(pdu_seconds=1, idle_seconds=5), tls=called) as port:
        silent = socket.create_connection(("127.0.0.1", port))
        assert not associated(port).is_established  # plain text
        stranger = ssl.create_default_context(cafile=cert)
        assert not associated(port, tls=(stranger, "localhost")).is_established  # shows no certificate
        calling.load_cert_chain(cert, key)
        association = associated(port, tls=(calling, "localhost"))
        assert association.is_established
        assert association.send_c_store(dcmread(io.BytesIO(film(0)))).Status == TAKEN
        association.release()
        silent.close()


def wait_until(there, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.05)
