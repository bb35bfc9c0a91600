"""The HTTP API: one small function an address. What the answers mean is in docs/serving.md and at /docs."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from PIL import Image
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from plainfilm.config import DISCLAIMER
from plainfilm.data.films import FilmError
from plainfilm.data.header import elements
from plainfilm.errors import PlainfilmError, did_you_mean
from plainfilm.evaluation.findings import thresholds_of
from plainfilm.explain.overlay import heat_png, overlay_png
from plainfilm.image.decode import decode
from plainfilm.image.depth import Depth, depth
from plainfilm.models.answer import Answer
from plainfilm.models.reads import Reads
from plainfilm.serving.answers import (
    PNG,
    UPLOADS,
    VALUES,
    About,
    Element,
    Header,
    Health,
    NoneRead,
    Prediction,
    Problem,
    WatchSays,
    form,
    refusals,
)
from plainfilm.serving.counted import Counted
from plainfilm.serving.door import Door, refused
from plainfilm.serving.limits import Limits, Memory, Refusal
from plainfilm.serving.metrics import CONTENT_TYPE, Metrics
from plainfilm.serving.predictor import Line, Predictor
from plainfilm.serving.upload import Upload, uploads

WEB = Path(__file__).parent / "web"
PREVIEW_SIDE = 1024  # pixels
ABOUT_FILM = "X-Film"  # header of an answer that is a picture: what else is known of the film, as JSON
GONE_SECONDS = 0.25  # after which, and so often, it is asked whether a client still waits
T = TypeVar("T")


class Service:
    """What the addresses do, for one model."""

    def __init__(self, model: Reads, limits: Limits) -> None:
        self.model, self.limits = model, limits
        self.predictor = Predictor(model, limits)
        self.metrics = Metrics(self.predictor)
        self.memory = Memory(limits.memory_bytes)
        self.threshold = model.threshold if model.decision.two else None

    async def page(self) -> FileResponse:
        """The page for a browser."""
        return FileResponse(WEB / "index.html")

    async def docs(self) -> FileResponse:
        """This description for a reader."""
        return FileResponse(WEB / "docs.html")

    async def health(self) -> Health:
        """Whether the service is there."""
        return Health(status="ok", queue=self.predictor.waiting)

    async def about(self) -> About:
        """The model: classes, threshold, band for a reader, preprocessing, what its report says."""
        model = self.model
        return About(
            name=model.name,
            hash=model.hash,
            classes=list(model.classes),
            positive=model.decision.positive,
            threshold=self.threshold,
            thresholds=thresholds_of(model.decision),
            temperature=model.decision.temperature,
            refer=list(model.decision.refer) if model.decision.refer else None,
            preprocess=model.preprocess.as_dict(),
            verdict=model.verdict,
            gate=model.gate.about if model.gate else None,
            watch=self._watch(),
            disclaimer=DISCLAIMER,
        )

    async def predict(self, request: Request) -> Response:
        """Labels for one or many films; a film that can't be read has an error instead of a label."""
        self._require_model(request)
        async with uploads(request, self.limits, self.memory, self.predictor.films.require_room) as films:
            answers = await while_there(request, self.predictor.label([film.data for film in films]))
            entries = [self._entry(film, found) for film, found in zip(films, answers, strict=True)]
        for found in answers:
            self.metrics.film(found)
        watch = self.predictor.watch
        content: dict[str, Any] = {"model": self.model.hash, "warning": watch and watch.warning, "films": entries}
        if all(isinstance(found, FilmError) for found in answers):
            return JSONResponse({"error": "None of the films can be read.", **content}, 422)
        return JSONResponse(content)

    async def explain(
        self, request: Request, kind: Literal["overlay", "map"] = "overlay", of: str | None = None
    ) -> Response:
        """Where in one film the evidence for its label, or for the class or finding ``of``, is: over the film, or the
        map alone."""
        if of is not None and of not in self.model.classes:
            raise Refusal(422, f"The model has no class '{of}'.{did_you_mean(of, self.model.classes)}")
        draw = overlay_png if kind == "overlay" else heat_png
        target = None if of is None else self.model.classes.index(of)
        predictor = self.predictor
        return await self._in_line(
            request, predictor.maps, lambda film: predictor.explain(lambda m: _picture_of(draw(m, film, target)))
        )

    async def preview(self, request: Request) -> Response:
        """One film as it is decoded, 8 bits, the longer side at most 1024 pixels: browsers can't show DICOM or TIFF.
        The answer's header ``X-Film`` is JSON: ``rows`` and ``columns`` of the whole film."""
        return await self._of_one(request, lambda film: _picture_of(*preview(film)))

    async def pixels(self, request: Request) -> Response:
        """All pixels of one film in the depth that it was stored with: 16 bits each, little-endian, row by row.

        The answer's header ``X-Film`` is JSON. A pixel v stands for ``low + step * v``. Under the window ``centre`` and
        ``width`` (DICOM PS3.3 C.11.2.1.2; ``inverted``: white becomes black) the film looks as the model reads it.
        ``spacing``: mm between rows and between columns, in the ``plane`` of the patient or the detector, or null.
        """
        return await self._of_one(request, lambda film: self._values_of(depth(film)))

    async def header(self, request: Request, identity: bool = False) -> Response:
        """What the header of one DICOM film says of the picture, and with ``identity`` of the person. The file's
        beginning is enough, as long as it holds the header."""
        return await self._of_one(request, lambda film: _elements_of(elements(film, identity)))

    async def counters(self) -> Response:
        """Counters for Prometheus."""
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)

    def _values_of(self, film: Depth) -> Response:
        return Counted(film.values.tobytes(), self.memory, self.limits, {ABOUT_FILM: json.dumps(film.about())})

    async def _of_one(self, request: Request, made: Callable[[bytes], Response]) -> Response:
        predictor = self.predictor
        return await self._in_line(request, predictor.films, lambda film: predictor.do(partial(made, film)))

    async def _in_line(self, request: Request, line: Line, made: Callable[[bytes], Awaitable[Response]]) -> Response:
        self._require_model(request)
        async with uploads(request, self.limits, self.memory, line.require_room) as films:
            if len(films) > 1:
                raise Refusal(422, f"There are {len(films)} films in the form; send one.")
            try:
                return await while_there(request, made(bytes(films[0].data)))
            except FilmError as error:
                raise Refusal(422, f"The film can't be read: {error}.") from None
            except PlainfilmError as error:
                raise Refusal(501, str(error)) from None

    def _watch(self) -> WatchSays | None:
        if (watch := self.predictor.watch) is None:
            return None
        return WatchSays(
            films=watch.films,
            evidence=max(0.0, watch.evidence),
            alarm=watch.alarm,
            warning=watch.warning,
            false_alarms=watch.false_alarms,
        )

    def _require_model(self, request: Request) -> None:
        """Refusal when the request is for another model (``If-Match``, by hash): a page outlives a server, and would
        show this one's answers under that one's threshold."""
        asked = request.headers.get("if-match", "*").strip()
        if asked not in ("*", f'"{self.model.hash}"'):
            raise Refusal(412, "Another model answers here now; load the page again.")

    def _entry(self, film: Upload, found: Answer | FilmError) -> dict[str, Any]:
        if isinstance(found, FilmError):
            return {"name": film.name, "error": str(found)}
        return {
            "name": film.name,
            "label": found.label,
            "probabilities": dict(zip(self.model.classes, found.probabilities.tolist(), strict=True)),
            "threshold": self.threshold,
            "refer": found.refer,
            "reason": found.reason,
            "gate": {"score": found.gate.score, "reason": found.gate.reason} if found.gate else None,
        }


