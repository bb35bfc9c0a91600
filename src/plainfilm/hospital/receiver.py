"""The door for DICOM: C-ECHO and C-STORE under limits, by pynetdicom. A film is acknowledged once it is on the disk.

pynetdicom trusts its peers: it reads as many bytes as a PDU says that it has, waits for them for ever, and shakes hands
for TLS while nobody else is accepted. ``_Limited`` and ``_Server`` put an end to each.
"""

from __future__ import annotations

import io
import logging
import queue
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from pydicom import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dsutils import create_file_meta, encode_file_meta
from pynetdicom.dul import DULServiceProvider
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from plainfilm.data.dicom import HEAD
from plainfilm.data.films import FilmError
from plainfilm.errors import InputError
from plainfilm.hospital.commitment import MODEL as COMMITMENT
from plainfilm.hospital.counters import Counters
from plainfilm.hospital.source import FILMS, hashed, identity_by
from plainfilm.hospital.spool import Draft, Full, Spool
from plainfilm.hospital.trail import Trail
from plainfilm.progress import say

ECHO = "1.2.840.10008.1.1"
# What a C-STORE is answered (PS3.4, B.2.3)
TAKEN, NO_ROOM, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000
PDU_BYTES = 2**17  # offered to senders; larger ones save nothing
FILM_BYTES = 64 * 2**20  # of a film; CR and DX have one channel, of 25 megapixels at most: 50 MB
DATA, MIDDLE = 4, 0  # a PDU's kind, and the flags of a piece of data that is not the last (PS3.8, 9.3.1, E.2)
PIECE = struct.Struct(">LBB")  # what stands before it: the length of the rest, its context, its flags
LOOK = 0.05  # seconds that an association waits for something to do, before it looks if its time is over
MOST_PDU_BYTES = 2**20  # of one PDU, whatever it says: an association request may list hundreds of contexts


@dataclass(frozen=True)
class Limits:
    """Bounds of one association and of all together; beyond them a peer is refused or cut off."""

    associations: int = 16  # at once; more are told to come back
    connections: int = 64  # at once, before they have said who they are
    film_bytes: int = FILM_BYTES
    memory_bytes: int = 256 * 2**20  # of films under way together
    idle_seconds: float = 30.0  # without a byte
    pdu_seconds: float = 30.0  # for a PDU to arrive, and for TLS to be agreed


class Coming(io.BytesIO):
    """A film on its way to the disk. pynetdicom writes to it as to memory, and takes no error: ``draft`` is None once
    the disk has no room for it, and what comes then goes nowhere, as all does without a ``spool``. ``head``: its first
    bytes, which say whose film it is whether there is room or not."""

    def __init__(self, spool: Spool | None, data: bytes) -> None:
        super().__init__()
        self.head = data[:HEAD]
        self.draft: Draft | None = None
        with suppress(Full, OSError):
            self.draft = spool.draft(data) if spool else None

    def write(self, data: Any) -> int:
        """Write the next bytes; return how many they are."""
        if len(self.head) < HEAD:
            self.head += bytes(data[: HEAD - len(self.head)])
        if self.draft:
            try:
                self.draft.write(data)
            except (Full, OSError):
                self.close()
        return len(data)

    def whole(self) -> bytes:
        """Return all of it that is here."""
        return self.draft.whole() if self.draft else self.head

    def keep(self, spool: Spool, film: str, study: str) -> None:
        """Have ``spool`` keep it under these names. Full (or OSError) when there is no room for it."""
        if not self.draft:
            raise Full
        spool.put(film, study, self.draft)

    def close(self) -> None:
        """Forget what is not kept."""
        if self.draft:
            self.draft.drop()
        self.draft = None


