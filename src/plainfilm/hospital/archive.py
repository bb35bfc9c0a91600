"""Where answers go: an archive that takes them by C-STORE, or a folder. (DICOMweb is in ``web``.)"""

from __future__ import annotations

import io
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from pydicom import Dataset, dcmread
from pynetdicom import AE
from pynetdicom.association import Association

from plainfilm.errors import InputError
from plainfilm.storage.files import write_bytes

KINDS = (
    "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
    "1.2.840.10008.5.1.4.1.1.88.59",  # Key Object Selection
)
PATIENCE = 30  # seconds for a connection, an association, a message


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
        if not (title_fits(title) and host and port.isdecimal() and 0 < int(port) < 65_536):
            raise InputError(f"{flag} {text!r} is not of the form AET@HOST:PORT, such as ORTHANC@127.0.0.1:4242.")
        return cls(title, host.strip("[]"), int(port))


def title_fits(title: str) -> bool:
    """Whether ``title`` can be an AE title: 1 to 16 printable ASCII characters, no backslash (PS3.5, 6.2)."""
    return 0 < len(title.strip()) == len(title) <= 16 and title.isascii() and title.isprintable() and "\\" not in title


class Storage:
    """An archive that takes answers by C-STORE; the association stays open between answers."""

    def __init__(self, ours: str, peer: Peer, tls: ssl.SSLContext | None) -> None:
        self.peer, self.tls = peer, tls
        self._entity = AE(ae_title=ours)
        self._entity.acse_timeout = self._entity.dimse_timeout = PATIENCE
        self._entity.network_timeout = self._entity.connection_timeout = PATIENCE
        self._entity.maximum_pdu_size = 0  # ours to receive; how much we send at once is the peer's to say
        for kind in KINDS:
            self._entity.add_requested_context(kind)
        self._open: Association | None = None

    def send(self, files: Mapping[str, bytes]) -> None:
        """Return when every file is acknowledged."""
        open_, was_open = self._association()
        for data in files.values():
            try:
                found = open_.send_c_store(dcmread(io.BytesIO(data)))
            except (RuntimeError, ValueError) as error:  # the association has gone, or the peer takes no such object
                self.close()
                if was_open and not open_.is_established:  # as archives close what is idle: once more with a new one
                    return self.send(files)
                raise (Refused if open_.is_established else Unreachable)(str(error)) from None
            self._judge(found)
        return None

    def close(self) -> None:
        """Release the association."""
        if self._open and self._open.is_established:
            self._open.release()
        self._open = None

    def _association(self) -> tuple[Association, bool]:
        if self._open and self._open.is_established:
            return self._open, True
        tls = (self.tls, self.peer.host) if self.tls else None
        self._open = self._entity.associate(self.peer.host, self.peer.port, ae_title=self.peer.title, tls_args=tls)
        if self._open.is_established:
            return self._open, False
        rejected, self._open = self._open.is_rejected, None
        raise Unreachable("the association was rejected" if rejected else "no association could be made")

    def _judge(self, found: Dataset) -> None:
        status = found.get("Status")
        if status is None or status >> 8 == 0xA7:  # broken off, or out of resources (PS3.4, B.2.3)
            self.close()
            raise Unreachable("the association broke off" if status is None else f"status 0x{status:04X}")
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
