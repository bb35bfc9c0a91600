"""The flags of ``plainfilm receive``, and those it shares with ``watch``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from plainfilm.cli.base import Command


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder, a model.h5 or an exported .onnx")
    films = parser.add_argument_group("films")
    films.add_argument("--ae-title", default="PLAINFILM", metavar="AET", help="our AE title (default %(default)s)")
    films.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    films.add_argument("--port", type=int, metavar="N", help="port for C-STORE, 0 for any; often 11112")
    films.add_argument("--callers", default="", metavar="AET,…", help="AE titles that may send (default: all)")
    text = "a DICOMweb service to fetch films from, and to bring answers to where --answer is not given"
    films.add_argument("--dicomweb", default="", metavar="URL", help=text)
    films.add_argument("--days", type=int, default=1, metavar="N", help="of studies fetched (default %(default)s)")
    answers = parser.add_argument_group("answers")
    answers.add_argument("--answer", default="", metavar="AET@HOST:PORT", help="the archive that takes them by C-STORE")
    commit = "films are forgotten when the archive has committed to their answers; it reports to --port"
    answers.add_argument("--commit", action="store_true", help=commit)
    spool = "what waits, and the trail of what was answered (default %(default)s)"
    answers.add_argument("--spool", type=Path, default=Path("spool"), metavar="DIR", help=spool)
    patience_flags(answers)
    tls = parser.add_argument_group("TLS, of both sides")
    tls.add_argument("--tls-cert", type=Path, metavar="FILE", help="our certificate (PEM)")
    tls.add_argument("--tls-key", type=Path, metavar="FILE", help="its key (PEM)")
    tls.add_argument("--tls-ca", type=Path, metavar="FILE", help="the authority whose certificates others must show")


def patience_flags(parser: argparse._ActionsContainer) -> None:
    """Add what ``receive`` and ``watch`` have in common."""
    wait = "after which a study without a further film is answered (default %(default)g)"
    parser.add_argument("--wait", type=float, default=10.0, metavar="SECONDS", help=wait)
    give_up = "after which an answer that nobody takes is put aside in DIR/failed (default %(default)g)"
    parser.add_argument("--give-up", type=float, default=168.0, metavar="HOURS", help=give_up)
    reserve = "of the disk that films leave free for answers (default %(default)s)"
    parser.add_argument("--reserve", type=int, default=256, metavar="MB", help=reserve)
    parser.add_argument("--no-pictures", action="store_true", help="no heat maps, reports only")
    metrics = "port of this machine for /metrics and /health (default: none)"
    parser.add_argument("--metrics-port", type=int, metavar="N", help=metrics)


def patience_of(options: argparse.Namespace) -> Any:
    """Return the Patience that the flags describe."""
    from plainfilm.commands.receive import Patience

    return Patience(options.wait, options.give_up, options.reserve, not options.no_pictures)


def announcer(options: argparse.Namespace) -> Any:
    """Return what prints the one line that says that the service is there."""

    def announce(about: dict[str, Any]) -> None:
        print(json.dumps(about) if options.json else show_service(about), flush=True)

    return announce


def _run(options: argparse.Namespace) -> Any:
    from plainfilm.commands.receive import Network, receive

    network = Network(
        ae_title=options.ae_title,
        host=options.host,
        port=options.port,
        callers=tuple(name.strip() for name in options.callers.split(",") if name.strip()),
        answer=options.answer,
        commit=options.commit,
        dicomweb=options.dicomweb,
        days=options.days,
        certificate=options.tls_cert,
        key=options.tls_key,
        authority=options.tls_ca,
        metrics_port=options.metrics_port,
    )
    raise SystemExit(receive(options.run, options.spool, network, patience_of(options), announce=announcer(options)))


def show_service(about: Any) -> str:
    """Return the line that says which films are answered, by what, to whom."""
    films = " and ".join(str(about[key]) for key in ("films", "dicomweb") if key in about)
    said = f"{about['disclaimer'][:1].lower()}{about['disclaimer'][1:].rstrip('.')}"
    model = f"{about['model']} (model {about['hash'][:12]}…)"
    return f"Films from {films} are answered by {model} to {about['answers']}; {said}"


COMMAND = Command(
    "receive",
    (
        "plainfilm receive runs/bn --ae-title PLAINFILM --port 11112 --answer ORTHANC@127.0.0.1:4242",
        "plainfilm receive runs/bn --dicomweb http://127.0.0.1:8042/dicom-web",
    ),
    _flags,
    _run,
    show_service,
)