class Door:
    """What becomes of each film that comes: into the spool, passed over, or refused. The same for every way in."""

    def __init__(self, spool: Spool, trail: Trail, counters: Counters, model_hash: str) -> None:
        self.spool, self.trail, self.counters, self.model_hash = spool, trail, counters, model_hash

    def has(self, instance: str, study: str) -> bool:
        """Whether the film of these UIDs waits here or has been answered."""
        film = hashed(instance)
        return self.trail.knows(film, self.model_hash) or self.spool.has(film, hashed(study))

    def take(self, data: bytes, kind: str) -> int:
        """Return the C-STORE status for the DICOM file ``data`` of storage class ``kind``."""
        return self.finish(self.begin(kind, data), kind)

    def begin(self, kind: str, data: bytes) -> Coming:
        """Return where a film of storage class ``kind`` is to go, whose file begins with ``data``."""
        return Coming(self.spool if kind in FILMS else None, data)

    def finish(self, coming: Coming, kind: str) -> int:
        """Return the C-STORE status for a film that is whole."""
        with coming:
            if kind not in FILMS:
                return self._said(
                    TAKEN, "passed over", f"Passed over an object that is no CR or DX film ({kind[:64]})."
                )
            return self._kept(coming)

    def _kept(self, coming: Coming) -> int:
        try:
            found = identity_by(coming.head, coming.whole)
        except FilmError as error:
            if not coming.draft:  # all of it may say more
                return self._full()
            return self._said(NOT_UNDERSTOOD, "not understood", f"Refused an object: {error}.")
        film, study = hashed(found.SOPInstanceUID), hashed(found.StudyInstanceUID)
        if self.trail.knows(film, self.model_hash):
            return self._said(TAKEN, "known", f"Film {film[:8]} has been answered before; passed over.")
        if self.spool.has(film, study):
            return self._said(TAKEN, "known", "")
        try:
            coming.keep(self.spool, film, study)
        except (Full, OSError):
            return self._full()
        return self._said(TAKEN, "taken", "")

    def _full(self) -> int:
        return self._said(NO_ROOM, "no room", "Refused a film: the spool's disk is full; its sender keeps it.")

    def _said(self, status: int, outcome: str, sentence: str) -> int:
        self.counters.films.labels(outcome).inc()
        if sentence:
            say(sentence)
        return status


class _Memory:
    """Bytes of films under way, of all associations."""

    def __init__(self, limit: int) -> None:
        self.limit, self.taken, self._lock = limit, 0, threading.Lock()

    def take(self, count: int) -> bool:
        with self._lock:
            self.taken += count
            return self.taken <= self.limit

    def give_back(self, count: int) -> None:
        with self._lock:
            self.taken -= count


class _Heard(queue.Queue[Any]):
    """A queue that tells of each thing that is put into it."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self.tell = tell

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put ``item`` in, then tell."""
        super().put(item, block, timeout)
        self.tell()


