"""The same over DICOMweb: look for films (QIDO-RS), fetch them (WADO-RS), bring answers (STOW-RS)."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any, NamedTuple

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset, dcmread, dcmwrite

from plainfilm.hospital.archive import Refused, Unreachable
from plainfilm.hospital.receiver import FILM_BYTES, NO_ROOM, Door
from plainfilm.hospital.source import FILMS
from plainfilm.progress import say

MODALITIES = ("CR", "DX")
PATIENCE = 30  # seconds for a connection and between two pieces of an answer
STUDY, SERIES, INSTANCE, KIND, COUNT = "0020000D", "0020000E", "00080018", "00080016", "00201209"


SHORTEST, LONGEST = 5.0, 300.0  # seconds until films are looked for again; the longer, the more often that failed


class Access(NamedTuple):
    """How to be let in: a bearer token, or a user and password; files for TLS."""

    token: str = ""
    login: tuple[str, str] | None = None
    authority: str | None = None  # file with the certificates to trust
    certificate: tuple[str, str] | None = None  # files of our own certificate and key


class Web:
    """A DICOMweb service as a source of films and as an archive for answers."""

    def __init__(self, url: str, access: Access, days: int) -> None:
        logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL)  # it quotes addresses, which hold UIDs
        session = _Bounded()
        session.auth = access.login
        session.verify = access.authority or True
        session.cert = access.certificate
        session.trust_env = False
        if access.token:
            session.headers["Authorization"] = f"Bearer {access.token}"
        self.days = days
        self._client = DICOMwebClient(url.rstrip("/"), session=session, timeout=PATIENCE, permissive_uid=True)
        self._client.set_http_retry_params(retry=False)
        self._counts: dict[str, Any] = {}  # instances of each series when all of them had been looked at

    def films(self, skip: Callable[[str, str], bool]) -> Iterator[tuple[str, bytes, str]]:
        """Yield (SOP instance UID, file, storage class) of the films of the last ``days`` days that ``skip(instance
        UID, study UID)`` does not know, as they are fetched. Unreachable when the service does not answer."""
        for modality in MODALITIES:
            for found in self._asked(self._client.search_for_series, search_filters=self._wanted(modality)):
                study, series, count = (_value(found, tag) for tag in (STUDY, SERIES, COUNT))
                if study and series and (count is None or self._counts.get(series) != count):
                    yield from self._of(study, series, skip)
                    self._counts[series] = count

    def send(self, files: Mapping[str, bytes]) -> None:
        """Return when every file is acknowledged. Unreachable or Refused as in ``archive``."""
        found = self._asked(self._client.store_instances, [dcmread(io.BytesIO(data)) for data in files.values()])
        if failed := found.get("FailedSOPSequence"):
            code = int(failed[0].get("FailureReason", 0))
            raise (Unreachable if code >> 8 == 0xA7 else Refused)(f"failure reason 0x{code:04X}")

    def close(self) -> None:
        """Nothing stays open that would not close by itself."""

    def _wanted(self, modality: str) -> dict[str, str]:
        since = date.today() - timedelta(days=self.days)
        return {"Modality": modality, "StudyDate": f"{since:%Y%m%d}-{date.today():%Y%m%d}"}

    def _of(self, study: str, series: str, skip: Callable[[str, str], bool]) -> Iterator[tuple[str, bytes, str]]:
        for found in self._asked(self._client.search_for_instances, study, series, get_remaining=True):
            instance, kind = _value(found, INSTANCE), _value(found, KIND)
            if instance and kind in FILMS and not skip(instance, study):
                film = self._asked(self._client.retrieve_instance, study, series, instance)
                yield instance, _encoded(film), kind

    @staticmethod
    def _asked(call: Callable[..., Any], *what: Any, **how: Any) -> Any:
        """Return what the service answers; its own words stay out of ours, since addresses hold UIDs."""
        try:
            return call(*what, **how)
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            refused = 400 <= status < 500 and status not in (401, 403, 404, 408, 429)
            raise (Refused if refused else Unreachable)(f"HTTP status {status}") from None
        except Exception as error:
            raise Unreachable(f"{type(error).__name__}") from None


def looking(web: Web, door: Door, stop: threading.Event) -> threading.Thread:
    """Bring films to ``door`` in a thread, as they appear in ``web``, until ``stop`` is set; return the thread."""

    def look() -> None:
        pause = SHORTEST
        while not stop.is_set():
            try:
                for _, data, kind in web.films(door.has):
                    if door.take(data, kind) == NO_ROOM or stop.is_set():
                        break
                pause = SHORTEST
            except (Unreachable, Refused) as error:
                say(f"No films from the DICOMweb service: {error}; looking again in {pause:g} seconds.")
                pause = min(2 * pause, LONGEST)
            stop.wait(pause)

    thread = threading.Thread(target=look, name="look")
    thread.start()
    return thread


class _Bounded(requests.Session):
    """A session whose answers are no larger than a film may be."""

    def send(self, request: requests.PreparedRequest, **how: Any) -> requests.Response:
        """Return the response, read to its end. RequestException when it is too large."""
        response = super().send(request, **{**how, "stream": True})
        data = bytearray()
        for chunk in response.iter_content(2**18):
            data += chunk
            if len(data) > FILM_BYTES + 2**20:
                response.close()
                raise requests.RequestException("the answer is too large")
        response._content = bytes(data)
        return response


def _value(found: Mapping[str, Any], tag: str) -> Any:
    values = found.get(tag, {}).get("Value") or [None]
    return values[0]


def _encoded(film: Dataset) -> bytes:
    buffer = io.BytesIO()
    dcmwrite(buffer, film, enforce_file_format=True)
    return buffer.getvalue()
