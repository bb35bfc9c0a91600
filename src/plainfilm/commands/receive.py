"""A model in a hospital's network: films by C-STORE or DICOMweb, answers back to the archive, until told to stop."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plainfilm.config import DISCLAIMER
from plainfilm.errors import InputError
from plainfilm.export.opened import opened
from plainfilm.machine import memory
from plainfilm.storage.files import locked

if TYPE_CHECKING:
    from plainfilm.hospital.archive import Archive
    from plainfilm.hospital.commitment import Commitments
    from plainfilm.hospital.receiver import Door
    from plainfilm.hospital.service import Service
    from plainfilm.hospital.web import Web
    from plainfilm.models.reads import Reads

MOST_SECONDS = 3600.0
WHOLE = 2**24  # bytes of a block that grows with a film that comes: it moves in place, and goes back when it is done
TOKEN, LOGIN = "PLAINFILM_DICOMWEB_TOKEN", "PLAINFILM_DICOMWEB_LOGIN"  # not flags: others see those with ps


@dataclass(frozen=True)
class Network:
    """Who we are in the network, and who may talk to us."""

    ae_title: str = "PLAINFILM"
    host: str = "127.0.0.1"
    port: int | None = None  # None: no films by C-STORE; 0: any free one
    callers: tuple[str, ...] = ()
    answer: str = ""  # AET@HOST:PORT
    commit: bool = False  # ask whether answers are kept
    dicomweb: str = ""  # URL
    days: int = 1
    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
    metrics_port: int | None = None


@dataclass(frozen=True)
class Patience:
    """How long things may take, and what they may fill."""

    wait: float = 10.0  # seconds without a further film after which a study is answered
    give_up: float = 168.0  # hours after which an answer that nobody takes is put aside
    reserve: int = 256  # MB of the spool's disk that films leave free
    pictures: bool = True


def receive(run: Path, spool: Path, network: Network, patience: Patience, *, announce: Callable[[Any], None]) -> int:
    """Answer films with the model of ``run`` until SIGTERM or SIGINT; return 0, or 130 for SIGINT.

    ``announce`` is called once, with where films are taken and answers go, when they are. InputError when the model
    can't be loaded, a port can't be had, or the network's description does not hold together.
    """
    with needed():
        from plainfilm.hospital import receiver
        from plainfilm.hospital.web import looking
    _check(network, patience)
    tls = _tls(network)
    web = _web(network)
    archive, commitments = _archive(network, tls and tls[1], web)
    about: dict[str, Any] = {"answers": network.answer or network.dicomweb, "spool": str(spool)}
    model = opened(run)
    with (
        serving(model, spool, archive, patience, network.metrics_port, commitments) as (service, door),
        ExitStack() as open_,
    ):
        if network.port is not None:
            memory.keep(WHOLE)
            report = commitments.report if commitments else None
            callers = network.callers and (*network.callers, *([commitments.peer.title] if commitments else []))
            at = receiver.Address(network.ae_title, network.host, network.port, callers, tls and tls[0])
            server = receiver.listen(door, at, receiver.Limits(), report)
            open_.callback(server.shutdown)
            about["films"] = f"{network.ae_title}@{network.host}:{server.server_address[1]}"
        if web:
            open_.callback(looking(web, door, service.stop).join)
            about["dicomweb"] = network.dicomweb
        announce({**about, "model": model.name, "hash": model.hash, "disclaimer": DISCLAIMER})
        return until_told(service)


@contextmanager
def needed() -> Iterator[None]:
    """Turn a missing library into a sentence that says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"This needs {error.name}; run: pip install 'plainfilm[hospital]'.") from None


@contextmanager
def serving(
    model: Reads,
    spool: Path,
    archive: Archive,
    patience: Patience,
    metrics_port: int | None,
    commitments: Commitments | None = None,
) -> Iterator[tuple[Service, Door]]:
    """Yield a service, not running yet, and its door. InputError when the spool is in use."""
    from plainfilm.hospital.answering import Answering
    from plainfilm.hospital.counters import Counters, watched
    from plainfilm.hospital.receiver import Door
    from plainfilm.hospital.service import Service
    from plainfilm.hospital.spool import Spool
    from plainfilm.hospital.trail import Trail

    with locked(spool):
        kept, trail = Spool(spool, patience.reserve * 2**20), Trail(spool)
        counters = Counters(kept.waiting)
        watching = watched(counters, "127.0.0.1", metrics_port) if metrics_port is not None else None
        answering, how = Answering(model, patience.pictures), (patience.wait, patience.give_up * 3600)
        answering.prepare()
        memory.settle()
        service = Service(answering, kept, trail, counters, archive, *how, commitments)
        yield service, Door(kept, trail, counters, model.hash)
        if watching:
            watching.shutdown()