class _Checkpoint(threading.Event):
    """Where pynetdicom's loop over what peers ask for comes by each time, once a millisecond: here it waits for news.

    ``asked`` are the queues that it looks into, each of which rings ``news``."""

    def __init__(self, news: threading.Event, asked: tuple[queue.Queue[Any], ...]) -> None:
        super().__init__()
        self.set()
        self.news, self.asked = news, asked

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for news, for LOOK seconds at most, then until it is set."""
        self.news.clear()
        if all(each.empty() for each in self.asked):
            self.news.wait(LOOK)
        return super().wait(timeout)


class _Limited(AssociationSocket):
    """A peer's socket that reads no more, and waits no longer, than the limits allow."""

    limits: Limits
    memory: _Memory
    door: Door
    under_way = 0  # bytes since the last whole message
    held = 0  # of these, in memory
    _ahead = b""  # what was read and is not yet asked for

    def __init__(self, assoc: Association, client_socket: socket.socket) -> None:
        super().__init__(assoc, client_socket=client_socket)
        self._rings, self._bell = socket.socketpair()

    def ring(self) -> None:
        """There is something to send: whoever waits for something to read goes on."""
        with suppress(OSError):  # it is over
            self._bell.send(b".")

    @property
    def ready(self) -> bool:
        """Whether there is something to read, within LOOK seconds while nothing is to be sent. pynetdicom asks once a
        millisecond, and gets its answer at once."""
        if self.socket is None or not self._is_connected:
            return False
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        try:
            found, _, _ = select.select([self.socket, self._rings], [], [], LOOK)
            if self._rings in found:
                self._rings.recv(4096)
        except (OSError, ValueError):  # closed
            self.event_queue.put("Evt17")
            return False
        return self.socket in found

    def hang_up(self) -> None:
        """Let go of what the connection had."""
        self.whole()
        self._rings.close()
        self._bell.close()

    def recv(self, nr_bytes: int) -> bytearray:
        """Return ``nr_bytes`` bytes, fewer when the peer hangs up. OSError, which ends it all, beyond the limits."""
        ahead, self._ahead = self._ahead[:nr_bytes], self._ahead[nr_bytes:]
        return bytearray(ahead) + self._received(nr_bytes - len(ahead)) if ahead else self._received(nr_bytes)

    def pieces(self) -> bool:
        """Read as many PDUs as are there and are nothing but the next piece of a film's data, into its message; return
        whether there is another one, which is pynetdicom's to read: it copies each several times on its way."""
        while self.ready:
            message = self.assoc.dimse.message
            if not isinstance(message, C_STORE_RQ) or message.data_set is None:
                return True
            if not isinstance(message.data_set, Coming):
                message.data_set = self._coming(message)
            self._give_back()  # what has come is on the disk
            head = self._received(6)
            length = int.from_bytes(head[2:], "big")
            plain = len(head) == 6 and head[0] == DATA and length > PIECE.size
            body = self._received(length) if plain else bytearray()
            if not plain or len(body) < length or PIECE.unpack_from(body) != (length - 4, message.context_id, MIDDLE):
                self._ahead = bytes(head + body)
                return True
            message.data_set.write(memoryview(body)[PIECE.size :])
        return False

    def _coming(self, message: C_STORE_RQ) -> Coming:
        """Return where the film is to go that ``message`` begins, with what has come of it."""
        kind, instance = message.command_set.AffectedSOPClassUID, message.command_set.AffectedSOPInstanceUID
        syntax = self.assoc._accepted_cx[message.context_id or 0].transfer_syntax[0]
        meta = create_file_meta(sop_class_uid=kind, sop_instance_uid=instance, transfer_syntax=syntax)
        data = message.data_set.getvalue() if message.data_set else b""
        return self.door.begin(str(kind), b"".join((bytes(128), b"DICM", encode_file_meta(meta), data)))

    def _received(self, nr_bytes: int) -> bytearray:
        assert self.socket is not None
        if nr_bytes > MOST_PDU_BYTES:
            raise OSError(f"a PDU of {nr_bytes} bytes")
        self.under_way += nr_bytes
        self.held += nr_bytes
        fits = self.memory.take(nr_bytes)
        if not fits or self.under_way > self.limits.film_bytes + MOST_PDU_BYTES:
            raise OSError("a film that is too large, or too many at once")
        data, got, until = bytearray(nr_bytes), 0, time.monotonic() + self.limits.pdu_seconds
        view = memoryview(data)
        while got < nr_bytes:
            self.socket.settimeout(max(0.01, until - time.monotonic()))
            count = self.socket.recv_into(view[got:])
            if not count or time.monotonic() > until:
                break
            got += count
        self.socket.settimeout(self.limits.idle_seconds)
        view.release()
        del data[got:]
        return data

    def whole(self) -> None:
        """A message is whole: what it took is free again."""
        self._give_back()
        self.under_way = 0

    def _give_back(self) -> None:
        self.memory.give_back(self.held)
        self.held = 0


class _Handler(RequestHandler):
    server: _Server

    def _create_association(self) -> Association:
        made = super()._create_association()
        made.dul.event_queue.get_nowait()  # the news of the connection, which each socket tells once
        limited = _Limited(made, client_socket=self.request)
        limited.limits, limited.memory, limited.door = self.server.limits, self.server.memory, self.server.door
        made.dul.socket = limited
        made.dul.to_provider_queue = _Heard(limited.ring)
        news = threading.Event()
        made.dimse.msg_queue, made.dul.to_user_queue = _Heard(news.set), _Heard(news.set)
        made._reactor_checkpoint = _Checkpoint(news, (made.dimse.msg_queue, made.dul.to_user_queue))
        made.dul._read_pdu_data = partial(_read, made.dul, made.dul._read_pdu_data)  # type: ignore[method-assign]
        return made


def _read(dul: DULServiceProvider, theirs: Callable[[], None]) -> None:
    """Read what has come: pieces of a film by ourselves, all else by ``theirs``."""
    assert isinstance(dul.socket, _Limited)
    try:
        another = dul.socket.pieces()
    except OSError:
        dul.event_queue.put("Evt17")  # as where they read: the connection is closed
        return
    if another:
        theirs()


