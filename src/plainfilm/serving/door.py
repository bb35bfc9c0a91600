"""What every request passes before it is looked at: who may ask, and what the answer tells the browser."""

from __future__ import annotations

import hmac
import ipaddress
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plainfilm.serving.limits import Refusal
from plainfilm.serving.metrics import Metrics

# Without these the page can't ask for the token; none of them says anything about films or the model.
OPEN = ("/", "/health", "/docs", "/openapi.json")

HEADERS = {
    # blob: is a film or heat map that the page itself received; nothing else is ever loaded from elsewhere.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Door:
    """ASGI middleware: token, host and origin are checked, headers set, requests counted."""

    def __init__(self, app: ASGIApp, metrics: Metrics, token: str, local: bool, paths: frozenset[str]) -> None:
        self.app, self.metrics, self.token, self.local, self.paths = app, metrics, token, local, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            await self._through(scope, receive, send_with_headers)
        finally:
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.metrics.answered(path, status, time.perf_counter() - begun)

    async def _through(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(Headers(scope=scope), scope["path"])
        except Refusal as refusal:
            await refused(refusal)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _check(self, headers: Headers, path: str) -> None:
        """Refusal unless the request may pass."""
        host = headers.get("host", "")
        # A foreign page can have its name resolve to 127.0.0.1 (DNS rebinding); then Host gives it away.
        if self.local and not _is_this_machine(_name(host)):
            raise Refusal(421, "This service answers only to localhost and 127.0.0.1.")
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != host:
            raise Refusal(403, "Requests from other pages are not answered.")
        if self.token and path not in OPEN and not path.startswith("/static/"):
            given = headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
                raise Refusal(401, "Send the token in the header 'Authorization: Bearer TOKEN'.")


def refused(refusal: Refusal) -> JSONResponse:
    """Return the response that says why a request is not answered."""
    headers = {"Retry-After": str(refusal.retry_after)} if refusal.retry_after else {}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": refusal.sentence}, refusal.status, headers)


def _is_this_machine(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # such as an unclosed bracket
        return None


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # such as an unclosed bracket
        return ""