def until_told(service: Service) -> int:
    """Run ``service`` until SIGTERM or SIGINT; what is under way stays in the spool. Return 0, or 130 for SIGINT."""
    told: list[int] = []

    def stop(number: int, _: Any) -> None:
        told.append(number)
        service.stop.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        service.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 130 if signal.SIGINT in told else 0


def _check(network: Network, patience: Patience) -> None:
    """InputError when the description of the network does not hold together."""
    from plainfilm.hospital.client import title_fits
    from plainfilm.machine.addresses import is_local

    for flag, title in (("--ae-title", network.ae_title), *(("--callers", caller) for caller in network.callers)):
        if not title_fits(title):
            raise InputError(f"{flag} {title!r} is no AE title: 1 to 16 letters, digits and signs, no backslash.")
    if network.port is None and not network.dicomweb:
        raise InputError("Say where films come from: --port N for C-STORE, or --dicomweb URL.")
    if network.commit and (network.port is None or not network.answer):
        raise InputError("--commit needs --answer, whom it asks, and --port, where the archive reports.")
    if network.port is not None and not 0 <= network.port <= 65_535:
        raise InputError(f"--port {network.port} is no port; give one from 1 to 65535, or 0 for any that is free.")
    if not is_local(network.host) and not network.callers and not (network.authority and network.certificate):
        raise InputError(
            f"--host {network.host} lets other machines in; name them with --callers, or use --tls-ca with --tls-cert."
        )
    if (
        not 0 <= patience.wait <= MOST_SECONDS
        or not patience.give_up > 0
        or not patience.reserve >= 0
        or network.days < 0
    ):
        raise InputError(f"--wait is 0 to {MOST_SECONDS:g} seconds; --give-up, --reserve and --days are not negative.")


def _archive(network: Network, tls: ssl.SSLContext | None, web: Web | None) -> tuple[Archive, Commitments | None]:
    """Return where answers go, and whom to ask whether they are kept there."""
    from plainfilm.hospital.archive import Storage
    from plainfilm.hospital.client import Peer
    from plainfilm.hospital.commitment import Commitments

    if network.answer:
        peer = Peer.of(network.answer, "--answer")
        return Storage(network.ae_title, peer, tls), (
            Commitments(network.ae_title, peer, tls) if network.commit else None
        )
    if web:
        return web, None
    raise InputError("Say where answers go: --answer AET@HOST:PORT, or --dicomweb URL.")


def _tls(network: Network) -> tuple[ssl.SSLContext, ssl.SSLContext] | None:
    """Return the contexts to be called with and to call with; None without a certificate."""
    if bool(network.certificate) != bool(network.key):
        raise InputError("--tls-cert and --tls-key go together.")
    if network.authority and not network.certificate and not network.dicomweb:
        raise InputError("--tls-ca alone switches no TLS on; give --tls-cert and --tls-key too.")
    if not network.certificate:
        return None
    called = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    calling = ssl.create_default_context(cafile=network.authority)
    try:
        for context in (called, calling):
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(network.certificate, network.key)
        if network.authority:  # who calls must show a certificate of this authority
            called.load_verify_locations(network.authority)
            called.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"The files for TLS can't be used ({error}).") from None
    return called, calling


def _web(network: Network) -> Web | None:
    if not network.dicomweb:
        return None
    if not network.dicomweb.startswith(("http://", "https://")):
        raise InputError(f"--dicomweb {network.dicomweb!r} is no address that begins with http:// or https://.")
    from plainfilm.hospital.web import Access, Web

    user, colon, password = os.environ.get(LOGIN, "").partition(":")
    pair = (str(network.certificate), str(network.key)) if network.certificate else None
    authority = str(network.authority) if network.authority else None
    access = Access(os.environ.get(TOKEN, ""), (user, password) if colon else None, authority, pair)
    return Web(network.dicomweb, access, network.days)
