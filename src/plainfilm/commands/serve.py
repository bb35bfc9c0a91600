"""A model behind an HTTP API and a page."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

from plainfilm.config import DISCLAIMER
from plainfilm.errors import InputError
from plainfilm.export.opened import opened
from plainfilm.machine.addresses import is_local
from plainfilm.report.verdict import as_it_stands


def serve(
    run: Path,
    announce: Callable[[dict[str, str]], None],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str = "",
    precision: str = "auto",
) -> int:
    """Serve the model of ``run`` (a run folder or model.h5) until it is told to stop; return 0, or 130 for Ctrl-C.

    ``announce`` is called once with model, url, hash and disclaimer when connections are accepted; port 0 takes any
    free port. InputError when the model can't be loaded, the port can't be had, or others than this machine are let in
    without a token.
    """
    try:
        from plainfilm.serving import server
        from plainfilm.serving.app import create_app
        from plainfilm.serving.limits import Limits
    except ModuleNotFoundError as error:
        raise InputError(f"The service needs {error.name}; run: pip install 'plainfilm[serve]'.") from None
    local = is_local(host)
    if not local and not token:
        raise InputError(f"--host {host} lets other machines in; add --token TEXT, which their requests must carry.")
    if token and (not token.isascii() or not token.isprintable() or " " in token):
        raise InputError("--token must be printable ASCII characters without spaces, as an HTTP header can carry.")
    limits = Limits()
    model = opened(run, precision)
    model.verdict = as_it_stands(run, model.verdict)
    listener = server.listen(host, port)
    app = create_app(model, token, local, limits)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listener.getsockname()[1]}"
    # What is loaded by now stays: a full collection would go through its 200,000 objects, a tenth of a second in which
    # nobody is answered, /health included.
    gc.collect()
    gc.freeze()
    announce({"model": model.name, "url": url, "hash": model.hash, "disclaimer": DISCLAIMER})
    return server.run(app, listener, limits.answer_seconds)
