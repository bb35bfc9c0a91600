"""Where answers go: an archive that takes them by C-STORE, or a folder. (DICOMweb is in ``web``.)"""

from __future__ import annotations

import io
import queue
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from plainfilm.hospital.client import PATIENCE, Client, NotAccepted, Peer
from plainfilm.storage.files import write_bytes

REPORTS, PICTURES, KEYS = (  # storage classes of Comprehensive SR, Secondary Capture, Key Object Selection
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.88.59",
)
KINDS = (
    (REPORTS, ExplicitVRLittleEndian),
    (KEYS, ExplicitVRLittleEndian),
    (PICTURES, JPEGBaseline8Bit),
    (PICTURES, ExplicitVRLittleEndian),
)


class Unreachable(Exception):
    """The archive can't take anything at present; the same answer is to be sent again later."""


class Refused(Exception):
    """The archive does not want this answer; it says why in a code."""


class Archive(Protocol):
    """Takes the files of one answer. Unreachable or Refused when it does not: then it may have some of them, and is
    to be given all of them again."""

    def send(self, files: Mapping[str, bytes]) -> None:
        """Return when every file is acknowledged."""

    def close(self) -> None:
        """Let go of connections."""


class Storage:
    """An archive that takes answers by C-STORE, from several threads; associations stay open between answers."""

    def __init__(self, ours: str, peer: Peer, tls: ssl.SSLContext | None) -> None:
        self.ours, self.peer, self.tls = ours, peer, tls
        self._idle: queue.LifoQueue[Client] = queue.LifoQueue()
        self._open: set[Client] = set()  # idle or lent
        self._asking = threading.Lock()  # for one association at a time: an archive may grant only one

    def send(self, files: Mapping[str, bytes]) -> None:
        """Return when every file is acknowledged."""
        while True:
            new = False
            try:
                with self._lent() as (client, new):
                    for data in files.values():
                        _judge(_stored(client, data))
                return
            except OSError as error:
                if new:
                    raise Unreachable(str(error)) from None
                self.close()  # archives close what is idle: again with a new one

    def close(self) -> None:
        """Release the associations."""
        with suppress(queue.Empty):
            while True:
                client = self._idle.get_nowait()
                self._open.discard(client)
                client.close()

    @contextmanager
    def _lent(self) -> Iterator[tuple[Client, bool]]:
        """Lend an association, and say whether it is new; one that broke off is not kept."""
        client, new = self._client()
        try:
            yield client, new
        except (Unreachable, Refused):  # an answer of the archive's: the association is sound
            self._idle.put(client)
            raise
        except BaseException:
            self._open.discard(client)
            client.abort()
            raise
        else:
            self._idle.put(client)

    def _client(self) -> tuple[Client, bool]:
        """Return an association, and whether it is new."""
        with self._asking:
            with suppress(queue.Empty):
                return self._idle.get_nowait(), False
            try:
                client = Client(self.ours, self.peer, KINDS, self.tls)
                self._open.add(client)
                return client, True
            except OSError as error:
                why = error
        if self._open:  # an archive may grant fewer at once than we have hands
            with suppress(queue.Empty):
                return self._idle.get(timeout=PATIENCE), False
        raise Unreachable(f"no association could be made ({why.strerror or why})")


def _stored(client: Client, data: bytes) -> int:
    try:
        return client.store(data)
    except NotAccepted:
        pass
    try:
        return client.store(_decompressed(data))
    except NotAccepted as error:
        raise Refused(str(error)) from None


def _decompressed(data: bytes) -> bytes:
    """Return a picture for an archive that takes none that are compressed; other files as they are."""
    found, buffer = dcmread(io.BytesIO(data)), io.BytesIO()
    if found.file_meta.TransferSyntaxUID.is_compressed:
        found.decompress(generate_instance_uid=False)
    found.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _judge(status: int) -> None:
    """Unreachable or Refused where a file was not taken; a warning is a success (PS3.4, B.2.3)."""
    if status >> 8 == 0xA7:  # out of resources
        raise Unreachable(f"status 0x{status:04X}")
    if status != 0x0000 and status >> 12 != 0xB:
        raise Refused(f"status 0x{status:04X}")


class Folder:
    """Answers as files in a folder: FILM-SR.dcm and the like, FILM being the SOP instance UID's hash."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def send(self, files: Mapping[str, bytes]) -> None:
        """Write the files, each whole. Unreachable when the disk is full."""
        for name, data in files.items():
            try:
                write_bytes(self.root / name, data)
            except OSError as error:
                raise Unreachable(f"{self.root}: {error.strerror}") from None

    def close(self) -> None:
        """Nothing is open."""