class _Shared(list[PresentationContext]):
    """What we take. Associations only read it, and pynetdicom would copy it for each: 8,000 UIDs, 50 ms."""

    def __deepcopy__(self, _: Any) -> _Shared:
        return self


class _Server(ThreadedAssociationServer):
    """Accepts at once and leaves TLS to the connection's own thread; beyond ``connections`` it hangs up."""

    door: Door
    limits = Limits()
    memory = _Memory(Limits().memory_bytes)
    request_queue_size = 128

    def get_request(self) -> tuple[socket.socket, Any]:
        """Return the next connection; the handshake is made when it is first read."""
        assert self.socket is not None
        client, address = self.socket.accept()
        client.settimeout(self.limits.pdu_seconds)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.ssl_context:
            client = self.ssl_context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        return client, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for another connection."""
        return len(self.active_associations) < self.limits.connections

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Agree on TLS, then go on as ever."""
        if isinstance(request, ssl.SSLSocket):
            try:
                request.do_handshake()
            except OSError:
                self.shutdown_request(request)
                return
        super().process_request_thread(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer's misbehaviour is no news."""


class Address(NamedTuple):
    """Where we listen, as whom, and to whom: ``callers`` are the AE titles that may send, all when empty."""

    title: str
    host: str
    port: int  # 0: any free one
    callers: tuple[str, ...] = ()
    tls: ssl.SSLContext | None = None


def listen(
    door: Door, at: Address, limits: Limits, report: Callable[[Dataset], int] | None = None
) -> ThreadedAssociationServer:
    """Answer C-ECHO and C-STORE in threads; return the server, to be shut down. InputError when the port is taken.

    ``report`` takes what an archive says of storage commitment (the information of an N-EVENT-REPORT), where that is
    asked for, and returns the status that it is answered with.
    """
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it quotes what peers send
    entity = AE(ae_title=at.title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(at.callers)
    entity.maximum_associations, entity.maximum_pdu_size = limits.associations, PDU_BYTES
    entity.acse_timeout = entity.dimse_timeout = limits.pdu_seconds
    entity.network_timeout = limits.idle_seconds
    entity.add_supported_context(ECHO)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_C_STORE, _stored, [door]),
        (evt.EVT_DIMSE_RECV, _whole),
        (evt.EVT_CONN_CLOSE, _gone),
        *((event, _counted, [door.counters, name]) for event, name in _COUNTED),
    ]
    if report:
        entity.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
        handlers.append((evt.EVT_N_EVENT_REPORT, _reported, [report]))
    kind = type("_Bounded", (_Server,), {"limits": limits, "memory": _Memory(limits.memory_bytes), "door": door})
    try:
        how = {"evt_handlers": handlers, "ssl_context": at.tls, "server_class": kind, "request_handler": _Handler}
        server: ThreadedAssociationServer = entity.make_server((at.host, at.port), at.title, **how)  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(
            f"Port {at.port} of {at.host} can't be used ({error.strerror}); choose another --port."
        ) from None
    server.contexts = _Shared(server.contexts)
    entity._servers.append(server)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="dicom", daemon=True).start()
    return server


_COUNTED = ((evt.EVT_ACCEPTED, "accepted"), (evt.EVT_REJECTED, "rejected"), (evt.EVT_ABORTED, "aborted"))


def _stored(event: evt.Event, door: Door) -> int:
    request: Any = event.request
    kind, found = str(request.AffectedSOPClassUID), request.DataSet
    return door.finish(found, kind) if isinstance(found, Coming) else door.take(event.encoded_dataset(), kind)


def _reported(event: evt.Event, report: Callable[[Dataset], int]) -> tuple[int, None]:
    return report(event.event_information), None


def _whole(event: evt.Event) -> None:
    found = event.assoc.dul.socket
    if isinstance(found, _Limited):
        found.whole()


def _gone(event: evt.Event) -> None:
    """Forget what a connection left half sent: pynetdicom keeps it until a garbage collection comes, which may be long,
    and closes no socket that has failed."""
    if isinstance(event.assoc.dul.socket, _Limited):
        event.assoc.dul.socket.hang_up()
    message, event.assoc.dimse.message = event.assoc.dimse.message, None
    if message and isinstance(message.data_set, Coming):
        message.data_set.close()


def _counted(event: evt.Event, counters: Counters, outcome: str) -> None:
    counters.associations.labels(outcome).inc()
