"""The door for DICOM: C-ECHO and C-STORE under limits, by pynetdicom. A film is acknowledged once it is on the disk.

pynetdicom trusts its peers: it reads as many bytes as a PDU says that it has, waits for them for ever, and shakes hands
for TLS while nobody else is accepted. ``_Limited`` and ``_Server`` put an end to each.
"""

from __future__ import annotations

import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from pydicom import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dul import DULServiceProvider
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from plainfilm.data.films import FilmError
from plainfilm.errors import InputError
from plainfilm.hospital.commitment import MODEL as COMMITMENT
from plainfilm.hospital.counters import Counters
from plainfilm.hospital.source import FILMS, hashed, identity
from plainfilm.hospital.spool import Full, Spool
from plainfilm.hospital.trail import Trail
from plainfilm.progress import say

ECHO = "1.2.840.10008.1.1"
# What a C-STORE is answered (PS3.4, B.2.3)
TAKEN, NO_ROOM, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000
PDU_BYTES = 2**17  # offered to senders; larger ones save nothing
FILM_BYTES = 64 * 2**20  # of a film; CR and DX have one channel, of 25 megapixels at most: 50 MB
DATA, MIDDLE = 4, 0  # a PDU's kind, and the flags of a piece of data that is not the last (PS3.8, 9.3.1, E.2)
PIECE = struct.Struct(">LBB")  # what stands before it: the length of the rest, its context, its flags
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
        if kind not in FILMS:
            return self._said(TAKEN, "passed over", f"Passed over an object that is no CR or DX film ({kind[:64]}).")
        try:
            found = identity(data)
        except FilmError as error:
            return self._said(NOT_UNDERSTOOD, "not understood", f"Refused an object: {error}.")
        film, study = hashed(found.SOPInstanceUID), hashed(found.StudyInstanceUID)
        if self.trail.knows(film, self.model_hash):
            return self._said(TAKEN, "known", f"Film {film[:8]} has been answered before; passed over.")
        if self.spool.has(film, study):
            return self._said(TAKEN, "known", "")
        try:
            self.spool.put(film, study, data)
        except (Full, OSError):
            return self._said(NO_ROOM, "no room", "Refused a film: the spool's disk is full; its sender keeps it.")
        return self._said(TAKEN, "taken", "")

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


class _Limited(AssociationSocket):
    """A peer's socket that reads no more, and waits no longer, than the limits allow."""

    limits: Limits
    memory: _Memory
    under_way = 0  # bytes since the last whole message
    _ahead = b""  # what was read and is not yet asked for

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
            head = self._received(6)
            length = int.from_bytes(head[2:], "big")
            plain = len(head) == 6 and head[0] == DATA and length > PIECE.size
            body = self._received(length) if plain else bytearray()
            if not plain or len(body) < length or PIECE.unpack_from(body) != (length - 4, message.context_id, MIDDLE):
                self._ahead = bytes(head + body)
                return True
            message.data_set.write(memoryview(body)[PIECE.size :])
        return False

    def _received(self, nr_bytes: int) -> bytearray:
        assert self.socket is not None
        if nr_bytes > MOST_PDU_BYTES:
            raise OSError(f"a PDU of {nr_bytes} bytes")
        self.under_way += nr_bytes
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
        self.memory.give_back(self.under_way)
        self.under_way = 0


class _Handler(RequestHandler):
    server: _Server

    def _create_association(self) -> Association:
        made = super()._create_association()
        made.dul.event_queue.get_nowait()  # the news of the connection, which each socket tells once
        limited = _Limited(made, client_socket=self.request)
        limited.limits, limited.memory = self.server.limits, self.server.memory
        made.dul.socket = limited
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


class _Server(ThreadedAssociationServer):
    """Accepts at once and leaves TLS to the connection's own thread; beyond ``connections`` it hangs up."""

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
    kind = type("_Bounded", (_Server,), {"limits": limits, "memory": _Memory(limits.memory_bytes)})
    try:
        how = {"evt_handlers": handlers, "ssl_context": at.tls, "server_class": kind, "request_handler": _Handler}
        server: ThreadedAssociationServer = entity.make_server((at.host, at.port), at.title, **how)  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(
            f"Port {at.port} of {at.host} can't be used ({error.strerror}); choose another --port."
        ) from None
    entity._servers.append(server)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="dicom", daemon=True).start()
    return server


_COUNTED = ((evt.EVT_ACCEPTED, "accepted"), (evt.EVT_REJECTED, "rejected"), (evt.EVT_ABORTED, "aborted"))


def _stored(event: evt.Event, door: Door) -> int:
    request = event.request
    return door.take(event.encoded_dataset(), str(request.AffectedSOPClassUID))


def _reported(event: evt.Event, report: Callable[[Dataset], int]) -> tuple[int, None]:
    return report(event.event_information), None


def _whole(event: evt.Event) -> None:
    found = event.assoc.dul.socket
    if isinstance(found, _Limited):
        found.whole()


def _gone(event: evt.Event) -> None:
    """Forget what a connection left half sent: pynetdicom keeps it until a garbage collection comes, which may be long,
    and closes no socket that has failed."""
    _whole(event)
    event.assoc.dimse.message = None


def _counted(event: evt.Event, counters: Counters, outcome: str) -> None:
    counters.associations.labels(outcome).inc()