async def while_there(request: Request, work: Awaitable[T]) -> T:
    """Return what ``work`` gives; when the client has left, ClientDisconnect, and what has not begun never does."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=GONE_SECONDS))[0]:
            if await request.is_disconnected():
                raise ClientDisconnect
        return await task
    finally:
        task.cancel()


def preview(data: bytes) -> tuple[bytes, dict[str, int]]:
    """Return one film's bytes as an 8-bit PNG with the longer side at most 1024 pixels, and the film's ``rows`` and
    ``columns``. FilmError as decode."""
    image = Image.fromarray(decode(data))
    size = {"rows": image.height, "columns": image.width}
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue(), size


def _picture_of(png: bytes, about: dict[str, int] | None = None) -> Response:
    return Response(png, media_type="image/png", headers={ABOUT_FILM: json.dumps(about)} if about else None)


def _elements_of(found: Sequence[tuple[str, str, str, str]]) -> Response:
    return JSONResponse({"elements": [dict(zip(Element.model_fields, row, strict=True)) for row in found]})


def create_app(model: Reads, token: str = "", local: bool = True, limits: Limits | None = None) -> ASGIApp:
    """Return the ASGI application that serves ``model``.

    ``token``: what clients must send (none when empty); ``local``: answer only requests that name this machine.
    """
    service = Service(model, limits or Limits())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.predictor.close()

    app = FastAPI(title="plainfilm", description=DISCLAIMER, docs_url=None, redoc_url=None, lifespan=lifespan)
    _add_routes(app, service)
    _add_complaints(app)
    paths = frozenset(route.path for route in app.routes if hasattr(route, "path"))
    return Door(app, service.metrics, token, local, paths)


def description() -> dict[str, Any]:
    """Return the OpenAPI description of the addresses; it needs no model."""
    app = FastAPI(title="plainfilm", description=DISCLAIMER)
    _add_routes(app, object.__new__(Service))
    return app.openapi()


def _add_routes(app: FastAPI, service: Service) -> None:
    app.get("/", include_in_schema=False)(service.page)
    app.get("/docs", include_in_schema=False)(service.docs)
    app.get("/health", response_model=Health, responses=refusals())(service.health)
    app.get("/model", response_model=About, responses=refusals())(service.about)
    metrics: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {}}}, **refusals()}
    app.get("/metrics", response_class=Response, responses=metrics)(service.counters)
    found = {**UPLOADS, 422: {"model": NoneRead | Problem}}
    app.post("/predict", response_model=Prediction, responses=found, openapi_extra=form(True))(service.predict)
    drawn = {**PNG, 501: {"model": Problem}}
    app.post("/explain", response_class=Response, responses=drawn, openapi_extra=form(False))(service.explain)
    app.post("/preview", response_class=Response, responses=PNG, openapi_extra=form(False))(service.preview)
    app.post("/pixels", response_class=Response, responses=VALUES, openapi_extra=form(False))(service.pixels)
    app.post("/header", response_model=Header, responses=UPLOADS, openapi_extra=form(False))(service.header)
    app.mount("/static", StaticFiles(directory=WEB))


def _add_complaints(app: FastAPI) -> None:
    """Every answer that is no success has the same form: {"error": sentence}."""

    @app.exception_handler(Refusal)
    async def _refused(_: Request, refusal: Refusal) -> Response:
        return refused(refusal)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": f"{error.detail}."}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return JSONResponse({"error": f"{'.'.join(map(str, first['loc']))}: {first['msg']}."}, 422)

    @app.exception_handler(ClientDisconnect)
    async def _gone(_: Request, __: ClientDisconnect) -> Response:
        return refused(Refusal(400, "The request ended before its body was complete."))

    @app.exception_handler(Exception)
    async def _bug(_: Request, error: Exception) -> Response:
        response = refused(Refusal(500, f"This is a bug in plainfilm ({type(error).__name__}); the log has more."))
        response.headers["Connection"] = "close"  # uvicorn logs the error, then drops the connection
        return response
