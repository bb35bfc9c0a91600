"""C-STORE from the thread that asks: one association, whole messages over it (PS3.8, 9.3; PS3.7, 9.3.1).

pynetdicom's own client hands a message to another thread in pieces of 16 KB, looks for its answer every millisecond,
and lets both sides' delayed acknowledgements wait for each other: 50 to 100 ms an object (LOG.md). This one writes a
message at once and reads what comes back. How an association is asked for and granted is pynetdicom's.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydicom.uid import UID
from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.presentation import build_context

from plainfilm.errors import InputError

PATIENCE = 30  # seconds for a connection, and between two pieces of an answer
MOST_BYTES = 2**20  # of a PDU that we are sent; an answer has some hundred
MOST_PIECES = 64  # of an answer, which fits into one
APPLICATION = UID("1.2.840.10008.3.1.1.1")  # DICOM's only one
ACCEPTED, REJECTED, DATA = 2, 3, 4  # kinds of PDUs
RELEASE = struct.pack(">BxLL", 5, 4, 0)
COMMAND, LAST = 1, 2  # flags of a piece; the last one of a command or of its data
FIRST = 144  # where the second element of a file begins, the first one being the length of group 2 (PS3.10, 7.1)
WIDE = (b"OB", b"UN")  # elements of group 2 whose length has 32 bits
KIND, NAME, SYNTAX = 0x0002, 0x0003, 0x0010  # elements of group 2: storage class, SOP instance, transfer syntax
STORE, WITH_DATA = 0x0001, 0x0001
CLASS, FIELD, MESSAGE, PRIORITY, HAS_DATA, STATUS, INSTANCE = 0x0002, 0x0100, 0x0110, 0x0700, 0x0800, 0x0900, 0x1000


class NotAccepted(Exception):
    """The peer takes no objects of this kind."""


class Peer(NamedTuple):
    """A DICOM node, written AET@HOST:PORT."""

    title: str
    host: str
    port: int

    @classmethod
    def of(cls, text: str, flag: str) -> Peer:
        """Return the peer that ``text`` names; InputError, which names ``flag``, when it names none."""
        title, _, address = text.partition("@")
        host, _, port = address.rpartition(":")
        if not (title_fits(title) and _host_fits(host) and port.isdecimal() and 0 < int(port) < 65_536):
            raise InputError(f"{flag} {text!r} is not of the form AET@HOST:PORT, such as ORTHANC@127.0.0.1:4242.")
        return cls(title, host.strip("[]"), int(port))


def title_fits(title: str) -> bool:
    """Whether ``title`` can be an AE title: 1 to 16 printable ASCII characters, no backslash (PS3.5, 6.2)."""
    return 0 < len(title.strip()) == len(title) <= 16 and title.isascii() and title.isprintable() and "\\" not in title


def _host_fits(host: str) -> bool:
    """Whether ``host`` can be looked up: socket raises for other names what is no OSError, and not before a film."""
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


class Object(NamedTuple):
    """UIDs of an object: its storage class, and its own."""

    kind: str
    instance: str


def object_in(data: bytes) -> tuple[Object, str]:
    """Return which object the DICOM file ``data`` holds, and its transfer syntax. KeyError when it does not say so."""
    uids, at, end = {}, FIRST, _body(data)
    while at < end:
        number, wide = int.from_bytes(data[at + 2 : at + 4], "little"), data[at + 4 : at + 6] in WIDE
        start = at + (12 if wide else 8)
        length = int.from_bytes(data[start - (4 if wide else 2) : start], "little")
        uids[number] = data[start : start + length]
        at = start + length
    kind, instance, syntax = (uids[number].rstrip(b"\0 ").decode() for number in (KIND, NAME, SYNTAX))
    return Object(kind, instance), syntax


def _body(data: bytes) -> int:
    """Return where the data set of a DICOM file begins: behind preamble, DICM, and group 2, which says its length."""
    return FIRST + int.from_bytes(data[FIRST - 4 : FIRST], "little")


class Client:
    """An association with ``peer`` for objects of ``kinds``: (storage class, transfer syntax). OSError when none comes
    about, here and later when it breaks off."""

    def __init__(
        self, ours: str, peer: Peer, kinds: Sequence[tuple[str, str]], tls: ssl.SSLContext | None = None
    ) -> None:
        self._socket = socket.create_connection((peer.host, peer.port), PATIENCE)
        try:
            if tls:
                self._socket = tls.wrap_socket(self._socket, server_hostname=peer.host)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(_request(ours, peer, kinds))
            self._granted(kinds, *self._pdu())
        except BaseException:
            self.abort()
            raise
        self._messages = 0

    def store(self, data: bytes) -> int:
        """Return the status that the peer gives to the DICOM file ``data``. NotAccepted when it takes no such kind."""
        about, syntax = object_in(data)
        kind = about.kind, syntax
        if (context := self._contexts.get(kind)) is None:
            raise NotAccepted(f"the archive takes no objects of storage class {kind[0]} in transfer syntax {kind[1]}")
        self._messages = self._messages % 65_535 + 1
        command = _command(*about, self._messages)
        pieces = [
            *_pieces(context, COMMAND, command, self._most),
            *_pieces(context, 0, data[_body(data) :], self._most),
        ]
        self._socket.sendall(b"".join(pieces))
        return self._status()

    def close(self) -> None:
        """Release the association; it is gone whatever the peer says."""
        try:
            self._socket.sendall(RELEASE)
            self._pdu()
        except OSError:
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Hang up."""
        self._socket.close()

    def _granted(self, kinds: Sequence[tuple[str, str]], kind: int, body: bytes) -> None:
        if kind != ACCEPTED:
            raise ConnectionError("the association was rejected" if kind == REJECTED else "no association was made")
        granted = A_ASSOCIATE_AC()
        try:
            granted.decode(struct.pack(">BxL", kind, len(body)) + body)
            found = {each.context_id: each.result for each in granted.presentation_context}
            most = getattr(granted.user_information, "maximum_length", 0) or MOST_BYTES
        except Exception as error:  # bytes of any kind
            raise ConnectionError(f"the association was granted in no known way ({type(error).__name__})") from None
        self._contexts = {each: 2 * n + 1 for n, each in enumerate(kinds) if found.get(2 * n + 1) == 0}
        self._most = min(max(most, 1024), MOST_BYTES)

    def _status(self) -> int:
        """Return what the answer to a message says; it may come in pieces."""
        command, flags = b"", 0
        for _ in range(MOST_PIECES):
            kind, body = self._pdu()
            if kind != DATA or len(body) < 6:
                raise ConnectionError("the association broke off")
            at = 0
            while at + 6 <= len(body):
                length, flags = struct.unpack_from(">LxB", body, at)
                command += body[at + 6 : at + 4 + length]
                at += 4 + length
            if flags & LAST:
                return _status_in(command)
        raise ConnectionError(f"an answer without an end after {MOST_PIECES} pieces")

    def _pdu(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxL", self._exactly(6))
        if length > MOST_BYTES:
            raise ConnectionError(f"a PDU of {length} bytes")
        return kind, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            if hasattr(socket, "TCP_QUICKACK"):  # else a peer that writes in two goes waits for us, 40 ms
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if not (piece := self._socket.recv(count - len(data))):
                raise ConnectionError("the association broke off")
            data += piece
        return data


def _request(ours: str, peer: Peer, kinds: Sequence[tuple[str, str]]) -> bytes:
    asked = A_ASSOCIATE()
    asked.application_context_name = APPLICATION
    asked.calling_ae_title, asked.called_ae_title = ours, peer.title
    contexts = [build_context(kind, syntax) for kind, syntax in kinds]
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
    asked.presentation_context_definition_list = contexts
    most, who = MaximumLengthNotification(), ImplementationClassUIDNotification()
    most.maximum_length_received = MOST_BYTES
    who.implementation_class_uid = UID(PYNETDICOM_IMPLEMENTATION_UID)
    asked.user_information = [most, who]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(asked)
    return pdu.encode()


def _command(kind: str, instance: str, message: int) -> bytes:
    """Return a C-STORE request: elements of group 0, Implicit VR Little Endian, after how long they are together."""
    elements = {
        CLASS: _uid(kind),
        FIELD: struct.pack("<H", STORE),
        MESSAGE: struct.pack("<H", message),
        PRIORITY: struct.pack("<H", 0),
        HAS_DATA: struct.pack("<H", WITH_DATA),
        INSTANCE: _uid(instance),
    }
    body = b"".join(struct.pack("<HHL", 0, number, len(value)) + value for number, value in elements.items())
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def _uid(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)


def _status_in(command: bytes) -> int:
    at = 0
    while at + 8 <= len(command):
        _, number, length = struct.unpack_from("<HHL", command, at)
        if number == STATUS and length == 2:
            return int.from_bytes(command[at + 8 : at + 10], "little")
        at += 8 + length
    raise ConnectionError("an answer without a status")


def _pieces(context: int, flags: int, data: bytes, most: int) -> Iterator[bytes]:
    """Yield the PDUs of one part of a message, each with one piece of at most ``most`` bytes with its own header."""
    step = most - 6
    for at in range(0, len(data), step):
        piece = data[at : at + step]
        last = LAST if at + step >= len(data) else 0
        yield struct.pack(">BxLLBB", DATA, len(piece) + 6, len(piece) + 2, context, flags | last)
        yield piece
