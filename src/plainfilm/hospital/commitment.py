"""Storage commitment (PS3.4, J): an archive that has taken an answer is asked whether it keeps it, and says so later.

Asked by an N-ACTION on an association of its own; told by an N-EVENT-REPORT on one that the archive makes with us. What
nobody has committed to after a while is sent and asked for again, so that nothing of this need survive a restart.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE

from plainfilm.hospital.archive import Unreachable
from plainfilm.hospital.client import PATIENCE, Object, Peer

MODEL, INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"  # Storage Commitment Push Model, and its only one
ASK, UNDERSTOOD, NO_SUCH = 1, 0x0000, 0x0115  # action type (PS3.4, J.3.2); statuses of PS3.7, C
MOST = 10_000  # transactions that may be open: an archive that never reports is asked again and again


class Outcome(NamedTuple):
    """Films all of whose objects are kept, and films of which one is not."""

    kept: list[str]
    lost: list[str]


class Commitments:
    """What ``peer`` has been asked to commit to; ``told`` is called with each outcome, from any thread."""

    def __init__(self, ours: str, peer: Peer, tls: ssl.SSLContext | None) -> None:
        self.peer, self.tls = peer, tls
        self.told: Callable[[Outcome], None] = lambda _: None
        self._entity = AE(ae_title=ours)
        self._entity.acse_timeout = self._entity.dimse_timeout = PATIENCE
        self._entity.network_timeout = self._entity.connection_timeout = PATIENCE
        self._entity.add_requested_context(MODEL)
        self._open: dict[str, Mapping[str, Sequence[Object]]] = {}
        self._lock = threading.Lock()

    def ask(self, films: Mapping[str, Sequence[Object]]) -> None:
        """Ask for ``films``: the objects of each. Unreachable when nobody takes the question."""
        transaction = str(generate_uid(None))
        with self._lock:  # before it is asked: the report may come before the answer to the question
            while len(self._open) >= MOST:
                self._open.pop(next(iter(self._open)))
            self._open[transaction] = films
        status = self._asked(_question(transaction, films))
        if status != UNDERSTOOD:
            with self._lock:
                self._open.pop(transaction, None)
            raise Unreachable(
                "the archive takes no question for storage commitment"
                if status is None
                else f"storage commitment was answered with status 0x{status:04X}"
            )

    def report(self, said: Dataset) -> int:
        """Take the event information of an N-EVENT-REPORT; return the status that it is answered with."""
        with self._lock:
            films = self._open.pop(str(said.get("TransactionUID", "")), None)
        if films is None:
            return NO_SUCH
        kept = {str(each.get("ReferencedSOPInstanceUID", "")) for each in said.get("ReferencedSOPSequence") or ()}
        whole = {film: kept.issuperset(instance for _, instance in objects) for film, objects in films.items()}
        self.told(Outcome([f for f, yes in whole.items() if yes], [f for f, yes in whole.items() if not yes]))
        return UNDERSTOOD

    def _asked(self, question: Dataset) -> int | None:
        tls = (self.tls, self.peer.host) if self.tls else None
        there = self._entity.associate(self.peer.host, self.peer.port, ae_title=self.peer.title, tls_args=tls)
        if not there.is_established:
            return None
        try:
            found: int | None = there.send_n_action(question, ASK, MODEL, INSTANCE)[0].get("Status")
            return found
        except (RuntimeError, ValueError):  # it broke off, or takes no such question
            return None
        finally:
            there.release()


def _question(transaction: str, films: Mapping[str, Sequence[Object]]) -> Dataset:
    asked = Dataset()
    asked.TransactionUID, asked.ReferencedSOPSequence = transaction, []
    for kind, instance in (each for objects in films.values() for each in objects):
        one = Dataset()
        one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = kind, instance
        asked.ReferencedSOPSequence.append(one)
    return asked
